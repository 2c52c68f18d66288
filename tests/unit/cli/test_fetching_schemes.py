"""A client for each scheme that a resource may name: `aauthkit fetch --as key|server` (draft-11 §11.3.2, §11.3.4.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from aauthkit.byhand import bare_credential, prepare, server_credential
from aauthkit.callers import Pseudonym, Server
from aauthkit.cli import main
from aauthkit.egress import Egress
from aauthkit.keys import KeyFile
from aauthkit.outbound import Credential
from aauthkit.protocol.identifiers import InvalidIdentifier
from aauthkit.protocol.messages import Refusal
from aauthkit.resource import Need, Resource
from aauthkit.serving import BytesBody, Request
from tests.plugins.resources import API, World
from tests.plugins.signing import NOW

pytestmark = pytest.mark.anyio

SHOP = "https://shop.example"
ROLE = "aauth-resource.json"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "shop.jwks")


@pytest.fixture
def resource(keys: KeyFile) -> Resource:
    world = World()
    discovery = world.discovery()
    discovery.serve_locally(SHOP, ROLE, keys.jwks)
    return world.resource(discovery=discovery)


def signed(credential: Credential, body: bytes = b"") -> Request:
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))] if body else []
    sent = prepare("POST", f"{API}/x?a=1", credential, Egress(), headers=headers, body=body, now=NOW)
    return Request(sent.method, "/x?a=1", sent.headers, BytesBody(body))


async def test_a_server_signs_in_its_own_name(resource: Resource, keys: KeyFile) -> None:
    credential = server_credential(SHOP, ROLE, keys, Egress())
    admitted = await resource.decide(signed(credential, b"{}"), resource.server(digest=True))
    assert isinstance(admitted.caller, Server)
    assert (admitted.caller.iss, admitted.caller.dwk) == (SHOP, ROLE)


async def test_a_bare_key_stands_for_itself(resource: Resource) -> None:
    assert isinstance((await resource.decide(signed(bare_credential()), resource.key())).caller, Pseudonym)


async def test_each_is_told_which_schemes_are_taken(resource: Resource, keys: KeyFile) -> None:
    """§11.3.4.1: all of them are listed, in the order of preference."""
    needs: list[tuple[Need, str]] = [
        (resource.agent(), "jwt"),
        (resource.key(), "hwk"),
        (resource.server(), "jwks_uri"),
        (resource.person(schemes=("jwks_uri", "hwk")), "jwt, jwks_uri, hwk"),
        (resource.key() | resource.server() | resource.agent(), "hwk, jwks_uri, jwt"),
    ]
    for need, listed in needs:
        request = Request(
            "GET",
            "/x",
            (
                ("signature", "sig=:AA==:"),
                ("signature-input", f'sig=("@method" "@authority" "@path" "signature-key");created={NOW}'),
                ("signature-key", "sig=unheard;x=1"),
            ),
        )
        with pytest.raises(Refusal) as refused:
            await resource.decide(request, need)
        answer = resource.answer_to(refused.value)
        assert answer.header("signature-error") == "error=unsupported_scheme"
        assert answer.header("accept-signature-scheme") == listed


def test_an_issuer_that_no_server_can_have_signs_nothing(keys: KeyFile) -> None:
    for issuer in ("http://shop.example", "https://shop.example/", "https://Shop.example", "shop.example"):
        with pytest.raises(InvalidIdentifier):
            server_credential(issuer, ROLE, keys, Egress())


@pytest.mark.parametrize(
    "options",
    [
        ["--as", "server"],
        ["--as", "server", "--issuer", SHOP],
        ["--as", "server", "--keys", "keys.jwks"],
        ["--issuer", SHOP, "--keys", "keys.jwks"],
        ["--as", "key", "--issuer", SHOP, "--keys", "keys.jwks"],
    ],
)
def test_a_server_needs_its_name_and_its_keys(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", *options, f"{API}/x"]) == 2
    assert "--issuer URL and --keys FILE" in capsys.readouterr().err


def test_keys_that_are_not_there_are_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new key would be one that the server never published."""
    missing = tmp_path / "none.jwks"
    code = main(["fetch", "-q", "--as", "server", "--issuer", SHOP, "--keys", str(missing), f"{API}/x"])
    assert code == 2
    assert "aauthkit keys create" in capsys.readouterr().err
    assert not missing.exists()
