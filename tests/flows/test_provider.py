"""Enrolment and refresh as an honest agent sees them, on both stores (draft-11 §5; docs/enrollment.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aauthkit.callers import Agent
from aauthkit.discovery import Discovery
from aauthkit.egress import Http
from aauthkit.enrollment import EnrollmentRefused, enroll, refresh, withdraw
from aauthkit.outbound import Outbound, Pending
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.tokens import AGENT_TYP
from aauthkit.provider import AgentProvider, Evidence, EvidenceRefused, Verdict
from aauthkit.store import Database, open_database
from aauthkit.trust import ANY, Trust
from aauthkit.verification import Accepts, Verifier
from tests.plugins.enrolling import (
    PERSON_SERVER,
    PROVIDER,
    Applicant,
    body_of,
    error_of,
    serving,
    start_provider,
    token_of,
)
from tests.plugins.hosting import host
from tests.plugins.signing import NOW, Signer, new_key
from tests.plugins.tls import Clock, Internet

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def provider(database: Database, clock: Clock) -> AsyncIterator[AgentProvider]:
    async with serving(database, clock) as provider:
        yield provider


@pytest.fixture
def planner(provider: AgentProvider, clock: Clock) -> Applicant:
    return Applicant(provider, clock)


# Enrolment.


async def test_an_agent_waits_for_approval_and_gets_its_token(provider: AgentProvider, planner: Applicant) -> None:
    """draft-11 §5.1, §5.3.1, §11.8."""
    pending = await planner.ask(ps=PERSON_SERVER, platform="desktop", device="Chrome on macOS")
    assert pending.status == 202
    assert pending.header("aauth-requirement") == "requirement=approval"
    assert body_of(pending) == {"status": "pending"}
    assert (await planner.poll(pending)).status == 202

    (request,) = await provider.pending()
    assert (request.name, request.thumbprint, request.ps) == ("planner", planner.durable.kid, PERSON_SERVER)
    assert (request.platform, request.device, request.evidence) == ("desktop", "Chrome on macOS", "person")
    approved = await provider.approve("planner")
    assert (approved.name, approved.state) == ("planner", "active")

    answer = await planner.poll(pending)
    token = token_of(answer)
    assert body_of(answer)["agent"] == token.sub == "aauth:planner@agents.example"
    assert body_of(answer)["expires_in"] == token.exp - token.iat == 3600
    assert body_of(answer)["ps"] == token.ps == PERSON_SERVER
    assert token.iss == PROVIDER
    assert token.cnf.same_key(planner.key.public)
    assert token.parent_agent is None
    assert error_of(await planner.poll(pending)) == (410, "gone")


async def test_a_token_is_accepted_by_whoever_trusts_the_provider(provider: AgentProvider, planner: Applicant) -> None:
    token = await planner.enrolled()
    discovery = Discovery(Http())
    discovery.serve_locally(PROVIDER, "aauth-agent.json", lambda: {"keys": [provider._keys.current.public.jwk]})
    trust = Trust(agent_providers={PROVIDER})
    verifier = Verifier("https://api.example", discovery=discovery, trust=trust, clock=planner.clock)
    request = Signer.token(planner.key, token.raw).sign("GET", "https://api.example/orders")
    accepts = Accepts(("jwt",), frozenset({AGENT_TYP}))
    verified = await verifier.verify(request.as_signed("https://api.example"), accepts)
    assert isinstance(verified.caller, Agent)
    assert verified.caller.sub == "aauth:planner@agents.example"


async def test_every_token_issued_is_on_record(provider: AgentProvider, planner: Applicant, clock: Clock) -> None:
    first = await planner.enrolled()
    clock.advance(60)
    second = token_of(await planner.refresh(new_key()))
    issued = await provider.issued("planner")
    assert [(one.jti, one.jkt, one.exp) for one in issued] == [
        (token.jti, token.cnf.thumbprint, token.exp) for token in (second, first)
    ]
    clock.advance(3600 - 60)
    assert [one.jti for one in await provider.issued("planner")] == [second.jti]


async def test_a_declined_agent_is_told_once_and_may_ask_again(provider: AgentProvider, planner: Applicant) -> None:
    pending = await planner.ask()
    declined = await provider.deny("planner")
    assert declined.thumbprint == planner.durable.kid
    assert error_of(await planner.poll(pending)) == (403, "denied")
    assert error_of(await planner.poll(pending)) == (410, "gone")
    assert await provider.agents() == []
    assert (await planner.ask()).status == 202


async def test_nobody_decides_for_an_hour_and_the_request_expires(
    provider: AgentProvider, planner: Applicant, clock: Clock
) -> None:
    pending = await planner.ask()
    clock.advance(3600)
    assert await provider.pending() == []
    assert error_of(await planner.poll(pending)) == (408, "expired")
    assert error_of(await planner.poll(pending)) == (410, "gone")
    assert (await planner.ask()).status == 202


async def test_what_was_approved_in_time_is_fetched_later(
    provider: AgentProvider, planner: Applicant, clock: Clock
) -> None:
    pending = await planner.ask()
    await provider.approve("planner")
    clock.advance(5 * 3600)
    assert token_of(await planner.poll(pending)).exp == clock.now + 3600


async def test_an_agent_takes_its_request_back(provider: AgentProvider, planner: Applicant) -> None:
    pending = await planner.ask()
    location = str(pending.header("location"))
    answer = await planner.send(planner.signed("DELETE", location.removeprefix(PROVIDER)))
    assert answer.status == 204
    assert await provider.pending() == []
    assert error_of(await planner.poll(pending)) == (410, "gone")


async def test_a_repeated_ask_joins_the_one_that_is_pending(provider: AgentProvider, planner: Applicant) -> None:
    """A lost 202 is answered again, and the token is for the key that was named last."""
    first = await planner.ask()
    planner.key = new_key()
    second = await planner.ask()
    assert second.header("location") == first.header("location")
    assert len(await provider.pending()) == 1
    await provider.approve("planner")
    assert token_of(await planner.poll(first)).cnf.same_key(planner.key.public)


@pytest.mark.parametrize("change", [{"ps": PERSON_SERVER}, {"name": "scout"}, {"device": "Pixel 8 (App)"}])
async def test_an_ask_with_other_terms_replaces_the_one_that_is_pending(
    provider: AgentProvider, planner: Applicant, change: dict[str, str]
) -> None:
    """What a person looked at is never changed under their eyes: its id is gone."""
    first = await planner.ask()
    (seen,) = await provider.pending()
    second = await planner.ask(**change)
    (request,) = await provider.pending()
    assert request.id != seen.id
    with pytest.raises(Exception, match="no enrolment named"):
        await provider.approve(seen.id)
    assert error_of(await planner.poll(first)) == (410, "gone")
    await provider.approve(request.id)
    assert token_of(await planner.poll(second)).sub.startswith(f"aauth:{change.get('name', 'planner')}@")


async def test_an_enrolled_agent_that_asks_again_gets_a_token_at_once(
    provider: AgentProvider, planner: Applicant
) -> None:
    """A lost 200, or a lost ephemeral key: the durable key joins its own agent again."""
    before = await planner.enrolled(ps=PERSON_SERVER)
    planner.key = new_key()
    after = token_of(await planner.ask())
    assert (after.sub, after.ps) == (before.sub, before.ps)
    assert after.cnf.same_key(planner.key.public)
    assert len(await provider.agents()) == 1


async def test_of_several_keys_that_ask_for_a_name_one_is_chosen_by_its_id(
    provider: AgentProvider, planner: Applicant, clock: Clock
) -> None:
    """Asking reserves nothing; a decision by an ambiguous name is refused."""
    other = Applicant(provider, clock)
    pending, late = await planner.ask(), await other.ask()
    with pytest.raises(Exception, match="several durable keys"):
        await provider.approve("planner")
    (wanted,) = [one for one in await provider.pending() if one.thumbprint == planner.durable.kid]
    await provider.approve(wanted.id)
    assert token_of(await planner.poll(pending)).sub == "aauth:planner@agents.example"
    assert error_of(await other.poll(late)) == (409, "name_taken")
    assert await provider.pending() == []


async def test_an_agent_without_a_person_server_has_no_ps(planner: Applicant) -> None:
    assert (await planner.enrolled()).ps is None


async def test_names_are_compared_exactly(planner: Applicant, provider: AgentProvider, clock: Clock) -> None:
    """draft-11 §5.2: case-sensitive."""
    await planner.enrolled()
    other = Applicant(provider, clock, name="Planner")
    assert (await other.enrolled()).sub == "aauth:Planner@agents.example"


# Waiting.


async def test_a_held_poll_is_answered_when_another_process_approves(
    database_url: str, provider: AgentProvider, planner: Applicant, clock: Clock
) -> None:
    pending = await planner.ask()
    held = asyncio.create_task(planner.poll(pending, headers=[("prefer", "wait=30")]))
    await asyncio.sleep(0.05)
    beside = await open_database(database_url)
    try:
        async with serving(beside, clock) as elsewhere:
            await elsewhere.approve("planner")
        answer = await asyncio.wait_for(held, 20)
    finally:
        await beside.close()
    assert token_of(answer).sub == "aauth:planner@agents.example"


async def test_f85_pending_decided_and_enrolled_survive_a_restart_and_another_worker(
    database_url: str, clock: Clock
) -> None:
    """F85."""
    first = await open_database(database_url)
    one = await start_provider(first, clock)
    planner, scout = Applicant(one, clock), Applicant(one, clock, name="scout")
    nonce = await scout.nonce()
    pending = await planner.ask(ps=PERSON_SERVER)
    await one.close()
    await first.close()

    second, third = await open_database(database_url), await open_database(database_url)
    async with serving(second, clock) as two, serving(third, clock) as three:
        assert [request.name for request in await two.pending()] == ["planner"]
        await two.approve("planner")
        token = token_of(await planner.at(three).poll(pending))
        assert token.ps == PERSON_SERVER
        assert error_of(await planner.at(two).poll(pending)) == (410, "gone")
        assert [issued.jti for issued in await two.issued("planner")] == [token.jti]
        await two.end("planner")
        assert error_of(await planner.at(three).refresh()) == (403, "access_denied")
        assert (await scout.at(three).ask(nonce=nonce)).status == 202
        assert error_of(await scout.at(two).ask(nonce=nonce)) == (400, "invalid_request")
    await second.close()
    await third.close()


async def test_two_providers_share_a_database_and_nothing_else(database: Database, clock: Clock) -> None:
    async with serving(database, clock) as one, serving(database, clock, issuer="https://bots.example") as two:
        planner = Applicant(one, clock)
        await planner.enrolled()
        same_name = Applicant(two, clock, iss="https://bots.example", durable=planner.durable)
        pending = await same_name.ask()
        assert [request.name for request in await two.pending()] == ["planner"]
        assert await one.pending() == []
        assert pending.status == 202


# Refresh.


async def test_a_refresh_keeps_the_identifier_and_may_keep_the_key(planner: Applicant, clock: Clock) -> None:
    """bootstrap, Two-Key Refresh; draft-11 §5.2: stable across key rotations."""
    first = await planner.enrolled(ps=PERSON_SERVER)
    clock.advance(3000)
    same = token_of(await planner.refresh())
    other = new_key()
    new = token_of(await planner.refresh(other))
    assert first.sub == same.sub == new.sub
    assert first.ps == same.ps == new.ps == PERSON_SERVER
    assert same.cnf.same_key(planner.key.public)
    assert new.cnf.same_key(other.public)
    assert len({first.jti, same.jti, new.jti}) == 3
    assert new.exp == clock.now + 3600


async def test_an_approved_agent_may_refresh_without_ever_fetching_its_first_token(
    provider: AgentProvider, planner: Applicant
) -> None:
    await planner.ask()
    await provider.approve("planner")
    assert token_of(await planner.refresh()).sub == "aauth:planner@agents.example"


@pytest.mark.parametrize(("durable", "key"), [("ES256", "Ed25519"), ("Ed25519", "ES256"), ("ES256", "ES256")])
async def test_either_key_may_be_of_either_algorithm(
    provider: AgentProvider, clock: Clock, durable: str, key: str
) -> None:
    """draft-11 §11.3.1; Signature-Keys §3.5: an enclave's key is often ES256."""
    planner = Applicant(provider, clock, durable=new_key(durable), key=new_key(key))  # type: ignore[arg-type]
    await planner.enrolled()
    assert token_of(await planner.refresh()).cnf.same_key(planner.key.public)


async def test_lifetimes_are_as_configured(database: Database, clock: Clock) -> None:
    async with serving(database, clock, token_lifetime=900, request_lifetime=60) as provider:
        planner = Applicant(provider, clock)
        token = await planner.enrolled()
        assert token.exp - token.iat == 900
        late = Applicant(provider, clock, name="late")
        pending = await late.ask()
        clock.advance(60)
        assert error_of(await late.poll(pending)) == (408, "expired")


# The slot for evidence.


async def ticket(evidence: Evidence) -> Verdict:
    """Admits who brings this ticket, made for this key and nonce."""
    if evidence.members.get("ticket") != f"{evidence.durable.thumbprint}/{evidence.nonce}":
        raise EvidenceRefused("no ticket for this key and nonce")
    return "admitted"


async def test_evidence_that_admits_an_agent_needs_no_person(database: Database, clock: Clock) -> None:
    async with serving(database, clock, evidence={"ticket": ticket}) as provider:
        planner = Applicant(provider, clock)
        nonce = await planner.nonce()
        shown = {"type": "ticket", "ticket": f"{planner.durable.kid}/{nonce}"}
        token = token_of(await planner.ask(nonce=nonce, evidence=shown))
        assert token.sub == "aauth:planner@agents.example"
        (agent,) = await provider.agents()
        assert agent.evidence == "ticket"
        refused = await Applicant(provider, clock, name="scout").ask(evidence=shown)
        assert error_of(refused) == (403, "access_denied")
        answer = await Applicant(provider, clock, name="scout").ask()
        assert error_of(answer) == (400, "invalid_request")
        assert body_of(answer)["detail"].endswith("the types served are ticket")


async def test_evidence_that_admits_settles_what_was_pending_under_the_name(database: Database, clock: Clock) -> None:
    async def badge(_evidence: Evidence) -> Verdict:
        return "admitted"

    async def nothing(_evidence: Evidence) -> Verdict:
        return "needs_person"

    async with serving(database, clock, evidence={"badge": badge, "person": nothing}) as provider:
        planner, other = Applicant(provider, clock), Applicant(provider, clock)
        mine, others = await planner.ask(), await other.ask()
        token_of(await planner.ask(evidence={"type": "badge"}))
        assert token_of(await planner.poll(mine)).sub == "aauth:planner@agents.example"
        assert error_of(await other.poll(others)) == (409, "name_taken")


# Ending.


async def test_an_ended_agent_gets_no_token_and_its_approval_is_void(
    provider: AgentProvider, planner: Applicant, clock: Clock
) -> None:
    """draft-11 §5.1: refusing fresh tokens is how a provider decides."""
    pending = await planner.ask()
    await provider.approve("planner")
    ended = await provider.end("planner")
    assert (ended.state, ended.changed) == ("ended", clock.now)
    for answer in (await planner.poll(pending), await planner.refresh(), await planner.ask()):
        assert error_of(answer) == (403, "access_denied")
    assert (await provider.end("planner")).state == "ended"


async def test_an_agent_whose_person_server_is_no_longer_admitted_gets_no_token(
    database: Database, clock: Clock
) -> None:
    allowed = {PERSON_SERVER}
    async with serving(database, clock, person_servers=allowed.__contains__) as provider:
        planner = Applicant(provider, clock)
        await planner.enrolled(ps=PERSON_SERVER)
        allowed.clear()
        assert error_of(await planner.refresh()) == (403, "access_denied")


# Both sides over TLS.


async def at_once(_seconds: float) -> None:
    """A pause that takes no time."""


async def test_the_client_enrols_and_refreshes_over_tls(
    database: Database, internet: Internet, discover: object, clock: Clock
) -> None:
    seen: list[Pending] = []
    async with serving(database, clock) as provider:
        await host(internet, "agents.example", provider)
        discovery: Discovery = discover()  # type: ignore[operator]
        async with Http(internet.egress()) as http:
            outbound = Outbound(http, clock=clock, sleep=at_once)
            durable, key = new_key(), new_key()

            async def on_pending(pending: Pending) -> None:
                seen.append(pending)
                if len(seen) == 1:
                    await provider.approve("planner")

            enrolled = await enroll(
                outbound,
                discovery,
                PROVIDER,
                durable,
                key,
                name="planner",
                ps=PERSON_SERVER,
                platform="desktop",
                device="Laptop",
                on_pending=on_pending,
                clock=clock,
            )
            again = await enroll(outbound, discovery, PROVIDER, durable, key, name="planner", clock=clock)
            other = new_key()
            refreshed = await refresh(
                outbound, discovery, PROVIDER, durable, other, agent=enrolled.agent, ps=enrolled.ps, clock=clock
            )
    assert [pending.requirement.value for pending in seen if pending.requirement] == ["approval"]
    assert enrolled.agent == again.agent == refreshed.agent == "aauth:planner@agents.example"
    assert enrolled.ps == again.ps == refreshed.ps == PERSON_SERVER
    assert refreshed.token.cnf.same_key(other.public)
    assert (refreshed.provider, refreshed.exp) == (PROVIDER, clock.now + 3600)
    assert enrolled.agent_token not in repr(enrolled)


async def test_the_client_takes_its_request_back_and_reads_refusals(
    database: Database, internet: Internet, discover: object, clock: Clock
) -> None:
    async with serving(database, clock) as provider:
        await host(internet, "agents.example", provider)
        discovery: Discovery = discover()  # type: ignore[operator]
        async with Http(internet.egress()) as http:
            outbound = Outbound(http, clock=clock, sleep=at_once)
            durable = new_key()

            async def on_pending(pending: Pending) -> None:
                await withdraw(outbound, pending.location, durable)
                await withdraw(outbound, pending.location, durable)

            with pytest.raises(EnrollmentRefused) as gone:
                await enroll(
                    outbound, discovery, PROVIDER, durable, new_key(), name="a", on_pending=on_pending, clock=clock
                )
            assert (gone.value.status, gone.value.code) == (410, "gone")
            await Applicant(provider, clock).enrolled()
            with pytest.raises(EnrollmentRefused, match="choose another name") as taken:
                await enroll(outbound, discovery, PROVIDER, durable, new_key(), name="planner", clock=clock)
            assert (taken.value.status, taken.value.code) == (409, "name_taken")
            with pytest.raises(EnrollmentRefused) as unknown:
                await refresh(
                    outbound,
                    discovery,
                    PROVIDER,
                    durable,
                    new_key(),
                    agent="aauth:a@agents.example",
                    ps=None,
                    clock=clock,
                )
            assert (unknown.value.status, unknown.value.code) == (403, "access_denied")


async def test_the_loopback_profile_is_served_under_its_own_origin(database: Database, clock: Clock) -> None:
    """The domain of an agent is the host without its port (draft-11 §5.2)."""
    origin = "http://agents.localhost:8702"
    loopback = LoopbackProfile(frozenset({origin}))
    async with serving(database, clock, issuer=origin, loopback=loopback, person_servers=ANY) as provider:
        planner = Applicant(provider, clock, iss=origin)
        pending = await planner.ask()
        assert str(pending.header("location")).startswith(f"{origin}/enrollment/pending/")
        await provider.approve("planner")
        answer = await planner.poll(pending)
        assert body_of(answer)["agent"] == "aauth:planner@agents.localhost"
