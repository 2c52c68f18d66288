"""One request, one bounded answer: no redirect, no cookie, no credentials, no decoding."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import anyio

from ..compatibility import NONE, OlderForm, in_older_form
from ..protocol.messages import Answer
from .admission import DEFAULT_EGRESS, Egress, EgressError, Target, read_url
from .resolving import Resolver, system_resolver

if TYPE_CHECKING:
    from .network import AsyncPools

MAX_CONNECTIONS: Final = 256
"""Most connections one `Http` holds open at once, for guarded and for unguarded requests each."""
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding"})


class Http:
    """The client of every request made in a server's or an agent's own name.

    Opens nothing before the first request and imports the HTTP library only then. It belongs to the event loop it is
    first used on, which may be a portal's; close it there with `aclose`. Request and answer pass as they are: a 3xx is
    an answer, a cookie a field, and the path of the URL is sent byte for byte.
    """

    def __init__(
        self,
        egress: Egress = DEFAULT_EGRESS,
        *,
        resolver: Resolver = system_resolver,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.egress = egress
        self._resolver = resolver
        self._max_connections = max_connections
        self._pools: dict[bool, AsyncPools] = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeout: float,
        limit: int,
        guarded: bool = True,
    ) -> Answer:
        """The answer to one request, of at most `limit` bytes, within `timeout` seconds from first to last byte.

        `host`, `content-length` and `transfer-encoding` are set here, whatever `headers` say. `guarded=False` leaves
        out the check of addresses and is for URLs chosen by whom the caller acts for. Raises `EgressError`.
        """
        from .network import exchange

        target = read_url(url, self.egress.loopback)
        forms = self.egress.older_forms.get(target.host, NONE)
        fields = _fields(method, target, headers, body, forms)
        pool = self._pools_for(guarded).choose(target)
        try:
            with anyio.fail_after(timeout):
                return await exchange(pool, method, target, fields, body, limit)
        except TimeoutError:
            raise EgressError(f"{target.host} gave no whole answer within {timeout:g} s", "timeout") from None

    def _pools_for(self, guarded: bool) -> AsyncPools:
        # Apart, so that a connection opened without the check is never handed to a request that needs it.
        if guarded not in self._pools:
            from .network import AsyncPools

            self._pools[guarded] = AsyncPools(
                self.egress, guarded=guarded, resolver=self._resolver, max_connections=self._max_connections
            )
        return self._pools[guarded]

    async def aclose(self) -> None:
        """Close every connection."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()


def _fields(
    method: str, target: Target, headers: Iterable[tuple[str, str]], body: bytes, forms: frozenset[OlderForm]
) -> list[tuple[bytes, bytes]]:
    given = [(name, in_older_form(name, value, forms)) for name, value in headers if name.lower() not in _OURS]
    present = {name.lower() for name, _ in given}
    fields = [("host", target.authority), *given]
    if "accept-encoding" not in present:
        fields.append(("accept-encoding", "identity"))
    if "user-agent" not in present:
        fields.append(("user-agent", "aauthkit"))
    if body or method in ("POST", "PUT", "PATCH"):
        fields.append(("content-length", str(len(body))))
    try:
        return [(name.encode("ascii"), value.encode("iso-8859-1")) for name, value in fields]
    except UnicodeError:
        raise EgressError("a header field holds a character that none may hold", "refused") from None
