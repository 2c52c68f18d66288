"""A small real server with the sample pages, real accounts and real sessions, for a real browser."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from aauthkit.accounts import MIGRATIONS, Accounts, Session
from aauthkit.accounts.passwords import Argon2id
from aauthkit.asgi import Asgi
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import WireError
from aauthkit.serving import Request, Route, Routes
from aauthkit.store import open_database
from aauthkit.web import static_routes
from tests.unit.web.sample import HOSTILE, KIND, pages

PASSWORD = "a boat of seven cats"


class Site:
    """The server at `origin`; `foreign` is the same machine under a name of somebody else's."""

    def __init__(self, accounts: Accounts, port: int) -> None:
        self.accounts = accounts
        self.origin = accounts.issuer
        self.foreign = f"http://evil.localhost:{port}"
        self.pages = pages(loopback=True)
        self.waiting = 0
        self.beats = 0
        self.outcomes: Counter[str] = Counter()
        self.decided: list[dict[str, list[str]]] = []
        self.routes = Routes(
            *static_routes(),
            Route("GET", "/signin", self.show_sign_in),
            Route("POST", "/signin", self.sign_in),
            Route("GET", "/kind", self.kind),
            Route("GET", "/hostile", self.hostile),
            Route("POST", "/decide", self.decide),
            Route("GET", "/", self.home),
            Route("POST", "/alive", self.alive),
            Route("GET", "/evil", self.evil),
        )

    async def answer(self, request: Request) -> Answer:
        return await self.routes.answer(request)

    async def _page(self, template: str, session: Session, **context: object) -> Answer:
        return self.accounts.with_session(self.pages.page(template, session=session, **context), session)

    async def show_sign_in(self, request: Request) -> Answer:
        return await self._page("signin.html", await self.accounts.session(request), error=None, name="")

    async def sign_in(self, request: Request) -> Answer:
        session, form = await self.accounts.session(request), await request.read_form()
        self.accounts.check_post(request, session, form)
        account = await self.accounts.sign_in(form["name"], form["password"], peer=request.peer)
        bound = await self.accounts.bind(session, account)
        return self.accounts.with_session(self.pages.see_other("/kind"), bound)

    async def kind(self, request: Request) -> Answer:
        return await self._page("decision.html", await self.accounts.session(request), **KIND)

    async def hostile(self, request: Request) -> Answer:
        return await self._page("decision.html", await self.accounts.session(request), **HOSTILE)

    async def decide(self, request: Request) -> Answer:
        session, form = await self.accounts.session(request), await request.read_form_lists()
        try:
            self.accounts.check_post(request, session, form)
        except WireError as error:
            self.outcomes[error.code] += 1
            return self.pages.problem(error, session=session)
        self.outcomes["decided"] += 1
        self.decided.append(form)
        return self.pages.see_other("/")

    async def home(self, request: Request) -> Answer:
        session = await self.accounts.session(request)
        return await self._page("waiting.html", session, count=self.waiting, alive="/alive", refresh=10)

    async def alive(self, request: Request) -> Answer:
        session = await self.accounts.session(request)
        self.accounts.check_post(request, session, await request.read_form())
        self.beats += 1
        return Answer(204)

    async def evil(self, request: Request) -> Answer:
        """A page of somebody else's: ours in a frame, and a form with whatever token it could get hold of."""
        token = request.query.get("token", "")
        html = f"""<!doctype html><title>x</title><iframe src="{self.origin}/kind"></iframe>
            <form method="post" action="{self.origin}/decide">
            <input name="csrf" value="{token}"><button>Go</button></form>"""
        return Answer(200, (("content-type", "text/html"),), html.encode())


@asynccontextmanager
async def serve() -> AsyncIterator[Site]:
    """The site on a free port of loopback, in the test's own loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    database = await open_database("sqlite://:memory:")
    await database.migrate(MIGRATIONS)
    accounts = Accounts(
        database,
        issuer=f"http://person.localhost:{port}",
        loopback=True,
        hasher=Argon2id(time_cost=1, memory_cost=8, parallelism=1),
    )
    await accounts.sign_up("Ada", PASSWORD)
    site = Site(accounts, port)
    config = uvicorn.Config(Asgi(site), http="h11", ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield site
    finally:
        server.should_exit = True
        server.force_exit = True
        await running
        listener.close()
        await database.close()
