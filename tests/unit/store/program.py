"""Another process on the same database: `python -m tests.unit.store.program COMMAND URL ...`; it waits to be told."""

from __future__ import annotations

import asyncio
import sys

from aauthkit.store import Database, open_database
from tests.unit.store.tables import INSERT, TABLES


def say(word: object) -> None:
    print(word, flush=True)


async def told() -> None:
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)


async def migrate(database: Database) -> None:
    await told()
    await database.migrate(TABLES)
    say("migrated")


async def count_up(database: Database, times: str) -> None:
    """Read, then write what was read and one more: right only if nobody comes between."""
    await told()
    for _ in range(int(times)):
        async with database.transaction() as transaction:
            row = await transaction.fetch_one(
                f"SELECT n FROM entries WHERE id = :id{database.for_update}", id="counter"
            )
            assert row is not None
            await transaction.execute("UPDATE entries SET n = :n WHERE id = :id", id="counter", n=row["n"] + 1)
    say("counted")


async def hold(database: Database) -> None:
    """Stay inside a transaction, half done, until told."""
    async with database.transaction() as transaction:
        await transaction.execute(INSERT, id="held", n=1)
        await told()
        await transaction.execute("INSERT INTO effects (id, entry) VALUES (:id, :entry)", id="held", entry="held")
    say("released")


async def decide(database: Database, name: str) -> None:
    """Decisions with their effects, one after another, each announced once it is kept."""
    for number in range(1_000_000):
        async with database.transaction() as transaction:
            await transaction.execute(INSERT, id=f"{name}-{number}", n=number)
            await transaction.execute(
                "INSERT INTO effects (id, entry) VALUES (:id, :entry)", id=f"{name}-{number}", entry=f"{name}-{number}"
            )
        say(number)


async def notify(database: Database, channel: str, payload: str) -> None:
    await told()
    await database.notify(channel, payload)
    say("notified")


async def decide_and_notify(database: Database, channel: str) -> None:
    await told()
    async with database.transaction() as transaction:
        await transaction.execute(INSERT, id="decided", n=1)
        await transaction.notify(channel, "decided")
    say("notified")


async def read(database: Database) -> None:
    for row in await database.fetch_all("SELECT id FROM entries ORDER BY n"):
        say(row["id"])
    say("end")


COMMANDS = {command.__name__: command for command in (migrate, count_up, hold, decide, notify, decide_and_notify, read)}


async def main(command: str, url: str, *arguments: str) -> None:
    database = await open_database(url)
    await COMMANDS[command](database, *arguments)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
