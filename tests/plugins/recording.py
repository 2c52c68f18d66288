"""What a test sees of a server from outside: requests and statuses on their way, and polls that are held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aauthkit.asgi import App, Message, Receive, Scope, Send
from aauthkit.deferred import CHANNEL
from aauthkit.protocol.messages import HeaderList
from aauthkit.protocol.signature_key import JwtKey, parse_signature_key, read_member
from aauthkit.store import Database, Subscription


@dataclass
class Seen:
    """A request as it arrived at a server, and the status of its answer (0 until there is one)."""

    method: str
    target: str
    headers: HeaderList
    status: int = 0

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def signed(self) -> bool:
        return any(name == "signature" for name, _ in self.headers)

    @property
    def presented(self) -> JwtKey:
        """The token it was signed with."""
        (member,) = parse_signature_key([value for name, value in self.headers if name == "signature-key"]).values()
        key = read_member(member)
        assert isinstance(key, JwtKey)
        return key

    @property
    def level(self) -> str:
        """The type of that token."""
        return str(self.presented.jwt.header["typ"])


class Recorder:
    """An application in front of another one, which notes what comes and what is answered."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.seen: list[Seen] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        seen = Seen(scope["method"], target, headers)
        self.seen.append(seen)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        await self._app(scope, receive, sending)

    def statuses(self, method: str, path: str) -> list[int]:
        """The statuses of the answers to requests for this path, or for what is below it if it ends in a slash."""
        return [
            one.status
            for one in self.seen
            if one.method == method and (one.path.startswith(path) if path.endswith("/") else one.path == path)
        ]

    def count(self, method: str, path: str) -> int:
        return len(self.statuses(method, path))


class Waiting:
    """A database that says how many held polls wait on it; everything else is the database's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.held = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @asynccontextmanager
    async def subscribe(self, channel: str, only: str | None = None) -> AsyncIterator[Subscription]:
        polls = int(channel == CHANNEL)
        async with self._database.subscribe(channel, only) as subscription:
            self.held += polls
            try:
                yield subscription
            finally:
                self.held -= polls
