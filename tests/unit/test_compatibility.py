"""Older forms: named or not at all, said in the log, and without effect on anything but their form."""

from __future__ import annotations

import base64
import logging
import re
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.compatibility import NONE, OlderForm, in_older_form, older_forms, read_by, written_to
from aauthkit.egress import Egress, Http
from aauthkit.egress.configuration import EgressFileError, read_egress
from aauthkit.outbound import Credential, Outbound
from aauthkit.protocol.httpsig import parse_signatures
from aauthkit.protocol.signature_key import hwk_header
from aauthkit.resource import Resource
from aauthkit.trust import ANY
from tests.plugins.documents import Document
from tests.plugins.signing import new_key
from tests.plugins.tls import Internet, Received, Reply

BASE64URL = frozenset({OlderForm.BASE64URL_SIGNATURE})
LABELS = st.from_regex(r"[a-z][a-z0-9_.-]{0,5}", fullmatch=True)


def test_a_form_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"no older form 'draft-10'; there are base64url-signature"):
        older_forms(["base64url-signature", "draft-10"])
    with pytest.raises(TypeError):
        older_forms("base64url-signature")
    assert older_forms(["base64url-signature"]) == BASE64URL and older_forms([]) == NONE


@pytest.mark.parametrize("host", ["https://old.example", "Old.example", "old.example:443", "", "a b"])
def test_forms_are_written_to_hosts(host: str) -> None:
    with pytest.raises(ValueError, match="to a host"):
        written_to({host: BASE64URL})


def test_a_server_says_that_it_reads_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "aauthkit.compatibility"):
        Resource("https://api.example", person_servers=ANY, agent_providers=ANY, egress=Egress())
        assert not caplog.records
        settings = {"older_forms": ["base64url-signature"], "egress": Egress()}
        Resource("https://api.example", person_servers=ANY, agent_providers=ANY, **settings)  # type: ignore[arg-type]
    assert caplog.messages == ["https://api.example takes older forms from its peers: base64url-signature"]
    assert read_by("https://api.example", []) == NONE


def test_a_party_says_that_it_writes_them(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """As an argument, and from the egress file."""
    file = tmp_path / "egress.json"
    file.write_text('{"older_forms": {"old.example": ["base64url-signature"]}}')
    with caplog.at_level(logging.WARNING, "aauthkit.compatibility"):
        assert Egress().older_forms == {}
        assert read_egress(file).older_forms == {"old.example": BASE64URL}
    assert caplog.messages[0] == "older forms are written to old.example: base64url-signature"


def test_the_page_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F92: docs/compatibility.md, its code and its file, and a row for each form."""
    page = Document("compatibility.md")
    module = page.module(monkeypatch, *page.blocks("A server that reads it"), *page.blocks("A party that writes it"))
    assert module.resource.identifier == "https://api.example"
    (file,) = re.findall(r"^```json\n(.*?)^```$", page.text, re.M | re.S)
    (tmp_path / "egress.json").write_text(file)
    assert read_egress(tmp_path / "egress.json") == module.egress == Egress(older_forms={"old.example": BASE64URL})
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", page.text, re.M) == list(OlderForm)


@pytest.mark.parametrize("value", ['{"old.example": ["draft-10"]}', '{"old.example": "base64url-signature"}', "[]"])
def test_an_egress_file_with_another_form_is_refused(value: str, tmp_path: Path) -> None:
    file = tmp_path / "egress.json"
    file.write_text(f'{{"older_forms": {value}}}')
    with pytest.raises(EgressFileError):
        read_egress(file)


@given(st.dictionaries(LABELS, st.binary(min_size=1, max_size=70), min_size=1, max_size=3))
def test_what_is_written_reads_back_to_the_same_bytes(signatures: dict[str, bytes]) -> None:
    """RFC 9651 §4.2.7 with the other alphabet; nothing but `Signature` is touched."""
    value = ", ".join(f"{label}=:{base64.b64encode(data).decode()}:" for label, data in signatures.items())
    older = in_older_form("Signature", value, BASE64URL)
    assert not set("+/") & set(older) and "=:" in older and "=:," not in f"{older},"[:-1]
    assert parse_signatures([older], accept_base64url=True) == signatures == parse_signatures([value])
    assert in_older_form("signature", value, NONE) == in_older_form("signature-key", value, BASE64URL) == value


@pytest.mark.anyio
async def test_both_ways_out_write_it_to_the_host_that_is_named_and_to_no_other(internet: Internet) -> None:
    """`Http`, and the transport of an agent's own client."""

    def answer(_request: Received) -> Reply:
        return Reply(200, (), b"")

    servers = {host: await internet.serve(host, answer) for host in ("old.example", "new.example")}
    egress = internet.egress(older_forms={"old.example": BASE64URL})
    key = new_key()
    credential = Credential(key, hwk_header(key.public))
    async with Http(egress) as http, httpx2.AsyncClient(transport=egress.async_transport()) as client:
        for host in servers:
            await Outbound(http).call("GET", f"https://{host}/", credential)
            await client.get(f"https://{host}/", headers={"signature": "sig=:-_8=:, b=:+/8=:"})
    assert [_padded(server.requests[0]) for server in servers.values()] == [False, True]
    written = {host: server.requests[1].header("signature") for host, server in servers.items()}
    assert written == {"old.example": "sig=:-_8=:, b=:-_8:", "new.example": "sig=:-_8=:, b=:+/8=:"}


def _padded(request: Received) -> bool:
    """Whether the 64 bytes of its signature stand there with their padding."""
    return str(request.header("signature")).endswith("==:")
