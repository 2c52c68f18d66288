"""A disk that is full, a database that takes no more: answered 503, nothing half done, and well again afterwards."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aauthkit.audit import verify
from aauthkit.store import Database, open_database
from tests.plugins.people import PS, RESOURCE, AgentParty, Browser, World, body, error_of
from tests.plugins.stores import PostgresServer

pytestmark = pytest.mark.anyio

OTHER = "https://stock.example"


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """No file grows beyond what the database's files are now: the system refuses to write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    longest = max(path.stat().st_size for path in folder.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def counted(database: Database) -> dict[str, int]:
    """How many records there are of each kind."""
    tables = ("questions", "pending", "person_decisions", "person_issued", "revocation_outbox", "audit_entries")
    rows = {table: await database.fetch_one(f"SELECT count(*) AS total FROM {table}") for table in tables}
    return {table: row["total"] for table, row in rows.items() if row is not None}


async def everything_is_refused(world: World, agent: AgentParty, browser: Browser) -> None:
    """Until the disk takes more: whatever was asked, the answer is to come again."""
    before, page = await counted(world.database), browser.page
    for _ in range(5):
        answer = await agent.ask_person_token("https://new.example")
        assert (answer.status, answer.header("retry-after") is not None) == (503, True), answer.body
        assert error_of(answer) == (503, "server_error")
        assert (await browser.decide("approved", memory="kept")).status == 503
        assert (await world.revoke(agent.token)).status == 503
        browser.page = page  # which is still open in front of the person
    assert await counted(world.database) == before


async def as_if_nothing_had_been(world: World, agent: AgentParty, browser: Browser, waiting: object) -> None:
    """What waited is decided, and the log proves it."""
    await browser.decide("approved", memory="kept")
    answer = await agent.poll(waiting)  # type: ignore[arg-type]
    assert answer.status == 200 and "person_token" in body(answer)
    assert (await world.revoke(agent.token)).status in (200, 202)
    row = await world.database.fetch_one("SELECT count(*) AS total FROM person_issued WHERE revoked IS NULL")
    assert row is not None and row["total"] == 0
    report = await verify(world.database, PS, [])
    assert report.good and report.entries, report.findings


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[World]:
    """On a file, which the disk below it limits; its log is not brought in meanwhile."""
    database = await open_database(f"sqlite:///{tmp_path / 'records' / 'person.db'}")
    world = World(database)
    world.publish_resource(revocation_endpoint=f"{RESOURCE}/revoke")
    await world.server.start()
    yield world
    await world.close()
    await database.close()


async def test_f86_a_full_disk_is_a_503_and_nothing_is_half_done(embedded: World, tmp_path: Path) -> None:
    """SQLite: the system refuses to write."""
    world = embedded
    agent, browser, _ = await world.introduced()
    waiting = await agent.ask_person_token(OTHER)
    assert waiting.status == 202
    await browser.open_next()
    with full(tmp_path / "records"):
        await everything_is_refused(world, agent, browser)
    await as_if_nothing_had_been(world, agent, browser, waiting)


async def test_f86_a_database_that_may_grow_no_more_is_a_503(embedded: World) -> None:
    """SQLite: the file has all the pages it may have."""
    world = embedded
    agent, browser, _ = await world.introduced()
    waiting = await agent.ask_person_token(OTHER)
    await browser.open_next()
    pen = world.database._pen  # type: ignore[attr-defined]
    (pages,) = pen.execute("PRAGMA page_count").fetchone()
    pen.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    refused = 0
    for number in range(200):
        answer = await agent.ask_person_token(f"https://r{number}.example")
        refused += answer.status == 503
        assert answer.status in (202, 429, 503), answer.body
        decided = await browser.post("/nowhere", [("verdict", "approved")])
        assert decided.status in (403, 404, 503)
        agent = world.agent(f"agent-{number}") if answer.status == 429 else agent
    assert refused, "there was room for everything"
    pen.execute("PRAGMA max_page_count = 1000000").fetchall()
    agent = AgentParty(world, "planner", agent.key) if agent.name != "planner" else agent
    assert (await world.agent("last").ask_person_token(OTHER)).status == 202
    assert waiting.status == 202
    assert (await verify(world.database, PS, [])).good


async def test_f86_a_postgresql_that_takes_no_more_is_a_503(postgres_server: PostgresServer) -> None:
    """What managed ones do where their disk is full: every transaction is read-only, and every session begins anew."""
    url = postgres_server.create()
    name = url.partition("?")[0].rpartition("/")[2]
    others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    database = await open_database(url)
    world = World(database)
    world.publish_resource(revocation_endpoint=f"{RESOURCE}/revoke")
    await world.server.start()
    try:
        agent, browser, _ = await world.introduced()
        waiting = await agent.ask_person_token(OTHER)
        await browser.open_next()
        postgres_server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgres_server.run(others)
        await everything_is_refused(world, agent, browser)
        postgres_server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        postgres_server.run(others)
        await as_if_nothing_had_been(world, agent, browser, waiting)
    finally:
        await world.close()
        await database.close()
        postgres_server.drop(url)
