"""Backups, taken while the server runs, and what a restore shows: all of it good, and what came later named missing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from aauthkit.audit import Checkpoints, verify
from aauthkit.store import Database, open_database
from tests.faults.nursery import audit_key
from tests.plugins.people import PS, Browser, World, body
from tests.plugins.stores import PostgresServer

pytestmark = pytest.mark.anyio


def backed_up(url: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """A copy of a database that is in use, and its URL."""
    if url.startswith("sqlite"):
        copy = folder / "backup.db"
        with sqlite3.connect(url.removeprefix("sqlite:///")) as records:
            records.execute("VACUUM INTO ?", [str(copy)])
        records.close()
        copy.chmod(0o600)
        return f"sqlite:///{copy}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    restored = server.create()
    dump = folder / "backup.dump"
    for words in (
        ("pg_dump", "--format=custom", f"--file={dump}", url),
        ("pg_restore", "--no-owner", f"--dbname={restored}", str(dump)),
    ):
        program = server.programs / words[0]
        subprocess.run([program, *words[1:]], check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    return restored


async def checkpoint(database: Database, world: World) -> str:
    return await Checkpoints(PS, database, audit_key().current, clock=world.clock).make()


async def test_f86_a_backup_restores_whole_and_a_checkpoint_outside_names_what_is_missing(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Copied between two stories; the second one is missing afterwards, and only the checkpoint outside knows."""
    database = await open_database(database_url)
    world = World(database)
    await world.server.start()
    agent, browser, _ = await world.introduced()
    outside = [await checkpoint(database, world)]
    copy = backed_up(database_url, tmp_path, request)
    world.clock.pass_(60)
    late = world.agent("late")
    waiting = await late.ask_person_token()
    other = Browser(world, "203.0.113.9")
    await other.open_interaction(waiting)
    await other.sign_up("Grace")
    await other.decide("approved", memory="kept")
    assert (await late.poll(waiting)).status == 200
    outside.append(await checkpoint(database, world))
    await world.close()
    await database.close()

    restored = await open_database(copy)
    keys = [audit_key().current.public]
    assert (await verify(restored, PS, keys, outside=outside[:1])).good
    assert (await verify(restored, PS, keys)).good, "by itself an older copy is whole"
    report = await verify(restored, PS, keys, outside=outside)
    assert any("tail was cut off" in finding.what for finding in report.findings)
    assert any("not on record" in finding.what for finding in report.findings)

    world = served_by(world, restored)
    await world.server.start()
    answer = await agent.ask_person_token()
    assert answer.status == 200 and "person_token" in body(answer), "what was agreed to before is remembered"
    browser.world = world
    assert (await browser.get("/")).status == 200
    assert (await verify(restored, PS, keys, outside=outside[:1])).good
    await world.close()
    await restored.close()


def served_by(world: World, database: Database) -> World:
    """The same world, its server on another database."""
    world.servers.clear()
    world.database = database
    world.server = world.make_server(database)
    return world
