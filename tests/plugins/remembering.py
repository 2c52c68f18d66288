"""A resource with a store and a clock of its own, for tests of what it remembers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aauthkit.callers import Session
from aauthkit.protocol.messages import Answer
from aauthkit.resource import Need, Resource, SessionGrant, Visit
from aauthkit.resource.asgi import CALLER, AAuthMiddleware
from aauthkit.serving import BytesBody, Request
from aauthkit.store import Database
from tests.plugins.resources import API, World, ask, requirement
from tests.plugins.signing import NOW, Signer

PAGE = "/connect"


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Office:
    """A resource behind the middleware: `/s` needs a session, `/a` an agent, `/g` a grant, all of it on record."""

    database: Database
    world: World = field(default_factory=World)
    clock: Clock = field(default_factory=Clock)
    options: dict[str, Any] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)
    needs: dict[str, Need] = field(default_factory=dict)
    handler: Callable[[Any, Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        self.resource = self.build()
        self.app = self.middleware(self.resource)

    def build(self) -> Resource:
        settings = {"store": self.database, "clock": self.clock, **self.options}
        resource = self.world.resource(**settings)
        resource.interaction(self.page)
        return resource

    def page(self, visit: Visit) -> str:
        self.visits.append(visit)
        return PAGE

    def middleware(self, resource: Resource) -> AAuthMiddleware:
        table = {
            "/s": resource.session(),
            "/read": resource.session("orders.read"),
            "/a": resource.agent(),
            "/g": resource.grant("orders.read"),
            "/p": resource.person(),
            "/key": resource.session(schemes=("hwk",)),
        }
        self.needs = table
        return AAuthMiddleware(self._inner, resource, lambda scope: table.get(scope["path"]))

    async def _inner(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope.get(CALLER))
        if self.handler is not None:
            await self.handler(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def get(self, signer: Signer | None, path: str, token: str | None = None, method: str = "GET") -> Answer:
        headers = [("authorization", f"AAuth {token}")] if token is not None else []
        if signer is None:
            return await ask(self.app, Request(method, path, tuple(headers)))
        return await ask(self.app, signer.sign(method, API + path, headers=headers, now=int(self.clock.now)))

    async def post(self, signer: Signer, path: str, body: object, **knobs: Any) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await ask(self.app, signer.sign("POST", API + path, body=raw, now=int(self.clock.now), **knobs))

    async def session(self, signer: Signer, subject: str = "user-1", **grant: Any) -> str:
        """A session token for whoever `signer` is, as the application opens one."""
        request = signer.sign("GET", f"{API}/x", now=int(self.clock.now))
        need = (
            self.resource.agent(schemes=("hwk",))
            | self.resource.key()
            | self.resource.person()
            | self.resource.server()
        )
        caller = (await self.resource.decide(request, need)).caller
        return await self.resource.open_session(caller, SessionGrant(subject, **grant))

    @property
    def caller(self) -> Session:
        """Who reached the application last."""
        assert isinstance(self.seen[-1], Session)
        return self.seen[-1]


def path_of(answer: Answer) -> str:
    """The path of a pending URL."""
    location = answer.header("location") or ""
    assert location.startswith(f"{API}/")
    return location.removeprefix(API)


def page_of(answer: Answer) -> tuple[str, str]:
    """The path of the page that a 202 names, and its code."""
    asked = requirement(answer)
    assert asked is not None
    assert (answer.status, asked.value) == (202, "interaction")
    return asked.text("url").removeprefix(API), asked.text("code")


def form(path: str, headers: tuple[tuple[str, str], ...] = (), **fields: str) -> Request:
    """A browser's post."""
    body = urlencode(fields).encode()
    sent = (("content-type", "application/x-www-form-urlencoded"), ("content-length", str(len(body))), *headers)
    return Request("POST", path, sent, BytesBody(body))


def error_of(answer: Answer) -> str:
    """The error of a problem body."""
    return str(json.loads(answer.body)["error"])
