"""Another process on the same pending requests: `python -m tests.unit.deferring COMMAND URL ID`; it waits to be told.

Also what the tests here have in common: one server, one clock, and the two questions that a poll asks.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from aauthkit.deferred import MIGRATIONS, Deferred, PendingRequest, Resolve, Waiting
from aauthkit.protocol.headers import APPROVAL_PENDING
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.protocol.problems import Problem
from aauthkit.serving import Request
from aauthkit.store import Database, Migration, Transaction, open_database

SERVER = "https://ps.example"
NOW = 1_795_000_000
OWNER = "https://agents.example aauth:planner@agents.example"
LIFETIME = 1800
APPROVED = {"verdict": "approved"}
DENIED = {"error": "denied"}
GONE = (410, "gone")
NOT_FOUND = (404, "not_found")
AT_MOST = 20.0
"""Seconds after which a held poll that was not woken fails its test."""
TABLES = (
    *MIGRATIONS,
    Migration(room="issued", version=1, statements=("CREATE TABLE issued (id TEXT PRIMARY KEY, token TEXT NOT NULL)",)),
)


def poll_request(wait: int | None = None) -> Request:
    headers = (("prefer", f"wait={wait}"),) if wait is not None else ()
    return Request("GET", "/pending/x", headers)


async def waits(_pending: PendingRequest) -> Waiting:
    return Waiting(APPROVAL_PENDING)


async def issue(pending: PendingRequest, tx: Transaction) -> Answer:
    """A token, on record before it leaves."""
    outcome: Mapping[str, Any] = pending.outcome or {}
    await tx.execute("INSERT INTO issued (id, token) VALUES (:id, :token)", id=pending.id, token="t")
    return json_answer(200, {"outcome": dict(outcome), "data": dict(pending.data)})


class Room:
    """One server's pending requests, its clock, and what a poll is told."""

    def __init__(self, database: Database) -> None:
        self.db = database
        self.now = float(NOW)
        self.deferred = Deferred(SERVER, database, clock=lambda: self.now)
        self.waiting = Waiting(APPROVAL_PENDING)
        self.described = asyncio.Event()
        self.resolve: Resolve = issue

    async def open(self, owner: str = OWNER, *, kind: str = "token", lifetime: int = LIFETIME) -> PendingRequest:
        async with self.db.transaction() as tx:
            return await self.deferred.open(tx, kind=kind, owner=owner, data={"scope": "a"}, lifetime=lifetime)

    async def describe(self, _pending: PendingRequest) -> Waiting:
        self.described.set()
        return self.waiting

    async def poll(self, pending: PendingRequest | str, owner: str = OWNER, *, wait: int | None = None) -> Answer:
        """What a poll is answered, refusals included."""
        name = pending if isinstance(pending, str) else pending.id
        try:
            return await self.deferred.answer_poll(
                poll_request(wait), name, owner, describe=self.describe, resolve=self.resolve
            )
        except Problem as error:
            return error.answer()

    async def hold(self, pending: PendingRequest) -> asyncio.Task[Answer]:
        """A poll that is being held."""
        self.described.clear()
        held = asyncio.create_task(self.poll(pending, wait=60))
        await asyncio.wait_for(self.described.wait(), AT_MOST)
        assert not held.done()
        return held

    async def decide(self, pending: PendingRequest, outcome: dict[str, Any]) -> None:
        async with self.db.transaction() as tx:
            await self.deferred.decide(tx, pending.id, outcome)

    async def use_code(self, pending: PendingRequest, code: str | None = None) -> str:
        """`good`, or the error a person's browser meets."""
        try:
            await self.deferred.use_code(pending.page, pending.code if code is None else code)
        except Problem as error:
            return error.code
        return "good"

    async def found(self, pending: PendingRequest) -> PendingRequest:
        found = await self.deferred.find(self.db, pending.id)
        assert found is not None
        return found


def error_of(answer: Answer) -> tuple[int, str]:
    assert answer.header("content-type") == "application/problem+json"
    return answer.status, json.loads(answer.body)["error"]


def say(word: object) -> None:
    print(word, flush=True)


async def told() -> None:
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)


async def decide(deferred: Deferred, database: Database, pending_id: str) -> None:
    """Decide and tell those who poll."""
    await told()
    async with database.transaction() as tx:
        pending = await deferred.decide(tx, pending_id, {"verdict": "approved"})
    await deferred.wake(pending)
    say("decided")


async def decide_and_die(deferred: Deferred, database: Database, pending_id: str) -> None:
    """Decide, and hang before anybody is told."""
    await told()
    async with database.transaction() as tx:
        await deferred.decide(tx, pending_id, {"verdict": "approved"})
    say("decided")
    await asyncio.Event().wait()


async def issue_and_die(deferred: Deferred, _database: Database, pending_id: str) -> None:
    """Answer a poll, and hang with the token on record and the transaction open."""

    async def hang(pending: PendingRequest, tx: Transaction) -> Answer:
        answer = await issue(pending, tx)
        say("issued")
        await asyncio.Event().wait()
        return answer

    await told()
    await deferred.answer_poll(poll_request(), pending_id, OWNER, describe=waits, resolve=hang)


async def poll(deferred: Deferred, _database: Database, pending_id: str) -> None:
    """Poll, held, and say the status."""
    say("ready")
    answer = await deferred.answer_poll(poll_request(30), pending_id, OWNER, describe=waits, resolve=issue)
    say(answer.status)


COMMANDS = {command.__name__: command for command in (decide, decide_and_die, issue_and_die, poll)}


async def main(command: str, url: str, pending_id: str) -> None:
    database = await open_database(url)
    await COMMANDS[command](Deferred(SERVER, database, clock=lambda: NOW), database, pending_id)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
