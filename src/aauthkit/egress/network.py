"""The network layer: connections that go to the very address that was checked, and one exchange over them.

Imported on first use only, as is the HTTP library under it. A name is looked up once for each connection; every address
that was found is checked, and the connection goes to one of those, while TLS still checks the certificate against the
name (Signature-Keys §7.3).
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import anyio
import anyio.to_thread
import httpcore2

from ..protocol.messages import Answer
from .admission import Egress, EgressError, Target
from .resolving import Resolver

ATTEMPT_SECONDS: Final = 1.0
"""How long one address is tried while another is left."""
LOOKUPS: Final = 16
"""Most look-ups at once; they run in threads of their own, so that a slow name server stalls nothing else."""
IDLE_SECONDS: Final = 15.0
"""How long an idle connection is kept."""


class _Unlogged(logging.Filter):
    """Takes the fields of an answer out of the HTTP library's own debug log: tokens stand in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str) and record.msg.startswith("receive_response_headers.complete"):
            record.msg = "receive_response_headers.complete"
        return True


for _name in ("httpcore2.http11", "httpcore2.http2"):
    logging.getLogger(_name).addFilter(_Unlogged())


def tls_context(egress: Egress) -> ssl.SSLContext:
    """The context for `egress`. Raises `ValueError` if the one it was given checks less than it must."""
    given = egress.ssl_context
    if given is not None:
        old = given.minimum_version not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        if old or not given.check_hostname or given.verify_mode is not ssl.CERT_REQUIRED:
            raise ValueError("an ssl_context checks certificates and names, from TLS 1.2 up")
        return given
    context = httpcore2.default_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if egress.ca_file is not None:
        context.load_verify_locations(cafile=str(egress.ca_file))
    return context


def _no_address(host: str) -> httpcore2.ConnectError:
    return httpcore2.ConnectError(f"{host} has no address")


class _Fresh(httpcore2.AsyncNetworkStream):
    """A connection before TLS, which is closed where its handshake is cancelled: the library sees to failures only."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class AsyncAdmittingBackend(httpcore2.AsyncNetworkBackend):
    """Looks up, checks, and connects to what it checked. Raises `EgressError` where it may not."""

    def __init__(self, egress: Egress, *, guarded: bool, resolver: Resolver) -> None:
        self._egress = egress
        self._guarded = guarded
        self._resolver = resolver
        self._inner = httpcore2.AnyIOBackend()
        self._limiter: anyio.CapacityLimiter | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to `host`, at an address that was checked."""
        try:
            with anyio.fail_after(timeout):
                fixed = self._egress.fixed(host, port)
                if fixed is not None:
                    return _Fresh(await self._inner.connect_tcp(*fixed, None, local_address, socket_options))
                addresses = await self._look_up(host, port)
                return _Fresh(await self._connect(addresses, port, local_address, socket_options))
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"no connection to {host} in time") from None

    async def _look_up(self, host: str, port: int) -> list[str]:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(LOOKUPS)
        try:
            found = await anyio.to_thread.run_sync(
                self._resolver, host, port, abandon_on_cancel=True, limiter=self._limiter
            )
        except OSError:
            raise _no_address(host) from None
        if not found:
            raise _no_address(host)
        return self._egress.admit(host, found) if self._guarded else list(found)

    async def _connect(
        self,
        addresses: list[str],
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, ATTEMPT_SECONDS, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, None, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait, between the library's own attempts."""
        await anyio.sleep(seconds)


class SyncAdmittingBackend(httpcore2.NetworkBackend):
    """`AsyncAdmittingBackend` for a synchronous client."""

    def __init__(self, egress: Egress, *, guarded: bool, resolver: Resolver) -> None:
        self._egress = egress
        self._guarded = guarded
        self._resolver = resolver
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to `host`, at an address that was checked."""
        fixed = self._egress.fixed(host, port)
        if fixed is not None:
            return self._inner.connect_tcp(*fixed, timeout, local_address, socket_options)
        addresses = self._look_up(host, port)
        for address in addresses[:-1]:
            limit = ATTEMPT_SECONDS if timeout is None else min(timeout, ATTEMPT_SECONDS)
            try:
                return self._inner.connect_tcp(address, port, limit, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    def _look_up(self, host: str, port: int) -> list[str]:
        try:
            found = self._resolver(host, port)
        except OSError:
            raise _no_address(host) from None
        if not found:
            raise _no_address(host)
        return self._egress.admit(host, found) if self._guarded else list(found)

    def sleep(self, seconds: float) -> None:
        """Wait, between the library's own attempts."""
        time.sleep(seconds)


def _proxy(egress: Egress, context: ssl.SSLContext) -> httpcore2.Proxy | None:
    if egress.proxy is None:
        return None
    parts = urlsplit(egress.proxy)
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "/", "", ""))
    return httpcore2.Proxy(url, auth=auth, ssl_context=context if parts.scheme == "https" else None)


class AsyncPools:
    """The connections of one client: straight ones, and those through the proxy where there is one."""

    def __init__(self, egress: Egress, *, guarded: bool, resolver: Resolver, max_connections: int) -> None:
        self._egress = egress
        self._guarded = guarded
        context = tls_context(egress)
        proxy = _proxy(egress, context)

        def pool(guarded: bool, proxy: httpcore2.Proxy | None) -> httpcore2.AsyncConnectionPool:
            return httpcore2.AsyncConnectionPool(
                ssl_context=context,
                proxy=proxy,
                max_connections=max_connections,
                max_keepalive_connections=max_connections // 4,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=AsyncAdmittingBackend(egress, guarded=guarded, resolver=resolver),
            )

        self._straight = pool(guarded, None)
        # The proxy itself was named by configuration: its address needs no admission.
        self._proxied = pool(False, proxy) if proxy is not None else None

    def choose(self, target: Target) -> httpcore2.AsyncConnectionPool:
        """The pool for one target. Raises `EgressError` (`refused`)."""
        if self._proxied is None or self._egress.fixed(target.host, target.port) is not None:
            return self._straight
        if self._guarded:
            self._egress.check_literal(target.host)
        return self._proxied

    async def aclose(self) -> None:
        """Close every connection."""
        await self._straight.aclose()
        if self._proxied is not None:
            await self._proxied.aclose()


class SyncPools:
    """`AsyncPools` for a synchronous client."""

    def __init__(self, egress: Egress, *, guarded: bool, resolver: Resolver, max_connections: int) -> None:
        self._egress = egress
        self._guarded = guarded
        context = tls_context(egress)
        proxy = _proxy(egress, context)

        def pool(guarded: bool, proxy: httpcore2.Proxy | None) -> httpcore2.ConnectionPool:
            return httpcore2.ConnectionPool(
                ssl_context=context,
                proxy=proxy,
                max_connections=max_connections,
                max_keepalive_connections=max_connections // 4,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=SyncAdmittingBackend(egress, guarded=guarded, resolver=resolver),
            )

        self._straight = pool(guarded, None)
        self._proxied = pool(False, proxy) if proxy is not None else None

    def choose(self, target: Target) -> httpcore2.ConnectionPool:
        """The pool for one target. Raises `EgressError` (`refused`)."""
        if self._proxied is None or self._egress.fixed(target.host, target.port) is not None:
            return self._straight
        if self._guarded:
            self._egress.check_literal(target.host)
        return self._proxied

    def close(self) -> None:
        """Close every connection."""
        self._straight.close()
        if self._proxied is not None:
            self._proxied.close()


def _core_url(target: Target) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.target.encode()
    )


async def exchange(
    pool: httpcore2.AsyncConnectionPool,
    method: str,
    target: Target,
    fields: list[tuple[bytes, bytes]],
    body: bytes,
    limit: int,
) -> Answer:
    """Send one request and read its answer, of at most `limit` bytes and without any encoding. Raises `EgressError`."""
    try:
        async with pool.stream(method, _core_url(target), headers=fields, content=body or None) as response:
            headers = tuple((n.decode("iso-8859-1").lower(), v.decode("iso-8859-1")) for n, v in response.headers)
            answer = Answer(response.status, headers)
            _check_head(answer, target, limit)
            pieces: list[bytes] = []
            size = 0
            async for piece in response.aiter_stream():
                size += len(piece)
                if size > limit:
                    raise EgressError(f"{target.host} answers with more than {limit} bytes", "too_large")
                pieces.append(piece)
    except httpcore2.TimeoutException:
        raise EgressError(f"{target.host} did not answer in time", "timeout") from None
    except httpcore2.LocalProtocolError:
        raise EgressError("the request holds what HTTP cannot carry", "refused") from None
    except httpcore2.RemoteProtocolError:
        raise EgressError(f"{target.host} does not answer with HTTP, or broke off", "unreachable") from None
    except (httpcore2.NetworkError, httpcore2.ProxyError, OSError):
        raise EgressError(f"no connection to {target.host}", "unreachable") from None
    return Answer(answer.status, headers, b"".join(pieces))


def _check_head(answer: Answer, target: Target, limit: int) -> None:
    encodings = {part.strip().lower() for value in answer.values("content-encoding") for part in value.split(",")}
    if encodings - {"", "identity"}:
        # Decoding is where a small answer becomes a huge one.
        raise EgressError(f"{target.host} answers with an encoding that was not asked for", "malformed")
    length = answer.header("content-length") or ""
    if length.isascii() and length.isdecimal() and int(length[:20]) > limit:
        raise EgressError(f"{target.host} announces more than {limit} bytes", "too_large")
