"""Transports for an agent's own `httpx2` client: the same names, CA and checks, and httpx2's own errors.

Imported on first use only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2

from ..compatibility import in_older_form
from .admission import Egress, EgressError, Target, read_url
from .network import AsyncPools, SyncPools
from .resolving import Resolver


@contextmanager
def _as_httpx2() -> Iterator[None]:
    """Errors of the network layer as httpx2's own, which its users catch."""
    try:
        yield
    except EgressError as error:
        raise httpx2.ConnectError(error.reason) from error
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError) as error:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        # A protocol error quotes the offending bytes, which may be a credential.
        text = type(error).__name__ if isinstance(error, httpcore2.ProtocolError) else str(error)
        raise kind(text) from None


def _core_request(request: httpx2.Request, egress: Egress) -> tuple[Target, httpcore2.Request]:
    """The request for the network layer, its URL as httpx2 made it. Raises `httpx2.UnsupportedProtocol`."""
    url = request.url
    text = str(url)
    if "@" in text or "#" in text:
        text = str(url.copy_with(username=None, password=None, fragment=None))
    try:
        target = read_url(text, egress.loopback)
    except EgressError as error:
        raise httpx2.UnsupportedProtocol(error.reason, request=request) from error
    raw = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=target.port, target=url.raw_path)
    headers = request.headers.raw
    forms = egress.older_forms.get(target.host)
    if forms:
        headers = [
            (name, in_older_form(name.decode("ascii"), value.decode("latin-1"), forms).encode("latin-1"))
            for name, value in headers
        ]
    return target, httpcore2.Request(
        request.method, raw, headers=headers, content=request.stream, extensions=request.extensions
    )


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2():
            async for piece in self._stream:
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _SyncBody(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx2():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class AsyncTransport(httpx2.AsyncBaseTransport):
    """The innermost transport of an `httpx2.AsyncClient`: the names, the CA and the checks of an `Egress`."""

    def __init__(self, egress: Egress, *, guarded: bool, resolver: Resolver, max_connections: int = 100) -> None:
        self._egress = egress
        self._pools = AsyncPools(egress, guarded=guarded, resolver=resolver, max_connections=max_connections)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; the body of the response is still to be read."""
        target, core = _core_request(request, self._egress)
        with _as_httpx2():
            response = await self._pools.choose(target).handle_async_request(core)
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_AsyncBody(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pools.aclose()


class SyncTransport(httpx2.BaseTransport):
    """`AsyncTransport` for an `httpx2.Client`."""

    def __init__(self, egress: Egress, *, guarded: bool, resolver: Resolver, max_connections: int = 100) -> None:
        self._egress = egress
        self._pools = SyncPools(egress, guarded=guarded, resolver=resolver, max_connections=max_connections)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; the body of the response is still to be read."""
        target, core = _core_request(request, self._egress)
        with _as_httpx2():
            response = self._pools.choose(target).handle_request(core)
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_SyncBody(response.stream),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close every connection."""
        self._pools.close()
