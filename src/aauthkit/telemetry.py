"""What every room tells a tracer in the same way, and the trace that goes on from one party to the next.

Only the API of OpenTelemetry is used: without an SDK nothing is recorded, and a trace that is under way is passed on
all the same. `traceparent` and `tracestate` are added before a request is signed and are not among what is covered, so
that whoever stands on the way may take part in the trace (W3C Trace Context §3.2). Nothing else is carried: no baggage.

No attribute holds a token, a key, a code, a path, a query or a text of another party: names of servers, methods,
statuses, and values of the drafts' own tables. An error is told by its type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Final

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import __version__
from .protocol.messages import HeaderList
from .protocol.problems import ERRORS

MAX_TRACESTATE: Final = 512
"""Characters of a sender's `tracestate` that are carried on; a longer one is left out (W3C Trace Context §3.3.1.5)."""
OTHER: Final = "_OTHER"
"""In place of a value that is in no table, so that nobody outside can fill one."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "CONNECT", "TRACE"})
REQUIREMENTS: Final = frozenset(
    {"agent-token", "person-token", "auth-token", "interaction", "approval", "clarification", "claims"}
)
_CODES: Final = frozenset(one.name for one in ERRORS)
_PROPAGATOR: Final = TraceContextTextMapPropagator()


@cache
def tracer(room: str) -> trace.Tracer:
    """The tracer of one room of this package."""
    return trace.get_tracer(f"aauthkit.{room}", __version__)


def unheard(teller: trace.Tracer) -> bool:
    """Whether no SDK hears of this tracer's spans, so that none need be made; a trace is passed on all the same."""
    return isinstance(teller, trace.ProxyTracer) and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def method_of(method: str) -> str:
    """A method as an attribute."""
    return method if method in METHODS else OTHER


def requirement_of(value: str) -> str:
    """The value of a requirement as an attribute (draft-11 §11.6.2)."""
    return value if value in REQUIREMENTS else OTHER


def error_of(code: str) -> str:
    """An error code as an attribute (draft-11 §11.9, Signature-Keys §5.4)."""
    return code if code in _CODES else OTHER


def onward(headers: HeaderList) -> HeaderList:
    """The fields that carry the trace under way here on with a request; none where `headers` has its own."""
    present = {name for name, _ in headers}
    if "traceparent" in present:
        return ()
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return tuple((name, value) for name, value in carrier.items() if name not in present)


def senders(headers: HeaderList) -> context.Context | None:
    """The trace of a request's sender, if it has one and none is under way here already."""
    if trace.get_current_span().get_span_context().is_valid:
        return None
    carrier = {name: value for name, value in headers if name in ("traceparent", "tracestate")}
    if len(carrier.get("tracestate", "")) > MAX_TRACESTATE:
        del carrier["tracestate"]
    return _PROPAGATOR.extract(carrier) if "traceparent" in carrier else None


@contextmanager
def span(
    room: str,
    name: str,
    attributes: Mapping[str, str | int | bool],
    *,
    parent: context.Context | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """A span around what is done; what it fails with is told by its type."""
    if unheard(tracer(room)):
        with nullcontext() if parent is None else attached(parent):
            yield trace.INVALID_SPAN
        return
    with tracer(room).start_as_current_span(
        name, parent, kind, dict(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            tell_error(current, error)
            raise


def tell_error(told: Span, error: BaseException) -> None:
    """The type of an error, and its code where that is one of the drafts'. Never its text.

    A cancellation is no failure, and neither is an error that says so by `is_failure = False`.
    """
    kind = type(error).__name__
    told.set_attribute("error.type", kind)
    code = getattr(error, "code", None)
    if isinstance(code, str) and code:
        told.set_attribute("aauth.error", error_of(code))
    if isinstance(error, Exception) and getattr(error, "is_failure", True):
        told.set_status(Status(StatusCode.ERROR, kind))


class Serving:
    """The span of one request that a role answers."""

    def __init__(self, told: Span) -> None:
        self._span = told

    @property
    def heard(self) -> bool:
        """Whether anybody hears what is told of it."""
        return self._span.is_recording()

    def routed(self, template: str) -> None:
        """Its path is this one of the role's table, in which `{names}` stand for what may be a secret."""
        self._span.set_attribute("http.route", template)

    def refused(self, code: str) -> None:
        """It is answered with this error."""
        self._span.set_attribute("aauth.error", error_of(code))

    def answered(self, status: int, requirement: str | None) -> None:
        """It is answered with this status, and asks for this."""
        self._span.set_attribute("http.response.status_code", status)
        if requirement is not None:
            self._span.set_attribute("aauth.requirement", requirement_of(requirement))
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR, str(status)))


def serving(method: str, headers: HeaderList) -> AbstractContextManager[Serving]:
    """A span for a request that a role answers, in the trace that is under way here, else in its sender's."""
    parent = senders(headers)
    if parent is None and unheard(tracer("serving")):
        return _UNHEARD
    return _serving(method, parent)


_UNHEARD: Final = nullcontext(Serving(trace.INVALID_SPAN))


@contextmanager
def _serving(method: str, parent: context.Context | None) -> Iterator[Serving]:
    attributes = {"http.request.method": method_of(method)}
    with span("serving", "aauth.serve", attributes, parent=parent) as told:
        yield Serving(told)


@contextmanager
def attached(parent: context.Context) -> Iterator[None]:
    """Another party's trace as the one that is under way here."""
    token = context.attach(parent)
    try:
        yield
    finally:
        context.detach(token)
