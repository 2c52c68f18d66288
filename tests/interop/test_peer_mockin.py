"""`@hellocoop/mockin` as the person server of our agents and our resource, as far as its dialect of August goes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from aauthkit.agent import Denied, PendingRefused, RequestRefused, TokenRefused, UserUnreachable
from aauthkit.agent.answering import clarification_response
from aauthkit.agent.caches import Held
from aauthkit.agent.checks import read_auth_token
from aauthkit.outbound import Credential, Pending
from aauthkit.protocol.headers import parse_requirement
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.tokens import (
    AUTH_TYP,
    PERSON_TYP,
    RESOURCE_TYP,
    AuthToken,
    PersonToken,
    ResourceToken,
    read_token,
)
from tests.plugins.node import mockin
from tests.plugins.peers import PeerWorld, said
from tests.plugins.rows import ABSENT, BREAKS, MOCKIN, WORKS, Rows
from tests.plugins.signing import new_key
from tests.plugins.world import API, PS, ByHand, Traveller

pytestmark = pytest.mark.anyio

AGENT = "our agent asks, it answers"
RESOURCE = "it issues, our resource verifies"
CARRIED = "our resource asks, our agent carries, it answers"
SCOPES = "orders.read"


@dataclass
class Place:
    """The world with mockin as `https://ps.example`."""

    world: PeerWorld
    browser: httpx2.AsyncClient

    async def knob(self, **settings: Any) -> None:
        """Turn one of its own knobs."""
        assert (await self.browser.put(f"{PS}/mock/aauth", json=settings)).status_code == 200

    async def by_hand(self, key: SigningKey | None = None, name: str = "planner") -> ByHand:
        """An agent whose requests are made one by one."""
        await self.world.admit(name)
        return await self.world.by_hand(name, key)

    async def person_token(self, agent: ByHand) -> PersonToken:
        answer = await agent.send("POST", f"{PS}/aauth/token/person", {"resource": API})
        token = read_token(said(answer)["person_token"], {PERSON_TYP})
        assert isinstance(token, PersonToken)
        return token

    def resource_token(self, person: PersonToken, key: SigningKey) -> str:
        """One as our resource makes it, that names the presented token in the words of August too."""
        return self.world.issuer(API).resource_token(
            aud=PS,
            sub=person.sub,
            presented_jti=person.jti,
            person_token_jti=person.jti,
            agent_jkt=key.kid,
            scope=SCOPES,
            now=int(time.time()),
        )

    async def redeem(self, agent: ByHand, resource_token: str, person: PersonToken) -> Answer:
        body = {"resource_token": resource_token, "presented_token": person.raw}
        return await agent.send("POST", f"{PS}/aauth/token/auth", body)


@asynccontextmanager
async def with_mockin(world: PeerWorld) -> AsyncIterator[Place]:
    """Ours steps aside for it."""
    async with mockin(world.authority, world.egress.names, PS) as port:
        world.name("ps.example", port)
        async with httpx2.AsyncClient(transport=world.egress.async_transport()) as browser:
            yield Place(world, browser)


@pytest.fixture
async def place(peer_world: PeerWorld) -> AsyncIterator[Place]:
    async with with_mockin(peer_world) as place:
        yield place


# What it issues.


async def test_a_person_token_of_its_is_got_by_our_agent_and_served_by_our_resource(place: Place, rows: Rows) -> None:
    """§7.1, §7.1.4: metadata and keys are found, the request is verified, the token too, on both sides."""
    planner = await place.world.enrol("planner")
    answer = await planner.get("/me")
    assert answer.status == 200
    (claims,) = planner.obtained(PERSON_TYP)
    assert answer.json() == {"for": claims["sub"]}
    rows.add(MOCKIN, AGENT, "metadata and keys", WORKS)
    rows.add(MOCKIN, AGENT, "a person token (§7.1)", WORKS)
    rows.add(MOCKIN, RESOURCE, "a person token (§7.1.4)", WORKS)


async def test_it_wants_another_claim_of_our_resource_token_and_so_gives_no_auth_token(
    place: Place, rows: Rows
) -> None:
    """§6.7.1 names the presented token `presented_jti`, and §7.2.1 has it sent along: it knows neither."""
    planner = await place.world.enrol("planner")
    with pytest.raises(RequestRefused) as refused:
        await planner.get("/orders")
    assert (refused.value.status, refused.value.code) == (400, "invalid_resource_token")
    assert refused.value.detail == "resource_token missing person_token_jti"
    rows.add(MOCKIN, CARRIED, "an auth token", BREAKS, "wants `person_token_jti` in place of `presented_jti`: §6.7.1")


async def test_an_auth_token_of_its_is_served_by_our_resource(place: Place, rows: Rows) -> None:
    """For a resource token that also speaks as it does: what it issues then is in order, and opens the route."""
    key = new_key()
    agent = await place.by_hand(key)
    person = await place.person_token(agent)
    await place.knob(token_lifetime=600)
    answer = await place.redeem(agent, place.resource_token(person, key), person)
    raw = said(answer)["auth_token"]
    token = read_token(raw, {AUTH_TYP})
    assert isinstance(token, AuthToken) and (token.sub, token.scope) == (person.sub, frozenset({SCOPES}))
    called = await place.world.outbound().call("GET", f"{API}/orders", Credential.from_token(key, raw))
    assert said(called) == {"for": person.sub, "may": [SCOPES]}
    rows.add(MOCKIN, AGENT, "an auth token, where the resource token has `person_token_jti` besides", WORKS)
    rows.add(MOCKIN, RESOURCE, "an auth token (§9.4.3)", WORKS)


async def test_its_auth_tokens_outlive_what_was_presented(place: Place, rows: Rows) -> None:
    """§9.4.1: no auth token outlives the presented token. Our agent does not use one that does."""
    key = new_key()
    agent = await place.by_hand(key)
    await place.knob(token_lifetime=300)
    person = await place.person_token(agent)
    await place.knob(token_lifetime=3600)
    resource_token = place.resource_token(person, key)
    raw = said(await place.redeem(agent, resource_token, person))["auth_token"]
    assert read_token(raw, {AUTH_TYP}).exp > person.exp + 3000
    asked = read_token(resource_token, {RESOURCE_TYP})
    assert isinstance(asked, ResourceToken)
    with pytest.raises(TokenRefused, match="outlives the presented token"):
        read_auth_token(raw, resource_token=asked, held=Held.of(person, key), now=time.time(), loopback=NO_LOOPBACK)
    rows.add(
        MOCKIN,
        AGENT,
        "the lifetime of an auth token",
        BREAKS,
        "longer than the presented token's, and our agent uses none such: §9.4.1",
    )


async def test_any_mission_is_stamped(place: Place, rows: Rows) -> None:
    """§7.1: a mission must exist, be active and be this agent's. It looks none up."""
    agent = await place.by_hand()
    unknown = "A" * 43
    answer = await agent.send("POST", f"{PS}/aauth/token/person", {"resource": API, "mission_s256": unknown})
    token = read_token(said(answer)["person_token"], {PERSON_TYP})
    assert isinstance(token, PersonToken) and token.mission_s256 == unknown
    rows.add(MOCKIN, AGENT, "a person token within a mission", BREAKS, "stamps any `mission_s256`, unseen: §7.1")


async def test_a_subject_differs_from_resource_to_resource(place: Place, rows: Rows) -> None:
    """§14.1."""
    agent = await place.by_hand()
    subjects = set()
    for resource in (API, "https://other.example"):
        answer = await agent.send("POST", f"{PS}/aauth/token/person", {"resource": resource})
        token = read_token(said(answer)["person_token"], {PERSON_TYP})
        assert isinstance(token, PersonToken) and token.aud == resource
        subjects.add(token.sub)
    assert len(subjects) == 2
    rows.add(MOCKIN, AGENT, "a directed `sub` for each resource (§14.1)", WORKS)


# Where it waits.


async def _asked(place: Place, planner: Traveller) -> bool:
    """One call that waits for a person: whether the agent brought them there, or found the code out of form."""
    call = planner.get("/me")
    try:
        errand = await planner.errand()
    except PendingRefused as refused:
        assert "other symbols" in str(refused)
        return False
    page = await place.browser.get(errand.url_with_code)
    assert page.status_code == 200 and (await call).status == 200
    return True


async def test_an_interaction_is_followed_where_its_code_is_in_form(place: Place, rows: Rows) -> None:
    """§11.6.3, §11.6.3.1: codes are of Crockford's alphabet. Of its, two in three are not, and are refused."""
    await place.knob(person_requirement="interaction", auto_approve=False)
    met: list[bool] = []
    while set(met) != {True, False}:
        assert len(met) < 25, "one in three is in form"
        # A person token is kept by the agent, and no other is asked for: so a new agent after each.
        name = f"planner{met.count(True)}"
        known = met and not met[-1]
        met.append(await _asked(place, place.world.restarted(name) if known else await place.world.enrol(name)))
    rows.add(MOCKIN, AGENT, "a person token after an interaction (§11.6.3)", WORKS)
    rows.add(MOCKIN, AGENT, "interaction codes", BREAKS, "of 62 symbols, `I`, `L`, `O`, `U` among them: §11.6.3.1")


async def test_whoever_opens_the_page_has_approved(place: Place, rows: Rows) -> None:
    """§13.13, §11.6.3.1: the code alone decides nothing, and is good once. With it, both are otherwise."""
    agent = await place.by_hand()
    await place.knob(person_requirement="interaction", auto_approve=False)
    waiting = await agent.send("POST", f"{PS}/aauth/token/person", {"resource": API})
    requirement = parse_requirement(waiting.values("aauth-requirement"))
    assert requirement is not None
    link = f"{requirement.text('url')}?code={requirement.text('code')}"
    assert [(await place.browser.get(link)).status_code for _ in range(2)] == [200, 200]
    polled = await agent.send("GET", str(waiting.header("location")))
    assert polled.status == 200
    rows.add(MOCKIN, AGENT, "who decides", BREAKS, "whoever has the code, without a sign-in: §13.13, §11.6.3.1")
    rows.add(MOCKIN, AGENT, "a code that was used", BREAKS, "is taken again: §11.6.3.1")


async def test_an_approval_is_waited_for(place: Place, rows: Rows) -> None:
    """§11.6.2: nothing to do but to poll."""
    await place.knob(person_requirement="approval")
    planner = await place.world.enrol("planner")
    assert (await planner.get("/me")).status == 200 and planner.opened == 0
    rows.add(MOCKIN, AGENT, "a person token after an approval out of band (§11.6)", WORKS)


async def test_a_question_is_answered(place: Place, rows: Rows) -> None:
    """§7.5.2: clarification at the auth token endpoint."""
    key = new_key()
    agent = await place.by_hand(key)
    person = await place.person_token(agent)
    await place.knob(requirement="clarification", clarification="Which orders?", token_lifetime=600)
    first = await place.redeem(agent, place.resource_token(person, key), person)
    asked: list[str] = []

    async def answering(pending: Pending) -> None:
        if not asked:
            asked.append(str(pending.body["clarification"]))
            body = dict(clarification_response("Those of this year."))
            assert (await agent.send("POST", pending.location, body)).status == 202

    answer = await agent.outbound.follow(first, f"{PS}/", agent.credential, on_pending=answering, wait=0)
    assert asked == ["Which orders?"] and "auth_token" in said(answer)
    rows.add(MOCKIN, AGENT, "a person's question, and its answer (§7.5.2)", WORKS)


async def test_a_poll_is_answered_to_any_agent_and_forgotten(place: Place, rows: Rows) -> None:
    """§13.2: the agent's identity is verified on every poll, and a pending URL that ended says 410."""
    planner = await place.by_hand()
    other = await place.by_hand(name="stranger")
    await place.knob(person_requirement="approval")
    waiting = await planner.send("POST", f"{PS}/aauth/token/person", {"resource": API})
    location = str(waiting.header("location"))
    stolen = await other.send("GET", location)
    assert (stolen.status, "person_token" in said(stolen)) == (200, True)
    assert (await planner.send("GET", location)).status == 404
    rows.add(MOCKIN, AGENT, "whose poll it is", BREAKS, "gives the token to any agent that polls: §13.2")
    rows.add(MOCKIN, AGENT, "a poll after the end", BREAKS, "404 in place of 410: §13.2")


async def test_a_request_is_withdrawn(place: Place, rows: Rows) -> None:
    """§7.5.2.3."""
    agent = await place.by_hand()
    await place.knob(person_requirement="approval")
    waiting = await agent.send("POST", f"{PS}/aauth/token/person", {"resource": API})
    location = str(waiting.header("location"))
    assert (await agent.send("DELETE", location)).status == 204
    assert (await agent.send("GET", location)).status == 410
    rows.add(MOCKIN, AGENT, "a request that is withdrawn (§7.5.2.3)", WORKS)


# What it refuses.


async def test_its_refusals_of_signatures_name_no_code_in_the_header(place: Place, rows: Rows) -> None:
    """§11.9.1: Signature-Error is the machine-readable carrier. It is missing, and the body's codes are its own."""
    unsigned = await place.browser.post(f"{PS}/aauth/token/person", json={"resource": API})
    assert (unsigned.status_code, unsigned.json()["error"]) == (401, "signature_required")
    assert "signature-error" not in unsigned.headers
    assert unsigned.headers["accept-signature-scheme"] == "jwt"
    agent = await place.by_hand()
    forged = Credential(new_key(), agent.credential.signature_key)
    answer = await agent.outbound.call("POST", f"{PS}/aauth/token/person", forged, json_body={"resource": API})
    assert (answer.status, said(answer)["error"]) == (401, "signature_verification_failed")
    assert answer.header("signature-error") is None
    rows.add(MOCKIN, AGENT, "a request without a signature", BREAKS, "401 without `Signature-Error`: §11.9.1")
    rows.add(MOCKIN, AGENT, "a signature by another key", BREAKS, "401 without `Signature-Error`: §11.9.1")


ERRORS = {
    "denied": (403, Denied),
    "user_unreachable": (403, UserUnreachable),
    "server_error": (500, RequestRefused),
    "invalid_request": (400, RequestRefused),
}


async def test_its_errors_are_told_apart(place: Place, rows: Rows) -> None:
    """§11.9.2 to §11.9.4: problem details, whose `error` our agent goes by."""
    planner = await place.world.enrol("planner")
    for code, (status, kind) in ERRORS.items():
        await place.knob(error=code, error_endpoint="person")
        with pytest.raises(kind) as refused:
            await planner.get("/me")
        assert (refused.value.status, refused.value.code) == (status, code)
    rows.add(MOCKIN, AGENT, f"the errors {', '.join(f'`{code}`' for code in ERRORS)} (§11.9.3)", WORKS)


async def test_an_agent_that_cannot_bring_its_person_is_told_so(place: Place, rows: Rows) -> None:
    """§11.9.3, §7.1: a client without a way to the person declares no `interaction`."""
    await place.knob(person_requirement="interaction", auto_approve=False)
    planner = await place.world.enrol("planner", person=None, answer=lambda _question: "later")
    with pytest.raises(UserUnreachable):
        await planner.get("/me")
    rows.add(MOCKIN, AGENT, "`capabilities` without `interaction` (§7.1)", WORKS)


# Its other endpoints.


async def test_permission_is_granted_or_denied(place: Place, rows: Rows) -> None:
    """§7.7."""
    agent = await place.by_hand()
    asking = {"action": "SendEmail", "description": "Tell Ada"}
    assert said(await agent.send("POST", f"{PS}/aauth/permission", asking)) == {"permission": "granted"}
    await place.knob(permission="denied", permission_reason="No.")
    denied = said(await agent.send("POST", f"{PS}/aauth/permission", asking))
    assert denied == {"permission": "denied", "reason": "No."}
    rows.add(MOCKIN, AGENT, "permission for an action (§7.7)", WORKS)


async def test_an_audit_record_wants_a_mission_of_the_older_form(place: Place, rows: Rows) -> None:
    """§7.8.1: `mission_s256`. It wants an object `mission`."""
    agent = await place.by_hand()
    record = {"action": "WebSearch", "mission_s256": "A" * 43}
    refused = await agent.send("POST", f"{PS}/aauth/audit", record)
    assert (refused.status, said(refused)["detail"]) == (400, "missing mission")
    older = {"action": "WebSearch", "mission": {"s256": "A" * 43, "approver": PS}}
    assert (await agent.send("POST", f"{PS}/aauth/audit", older)).status == 201
    rows.add(MOCKIN, AGENT, "an audit record", BREAKS, "wants an object `mission` in place of `mission_s256`: §7.8.1")


async def test_a_question_to_the_person_and_an_interaction_are_relayed(place: Place, rows: Rows) -> None:
    """§7.6."""
    agent = await place.by_hand()
    question = await agent.send("POST", f"{PS}/aauth/interaction", {"type": "question", "question": "Refundable?"})
    assert isinstance(said(question)["answer"], str)
    relayed = {"type": "interaction", "url": "https://booking.example/confirm", "code": "X7K2-M9P4"}
    answer = await agent.send("POST", f"{PS}/aauth/interaction", relayed)
    ended = await agent.outbound.follow(answer, f"{PS}/", agent.credential, wait=0)
    assert (answer.status, ended.status) == (202, 200)
    rows.add(MOCKIN, AGENT, "a question to the person (§7.6)", WORKS)
    rows.add(MOCKIN, AGENT, "an interaction to relay (§7.6)", WORKS)


async def test_what_it_does_not_serve(place: Place, rows: Rows) -> None:
    """Neither missions nor revocation."""
    metadata = (await place.browser.get(f"{PS}/.well-known/aauth-person.json")).json()
    assert not {"mission_endpoint", "revocation_endpoint"} & set(metadata)
    rows.add(MOCKIN, AGENT, "missions (§8)", ABSENT)
    rows.add(MOCKIN, AGENT, "revocation (§11.12)", ABSENT)
