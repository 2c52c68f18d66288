"""Transports for a client of the user's own, of `httpx2` or of `httpx`: `agent.transport()`, `agent.sync_transport()`.

Which library a request is of is seen when it comes, so that the same transport fits both. `httpx` is imported only
where somebody uses it.
"""

from __future__ import annotations

import sys
from typing import Any

import httpx2

from .standing import Options, Standing
from .transport import AsyncTransport, SyncTransport


class EitherAsyncTransport(httpx2.AsyncBaseTransport):
    """For an `httpx2.AsyncClient` or an `httpx.AsyncClient`."""

    def __init__(self, signing: httpx2.AsyncBaseTransport) -> None:
        self._signing = signing

    async def handle_async_request(self, request: Any) -> Any:
        """The response to a request, in the library of the request. Raises `AAuthError` and that library's errors."""
        if isinstance(request, httpx2.Request):
            return await self._signing.handle_async_request(request)
        from .httpx import exchange

        return await exchange(self._signing, request)

    async def aclose(self) -> None:
        """Close the connections of this transport."""
        await self._signing.aclose()


class EitherSyncTransport(httpx2.BaseTransport):
    """For an `httpx2.Client` or an `httpx.Client`."""

    def __init__(self, signing: httpx2.BaseTransport) -> None:
        self._signing = signing

    def handle_request(self, request: Any) -> Any:
        """The response to a request, in the library of the request. Raises `AAuthError` and that library's errors."""
        if isinstance(request, httpx2.Request):
            return self._signing.handle_request(request)
        from .httpx import exchange_sync

        return exchange_sync(self._signing, request)

    def close(self) -> None:
        """Close the connections of this transport."""
        self._signing.close()


def async_transport(standing: Standing, options: Options, inner: Any) -> EitherAsyncTransport:
    """Signs, and lets `inner` send: a transport of either library, or `None` for the agent's own way out."""
    if inner is None:
        inner = standing.exchange.egress.async_transport(guarded=False)
    elif _is_of_httpx(inner, "AsyncBaseTransport"):
        from .httpx import AsyncInner

        inner = AsyncInner(inner)
    return EitherAsyncTransport(AsyncTransport(standing, options, inner))


def sync_transport(standing: Standing, options: Options, inner: Any) -> EitherSyncTransport:
    """The same, synchronous."""
    if inner is None:
        inner = standing.exchange.egress.sync_transport(guarded=False)
    elif _is_of_httpx(inner, "BaseTransport"):
        from .httpx import SyncInner

        inner = SyncInner(inner)
    return EitherSyncTransport(SyncTransport(standing, options, inner))


def _is_of_httpx(inner: object, base: str) -> bool:
    """Whether `inner` is a transport of httpx; nothing is, where httpx was never imported."""
    httpx = sys.modules.get("httpx")
    if httpx is None or isinstance(inner, getattr(httpx2, base)):
        return False
    return isinstance(inner, getattr(httpx, base))
