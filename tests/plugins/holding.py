"""A shop that holds the orders of whoever may not place them yet, and counts what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aauthkit.protocol.messages import Answer
from aauthkit.resource import Resource
from aauthkit.resource.asgi import CALLER, AAuthMiddleware
from aauthkit.store import Database
from tests.plugins.remembering import Clock, path_of
from tests.plugins.resources import API, World, ask
from tests.plugins.signing import Signer

ORDER = b'{"item":"lamp"}'
Answering = Callable[[Any, Any, Any], Awaitable[None]]


class Shop:
    """`/orders` holds calls that lack `orders.place`, and counts the orders it takes."""

    def __init__(self, database: Database, world: World | None = None, clock: Clock | None = None, **options: Any):
        self.database, self.world, self.clock = database, world or World(), clock or Clock()
        self.orders: list[tuple[str, bytes, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.gate: asyncio.Event | None = None
        self.answering: Answering | None = None
        self.start(**options)

    def start(self, **options: Any) -> None:
        """A process begins, on the records that are there."""
        self.resource: Resource = self.world.resource(store=self.database, clock=self.clock, **options)
        self.need = self.resource.grant("orders.place", deliver="202")
        self.app = AAuthMiddleware(self._serve, self.resource, lambda _scope: self.need)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        target = scope["raw_path"].decode() + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.orders.append((f"{scope['method']} {target}", message["body"], scope[CALLER]))
        if self.gate is not None:
            await self.gate.wait()
        if self.answering is not None:
            await self.answering(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"x-order", str(len(self.orders)).encode())]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"ordered":', "more_body": True})
        await send({"type": "http.response.body", "body": b"true}"})

    def person(self, **claims: Any) -> Signer:
        return self.world.person(now=int(self.clock.now), **claims)

    def grant(self, scope: str = "orders.place", **claims: Any) -> Signer:
        return self.world.grant(scope, now=int(self.clock.now), **claims)

    async def order(self, signer: Signer | None = None, body: bytes = ORDER, path: str = "/orders") -> Answer:
        request = (signer or self.person()).sign("POST", API + path, body=body, now=int(self.clock.now))
        return await ask(self.app, request)

    async def held(self, signer: Signer | None = None, **options: Any) -> str:
        """The pending URL of a call that was held."""
        answer = await self.order(signer, **options)
        assert answer.status == 202, answer.body
        return path_of(answer)

    async def poll(self, pending: str, signer: Signer, method: str = "GET") -> Answer:
        return await ask(self.app, signer.sign(method, API + pending, now=int(self.clock.now)))
