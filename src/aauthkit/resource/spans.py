"""What a resource tells a tracer: one span for the verification of a request, one for the challenge it led to.

Only the API of OpenTelemetry is used: without an SDK nothing is recorded. A trace that the caller began goes on, by its
`traceparent`, also in what the application does. No token, key, code or field value is ever an attribute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from .. import telemetry
from ..callers import Caller
from ..protocol.messages import Refusal
from ..protocol.problems import SignatureFailure, WireError
from ..serving import Request
from .challenges import Challenge, Deferral

VERIFY: Final = "aauth.verify"
CHALLENGE: Final = "aauth.challenge"


def _tracer() -> trace.Tracer:
    return telemetry.tracer("resource")


class Telling:
    """The span of one request's verification, and the trace that goes on after it."""

    def __init__(self, span: Span, parent: context.Context | None) -> None:
        self._span = span
        self._parent = parent

    def own_path(self) -> None:
        """It is for one of the resource's own paths."""
        self._span.set_attribute("aauth.own_path", True)

    def admitted(self, caller: Caller) -> None:
        """It was let in, as this kind of caller."""
        self._span.set_attribute("aauth.caller", type(caller).__name__)

    def refused(self, refusal: Refusal) -> None:
        """It was not, or not yet."""
        if isinstance(refusal, WireError):
            self._span.set_attribute("aauth.error", refusal.code)
        if isinstance(refusal, SignatureFailure):
            self._span.set_status(Status(StatusCode.ERROR, refusal.code))
        requirement = refusal.requirement.value if isinstance(refusal, Challenge) else None
        if requirement is None and isinstance(refusal, Deferral):
            requirement = "interaction"
        if requirement is not None:
            with _tracer().start_as_current_span(CHALLENGE, attributes={"aauth.requirement": requirement}):
                pass

    def failed(self) -> None:
        """The fault is this server's own."""
        self._span.set_status(Status(StatusCode.ERROR, "server_error"))

    def continued(self) -> AbstractContextManager[object]:
        """The caller's trace, for what the application does, where nothing further out has taken it up."""
        return telemetry.attached(self._parent) if self._parent is not None else nullcontext()


@contextmanager
def tell(resource: str, request: Request) -> Iterator[Telling]:
    """A span for the verification of `request`, in the trace that is under way here, else in its sender's."""
    parent = telemetry.senders(request.headers)
    if telemetry.unheard(_tracer()):
        yield Telling(trace.INVALID_SPAN, parent)
        return
    attributes = {"aauth.resource": resource, "http.request.method": telemetry.method_of(request.method)}
    with _tracer().start_as_current_span(
        VERIFY, parent, SpanKind.INTERNAL, attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        yield Telling(span, parent)
