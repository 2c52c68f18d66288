"""What a tracer is told in a test: an SDK of the test's own, since a process's provider can be set only once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aauthkit import telemetry


class Tracing:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """In the order of their ends."""
        return self._memory.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        """The span above, where it is one of ours."""
        above = span.parent.span_id if span.parent is not None else None
        return next((one for one in self.spans if one.context is not None and one.context.span_id == above), None)

    def above(self, span: ReadableSpan) -> list[str]:
        """The names of the spans above, the nearest first."""
        names: list[str] = []
        found = self.parent(span)
        while found is not None:
            names.append(found.name)
            found = self.parent(found)
        return names

    @property
    def traces(self) -> set[int]:
        return {span.context.trace_id for span in self.spans if span.context is not None}

    @property
    def told(self) -> list[tuple[str, object]]:
        """Every attribute, and everything else that was told in words."""
        found: list[tuple[str, object]] = []
        for span in self.spans:
            found += (span.attributes or {}).items()
            found += [("event", event.name) for event in span.events]
            found += [pair for event in span.events for pair in (event.attributes or {}).items()]
            found += [("status", span.status.description)] if span.status.description else []
        return found

    def close(self) -> None:
        self.provider.shutdown()


@pytest.fixture
def tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracing]:
    """Every room tells this one."""
    tracing = Tracing()
    monkeypatch.setattr(telemetry, "tracer", tracing.provider.get_tracer)
    yield tracing
    tracing.close()
