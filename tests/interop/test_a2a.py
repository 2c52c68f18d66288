"""The official A2A SDK, unchanged, over real TLS: its httpx client signed, challenged, consented and authorized.

Client and server are the code of docs/a2a.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.helpers import get_stream_response_text, new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import GetTaskRequest, Role, SendMessageRequest, TaskState
from a2a.utils.errors import TaskNotFoundError

import tests.plugins.world as worlds
from aauthkit.agent import Denied, Errand
from aauthkit.protocol.headers import parse_requirement
from aauthkit.store import open_database
from tests.plugins.documents import Document, Terminal
from tests.plugins.recording import Recorder
from tests.plugins.tls import Authority
from tests.plugins.visiting import Someone
from tests.plugins.world import World, open_world

pytestmark = pytest.mark.anyio

STOCK = "https://stock.example"
CARD = "/.well-known/agent-card.json"
PAGE = Document("a2a.md")


@dataclass
class Buyer:
    """An agent with an A2A client of its own, and where it sends its person."""

    http: httpx.AsyncClient
    errands: asyncio.Queue[Errand]

    async def client(self, *, streaming: bool = True) -> Client:
        config = ClientConfig(httpx_client=self.http, streaming=streaming)
        return await ClientFactory(config).create_from_url(STOCK)


@dataclass
class Place:
    """The server of the page under its name, an enrolled `planner`, and a person."""

    world: World
    stock: Recorder
    module: Any
    ada: Someone

    async def allow(self, errand: Errand, someone: Someone | None = None) -> None:
        """The person comes and agrees to both questions: whom the agent acts for, and what it may do."""
        person = someone or self.ada
        await person.comes(errand)
        await person.approves()
        await person.finds()
        await person.approves("stock.count")

    async def buyer(self, name: str) -> Buyer:
        errands: asyncio.Queue[Errand] = asyncio.Queue()
        agent = await self.world.admit(name, person=worlds.Callback(errands.put_nowait))
        http = httpx.AsyncClient(transport=agent.transport(), timeout=httpx.Timeout(30, read=300))
        self.world.stack.push_async_callback(http.aclose)
        return Buyer(http, errands)

    def levels(self, path: str) -> list[str]:
        return [one.level for one in self.stock.seen if one.path == path]


OpenPlace = Callable[[], Any]


@pytest.fixture
def open_place(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenPlace:
    monkeypatch.setattr(worlds, "IDENTIFIERS", (*worlds.IDENTIFIERS, STOCK))
    monkeypatch.setenv("SSH_CONNECTION", "a terminal, wherever this runs")
    monkeypatch.delenv("DISPLAY", raising=False)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Place]:
        database = await open_database("sqlite://:memory:")
        async with open_world(authority, tmp_path, database, clock=time.time) as world:
            monkeypatch.setenv("AAUTHKIT_EGRESS", str(world.egress_file))
            monkeypatch.setenv("AAUTHKIT_HOME", str(world.home))
            monkeypatch.chdir(tmp_path)
            module = PAGE.module(monkeypatch, *PAGE.blocks("A server"))
            stock = await world.serve(STOCK, module.app)
            await world.admit("planner")
            yield Place(world, stock, module, await world.person("Ada"))
        await database.close()

    return opened


def saying(text: str) -> SendMessageRequest:
    return SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))


async def said(client: Client, text: str) -> list[str]:
    return [get_stream_response_text(event) async for event in client.send_message(saying(text))]


async def test_the_client_and_the_server_of_the_page_meet(
    open_place: OpenPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both as they stand in docs/a2a.md: one consent, then a signed request with an auth token (§6.4, §6.5)."""
    (asking,) = PAGE.blocks("A client")
    async with open_place() as place:
        running = asyncio.create_task(PAGE.run(asking))
        await place.allow(await Terminal(capsys).errand())
        names = await running
        (sub,) = {one.sub for one in await place.world.ps.steward.issued() if one.aud == STOCK}
        assert names["answers"] == [f"12 lamps, for {sub}"]
        assert place.levels(CARD) == ["aa-person+jwt"]
        assert place.levels("/a2a") == ["aa-person+jwt", "aa-auth+jwt"]
        assert place.stock.statuses("POST", "/a2a") == [401, 200]


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "at once"])
async def test_f43_consent_comes_in_the_middle_of_a_message(open_place: OpenPlace, streaming: bool) -> None:
    """F43: the client is made and its message sent before anybody was asked for the grant; A2A sees one answer."""
    async with open_place() as place:
        buyer = await place.buyer("buyer")
        making = asyncio.create_task(buyer.client(streaming=streaming))
        await place.ada.comes(await buyer.errands.get())
        await place.ada.approves()
        asking = asyncio.create_task(said(await making, "How many lamps?"))
        await place.ada.finds()
        assert place.ada.asked == ["stock.count"]
        await place.ada.approves("stock.count")
        assert [text.startswith("12 lamps, for ") for text in await asking] == [True]
        assert buyer.errands.empty()
        assert (await said(await buyer.client(), "And now?"))[0].startswith("12 lamps")
        assert place.levels("/a2a")[-1] == "aa-auth+jwt"


async def test_a_tasks_steps_stream_through_the_signed_request(open_place: OpenPlace) -> None:
    """Each event is handed on when it comes: the agent goes on only once the first one has been seen."""
    async with open_place() as place:
        seen = asyncio.Event()
        place.module.Stock.execute = _in_steps(seen)
        buyer = await place.buyer("buyer")
        making = asyncio.create_task(buyer.client())
        await place.ada.comes(await buyer.errands.get())
        await place.ada.approves()
        client = await making

        async def follow() -> list[str]:
            kinds = []
            async for event in client.send_message(saying("How many lamps?")):
                kinds.append(event.WhichOneof("payload"))
                seen.set()
            return kinds

        following = asyncio.create_task(follow())
        await place.ada.finds()
        await place.ada.approves("stock.count")
        assert await following == ["task", "status_update", "artifact_update", "status_update"]


def _in_steps(seen: asyncio.Event) -> Any:
    async def execute(_self: Any, context: RequestContext, queue: EventQueue) -> None:
        assert context.message is not None
        task = new_task_from_user_message(context.message)
        await queue.enqueue_event(task)
        await seen.wait()
        steps = TaskUpdater(queue, task.id, task.context_id)
        await steps.start_work()
        await steps.add_artifact([new_text_part("12")])
        await steps.complete()

    return execute


async def test_a_persons_no_is_raised_by_its_name(open_place: OpenPlace) -> None:
    """§11.9.4: out of the SDK's own call, and no executor has run."""
    async with open_place() as place:
        buyer = await place.buyer("buyer")
        making = asyncio.create_task(buyer.client())
        await place.ada.comes(await buyer.errands.get())
        await place.ada.approves()
        asking = asyncio.create_task(said(await making, "How many lamps?"))
        await place.ada.finds()
        await place.ada.denies()
        with pytest.raises(Denied):
            await asking
        assert place.stock.statuses("POST", "/a2a") == [401]


async def test_one_persons_task_is_not_found_by_anothers_agent(open_place: OpenPlace) -> None:
    """§13.7: who a task belongs to is the person of the verified grant, not whoever knows its number."""
    async with open_place() as place:
        seen = asyncio.Event()
        seen.set()
        place.module.Stock.execute = _in_steps(seen)
        bob = await place.world.person("Bob")
        mine = await _acquainted(place, await place.buyer("buyer"), place.ada)
        theirs = await _acquainted(place, await place.buyer("other"), bob)
        events = [event async for event in mine.send_message(saying("How many lamps?"))]
        task = await mine.get_task(GetTaskRequest(id=events[0].task.id))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        with pytest.raises(TaskNotFoundError):
            await theirs.get_task(GetTaskRequest(id=task.id))


async def _acquainted(place: Place, buyer: Buyer, person: Someone) -> Client:
    making = asyncio.create_task(buyer.client())
    await person.comes(await buyer.errands.get())
    await person.approves()
    client = await making
    asking = asyncio.create_task(said(client, "Hello"))
    await person.finds()
    await person.approves("stock.count")
    await asking
    return client


async def test_the_card_is_public_and_nothing_else(open_place: OpenPlace) -> None:
    """§6: unsigned, the card is served; a message is 401 with what to present, and so is whatever else is asked."""
    async with open_place() as place:
        async with httpx2.AsyncClient(transport=place.world.egress.async_transport()) as http:
            card = await http.get(f"{STOCK}{CARD}")
            refused = [await http.post(f"{STOCK}/a2a", json={}), await http.get(f"{STOCK}/tasks")]
        assert card.json()["name"] == "Stock"
        for response in refused:
            asked = parse_requirement([response.headers["aauth-requirement"]])
            assert (response.status_code, asked.value if asked else None) == (401, "person-token")
