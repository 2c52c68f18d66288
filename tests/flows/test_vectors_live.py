"""`aauthkit vectors run --url`: a running resource is tried with cases signed anew, over loopback and over real TLS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from fastapi import FastAPI

from aauthkit import ANY
from aauthkit.cli import main
from aauthkit.conformance import load
from aauthkit.conformance.issuers import issuers_of
from aauthkit.egress import Egress
from aauthkit.keys import FixedKey
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
from tests.plugins.commands import own_ports
from tests.plugins.serving import reserved, served
from tests.plugins.signing import new_key
from tests.plugins.tls import Authority

pytestmark = pytest.mark.anyio

DOMAIN = "vectors.example"
LEVELS = ("agent", "person", "grant")


def orders(identifier: str, egress: Egress, **options: Any) -> FastAPI:
    """A resource with a route of each level."""
    resource = Resource(
        identifier,
        person_servers=ANY,
        agent_providers=ANY,
        keys=FixedKey(new_key()),
        scopes={"orders.read": "Read orders"},
        egress=egress,
        **options,
    )
    app = FastAPI()
    install(app, resource)
    needs = {"agent": resource.agent(), "person": resource.person(), "grant": resource.grant("orders.read")}
    for level, need in needs.items():
        app.add_api_route(f"/{level}", lambda: {"served": True}, dependencies=[protect(need)])
        app.add_api_route(f"/{level}/{{rest:path}}", lambda: {"served": True}, dependencies=[protect(need)])
    return app


def names() -> list[str]:
    return [issuer.removeprefix("https://").partition(".")[0] for issuer in issuers_of(load().documents)]


async def measured(origin: str, report: Path, *words: str) -> tuple[int, dict[str, Any]]:
    routes = [word for level in LEVELS[1:] for word in ("--route", f"{level}={origin}/{level}")]
    command = ["vectors", "run", "--url", f"{origin}/agent", *routes, "--json", str(report), *words]
    code = await anyio.to_thread.run_sync(main, command)
    return code, json.loads(report.read_text()) if report.exists() else {}


def failed(document: dict[str, Any]) -> list[str]:
    return [f"{each['id']}: {each['reason']}" for each in document["results"] if each["outcome"] == "failed"]


async def test_a_resource_passes_over_loopback(tmp_path: Path) -> None:
    """draft-11 §11.3.4, §6: every case that does not hang on its own time."""
    listener = reserved()
    port, issuers = listener.getsockname()[1], next(own_ports)
    identifier = f"http://api.localhost:{port}"
    origins = {identifier, *(f"http://{name}.localhost:{issuers}" for name in names())}
    app = orders(identifier, Egress(loopback=LoopbackProfile(frozenset(origins))))
    async with served(app, listener=listener):
        code, document = await measured(identifier, tmp_path / "r.json", "--listen", f"127.0.0.1:{issuers}")
    assert failed(document) == []
    assert code == 0
    assert document["counts"]["passed"] >= 60
    reasons = {each["reason"] for each in document["results"] if each["outcome"] == "skipped"}
    assert reasons == {"it hangs on its own time, or on what a server was told before"}


async def test_a_resource_with_a_hole_is_found_out(tmp_path: Path) -> None:
    """One that lets a query go uncovered, and takes base64url."""
    listener = reserved()
    port, issuers = listener.getsockname()[1], next(own_ports)
    identifier = f"http://api.localhost:{port}"
    origins = {identifier, *(f"http://{name}.localhost:{issuers}" for name in names())}
    egress = Egress(loopback=LoopbackProfile(frozenset(origins)))
    async with served(orders(identifier, egress, require_query=False), listener=listener):
        listen = ("--listen", f"127.0.0.1:{issuers}")
        code, document = await measured(identifier, tmp_path / "r.json", *listen, "--group", "coverage")
        assert code == 1
        assert [each.partition(":")[0] for each in failed(document)] == ["query-uncovered"]
        code, _ = await measured(identifier, tmp_path / "r.json", *listen, "--group", "coverage", "--lenient")
        assert code == 0


async def test_a_resource_passes_over_tls(authority: Authority, tmp_path: Path) -> None:
    """The issuers under a domain of their own, by a certificate for all its names."""
    listener, issuers = reserved(), next(own_ports)
    identifier = f"https://api.{DOMAIN}"
    places = {f"{name}.{DOMAIN}": ("127.0.0.1", issuers) for name in names()}
    files = authority.files(f"*.{DOMAIN}")
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    words = ("--domain", DOMAIN, "--certificate", str(both), "--ca", str(authority.ca_file))
    listen = ("--listen", f"127.0.0.1:{issuers}", "--connect", f"127.0.0.1:{listener.getsockname()[1]}")
    app = orders(identifier, Egress(names=places, ca_file=authority.ca_file))
    async with served(app, authority, f"api.{DOMAIN}", listener=listener):
        code, document = await measured(identifier, tmp_path / "r.json", *words, *listen)
    assert failed(document) == []
    assert code == 0
    assert document["counts"]["passed"] >= 60


async def test_a_server_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody, issuers = next(own_ports), next(own_ports)
    origin = f"http://api.localhost:{nobody}"
    code, _ = await measured(origin, tmp_path / "r.json", "agent-get", "--listen", f"127.0.0.1:{issuers}")
    assert code == 1
    assert "check the address" in capsys.readouterr().err
