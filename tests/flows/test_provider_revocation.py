"""Suspended, resumed and ended agents: refresh refused, every unexpired token revoked at the agent's person server.

draft-11 §5.1, §11.12.2, §11.12.4; on both stores, the person server over real TLS, honest and not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from aauthkit.callers import Agent
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.protocol.tokens import AGENT_TYP, PERSON_DWK, AgentToken
from aauthkit.provider import AdministrationError, AgentProvider, Enrollments, Limits
from aauthkit.revocation import outbox
from aauthkit.store import Database, open_database
from aauthkit.trust import Trust
from aauthkit.verification import Accepts, Verifier
from tests.plugins.enrolling import PROVIDER, PROVIDER_KEY, Applicant, error_of, serving, token_of
from tests.plugins.hosting import host
from tests.plugins.revoking import PS, Published, Recipient, receiving, trusting
from tests.plugins.signing import NOW, Signer, new_key
from tests.plugins.tls import Clock, Internet, Reply

pytestmark = pytest.mark.anyio

Provide = Callable[..., Awaitable[AgentProvider]]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delivers again without a pause."""
    monkeypatch.setattr(outbox, "pause_after", lambda *_: 0)


@asynccontextmanager
async def person_server(internet: Internet, database: Database, clock: Clock, **more: Any) -> AsyncIterator[Recipient]:
    """A person server that takes the provider's revocations, at its name."""
    async with receiving(database, clock, trust=trusting(PROVIDER), **more) as recipient:
        recipient.discovery.serve_locally(PROVIDER, "aauth-agent.json", lambda: {"keys": [PROVIDER_KEY.public.jwk]})
        await host(internet, "ps.example", Published(recipient))
        yield recipient


@pytest.fixture
async def provide(database: Database, internet: Internet, clock: Clock) -> AsyncIterator[Provide]:
    """Starts the provider; call it once the others are there."""
    async with AsyncExitStack() as stack:

        async def provide(on: Database = database, **more: Any) -> AgentProvider:
            return await stack.enter_async_context(serving(on, clock, egress=internet.egress(), **more))

        yield provide


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.01)


async def states(provider: AgentProvider, name: str = "planner") -> list[str]:
    return [one.state for one in await provider.revocations(name)]


async def delivered(provider: AgentProvider, count: int, name: str = "planner") -> None:
    while (await states(provider, name)).count("recorded") != count:
        await asyncio.sleep(0.01)


async def two_tokens(planner: Applicant, clock: Clock) -> list[AgentToken]:
    first = await planner.enrolled(ps=PS)
    clock.advance(60)
    return [first, token_of(await planner.refresh(new_key()))]


async def accepted(recipient: Recipient, token: AgentToken, planner: Applicant) -> Agent:
    """What the person server makes of this agent token."""
    verifier = Verifier(
        PS,
        discovery=recipient.discovery,
        trust=Trust(agent_providers={PROVIDER}),
        is_revoked=recipient.revocations.is_revoked,
        clock=recipient.clock,
    )
    now = int(recipient.clock())
    request = Signer.token(planner.key, token.raw).sign("POST", f"{PS}/person", body=b"{}", now=now)
    verified = await verifier.verify(request.as_signed(PS), Accepts(("jwt",), frozenset({AGENT_TYP})))
    assert isinstance(verified.caller, Agent)
    return verified.caller


@pytest.mark.parametrize("verb", ["suspend", "end"])
async def test_f57_ap_07_every_unexpired_token_is_revoked_at_the_person_server(
    internet: Internet, database: Database, clock: Clock, provide: Provide, verb: str
) -> None:
    """F57, AP-07; draft-11 §11.12.4: refresh is refused at once, and its tokens are `revoked_jwt` at the PS."""
    async with person_server(internet, database, clock) as ps:
        provider = await provide()
        planner = Applicant(provider, clock)
        first, second = await two_tokens(planner, clock)
        assert (await accepted(ps, first, planner)).sub == first.sub
        await getattr(provider, verb)("planner")
        assert error_of(await planner.refresh()) == (403, "access_denied")
        assert error_of(await planner.ask(ps=PS)) == (403, "access_denied")
        await delivered(provider, 2)
        for token in (first, second):
            assert ps.revocations.is_revoked(PROVIDER, token.jti)
        with pytest.raises(SignatureFailure) as refused:
            await accepted(ps, first, planner)
        assert refused.value.code == "revoked_jwt"


async def test_only_what_has_not_expired_is_revoked_and_only_this_agents(
    internet: Internet, database: Database, clock: Clock, provide: Provide
) -> None:
    async with person_server(internet, database, clock) as ps:
        provider = await provide()
        planner, scout = Applicant(provider, clock), Applicant(provider, clock, name="scout")
        old = await planner.enrolled(ps=PS)
        clock.advance(3600)
        fresh = token_of(await planner.refresh())
        other = await scout.enrolled(ps=PS)
        await provider.suspend("planner")
        await delivered(provider, 1)
        revoked = [ps.revocations.is_revoked(PROVIDER, token.jti) for token in (old, fresh, other)]
        assert revoked == [False, True, False]
        assert (await scout.refresh()).status == 200


async def test_an_agent_without_a_person_server_has_nobody_to_be_revoked_at(
    internet: Internet, database: Database, clock: Clock, provide: Provide
) -> None:
    """draft-11 §11.12.2: a resource that accepts an agent token directly has no revocation path."""
    provider = await provide()
    planner = Applicant(provider, clock)
    assert (await planner.enrolled()).ps is None
    await provider.end("planner")
    assert await provider.revocations("planner") == []


async def test_a_suspended_agent_is_resumed_and_what_was_revoked_stays_so(
    internet: Internet, database: Database, clock: Clock, provide: Provide
) -> None:
    """draft-11 §11.12.4: a token issued later is verified on its own terms."""
    async with person_server(internet, database, clock) as ps:
        provider = await provide()
        planner = Applicant(provider, clock)
        before = await planner.enrolled(ps=PS)
        assert (await provider.suspend("planner")).state == "suspended"
        await delivered(provider, 1)
        assert (await provider.resume("planner")).state == "active"
        after = token_of(await planner.refresh())
        assert after.sub == before.sub
        assert ps.revocations.is_revoked(PROVIDER, before.jti)
        assert (await accepted(ps, after, planner)).jti == after.jti


async def test_an_ended_agent_stays_ended(provide: Provide, clock: Clock) -> None:
    provider = await provide()
    planner = Applicant(provider, clock)
    await planner.enrolled()
    await provider.end("planner")
    for verb in ("suspend", "resume"):
        with pytest.raises(AdministrationError, match="for good"):
            await getattr(provider, verb)("planner")
    assert (await provider.end("planner")).state == "ended"
    assert error_of(await planner.refresh()) == (403, "access_denied")
    for verb in ("suspend", "resume", "end"):
        with pytest.raises(AdministrationError, match="no agent named 'nobody'"):
            await getattr(provider, verb)("nobody")


async def test_it_may_be_done_twice(provide: Provide, clock: Clock, internet: Internet, database: Database) -> None:
    async with person_server(internet, database, clock):
        provider = await provide()
        planner = Applicant(provider, clock)
        await planner.enrolled(ps=PS)
        suspended = await provider.suspend("planner")
        clock.advance(5)
        assert await provider.suspend("planner") == suspended
        await delivered(provider, 1)
        assert (await provider.end("planner")).state == "ended"
        assert await states(provider) == ["recorded"]
        assert [agent.state for agent in await provider.agents()] == ["ended"]


async def test_a_command_beside_the_running_provider_does_the_same(
    internet: Internet, database_url: str, new_database_url: Callable[[], str], clock: Clock, provide: Provide
) -> None:
    """`aauthkit provider suspend` opens the records alone; the provider that runs sends the revocation."""
    serving_on, beside = await open_database(database_url), await open_database(database_url)
    records = await open_database(new_database_url())
    async with person_server(internet, records, clock) as ps:
        provider = await provide(serving_on)
        planner = Applicant(provider, clock)
        token = await planner.enrolled(ps=PS)
        await Enrollments(PROVIDER, beside, limits=Limits(), clock=clock).suspend("planner")
        assert error_of(await planner.refresh()) == (403, "access_denied")
        await until(lambda: ps.revocations.is_revoked(PROVIDER, token.jti))
        await provider.close()
    for each in (serving_on, beside, records):
        await each.close()


async def test_a_person_server_that_is_out_of_reach_is_told_when_it_is_back(
    internet: Internet, database: Database, clock: Clock, provide: Provide, soon: None
) -> None:
    """The refusal to refresh does not wait for it."""
    ps = await internet.issuer("ps.example", PERSON_DWK)
    ps.metadata["revocation_endpoint"] = f"{PS}/revoke"
    ps.replies["/revoke"] = Reply(503, ())
    provider = await provide()
    planner = Applicant(provider, clock)
    token = await planner.enrolled(ps=PS)
    await provider.suspend("planner")
    assert error_of(await planner.refresh()) == (403, "access_denied")
    await until(lambda: ps.count("/revoke") > 2)
    assert await states(provider) == ["waiting"]
    ps.replies["/revoke"] = Reply(200, ())
    clock.advance(5)
    await delivered(provider, 1)
    last = [request for request in ps.requests if request.target == "/revoke"][-1]
    assert json.loads(last.body) == {"jti": token.jti, "exp": token.exp}


async def test_a_provider_that_was_stopped_goes_on_with_it(
    internet: Internet, database: Database, clock: Clock
) -> None:
    ps = await internet.issuer("ps.example", PERSON_DWK)
    ps.metadata["revocation_endpoint"] = f"{PS}/revoke"
    ps.replies["/revoke"] = Reply(500, ())
    async with serving(database, clock, egress=internet.egress()) as provider:
        planner = Applicant(provider, clock)
        await planner.enrolled(ps=PS)
        await provider.end("planner")
        await until(lambda: ps.count("/revoke"))
    ps.replies["/revoke"] = Reply(200, ())
    clock.advance(700)
    async with serving(database, clock, egress=internet.egress()) as provider:
        await delivered(provider, 1)


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (Reply(403, (("content-type", "application/problem+json"),), b'{"error": "unsupported_iss"}'), "unsupported"),
        (Reply(200, (("content-type", "text/html"),), b"<p>welcome"), "waiting"),
        (Reply(404, (), b""), "waiting"),
        (Reply(302, (("location", "https://evil.example/"),), b""), "waiting"),
    ],
)
async def test_a_person_server_that_answers_anything_else_is_not_taken_at_its_word(
    internet: Internet, clock: Clock, provide: Provide, reply: Reply, state: str
) -> None:
    evil = await internet.serve("evil.example", lambda _: Reply())
    ps = await internet.issuer("ps.example", PERSON_DWK)
    ps.metadata["revocation_endpoint"] = f"{PS}/revoke"
    ps.replies["/revoke"] = reply
    provider = await provide()
    await Applicant(provider, clock).enrolled(ps=PS)
    await provider.suspend("planner")
    while not any(one.reason for one in await provider.revocations("planner")):
        await asyncio.sleep(0.01)
    (only,) = await states(provider)
    assert only.endswith(state)
    assert not evil.requests


async def test_a_person_server_without_an_endpoint_honours_the_token_until_it_expires(
    internet: Internet, clock: Clock, provide: Provide
) -> None:
    """draft-11 §11.12: said to the operator as it is."""
    await internet.issuer("ps.example", PERSON_DWK)
    provider = await provide()
    await Applicant(provider, clock).enrolled(ps=PS)
    await provider.suspend("planner")
    while await states(provider) != ["revocation_unsupported"]:
        await asyncio.sleep(0.01)


async def test_a_token_issued_while_its_agent_is_ended_is_revoked_or_was_never_issued(
    database_url: str, internet: Internet, clock: Clock, provide: Provide
) -> None:
    """Two workers at once: whichever comes first, no unexpired token is left out."""
    ps = await internet.issuer("ps.example", PERSON_DWK)
    ps.metadata["revocation_endpoint"] = f"{PS}/revoke"
    ps.replies["/revoke"] = Reply(200, ())
    first, second = await open_database(database_url), await open_database(database_url)
    one, two = await provide(first), await provide(second)
    planner = Applicant(one, clock)
    await planner.enrolled(ps=PS)
    answers = await asyncio.gather(
        *(planner.at(worker).refresh(new_key()) for worker in (one, two) * 3), two.end("planner")
    )
    issued = [token_of(answer).jti for answer in answers[:-1] if answer.status == 200]  # type: ignore[union-attr]
    on_their_way = {one.jti for one in await one.revocations("planner")}
    assert set(issued) <= on_their_way
    assert len(on_their_way) == len(issued) + 1
    await delivered(one, len(on_their_way))
    told = [json.loads(request.body)["jti"] for request in ps.requests if request.target == "/revoke"]
    assert sorted(told) == sorted(on_their_way), "each once, though two workers deliver"
    await one.close()
    await two.close()
    await first.close()
    await second.close()


async def test_a_new_life_of_the_person_server_forgets_nothing(
    internet: Internet, database: Database, clock: Clock, provide: Provide
) -> None:
    async with person_server(internet, database, clock):
        provider = await provide()
        planner = Applicant(provider, clock)
        token = await planner.enrolled(ps=PS)
        await provider.end("planner")
        await delivered(provider, 1)
    async with receiving(database, clock) as again:
        assert again.revocations.is_revoked(PROVIDER, token.jti)
