"""What an agent tells a tracer: a call, the challenges it met on the way, the tokens it asked for, and the waiting.

    aauth.call                 one request of the agent's user, to its response
      aauth.token_request      an agent, person or auth token, obtained or waited for
        aauth.wait, aauth.poll a pending request at the person server or provider (`outbound`)
      aauth.meet_challenge     what a 401 asked for, or a 202 that asks for an auth token
      aauth.wait, aauth.poll   a request that the resource holds

A request carries the trace on, so that the spans of whoever answers it are in the same one. See `telemetry` for what an
attribute may hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, Literal

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from .. import telemetry
from ..protocol.headers import HeaderError, parse_requirement, parse_signature_error
from ..protocol.messages import Answer

CALL: Final = "aauth.call"
CHALLENGE: Final = "aauth.meet_challenge"
TOKEN_REQUEST: Final = "aauth.token_request"
WAIT: Final = "aauth.wait"
POLL: Final = "aauth.poll"
_ROOM: Final = "agent"


class Telling:
    """The span of one call, and what is told below it."""

    def __init__(self, told: Span, resource: str) -> None:
        self._span = told
        self._resource = resource
        self._challenge: dict[str, str | int] | None = None
        self._wait: Span | None = None

    def preparing(self) -> AbstractContextManager[object]:
        """Around what is done before a request is signed: a span where that meets a challenge."""
        challenge, self._challenge = self._challenge, None
        return nullcontext() if challenge is None else telemetry.span(_ROOM, CHALLENGE, challenge)

    @contextmanager
    def sending(self) -> Iterator[Span | None]:
        """Around one request and what is read of its answer: a span where it is a poll."""
        if self._wait is None:
            yield None
            return
        parent = trace.set_span_in_context(self._wait)
        attributes = {"aauth.on": self._resource}
        with telemetry.span(_ROOM, POLL, attributes, parent=parent, kind=SpanKind.CLIENT) as poll:
            yield poll

    def answered(self, poll: Span | None, status: int) -> None:
        """The status of the answer to a poll."""
        if poll is not None:
            poll.set_attribute("http.response.status_code", status)

    def took(self, answer: Answer, *, polling: bool) -> None:
        """An answer of the resource was the protocol's; `polling`: the request is held there from now on."""
        requirement, error = _asked(answer)
        if answer.status == 401 or requirement == "auth-token":
            self._challenge = {"aauth.resource": self._resource, "http.response.status_code": answer.status}
            if requirement is not None:
                self._challenge["aauth.requirement"] = telemetry.requirement_of(requirement)
            if error is not None:
                self._challenge["aauth.error"] = telemetry.error_of(error)
        if polling and self._wait is None:
            self._wait = telemetry.tracer(_ROOM).start_span(WAIT, attributes={"aauth.on": self._resource})
        if self._wait is not None and requirement is not None:
            self._wait.set_attribute("aauth.requirement", telemetry.requirement_of(requirement))
        if not polling:
            self._waited()

    def finished(self, status: int, aauth: Mapping[str, Any]) -> None:
        """The call has its response; `aauth` is what its extensions say."""
        self._span.set_attribute("http.response.status_code", status)
        self._span.set_attribute("aauth.level", aauth["level"])

    def ended(self) -> None:
        """The call is over, in whatever way."""
        self._waited()

    def _waited(self) -> None:
        if self._wait is not None:
            self._wait.end()
            self._wait = None


def _asked(answer: Answer) -> tuple[str | None, str | None]:
    """The requirement of an answer and its Signature-Error, where they can be read."""
    try:
        requirement = parse_requirement(answer.values("aauth-requirement"))
        error = parse_signature_error(answer.values("signature-error"))
    except HeaderError:
        return None, None
    return requirement.value if requirement else None, error.error if error else None


@contextmanager
def tell(resource: str, method: str) -> Iterator[Telling]:
    """A span for one call to `resource`, in the trace that is under way in the program that makes it."""
    attributes = {"aauth.resource": resource, "http.request.method": telemetry.method_of(method)}
    with telemetry.span(_ROOM, CALL, attributes) as told:
        telling = Telling(told, resource)
        try:
            yield telling
        finally:
            telling.ended()


def token_request(
    token: Literal["agent", "person", "auth"], server: str | None = None, resource: str | None = None
) -> AbstractContextManager[Span]:
    """A span for a token that is obtained from `server`, or that another call obtains meanwhile (draft-11 §5.3, §7)."""
    attributes: dict[str, str | int | bool] = {"aauth.token": token}
    if server is not None:
        attributes["aauth.server"] = server
    if resource is not None:
        attributes["aauth.resource"] = resource
    return telemetry.span(_ROOM, TOKEN_REQUEST, attributes)
