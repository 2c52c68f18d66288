"""What a tracer learns: who was let in or what was asked for, in the caller's trace, and never a secret (F87)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from aauthkit.resource import spans
from aauthkit.resource.asgi import AAuthMiddleware
from aauthkit.store import Database
from tests.plugins.remembering import Office
from tests.plugins.resources import API, World, ask
from tests.plugins.signing import Signer
from tests.unit.resource.test_wsgi import Place, call

pytestmark = pytest.mark.anyio

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
FIELDS = [("traceparent", f"00-{TRACE}-{PARENT}-01")]


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """An SDK of this test's own: the process's provider can be set only once."""
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(spans, "_tracer", lambda: provider.get_tracer("test"))
    yield memory
    provider.shutdown()


class Inner:
    def __init__(self) -> None:
        self.traces: list[str] = []

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        self.traces.append(f"{trace.get_current_span().get_span_context().trace_id:032x}")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def app(world: World, inner: Inner) -> AAuthMiddleware:
    resource = world.resource()
    table = {"/a": resource.agent(), "/g": resource.grant("orders.read")}
    return AAuthMiddleware(inner, resource, lambda scope: table.get(scope["path"]))


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return found


async def test_a_request_is_one_span_in_its_senders_trace(
    world: World, inner: Inner, app: AAuthMiddleware, exporter: InMemorySpanExporter
) -> None:
    """`traceparent` goes on, also in what the application does."""
    await ask(app, world.agent().sign("GET", f"{API}/a", headers=FIELDS))
    span = named(exporter, "aauth.verify")
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert dict(span.attributes or {}) == {
        "aauth.resource": API,
        "http.request.method": "GET",
        "aauth.caller": "Agent",
    }
    assert inner.traces == [TRACE]


async def test_without_a_traceparent_a_trace_begins_here(
    world: World, inner: Inner, app: AAuthMiddleware, exporter: InMemorySpanExporter
) -> None:
    await ask(app, world.agent().sign("GET", f"{API}/a"))
    assert named(exporter, "aauth.verify").parent is None
    assert inner.traces == ["0" * 32]


async def test_a_trace_that_is_under_way_here_comes_first(
    world: World, app: AAuthMiddleware, exporter: InMemorySpanExporter
) -> None:
    """An instrumented server further out has taken up the sender's trace already."""
    with TracerProvider().get_tracer("server").start_as_current_span("server") as server:
        await ask(app, world.agent().sign("GET", f"{API}/a", headers=FIELDS))
    span = named(exporter, "aauth.verify")
    assert span.parent is not None
    assert span.parent.span_id == server.get_span_context().span_id


async def test_a_challenge_is_a_span_below_it(
    world: World, app: AAuthMiddleware, exporter: InMemorySpanExporter
) -> None:
    await ask(app, world.person().sign("GET", f"{API}/g", headers=FIELDS))
    verify, challenge = named(exporter, "aauth.verify"), named(exporter, "aauth.challenge")
    assert dict(challenge.attributes or {}) == {"aauth.requirement": "auth-token"}
    assert challenge.parent is not None
    assert verify.context is not None
    assert challenge.parent.span_id == verify.context.span_id
    assert verify.status.status_code is StatusCode.UNSET


async def test_a_refused_signature_is_an_error_by_its_code(
    world: World, app: AAuthMiddleware, exporter: InMemorySpanExporter
) -> None:
    await ask(app, world.bare().sign("GET", f"{API}/a"))
    span = named(exporter, "aauth.verify")
    assert (span.attributes or {})["aauth.error"] == "unsupported_scheme"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "unsupported_scheme")


async def test_a_fault_of_our_own_tells_nothing_of_itself(
    world: World, inner: Inner, exporter: InMemorySpanExporter
) -> None:
    def broken(_scope: Any) -> None:
        raise LookupError("no such table: people")

    await ask(AAuthMiddleware(inner, world.resource(), broken), world.agent().sign("GET", f"{API}/a"))
    span = named(exporter, "aauth.verify")
    assert span.status.status_code is StatusCode.ERROR
    assert "people" not in span.to_json()
    assert not span.events


async def test_a_malformed_traceparent_is_as_good_as_none(
    world: World, app: AAuthMiddleware, exporter: InMemorySpanExporter
) -> None:
    for value in ("", "x", f"00-{'0' * 32}-{PARENT}-01", "00-" + "f" * 4000):
        assert (await ask(app, world.agent().sign("GET", f"{API}/a", headers=[("traceparent", value)]))).status == 200
    assert all(span.parent is None for span in exporter.get_finished_spans())


async def test_no_token_key_or_code_is_in_any_span(database: Database, exporter: InMemorySpanExporter) -> None:
    """F87: over every kind of outcome there is."""
    office = Office(database, options={"authorization": "auth-token"})
    agent = office.world.agent()
    token = await office.session(agent)
    answers = [
        await office.get(agent, "/s", token),
        await office.get(agent, "/s"),
        await office.get(office.world.person(), "/g"),
        await office.get(office.world.grant("orders.read"), "/g"),
        await office.get(None, "/s", token),
        await office.post(office.world.person(), "/aauth/authorize", {"scope": "orders.read"}),
    ]
    told = " ".join(span.to_json() for span in exporter.get_finished_spans())
    secrets = [token, agent.signature_key, office.world.key.kid, json.loads(answers[-1].body)["resource_token"]]
    secrets += [location for answer in answers if (location := answer.header("location")) is not None]
    assert len(secrets) == 5
    assert not [secret for secret in secrets if secret in told]
    assert "eyJ" not in told
    assert "/aauth/pending" not in told


def test_under_wsgi_too(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    place = Place(tmp_path / "api.db")
    traces: list[str] = []

    def inner(_environ: Any, start_response: Any) -> list[bytes]:
        traces.append(f"{trace.get_current_span().get_span_context().trace_id:032x}")
        start_response("200 OK", [])
        return []

    place.app.app = inner
    assert call(place.app, place.world.agent().sign("GET", f"{API}/a", headers=FIELDS)).status == 200
    assert (named(exporter, "aauth.verify").attributes or {})["aauth.caller"] == "Agent"
    assert traces == [TRACE]
    place.app.close()


def test_without_an_sdk_nothing_is_recorded_and_everything_works(world: World) -> None:
    signer: Signer = world.agent()
    with spans.tell(API, signer.sign("GET", f"{API}/a")) as telling:
        telling.own_path()
    assert not trace.get_current_span().is_recording()
