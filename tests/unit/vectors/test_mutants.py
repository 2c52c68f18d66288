"""The mutation run, on a sample: a check that is switched off is noticed, and one that is on is put back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from aauthkit.conformance import load, own
from scripts.vectors import mutate


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_check_of_a_sample_is_noticed() -> None:
    reasons = mutate.allowed()
    killed, survivors = mutate.run(mutate.modules(), sample=14)
    assert len(killed) >= 15
    assert not [mutant.name for mutant in survivors if mutate.reason_for(mutant, reasons) is None]


def test_what_was_switched_off_is_on_again() -> None:
    pack = load()
    results = own.run(pack.vectors, pack)
    assert not [result.vector.id for result in results if result.outcome != "passed"]


def test_a_mutant_is_one_check_of_one_function() -> None:
    names = [mutant.name for mutant in mutate.mutants("protocol.signature_key")]
    assert "protocol.signature_key:verify_delegation: jwt.jws.verify(durable)" in names
    assert any(name.startswith("protocol.signature_key:select_label: if not shared") for name in names)


def test_a_mutant_nobody_notices_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    (mutant,) = [each for each in mutate.mutants("protocol.headers") if "parse_authorization" in each.name][:1]
    pack = load()
    assert mutate.killer(mutant, pack, pack.select(kinds=["digest"])) is None
    assert mutate.killer(mutant, pack, pack.vectors) is not None


def test_the_run_wants_a_pack_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_values: Any, _body: bytes) -> None:
        raise AssertionError("not today")

    monkeypatch.setattr("aauthkit.protocol.httpsig.check_content_digest", broken)
    with pytest.raises(RuntimeError, match="does not pass"):
        mutate.run(["protocol.headers"])


def test_every_reason_is_a_sentence() -> None:
    assert all(reason.endswith(".") and reason[0].isupper() for reason in mutate.allowed().values())
