"""Any role under an ASGI server: `Asgi(server)` is an application that asks `server.answer` and sends what it says.

Run it with uvicorn and `http="h11"`, which shows the request target as it was sent; other parsers may cut a `#` or an
absolute form before the application sees them. This module needs no framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import quote

from .protocol.messages import Answer, HeaderList, Refusal
from .protocol.problems import Problem
from .serving import Request, Server

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""

_PATH_SAFE: Final = "/:@!$&'()*+,;=-._~"
_BODILESS: Final = frozenset({204, 304})


class ClientDisconnected(Refusal):
    """The client went away before its whole body was here. The answer is for the record: nobody is left to read it."""

    def answer(self) -> Answer:
        """400: a request is only whole with its body."""
        return Problem("invalid_request", "the body did not arrive whole").answer()


def target_of(scope: Scope, *, prefix: str = "") -> str:
    """The request target as its sender wrote it: raw path, then `?` and the raw query where there is one.

    `prefix` is a path that a proxy stripped on the way. uvicorn puts its own `root_path` in front of the raw path;
    where that is the same path it is not added twice. A lone `?` is not told from none, as ASGI does not. Where the
    server gives no `raw_path` the decoded path is encoded anew, so that what is verified is what the application sees;
    a sender that wrote it otherwise is refused then.
    """
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if raw is not None else quote(scope["path"], safe=_PATH_SAFE)
    # Starlette keeps the server's own root_path under this name, beside that of a mounted application.
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    if prefix and not (_below(root, prefix) and _below(path, prefix)):
        path = prefix + path
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def headers_of(scope: Scope) -> HeaderList:
    """The header fields, names in lower case, one character per byte."""
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])


class ReceivedBody:
    """A body as ASGI messages bring it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces. Raises `ClientDisconnected`."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            if chunk := message.get("body", b""):
                yield chunk
            more = message.get("more_body", False)
        self._read.set()

    async def client_gone(self, *, bodiless: bool) -> None:
        """Return once the client has gone away. Unless `bodiless`, it is looked for once the body has been read."""
        if not bodiless:
            await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def request_of(scope: Scope, receive: Receive, *, prefix: str = "") -> Request:
    """The request of an `http` scope; nothing of its body has been read."""
    client = scope.get("client")
    peer = client[0] if client else None
    return Request(scope["method"], target_of(scope, prefix=prefix), headers_of(scope), ReceivedBody(receive), peer)


async def send_answer(answer: Answer, send: Send, *, head: bool = False) -> None:
    """Send `answer`, whole; of an answer to HEAD the fields only."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    if answer.status not in _BODILESS and answer.header("content-length") is None:
        headers.append((b"content-length", str(len(answer.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


async def refuse_websocket(receive: Receive, send: Send) -> None:
    """End a handshake before it is accepted: the client reads 403."""
    message = await receive()
    if message["type"] == "websocket.connect":
        await send({"type": "websocket.close", "code": 4401, "reason": ""})


class Asgi:
    """A server as an ASGI application: HTTP only, a WebSocket handshake is refused.

    `start` and `close` are awaited at the beginning and the end of the application's life, where they are given; a
    `start` that fails keeps the server from starting.
    """

    def __init__(
        self,
        server: Server,
        *,
        start: Callable[[], Awaitable[None]] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.server = server
        self._start = start
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any type that ASGI has."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await refuse_websocket(receive, send)
        else:
            raise ValueError(f"a scope of type {scope['type']!r} is not served")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope, receive)
        try:
            answer = await (self._held(request) if request.values("prefer") else self.server.answer(request))
        except ClientDisconnected:
            return
        await send_answer(answer, send, head=scope["method"] == "HEAD")

    async def _held(self, request: Request) -> Answer:
        """The answer to a request that may be held; it is let go of when its client goes away.

        Else a decision made later would be answered to nobody, and its poll is answered once (draft-11 §11.8.3). Where
        this server is about to end, the client is told to come back. Raises `ClientDisconnected`.
        """
        assert isinstance(request.body, ReceivedBody)
        answering = asyncio.ensure_future(self.server.answer(request))
        leaving = asyncio.ensure_future(request.body.client_gone(bodiless=not request.has_body))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ClientDisconnected
            return answering.result()
        except asyncio.CancelledError:
            # Passed on it would become a 500, which ends a poll; 503 has it made again (draft-11 §11.8.4).
            return Problem("server_error", "this server is restarting", status=503, retry_after=1).answer()
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            if self._start is not None:
                await self._start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            if self._close is not None:
                await self._close()
        except Exception as error:
            await send({"type": "lifespan.shutdown.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})
