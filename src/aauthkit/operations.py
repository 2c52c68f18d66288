"""What whoever runs a server sees of it: is it alive, is it ready, and its metrics, on a listener of their own.

`/healthz` says that the process answers. `/readyz` says that it can do its work, or what keeps it from it. `/metrics`
is Prometheus text. None of it is meant for the network that the server itself is on, so it listens elsewhere, on
loopback unless told otherwise. No label holds what a caller can choose.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

log = logging.getLogger("aauthkit.operations")

MAX_REQUEST: Final = 8192
PATIENCE: Final = 10.0
"""Seconds that a request to this listener may take, its answer included."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of how long requests take."""
EVENT_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "decision": ("kind", "verdict", "by"),
    "token": ("typ",),
    "revocation": (),
    "agent": ("became",),
    "mission": ("became",),
}
"""What is counted of the audit log's entries, and which of their members are labels: each from a small closed set."""


class Observed(Protocol):
    """What a server tells of itself."""

    def observed_by(self, metrics: Metrics) -> None:
        """Count what happens in `metrics` from now on."""
        ...

    async def ready(self) -> Mapping[str, str]:
        """What keeps it from working, by part; empty where nothing does."""
        ...

    async def gauges(self) -> Mapping[str, float]:
        """Figures as they are now, by name."""
        ...


class Metrics:
    """The metrics of one process. Needs `prometheus-client`, of the extra `server`."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        self._requests = Counter(
            "aauthkit_requests", "Requests answered", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "aauthkit_request_seconds", "Seconds to an answer", ("route",), buckets=SECONDS, registry=self.registry
        )
        self._events = {
            kind: Counter(f"aauthkit_{kind}s", f"Entries of kind {kind}", labels, registry=self.registry)
            for kind, labels in EVENT_LABELS.items()
        }

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered; `route` is the template of its path."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def event(self, kind: str, entry: Mapping[str, Any]) -> None:
        """One entry was written to the audit log."""
        counter = self._events.get(kind)
        if counter is None:
            return
        labels = [str(entry.get(name, "")).partition(" ")[0] for name in EVENT_LABELS[kind]]
        (counter.labels(*labels) if labels else counter).inc()

    def text(self, gauges: Mapping[str, float]) -> bytes:
        """Everything, as Prometheus text."""
        from prometheus_client import CollectorRegistry, Gauge, generate_latest

        now = CollectorRegistry()
        for name, value in gauges.items():
            Gauge(f"aauthkit_{name}", f"{name.replace('_', ' ').capitalize()} now", registry=now).set(value)
        return bytes(generate_latest(self.registry) + generate_latest(now))


class Operations:
    """The listener of one server's operators. `start` it with the server, `close` it at the end."""

    def __init__(self, server: Observed, metrics: Metrics, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = server
        self._metrics = metrics
        self._host = host
        self._port = port
        self._listening: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        assert self._listening is not None
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen. Raises `OSError`."""
        self._listening = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_REQUEST)

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.close()
            await self._listening.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                words = head.split(b"\r\n", 1)[0].split(b" ")
                path = words[1].decode("latin-1") if len(words) == 3 and words[0] == b"GET" else ""
                status, kind, body = await self._answer(path)
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                    "cache-control: no-store\r\nconnection: close\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        writer.close()

    async def _answer(self, path: str) -> tuple[str, str, bytes]:
        answers: dict[str, Callable[[], Awaitable[tuple[str, str, bytes]]]] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._measured,
        }
        answer = answers.get(path)
        if answer is None:
            return "404 Not Found", "text/plain", b"/healthz, /readyz, /metrics\n"
        try:
            return await answer()
        except Exception:
            log.exception("fault while answering %s", path if path in answers else "")
            return "500 Internal Server Error", "text/plain", b"a fault of this server's own: its log says which\n"

    async def _alive(self) -> tuple[str, str, bytes]:
        return "200 OK", "text/plain", b"alive\n"

    async def _ready(self) -> tuple[str, str, bytes]:
        wrong = await self._server.ready()
        body = json.dumps({"ready": not wrong, **({"wrong": dict(wrong)} if wrong else {})}).encode() + b"\n"
        return ("200 OK" if not wrong else "503 Service Unavailable"), "application/json", body

    async def _measured(self) -> tuple[str, str, bytes]:
        gauges = await self._server.gauges()
        return "200 OK", "text/plain; version=0.0.4; charset=utf-8", self._metrics.text(gauges)
