"""A running server: each case that does not hang on its own time is signed anew, sent, and judged by the answer."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..protocol.headers import HeaderError, parse_requirement, parse_signature_error
from .anew import Parties, Sent, made_anew
from .pack import Pack, Vector
from .results import Result
from .verdict import differences


class NoServer(Exception):
    """The server under test cannot be reached."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server under test: its routes by the level they need, and who stands for whom."""

    routes: Mapping[str, str]
    """URL by level: `agent`, `person`, `grant` (with the scope `orders.read`)."""
    parties: Parties
    timeout: float = 15.0
    context: ssl.SSLContext | None = None
    connect: tuple[str, int] | None = None
    """Where it is reached, whatever its name resolves to."""


def _answer_of(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """An answer as a vector names it."""
    if status < 300 and status != 202:
        return {"result": {}}
    joined: dict[str, str] = {}
    for name, value in headers:
        low = name.lower()
        joined[low] = f"{joined[low]}, {value}" if low in joined else value
    return {"error": {"code": _code(joined, body), "status": status, "headers": joined}}


def _code(headers: Mapping[str, str], body: bytes) -> str:
    try:
        failed = parse_signature_error([headers["signature-error"]] if "signature-error" in headers else [])
        if failed is not None:
            return failed.error
        wanted = parse_requirement([headers["aauth-requirement"]] if "aauth-requirement" in headers else [])
        if wanted is not None:
            return f"requirement:{wanted.value}"
    except HeaderError as error:
        return f"({error})"
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("error", "")) if isinstance(document, dict) else ""


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, whatever the name of the server resolves to; with `context` over TLS."""

    def __init__(self, host: str, address: tuple[str, int], timeout: float, context: ssl.SSLContext | None) -> None:
        super().__init__(host, timeout=timeout)
        self._address = address
        self._context = context

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.create_connection(self._address, self.timeout)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


def _connection(origin: str, target: Target) -> http.client.HTTPConnection:
    parts = urlsplit(origin)
    host, secure = parts.hostname or "", parts.scheme == "https"
    address = target.connect or (host, parts.port or (443 if secure else 80))
    if target.connect is None and not secure and host.endswith("localhost"):
        address = ("127.0.0.1", address[1])  # a name under localhost is this machine, whatever the resolver knows of it
    context = (target.context or ssl.create_default_context()) if secure else None
    return _Pinned(host, address, target.timeout, context)


def _exchange(sent: Sent, origin: str, target: Target) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = _connection(origin, target)
    try:
        connection.putrequest(sent.method, sent.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", origin.partition("://")[2])
        for name, value in sent.headers:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(sent.body or None)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read(64 * 1024)
    except (OSError, http.client.HTTPException) as error:
        raise NoServer(f"{origin}: {error}") from error
    finally:
        connection.close()


def run(
    vectors: Sequence[Vector],
    pack: Pack,
    target: Target,
    *,
    clock: Callable[[], float] = time.time,
    timer: Callable[[], float] = time.perf_counter,
) -> list[Result]:
    """Every vector that can be made anew; the others, and those of a level without a route, are skipped.

    Raises `NoServer` where the server does not answer at all.
    """
    results = []
    for vector in vectors:
        if vector.live is None:
            results.append(Result(vector, "skipped", "it hangs on its own time, or on what a server was told before"))
            continue
        url = target.routes.get(vector.live["level"])
        if url is None:
            results.append(Result(vector, "skipped", f"no route of level {vector.live['level']} was named"))
            continue
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        sent = made_anew(vector, pack, parties=target.parties, origin=origin, path=parts.path or "/", now=int(clock()))
        began = timer()
        answer = _answer_of(*_exchange(sent, origin, target))
        seconds = timer() - began
        wrong = differences(vector.expected, answer, whole=False)
        results.append(Result(vector, "failed" if wrong else "passed", "; ".join(wrong), seconds, answer))
    return results
