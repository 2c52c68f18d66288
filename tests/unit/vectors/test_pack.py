"""The vector pack: whole, in form, made anew to the byte, obeyed by this package, and covering every rule."""

from __future__ import annotations

import json
from fnmatch import filter as matching
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aauthkit import verification
from aauthkit.conformance import Pack, PackError, Vector, load, own
from aauthkit.conformance.pack import KINDS
from aauthkit.protocol import ed25519
from scripts.conformance.drafts import read_drafts
from scripts.vectors.making import files
from scripts.vectors.rules import DECIDED, OTHERS
from tests.plugins.machine import PROJECT

FOLDER = PROJECT / "vectors"
ROOM = {
    "P11": ("5", "6", "7", "9.4", "11"),
    "SK9": ("3", "4", "5", "6", "7"),
}
"""The sections of each draft that the pack is about, without §9.4.5."""


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load()


def failures(vectors: tuple[Vector, ...], pack: Pack) -> list[str]:
    return [f"{each.vector.id}: {each.reason}" for each in own.run(vectors, pack) if each.outcome != "passed"]


def test_every_vector_has_the_outcome_it_must_have(pack: Pack) -> None:
    assert not failures(pack.vectors, pack)


def test_every_vector_has_it_where_openssl_verifies_as_well(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsodium's verdict is the rule; the fallback gives the same (§11.3.1)."""
    monkeypatch.setattr(ed25519, "verify", ed25519.verify_with_openssl)
    assert not failures(pack.vectors, pack)


def test_every_request_has_it_on_the_long_way_as_well(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick reading of plain requests changes no verdict (§11.3.4)."""
    monkeypatch.setattr(verification, "read_plain", lambda _request: None)
    assert not failures(pack.select(kinds=["request"]), pack)


def test_the_pack_is_large_and_of_every_kind_with_cases_of_both_outcomes(pack: Pack) -> None:
    assert len(pack.vectors) >= 250
    assert {vector.kind for vector in pack.vectors} == set(KINDS)
    for kind in set(KINDS) - {"error"}:
        outcomes = {"result" in vector.expected for vector in pack.vectors if vector.kind == kind}
        assert outcomes == {True, False}, kind


def test_ids_are_unique(pack: Pack) -> None:
    assert len({vector.id for vector in pack.vectors}) == len(pack.vectors)


def test_the_generator_writes_the_same_bytes_again() -> None:
    made = files()
    assert {path.name for path in FOLDER.glob("*.json")} == set(made)
    assert [name for name, text in made.items() if (FOLDER / name).read_text(encoding="utf-8") != text] == []


def test_the_generator_imports_nothing_of_the_package() -> None:
    sources = (PROJECT / "scripts" / "vectors").glob("*.py")
    assert not [path.name for path in sources if path.stem != "mutate" and "aauthkit." in path.read_text()]


@pytest.mark.parametrize("name", sorted(name for name, text in files().items() if '"group"' in text[:40]))
def test_a_file_is_in_the_form_of_the_schema(name: str) -> None:
    schema = json.loads((FOLDER / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    found = jsonschema.Draft202012Validator(schema).iter_errors(json.loads((FOLDER / name).read_text()))
    assert not [error.message for error in found]


def test_the_schema_refuses_what_is_no_vector() -> None:
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))
    good: dict[str, Any] = json.loads((FOLDER / "digest.json").read_text())
    for change in (
        {"kind": "telepathy"},
        {"sections": []},
        {"expected": {}},
        {"expected": {"result": {}, "error": {"code": "x"}}},
        {"input": {"values": [7], "body": ""}},
        {"surprise": True},
    ):
        bad = {**good, "vectors": [{**good["vectors"][0], **change}]}
        assert list(validator.iter_errors(bad)), change


def test_every_obliging_sentence_is_decided_by_a_vector_or_by_no_bytes(pack: Pack, spec_dir: Path) -> None:
    """draft-11 §5 to §7, §9.4, §11, and all of Signature-Keys that obliges a verifier or a signer."""
    mine = {
        sentence.id
        for sentence in read_drafts(spec_dir)
        if any(sentence.section == part or sentence.section.startswith(f"{part}.") for part in ROOM[sentence.draft])
        and not sentence.section.startswith("9.4.5")
    }
    assert mine <= DECIDED.keys() | OTHERS.keys()
    assert not DECIDED.keys() & OTHERS.keys()


def test_every_rule_names_vectors_that_are_there(pack: Pack) -> None:
    ids = [vector.id for vector in pack.vectors]
    assert not [(rule, name) for rule, names in DECIDED.items() for name in names.split() if not matching(ids, name)]
    assert all(reason for reason in OTHERS.values())


def test_a_case_that_can_be_made_anew_names_a_key_of_the_pack(pack: Pack) -> None:
    live = [vector.live for vector in pack.vectors if vector.live is not None]
    assert len(live) >= 60
    assert {recipe["key"] for recipe in live} <= pack.keys.keys()


# Finding and choosing


def test_a_folder_without_a_pack_is_none(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no vector pack"):
        load(tmp_path)
    (tmp_path / "keys.json").write_text("[]")
    with pytest.raises(PackError, match="no vector pack"):
        load(tmp_path)


def test_vectors_are_chosen_by_id_kind_group_and_section(pack: Pack) -> None:
    assert [vector.id for vector in pack.select(ids=["agent-get"])] == ["agent-get"]
    assert all(vector.id.startswith("jkt-") for vector in pack.select(ids=["jkt-*"]))
    assert {vector.kind for vector in pack.select(kinds=["digest"])} == {"digest"}
    assert {vector.group for vector in pack.select(groups=["claims"])} == {"claims"}
    below = pack.select(sections=["11.3"])
    assert {"§11.3.4", "§11.3.1"} <= {section for vector in below for section in vector.sections}
    assert all(any(s.startswith("SK §3.3") for s in vector.sections) for vector in pack.select(sections=["SK 3.3"]))
    assert not any("§11.3" in vector.sections for vector in pack.select(sections=["§1.3", "11.1"]))
    with pytest.raises(PackError):
        pack.select(ids=["nobody"])
