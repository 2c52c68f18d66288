"""Who must not become an agent, or another one, on both stores (draft-11 §5; docs/enrollment.md)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aauthkit.protocol.jose import sign_jwt
from aauthkit.protocol.signature_key import JKT_PREFIX, JKT_TYP, hwk_header
from aauthkit.provider import AdministrationError, AgentProvider, Limits
from aauthkit.store import Database
from tests.plugins.enrolling import (
    PERSON_SERVER,
    Applicant,
    error_of,
    on_record,
    serving,
    signature_error,
    target_of,
    token_of,
)
from tests.plugins.signing import NOW, Signer, cnf, new_key, signature_twin
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def provider(database: Database, clock: Clock) -> AsyncIterator[AgentProvider]:
    async with serving(database, clock) as provider:
        yield provider


@pytest.fixture
async def victim(provider: AgentProvider, clock: Clock) -> Applicant:
    """An enrolled agent whose public keys everybody knows."""
    victim = Applicant(provider, clock)
    await victim.enrolled(ps=PERSON_SERVER)
    return victim


@pytest.fixture
def attacker(provider: AgentProvider, clock: Clock) -> Applicant:
    return Applicant(provider, clock, name="mallory", peer="198.51.100.9")


# F44: somebody's public key is no proof.


@pytest.mark.parametrize("name", ["planner", "mallory"])
async def test_f44_enrolment_with_a_victims_public_durable_key_is_401(
    provider: AgentProvider, victim: Applicant, attacker: Applicant, name: str
) -> None:
    """F44: the ask names the victim's durable key and the attacker's ephemeral key, signed by the attacker."""
    before = await on_record(provider)
    forged = Signer(attacker.durable, hwk_header(victim.durable.public))
    assert signature_error(await attacker.send(attacker.signed("POST", "/enrollment/nonce", signer=forged))) == (
        401,
        "invalid_signature",
    )
    nonce = await victim.nonce()
    answer = await attacker.ask(nonce=nonce, name=name, knobs={"signer": forged})
    assert signature_error(answer) == (401, "invalid_signature")
    assert await on_record(provider) == before
    assert token_of(await victim.ask(nonce=nonce)).sub == "aauth:planner@agents.example"


async def test_f44_refresh_with_a_delegation_that_the_durable_key_did_not_sign_is_401(
    provider: AgentProvider, victim: Applicant, attacker: Applicant
) -> None:
    """F44; Signature-Keys §3.5 step 8: the header names the victim's key, the attacker's signs."""
    before = await on_record(provider)
    iat = int(victim.clock())
    claims = {"iss": JKT_PREFIX + victim.durable.kid, "iat": iat, "exp": iat + 300, "cnf": cnf(attacker.key.public)}
    header = {"typ": JKT_TYP, "jwk": cnf(victim.durable.public)["jwk"]}
    token = sign_jwt(attacker.durable, header, claims)
    forged = Signer(attacker.key, f'sig=jkt-jwt;jwt="{token}"')
    assert signature_error(await attacker.refresh(signer=forged)) == (401, "invalid_jwt")
    assert await on_record(provider) == before


async def test_f44_a_captured_delegation_is_useless_without_its_ephemeral_key(
    provider: AgentProvider, victim: Applicant, attacker: Applicant
) -> None:
    """F44; Signature-Keys §3.5 step 11."""
    before = await on_record(provider)
    captured = Signer.delegated(victim.durable, victim.key, now=int(victim.clock()), lifetime=300)
    stolen = Signer(attacker.key, captured.signature_key)
    assert signature_error(await attacker.refresh(signer=stolen)) == (401, "invalid_signature")
    assert await on_record(provider) == before


async def test_f44_the_ephemeral_key_alone_does_not_enrol_or_refresh(
    provider: AgentProvider, victim: Applicant
) -> None:
    """F44: a stolen ephemeral key delegates to nobody, and is no durable key."""
    before = await on_record(provider)
    other = new_key()
    answer = await victim.refresh(signer=Signer.delegated(victim.key, other, now=int(victim.clock()), lifetime=300))
    assert error_of(answer) == (403, "access_denied")
    thief = replace(victim, durable=victim.key, key=other)
    assert error_of(await thief.ask()) == (409, "name_taken")
    assert await on_record(provider) == before


async def test_f44_an_agent_token_of_the_victim_refreshes_nothing(
    provider: AgentProvider, victim: Applicant, attacker: Applicant
) -> None:
    """F44: an agent token that was seen at a resource, with or without its key."""
    raw = token_of(await victim.refresh()).raw
    for signer in (Signer.token(victim.key, raw), Signer.token(attacker.key, raw)):
        answer = await attacker.refresh(signer=signer)
        assert signature_error(answer) == (401, "unsupported_scheme")
        assert answer.header("accept-signature-scheme") == "jkt-jwt"


# Names.


async def test_a_name_is_never_given_to_another_durable_key(
    provider: AgentProvider, victim: Applicant, attacker: Applicant
) -> None:
    """Neither while its agent is active nor after it has ended."""
    assert error_of(await attacker.ask(name="planner")) == (409, "name_taken")
    await provider.end("planner")
    assert error_of(await attacker.ask(name="planner")) == (409, "name_taken")
    assert [(agent.name, agent.thumbprint) for agent in await provider.agents()] == [("planner", victim.durable.kid)]
    assert await provider.pending() == []


async def test_an_agent_ended_before_it_fetched_its_token_keeps_its_name(
    provider: AgentProvider, attacker: Applicant, clock: Clock
) -> None:
    await Applicant(provider, clock, name="scout").ask()
    await provider.approve("scout")
    await provider.end("scout")
    assert error_of(await attacker.ask(name="scout")) == (409, "name_taken")


async def test_a_durable_key_has_one_agent(provider: AgentProvider, victim: Applicant) -> None:
    answer = await victim.ask(name="second")
    assert error_of(answer) == (400, "invalid_request")
    assert len(await provider.agents()) == 1


async def test_an_agent_does_not_change_its_person_server_by_asking_again(
    provider: AgentProvider, victim: Applicant
) -> None:
    """What was approved stands: another person server is another approval."""
    before = await on_record(provider)
    assert error_of(await victim.ask(ps="https://evil.example")) == (400, "invalid_request")
    assert await on_record(provider) == before


async def test_a_race_for_a_name_has_one_winner(provider: AgentProvider, attacker: Applicant, clock: Clock) -> None:
    """An approval that comes second, by the id of a request that was opened before, changes nothing."""
    planner = Applicant(provider, clock)
    await planner.ask()
    await attacker.ask(name="planner")
    mine, theirs = sorted(await provider.pending(), key=lambda one: one.thumbprint != planner.durable.kid)
    await provider.approve(mine.id)
    with pytest.raises(AdministrationError):
        await provider.approve(theirs.id)
    with pytest.raises(AdministrationError):
        await provider.deny(mine.id)
    (agent,) = await provider.agents()
    assert agent.thumbprint == planner.durable.kid


async def test_a_request_opened_for_a_name_just_before_it_was_taken_cannot_be_approved(
    provider: AgentProvider, attacker: Applicant, clock: Clock
) -> None:
    late = await attacker.ask(name="planner")
    enrollments, records = provider.enrollments, provider.enrollments.records
    async with provider._db.transaction() as tx:  # as if it had been opened after the rivals were settled
        rows = await records.close_named(tx, "planner")
    assert len(rows) == 1
    planner = Applicant(provider, clock)
    await planner.ask()
    (mine,) = [one for one in await enrollments.pending() if one.thumbprint == planner.durable.kid]
    await provider.approve(mine.id)
    (theirs,) = await provider.pending()
    with pytest.raises(AdministrationError, match="another durable key"):
        await provider.approve(theirs.id)
    assert error_of(await attacker.poll(late)) == (409, "name_taken")
    (agent,) = await provider.agents()
    assert agent.thumbprint == planner.durable.kid


async def test_an_undecided_request_is_decided_once(provider: AgentProvider, attacker: Applicant) -> None:
    pending = await attacker.ask()
    (request,) = await provider.pending()
    await provider.deny(request.id)
    for again in (provider.approve, provider.deny):
        with pytest.raises(AdministrationError, match="no enrolment named"):
            await again(request.id)
    assert error_of(await attacker.poll(pending)) == (403, "denied")
    assert await provider.agents() == []


async def test_a_name_that_looks_like_a_request_is_not_taken_for_one(
    provider: AgentProvider, attacker: Applicant, clock: Clock
) -> None:
    """Who calls itself by the id of another's request makes the reference ambiguous, and nobody is approved."""
    await Applicant(provider, clock).ask()
    (mine,) = await provider.pending()
    await attacker.ask(name=mine.id)
    with pytest.raises(AdministrationError, match="several durable keys"):
        await provider.approve(mine.id)
    with pytest.raises(AdministrationError, match="no enrolment named"):
        await provider.approve(mine.thumbprint)
    with pytest.raises(AdministrationError, match="no agent named"):
        await provider.end("nobody")


# Nonces.


async def test_a_nonce_is_used_once(provider: AgentProvider, attacker: Applicant) -> None:
    nonce = await attacker.nonce()
    assert (await attacker.ask(nonce=nonce)).status == 202
    assert error_of(await attacker.ask(nonce=nonce)) == (400, "invalid_request")


async def test_a_nonce_is_used_up_by_an_ask_that_is_refused(
    provider: AgentProvider, victim: Applicant, attacker: Applicant
) -> None:
    nonce = await attacker.nonce()
    assert error_of(await attacker.ask(nonce=nonce, name="planner")) == (409, "name_taken")
    assert error_of(await attacker.ask(nonce=nonce)) == (400, "invalid_request")


async def test_a_nonce_serves_its_own_key_only(provider: AgentProvider, attacker: Applicant, clock: Clock) -> None:
    other = Applicant(provider, clock, name="scout")
    nonce = await other.nonce()
    assert error_of(await attacker.ask(nonce=nonce)) == (400, "invalid_request")
    assert (await other.ask(nonce=nonce)).status == 202


async def test_a_nonce_expires(attacker: Applicant, clock: Clock) -> None:
    nonce = await attacker.nonce()
    clock.advance(300)
    assert error_of(await attacker.ask(nonce=nonce)) == (400, "invalid_request")


async def test_the_newest_nonce_of_a_key_is_the_one(attacker: Applicant) -> None:
    old = await attacker.nonce()
    new = await attacker.nonce()
    assert error_of(await attacker.ask(nonce=old)) == (400, "invalid_request")
    assert (await attacker.ask(nonce=new)).status == 202


@pytest.mark.parametrize("nonce", ["", "made-up", "x" * 129, 5, {"a": 1}])
async def test_an_invented_nonce_is_refused(attacker: Applicant, nonce: object) -> None:
    body = {**attacker.asking("unused"), "nonce": nonce}
    answer = await attacker.send(attacker.signed("POST", "/enrollment", body=json.dumps(body).encode()))
    assert error_of(answer) == (400, "invalid_request")


async def test_a_replayed_enrolment_is_refused_here_and_by_another_worker(
    database: Database, provider: AgentProvider, attacker: Applicant, clock: Clock
) -> None:
    """draft-11 §11.3.4.2: one process knows the signature, every process knows the nonce."""
    body = json.dumps(attacker.asking(await attacker.nonce())).encode()
    request = attacker.signed("POST", "/enrollment", body=body)
    assert (await provider.answer(request)).status == 202
    assert signature_error(await provider.answer(request)) == (401, "invalid_signature")
    async with serving(database, clock) as worker:
        assert error_of(await worker.answer(request)) == (400, "invalid_request")


async def test_the_twin_of_an_es256_refresh_is_a_replay(provider: AgentProvider, clock: Clock) -> None:
    planner = Applicant(provider, clock, key=new_key("ES256"))
    await planner.enrolled()
    signer = Signer.delegated(planner.durable, planner.key, now=int(clock()), lifetime=300)
    request = planner.signed("POST", "/refresh", signer=signer, body=b"{}")
    assert (await provider.answer(request)).status == 200
    assert signature_error(await provider.answer(signature_twin(request))) == (401, "invalid_signature")


# Pending requests.


async def test_another_key_polls_and_withdraws_nothing(
    provider: AgentProvider, attacker: Applicant, clock: Clock
) -> None:
    """draft-11 §13.2: 404, whoever asks, before and after the decision."""
    planner = Applicant(provider, clock)
    pending = await planner.ask()
    path = target_of(str(pending.header("location")))
    for _ in range(2):
        assert error_of(await attacker.poll(pending)) == (404, "not_found")
        assert error_of(await attacker.send(attacker.signed("DELETE", path))) == (404, "not_found")
        if await provider.pending():
            await provider.approve("planner")
    ephemeral = Signer.bare(planner.key)
    assert error_of(await planner.poll(pending, signer=ephemeral)) == (404, "not_found")
    assert token_of(await planner.poll(pending)).sub == "aauth:planner@agents.example"
    assert error_of(await planner.send(planner.signed("DELETE", path))) == (410, "gone")


async def test_a_pending_url_takes_no_other_method_and_no_other_scheme(attacker: Applicant) -> None:
    pending = await attacker.ask()
    path = target_of(str(pending.header("location")))
    assert error_of(await attacker.send(attacker.signed("POST", path, body=b"{}"))) == (405, "method_not_allowed")
    delegated = Signer.delegated(attacker.durable, attacker.key, now=int(attacker.clock()))
    assert signature_error(await attacker.poll(pending, signer=delegated)) == (401, "unsupported_scheme")


# Strangers in number.


async def test_open_requests_are_bounded_in_all_and_by_network(database: Database, clock: Clock) -> None:
    limits = Limits(open_requests=3, open_per_network=2)
    async with serving(database, clock, limits=limits) as provider:

        async def ask(number: int, peer: str) -> Applicant:
            agent = Applicant(provider, clock, name=f"a{number}", peer=peer)
            answers.append(await agent.ask())
            return agent

        answers: list[Any] = []
        first = await ask(1, "192.0.2.7")
        await ask(2, "192.0.2.7")
        await ask(3, "192.0.2.7")
        assert [answer.status for answer in answers] == [202, 202, 429]
        assert answers[-1].header("retry-after") is not None
        await ask(4, "2001:db8::1")
        await ask(5, "198.51.100.1")
        assert [answer.status for answer in answers[3:]] == [202, 429]
        # Asking again costs no more room, and a decision makes some.
        assert (await first.ask()).status == 202
        assert (await first.ask(ps=PERSON_SERVER)).status == 202
        await provider.deny("a2")
        await ask(6, "198.51.100.1")
        clock.advance(3601)
        await ask(7, "192.0.2.7")
        assert [answer.status for answer in answers[5:]] == [202, 202]
        assert [request.name for request in await provider.pending()] == ["a7"]


async def test_asks_of_one_network_are_paced(database: Database, clock: Clock) -> None:
    async with serving(database, clock, limits=Limits(asks_per_minute=4)) as provider:
        agent = Applicant(provider, clock, peer="2001:db8::1")
        neighbour = Applicant(provider, clock, peer="2001:db8::ffff:2")
        for _ in range(2):
            await agent.nonce()
            await neighbour.nonce()
        answer = await agent.send(agent.signed("POST", "/enrollment/nonce"))
        assert error_of(answer) == (429, "rate_limited")
        assert answer.header("retry-after") == "15"
        await replace(agent, peer="2001:db8:0:1::1").nonce()
        clock.advance(15)
        await agent.nonce()


async def test_refreshes_of_one_agent_are_paced(database: Database, clock: Clock) -> None:
    async with serving(database, clock, limits=Limits(refreshes_per_minute=2)) as provider:
        planner, scout = Applicant(provider, clock), Applicant(provider, clock, name="scout")
        await planner.enrolled()
        await scout.enrolled()
        assert [(await planner.refresh()).status for _ in range(3)] == [200, 200, 429]
        assert (await scout.refresh()).status == 200
        assert len(await provider.issued("planner")) == 3


async def test_nonces_are_bounded(database: Database, clock: Clock) -> None:
    async with serving(database, clock, limits=Limits(nonces=2)) as provider:
        agents = [Applicant(provider, clock, name=f"a{number}") for number in range(3)]
        statuses = [(await one.send(one.signed("POST", "/enrollment/nonce"))).status for one in agents]
        assert statuses == [200, 200, 429]
        clock.advance(300)
        assert (await agents[2].send(agents[2].signed("POST", "/enrollment/nonce"))).status == 200
