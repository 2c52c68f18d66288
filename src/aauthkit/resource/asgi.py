"""A resource in front of any ASGI application: no handler runs before its route's need is met.

`AAuthMiddleware` asks a function which need a request has, decides it before anything of the body is read, and gives
the application a typed caller in the scope. It fails closed: whatever goes wrong while deciding is 500, and nothing
runs. This module needs no framework.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from ..asgi import App, Message, Receive, Scope, Send, refuse_websocket, request_of, send_answer
from ..protocol.messages import Answer, Refusal
from ..protocol.problems import Problem
from ..refusals import REFUSALS
from ..serving import RETRY_STORE, Request
from ..store import StoreBusy, StoreUnavailable
from .admission import Admitted
from .bodies import CheckedBody, checked_body
from .challenges import AuthTokenChallenge
from .endpoints import Routed
from .held import MAX_CALL, HeldCall
from .needs import Need, both
from .replaying import Replay, place_of
from .server import Resource
from .sessions import ACCESS
from .spans import Telling, tell

log = logging.getLogger("aauthkit.resource")

ADMITTED: Final = "aauthkit.admitted"
"""Where the scope holds the `Admitted` of a request whose need was met."""
CALLER: Final = "aauthkit.caller"
"""Where the scope holds its caller, for an application that knows no more than ASGI."""

NeedOf = Callable[[Scope], Need | None]
"""Which need a scope has; `None` is a public path. It must find what the application's own routing will find."""


def admitted(scope: Scope) -> Admitted | None:
    """What the middleware decided about this request, or `None` where it decided nothing."""
    found = scope.get(ADMITTED)
    return found if isinstance(found, Admitted) else None


class AAuthMiddleware:
    """`app` behind `resource`; `needs` says which need a request has.

    - The resource's own paths, its metadata, keys and endpoints, are answered here.
    - A call that a route wants held is held, and runs here when its auth token comes (draft-11 §6.5.1).
    - HEAD has the need of GET as well as its own; so has a WebSocket, which is refused under any need: 403, unopened.
    - A CORS preflight passes, undecided, only where the need of the route it asks for says `preflight`.
    - A target that is not in origin form, or holds a `#`, is 400, since two readers could read it in two ways.
    - Every 401, 402 and 403, and the documentation, carries the link to the metadata (draft-11 §11.2.5).
    - A `Refusal` that the application raises becomes its answer.
    """

    def __init__(self, app: App, resource: Resource, needs: NeedOf) -> None:
        self.app = app
        self.resource = resource
        self.needs = needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._begin(receive, send)
            await self.app(scope, receive, _closing(self.resource, send))
        else:
            await self.app(scope, receive, send)

    async def _begin(self, receive: Receive, send: Send) -> None:
        """Open the resource's store; one that cannot be opened keeps the application from starting."""
        try:
            await self.resource.start()
        except Exception as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope, receive, prefix=self.resource.path_prefix)
        head = scope["method"] == "HEAD"
        with tell(self.resource.identifier, request) as telling:
            try:
                passed = await self._pass(scope, request, receive, telling)
            except Refusal as refusal:
                telling.refused(refusal)
                passed = self.resource.answer_to(refusal)
            except (StoreBusy, StoreUnavailable) as error:
                log.error("records out of reach while deciding a request of %s: %s", self.resource.identifier, error)
                telling.failed()
                passed = Problem("server_error", status=503, retry_after=RETRY_STORE).answer()
            except Exception:
                # Never the error's text, and never the handler: an undecided request is not served (draft-11 §11.9.2).
                fault = Problem("server_error")
                log.exception(
                    "fault while deciding a request of %s: %s", self.resource.identifier, REFUSALS.fault(fault)
                )
                telling.failed()
                passed = fault.answer()
        if isinstance(passed, Answer):
            await send_answer(passed, send, head=head)
        elif passed is not None:
            with telling.continued():
                await Exchange(self.resource, request.target, passed, head).run(self.app, scope, receive, send)

    async def _pass(self, scope: Scope, request: Request, receive: Receive, telling: Telling) -> Answer | Passed | None:
        """The answer to one of the resource's own paths; else the way in, or `None` where the client has gone."""
        if not request.target.startswith("/") or "#" in request.target:
            raise Problem("invalid_request", "the request target is not in origin form")
        own = self._own_path(scope, request)
        if own is not None:
            telling.own_path()
            return await self.resource.answer(self._routed(own, scope, request))
        need = self._need(scope, request)
        if need is None or need.is_open:
            return Passed()
        earlier = admitted(scope)
        if earlier is not None and earlier.need.includes(need):
            return Passed()  # decided further out, by this same resource: a request is verified once
        try:
            admission = await self.resource.decide(request, need)
        except AuthTokenChallenge as challenge:
            if need.deliver != "202":
                raise
            return await self._hold(scope, request, receive, challenge)
        telling.admitted(admission.caller)
        body = checked_body(admission, request, receive, required=self.resource.requires_digest(need))
        if body is not None and not await body.hold(request.header("content-length")):
            return None
        return Passed(admission, body)

    def _own_path(self, scope: Scope, request: Request) -> str | None:
        """The path in the resource's own table: below the mount, or as it is seen from outside."""
        within, outside = _path_within(scope), request.path.removeprefix(self.resource.path_prefix)
        if self.resource.serves(within):
            return within
        return outside if outside != within and self.resource.serves(outside) else None

    def _routed(self, path: str, scope: Scope, request: Request) -> Request:
        _, mark, query = request.target.partition("?")
        return Routed(
            request.method,
            f"{path}{mark}{query}",
            request.headers,
            request.body,
            request.peer,
            outside=request.target,
            runner=Replay(self, scope),
        )

    async def _hold(
        self, scope: Scope, request: Request, receive: Receive, challenge: AuthTokenChallenge
    ) -> Answer | None:
        """The 202 for a call that is held; `None` where the client has gone. Raises the challenge where none can be."""
        declared = request.header("content-length")
        if declared is not None and (not declared.isdecimal() or int(declared[:12]) > MAX_CALL):
            raise challenge
        assert challenge.verified is not None
        required = self.resource.requires_digest(challenge.need)
        checked = checked_body(challenge.verified, request, receive, required=required)
        body, more = b"", True
        while more:
            message = await (checked.receive() if checked is not None else receive())
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_CALL:
                raise challenge
        deliveries = (await self.resource.remembering()).deliveries
        assert deliveries is not None, "a need that is held is made only with a store"
        call = HeldCall(request.method, request.target, request.headers, body, place_of(scope))
        return await deliveries.hold(call, challenge)

    def need_of(self, scope: Scope) -> Need | None:
        """What a call that was held needs now; its scope as it was, its method with it."""
        own = self._its_own(self.needs(scope))
        return both(own, self._its_own(self.needs({**scope, "method": "GET"}))) if scope["method"] == "HEAD" else own

    def _need(self, scope: Scope, request: Request) -> Need | None:
        own = self.need_of(scope)
        asked = request.header("access-control-request-method")
        if scope["method"] != "OPTIONS" or asked is None or request.header("origin") is None:
            return own
        target = self._its_own(self.needs({**scope, "method": asked.strip().upper()}))
        needed = both(own, target)
        return needed if needed is not None and not needed.preflight else None

    def _its_own(self, need: Need | None) -> Need | None:
        """`need`, unless it is one of another resource, whose own middleware decides it."""
        return need if need is not None and need.resource == self.resource.identifier else None

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            upgrade = {**scope, "type": "http", "method": "GET"}
            need = both(self._its_own(self.needs(scope)), self._its_own(self.needs(upgrade)))
        except Exception:
            log.exception("fault while deciding a WebSocket of %s", self.resource.identifier)
            await refuse_websocket(receive, send)
            return
        if need is None or need.is_open:
            await self.app(scope, receive, send)
        else:
            await refuse_websocket(receive, send)


class Passed:
    """The way in: who was admitted, if the route needs anything, and what the body must pass."""

    def __init__(self, admission: Admitted | None = None, body: CheckedBody | None = None) -> None:
        self.admission = admission
        self.body = body


class Exchange:
    """One request inside the application: its scope, its body and its answer."""

    def __init__(self, resource: Resource, target: str, passed: Passed, head: bool) -> None:
        self._resource = resource
        self._target = target
        self._passed = passed
        self._head = head
        self._started = False
        self._replaced = False

    async def run(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. A `Refusal` it raises before it has answered is the answer."""
        admission, body = self._passed.admission, self._passed.body
        if admission is not None:
            scope = {**scope, ADMITTED: admission, CALLER: admission.caller}
        try:
            await app(scope, body.receive if body is not None else receive, self._sending(send))
        except Refusal as refusal:
            if self._started:
                raise
            if not self._replaced:
                await send_answer(self._with_token(self._resource.answer_to(refusal)), send, head=self._head)

    def _sending(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            failure = self._passed.body.failure if self._passed.body is not None else None
            if failure is not None and not self._started:
                # A framework may have made a 400 of it, or swallowed it: the body is not what was signed.
                if not self._replaced:
                    self._replaced = True
                    await send_answer(self._resource.answer_to(failure), send, head=self._head)
                return
            if message["type"] == "http.response.start":
                self._started = True
                message = self._marked(message)
            await send(message)

        return sending

    def _with_token(self, answer: Answer) -> Answer:
        token = self._passed.admission.session_token if self._passed.admission is not None else None
        return answer.with_headers((ACCESS, token)) if token is not None else answer

    def _marked(self, message: Message) -> Message:
        linked = self._resource.description.carries_link(message["status"], self._target)
        token = self._passed.admission.session_token if self._passed.admission is not None else None
        if not linked and token is None:
            return message
        headers: list[Any] = [(bytes(key), bytes(content)) for key, content in message.get("headers", ())]
        name, value = self._resource.resource_link()
        field = (name.encode("ascii"), value.encode("latin-1"))
        if linked and field not in headers:
            headers.append(field)
        # The application's own value is the newer one (draft-11 §6.3).
        if token is not None and not any(key.lower() == ACCESS.encode() for key, _ in headers):
            headers.append((ACCESS.encode(), token.encode("ascii")))
        return {**message, "headers": headers}


def _path_within(scope: Scope) -> str:
    """The path below wherever the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _closing(resource: Resource, send: Send) -> Send:
    """`send` of a lifespan, which closes the resource's connections when the application has ended."""

    async def sending(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await resource.close()
        await send(message)

    return sending
