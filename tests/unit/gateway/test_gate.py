"""The gateway's decision: challenges, rules, facts for the origin, and the origin that takes nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aauthkit import hop
from aauthkit.gateway import ConfigurationError, Gate, Passed, Turned, read_configuration
from aauthkit.gateway.http_check import REMOVE, HttpCheck
from aauthkit.serving import BytesBody, Request
from tests.plugins.gateways import FILE, RULES, Origin, configured, gate_of
from tests.plugins.resources import API, World, ask, asked
from tests.plugins.signing import NOW, Signer

pytestmark = pytest.mark.anyio


class House:
    """A gate with a world of issuers around it, and an origin behind it."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.world = world
        self.gate = gate
        self.origin = Origin(gate)

    async def decide(self, signer: Signer | None, path: str, method: str = "GET", **knobs: Any) -> Passed | Turned:
        request = signer.sign(method, API + path, **knobs) if signer else Request(method, path, ())
        return await self.gate.decide(API, request)

    async def behind(self, signer: Signer, path: str, method: str = "GET", **knobs: Any) -> dict[str, Any]:
        """What the origin is told of a request that was let through."""
        request = signer.sign(method, API + path, **knobs)
        verdict = await self.gate.decide(API, request)
        assert isinstance(verdict, Passed), verdict
        kept = tuple((n, v) for n, v in request.headers if n not in verdict.removed and n != hop.HEADER)
        body = knobs.get("body", b"")
        passed = Request(method, path, (*kept, *verdict.fields), BytesBody(body))
        answer = await ask(self.origin.app, passed)
        assert answer.status == 200, answer.body
        said: dict[str, Any] = json.loads(answer.body)
        return said


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    world = World()
    gate = gate_of(world, tmp_path)
    await gate.start()
    yield House(world, gate)
    await gate.close()


async def test_each_level_is_challenged_for_what_it_lacks(house: House) -> None:
    """The gateway is the resource: §6.1, §6.4, §6.5 from outside."""
    for signer, path, asks in (
        (None, "/agents", "agent-token"),
        (house.world.agent(), "/me", "person-token"),
        (house.world.person(), "/orders", "auth-token"),
        (house.world.grant("orders.place"), "/orders", "auth-token"),
    ):
        verdict = await house.decide(signer, path)
        assert isinstance(verdict, Turned) and verdict.answer.status == 401
        assert asked(verdict.answer) == asks
        assert verdict.answer.header("link")


async def test_the_origin_gets_the_same_typed_caller(house: House) -> None:
    said = await house.behind(house.world.grant("orders.read", account="work"), "/orders?year=2026")
    caller = said["caller"]
    assert (caller["level"], caller["scope"], caller["account"]) == ("grant", "orders.read", "work")
    assert (await house.behind(house.world.agent(), "/agents"))["caller"]["sub"] == "aauth:planner@agents.example"


async def test_a_scope_is_a_set_and_no_substring(house: House) -> None:
    verdict = await house.decide(house.world.grant("orders.readall"), "/orders")
    assert isinstance(verdict, Turned) and asked(verdict.answer) == "auth-token"


async def test_a_rules_no_is_403_with_its_public_reason_and_an_id(house: House) -> None:
    verdict = await house.decide(house.world.agent(name="writer"), "/agents")
    assert isinstance(verdict, Turned) and verdict.answer.status == 403
    body = json.loads(verdict.answer.body)
    assert (body["error"], body["detail"]) == ("access_denied", "writers do not come in here")
    assert body["instance"].startswith("urn:uuid:") and "agent.id" not in verdict.answer.body.decode()
    assert isinstance(await house.decide(house.world.agent(), "/agents"), Passed)


async def test_f67_fields_of_the_gateways_family_never_arrive(house: House) -> None:
    """F67: at every level and in every spelling, and the fields of the signature with them."""
    forged = [("x-aauth-scope", "admin"), ("X-AAUTH-Agent", "x"), ("x_aauth_scope", "admin"), (hop.HEADER, "forged")]
    request = house.world.agent().sign("GET", f"{API}/agents")
    request = Request("GET", "/agents", (*request.headers, *forged))
    verdict = await house.gate.decide(API, request)
    assert isinstance(verdict, Passed)
    assert {"x-aauth-scope", "x-aauth-agent", "x_aauth_scope", "signature"} <= set(verdict.removed)
    assert [name for name, _ in verdict.fields] == [hop.HEADER]
    opened = await house.gate.decide(API, Request("GET", "/health", tuple(forged)))
    assert isinstance(opened, Passed) and "x-aauth-scope" in opened.removed
    answer = await ask(house.origin.app, Request("GET", "/health", opened.fields))
    assert json.loads(answer.body)["caller"] is None


async def test_f71_what_no_line_names_is_refused_to_everybody(house: House) -> None:
    """F71: 401 unsigned, 403 signed; a path that is nearly an open one is not one."""
    for path in ("/admin", "/orders/1", "/Health", "/health/", "/"):
        unsigned = await house.decide(None, path)
        assert isinstance(unsigned, Turned) and unsigned.answer.status == 401
        for signer in (house.world.agent(), house.world.person(), house.world.grant("orders.read orders.place")):
            verdict = await house.decide(signer, path)
            assert isinstance(verdict, Turned) and verdict.answer.status == 403


@pytest.mark.parametrize(
    "path",
    [
        "//health",
        "/x/../health",
        "/health/.",
        "/%2e%2e/health",
        "/x/%2E%2E/health",
        "/health;a=b",
        "/x%2Fhealth",
        "/x%2fhealth",
        "/x%5Chealth",
        "/x\\health",
        "/he%61lth",
        "/health%00",
        "/health%0a",
        "/health%",
        "/health%zz",
        "/health%252F",
        "/..;/health",
        "/..",
    ],
)
async def test_a_path_that_two_readers_could_read_in_two_ways_is_refused(house: House, path: str) -> None:
    """At every level, also where a route takes any path."""
    for signer in (None, house.world.agent()):
        verdict = await house.decide(signer, path)
        assert isinstance(verdict, Turned) and verdict.answer.status == 400, path


async def test_f68_a_request_for_another_authority_is_no_other_resources(house: House) -> None:
    """F68: the configured authority decides, whatever Host says."""
    request = house.world.agent().sign("GET", "https://other.example/agents")
    verdict = await house.gate.decide(API, request)
    assert isinstance(verdict, Turned) and verdict.answer.status == 401
    assert "invalid_signature" in (verdict.answer.header("signature-error") or "")
    assert isinstance(await house.gate.decide("https://other.example", request), Passed)


async def test_a_token_for_one_resource_opens_no_other_on_the_same_gateway(house: House) -> None:
    signer = house.world.person(aud="https://other.example")
    verdict = await house.decide(signer, "/me")
    assert isinstance(verdict, Turned) and "invalid_jwt" in (verdict.answer.header("signature-error") or "")


async def test_a_body_that_must_be_signed_is_and_its_digest_travels(house: House) -> None:
    placed = house.world.grant("orders.place")
    said = await house.behind(placed, "/orders", "POST", body=b'{"item": "lamp"}')
    assert (said["body"], said["kind"]) == ('{"item": "lamp"}', "signed")
    uncovered = await house.decide(placed, "/orders", "POST", body=b"{}", drop=["content-digest"])
    assert isinstance(uncovered, Turned) and "invalid_input" in (uncovered.answer.header("signature-error") or "")


# The origin


async def passed(house: House) -> tuple[Request, str]:
    request = house.world.grant("orders.read").sign("GET", f"{API}/orders")
    verdict = await house.gate.decide(API, request)
    assert isinstance(verdict, Passed)
    return request, verdict.fields[0][1]


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        ("GET", "/orders", ()),
        ("GET", "/orders", ((hop.HEADER, "x.y.z"),)),
        ("GET", "/orders?all=1", None),
        ("POST", "/orders", None),
        ("GET", "/orders", "twice"),
    ],
)
async def test_the_origin_serves_nothing_that_went_around_the_gateway(
    house: House, method: str, target: str, fields: Any
) -> None:
    _, token = await passed(house)
    given = ((hop.HEADER, token),) * (2 if fields == "twice" else 1) if fields in (None, "twice") else fields
    answer = await ask(house.origin.app, Request(method, target, given))
    assert answer.status == 403 and house.origin.seen == []


async def test_the_origin_takes_no_other_gateways_word_and_no_late_one(house: House, tmp_path: Path) -> None:
    _, token = await passed(house)
    late = Origin(house.gate, clock=lambda: NOW + hop.LIFETIME + hop.TOLERANCE)
    assert (await ask(late.app, Request("GET", "/orders", ((hop.HEADER, token),)))).status == 403
    other = Origin(house.gate, "https://other.example")
    assert (await ask(other.app, Request("GET", "/orders", ((hop.HEADER, token),)))).status == 403


async def test_a_body_that_was_changed_after_the_check_is_not_served(house: House) -> None:
    request = house.world.grant("orders.place").sign("POST", f"{API}/orders", body=b'{"item": "lamp"}')
    verdict = await house.gate.decide(API, request)
    assert isinstance(verdict, Passed)
    changed = Request("POST", "/orders", verdict.fields, BytesBody(b'{"item": "sofa"}'))
    await ask_quietly(house, changed)
    assert house.origin.seen == []


async def ask_quietly(house: House, request: Request) -> None:
    from tests.plugins.resources import exchange

    await exchange(house.origin.app, request)


# The check over HTTP


async def test_the_http_check_names_a_resource_by_its_prefix(house: House) -> None:
    check = HttpCheck(house.gate)
    signed = house.world.agent().sign("GET", f"{API}/agents")
    answer = await ask(check, Request("GET", "/api/agents", signed.headers))
    assert answer.status == 200 and answer.header(hop.HEADER)
    assert "signature-key" in (answer.header(REMOVE) or "")
    for target in ("/agents", "/nowhere/agents", "/apis/agents", "/api"):
        assert (await ask(check, Request("GET", target, signed.headers))).status == 404
    assert (await ask(check, Request("GET", "/other/agents", signed.headers))).status == 401


async def test_only_200_lets_through(house: House) -> None:
    check = HttpCheck(house.gate)
    unsigned = await ask(check, Request("GET", "/api/agents", ()))
    assert unsigned.status == 401 and unsigned.header(hop.HEADER) is None


async def test_a_signature_over_content_length_is_refused_by_name(house: House) -> None:
    signed = house.world.grant("orders.place").sign(
        "POST",
        f"{API}/orders",
        body=b"{}",
        components=["@method", "@authority", "@path", "signature-key", "content-length", "content-digest"],
    )
    headers = tuple((n, "0" if n == "content-length" else v) for n, v in signed.headers)
    answer = await ask(HttpCheck(house.gate), Request("POST", "/api/orders", headers))
    assert answer.status == 401 and "content-length" in answer.body.decode()


# Rules and the file


def test_f69_two_requires_are_both_needed_and_one_allow_is_not_enough_for_another(tmp_path: Path) -> None:
    """F69: deny wins, then every require, then any allow, else no."""
    from aauthkit.gateway.rules import facts_of, rule_on

    rules = (
        configured(
            tmp_path,
            """
      - {name: a, require: 'agent.provider == "https://agents.example"'}
      - {name: b, require: 'agent.id == "aauth:planner@agents.example"'}
      - {name: c, allow: 'request.path == "/agents"'}
""",
        )
        .resources[0]
        .rules
    )
    world = World()
    from aauthkit.callers import Agent
    from aauthkit.protocol.tokens import AGENT_TYP, AgentToken, read_token

    def judge(name: str, path: str) -> bool:
        token = read_token(world.provider.agent_token(world.key.public, name=name), {AGENT_TYP})
        assert isinstance(token, AgentToken)
        return rule_on(rules, "agent", facts_of(Agent(token), "GET", path, API, path, NOW)).allowed

    assert judge("planner", "/agents")
    assert not judge("writer", "/agents")
    assert not judge("planner", "/me")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("upstream: http://127.0.0.1:8000\n    path_prefix: /api", "path_prefix: /api", 3, "upstream is missing"),
        ("level: agent}", "level: agents}", 17, "one of key, agent, person, grant"),
        ("scope: [orders.read]", "scope: [orders.reed]", 21, "one of orders.read"),
        ("agent.id ==", "agent.idd ==", 35, "undefined field 'idd'"),
        ("agent.id ==", "chain ==", 35, "chain is not there yet"),
        ("open: [GET /health]", "opne: [GET /health]", 14, "there is no 'opne'"),
        ("GET /health", "get /health", 14, "a match is"),
        ("https://api.example", "https://API.example", 3, "lower-case"),
        ("path_prefix: /other", "path_prefix: /api", 2, "the same path_prefix"),
        ("resources:", "resources: [", 1, ""),
    ],
)
def test_each_mistake_in_the_file_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    text = FILE.format(rules=RULES, port=8000, more="")
    assert old in text
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(text.replace(old, new, 1), folder=tmp_path)
    assert said in str(caught.value), caught.value
    assert not said or any(abs(at - line) <= 2 for at, _ in caught.value.mistakes), caught.value.mistakes
