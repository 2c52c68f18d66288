"""The whole of it for real: provider, person server and APIs under their own names, over TLS, on either engine.

    planner = await real_world.enrol("planner")
    ada = await real_world.person("Ada")
    call = planner.get("/orders")                 # goes on while the test does what follows
    await ada.comes(await planner.errand())       # real pages, real forms
    await ada.approves()
    response = await call

Every server is a real uvicorn on a port of loopback; all of them and the test share one event loop. Time passes when a
test says so (`pass_time`); an agent's pauses take none.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from aauthkit.accounts import Accounts
from aauthkit.agent import Agent, AgentHome, Callback, Errand
from aauthkit.agent.watching import Event, Obtained
from aauthkit.asgi import App, Asgi, Receive, Scope, Send
from aauthkit.deferred import CHANNEL
from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, Http
from aauthkit.enrollment import refresh
from aauthkit.keys import FixedKey
from aauthkit.outbound import Credential, Outbound, Pending
from aauthkit.person import PersonServer
from aauthkit.protocol.headers import parse_requirement
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.provider import AgentProvider
from aauthkit.resource import Resource
from aauthkit.serving import Request, Route, Routes
from aauthkit.store import Database, open_database
from aauthkit.trust import ANY, Trust
from tests.plugins.orders import SCOPES, orders_api
from tests.plugins.people import QuickHasher
from tests.plugins.recording import Recorder, Waiting
from tests.plugins.serving import reserved, served
from tests.plugins.signing import new_key
from tests.plugins.simulators import AgentClient, Outcome
from tests.plugins.tls import Authority, Clock, signing_key
from tests.plugins.visiting import PASSWORD, PATIENCE, Someone

PROVIDER = "https://agents.example"
PS = "https://ps.example"
API = "https://api.example"
OTHER = "https://other.example"
PLAIN = "https://plain.example"
"""A resource that publishes no metadata."""
ELSEWHERE = "https://elsewhere.example"
"""A site that knows nothing of AAuth."""
IDENTIFIERS = (PROVIDER, PS, API, OTHER, PLAIN, ELSEWHERE)


async def greet(_request: Request) -> Answer:
    """Says hello to anybody."""
    return Answer(200, (("content-type", "text/plain"),), b"hello")


def a_site() -> App:
    """A site that knows nothing of AAuth."""
    return Asgi(Routes(Route("GET", "/page", greet)))


def without_metadata(app: App) -> App:
    """`app` with its well-known document taken away."""

    async def served_bare(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/.well-known/aauth-"):
            scope = {**scope, "path": "/nothing", "raw_path": b"/nothing"}
        await app(scope, receive, send)

    return served_bare


@cache
def tls_of(authority: Authority) -> ssl.SSLContext:
    """The certificates trusted here, read once for a whole run."""
    return Egress(ca_file=authority.ca_file).tls()


class Traveller:
    """An agent with one client, and what it does: whom it calls, what it is told, where it sends people."""

    def __init__(self, agent: Agent, sync: bool, settings: dict[str, Any]) -> None:
        self.agent = agent
        self.events: list[Event] = []
        self._loop = asyncio.get_running_loop()
        self._errands: asyncio.Queue[Errand] = asyncio.Queue()
        self._calls: list[asyncio.Task[Outcome]] = []
        self.opened = 0
        channel = Callback(self._sent)
        self.client = AgentClient(agent, sync, **{"person": channel, "watch": self.events.append, **settings})

    def _sent(self, errand: Errand) -> None:
        self.opened += 1
        self._loop.call_soon_threadsafe(self._errands.put_nowait, errand)

    def call(self, method: str, url: str, **settings: Any) -> asyncio.Task[Outcome]:
        """A request that is on its way; a path is one of the API."""
        url = f"{API}{url}" if url.startswith("/") else url
        self._calls.append(asyncio.create_task(self.client.request(method, url, **settings)))
        return self._calls[-1]

    def get(self, url: str, **settings: Any) -> asyncio.Task[Outcome]:
        return self.call("GET", url, **settings)

    async def errand(self) -> Errand:
        """Where the agent sends its person next; the failure of its last call if that ends before."""
        shown = asyncio.create_task(self._errands.get())
        await asyncio.wait({shown, *self._calls[-1:]}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not shown.done():
            shown.cancel()
            over = [call.result() for call in self._calls[-1:] if call.done()]
            raise AssertionError(f"the agent sends nobody anywhere; its call: {over}")
        return shown.result()

    def obtained(self, typ: str) -> list[dict[str, Any]]:
        """The claims of the tokens of this type that were issued to it."""
        return [dict(one.claims) for one in self.events if isinstance(one, Obtained) and one.typ == typ]

    @property
    def under_way(self) -> bool:
        return any(not call.done() for call in self._calls)

    async def close(self) -> None:
        for call in self._calls:
            if not call.done():
                call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self.client.aclose()


@dataclass
class ByHand:
    """An agent whose requests are made one by one, with its token in hand."""

    credential: Credential
    outbound: Outbound

    async def send(self, method: str, url: str, body: dict[str, Any] | None = None, *, wait: int = 0) -> Answer:
        return await self.outbound.call(method, url, self.credential, json_body=body, wait=wait)


ApiOf = Callable[["World"], App]


@dataclass
class World:
    """The servers and everybody around them."""

    authority: Authority
    folder: Path
    clock: Callable[[], float]
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    servers: dict[str, Recorder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._over: dict[str, asyncio.Event] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._all_up = asyncio.Event()
        self._travellers: list[Traveller] = []
        self.listeners = {identifier: reserved() for identifier in IDENTIFIERS}
        names = {_host(name): listener.getsockname() for name, listener in self.listeners.items()}
        self.egress = Egress(names=names, ca_file=self.authority.ca_file, ssl_context=tls_of(self.authority))
        self.egress_file = self.folder / "egress.json"
        written = {host: f"{address}:{port}" for host, (address, port) in names.items()}
        self.egress_file.write_text(json.dumps({"names": written, "ca_file": str(self.authority.ca_file)}))
        self.home = self.folder / "home"

    # Servers

    async def start(self, database: Database, *, api: ApiOf | None = None, key: SigningKey) -> None:
        """Start them all; `api` makes another application than the usual for the API."""
        self.records, self._key = Waiting(database), key
        self.accounts = Accounts(database, issuer=PS, clock=self.clock, hasher=QuickHasher())
        self.provider = AgentProvider(
            PROVIDER,
            keys=FixedKey(signing_key(PROVIDER)),
            database=database,
            person_servers=[PS],
            egress=self.egress,
            clock=self.clock,
        )
        provider = Asgi(self.provider, start=self.provider.start, close=self.provider.close)
        usual = self.orders if api is None else lambda _: api(self)
        apps: dict[str, App] = {PROVIDER: provider, PS: self.person_server(), API: usual(API)}
        await asyncio.gather(*(self.serve(identifier, app) for identifier, app in apps.items()))
        self._all_up.set()

    def person_server(self) -> App:
        """The person server as a new process makes it: the same records and keys, and nothing remembered."""
        self.ps = PersonServer(
            PS,
            keys=FixedKey(self._key),
            database=cast("Database", self.records),
            discovery=self.discovery(),
            trust=Trust(agent_providers=frozenset({PROVIDER}), resources=ANY),
            accounts=self.accounts,
            clock=self.clock,
        )
        return Asgi(self.ps, start=self.ps.start, close=self.ps.close)

    def orders(self, identifier: str) -> App:
        """The usual API under this name."""
        resource = Resource(
            identifier,
            keys=FixedKey(signing_key(identifier)),
            scopes=SCOPES,
            name=f"Orders at {_host(identifier)}",
            person_servers=[PS],
            agent_providers=[PROVIDER],
            egress=self.egress,
            clock=self.clock,
        )
        return orders_api(resource)

    async def serve(self, identifier: str, app: App | None = None) -> Recorder:
        """Serve `app`, or the usual API, as `identifier`, until the end."""
        recorder = self.servers[identifier] = Recorder(app if app is not None else self.orders(identifier))
        started, over = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(self._serve(identifier, recorder, started, over))
        self._running[identifier], self._over[identifier] = running, over
        await asyncio.wait({running, waiting := asyncio.create_task(started.wait())}, return_when="FIRST_COMPLETED")
        waiting.cancel()
        if running.done():
            running.result()
        return recorder

    async def _serve(self, identifier: str, app: App, started: asyncio.Event, over: asyncio.Event) -> None:
        options = {"h11_max_incomplete_event_size": 64 * 1024, "timeout_graceful_shutdown": 0}
        listener = self.listeners[identifier]
        async with served(app, self.authority, _host(identifier), listener=listener, **options):
            started.set()
            await over.wait()

    async def restart_person_server(self) -> None:
        """End it and start it again on the same port; agents pause meanwhile."""
        self._all_up.clear()
        self._over[PS].set()
        await self._running[PS]
        self.listeners[PS] = reserved(self.egress.names[_host(PS)][1])
        await self.serve(PS, self.person_server())
        self._all_up.set()

    async def pause(self, _seconds: float) -> None:
        """An agent's pause, in a world whose clock stands still: until every server is there."""
        await asyncio.sleep(0)
        await self._all_up.wait()

    async def stop(self) -> None:
        """End every server, all at once."""
        for over in self._over.values():
            over.set()
        await asyncio.gather(*self._running.values())
        for listener in self.listeners.values():
            listener.close()

    def discovery(self) -> Discovery:
        http = Http(self.egress)
        discovery = Discovery(http, clock=self.clock)
        self._at_end(http.aclose)
        self._at_end(discovery.aclose)
        return discovery

    def _at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        self.stack.push_async_callback(close)

    @property
    def api(self) -> Recorder:
        return self.servers[API]

    def fetches(self) -> int:
        """How many documents were asked for, anywhere: metadata and keys."""
        return sum(1 for server in self.servers.values() for one in server.seen if one.path.startswith("/.well-known/"))

    def issuing(self) -> tuple[int, int]:
        """How often a person token and an auth token were asked for."""
        return self.servers[PS].count("POST", "/person"), self.servers[PS].count("POST", "/token")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and wake whoever waits so that they see it. An agent under way is held by then."""
        assert isinstance(self.clock, Clock)
        if any(traveller.under_way for traveller in self._travellers):
            async with asyncio.timeout(PATIENCE):
                while not self.records.held:
                    await asyncio.sleep(0.005)
        self.clock.advance(seconds)
        await self.records.notify(CHANNEL)

    # People and agents

    async def person(self, name: str) -> Someone:
        """Somebody with an account and a browser, made as an operator would."""
        await self.accounts.sign_up(name, PASSWORD, invite=await self.accounts.invite())
        return self.visitor(name)

    def visitor(self, name: str) -> Someone:
        """Somebody with a browser; who has the account of that name, if there is one."""
        someone = Someone(PS, self.egress, name)
        self._at_end(someone.close)
        return someone

    async def admit(self, name: str, **settings: Any) -> Agent:
        """Enrol an agent, admitted by the provider's operator; `settings` as of `Agent`."""

        async def approve(_pending: Pending) -> None:
            for request in await self.provider.pending():
                if request.name == name:
                    await self.provider.approve(request.id)

        return await Agent.enroll(
            name,
            provider=PROVIDER,
            person_server=PS,
            home=self.home,
            egress=self.egress,
            on_pending=approve,
            clock=self.clock,
            sleep=self.pause,
            **settings,
        )

    async def enrol(self, name: str, *, sync: bool = False, **settings: Any) -> Traveller:
        """A new agent with a client (`settings` as of `Agent.client`)."""
        return self.travels(await self.admit(name), sync=sync, **settings)

    def restarted(
        self, name: str, *, key: SigningKey | None = None, sync: bool = False, elsewhere: bool = False, **settings: Any
    ) -> Traveller:
        """The agent as a new process finds it: with what is on disk, or with nothing but `key`.

        `elsewhere`: on another machine, where it has nothing but its record, and makes a fresh key.
        """
        own: dict[str, Any] = {"shared_folder": None} if elsewhere else {}
        agent = Agent.load(name, home=self.home, egress=self.egress, key=key, clock=self.clock, sleep=self.pause, **own)
        return self.travels(agent, sync=sync, **settings)

    def travels(self, agent: Agent, *, sync: bool = False, **settings: Any) -> Traveller:
        """`agent` with a client of its own."""
        traveller = Traveller(agent, sync, settings)
        self._travellers.append(traveller)
        self._at_end(traveller.close)
        return traveller

    async def by_hand(self, name: str, key: SigningKey | None = None) -> ByHand:
        """The agent of that name with a token for `key`, or for a fresh one."""
        record, key = AgentHome(self.home).load(name), key or new_key()
        http, discovery = Http(self.egress), self.discovery()
        self._at_end(http.aclose)
        outbound = Outbound(http, clock=self.clock, sleep=self.pause)
        enrolled = await refresh(
            outbound,
            discovery,
            PROVIDER,
            record.durable,
            key,
            agent=str(record.agent),
            ps=PS,
            clock=self.clock,
        )
        return ByHand(Credential.from_token(key, enrolled.agent_token), outbound)

    def errand_of(self, answer: Answer) -> Errand:
        """Where a 202 sends the person."""
        requirement = parse_requirement(answer.values("aauth-requirement"))
        assert requirement is not None and requirement.value == "interaction", requirement
        url, code = requirement.text("url"), requirement.text("code")
        return Errand(f"{url}?code={code}", url, code, requirement.value, PS)

    async def acquainted(self, agent: Traveller, someone: Someone, *scope: str, memory: str = "kept") -> None:
        """Lead `agent` through its first call, with `someone` approving it and `scope` at the API."""
        call = agent.get("/orders" if scope else "/me")
        await someone.comes(await agent.errand())
        await someone.approves(memory=memory)
        if scope:
            await someone.finds()
            await someone.approves(*scope, memory=memory)
        assert (await call).status == 200


def _host(identifier: str) -> str:
    return identifier.removeprefix("https://")


@asynccontextmanager
async def open_world(
    authority: Authority,
    folder: Path,
    database: Database,
    *,
    clock: Callable[[], float],
    api: ApiOf | None = None,
    key: SigningKey | None = None,
) -> AsyncIterator[World]:
    """A world on one database, as `World.start` makes it; `key` signs for the person server."""
    world = World(authority, folder, clock)
    async with world.stack as stack:
        stack.push_async_callback(world.stop)
        await world.start(database, api=api, key=key or signing_key(PS))
        yield world


@pytest.fixture
async def real_world(authority: Authority, database: Database, clock: Clock, tmp_path: Path) -> AsyncIterator[World]:
    """Everybody, on each engine in turn, at a time that stands still."""
    async with open_world(authority, tmp_path, database, clock=clock) as world:
        yield world


@pytest.fixture
async def quick_real_world(authority: Authority, clock: Clock, tmp_path: Path) -> AsyncIterator[World]:
    """The same on SQLite in memory, for what no engine decides."""
    database = await open_database("sqlite://:memory:")
    async with open_world(authority, tmp_path, database, clock=clock) as world:
        yield world
    await database.close()
