"""What a resource keeps: found by an index, and what becomes of a request while it is out of reach (F85, F86)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aauthkit.resource import Resource, SessionGrant
from aauthkit.resource.asgi import AAuthMiddleware
from aauthkit.store import Database, StoreBusy, StoreError, StoreUnavailable, open_database
from tests.plugins.holding import Shop
from tests.plugins.remembering import Office, error_of, form, page_of, path_of
from tests.plugins.resources import API, World, ask
from tests.unit.resource.test_wsgi import Place, call

pytestmark = pytest.mark.anyio

TABLES = ("resource_sessions", "resource_asked", "resource_held")


class Noting:
    """A database that notes every statement which is run on it."""

    def __init__(self, database: Any, statements: set[str]) -> None:
        self._database = database
        self._statements = statements

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._database, name)
        if name not in ("fetch_one", "fetch_all", "execute"):
            return found

        async def noting(sql: str, /, **params: Any) -> Any:
            self._statements.add(sql)
            return await found(sql, **params)

        return noting

    def transaction(self) -> Any:
        return _Transaction(self._database.transaction(), self._statements)


class _Transaction:
    def __init__(self, inner: Any, statements: set[str]) -> None:
        self._inner = inner
        self._statements = statements

    async def __aenter__(self) -> Any:
        return Noting(await self._inner.__aenter__(), self._statements)

    async def __aexit__(self, *error: Any) -> Any:
        return await self._inner.__aexit__(*error)


async def test_f86_every_record_is_found_by_an_index(tmp_path: Path) -> None:
    """F86: the cost of a request does not grow with what is kept. Asked of the engine, not of a clock."""
    database = await open_database(tmp_path / "api.db")
    statements: set[str] = set()
    noting: Any = Noting(database, statements)
    office = Office(noting)
    agent = office.world.agent()
    token = await office.session(agent)
    await office.get(agent, "/s", token)
    await office.resource.replace_session(office.caller, SessionGrant("user-1"))
    first = await office.get(agent, "/s")
    page, code = page_of(first)
    await ask(office.app, form(page, code=code))
    await office.resource.complete(office.visits[-1].id, SessionGrant("user-1"))
    await office.get(agent, path_of(first))
    await office.get(agent, "/s")
    shop = Shop(noting, office.world, office.clock)
    pending = await shop.held()
    shop.clock.now += 301
    await shop.poll(pending, shop.person())
    await shop.poll(pending, shop.grant())
    await shop.poll(await shop.held(), shop.grant("orders.read"))

    ours = [sql for sql in statements if any(table in sql for table in TABLES) and "INSERT" not in sql]
    assert len(ours) > 12
    for sql in ours:
        names = {piece.rstrip(",)") for piece in sql.replace("(", " ").split() if piece.startswith(":")}
        plan = await database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", **{name[1:]: None for name in names})
        scans = [row["detail"] for row in plan if row["detail"].startswith("SCAN")]
        assert not scans, f"{' '.join(sql.split())}: {scans}"
    await database.close()


@pytest.mark.parametrize("error", [StoreBusy("another is writing"), StoreUnavailable("gone")])
async def test_records_out_of_reach_are_503_and_nothing_runs(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """§11.8.4: it passes, and the caller may come again; not 401, and not a fault of the application's."""
    office = Office(database)
    agent = office.world.agent()
    token = await office.session(agent)

    async def broken(*_args: Any, **_params: Any) -> Any:
        raise error

    monkeypatch.setattr(database, "fetch_one", broken)
    answer = await office.get(agent, "/s", token)
    assert (answer.status, error_of(answer), answer.header("retry-after")) == (503, "server_error", "5")
    assert b"writing" not in answer.body
    assert not office.seen


def test_records_out_of_reach_under_wsgi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path / "api.db")

    async def broken(*_args: Any) -> Any:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(place.resource, "decide", broken)
    answer = call(place.app, place.world.agent().sign("GET", f"{API}/s"))
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    place.app.close()


async def test_a_store_that_cannot_be_opened_keeps_the_application_from_starting(tmp_path: Path) -> None:
    """Better at start than at somebody's first request."""
    (tmp_path / "file").write_text("not a database, and long enough to be read as a page" * 100)
    resource: Resource = World().resource(store=tmp_path / "file")
    sent: list[Any] = []

    async def inner(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("it must not start")

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    with pytest.raises(StoreError):
        await AAuthMiddleware(inner, resource, lambda _scope: None)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.failed"]
