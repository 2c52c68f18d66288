"""A held call run inside an ASGI application: the scope it had, its body, and its answer taken whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from ..asgi import Message, Scope
from ..protocol.messages import Answer
from .admission import Admitted
from .held import MAX_RESULT, HeldCall
from .needs import Need

if TYPE_CHECKING:
    from .asgi import AAuthMiddleware

_PLACE: Final = ("path", "root_path", "app_root_path", "scheme", "http_version", "server", "client")


def place_of(scope: Scope) -> dict[str, Any]:
    """What of a scope has to be kept beside the request itself."""
    place = {name: scope[name] for name in _PLACE if name in scope}
    raw = scope.get("raw_path")
    return {
        **place,
        "raw_path": raw.decode("latin-1") if raw is not None else None,
        "query_string": scope["query_string"].decode("latin-1"),
    }


class Replay:
    """Runs held calls behind `middleware`; `scope` is that of the poll, whose application and state they share."""

    def __init__(self, middleware: AAuthMiddleware, scope: Scope) -> None:
        self._middleware = middleware
        self._scope = scope

    def need_of(self, call: HeldCall) -> Need | None:
        """What the call's route needs now."""
        return self._middleware.need_of(self._scope_of(call))

    async def run(self, call: HeldCall, admitted: Admitted | None) -> Answer:
        """The application's answer. Raises what the application raises."""
        from .asgi import Exchange, Passed

        whole, body = _Whole(), [call.body]

        async def receive() -> Message:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await anyio.sleep_forever()  # nobody can hang up on a call that is held
            raise AssertionError("cancelled when the application has answered")

        exchange = Exchange(self._middleware.resource, call.target, Passed(admitted), call.method == "HEAD")
        await exchange.run(self._middleware.app, self._scope_of(call), receive, whole.send)
        return whole.answer()

    def _scope_of(self, call: HeldCall) -> Scope:
        kept = dict(call.place)
        raw = kept.pop("raw_path")
        if raw is not None:
            kept["raw_path"] = raw.encode("latin-1")
        for name in ("server", "client"):
            if isinstance(kept.get(name), list):
                kept[name] = tuple(kept[name])
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers]
        query = kept.pop("query_string").encode("latin-1")
        return {**self._scope, **kept, "method": call.method, "query_string": query, "headers": headers}


class _Whole:
    """An answer as ASGI messages bring it, no longer than may be kept, and one byte more."""

    def __init__(self) -> None:
        self._start: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            room = MAX_RESULT + 1 - len(self._body)
            self._body += bytes(message.get("body", b""))[:room]

    def answer(self) -> Answer:
        if self._start is None:
            raise RuntimeError("the application gave no answer")
        headers = [
            (bytes(name).decode("latin-1").lower(), bytes(value).decode("latin-1"))
            for name, value in self._start.get("headers", ())
        ]
        return Answer(self._start["status"], tuple(headers), bytes(self._body))
