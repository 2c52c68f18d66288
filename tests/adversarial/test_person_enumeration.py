"""Nobody learns from a person server who or what exists: one answer and the same work for absent and foreign (§8.7)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aauthkit.protocol.messages import Answer
from aauthkit.store import Database
from tests.flows.test_missions import approved
from tests.plugins.people import PROVIDER, RESOURCE, AgentParty, Browser, World, error_of

pytestmark = pytest.mark.anyio


class Noting:
    """A database, or one of its transactions, that notes every statement in order."""

    def __init__(self, inner: Any, heard: list[str]) -> None:
        self._inner = inner
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __hash__(self) -> int:
        return hash(self._inner)

    async def fetch_one(self, sql: str, /, **params: Any) -> Any:
        self._heard.append(sql)
        return await self._inner.fetch_one(sql, **params)

    async def fetch_all(self, sql: str, /, **params: Any) -> Any:
        self._heard.append(sql)
        return await self._inner.fetch_all(sql, **params)

    async def execute(self, sql: str, /, **params: Any) -> Any:
        self._heard.append(sql)
        return await self._inner.execute(sql, **params)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        self._heard.append("BEGIN")
        async with self._inner.transaction() as tx:
            yield Noting(tx, self._heard)


@pytest.fixture
async def noted(database: Database) -> AsyncIterator[tuple[World, list[str]]]:
    """A person server whose statements are noted, on each engine in turn."""
    heard: list[str] = []
    world = World(Noting(database, heard))  # type: ignore[arg-type]
    await world.server.start()
    yield world, heard
    await world.close()


def seen(answer: Answer) -> tuple[Any, ...]:
    """An answer but for what differs between any two: the identifier of the refusal, and its length with it."""
    body = re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"urn:uuid", answer.body)
    body = re.sub(rb'data-token="[^"]*"|name="csrf" value="[^"]*"', b"", body)
    return answer.status, [line for line in answer.headers if line[0] != "set-cookie"], body


async def same(
    heard: list[str], first: Callable[[], Awaitable[Answer]], second: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Both are refused alike, in the same words, after the same statements in the same order."""
    heard.clear()
    one = await first()
    of_one = list(heard)
    heard.clear()
    other = await second()
    assert seen(one) == seen(other)
    assert of_one == heard
    return one


async def others(world: World) -> tuple[AgentParty, AgentParty, Browser, str, str]:
    """Ada's agent with a mission and a request that waits, and Bob with an agent of his own, whose browser it is."""
    owner, _, mission = await approved(world, resources=[RESOURCE])
    waiting = await owner.send("POST", "/permission", {"action": "x", "mission_s256": mission["s256"]})
    assert waiting.status == 202
    bob, agent = Browser(world), world.agent("writer")
    answer = await agent.ask_person_token()
    await bob.open_interaction(answer)
    await bob.sign_up("Bob")
    await bob.decide("approved", memory="kept")
    await agent.poll(answer)
    return owner, agent, bob, mission["s256"], waiting.header("location") or ""


async def test_a_mission_that_is_anothers_is_as_one_that_is_not(noted: tuple[World, list[str]]) -> None:
    """PS-86, F59, §8.7: same statements, status, headers and body, at every endpoint."""
    world, heard = noted
    _, agent, _, s256, _ = await others(world)
    unknown = "A" * 43
    for path, sent in (
        ("/mission/{}", {"action": "update", "description": "x"}),
        ("/mission/{}", {"action": "completion", "summary": "x"}),
        ("/person", {"resource": RESOURCE}),
        ("/permission", {"action": "x"}),
        ("/audit", {"action": "x"}),
        ("/interaction", {"type": "question", "question": "x"}),
        ("/interaction", {"type": "interaction", "url": "https://a.example/x"}),
    ):

        async def name(mission: str, path: str = path, sent: dict[str, Any] = sent) -> Answer:
            named = {} if "{}" in path else {"mission_s256": mission}
            return await agent.send("POST", path.format(mission), {**sent, **named})

        answer = await same(heard, lambda name=name: name(s256), lambda name=name: name(unknown))  # type: ignore[misc]
        assert error_of(answer) == (404, "mission_not_found")


async def test_a_request_that_is_anothers_is_as_one_that_is_not(noted: tuple[World, list[str]]) -> None:
    """§13.2: to look at, to answer, and to withdraw."""
    world, heard = noted
    _, agent, _, _, location = await others(world)
    unknown = f"{world.ps_issuer}/pending/{'A' * 32}"
    said = {"action": "clarification_response", "clarification_response": "x"}
    for method, sent in (("GET", None), ("POST", said), ("DELETE", None)):
        answer = await same(
            heard,
            lambda method=method, sent=sent: agent.send(method, location, sent),  # type: ignore[misc]
            lambda method=method, sent=sent: agent.send(method, unknown, sent),  # type: ignore[misc]
        )
        assert error_of(answer) == (404, "not_found")


async def test_a_hint_at_somebody_who_is_here_is_as_one_at_nobody(noted: tuple[World, list[str]]) -> None:
    """F53: neither the answer nor the work says that a person has an account."""
    world, heard = noted
    await Browser(world).sign_up("Ada")
    agents = [world.agent("first"), world.agent("second")]
    for agent in agents:
        await agent.send("POST", "/permission", {"action": "warm up", "capabilities": []})
    codes = []
    for agent, hint in zip(agents, ("Ada", "Nobody"), strict=True):
        heard.clear()
        answer = await agent.ask_person_token(login_hint=hint, tenant=hint, prompt="select_account")
        assert answer.status == 202
        codes.append(list(heard))
    assert codes[0] == codes[1]


async def test_what_is_another_persons_is_as_what_is_not(noted: tuple[World, list[str]]) -> None:
    """F81: missions, agents, decisions and questions on the pages of whoever is signed in."""
    world, heard = noted
    owner, _, bob, s256, _ = await others(world)
    await bob.get("/missions")
    assert bob.page is not None and "Bob" in bob.page.html
    token = bob.page.html.partition('data-token="')[2].partition('"')[0]
    rows = await world.database.fetch_all("SELECT id FROM person_decisions WHERE agent_sub = :sub", sub=owner.sub)
    page = (await world.database.fetch_all("SELECT page FROM questions WHERE agent_sub = :sub", sub=owner.sub))[0]

    async def get(path: str) -> Answer:
        return (await bob.get(path)).answer

    async def post(path: str, *fields: tuple[str, str]) -> Answer:
        return (await bob.post(path, [("csrf", token), *fields])).answer

    for theirs, nobodys in (
        (f"/missions/{s256}", f"/missions/{'A' * 43}"),
        (f"/decide/{page['page']}", f"/decide/{'A' * 22}"),
    ):
        answer = await same(heard, lambda p=theirs: get(p), lambda p=nobodys: get(p))  # type: ignore[misc]
        assert answer.status == 404
    for theirs, nobodys in (
        (f"/missions/{s256}", f"/missions/{'A' * 43}"),
        (f"/allowed/{rows[0]['id']}", "/allowed/x"),
    ):
        answer = await same(heard, lambda p=theirs: post(p), lambda p=nobodys: post(p))  # type: ignore[misc]
        assert answer.status == 404
    for act in ("stop", "start", "release"):
        answer = await same(
            heard,
            lambda act=act: post(f"/agents/{act}", ("provider", PROVIDER), ("agent", owner.sub)),  # type: ignore[misc]
            lambda act=act: post(f"/agents/{act}", ("provider", PROVIDER), ("agent", "aauth:x@y")),  # type: ignore[misc]
        )
        assert answer.status == 404
    assert (await world.server.steward.agents())[1].stopped is None


async def test_a_wrong_password_is_as_an_unknown_name(noted: tuple[World, list[str]]) -> None:
    """§13.13: same page, same statements; the name typed in is all that differs."""
    world, heard = noted
    await Browser(world).sign_up("Adam")

    async def attempt(name: str) -> tuple[list[str], int, str]:
        browser = Browser(world, address="203.0.113.9")
        await browser.get("/signin")
        heard.clear()
        page = await browser.sign_in(name, "not the password at all")
        return list(heard), page.status, page.text.replace(name, "")

    assert await attempt("Adam") == await attempt("Evan")
