"""`httpx` on either side of the agent's transports: requests of its clients, and transports of its that send.

The flow is that of `transport.py`, which speaks httpx2. Here requests, responses and errors change from one library to
the other, byte for byte, and nothing else happens. Imported only where something of httpx is met.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2


class _AsyncPieces(httpx.AsyncByteStream):
    """The body of an httpx2 response, for a client of httpx."""

    def __init__(self, stream: Any, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx(self._request):
            async for piece in self._stream:
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _SyncPieces(httpx.SyncByteStream):
    def __init__(self, stream: Any, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx(self._request):
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _AsyncPieces2(httpx2.AsyncByteStream):
    """A body of httpx, for httpx2."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2():
            async for piece in self._stream:
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _SyncPieces2(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx2():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


@contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """Errors on the way as those of the library that asked; one that came from it is itself again."""
    try:
        yield
    except httpx2.TransportError as error:
        if isinstance(error.__cause__, httpx.TransportError):
            raise error.__cause__ from None
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error), request=request) from error


@contextmanager
def _as_httpx2() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise kind(str(error)) from error


def _to_httpx2(request: httpx.Request) -> httpx2.Request:
    """The same request; its target is fixed here, so that a second reading of the URL cannot change it."""
    stream = request.stream
    body: httpx2.AsyncByteStream | httpx2.SyncByteStream
    if isinstance(stream, httpx.ByteStream):
        body = httpx2.ByteStream(b"".join(stream))
    else:
        body = _AsyncPieces2(stream) if isinstance(stream, httpx.AsyncByteStream) else _SyncPieces2(stream)
    converted = httpx2.Request(
        request.method,
        str(request.url),
        headers=request.headers.raw,
        stream=body,
        extensions={"target": request.url.raw_path, **request.extensions},
    )
    if isinstance(body, httpx2.ByteStream):
        converted.read()
    return converted


def _replayable(request: httpx.Request, sent: httpx2.Request) -> None:
    """Keep with `request` a body that was read from its stream, so that a redirect can send it too."""
    if isinstance(sent.stream, httpx2.ByteStream) and not isinstance(request.stream, httpx.ByteStream):
        request.stream = httpx.ByteStream(b"".join(sent.stream))


def _from_httpx2(request: httpx2.Request) -> httpx.Request:
    stream: Any = request.stream
    if isinstance(stream, httpx2.ByteStream):
        stream = httpx.ByteStream(b"".join(stream))
    return httpx.Request(
        request.method, str(request.url), headers=request.headers.raw, stream=stream, extensions=request.extensions
    )


async def exchange(signing: httpx2.AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
    """The response to a request of an `httpx.AsyncClient`, through the agent's transport."""
    converted = _to_httpx2(request)
    with _as_httpx(request):
        response = await signing.handle_async_request(converted)
    _replayable(request, converted)
    stream = _AsyncPieces(response.stream, request)
    return httpx.Response(
        response.status_code, headers=response.headers.raw, stream=stream, extensions=response.extensions
    )


def exchange_sync(signing: httpx2.BaseTransport, request: httpx.Request) -> httpx.Response:
    """The response to a request of an `httpx.Client`."""
    converted = _to_httpx2(request)
    with _as_httpx(request):
        response = signing.handle_request(converted)
    _replayable(request, converted)
    stream = _SyncPieces(response.stream, request)
    return httpx.Response(
        response.status_code, headers=response.headers.raw, stream=stream, extensions=response.extensions
    )


class AsyncInner(httpx2.AsyncBaseTransport):
    """An `httpx` transport of the user's own as the one that sends."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request, signed already."""
        with _as_httpx2():
            response = await self._inner.handle_async_request(_from_httpx2(request))
        return httpx2.Response(
            response.status_code,
            headers=response.headers.raw,
            stream=_AsyncPieces2(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close the user's transport."""
        await self._inner.aclose()


class SyncInner(httpx2.BaseTransport):
    """`AsyncInner` for a synchronous client."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request, signed already."""
        with _as_httpx2():
            response = self._inner.handle_request(_from_httpx2(request))
        return httpx2.Response(
            response.status_code,
            headers=response.headers.raw,
            stream=_SyncPieces2(response.stream),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close the user's transport."""
        self._inner.close()
