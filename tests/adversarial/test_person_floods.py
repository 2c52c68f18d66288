"""Too much of anything is refused and leaves nothing behind: revocations, bodies, fields (draft-11 §13.3)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aauthkit.person import Terms
from aauthkit.revocation import RevocationLimits
from aauthkit.serving import MAX_BODY
from aauthkit.store import Database
from tests.flows.test_missions import approved, propose
from tests.plugins.people import PROVIDER, RESOURCE, AgentParty, Browser, World, body, error_of
from tests.plugins.signing import Issuer, Signer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def small(database: Database) -> AsyncIterator[World]:
    """A person server that holds few revocations of one issuer."""
    limits = RevocationLimits(entries_per_issuer=50, entries=10_000, per_minute=1_000_000)
    world = World(database, terms=Terms(revocations=limits))
    await world.server.start()
    yield world
    await world.close()


async def revoke(world: World, issuer: Issuer, jti: str, exp: int, dwk: str = "aauth-agent.json") -> Any:
    content = json.dumps({"jti": jti, "exp": exp}).encode()
    url = f"{world.ps_issuer}/revoke"
    return await world.server.answer(Signer.server(issuer, dwk).sign("POST", url, body=content, now=int(world.clock())))


async def test_revocations_without_number_are_held_back(small: World) -> None:
    """§11.12.3: so many entries of one issuer, then 429 with Retry-After; nothing grows, and others are heard."""
    agent = small.agent()
    exp = int(small.clock()) + 3600
    statuses = [(await revoke(small, small.provider, f"t-{n}", exp)).status for n in range(60)]
    assert statuses == [200] * 50 + [429] * 10
    refused = await revoke(small, small.provider, "t-60", exp)
    assert error_of(refused) == (429, "rate_limited") and int(refused.header("retry-after")) > 0
    assert (await revoke(small, small.provider, "t-7", exp)).status == 200  # which is known
    rows = await small.database.fetch_all("SELECT jti FROM revoked_tokens")
    assert len(rows) == 50
    assert (await revoke(small, small.resource, "r-1", exp, "aauth-resource.json")).status == 200
    assert (await agent.ask_person_token()).status == 202


async def test_a_revocation_with_a_far_end_takes_no_room(small: World) -> None:
    """§11.12.1: beyond the longest lifetime of any token it is refused, so that every entry goes by itself."""
    far = int(small.clock()) + 10 * 365 * 86400
    for exp in (far, 2**62, 10**30):
        assert error_of(await revoke(small, small.provider, "t", exp)) == (400, "invalid_request")
    assert await small.database.fetch_all("SELECT jti FROM revoked_tokens") == []


async def test_a_revocation_by_another_issuer_is_of_its_own_tokens(small: World) -> None:
    """§11.12.1: the same `jti` from another party that is heard here ends nothing of this one's."""
    agent, _, token = await small.introduced()
    jti = json.loads(json.dumps((await small.server.steward.issued())[0].agent_jti))
    exp = int(small.clock()) + 3600
    assert (await revoke(small, small.resource, jti, exp, "aauth-resource.json")).status == 200
    stranger = Issuer("https://evil.example")
    small.network.publish(stranger, "aauth-agent.json")
    assert error_of(await revoke(small, stranger, jti, exp)) == (403, "unsupported_iss")
    assert (await agent.ask_auth_token(agent.challenged(token), token)).status == 202


LONG = "x" * 17_000
DEEP: Any = 0
for _ in range(200):
    DEEP = [DEEP]

OVERSIZED: list[tuple[str, dict[str, Any]]] = [
    ("/mission", {"description": LONG}),
    ("/mission", {"description": "x", "tools": [{"name": f"t{n}"} for n in range(65)]}),
    ("/mission", {"description": "x", "tools": [{"name": "t" * 129}]}),
    ("/mission", {"description": "x", "tools": [{"name": "t", "description": "x" * 1025}]}),
    ("/mission", {"description": "x", "resources": [f"https://r{n}.example" for n in range(65)]}),
    ("/mission", {"description": "x", "limits": {"tokens": 10**9}}),
    ("/mission", {"description": "x", "limits": {"amounts": {f"a{n}": {"each": 1} for n in range(9)}}}),
    ("/mission", {"description": "x", "limits": {"amounts": {"a": {"each": 1e300}}}}),
    ("/mission", {"description": "x", "limits": {"tools": ["t"] * 65}}),
    ("/mission", {"description": "x", "justification": "x" * 4097}),
    ("/permission", {"action": "x" * 257}),
    ("/permission", {"action": "x", "description": "x" * 4097}),
    ("/permission", {"action": "x", "parameters": {"a": "x" * 8192}}),
    ("/permission", {"action": "x", "parameters": {"a": DEEP}}),
    ("/permission", {"action": "x", "capabilities": ["c"] * 33}),
    ("/permission", {"action": "x", "capabilities": ["c" * 65]}),
    ("/interaction", {"type": "question", "question": "x" * 4097}),
    ("/interaction", {"type": "interaction", "url": "https://a.example/" + "x" * 2048}),
    ("/interaction", {"type": "interaction", "url": "https://a.example/x", "code": "A" * 65}),
    ("/interaction", {"type": "interaction", "url": "https://a.example/x", "max_wait": 10**12}),
    ("/interaction", {"type": "interaction", "url": "https://a.example/x", "max_wait": -1}),
    ("/person", {"resource": "https://" + "r" * 3000 + ".example"}),
    ("/person", {"resource": RESOURCE, "login_hint": "x" * 513}),
    ("/person", {"resource": RESOURCE, "device": "x" * 65}),
    ("/token", {"resource_token": "x" * 20_000, "presented_token": "x"}),
]


@pytest.mark.parametrize(("path", "sent"), OVERSIZED, ids=[f"{path[1:]}-{n}" for n, (path, _) in enumerate(OVERSIZED)])
async def test_what_is_too_large_is_invalid_and_kept_nowhere(quick_world: World, path: str, sent: Any) -> None:
    """§13.3: 400 `invalid_request`, and nobody is asked about it."""
    answer = await quick_world.agent().send("POST", path, sent)
    assert error_of(answer) == (400, "invalid_request"), answer.body
    assert await quick_world.database.fetch_all("SELECT pending FROM questions") == []


async def test_whatever_is_approved_can_be_read_again(quick_world: World) -> None:
    """§8.2: a proposal whose blob would be too long is refused when it comes, and so is a person's longer one."""
    wide = "\U0001f5fe" * 5000
    agent, browser = quick_world.agent(), Browser(quick_world)
    tools = [{"name": f"t{n}", "description": "x" * 800} for n in range(64)]
    refused = await agent.send("POST", "/mission", {"description": "x", "tools": tools})
    assert error_of(refused) == (400, "invalid_request")
    tools = [{"name": f"t{n}", "description": "x" * 700} for n in range(64)]
    answer = await propose(agent, description="x" * 900, tools=tools)
    await browser.open_interaction(answer)
    await browser.sign_up()
    page = await browser.submit("/decide/", "approved", description=wide)
    assert page.status == 400
    await browser.get(page.url)
    await browser.submit("/decide/", "approved")
    assert (await agent.poll(answer)).status == 200
    for strange in ("\u202e", " ", "\x01"):
        answer = await propose(agent, description=strange)
        await browser.open_next()
        await browser.submit("/decide/", "approved")
        assert (await agent.poll(answer)).status == 200, repr(strange)


async def test_audit_records_are_bounded_each_and_together(quick_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """§7.8: a log that is full takes no more, and the mission can still be ended."""
    from aauthkit.person import missions

    agent, _, mission = await approved(quick_world)
    named = {"mission_s256": mission["s256"]}
    for sent in ({"action": "x" * 257}, {"action": "x", "result": {"a": "x" * 8192}}, {"action": "x", "result": []}):
        assert error_of(await agent.send("POST", "/audit", {**sent, **named})) == (400, "invalid_request")
    monkeypatch.setattr(missions, "MAX_LOG", 5)
    statuses = [(await agent.send("POST", "/audit", {"action": "x", **named})).status for _ in range(6)]
    assert statuses == [201] * 4 + [429] * 2
    person = (await quick_world.server.steward.agents())[0].person
    await quick_world.server.steward.end_mission(person, mission["s256"])
    assert error_of(await agent.send("POST", "/audit", {"action": "x", **named})) == (403, "mission_terminated")


@pytest.mark.parametrize("path", ["/person", "/token", "/mission", "/permission", "/audit", "/interaction", "/revoke"])
async def test_a_body_beyond_the_bound_is_413_or_refused_unread(quick_world: World, path: str) -> None:
    """§13.3: at every endpoint that takes one."""
    agent = quick_world.agent()
    answer = await agent.send("POST", path, {"description": "x" * MAX_BODY})
    assert answer.status in (401, 413)


STRANGE: list[Any] = [
    "\ud800",
    "a\0b",
    {"a": "\udfff"},
    {"a\0": 1},
    1e308,
    float(10**15),
    -(10**30),
    True,
    None,
    [],
    {"__proto__": {}},
    "\u202e\u2066evil",
]


@pytest.mark.parametrize("value", STRANGE, ids=[repr(one)[:20] for one in STRANGE])
@pytest.mark.parametrize("engine_path", ["/mission", "/permission", "/audit", "/interaction"])
async def test_strange_values_are_never_a_fault(world: World, engine_path: str, value: Any) -> None:
    """F91, §13.3: lone surrogates, zeros, numbers without measure: an answer of ours, on each engine."""
    agent = await bound(world)
    mission = await running(world, agent)
    named = {"mission_s256": mission}
    members = {
        "/mission": ("description", "tools", "resources", "limits", "expires_at", "justification"),
        "/permission": ("action", "description", "parameters"),
        "/audit": ("action", "description", "parameters", "result"),
        "/interaction": ("question", "description", "url", "code", "max_wait", "type"),
    }[engine_path]
    base: dict[str, dict[str, Any]] = {
        "/mission": {"description": "x"},
        "/permission": {"action": "x", **named},
        "/audit": {"action": "x", **named},
        "/interaction": {"type": "question", "question": "x", **named},
    }
    for member in members:
        sent = {**base[engine_path], member: value}
        answer = await agent.send("POST", engine_path, sent)
        assert answer.status in (200, 201, 202, 400, 403, 429), (member, answer.body)
        if answer.status == 202:
            await agent.send("DELETE", answer.header("location") or "")


async def bound(world: World) -> AgentParty:
    await Browser(world).sign_up()
    agent = world.agent()
    await world.server.steward.bind(PROVIDER, agent.sub, (await world.server.accounts.list())[0].id)
    return agent


async def running(world: World, agent: AgentParty) -> str:
    from aauthkit.person.rules import read_rules

    rule = '[[rule]]\nname = "all"\nkinds = ["mission", "permission"]\nthen = "may decide"\n'
    await world.server.steward.set_rules(read_rules(rule))
    s256: str = body(await agent.send("POST", "/mission", {"description": "x"}))["s256"]
    return s256
