"""Two workers of one provider at the same moment: each rule holds once, on both stores (F82, F85)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.problems import Problem
from aauthkit.provider import AdministrationError, AgentProvider, AgentRecord
from aauthkit.provider.asking import read_ask
from aauthkit.store import open_database
from tests.plugins.enrolling import Applicant, serving
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def workers(database_url: str, clock: Clock) -> AsyncIterator[tuple[AgentProvider, AgentProvider]]:
    first, second = await open_database(database_url), await open_database(database_url)
    async with serving(first, clock) as one, serving(second, clock) as two:
        yield one, two
    await first.close()
    await second.close()


async def test_two_asks_of_one_key_are_one_request(workers: tuple[AgentProvider, AgentProvider], clock: Clock) -> None:
    one, two = workers
    planner = Applicant(one, clock)
    ask = read_ask(planner.asking("n"), planner.durable.public, NO_LOOPBACK)
    opened = await asyncio.gather(
        *(worker.enrollments.open(ask, planner.durable.public, None) for worker in (one, two, one, two))
    )
    assert len({pending.id for pending in opened}) == 1
    assert len(await one.pending()) == 1


async def test_a_nonce_that_two_workers_are_given_is_used_once(
    workers: tuple[AgentProvider, AgentProvider], clock: Clock
) -> None:
    one, two = workers
    planner = Applicant(one, clock)
    nonce = await planner.nonce()
    answers = await asyncio.gather(*(planner.at(worker).ask(nonce=nonce) for worker in (one, two, one, two)))
    assert sorted(answer.status for answer in answers) == [202, 400, 400, 400]


async def test_f82_of_two_approvals_for_one_name_one_holds(
    workers: tuple[AgentProvider, AgentProvider], clock: Clock
) -> None:
    """F82: no decision waits for the other for ever, and each agent reads what became of its own request."""
    one, two = workers
    rivals = [Applicant(one, clock), Applicant(two, clock)]
    pending = [await rival.ask() for rival in rivals]
    ids = [request.id for request in await one.pending()]
    decided = await asyncio.gather(one.approve(ids[0]), two.approve(ids[1]), return_exceptions=True)
    (agent,) = [each for each in decided if isinstance(each, AgentRecord)]
    assert len([each for each in decided if isinstance(each, AdministrationError)]) == 1
    statuses = [(await rival.poll(answer)).status for rival, answer in zip(rivals, pending, strict=True)]
    assert sorted(statuses) == [200, 409]
    assert [each.thumbprint for each in await two.agents()] == [agent.thumbprint]


async def test_f82_approved_and_declined_at_once_is_one_of_them(
    workers: tuple[AgentProvider, AgentProvider], clock: Clock
) -> None:
    """F82."""
    one, two = workers
    planner = Applicant(one, clock)
    pending = await planner.ask()
    (request,) = await one.pending()
    decided = await asyncio.gather(
        one.approve(request.id), two.deny(request.id), one.approve(request.id), return_exceptions=True
    )
    assert len([each for each in decided if isinstance(each, AdministrationError)]) == 2
    answer = await planner.poll(pending)
    assert answer.status == (200 if await one.agents() else 403)


async def test_the_first_token_is_fetched_once(workers: tuple[AgentProvider, AgentProvider], clock: Clock) -> None:
    one, two = workers
    planner = Applicant(one, clock)
    pending = await planner.ask()
    await one.approve("planner")
    answers = await asyncio.gather(*(planner.at(worker).poll(pending) for worker in (one, two, one, two)))
    assert sorted(answer.status for answer in answers) == [200, 410, 410, 410]
    assert len(await one.issued("planner")) == 1


async def test_an_agent_that_is_ended_while_it_refreshes_ends(
    workers: tuple[AgentProvider, AgentProvider], clock: Clock
) -> None:
    one, two = workers
    planner = Applicant(one, clock)
    await planner.enrolled()
    refreshed, ended = await asyncio.gather(planner.refresh(), two.end("planner"))
    assert refreshed.status in (200, 403)
    assert ended.state == "ended"
    assert (await planner.refresh()).status == 403


async def test_withdrawn_and_decided_at_once_is_one_of_them(
    workers: tuple[AgentProvider, AgentProvider], clock: Clock
) -> None:
    one, two = workers
    planner = Applicant(one, clock)
    await planner.ask()
    async with one._db.transaction() as tx:
        (open_request,) = await one.enrollments.deferred.open_requests(tx)
    outcomes = await asyncio.gather(
        one.enrollments.withdraw(open_request.id, planner.durable.kid),
        two.approve(open_request.page),
        return_exceptions=True,
    )
    assert not [
        each
        for each in outcomes
        if each is not None and not isinstance(each, AgentRecord | AdministrationError | Problem)
    ]
    assert await one.pending() == []
