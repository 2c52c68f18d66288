"""What is carried on of a trace, and what a span may say (F87)."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from aauthkit import telemetry
from aauthkit.protocol.problems import Problem
from aauthkit.serving import Request, Route, Routes
from tests.plugins.tracing import Tracing

pytestmark = pytest.mark.anyio

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_without_a_trace_under_way_nothing_is_added() -> None:
    assert telemetry.onward(()) == ()


def test_the_trace_under_way_goes_on_with_a_request(tracing: Tracing) -> None:
    with telemetry.span("agent", "one", {}) as span:
        ((name, value),) = telemetry.onward((("accept", "*/*"),))
    assert name == "traceparent"
    assert f"{span.get_span_context().trace_id:032x}" in value


def test_a_callers_own_traceparent_stays_the_only_one(tracing: Tracing) -> None:
    with telemetry.span("agent", "one", {}):
        assert telemetry.onward((("traceparent", PARENT),)) == ()


def test_a_trace_is_passed_on_without_an_sdk() -> None:
    """Whoever is in the middle and records nothing does not tear a trace apart."""
    context = telemetry.senders((("traceparent", PARENT),))
    assert context is not None
    with telemetry.attached(context), telemetry.span("agent", "one", {}):
        (field,) = telemetry.onward(())
    assert field == ("traceparent", PARENT)


def test_a_senders_tracestate_is_carried_up_to_a_bound() -> None:
    for length, carried in ((100, True), (250, True), (600, False)):
        state = ",".join(f"k{n}={'v' * 40}" for n in range(length // 44))
        context = telemetry.senders((("traceparent", PARENT), ("tracestate", state)))
        assert context is not None
        found = trace.get_current_span(context).get_span_context().trace_state
        assert bool(found) is carried, length


@pytest.mark.parametrize(
    "value", ["", "nonsense", f"00-{TRACE}-0000000000000000-01", f"ff-{TRACE}-00f067aa0ba902b7-01"]
)
def test_a_traceparent_that_is_none_is_ignored(value: str) -> None:
    context = telemetry.senders((("traceparent", value),))
    assert context is not None
    assert not trace.get_current_span(context).get_span_context().is_valid


def test_a_value_that_is_in_no_table_is_not_told() -> None:
    """Nobody outside fills a table of somebody's metrics, or writes a secret into it."""
    assert telemetry.method_of("SECRET") == telemetry.requirement_of("eyJhbGciOi") == telemetry.error_of("x" * 40)
    assert telemetry.method_of("GET") == "GET"
    assert telemetry.requirement_of("auth-token") == "auth-token"
    assert telemetry.error_of("expired_jwt") == "expired_jwt"


def test_an_error_is_told_by_its_type_and_never_in_its_words(tracing: Tracing) -> None:
    with pytest.raises(ValueError, match="secret"), telemetry.span("agent", "one", {}):
        raise ValueError("a secret")
    span = tracing.one("one")
    assert span.status.status_code is StatusCode.ERROR
    assert tracing.told == [("error.type", "ValueError"), ("status", "ValueError")]


def test_a_cancellation_is_no_failure(tracing: Tracing) -> None:
    with pytest.raises(asyncio.CancelledError), telemetry.span("agent", "one", {}):
        raise asyncio.CancelledError
    assert tracing.one("one").status.status_code is StatusCode.UNSET
    assert tracing.told == [("error.type", "CancelledError")]


async def _served(request: Request, pending: str = "") -> object:
    raise Problem("not_found") if pending else RuntimeError("a secret")


async def test_a_roles_request_is_told_by_its_route_and_never_by_its_path(tracing: Tracing) -> None:
    """A pending URL is known to nobody else (draft-11 §13.2), nor to a tracer."""
    routes = Routes(Route("GET", "/pending/{pending}", _served), Route("GET", "/", _served))  # type: ignore[arg-type]
    answer = await routes.answer(Request("GET", "/pending/s3cret?code=ABCD", (("traceparent", PARENT),)))
    assert answer.status == 404
    span = tracing.one("aauth.serve")
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/pending/{pending}",
        "http.response.status_code": 404,
        "aauth.error": "not_found",
    }
    assert tracing.traces == {int(TRACE, 16)}


async def test_a_fault_of_a_roles_own_is_an_error_without_its_text(tracing: Tracing) -> None:
    routes = Routes(Route("GET", "/", _served))  # type: ignore[arg-type]
    assert (await routes.answer(Request("GET", "/", ()))).status == 500
    assert tracing.one("aauth.serve").status.status_code is StatusCode.ERROR
    assert "secret" not in repr(tracing.told)


async def test_a_path_that_nobody_serves_is_not_told(tracing: Tracing) -> None:
    routes = Routes(Route("GET", "/", _served))  # type: ignore[arg-type]
    assert (await routes.answer(Request("GET", "/s3cret", ()))).status == 404
    assert "s3cret" not in repr(tracing.told)
