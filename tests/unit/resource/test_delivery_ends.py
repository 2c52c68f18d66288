"""Deferred delivery: its bounds, and how a held call ends, crashes included (draft-11 §6.5.1)."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aauthkit.protocol.problems import Problem
from aauthkit.resource.delivery import LEASE, MAX_OF_ONE
from aauthkit.resource.held import MAX_CALL, MAX_RESULT
from aauthkit.serving import BytesBody, Request
from aauthkit.store import Database, open_database
from tests.plugins.holding import ORDER, Shop
from tests.plugins.remembering import Clock, error_of
from tests.plugins.resources import API, World, ask, asked, exchange
from tests.plugins.signing import NOW
from tests.unit.resource.crashing import world_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


# Bounds.


async def test_a_body_over_the_bound_gets_the_401(shop: Shop) -> None:
    """Must be refused: a held body over its limit; nothing of it is kept, and a declared one is not even read."""
    large = b"x" * (MAX_CALL + 1)
    request = shop.person().sign("POST", f"{API}/orders", body=large)
    wire = await exchange(shop.app, request, chunks=[large])
    assert (wire.answer.status, asked(wire.answer), wire.read) == (401, "auth-token", 0)
    request = shop.person().sign("POST", f"{API}/orders", body=large)
    streamed = (*(field for field in request.headers if field[0] != "content-length"), ("transfer-encoding", "chunked"))
    wire = await exchange(shop.app, Request("POST", request.target, streamed), chunks=[large[:40000]] * 40)
    assert (wire.answer.status, asked(wire.answer)) == (401, "auth-token")
    assert wire.read < 5
    assert not await shop.database.fetch_all("SELECT id FROM resource_held")
    assert (await shop.order(body=b"x" * MAX_CALL)).status == 202


async def test_a_body_that_is_not_the_one_signed_is_not_held(shop: Shop) -> None:
    """F13."""
    request = shop.person().sign("POST", f"{API}/orders", body=ORDER)
    swapped = await ask(shop.app, Request("POST", "/orders", request.headers, BytesBody(b'{"item":"desk"}')))
    assert (swapped.status, swapped.header("signature-error")) == (401, "error=invalid_signature")
    assert not await shop.database.fetch_all("SELECT id FROM resource_held")


async def test_fields_over_the_bound_get_the_401(shop: Shop) -> None:
    many = [(f"x-{number}", "y" * 8000) for number in range(5)]
    answer = await ask(shop.app, shop.person().sign("POST", f"{API}/orders", body=ORDER, headers=many))
    assert (answer.status, asked(answer)) == (401, "auth-token")


async def test_one_caller_cannot_fill_the_store(shop: Shop) -> None:
    """Past its share it gets the 401 delivery, and others are held as before."""
    for _ in range(MAX_OF_ONE):
        assert (await shop.order()).status == 202
    assert (await shop.order()).status == 401
    assert (await shop.order(shop.person(sub="p-2"))).status == 202


async def test_a_client_that_hangs_up_is_not_held(shop: Shop) -> None:
    request = shop.person().sign("POST", f"{API}/orders", body=ORDER)
    wire = await exchange(shop.app, request, chunks=[])
    assert not wire.sent
    assert not await shop.database.fetch_all("SELECT id FROM resource_held")


# How it ends.


async def test_a_route_that_fails_has_run(shop: Shop) -> None:
    """F91: 500, kept, and never run again; the caller learns nothing of why."""

    async def fails(_scope: Any, _receive: Any, _send: Any) -> None:
        raise LookupError("no such table")

    shop.answering = fails
    pending, signer = await shop.held(), shop.grant()
    for _ in range(2):
        answer = await shop.poll(pending, signer)
        assert (answer.status, error_of(answer)) == (500, "server_error")
        assert b"table" not in answer.body
    assert len(shop.orders) == 1


async def test_a_route_that_refuses_says_so(shop: Shop) -> None:
    async def refuses(_scope: Any, _receive: Any, _send: Any) -> None:
        raise Problem("access_denied", "sold out")

    shop.answering = refuses
    pending, signer = await shop.held(), shop.grant()
    for _ in range(2):
        answer = await shop.poll(pending, signer)
        assert (answer.status, error_of(answer)) == (403, "access_denied")
    assert len(shop.orders) == 1


async def test_an_answer_too_large_to_keep_has_run_all_the_same(shop: Shop) -> None:
    async def large(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"x" * (MAX_RESULT // 2), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    shop.answering = large
    pending, signer = await shop.held(), shop.grant()
    for _ in range(2):
        answer = await shop.poll(pending, signer)
        assert (answer.status, error_of(answer)) == (500, "server_error")
        assert b"has run" in answer.body
    assert len(shop.orders) == 1


async def test_what_was_left_running_may_have_run_and_never_runs_again(shop: Shop) -> None:
    """A runner that fell silent: 202 while it may live, 500 after, and so it stays."""
    pending, signer = await shop.held(), shop.grant()
    await shop.database.execute(
        """UPDATE resource_held SET state = 'running', token_iss = :iss, token_jti = 'x', runner = 'dead', seen = :now,
                                    expires = :expires""",
        iss=shop.world.ps.iss,
        now=NOW,
        expires=NOW + 3600,
    )
    shop.clock.now += LEASE - 1
    assert (await shop.poll(pending, signer)).status == 202
    shop.clock.now += 1
    answer = await shop.poll(pending, signer)
    assert (answer.status, error_of(answer)) == (500, "server_error")
    assert b"may have run" in answer.body
    mine = shop.grant(jti="x")
    again = await shop.poll(pending, mine)
    assert (again.status, again.body) == (500, answer.body)
    assert not shop.orders


async def test_a_runner_that_was_taken_for_dead_does_not_change_the_outcome(shop: Shop) -> None:
    """The first end on record stands, whatever comes in late."""
    shop.gate = asyncio.Event()
    pending, signer = await shop.held(), shop.grant()
    running = asyncio.create_task(shop.poll(pending, signer))
    while not shop.orders:
        await asyncio.sleep(0.01)
    await shop.database.execute("UPDATE resource_held SET seen = 0")
    assert (await shop.poll(pending, signer)).status == 500
    shop.gate.set()
    await running
    assert (await shop.poll(pending, signer)).status == 500
    assert len(shop.orders) == 1


async def test_kill_9_while_it_runs_is_never_run_again(database_url: str, tmp_path: Path) -> None:
    """A crash at the worst moment, in a process of its own: one mark in the file, whoever asks afterwards."""
    marks = tmp_path / "marks"
    program = [sys.executable, "-m", "tests.unit.resource.crashing", database_url, str(marks)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(await asyncio.to_thread(process.stdout.readline))
        process.send_signal(signal.SIGKILL)
    assert marks.read_text() == "ran\n"
    database = await open_database(database_url)
    shop = Shop(database, world_of(told), Clock(NOW + LEASE))
    signer = shop.world.grant("orders.place", jti="the-token")
    for _ in range(2):
        answer = await shop.poll(told["pending"], signer)
        assert (answer.status, error_of(answer)) == (500, "server_error")
        assert b"may have run" in answer.body
    assert not shop.orders
    await shop.resource.close()
    await database.close()


async def test_holding_needs_a_store() -> None:
    with pytest.raises(ValueError, match="store"):
        World().resource().grant("orders.place", deliver="202")
