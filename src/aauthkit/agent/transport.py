"""The transports of an agent's `httpx2` clients: each request is signed on a copy, and its challenges are met here.

A transport and not an `Auth`: an `Auth` sees every hop of a redirect with the old fields still on, and the client's
response hooks would see the challenges. The client keeps the unsigned original, and a redirect starts from that; the
request it makes then is a call of its own, to whichever resource it goes to.

Imported on first use only, as is the HTTP library.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx2

from ..portal import wait_for
from ..protocol.messages import HeaderList
from .errors import AAuthError, BodyTooLarge, PendingRefused, Unsignable
from .flow import Call
from .messages import Original, Outgoing
from .reading import MAX_CHALLENGE, Bounded, Reading, end, end_sync, read, read_sync
from .redeeming import Ask
from .spans import Telling, tell
from .standing import Options, Standing

SLACK: Final = 15.0
"""Seconds a held poll may take beyond those it asks for."""


def _original(request: httpx2.Request, body: bytes) -> Original:
    """`request` as a value. Its target is what goes on the wire. Raises `Unsignable`."""
    url = request.url
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw)
    authority = url.netloc.decode("ascii")
    if any(value.lower() != authority for name, value in headers if name == "host"):
        raise Unsignable("the Host field names another host than the URL; nothing was sent (draft-11 §11.3.3.1)")
    target = request.extensions.get("target", url.raw_path)
    return Original(request.method, url.scheme, authority, target.decode("ascii"), headers, body)


def _asked(request: httpx2.Request) -> Ask | None:
    """What a request asks for by itself. Raises `TypeError` where that is no `Ask`."""
    ask = request.extensions.get("aauth")
    if ask is not None and not isinstance(ask, Ask):
        raise TypeError(f'extensions["aauth"] is an Ask, not a {type(ask).__name__}')
    return ask


def _copy(outgoing: Outgoing, request: httpx2.Request) -> httpx2.Request:
    """What is sent: the signed copy, or the poll, with the user's timeouts; the original stays as it is."""
    extensions = {**request.extensions, "target": outgoing.target.encode("ascii")}
    if outgoing.poll:
        timeout = dict(extensions.get("timeout") or {})
        if timeout.get("read") is not None:
            timeout["read"] = max(timeout["read"], outgoing.wait + SLACK)
        extensions["timeout"] = timeout
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in outgoing.headers]
    stream = httpx2.ByteStream(outgoing.body)
    # The URL that was read already, where it is the same to the letter: reading one costs as much as signing.
    url = request.url if str(request.url) == outgoing.url else outgoing.url
    return httpx2.Request(outgoing.method, url, headers=headers, stream=stream, extensions=extensions)


def _headers(response: httpx2.Response) -> HeaderList:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw)


def _bytes_at_hand(request: httpx2.Request) -> bytes | None:
    """The body, where it is in memory already."""
    return request.content if isinstance(request.stream, httpx2.ByteStream) and hasattr(request, "_content") else None


def _replayable(request: httpx2.Request, body: bytes) -> bytes:
    """Keep a body that was read from a stream with its request, as httpx2 does, so that a redirect can send it too."""
    request.stream = httpx2.ByteStream(body)
    return body


def _is_callers(reading: Reading, call: Call) -> bool:
    """Whether a 202 is too long to be the protocol's own, and nothing in it says that it is (draft-11 §11.8.2).

    Raises `PendingRefused` for one that does say so.
    """
    answer = reading.answer
    if reading.whole or answer.status != 202:
        return False
    if call.polling or answer.values("aauth-requirement"):
        raise _too_long(call)
    return True


def _too_long(call: Call) -> PendingRefused:
    return PendingRefused(f"{call.resource} sends more than {MAX_CHALLENGE} bytes with a deferred response")


class AsyncTransport(httpx2.AsyncBaseTransport):
    """For an `httpx2.AsyncClient`. `inner` sends."""

    def __init__(self, standing: Standing, options: Options, inner: httpx2.AsyncBaseTransport) -> None:
        self._standing = standing
        self._options = options
        self._inner = inner
        standing.given_up.open(self)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, after whatever was asked for on the way. Raises `AAuthError`."""
        call = Call(self._standing, self._options, _original(request, await self._body(request)), _asked(request))
        try:
            with tell(call.resource, request.method) as telling:
                return await self._meet(call, request, telling)
        finally:
            call.ended()

    async def _meet(self, call: Call, request: httpx2.Request, telling: Telling) -> httpx2.Response:
        while True:
            if not call.ready():
                with telling.preparing():
                    await call.prepare(self._standing.exchange.enter(self))
            reading = None
            try:
                with telling.sending() as poll:
                    response = await self._inner.handle_async_request(_copy(call.sign(), request))
                    telling.answered(poll, response.status_code)
                    headers = _headers(response)
                    if call.concerns(response.status_code, headers):
                        reading = await read(response, headers)
            except httpx2.TransportError:
                if not call.lost():
                    raise
                continue
            if reading is not None:
                if not await self._theirs(reading, call):
                    telling.took(reading.answer, polling=call.polling)
                    continue
                response = reading.handed_on
            try:
                aauth = call.finish(response.status_code, headers)
            except AAuthError:
                await response.aclose()
                raise
            telling.finished(response.status_code, aauth)
            response.extensions = {**response.extensions, "aauth": aauth}
            return response

    async def _body(self, request: httpx2.Request) -> bytes:
        body = _bytes_at_hand(request)
        if body is not None:
            return body
        gathered = Bounded(self._options.spool)
        stream = request.stream
        if not isinstance(stream, httpx2.AsyncByteStream):
            raise Unsignable("the body is a plain iterator; an asynchronous client takes bytes or an async iterator")
        pieces: AsyncIterator[bytes] = stream.__aiter__()
        async for piece in pieces:
            if not gathered.add(piece):
                await stream.aclose()
                raise BodyTooLarge(self._options.spool)
        return _replayable(request, gathered.content)

    async def _theirs(self, reading: Reading, call: Call) -> bool:
        """Whether the response is the caller's after all; else it was the protocol's, and is done with."""
        theirs = False
        try:
            theirs = _is_callers(reading, call) or call.take(reading.answer)
        finally:
            if not theirs:
                await end(reading)
        return theirs

    async def aclose(self) -> None:
        """Close the connections of this client, and the agent's own where nobody else uses them."""
        try:
            await self._inner.aclose()
        finally:
            await self._standing.closed(self)


class SyncTransport(httpx2.BaseTransport):
    """For an `httpx2.Client`. `inner` sends, on the caller's thread; what must wait does so on the portal's loop."""

    def __init__(self, standing: Standing, options: Options, inner: httpx2.BaseTransport) -> None:
        self._standing = standing
        self._options = options
        self._inner = inner
        standing.given_up.open(self)
        self._entered = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, after whatever was asked for on the way. Raises `AAuthError`."""
        call = Call(self._standing, self._options, _original(request, self._body(request)), _asked(request))
        try:
            with tell(call.resource, request.method) as telling:
                return self._meet(call, request, telling)
        finally:
            call.ended()

    def _meet(self, call: Call, request: httpx2.Request, telling: Telling) -> httpx2.Response:
        while True:
            if not call.ready():
                with telling.preparing():
                    wait_for(self._prepare, call)
            reading = None
            try:
                with telling.sending() as poll:
                    response = self._inner.handle_request(_copy(call.sign(), request))
                    telling.answered(poll, response.status_code)
                    headers = _headers(response)
                    if call.concerns(response.status_code, headers):
                        reading = read_sync(response, headers)
            except httpx2.TransportError:
                if not call.lost():
                    raise
                continue
            if reading is not None:
                if not self._theirs(reading, call):
                    telling.took(reading.answer, polling=call.polling)
                    continue
                response = reading.handed_on
            try:
                aauth = call.finish(response.status_code, headers)
            except AAuthError:
                response.close()
                raise
            telling.finished(response.status_code, aauth)
            response.extensions = {**response.extensions, "aauth": aauth}
            return response

    async def _prepare(self, call: Call) -> None:
        self._entered = True
        await call.prepare(self._standing.exchange.enter(self))

    def _body(self, request: httpx2.Request) -> bytes:
        body = _bytes_at_hand(request)
        if body is not None:
            return body
        gathered = Bounded(self._options.spool)
        stream = request.stream
        if not isinstance(stream, httpx2.SyncByteStream):
            raise Unsignable("the body is an async iterator; a synchronous client takes bytes or a plain iterator")
        pieces: Iterator[bytes] = iter(stream)
        for piece in pieces:
            if not gathered.add(piece):
                stream.close()
                raise BodyTooLarge(self._options.spool)
        return _replayable(request, gathered.content)

    def _theirs(self, reading: Reading, call: Call) -> bool:
        theirs = False
        try:
            theirs = _is_callers(reading, call) or call.take(reading.answer)
        finally:
            if not theirs:
                end_sync(reading)
        return theirs

    def close(self) -> None:
        """Close the connections of this client, and the agent's own where nobody else uses them."""
        self._inner.close()
        if self._entered or self._standing.background.is_busy:
            self._entered = False
            wait_for(self._standing.closed, self)
        else:
            self._standing.given_up.unused(self)


def async_client(standing: Standing, options: Options, **settings: Any) -> httpx2.AsyncClient:
    """A client that signs; `settings` are those of `httpx2.AsyncClient` that do not choose another way out."""
    inner = standing.exchange.egress.async_transport(guarded=False)
    transport = AsyncTransport(standing, options, inner)
    return httpx2.AsyncClient(transport=transport, trust_env=False, **_checked(settings))


def sync_client(standing: Standing, options: Options, **settings: Any) -> httpx2.Client:
    """The same, synchronous."""
    inner = standing.exchange.egress.sync_transport(guarded=False)
    transport = SyncTransport(standing, options, inner)
    return httpx2.Client(transport=transport, trust_env=False, **_checked(settings))


_WAYS_OUT: Final = frozenset(
    {"transport", "mounts", "proxy", "verify", "cert", "trust_env", "http1", "http2", "limits"}
)


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings`, unless one would let a request leave past the signing transport. Raises `TypeError`."""
    refused = sorted(_WAYS_OUT & settings.keys())
    if refused:
        raise TypeError(
            f"{', '.join(refused)} cannot be chosen here, since every request leaves signed; "
            "names, certificates and a proxy belong into the agent's egress"
        )
    return settings
