"""What an agent does not take from a person server or a resource where missions are concerned (draft-11 §8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aauthkit.agent import (
    Agent,
    AnswerRefused,
    ChallengeRefused,
    Mission,
    MissionNotFound,
    MissionTerminated,
    NoPersonServer,
    NotOffered,
    Permission,
    TokenRefused,
    Unreachable,
)
from aauthkit.agent.background import MAX_JOBS
from aauthkit.callers import Agent as AgentCaller
from aauthkit.protocol.jose import b64url_encode, parse_json
from aauthkit.protocol.missions import mission_s256, write_blob
from tests.plugins.simulators import OpenClient, Parties, json_body, problem
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
PERSON_URL = "https://api.example/person"
RESOURCE = "https://api.example"
AGENT = "aauth:planner@agents.example"
NAMED = ("mission_endpoint", "permission_endpoint", "audit_endpoint", "interaction_endpoint")


def blob_of(**members: Any) -> bytes:
    return write_blob(**{"agent": AGENT, "approved_at": 1.0, "description": "A trip.", **members})


def approval(blob: bytes, **members: Any) -> dict[str, Any]:
    return {"s256": mission_s256(blob), "mission": b64url_encode(blob), **members}


class Approving:
    """A person server that approves every mission with `answer`, and answers the rest as scripted."""

    def __init__(self, parties: Parties, blob: bytes | None = None, **members: Any) -> None:
        self.parties = parties
        self.blob = blob if blob is not None else blob_of()
        self.answer: Callable[[AgentCaller], dict[str, Any]] = lambda _: approval(self.blob, **members)
        self.bodies: list[dict[str, Any]] = []
        for name in NAMED:
            parties.ps.metadata.setdefault(name, f"{parties.ps.iss}/{name}")
        parties.ps.script["/mission_endpoint"] = [self._proposed] * 9

    @property
    def s256(self) -> str:
        return mission_s256(self.blob)

    def script(self, path: str, *replies: Reply) -> None:
        self.parties.ps.script[path] = list(replies)

    def _proposed(self, request: Received) -> Reply:
        caller = self.parties.ps.verify(request)
        assert isinstance(caller, AgentCaller)
        self.bodies.append(parse_json(request.body))
        return json_body(self.answer(caller))

    def token(self, caller: AgentCaller, aud: str = RESOURCE, **claims: Any) -> str:
        now = int(self.parties.clock())
        more = {"exp": min(now + 3600, caller.exp), "sub": "p-1", "mission_s256": self.s256, **claims}
        return self.parties.ps.issuer.person_token(caller.key, aud, now=now, **more)


# The approval


BAD_APPROVALS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "another s256": lambda blob: {**approval(blob), "s256": mission_s256(b"{}")},
    "another blob": lambda blob: {**approval(blob), "mission": b64url_encode(blob + b" ")},
    "no s256": lambda blob: {"mission": b64url_encode(blob)},
    "no mission": lambda blob: {"s256": mission_s256(blob)},
    "padded": lambda blob: {**approval(blob), "mission": b64url_encode(blob) + "=="},
    "the blob as it is": lambda blob: {**approval(blob), "mission": blob.decode()},
    "another agent's": lambda _: approval(blob_of(agent="aauth:writer@agents.example")),
    "no description": lambda _: approval(
        b'{"agent":"aauth:planner@agents.example","approved_at":"2026-04-07T14:30:00Z"}'
    ),
    "no object": lambda _: approval(b"[]"),
    "an s256 that is a path": lambda blob: {**approval(blob), "s256": "../../x"},
}


@pytest.mark.parametrize("wrong", BAD_APPROVALS)
async def test_a_mission_whose_bytes_are_not_what_its_name_says_is_not_used(parties: Parties, wrong: str) -> None:
    """AG-32, §8.2, §8.2.1: verified before first use; nothing of it is kept."""
    approving, agent = Approving(parties), parties.agent()
    approving.answer = lambda _: BAD_APPROVALS[wrong](approving.blob)
    with pytest.raises(AnswerRefused):
        await agent.mission("A trip.")
    assert agent.missions() == []


async def test_what_is_not_known_of_an_approval_is_ignored(parties: Parties) -> None:
    """§8.2, §11.7: further members are part of the digest; capabilities that cannot be sent are left out."""
    blob = blob_of(further={"budget": {"eur": 5}})
    Approving(parties, blob, capabilities=["interaction", "new-thing", "no spaces", 7, "interaction"], extra=1)
    mission = await parties.agent().mission("A trip.")
    assert mission.capabilities == {"interaction", "new-thing"}
    assert mission.limits == {} and mission.blob == blob


async def test_a_proposal_says_what_is_wanted_and_what_the_agent_can_do(parties: Parties) -> None:
    """AG-36, §8.1, §11.7."""
    approving = Approving(parties)
    await parties.agent().mission(
        "A trip.", tools=["Search"], resources=[RESOURCE, RESOURCE], limits={"tokens": 3}, expires=4_000_000_000
    )
    assert approving.bodies == [
        {
            "description": "A trip.",
            "tools": [{"name": "Search"}],
            "resources": [RESOURCE],
            "limits": {"tokens": 3},
            "expires_at": "2096-10-02T07:06:40Z",
            "capabilities": ["interaction"],
        }
    ]


# Person tokens that came along


BAD_TOKENS: dict[str, Callable[[Approving, AgentCaller], str]] = {
    "of another mission": lambda it, caller: it.token(caller, mission_s256=mission_s256(b"{}")),
    "of no mission": lambda it, caller: it.token(caller, mission_s256=None),
    "for another resource": lambda it, caller: it.token(caller, aud="https://other.example"),
    "longer than the agent token": lambda it, caller: it.token(caller, exp=caller.exp + 60),
    "no token": lambda _it, _caller: "x.y.z",
}


@pytest.mark.parametrize("wrong", BAD_TOKENS)
async def test_a_person_token_that_came_along_and_is_not_in_order_is_not_used(parties: Parties, wrong: str) -> None:
    """AG-32, §7.1.2, §8.2: the mission stands; a token is asked for when one is needed."""
    approving = Approving(parties)
    approving.answer = lambda caller: approval(
        approving.blob, person_tokens={RESOURCE: BAD_TOKENS[wrong](approving, caller)}
    )
    mission = await parties.agent().mission("A trip.")
    parties.ps.person_claims["mission_s256"] = mission.s256
    async with mission.client() as http:
        assert (await http.get(PERSON_URL)).status_code == 200
    assert parties.ps.person_requests == 1
    assert parties.ps.bodies[-1][1]["mission_s256"] == mission.s256


async def test_a_person_token_that_came_along_is_presented(parties: Parties) -> None:
    """AG-32, AG-36, §8.2."""
    approving = Approving(parties)
    approving.answer = lambda caller: approval(approving.blob, person_tokens={RESOURCE: approving.token(caller)})
    async with (await parties.agent().mission("A trip.")).client() as http:
        assert (await http.get(PERSON_URL)).status_code == 200
    assert parties.ps.person_requests == 0


# Between tokens


@pytest.mark.parametrize("named", [None, mission_s256(b"{}")], ids=["stripped", "swapped"])
async def test_a_person_token_without_its_mission_or_with_another_is_refused(
    parties: Parties, named: str | None
) -> None:
    """AG-31, §8.3: asked for under a mission."""
    Approving(parties)
    mission = await parties.agent().mission("A trip.")
    parties.ps.person_claims["mission_s256"] = named
    async with mission.client() as http:
        with pytest.raises(TokenRefused, match="mission"):
            await http.get(PERSON_URL)


async def test_a_person_token_with_a_mission_that_nobody_named_is_refused(
    parties: Parties, open_client: OpenClient
) -> None:
    """§8.3: a mission is not invented either."""
    parties.ps.person_claims["mission_s256"] = mission_s256(b"{}")
    with pytest.raises(TokenRefused, match="mission"):
        await open_client(parties.agent()).get(PERSON_URL)


@pytest.mark.parametrize("named", [None, mission_s256(b"{}")], ids=["stripped", "swapped"])
@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_a_resource_that_strips_or_swaps_a_mission_gets_its_token_carried_nowhere(
    parties: Parties, named: str | None, sync: bool
) -> None:
    """AG-31, §6.7.3, §8.3."""
    Approving(parties)
    mission = await parties.agent().mission("A trip.")
    parties.ps.person_claims["mission_s256"] = mission.s256
    parties.resource.resource_claims["mission_s256"] = named
    with pytest.raises(ChallengeRefused, match="mission"):
        await call(mission, sync, ORDERS)
    assert parties.ps.auth_requests == 0


@pytest.mark.parametrize("named", [None, mission_s256(b"{}")], ids=["stripped", "swapped"])
async def test_an_auth_token_of_no_mission_or_another_is_refused(parties: Parties, named: str | None) -> None:
    """AG-31, §8.3, §9.4.4."""
    Approving(parties)
    mission = await parties.agent().mission("A trip.")
    parties.ps.person_claims["mission_s256"] = parties.resource.resource_claims["mission_s256"] = mission.s256
    parties.ps.auth_claims["mission_s256"] = named
    async with mission.client() as http:
        with pytest.raises(TokenRefused, match="mission"):
            await http.get(ORDERS)


async def call(mission: Mission, sync: bool, url: str) -> Any:
    if not sync:
        async with mission.client() as http:
            return await http.get(url)

    def get() -> Any:
        with mission.sync_client() as http:
            return http.get(url)

    return await asyncio.to_thread(get)


# Errors


@pytest.mark.parametrize("reason", ["completed", "revoked", "expired", "superseded", "a_new_one", None])
async def test_mission_terminated_is_an_error_with_its_reason(parties: Parties, reason: str | None) -> None:
    """AG-34, §8.6, §8.8: the list of reasons is open; a new one is kept as it is."""
    approving = Approving(parties)
    mission = await parties.agent().mission("A trip.")
    members = {"mission_status": "terminated", **({"termination_reason": reason} if reason else {})}
    approving.script("/permission_endpoint", problem("mission_terminated", members=members))
    with pytest.raises(MissionTerminated) as over:
        await mission.permission("Book")
    assert (over.value.reason, over.value.status, mission.ended) == (reason or "", 403, reason or "")
    assert ("propose a new one" in str(over.value)) is (reason in ("expired", "superseded"))


@pytest.mark.parametrize("where", ["/person_token_endpoint", "/auth_token_endpoint"])
async def test_a_call_ends_where_its_mission_is_terminated_and_its_tokens_go(parties: Parties, where: str) -> None:
    """AG-34, §8.8: the agent stops acting on this mission, and goes on without it."""
    approving = Approving(parties)
    agent = parties.agent()
    mission = await agent.mission("A trip.")
    parties.ps.person_claims["mission_s256"] = parties.resource.resource_claims["mission_s256"] = mission.s256
    approving.script(where, problem("mission_terminated", members={"termination_reason": "revoked"}))
    async with mission.client() as http:
        for _ in range(2):
            with pytest.raises(MissionTerminated):
                await http.get(ORDERS)
    assert mission.ended == "revoked"
    sent = parties.ps.person_requests + parties.ps.auth_requests
    assert sent == (1 if where == "/person_token_endpoint" else 2)
    parties.ps.person_claims.clear()
    parties.resource.resource_claims.clear()
    async with agent.client() as http:
        assert (await http.get(ORDERS)).status_code == 200


async def test_mission_not_found_is_an_error_of_its_own(parties: Parties) -> None:
    """AG-34, §8.7."""
    approving = Approving(parties)
    mission = await parties.agent().mission("A trip.")
    approving.script(f"/mission_endpoint/{mission.s256}", problem("mission_not_found"))
    with pytest.raises(MissionNotFound):
        await mission.update("More.")
    assert mission.is_active


async def test_an_update_and_a_completion_go_to_the_missions_own_url(parties: Parties) -> None:
    """AG-33, AG-35, §8.4, §8.5: `action` says which; the answer to an update is its digest."""
    approving = Approving(parties)
    mission = await parties.agent().mission("A trip.")
    own, sent = f"/mission_endpoint/{mission.s256}", []

    def takes(request: Received) -> Reply:
        parties.ps.verify(request)
        sent.append(parse_json(request.body))
        return json_body({"s256": mission_s256(b"update")} if len(sent) == 1 else {"status": "completed"})

    parties.ps.script[own] = [takes, takes]
    assert (await mission.update("No hotel.")).s256 == mission_s256(b"update")
    await mission.complete("Booked.")
    assert [one["action"] for one in sent] == ["update", "completion"]
    assert (sent[0]["description"], sent[1]["summary"]) == ("No hotel.", "Booked.")
    assert approving.parties.ps.count("/interaction_endpoint") == 0


async def test_answers_that_say_nothing_are_refused(parties: Parties) -> None:
    """§7.6.2, §7.7.2, §8.4: neither granted nor denied is no permission."""
    approving, agent = Approving(parties), parties.agent()
    mission = await agent.mission("A trip.")
    approving.script("/permission_endpoint", json_body({"permission": "maybe"}), Reply(200, (), b"x"))
    approving.script("/interaction_endpoint", json_body({"said": "Yes."}))
    approving.script(f"/mission_endpoint/{mission.s256}", json_body({"s256": "short"}))
    for asking in (
        agent.permission("Book"),
        agent.permission("Book"),
        agent.ask("Aisle?"),
        mission.update("More."),
    ):
        with pytest.raises(AnswerRefused):
            await asking
    assert mission.updates == ()


async def test_an_immediate_no_to_a_permission_is_a_denial(parties: Parties) -> None:
    """§7.7.2: also where a person server says it with 403; nothing in it looks like a token."""
    approving, agent = Approving(parties), parties.agent()
    approving.script(
        "/permission_endpoint",
        problem("denied", "the person stopped this agent"),
        json_body({"permission": "denied", "reason": "no: aaaaaaaaaaaaaaaa.bbbbb.ccccc"}),
    )
    assert await agent.permission("Book") == Permission("Book", False, "the person stopped this agent")
    assert await agent.permission("Book") == Permission("Book", False, "no: …")


# What a person server does not have


@pytest.mark.parametrize(
    ("endpoint", "asking"),
    [
        ("mission_endpoint", lambda agent: agent.mission("A trip.")),
        ("permission_endpoint", lambda agent: agent.permission("Book")),
        ("interaction_endpoint", lambda agent: agent.ask("Aisle?")),
        ("interaction_endpoint", lambda agent: agent.bring("https://booking.example/x", "A1B2-C3D4")),
    ],
)
async def test_what_a_person_server_does_not_offer_is_named(
    parties: Parties, endpoint: str, asking: Callable[[Agent], Any]
) -> None:
    """§11.2.2: these endpoints are optional; nothing is sent."""
    with pytest.raises(NotOffered, match=endpoint) as missing:
        await asking(parties.agent())
    assert (missing.value.endpoint, missing.value.by) == (endpoint, parties.ps.iss)


async def test_an_agent_that_acts_for_nobody_can_ask_nobody(parties: Parties) -> None:
    """§4.3."""
    parties.provider.ps = None
    agent = parties.agent(person_server=None)
    for asking in (agent.mission("A trip."), agent.permission("Book"), agent.ask("Aisle?")):
        with pytest.raises(NoPersonServer):
            await asking


async def test_a_person_server_that_is_not_there_is_unreachable(parties: Parties) -> None:
    parties.ps.replies[parties.ps.metadata_path] = Reply(500, (), b"")
    with pytest.raises(Unreachable):
        await parties.agent().mission("A trip.")


# Records


async def test_records_that_are_too_many_are_dropped_and_nobody_waits(parties: Parties) -> None:
    """§7.8.2: the queue is bounded; what is in it arrives in order once the server answers."""
    approving = Approving(parties)
    agent = parties.agent()
    mission = await agent.mission("A trip.")
    gate, numbers = asyncio.Event(), []

    def takes(request: Received) -> Reply:
        parties.ps.verify(request)
        body = parse_json(request.body)
        assert body["mission_s256"] == approving.s256
        numbers.append(body["parameters"]["n"])
        return Reply(201, (), b"", gate=gate)

    parties.ps.script["/audit_endpoint"] = [takes] * (MAX_JOBS + 1)
    taken = [agent.audit(mission, "Search", parameters={"n": number}) for number in range(MAX_JOBS + 40)]
    assert not all(taken) and all(taken[:MAX_JOBS])
    gate.set()
    assert await agent.flush(60)
    assert numbers == [number for number, was_taken in enumerate(taken) if was_taken]


async def test_a_record_that_is_not_taken_is_lost_alone(parties: Parties) -> None:
    """§7.8.2: fire-and-forget; the next one is sent."""
    approving = Approving(parties)
    agent = parties.agent()
    mission = await agent.mission("A trip.")
    approving.script("/audit_endpoint", problem("invalid_request"), Reply(201, (), b""))
    assert agent.audit(mission, "Search") and agent.audit(mission, "Read")
    assert await agent.flush()
    assert parties.ps.count("/audit_endpoint") == 2 and mission.is_active
