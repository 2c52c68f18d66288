"""Jobs that nobody waits for: in order, bounded, and none of them harms the next (draft-11 §7.8.2)."""

from __future__ import annotations

import threading

import pytest

from aauthkit.agent.background import Background
from aauthkit.agent.connections import Connections, Exchange
from aauthkit.agent.errors import Unreachable
from aauthkit.egress import Egress

pytestmark = pytest.mark.anyio


def background(limit: int = 8) -> Background:
    return Background(Exchange(Egress(), nonce=lambda: "n"), limit)


async def test_jobs_are_done_in_order_also_after_a_pause() -> None:
    jobs, done = background(), list[int]()

    def job(number: int) -> None:
        async def run(_connections: Connections) -> None:
            done.append(number)

        assert jobs.put(run)

    for number in range(3):
        job(number)
    assert await jobs.flush()
    assert not jobs.is_busy
    job(3)
    assert await jobs.flush()
    assert done == [0, 1, 2, 3]


@pytest.mark.parametrize("fault", [Unreachable("gone"), ZeroDivisionError()])
async def test_a_job_that_fails_is_logged_and_the_next_is_done(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    jobs, done = background(), list[int]()

    async def fails(_connections: Connections) -> None:
        raise fault

    async def works(_connections: Connections) -> None:
        done.append(1)

    assert jobs.put(fails) and jobs.put(works)
    assert await jobs.flush()
    assert done == [1] and "in the background" in caplog.text


async def test_what_is_too_much_is_dropped_and_told() -> None:
    jobs, gate, begun = background(limit=2), threading.Event(), threading.Event()

    async def waits(_connections: Connections) -> None:
        begun.set()
        gate.wait(10)

    assert jobs.put(waits)
    begun.wait(10)
    assert [jobs.put(waits) for _ in range(4)] == [True, True, False, False]
    assert jobs.dropped == 2 and jobs.is_busy
    assert not await jobs.flush(0)
    gate.set()
    assert await jobs.flush()


async def test_nothing_to_do_is_done() -> None:
    assert await background().flush()
