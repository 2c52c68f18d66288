"""An origin behind a gateway: nothing is served that did not come through it, and callers are as it verified them.

`BehindGateway` is an ASGI middleware. It checks the gateway's JWT over method, target and body, compares a body with
the digest the JWT holds, and puts the same typed caller into the scope as `AAuthMiddleware` does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from .. import hop
from ..asgi import App, Message, Receive, Scope, Send, headers_of, refuse_websocket, send_answer, target_of
from ..callers import Caller
from ..protocol.httpsig import DigestCheck, DigestMismatch
from ..protocol.jose import PublicKey, key_from_jwks
from ..protocol.problems import Problem
from .asgi import CALLER

log = logging.getLogger("aauthkit.resource")

HOP: Final = "aauthkit.hop"
"""Where the scope holds what the gateway said of a request."""


def caller_behind(scope: Scope) -> Caller | None:
    """Whom the gateway verified, or `None` where it said that the path is open to anybody."""
    caller: Caller | None = scope.get(CALLER)
    return caller


class BehindGateway:
    """`app`, reachable through one gateway alone.

    - `gateway`: its identifier, the `iss` of its JWTs; `origin`: their `aud`, as its configuration names this origin.
    - `keys`: the gateway's public keys, as a JWKS, or a function that gives it.
    """

    def __init__(
        self,
        app: App,
        *,
        gateway: str,
        origin: str,
        keys: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.app = app
        self._gateway = gateway
        self._origin = origin
        self._keys = keys if callable(keys) else lambda: keys
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket":
            await refuse_websocket(receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            said = self._said(scope)
            check = _check_of(said)
        except (hop.HopRejected, DigestMismatch) as refused:
            log.warning("refused a request that the gateway did not let through: %s", refused)
            refusal = Problem("access_denied", "this origin is reached through its gateway alone")
            await send_answer(refusal.answer(), send, head=scope["method"] == "HEAD")
            return
        body = _Compared(receive, check)
        await self.app({**scope, HOP: said, CALLER: said.caller}, body.receive, body.sending(send))

    def _said(self, scope: Scope) -> hop.Hop:
        fields = [value for name, value in headers_of(scope) if name == hop.HEADER]
        if len(fields) > 1:
            raise hop.HopRejected("it stands there twice")
        return hop.check(
            fields[0] if fields else None,
            self._key,
            iss=self._gateway,
            aud=self._origin,
            method=scope["method"],
            target=target_of(scope),
            now=self._clock(),
        )

    def _key(self, kid: str) -> PublicKey | None:
        return key_from_jwks(self._keys(), kid)


class _Nothing:
    """The check of a body that must not be there."""

    def __init__(self) -> None:
        self._came = False

    def update(self, chunk: bytes) -> None:
        """Take a piece of it."""
        self._came = self._came or bool(chunk)

    def finish(self) -> None:
        """Raise `DigestMismatch` where anything came."""
        if self._came:
            raise DigestMismatch("a body came that nobody signed")


def _check_of(said: hop.Hop) -> DigestCheck | _Nothing | None:
    """What a body must pass. Raises `DigestMismatch`."""
    if said.body == "empty":
        return _Nothing()
    return DigestCheck([said.digest]) if said.digest is not None else None


class _Compared:
    """A body compared as it streams; one that is another than was signed never comes to its end."""

    def __init__(self, receive: Receive, check: DigestCheck | _Nothing | None) -> None:
        self._receive = receive
        self._check = check
        self._failed = False
        self._started = False

    async def receive(self) -> Message:
        """The next message for the application."""
        message = await self._receive()
        if self._check is None or message["type"] != "http.request":
            return message
        self._check.update(message.get("body", b""))
        if not message.get("more_body", False):
            try:
                self._check.finish()
            except DigestMismatch:
                self._failed = True
                return {"type": "http.disconnect"}
        return message

    def sending(self, send: Send) -> Send:
        """`send`, which answers 401 in the application's place where the body is another."""

        async def sending(message: Message) -> None:
            if self._failed and not self._started:
                self._started = True
                log.warning("refused a body that is another than was signed")
                await send_answer(Problem("invalid_request", "the body is not the one that was signed").answer(), send)
                return
            if self._failed:
                return
            self._started = self._started or message["type"] == "http.response.start"
            await send(message)

        return sending
