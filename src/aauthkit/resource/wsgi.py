"""A resource in front of any WSGI application, over the same core as under ASGI.

What a warm request needs is decided on the caller's own thread; only what must wait, for a key, a record or an account,
crosses over to the one event loop of the process (`aauthkit.portal`). It fails closed, as the ASGI middleware does.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterable
from http.client import responses
from typing import Any, Final

import anyio.to_thread

from ..portal import wait_for
from ..protocol.messages import Answer, HeaderList, Refusal
from ..protocol.problems import Problem
from ..refusals import REFUSALS
from ..serving import MAX_BODY, RETRY_STORE, BytesBody, Request, verify_digest
from ..store import StoreBusy, StoreUnavailable
from ..verification import KeyNeeded
from .admission import Admitted, admit
from .bodies import BUFFERED_BODY
from .challenges import AuthTokenChallenge
from .endpoints import Routed
from .environs import CheckedInput, Environ, path_within, read_body, request_of
from .held import MAX_CALL, MAX_RESULT, HeldCall
from .needs import Need, both
from .server import MustWait, Resource
from .sessions import ACCESS
from .spans import Telling, tell

log = logging.getLogger("aauthkit.resource")

ADMITTED: Final = "aauthkit.admitted"
"""Where the environment holds the `Admitted` of a request whose need was met."""
CALLER: Final = "aauthkit.caller"
"""Where the environment holds its caller."""

StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
NeedOf = Callable[[Environ], Need | None]
"""Which need an environment has; `None` is a public path. It must find what the application's routing will find."""

_PLACE: Final = (
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "RAW_URI",
    "REQUEST_URI",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "REMOTE_ADDR",
    "wsgi.url_scheme",
)


def admitted(environ: Environ) -> Admitted | None:
    """What the middleware decided about this request, or `None` where it decided nothing."""
    found = environ.get(ADMITTED)
    return found if isinstance(found, Admitted) else None


class AAuthWsgi:
    """`app` behind `resource`; `needs` says which need a request has. The rules are those of `AAuthMiddleware`."""

    def __init__(self, app: App, resource: Resource, needs: NeedOf) -> None:
        self.app = app
        self.resource = resource
        self.needs = needs
        self._deciding = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        request = request_of(environ, self.resource.path_prefix)
        environ = {name: value for name, value in environ.items() if name not in (ADMITTED, CALLER)}
        with tell(self.resource.identifier, request) as telling:
            try:
                passed = self._pass(environ, request, telling)
            except Refusal as refusal:
                telling.refused(refusal)
                passed = self.resource.answer_to(refusal)
            except (StoreBusy, StoreUnavailable) as error:
                log.error("records out of reach while deciding a request of %s: %s", self.resource.identifier, error)
                telling.failed()
                passed = Problem("server_error", status=503, retry_after=RETRY_STORE).answer()
            except Exception:
                fault = Problem("server_error")
                log.exception(
                    "fault while deciding a request of %s: %s", self.resource.identifier, REFUSALS.fault(fault)
                )
                telling.failed()
                passed = fault.answer()
        if isinstance(passed, Answer):
            return respond(passed, start_response, head=request.method == "HEAD")
        with telling.continued():
            return Served(self.resource, request, passed, environ).run(self.app, start_response)

    def close(self) -> None:
        """Close what the resource opened; the process may serve no more requests with it."""
        wait_for(self.resource.close)

    def _pass(self, environ: Environ, request: Request, telling: Telling) -> Answer | Admitted | None:
        """The answer to one of the resource's own paths or a 202; else who is let in, `None` on a public path."""
        if not request.target.startswith("/") or "#" in request.target:
            raise Problem("invalid_request", "the request target is not in origin form")
        own = self._own_path(environ, request)
        if own is not None:
            telling.own_path()
            return wait_for(self.resource.answer, self._routed(own, environ, request))
        need = self._need(environ, request)
        if need is None or need.is_open:
            return None
        try:
            admission = self._decide(request, need)
        except AuthTokenChallenge as challenge:
            if need.deliver != "202":
                raise
            return self._hold(environ, request, challenge)
        telling.admitted(admission.caller)
        return admission

    def _decide(self, request: Request, need: Need) -> Admitted:
        try:
            with self._deciding:
                verified = self.resource.decide_now(request, need)
        except (KeyNeeded, MustWait):
            return wait_for(self.resource.decide, request, need)
        if self.resource.asks_for_accounts(need):
            return wait_for(self.resource.admit, verified, need)
        return admit(verified, need, verified.caller)

    def _own_path(self, environ: Environ, request: Request) -> str | None:
        outside = request.path.removeprefix(self.resource.path_prefix)
        return next((path for path in (path_within(environ), outside) if self.resource.serves(path)), None)

    def _routed(self, path: str, environ: Environ, request: Request) -> Request:
        _, mark, query = request.target.partition("?")
        body = BytesBody(read_body(environ, MAX_BODY))
        target = f"{path}{mark}{query}"
        runner = Replay(self, environ)
        return Routed(
            request.method, target, request.headers, body, request.peer, outside=request.target, runner=runner
        )

    def _hold(self, environ: Environ, request: Request, challenge: AuthTokenChallenge) -> Answer:
        body = read_body(environ, MAX_CALL)
        if len(body) > MAX_CALL:
            raise challenge
        assert challenge.verified is not None
        verify_digest(challenge.verified.digest(), body)
        place: dict[str, Any] = {name: environ[name] for name in _PLACE if name in environ}
        call = HeldCall(request.method, request.target, request.headers, body, place)

        async def hold() -> Answer:
            deliveries = (await self.resource.remembering()).deliveries
            assert deliveries is not None, "a need that is held is made only with a store"
            return await deliveries.hold(call, challenge)

        return wait_for(hold)

    def need_of(self, environ: Environ) -> Need | None:
        """What the route of an environment needs; HEAD what GET needs as well."""
        own = self._its_own(self.needs(environ))
        if environ["REQUEST_METHOD"] != "HEAD":
            return own
        return both(own, self._its_own(self.needs({**environ, "REQUEST_METHOD": "GET"})))

    def _need(self, environ: Environ, request: Request) -> Need | None:
        own = self.need_of(environ)
        asked = request.header("access-control-request-method")
        if request.method != "OPTIONS" or asked is None or request.header("origin") is None:
            return own
        needed = both(own, self._its_own(self.needs({**environ, "REQUEST_METHOD": asked.strip().upper()})))
        return needed if needed is not None and not needed.preflight else None

    def _its_own(self, need: Need | None) -> Need | None:
        return need if need is not None and need.resource == self.resource.identifier else None


class Served:
    """One request inside the application: its environment, its body and its answer."""

    def __init__(self, resource: Resource, request: Request, admission: Admitted | None, environ: Environ) -> None:
        self._resource = resource
        self._request = request
        self._admission = admission
        self._checked: CheckedInput | None = None
        self._environ = environ
        self._started = False
        self._replaced: Answer | None = None

    def run(self, app: App, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application. A `Refusal` it raises before it has answered is the answer."""
        head = self._request.method == "HEAD"
        try:
            environ = self._entered()
            result = app(environ, self._starting(start_response))
        except Refusal as refusal:
            if self._started:
                raise
            return respond(self._marked_answer(refusal), start_response, head=head)
        if self._replaced is None:
            return result
        close = getattr(result, "close", None)
        if close is not None:
            close()
        return respond(self._replaced, start_response, head=head)

    def _entered(self) -> Environ:
        """The environment as the application gets it. Raises `SignatureFailure` for another body than was signed."""
        if self._admission is None:
            return self._environ
        environ = {**self._environ, ADMITTED: self._admission, CALLER: self._admission.caller}
        check = self._admission.digest()
        if check is None:
            if self._resource.requires_digest(self._admission.need) and not self._request.has_body:
                environ["wsgi.input"] = io.BytesIO()
            return environ
        declared = str(environ.get("CONTENT_LENGTH") or "")
        length = int(declared[:12]) if declared.isdecimal() else None
        if length is None and not environ.get("wsgi.input_terminated"):
            length = 0
        if length is not None and length <= BUFFERED_BODY:
            body = read_body(environ, BUFFERED_BODY)
            verify_digest(check, body)
            environ["wsgi.input"] = io.BytesIO(body)
        else:
            self._checked = CheckedInput(environ["wsgi.input"], length, check)
            environ["wsgi.input"] = io.BufferedReader(self._checked)
        return environ

    def _starting(self, start_response: StartResponse) -> StartResponse:
        def starting(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            failure = self._checked.failure if self._checked is not None else None
            if failure is not None and not self._started:
                self._replaced = self._marked_answer(failure)
                return _discard
            self._started = True
            marked = self._marked(int(status.split(" ", 1)[0]), headers)
            written: Callable[[bytes], object] = (
                start_response(status, marked, exc_info) if exc_info is not None else start_response(status, marked)
            )
            return written

        return starting

    def _marked(self, status: int, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        kept = [*headers]
        name, value = self._resource.resource_link()
        if self._resource.description.carries_link(status, self._request.target) and ("link", value) not in [
            (key.lower(), content) for key, content in kept
        ]:
            kept.append((name, value))
        token = self._admission.session_token if self._admission is not None else None
        if token is not None and not any(key.lower() == ACCESS for key, _ in kept):
            kept.append((ACCESS, token))
        return kept

    def _marked_answer(self, refusal: Refusal) -> Answer:
        REFUSALS.note(refusal)
        answer = refusal.answer()
        return Answer(answer.status, tuple(self._marked(answer.status, answer.headers)), answer.body)


class Replay:
    """Runs held calls behind `middleware`; `environ` is that of the poll."""

    def __init__(self, middleware: AAuthWsgi, environ: Environ) -> None:
        self._middleware = middleware
        self._environ = environ

    def need_of(self, call: HeldCall) -> Need | None:
        """What the call's route needs now."""
        return self._middleware.need_of(self._environ_of(call))

    async def run(self, call: HeldCall, admitted: Admitted | None) -> Answer:
        """The application's answer, from a worker thread. Raises what the application raises."""
        return await anyio.to_thread.run_sync(self._run, call, admitted)

    def _run(self, call: HeldCall, admission: Admitted | None) -> Answer:
        environ = self._environ_of(call)
        if admission is not None:
            environ |= {ADMITTED: admission, CALLER: admission.caller}
        started: list[tuple[int, HeaderList]] = []
        body = bytearray()

        def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], object]:
            fields = tuple((name.lower(), value) for name, value in headers)
            started[:] = [(int(status.split(" ", 1)[0]), fields)]
            return body.extend

        result = self._middleware.app(environ, start)
        try:
            for piece in result:
                body += piece[: MAX_RESULT + 1 - len(body)]
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        if not started:
            raise RuntimeError("the application gave no answer")
        return Answer(*started[0], bytes(body))

    def _environ_of(self, call: HeldCall) -> Environ:
        kept = {name: value for name, value in self._environ.items() if name.startswith("wsgi.")}
        environ: Environ = {**kept, **call.place, "REQUEST_METHOD": call.method}
        for name, value in call.headers:
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        return {**environ, "wsgi.input": io.BytesIO(call.body), "wsgi.input_terminated": True}


def _discard(_data: bytes) -> None:
    return None


def respond(answer: Answer, start_response: StartResponse, *, head: bool = False) -> Iterable[bytes]:
    """Send `answer`, whole; of an answer to HEAD the fields only."""
    headers = [*answer.headers]
    if answer.status not in (204, 304) and answer.header("content-length") is None:
        headers.append(("content-length", str(len(answer.body))))
    start_response(f"{answer.status} {responses.get(answer.status, 'Unknown')}", headers)
    return [] if head else [answer.body]
