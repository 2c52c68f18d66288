"""Limits on calls and amounts: who is counted, how long, and what a refusal says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aauthkit.gateway import ConfigurationError, Gate, Passed, Turned
from aauthkit.serving import BytesBody, Request
from tests.plugins.gateways import configured, gate_of
from tests.plugins.resources import API, World
from tests.plugins.signing import NOW, Signer, new_key

pytestmark = pytest.mark.anyio
LIMITS = """    limits:
      - {name: calls an hour, calls: 2, per: 3600, routes: [GET /agents, GET /orders]}
      - name: paid a day
        amount: body.json.amount
        most: 100
        per: 86400
        of_key: 60
        levels: [grant]
        routes: [POST /payments]
"""


class House:
    def __init__(self, folder: Path, world: World) -> None:
        self.world, self.folder, self.now = world, folder, float(NOW)
        self.told: list[Any] = []
        self.gate = self.made()

    def made(self) -> Gate:
        return gate_of(self.world, self.folder, more=LIMITS, clock=lambda: self.now, observers=[self.told.append])

    async def status(self, signer: Signer, path: str, method: str = "GET", body: bytes = b"") -> int:
        request = signer.sign(method, API + path, body=body, now=int(self.now))
        request = Request(method, path, request.headers, BytesBody(body))
        verdict = await self.gate.decide(API, request, body or None)
        if isinstance(verdict, Turned):
            self.answer = verdict.answer
            return verdict.answer.status
        assert isinstance(verdict, Passed)
        return 200

    async def pay(self, signer: Signer, amount: object) -> int:
        return await self.status(signer, "/payments", "POST", json.dumps({"amount": amount}).encode())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path, World())
    await made.gate.start()
    yield made
    await made.gate.close()


async def test_an_agent_is_counted_by_its_identifier_and_the_refusal_names_the_limit(house: House) -> None:
    for status in (200, 200, 429):
        assert await house.status(house.world.agent(), "/agents") == status  # a token of its own each time
    body = json.loads(house.answer.body)
    assert "calls an hour" in body["detail"] and int(house.answer.header("retry-after") or 0) > 0
    assert house.told[-1].limit == "calls an hour" and house.told[-1].outcome == "refused"
    assert await house.status(house.world.agent(name="other"), "/agents") == 200


async def test_a_person_is_counted_across_keys_and_apart_by_account_and_mission(house: House) -> None:
    """§C.1.6: above the agent level no agent identifier reaches a resource."""
    other = World(house.world.provider, house.world.ps, house.world.shop, new_key())
    for world, status in ((house.world, 200), (other, 200), (house.world, 429), (other, 429)):
        assert await house.status(world.grant("orders.read"), "/orders") == status
    assert await house.status(house.world.grant("orders.read", account="work"), "/orders") == 200
    assert await house.status(house.world.grant("orders.read", sub="p-2"), "/orders") == 200


async def test_counters_survive_a_restart_and_end_with_their_span(house: House) -> None:
    for _ in range(2):
        assert await house.status(house.world.agent(), "/agents") == 200
    await house.gate.close()
    house.gate = house.made()
    await house.gate.start()
    assert await house.status(house.world.agent(), "/agents") == 429
    house.now = (house.now // 3600 + 1) * 3600
    assert await house.status(house.world.agent(iat=int(house.now), exp=int(house.now) + 600), "/agents") == 200


async def test_amounts_add_up_to_the_limit_and_not_past_it(house: House) -> None:
    placed = house.world.grant("orders.place")
    other = World(house.world.provider, house.world.ps, house.world.shop, new_key()).grant("orders.place")
    assert await house.pay(placed, 30.5) == 200
    assert await house.pay(placed, 30) == 429  # this key's own bound
    assert await house.pay(placed, 29.5) == 200
    assert await house.pay(other, 40.000001) == 429
    assert await house.pay(other, 40) == 200
    assert await house.pay(other, 0.01) == 429


@pytest.mark.parametrize("amount", [None, "3", True, [1], -1, {"a": 1}, 1e300])
async def test_an_amount_that_is_missing_or_no_number_denies(house: House, amount: object) -> None:
    assert await house.pay(house.world.grant("orders.place"), amount) in (403, 429)
    missing = await house.status(house.world.grant("orders.place"), "/payments", "POST", b'{"other": 1}')
    assert missing == 403 and "paid a day" in json.loads(house.answer.body)["detail"]
    assert await house.status(house.world.grant("orders.place"), "/payments", "POST", b"not json") == 403


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("amount: body.json.amount", "amount: body.jsn.amount", "undefined field"),
        ("amount: body.json.amount", 'amount: "request.path"', "gives no number"),
        ("routes: [POST /payments]", "routes: [POST /orders]", "body: buffer"),
        ("most: 100", "calls: 100", "either calls, or amount and most"),
        ("name: paid a day", "name: calls an hour", "same name"),
        ("per: 86400", "per: 0", "a whole number above 0"),
    ],
)
def test_limits_that_cannot_work_are_mistakes(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in LIMITS
    with pytest.raises(ConfigurationError) as caught:
        configured(tmp_path, more=LIMITS.replace(old, new))
    assert said in str(caught.value)


async def test_rules_and_limits_count_for_a_held_call_when_it_runs(tmp_path: Path) -> None:
    """§6.5.1: what is decided is the call with its grant, at the time it runs; and the log has it."""
    rules = "\n      - {name: only work, require: 'grant.account == \"work\"', reason: work only}"
    told: list[Any] = []
    world = World()
    gate = gate_of(world, tmp_path, rules=rules, observers=[told.append])
    await gate.start()
    body = b'{"item": "lamp"}'
    signed = world.person().sign("POST", f"{API}/held", body=body)
    verdict = await gate.decide(API, Request("POST", "/held", signed.headers, BytesBody(body)), body)
    assert isinstance(verdict, Turned) and verdict.answer.status == 202
    path = (verdict.answer.header("location") or "").removeprefix(API)
    poll = world.grant("orders.place").sign("GET", API + path)
    answer = await gate.answer(API, Request("GET", path, poll.headers))
    assert answer.status == 403 and json.loads(answer.body)["detail"] == "work only"
    assert [each.outcome for each in told] == ["deferred", "refused"]
    assert told[-1].rule == "only work" and told[-1].method == "POST"
    await gate.close()


def test_decisions_are_counted_by_names_of_the_configuration_alone() -> None:
    from aauthkit.gateway.telling import DecisionFigures
    from aauthkit.gateway.verdicts import Decision
    from aauthkit.operations import Metrics

    metrics = Metrics()
    figures = DecisionFigures(metrics)
    for path in ("/a", "/b"):
        figures(Decision(NOW, API, "GET", path, "GET /{name}", "refused", 403, 0.001, rule="no writers"))
    text = metrics.text({}).decode()
    assert 'decisions_total{outcome="refused",resource="https://api.example",rule="no writers"} 2.0' in text
    assert '"/a"' not in text


async def test_replicas_share_counters_and_held_calls(tmp_path: Path, database_url: str) -> None:
    """Two gateways on one store: what one counted or held the other knows."""
    world, more = World(), f"    store: {json.dumps(database_url)}\n{LIMITS}"
    gates = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        gates.append(gate_of(world, tmp_path / name, more=more))
        await gates[-1].start()
    for gate, passes in ((gates[0], True), (gates[1], True), (gates[0], False), (gates[1], False)):
        verdict = await gate.decide(API, world.agent().sign("GET", f"{API}/agents"))
        assert isinstance(verdict, Passed) == passes
    body = b'{"item": "lamp"}'
    signed = world.person().sign("POST", f"{API}/held", body=body)
    held = await gates[0].decide(API, Request("POST", "/held", signed.headers, BytesBody(body)), body)
    assert isinstance(held, Turned) and held.answer.status == 202
    path = (held.answer.header("location") or "").removeprefix(API)
    poll = world.person().sign("GET", API + path)
    assert (await gates[1].answer(API, Request("GET", path, poll.headers))).status == 202
    for gate in gates:
        await gate.close()
