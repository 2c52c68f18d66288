"""docs/explain.md: every output on the page is what the command prints, and the log line what a server writes."""

from __future__ import annotations

import logging
import re
import time
from email.utils import formatdate
from pathlib import Path

import anyio.to_thread
import pytest

from aauthkit.cli import main
from aauthkit.explaining import MENDS
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.protocol.tokens import PERSON_DWK
from aauthkit.refusals import Refusals
from tests.plugins.machine import PROJECT
from tests.plugins.signing import with_target
from tests.plugins.tls import Internet, Reply
from tests.plugins.verifying import API, World
from tests.unit.explaining.recording import FOLDER

pytestmark = pytest.mark.anyio

PAGE = (PROJECT / "docs" / "explain.md").read_text()
BLOCKS = re.findall(r"^```console\n\$ (aauthkit [^\n]+)\n(.*?)^```", PAGE, re.S | re.M)
EXPLAINED = [block for block in BLOCKS if block[0].startswith("aauthkit explain")]


def words_of(line: str) -> list[str]:
    return [word.strip("'") for word in line.split()[1:]]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AAUTHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AAUTHKIT_EGRESS", raising=False)
    monkeypatch.chdir(FOLDER)


def test_the_page_shows_the_commands() -> None:
    assert len(EXPLAINED) >= 4 and len(BLOCKS) > len(EXPLAINED)


@pytest.mark.parametrize("number", range(len(EXPLAINED)))
def test_an_explanation_on_the_page_is_what_is_printed(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    line, shown = EXPLAINED[number]
    main(words_of(line))
    assert capsys.readouterr().out == shown


def settled(text: str) -> list[str]:
    """Lines without what differs from machine to machine: versions, days and seconds."""
    text = re.sub(r"until \d{4}-\d\d-\d\d", "until DAY", text)
    text = re.sub(r"\d+ s behind", "N s behind", text)
    return re.sub(r"^(  ✓ (?:python|aauthkit|libraries) ).*\n(?: {16}.*\n)*", r"\1…\n", text, flags=re.M).splitlines()


async def test_what_the_doctor_says_on_the_page_is_what_it_says(
    internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person server with a clock that is off, a key of an older draft, and an endpoint that is not served."""
    peer = await internet.issuer("ps.example", PERSON_DWK)
    refused = SignatureFailure("invalid_signature", "unsigned").answer()
    for name in ("auth_token_endpoint", "person_token_endpoint"):
        path = peer.metadata[name].removeprefix("https://ps.example")
        peer.replies[path] = Reply(refused.status, refused.headers, refused.body)
    peer.metadata = {**peer.metadata, "revocation_endpoint": "https://ps.example/revoke"}
    peer.metadata_headers = (("date", formatdate(time.time() - 45.5, usegmt=True)),)
    key = dict(peer.jwks["keys"][0])
    peer.jwks = {"keys": [key, {**key, "kid": "before", "alg": "EdDSA"}]}
    address, port = internet.names["ps.example"]
    egress = tmp_path / "egress.json"
    egress.write_text(f'{{"names": {{"ps.example": "{address}:{port}"}}, "ca_file": "{internet.authority.ca_file}"}}')
    monkeypatch.setenv("AAUTHKIT_EGRESS", str(egress))
    ((line, shown),) = [block for block in BLOCKS if block[0].startswith("aauthkit doctor")]
    code = await anyio.to_thread.run_sync(main, words_of(line))
    out = capsys.readouterr().out
    assert code == 1
    assert settled(out) == settled(shown)


async def test_the_log_line_on_the_page_is_what_a_server_writes(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with pytest.raises(SignatureFailure) as caught:
        await world.verify(with_target(world.agent().sign("GET", f"{API}/api/v1/orders"), "/orders"))
    id_on_the_page = bytes.fromhex("0f8fad5bd9cb469fa16570867728950e")
    caplog.set_level(logging.WARNING, "aauthkit.refusals")
    Refusals(random_bytes=lambda _length: id_on_the_page).note(caught.value)
    (record,) = caplog.records
    assert f"WARNING aauthkit.refusals: {record.getMessage()}\n" in PAGE
    body = caught.value.answer().body.decode()
    instance = re.search(r'"instance":"[^"]+"', body)
    assert instance is not None and instance.group() in PAGE


def test_every_cause_is_on_the_page_with_its_mend() -> None:
    rows = dict(re.findall(r"^\| `([a-z.0-9]+)` \| (.*) \|$", PAGE, re.M))
    assert rows == MENDS
