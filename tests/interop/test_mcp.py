"""The official MCP SDK, unchanged, over real TLS: signed, challenged in the middle of a call, consented, authorized.

Client and server are the code of docs/mcp.md.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context

import tests.plugins.world as worlds
from aauthkit.agent import Denied
from aauthkit.protocol.headers import parse_requirement
from aauthkit.protocol.messages import header_values
from aauthkit.store import open_database
from tests.plugins.documents import Document, Terminal
from tests.plugins.recording import Recorder
from tests.plugins.tls import Authority
from tests.plugins.visiting import Someone
from tests.plugins.world import World, open_world

pytestmark = pytest.mark.anyio

PRICES = "https://prices.example"
ENDPOINT = f"{PRICES}/mcp"
PAGE = Document("mcp.md")
LAMPS = {"item": "lamp", "quantity": 3}


@dataclass
class Place:
    """The server of the page under its name, an enrolled `planner`, and a person."""

    world: World
    prices: Recorder
    module: Any
    ada: Someone

    async def allow(self, errand: Any) -> None:
        """The person comes and agrees to both questions: whom the agent acts for, and what it may do."""
        await self.ada.comes(errand)
        await self.ada.approves()
        await self.ada.finds()
        await self.ada.approves("prices.quote")

    def levels(self) -> list[str]:
        return [one.level for one in self.prices.seen if one.path == "/mcp"]


OpenPlace = Callable[..., Any]


@pytest.fixture
def open_place(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenPlace:
    monkeypatch.setattr(worlds, "IDENTIFIERS", (*worlds.IDENTIFIERS, PRICES))
    monkeypatch.setenv("SSH_CONNECTION", "a terminal, wherever this runs")
    monkeypatch.delenv("DISPLAY", raising=False)

    @asynccontextmanager
    async def opened(*headings: str) -> AsyncIterator[Place]:
        database = await open_database("sqlite://:memory:")
        async with open_world(authority, tmp_path, database, clock=time.time) as world:
            monkeypatch.setenv("AAUTHKIT_EGRESS", str(world.egress_file))
            monkeypatch.setenv("AAUTHKIT_HOME", str(world.home))
            monkeypatch.chdir(tmp_path)
            module = PAGE.module(monkeypatch, *(block for heading in headings for block in PAGE.blocks(heading)))
            prices = await world.serve(PRICES, module.app)
            await world.admit("planner")
            yield Place(world, prices, module, await world.person("Ada"))
        await database.close()

    return opened


def responses(place: Place) -> list[tuple[str, int]]:
    """Methods as their messages named them, and how each was answered."""
    return [
        (header_values(one.headers, "mcp-method")[0], one.status) for one in place.prices.seen if one.path == "/mcp"
    ]


async def test_the_client_and_the_server_of_the_page_meet(
    open_place: OpenPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both as they stand in docs/mcp.md: one consent, then signed requests with an auth token (§6.4, §6.5)."""
    connecting, _ = PAGE.blocks("A client")
    async with open_place("A server") as place:
        running = asyncio.create_task(PAGE.run(connecting))
        await place.allow(await Terminal(capsys).errand())
        names = await running
        assert [tool.name for tool in names["tools"].tools] == ["quote"]
        (sub,) = {one.sub for one in await place.world.ps.steward.issued() if one.aud == PRICES}
        assert names["answer"].structured_content == {"item": "lamp", "total": 135, "for": sub}
        assert place.levels() == ["aa-person+jwt", *["aa-auth+jwt"] * 3]
        assert responses(place) == [
            ("server/discover", 401),
            ("server/discover", 200),
            ("tools/list", 200),
            ("tools/call", 200),
        ]


async def test_f43_consent_comes_in_the_middle_of_a_tool_call(open_place: OpenPlace) -> None:
    """F43: an agent may look at the tools; the first call of one waits for the person, and MCP sees one answer."""
    async with open_place("A server", "A need for each tool") as place:
        planner = await place.world.enrol("buyer")
        async with Client(streamable_http_client(ENDPOINT, http_client=planner.client.client)) as prices:
            assert [tool.name for tool in (await prices.list_tools()).tools] == ["quote"]
            assert set(place.levels()) == {"aa-agent+jwt"} and planner.opened == 0
            call = asyncio.create_task(prices.call_tool("quote", LAMPS))
            await place.allow(await planner.errand())
            assert (await call).structured_content["total"] == 135
            assert (await prices.call_tool("quote", LAMPS)).structured_content["total"] == 135
        called = [(method, status) for method, status in responses(place) if method == "tools/call"]
        assert called[-2:] == [("tools/call", 200), ("tools/call", 200)]
        assert {status for _, status in called[:-2]} == {401}
        assert place.levels()[-2:] == ["aa-auth+jwt", "aa-auth+jwt"]
        assert planner.opened == 1


async def test_a_202_to_a_notification_goes_through_untouched(open_place: OpenPlace) -> None:
    """§11.8.2: the handshake of earlier versions posts a notification, answered 202 without AAuth-Requirement."""
    async with open_place("A server", "A need for each tool") as place:
        planner = await place.world.enrol("buyer")
        transport = streamable_http_client(ENDPOINT, http_client=planner.client.client)
        connecting = asyncio.create_task(_listed(Client(transport, mode="legacy")))
        await place.allow(await planner.errand())
        assert await connecting == ["quote"]
        answered = [one for one in place.prices.seen if one.path == "/mcp" and one.status == 202]
        assert [one.level for one in answered] == ["aa-auth+jwt"]
        assert planner.opened == 1
        assert place.world.issuing() == (1, 1)


async def _listed(client: Client) -> list[str]:
    async with client as prices:
        return [tool.name for tool in (await prices.list_tools()).tools]


async def test_progress_streams_while_a_tool_works(open_place: OpenPlace) -> None:
    """What a server sends before its answer is handed on as it comes, signed request or not."""
    async with open_place("A server", "A need for each tool") as place:

        @place.module.server.tool()
        async def slow(context: Context[Any, Any]) -> dict[str, int]:
            """Something that takes a while."""
            await context.report_progress(1, 2)
            await seen.wait()
            return {"done": 1}

        seen, told = asyncio.Event(), []

        async def progress(done: float, total: float | None, _message: str | None) -> None:
            told.append((done, total))
            seen.set()

        planner = await place.world.enrol("buyer")
        async with Client(streamable_http_client(ENDPOINT, http_client=planner.client.client)) as prices:
            call = asyncio.create_task(prices.call_tool("slow", {}, progress_callback=progress))
            await place.allow(await planner.errand())
            assert (await call).structured_content == {"done": 1}
        assert told == [(1, 2)]


async def test_a_persons_no_ends_the_call_by_its_name(
    open_place: OpenPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    """§11.9.4: the block of the page that catches it; no tool was called."""
    connecting, refusing = PAGE.blocks("A client")
    async with open_place("A server") as place:
        names = await PAGE.run(connecting.partition("async with (")[0])
        running = asyncio.create_task(PAGE.run(refusing, names))
        await place.ada.comes(await Terminal(capsys).errand())
        await place.ada.denies()
        assert (await running)["refused"] is True
        assert responses(place) == []


async def test_a_denied_call_leaves_no_more_than_its_error(open_place: OpenPlace) -> None:
    """The agent's error is there by type, inside the group that the SDK's task group makes of it."""
    async with open_place("A server", "A need for each tool") as place:
        planner = await place.world.enrol("buyer")
        with pytest.RaisesGroup(Denied, allow_unwrapped=True, flatten_subgroups=True):
            async with Client(streamable_http_client(ENDPOINT, http_client=planner.client.client)) as prices:
                call = asyncio.create_task(prices.call_tool("quote", LAMPS))
                await place.ada.comes(await planner.errand())
                await place.ada.denies()
                await call


# What must be refused


def message(method: str, **params: Any) -> dict[str, Any]:
    """A message of version 2026-07-28."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


FIELDS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2026-07-28"}


@pytest.mark.parametrize(
    "fields",
    [
        {"mcp-method": "tools/call"},
        {},
        {"mcp-method": "tools/list", "mcp-protocol-version": "2025-06-18"},
        {"mcp-method": "tools/list", "mcp-protocol-version": "2099-01-01"},
        {"mcp-method": "Tools/List"},
    ],
    ids=["a call", "no method", "an earlier version", "an unknown version", "another spelling"],
)
async def test_what_does_not_say_that_it_only_looks_needs_the_grant(
    open_place: OpenPlace, fields: dict[str, str]
) -> None:
    """The need of a request is the strictest, unless its fields are exactly those of one that is open to agents."""
    async with open_place("A server", "A need for each tool") as place:
        agent = place.world.restarted("planner")
        call = agent.call(
            "POST", ENDPOINT, json=message("tools/call", name="quote", arguments=LAMPS), headers={**FIELDS, **fields}
        )
        await agent.errand()
        assert {one.status for one in place.prices.seen if one.path == "/mcp"} <= {0, 401}
        assert not call.done()


async def test_a_body_that_does_not_what_its_fields_say_is_refused_by_the_server(open_place: OpenPlace) -> None:
    """What makes the page's `need_of` right: the SDK compares the fields it was decided by with the body."""
    async with open_place("A server", "A need for each tool") as place:
        agent = place.world.restarted("planner")
        body = message("tools/call", name="quote", arguments=LAMPS)
        response = await agent.call("POST", ENDPOINT, json=body, headers={**FIELDS, "mcp-method": "tools/list"})
        assert response.status == 400
        assert "does not match" in response.json()["error"]["message"]
        assert place.levels() == ["aa-agent+jwt"]


async def test_two_methods_in_the_fields_need_the_grant(open_place: OpenPlace) -> None:
    """A field that stands twice could be read in two ways, so it opens nothing."""
    async with open_place("A server", "A need for each tool") as place:
        headers = [
            (b"mcp-protocol-version", b"2026-07-28"),
            (b"mcp-method", b"tools/list"),
            (b"mcp-method", b"tools/call"),
        ]
        assert place.module.need_of({"headers": headers}) == place.module.quoting
        assert place.module.need_of({"headers": headers[:2]}) == place.module.looking


async def test_who_comes_unsigned_gets_one_answer(open_place: OpenPlace) -> None:
    """§6: 401 with what to present, and no tool, no list, no session."""
    async with open_place("A server", "A need for each tool") as place:
        async with httpx2.AsyncClient(transport=place.world.egress.async_transport()) as http:
            response = await http.post(
                ENDPOINT, json=message("tools/list"), headers={**FIELDS, "mcp-method": "tools/list"}
            )
        assert response.status_code == 401
        asked = parse_requirement([response.headers["aauth-requirement"]])
        assert asked is not None and asked.value == "agent-token"
        assert "quote" not in json.dumps(dict(response.headers)) + response.text
