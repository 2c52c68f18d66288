"""The check over HTTP: the proxy sends each request's head here, and does what the answer says.

Context does not travel this way, so a resource is named by a path prefix that the proxy puts in front of the path, and
that is taken off here byte for byte. Only 200 lets a request through. This listener is for the proxy alone.
"""

from __future__ import annotations

from typing import Final

from ..asgi import App, Receive, Scope, Send, headers_of, refuse_websocket, request_of, send_answer, target_of
from ..protocol.messages import Answer
from ..protocol.problems import Problem, SignatureFailure
from .gate import Gate, Passed, Verdict
from .gate import request_of as checked_request

MAX_BODY: Final = 1024 * 1024
REMOVE: Final = "x-envoy-auth-headers-to-remove"
"""The field by which Envoy is told which fields of the request to remove."""


class HttpCheck:
    """An ASGI application that answers a proxy's questions. `gate` decides; another may take its place meanwhile."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question."""
        if scope["type"] == "websocket":
            await refuse_websocket(receive, send)
        elif scope["type"] == "http":
            await send_answer(self._said(await self._decide(scope, receive)), send)

    async def _decide(self, scope: Scope, receive: Receive) -> Verdict | Answer:
        target = target_of(scope)
        found = self.gate.configuration.by_prefix(target)
        if found is None:
            return Problem("not_found", "no resource is configured under this path").answer()
        headers = headers_of(scope)
        within = target[len(found.path_prefix) :]
        body = await self._body(scope, receive)
        request = checked_request(scope["method"], within, headers, body, None)
        if body is None and _covers_length(headers):
            return SignatureFailure(
                "invalid_input", "content-length is changed on the way here: sign content-digest instead"
            ).answer()
        return await self.gate.decide(found.identifier, request, body)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, where the proxy sends it along; it says so with a content-length above nothing."""
        length = next((value for name, value in headers_of(scope) if name == "content-length"), "0")
        if not length.isdecimal() or not 0 < int(length[:12]) <= MAX_BODY:
            return None
        return b"".join([chunk async for chunk in request_of(scope, receive).body.chunks()])

    def _said(self, verdict: Verdict | Answer) -> Answer:
        """A verdict as Envoy reads it."""
        if isinstance(verdict, Answer):
            return verdict
        if isinstance(verdict, Passed):
            return Answer(200, (*verdict.fields, (REMOVE, ", ".join(verdict.removed))))
        return verdict.answer


def _covers_length(headers: tuple[tuple[str, str], ...]) -> bool:
    return any(name == "signature-input" and '"content-length"' in value for name, value in headers)


__all__ = ["MAX_BODY", "REMOVE", "App", "HttpCheck"]
