"""The gateway fails closed, in every direction, behind a real proxy; and a new file comes in while requests go on."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aauthkit.discovery import Discovery
from aauthkit.egress import Egress
from aauthkit.gateway import Gate, Passed, Turned
from aauthkit.gateway.guarded import Guarded
from aauthkit.gateway.service import Service
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.protocol.tokens import PERSON_DWK
from aauthkit.running import Listen
from aauthkit.serving import Request
from tests.plugins.gateways import FILE, RULES, SHAPES, gate_of, street
from tests.plugins.resources import API, World
from tests.plugins.signing import NOW, Signer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
ENVOYS = ["grpc-h2", "http-h1"]


@pytest.mark.parametrize("shape", ENVOYS)
async def test_a_check_that_is_gone_refuses_everybody(tmp_path: Path, shape: str) -> None:
    async with street(tmp_path, shape) as there:
        assert (await there.send(there.world.agent(), "/agents")).status_code == 200
        await there.stop_check()
        for signer, path in ((there.world.agent(), "/agents"), (None, "/health"), (None, "/agents")):
            assert (await there.send(signer, path)).status_code == 503
        assert len(there.origin.seen) == 1


async def test_a_check_that_is_slow_refuses_and_stalls_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = Guarded.decide

    async def slowly(self: Guarded, request: Any, body: Any, judged: Any) -> Any:
        if request.path == "/me":
            await asyncio.sleep(60)
        return await decide(self, request, body, judged)

    monkeypatch.setattr(Guarded, "decide", slowly)
    monkeypatch.setattr("aauthkit.gateway.envoy.CHECK_SECONDS", 2)
    async with street(tmp_path, "grpc-h1") as there:
        stalled = asyncio.create_task(there.send(there.world.person(), "/me"))
        assert (await there.send(there.world.agent(), "/agents")).status_code == 200
        assert not stalled.done()
        assert (await stalled).status_code == 503


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_fault_while_deciding_lets_nobody_through(
    tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_anything: Any, **_more: Any) -> Any:
        raise RuntimeError("a fault")

    async with street(tmp_path, shape) as there:
        monkeypatch.setattr("aauthkit.gateway.guarded.rule_on", broken)
        answer = await there.send(there.world.agent(), "/agents")
        assert answer.status_code in (500, 503) and there.origin.seen == []
        assert "a fault" not in answer.text


async def test_a_rule_that_cannot_be_decided_denies(tmp_path: Path) -> None:
    """What gives neither yes nor no is a no, as a require and as a deny."""
    for effect in ("deny", "require"):
        rules = f"\n      - {{name: odd, {effect}: 'int(request.query) == 1'}}"
        async with street(tmp_path / effect, "grpc-h1", rules=rules) as there:
            answer = await there.send(there.world.agent(), "/agents?x")
            assert answer.status_code == 403 and there.origin.seen == []


@pytest.mark.parametrize("shape", SHAPES)
async def test_keys_that_cannot_be_had_let_nobody_through(tmp_path: Path, shape: str) -> None:
    async with street(tmp_path, shape, discovery=None) as there:
        answer = await there.send(there.world.agent(), "/agents")
        assert answer.status_code in (401, 503) and there.origin.seen == [], answer.text


async def test_records_that_are_out_of_reach_let_nobody_through(tmp_path: Path) -> None:
    more = "    limits:\n      - {name: calls, calls: 5, per: 3600}"
    async with street(tmp_path, "grpc-h1", more=more) as there:
        assert (await there.send(there.world.agent(), "/agents")).status_code == 200
        with sqlite3.connect(tmp_path / "gateway.db") as database:
            database.execute("DROP TABLE gateway_counters")
        assert (await there.send(there.world.agent(), "/agents")).status_code in (500, 503)
        assert len(there.origin.seen) == 1


async def test_a_revoked_token_stays_revoked_after_a_restart(tmp_path: Path) -> None:
    """§11.12: durable in the resource's store."""
    world = World()
    token = world.grant("orders.read", jti="taken-back")
    gate = gate_of(world, tmp_path)
    await gate.start()
    assert isinstance(await gate.decide(API, token.sign("GET", f"{API}/orders")), Passed)
    body = json.dumps({"jti": "taken-back", "exp": NOW + 3600}).encode()
    answer = await gate.answer(API, Signer.server(world.ps, PERSON_DWK).sign("POST", f"{API}/aauth/revoke", body=body))
    assert answer.status in (200, 202, 204), answer.body
    await gate.close()
    for _ in range(2):
        again = gate_of(world, tmp_path)
        await again.start()
        verdict = await again.decide(API, token.sign("GET", f"{API}/orders"))
        assert isinstance(verdict, Turned)
        assert "revoked_jwt" in (verdict.answer.header("signature-error") or "")
        await again.close()


class Fetched:
    """The provider's documents, and a note of each time they were asked for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.urls: list[str] = []
        self.egress = Egress()

    async def send(self, _method: str, url: str, *_: Any, **__: Any) -> Answer:
        self.urls.append(url)
        if url.endswith("jwks.json"):
            return json_answer(200, self.world.provider.jwks())
        iss = self.world.provider.iss
        return json_answer(200, {"issuer": iss, "jwks_uri": f"{iss}/jwks.json"})


async def test_metadata_is_fetched_for_the_first_request_and_for_no_other(tmp_path: Path) -> None:
    world = World()
    fetched = Fetched(world)
    discovery = Discovery(fetched, clock=lambda: NOW)  # type: ignore[arg-type]
    gate = gate_of(world, tmp_path, discovery=discovery)
    await gate.start()
    signer = world.agent()
    for _ in range(5):
        assert isinstance(await gate.decide(API, signer.sign("GET", f"{API}/agents")), Passed)
        assert isinstance(await gate.decide(API, world.agent().sign("GET", f"{API}/agents")), Passed)
    assert len(fetched.urls) == 2
    await gate.close()
    await discovery.aclose()


# A file that changes


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "gateway.yaml").write_text(FILE.format(rules=RULES, port=8000, more=""))
    made = Service(
        tmp_path / "gateway.yaml",
        check=Listen("127.0.0.1", 0),
        own=Listen("127.0.0.1", 0),
        decisions=tmp_path / "decisions.jsonl",
        egress=Egress(),
    )
    await made.start()
    yield made
    await made.close()


async def test_a_broken_new_file_leaves_the_old_one_in_force_and_says_so(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = service.gate
    file = tmp_path / "gateway.yaml"
    good = file.read_text()
    file.write_text(good.replace("level: agent}", "level: boss}", 1))
    assert not await service.reload()
    assert service.gate is before and "line 16" in caplog.text and service.broken
    assert (await service.gauges())["gateway_configuration_broken"] == 1
    file.write_text(good.replace("GET /health", "GET /healthy", 1))
    assert await service.reload()
    assert service.gate is not before and not service.broken


async def test_what_did_not_change_goes_on_and_the_old_gate_finishes_what_it_has(
    service: Service, tmp_path: Path
) -> None:
    before: Gate = service.gate
    file = tmp_path / "gateway.yaml"
    file.write_text(file.read_text().replace("GET /health", "GET /healthy", 1))
    assert await service.reload()
    other = "https://other.example"
    assert service.gate.guarded[other] is before.guarded[other]
    assert service.gate.guarded[API] is not before.guarded[API]
    assert isinstance(await before.decide(API, Request("GET", "/health", ())), Passed)
    assert isinstance(await service.gate.decide(API, Request("GET", "/healthy", ())), Passed)
    assert isinstance(await service.gate.decide(API, Request("GET", "/health", ())), Turned)
    lines = (tmp_path / "decisions.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["outcome"] == "open"
    assert (tmp_path / "decisions.jsonl").stat().st_mode & 0o777 == 0o600
