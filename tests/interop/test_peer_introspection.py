"""`introspection-aauth`: its person server with our agents and resource, its access server with our person server."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from introspection_aauth.access_server import AccessServer, Verdict
from introspection_aauth.access_server import MemoryStore as AccessStore
from introspection_aauth.fastapi import access_server_router, person_server_router
from introspection_aauth.person_server import ApprovalStatus, MemoryStore, PersonServer
from introspection_aauth.protocol import SigningKey as TheirKey
from introspection_aauth.protocol.httpsig import jwt_key, sign

from aauthkit.agent import RequestRefused
from aauthkit.callers import Server
from aauthkit.outbound import Credential, Pending
from aauthkit.protocol.headers import parse_requirement
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.signature_key import hwk_header
from aauthkit.protocol.tokens import AUTH_TYP, PERSON_DWK, PERSON_TYP, AuthToken, PersonToken, read_token
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
from tests.plugins.peers import PeerWorld, open_peer_world, said
from tests.plugins.rows import ABSENT, BREAKS, INTROSPECTION, REFUSED, WORKS, Rows
from tests.plugins.signing import Issuer, new_key
from tests.plugins.tls import Authority
from tests.plugins.world import API, ELSEWHERE, OTHER, PROVIDER, PS, ByHand, World

pytestmark = pytest.mark.anyio

AGENT = "our agent asks, its person server answers"
RESOURCE = "its person server issues, our resource verifies"
CARRIED = "our resource asks, our agent carries, its person server answers"
IT_SIGNS = "it signs, our resource verifies"
ACCESS = "our person server asks, its access server answers"
TENANT = "acme"
SEED = hashlib.sha256(b"the key of the peer").digest()
PLAN = "# Orders\n\nLook after the orders of this year."


@dataclass
class Deciding:
    """The person at its person server, and what they were asked; their answer comes at the agent's first poll."""

    ps: PersonServer
    says: ApprovalStatus = ApprovalStatus.APPROVED
    seen: set[str] = field(default_factory=set)

    @property
    def asked(self) -> list[str]:
        """What waits for them, as its store has it."""
        assert isinstance(self.ps.store, MemoryStore)
        return [name for _, name in self.ps.store.approvals if name not in self.seen]

    async def at_a_poll(self, _pending: Pending) -> None:
        for name in self.asked:
            self.seen.add(name)
            await self.ps.decide(TENANT, name, self.says, decided_by="ada")


@dataclass
class Place:
    """The world with the peer as `https://ps.example`."""

    world: PeerWorld
    ps: PersonServer
    person: Deciding

    async def by_hand(self, key: SigningKey | None = None) -> ByHand:
        """An agent whose requests are made one by one."""
        await self.world.admit("planner")
        return await self.world.by_hand("planner", key)

    async def decided(self, agent: ByHand, url: str, body: dict[str, Any]) -> Answer:
        """The answer to a request that its person decides, as the agent gets it in the end."""
        answer = await agent.send("POST", url, body)
        assert answer.status == 202, answer.body
        requirement = parse_requirement(answer.values("aauth-requirement"))
        assert requirement is not None and requirement.value == "approval"
        return await agent.outbound.follow(answer, url, agent.credential, on_pending=self.person.at_a_poll, wait=0)

    async def mission(self, agent: ByHand) -> dict[str, Any]:
        """A mission with our resource in it, approved."""
        body = {"description": PLAN, "resources": [API], "login_hint": "ada"}
        return said(await self.decided(agent, f"{PS}/mission", body))

    async def challenge(self, key: SigningKey, presented: str) -> str:
        """The resource token that our resource asks for more with."""
        answer = await self.called(key, presented)
        requirement = parse_requirement(answer.values("aauth-requirement"))
        assert requirement is not None and requirement.value == "auth-token", answer
        return requirement.text("resource-token")

    async def called(self, key: SigningKey, token: str, path: str = "/orders") -> Answer:
        """Our resource, called with this token."""
        return await self.world.outbound().call("GET", API + path, Credential.from_token(key, token))


def people_api(world: World) -> FastAPI:
    """The usual API, and a route for person servers."""
    resource = Resource(OTHER, person_servers=[PS], agent_providers=[PROVIDER], egress=world.egress)
    app = FastAPI()
    install(app, resource)
    by_server = protect(resource.server(PERSON_DWK))

    @app.get("/proposal")
    async def proposal(caller: Server = by_server) -> dict[str, str]:
        return {"server": caller.iss}

    return app


@pytest.fixture
async def place(authority: Authority, tmp_path: Path) -> AsyncIterator[Place]:
    made: list[PersonServer] = []

    def person_server(world: PeerWorld) -> FastAPI:
        ps = PersonServer(
            PS,
            TheirKey.from_seed(SEED),
            MemoryStore(),
            subject_secret=b"a secret of the test",
            agent_providers=[PROVIDER],
            http=httpx2.AsyncClient(transport=world.egress.async_transport()),
            default_tenant=TENANT,
            retry_after=0,
        )
        made.append(ps)
        app = FastAPI()
        app.include_router(person_server_router(ps))
        return app

    async with open_peer_world(authority, tmp_path, person_server) as world:
        yield Place(world, made[0], Deciding(made[0]))
        await made[0].http.aclose()


def person_token(raw: str) -> PersonToken:
    token = read_token(raw, {PERSON_TYP})
    assert isinstance(token, PersonToken)
    return token


# Who the person is.


async def test_a_person_token_is_got_by_our_agent_and_served_by_our_resource(place: Place, rows: Rows) -> None:
    """§7.1, §7.1.4; the operator of the peer has bound the agent's key to its person before."""
    planner = await place.world.enrol("planner")
    await place.ps.store.insert_binding(TENANT, planner.agent.thumbprint, "ada")
    answer = await planner.get("/me")
    (claims,) = planner.obtained(PERSON_TYP)
    assert (answer.status, answer.json()) == (200, {"for": claims["sub"]}) and claims["tenant"] == TENANT
    rows.add(INTROSPECTION, AGENT, "metadata and keys", WORKS)
    rows.add(INTROSPECTION, AGENT, "a person token for a key that its operator has bound (§7.1)", WORKS)
    rows.add(INTROSPECTION, RESOURCE, "a person token, with its `tenant` (§7.1.4)", WORKS)


async def test_an_agent_that_names_nobody_is_turned_away(place: Place, rows: Rows) -> None:
    """§7.1, §13.14: the hint is optional, and a server that must ask the person does so (202)."""
    planner = await place.world.enrol("planner")
    with pytest.raises(RequestRefused) as refused:
        await planner.get("/me")
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")
    assert refused.value.detail == "name the person: login_hint"
    rows.add(INTROSPECTION, AGENT, "first contact", BREAKS, "400 without `login_hint`, nobody is asked: §7.1, §13.14")


async def test_a_hint_alone_makes_the_person(place: Place, rows: Rows) -> None:
    """F53; §13.8, §13.14: a hint chooses nothing. Here it binds the key at once, and nobody is asked."""
    key = new_key()
    agent = await place.by_hand(key)
    answer = await agent.send("POST", f"{PS}/person-token", {"resource": API, "login_hint": "eve@acme.example"})
    assert answer.status == 200 and not place.person.asked
    assert (await place.called(key, said(answer)["person_token"], "/me")).status == 200
    rows.add(INTROSPECTION, AGENT, "`login_hint`", BREAKS, "believed unasked at first contact: §13.8, §13.14")


# Missions, and what they open.


async def test_without_a_mission_there_is_no_auth_token(place: Place, rows: Rows) -> None:
    """F54; §7.2, §8: missions are optional, and the code is none of §11.9.3."""
    planner = await place.world.enrol("planner")
    await place.ps.store.insert_binding(TENANT, planner.agent.thumbprint, "ada")
    with pytest.raises(RequestRefused) as refused:
        await planner.get("/orders")
    assert (refused.value.status, refused.value.code) == (403, "access_denied")
    remark = "403 `access_denied`, a code that §11.9.3 does not have; missions are optional: §8"
    rows.add(INTROSPECTION, CARRIED, "an auth token without a mission", BREAKS, remark)


async def test_a_mission_is_proposed_approved_and_read(place: Place, rows: Rows) -> None:
    """§8.1, §8.2: 202 until the person has decided, then the blob, its hash, and a person token for each resource."""
    key = new_key()
    found = await place.mission(await place.by_hand(key))
    blob = base64.urlsafe_b64decode(found["mission"] + "=" * (-len(found["mission"]) % 4))
    assert found["s256"] == base64.urlsafe_b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    members = json.loads(blob)
    assert (members["agent"], members["description"]) == ("aauth:planner@agents.example", PLAN)
    assert members["approved_resources"] == [API] and {"approved_at", "expires_at"} <= set(members)
    token = person_token(found["person_tokens"][API])
    assert token.mission_s256 == found["s256"]
    assert (await place.called(key, token.raw, "/me")).status == 200
    rows.add(INTROSPECTION, AGENT, "a mission (§8.1, §8.2)", WORKS)
    rows.add(INTROSPECTION, RESOURCE, "a person token within a mission", WORKS)


async def test_within_a_mission_the_whole_of_three_parties_works(place: Place, rows: Rows) -> None:
    """§6.5, §7.2, §9.4.3: our resource's token carries mission and tenant, theirs comes back with both."""
    key = new_key()
    agent = await place.by_hand(key)
    mission = await place.mission(agent)
    presented = mission["person_tokens"][API]
    body = {"resource_token": await place.challenge(key, presented), "presented_token": presented}
    answer = await agent.send("POST", f"{PS}/token", body)
    token = read_token(said(answer)["auth_token"], {AUTH_TYP})
    assert isinstance(token, AuthToken)
    assert (token.mission_s256, token.tenant) == (mission["s256"], TENANT)
    called = await place.called(key, token.raw)
    assert said(called)["for"] == person_token(presented).sub
    rows.add(INTROSPECTION, CARRIED, "an auth token within a mission (§7.2)", WORKS)
    rows.add(INTROSPECTION, RESOURCE, "an auth token within a mission (§9.4.3)", WORKS)


async def test_a_token_for_another_key_is_refused(place: Place, rows: Rows) -> None:
    """§6.7.2 step 2: our resource's token, carried by another agent than it was made for."""
    key = new_key()
    mission = await place.mission(await place.by_hand(key))
    presented = mission["person_tokens"][API]
    resource_token = await place.challenge(key, presented)
    thief = await place.world.by_hand("planner", new_key())
    answer = await thief.send("POST", f"{PS}/token", {"resource_token": resource_token, "presented_token": presented})
    assert (answer.status, said(answer)["error"]) == (400, "invalid_resource_token")
    rows.add(INTROSPECTION, CARRIED, "a resource token for another key", REFUSED, "`invalid_resource_token`, §6.7.2")


async def test_an_auth_token_outlives_what_was_presented(place: Place, rows: Rows) -> None:
    """§9.4.1: where the agent token lives longer than the presented one, its auth token does too."""
    key, now = new_key(), int(time.time())
    long = place.world.issuer(PROVIDER).agent_token(key.public, now=now, exp=now + 7200, ps=PS)
    agent = ByHand(Credential.from_token(key, long), place.world.outbound())
    mission = await place.mission(agent)
    presented = person_token(mission["person_tokens"][API])
    resource_token = await place.challenge(key, presented.raw)
    place.ps.clock = lambda: int(time.time()) + 40
    body = {"resource_token": resource_token, "presented_token": presented.raw}
    token = read_token(said(await agent.send("POST", f"{PS}/token", body))["auth_token"], {AUTH_TYP})
    assert token.exp > presented.exp
    rows.add(INTROSPECTION, AGENT, "the lifetime of an auth token", BREAKS, "longer than the presented token's: §9.4.1")


async def test_a_mission_goes_on_and_ends(place: Place, rows: Rows) -> None:
    """§8.4, §8.5, §8.8."""
    key = new_key()
    agent = await place.by_hand(key)
    mission = await place.mission(agent)
    url = f"{PS}/mission/{mission['s256']}"
    update = said(await agent.send("POST", url, {"action": "update", "description": "# Those of May too"}))
    assert set(update) == {"s256"}
    ended = await place.decided(agent, url, {"action": "completion", "summary": "All looked after."})
    assert ended.status == 200
    after = await agent.send("POST", f"{PS}/person-token", {"resource": API, "mission_s256": mission["s256"]})
    assert (after.status, said(after)["error"]) == (403, "mission_terminated")
    assert "mission_status" not in said(after)
    rows.add(INTROSPECTION, AGENT, "an update and the completion of a mission (§8.4, §8.5)", WORKS)
    rows.add(INTROSPECTION, AGENT, "a mission that has ended", BREAKS, "the error lacks `mission_status`: §8.8")


async def test_a_denial_is_told_once(place: Place, rows: Rows) -> None:
    """§11.9.4, §13.2."""
    place.person.says = ApprovalStatus.DENIED
    agent = await place.by_hand()
    body = {"description": PLAN, "login_hint": "ada"}
    first = await agent.send("POST", f"{PS}/mission", body)
    location = str(first.header("location"))
    denied = await agent.outbound.follow(
        first, f"{PS}/mission", agent.credential, on_pending=place.person.at_a_poll, wait=0
    )
    assert (denied.status, said(denied)["error"]) == (403, "denied")
    assert (await agent.send("GET", location)).status == 410
    rows.add(INTROSPECTION, AGENT, "a denial, and the pending URL after it (§11.9.4, §13.2)", WORKS)


async def test_a_poll_by_another_agent_finds_nothing(place: Place, rows: Rows) -> None:
    """§13.2."""
    agent = await place.by_hand()
    first = await agent.send("POST", f"{PS}/mission", {"description": PLAN, "login_hint": "ada"})
    other = await place.world.by_hand("planner", new_key())
    assert (await other.send("GET", str(first.header("location")))).status == 404
    rows.add(INTROSPECTION, AGENT, "a poll under another key", REFUSED, "404, §13.2")


# Signatures.


async def test_its_refusals_of_signatures_name_no_code_in_the_header(place: Place, rows: Rows) -> None:
    """§11.9.1: Signature-Error is the machine-readable carrier. The body alone says it."""
    key = new_key()
    bare = Credential(key, hwk_header(key.public))
    refused = await place.world.outbound().call("POST", f"{PS}/person-token", bare, json_body={"resource": API})
    assert (refused.status, said(refused)["error"]) == (401, "unsupported_scheme")
    assert (refused.header("accept-signature-scheme"), refused.header("signature-error")) == ("jwt", None)
    agent = await place.by_hand()
    forged = Credential(new_key(), agent.credential.signature_key)
    refused = await agent.outbound.call("POST", f"{PS}/person-token", forged, json_body={"resource": API})
    assert (refused.status, said(refused)["error"]) == (401, "invalid_signature")
    assert refused.header("signature-error") is None
    rows.add(INTROSPECTION, AGENT, "a scheme without a place", BREAKS, "401 without `Signature-Error`: §11.9.1")
    rows.add(INTROSPECTION, AGENT, "a signature by another key", BREAKS, "401 without `Signature-Error`: §11.9.1")


async def test_its_signer_is_understood_by_our_resource(place: Place, rows: Rows) -> None:
    """As an agent with a query and with a body, and in its person server's own name (§11.3.2)."""
    await place.world.serve(OTHER, people_api(place.world))
    mine, now = TheirKey.generate(), int(time.time())
    cnf = {"jwk": mine.public_jwk.model_dump(exclude_none=True, include={"kty", "crv", "x", "alg"})}
    agent = place.world.issuer(PROVIDER).agent_token(new_key().public, now=now, ps=PS, cnf=cnf)
    grant = Issuer(PS, SigningKey("Ed25519", SEED)).auth_token(
        new_key().public, API, "orders.place", now=now, cnf=cnf, tenant=TENANT
    )
    asked, ordered, body = f"{API}/agent?page=2", f"{API}/orders", json.dumps({"item": "lamp"}).encode()
    theirs = {
        ("GET", asked, b""): sign(mine, jwt_key(agent), "GET", asked, created=now),
        ("POST", ordered, body): sign(mine, jwt_key(grant), "POST", ordered, body=body, created=now),
        ("GET", f"{OTHER}/proposal", b""): place.ps.identity.signed("GET", f"{OTHER}/proposal", None, now),
    }
    async with httpx2.AsyncClient(transport=place.world.egress.async_transport()) as client:
        answers = [
            await client.request(method, url, headers=headers, content=content)
            for (method, url, content), headers in theirs.items()
        ]
    assert [answer.status_code for answer in answers] == [200, 201, 200], [answer.text for answer in answers]
    rows.add(INTROSPECTION, IT_SIGNS, "GET with a query, scheme `jwt`, an agent token", WORKS)
    rows.add(INTROSPECTION, IT_SIGNS, "POST with a body and its digest, scheme `jwt`, an auth token", WORKS)
    rows.add(INTROSPECTION, IT_SIGNS, "GET, scheme `jwks_uri`, its person server", WORKS)


# Its access server.


@asynccontextmanager
async def with_access_server(
    authority: Authority, folder: Path, verdict: Verdict
) -> AsyncIterator[tuple[PeerWorld, AccessServer]]:
    """All of it ours, and its access server, whose policy says `verdict`."""
    async with open_peer_world(authority, folder) as world:
        access = AccessServer(
            ELSEWHERE,
            TheirKey.generate(),
            lambda request: verdict,
            resources=[API],
            person_servers=[PS],
            agent_providers=[PROVIDER],
            http=httpx2.AsyncClient(transport=world.egress.async_transport()),
            retry_after=0,
        )
        app = FastAPI()
        app.include_router(access_server_router(access))
        await world.serve(ELSEWHERE, app)
        yield world, access
        await access.http.aclose()


async def test_its_access_server_waits_for_somebody(authority: Authority, tmp_path: Path, rows: Rows) -> None:
    """§11.8: 202 to our person server, which polls with its own key."""
    async with with_access_server(authority, tmp_path, Verdict.approval()) as (world, access):
        first, person = await _federated(world)
        own = Credential.from_server(world.issuer(PS).key, PS, PERSON_DWK)

        async def decides(_pending: Pending) -> None:
            assert isinstance(access.store, AccessStore)
            for name, record in list(access.store.requests.items()):
                if record.status == "pending":
                    await access.decide(name, approved=True, decided_by="an owner")

        answer = await world.outbound().follow(first, f"{ELSEWHERE}/token", own, on_pending=decides, wait=0)
        assert first.status == 202 and read_token(said(answer)["auth_token"], {AUTH_TYP}).sub == person.sub
    rows.add(INTROSPECTION, ACCESS, "an auth token that waits for somebody (§9.1.2, §11.8)", WORKS)


async def test_its_access_server_takes_the_request_of_our_person_server(
    authority: Authority, tmp_path: Path, rows: Rows
) -> None:
    """§9.1.1: signed with `jwks_uri` by the key that our person server publishes, with three tokens of ours."""
    async with with_access_server(authority, tmp_path, Verdict.allow()) as (world, _):
        answer, person = await _federated(world)
        token = read_token(said(answer)["auth_token"], {AUTH_TYP})
        assert isinstance(token, AuthToken)
        assert (token.iss, token.ps, token.sub, token.aud) == (ELSEWHERE, PS, person.sub, API)
        assert token.exp <= person.exp
    rows.add(INTROSPECTION, ACCESS, "an auth token, by the three tokens and `jwks_uri` (§9.1.1)", WORKS)


async def _federated(world: PeerWorld) -> tuple[Answer, PersonToken]:
    """The request of our person server to the access server, as §9.1.1 has it."""
    key, now = new_key(), int(time.time())
    person = person_token(world.issuer(PS).person_token(key.public, API, now=now))
    resource_token = world.issuer(API).resource_token(
        aud=ELSEWHERE, ps=PS, sub=person.sub, presented_jti=person.jti, agent_jkt=key.kid, now=now
    )
    body = {
        "resource_token": resource_token,
        "agent_token": world.issuer(PROVIDER).agent_token(key.public, now=now, ps=PS),
        "presented_token": person.raw,
    }
    own = Credential.from_server(world.issuer(PS).key, PS, PERSON_DWK)
    return await world.outbound().call("POST", f"{ELSEWHERE}/token", own, json_body=body), person


async def test_what_it_does_not_serve(place: Place, rows: Rows) -> None:
    """Of the optional endpoints, missions alone; revocation is recommended."""
    document = place.ps.metadata().model_dump()
    assert not {"revocation_endpoint", "interaction_endpoint", "permission_endpoint", "audit_endpoint"} & set(document)
    rows.add(INTROSPECTION, AGENT, "interaction, permission and audit (§7.6 to §7.8)", ABSENT)
    rows.add(INTROSPECTION, AGENT, "clarification and step-up (§7.5, §6.5)", ABSENT, "by its own README")
    rows.add(INTROSPECTION, AGENT, "revocation (§11.12)", ABSENT)
