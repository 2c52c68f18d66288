"""The pack's issuers as servers: metadata and keys, with the faults that they have, on one port told apart by name."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from ..protocol.identifiers import host_of
from .anew import Parties

OWN: Final = "https://api.example"
"""The pack's own resource: the server under test stands in its place."""


def issuers_of(documents: Iterable[str]) -> tuple[str, ...]:
    """The issuers that the pack's documents are of."""
    found = (f"https://{urlsplit(url).netloc}" for url in documents)
    return tuple(dict.fromkeys(issuer for issuer in found if issuer != OWN))


def on_loopback(documents: Iterable[str], port: int, server: str) -> Parties:
    """Each issuer as `http://NAME.localhost:PORT`, and `server` in the place of the pack's resource."""
    names = {issuer: f"http://{_first(issuer)}.localhost:{port}" for issuer in issuers_of(documents)}
    return Parties({**names, OWN: server})


def under_domain(documents: Iterable[str], domain: str, server: str) -> Parties:
    """Each issuer as `https://NAME.DOMAIN`, and `server` in the place of the pack's resource."""
    names = {issuer: f"https://{_first(issuer)}.{domain}" for issuer in issuers_of(documents)}
    return Parties({**names, OWN: server})


def _first(issuer: str) -> str:
    return host_of(issuer).partition(".")[0]


class Issuers:
    """Serves `documents` under the names that `parties` gives their issuers. To be used with `with`.

    `host` and `port` are what is listened at; with `context` it speaks TLS. Raises `OSError` where it cannot listen.
    """

    def __init__(
        self,
        documents: Mapping[str, Mapping[str, Any]],
        parties: Parties,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        table = {
            (host_of(parties.moved(f"https://{urlsplit(url).netloc}")), urlsplit(url).path): (
                document["status"],
                parties.moved(document["body"]).encode(),
            )
            for url, document in documents.items()
        }
        self._server = ThreadingHTTPServer((host, port), _handler(table))
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="issuers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(table: Mapping[tuple[str, str], tuple[int, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One GET."""

        def do_GET(self) -> None:
            """The document that stands under this name and path."""
            name = (self.headers.get("host") or "").partition(":")[0]
            status, body = table.get((name, self.path), (404, b""))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
