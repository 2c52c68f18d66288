"""Keys and metadata of issuers: what is known at once, what must be fetched, and who waits for it."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from ..egress import EgressError, Http, read_url
from ..protocol.identifiers import InvalidIdentifier, check_server_identifier
from ..protocol.jose import JoseError, KeyRejected, PublicKey, key_from_jwks, parse_json
from ..protocol.messages import Answer
from ..protocol.metadata import Metadata, MetadataError, read_metadata, well_known
from ..protocol.tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from .failure import DiscoveryFailed
from .freshness import lifetime
from .memory import Document, Failure, Issuer, KeySet, Shelves, read_keys

log = logging.getLogger("aauthkit.discovery")

MAX_METADATA: Final = 64 * 1024
"""Largest metadata document that is read, in bytes."""
MAX_JWKS: Final = 256 * 1024
"""Largest JWKS that is read, in bytes."""
FETCH_SECONDS: Final = 5.0
"""How long one fetch may take, from first to last byte."""
STALE_PATIENCE: Final = 1.0
"""How long a caller who has a stale key waits for a fresh one, in seconds."""
DWKS: Final = frozenset({AGENT_DWK, PERSON_DWK, ACCESS_DWK, RESOURCE_DWK})

# No signature, no token, no cookie; a connection of its own, so that none is found closed at the wrong moment.
_HEADERS: Final = (("accept", "application/json"), ("connection", "close"))
What = Literal["keys", "metadata"]
_UNFETCHED: Final = Failure("unknown_key", "the issuer's documents were not fetched", True)


class Discovery:
    """The keys of issuers, cached (draft-11 §11.4).

    - A JWKS is fetched at most once a minute and issuer, whatever arrives: unknown `kid`s, bad signatures, failures.
    - A fetch that fails leaves the keys in force, until they are a day old; the next waits longer each time.
    - An unknown `kid`, and a key under which a signature failed, ask for a fetch; neither evicts a good key.
    - One fetch serves all who wait for it, and goes on when one of them leaves. There is no fetch nobody asked for.
    - The number of issuers remembered is bounded, and strangers never displace issuers that gave a document.

    Several tasks of one event loop (asyncio) share it, and the coroutines belong to that loop, which may be a portal's.
    `cached_key` and `serve_locally` are plain and may be called from any thread.
    """

    def __init__(
        self,
        http: Http,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        max_issuers: int = 1024,
        max_strangers: int = 1024,
        max_keys: int = 16384,
        max_fetches: int = 128,
        fetch_seconds: float = FETCH_SECONDS,
    ) -> None:
        self._http = http
        self._clock = clock
        self._jitter = jitter
        self._shelves = Shelves(max_issuers, max_strangers, max_keys)
        self._max_fetches = max_fetches
        self._fetch_seconds = fetch_seconds
        self._local: dict[tuple[str, str], Callable[[], Mapping[str, Any]]] = {}
        self._local_keys: dict[tuple[str, str], tuple[Mapping[str, Any], dict[str, PublicKey]]] = {}
        self._flights: set[asyncio.Task[None]] = set()

    def serve_locally(self, iss: str, dwk: str, jwks: Callable[[], Mapping[str, Any]]) -> None:
        """Take the keys of `iss` in the role `dwk` from `jwks`, asked each time, and never from the network."""
        self._local[iss, dwk] = jwks

    def cached_key(self, iss: str, dwk: str, kid: str) -> PublicKey | None:
        """The key, if `key` would give it without waiting: fresh, or stale while the issuer may not be asked.

        `None` says only that `key` must be awaited.
        """
        if (iss, dwk) in self._local:
            try:
                return self._served(iss, dwk, kid)
            except KeyRejected:
                return None
        issuer = self._shelves.proven(iss)
        return None if issuer is None else self._at_hand(issuer, dwk, kid, None)

    async def key(self, iss: str, dwk: str, kid: str, *, failed: PublicKey | None = None) -> PublicKey:
        """The key of `iss` in the role `dwk` that `kid` names. Raises `DiscoveryFailed`.

        `failed` is the key given before, if a signature failed under it: the JWKS is fetched once more, unless that was
        done within the minute, and what stands there now is the answer, be it the same key (Signature-Keys §7.2).
        """
        if (iss, dwk) in self._local:
            return self._local_key(iss, dwk, kid)
        issuer = self._issuer(iss, dwk)
        for _ in range(2):
            found = self._at_hand(issuer, dwk, kid, failed)
            if found is not None:
                return found
            now = self._clock()
            keys = issuer.keys_of(dwk, now)
            await self._fly(issuer, dwk, "keys", stale=keys is not None and keys.usable(kid, failed) is not None)
            joined = issuer.keys_of(dwk, now)
            if keys is not None or joined is None or joined.fetched_at >= now:
                break
            # Only the metadata was fetched: it led to keys that another role had fetched before.
        return self._selected(issuer, dwk, kid)

    def admits_page(self, url: str) -> bool:
        """Whether a person may be sent to `url`, by the rules for where this process connects itself (§7.2.3).

        Their browser is what looks its name up, so that a name says no more than an address written out.
        """
        try:
            egress = self._http.egress
            target = read_url(url, egress.loopback)
            if egress.fixed(target.host, target.port) is None:
                egress.check_literal(target.host)
        except EgressError:
            return False
        return True

    async def metadata(self, iss: str, dwk: str, *, refresh: bool = False) -> Metadata:
        """The metadata document of `iss` in the role `dwk`, cached by HTTP's rules. Raises `DiscoveryFailed`.

        `refresh` asks for it anew, unless that was done within the minute.
        """
        issuer = self._issuer(iss, dwk)
        now = self._clock()
        issuer.used = now
        document = issuer.document_of(dwk, now)
        if document is None or refresh or not document.fresh(now):
            await self._fly(issuer, dwk, "metadata", stale=document is not None and not refresh)
            now = self._clock()
            document = issuer.document_of(dwk, now)
        if document is None:
            raise self._failed(issuer, dwk, now)
        return document.metadata

    async def aclose(self) -> None:
        """End the fetches under way; who waits for one gets `DiscoveryFailed`. What is known stays known."""
        flights = list(self._flights)
        for flight in flights:
            flight.cancel()
        if flights:
            await asyncio.wait(flights)

    # What is known.

    def _local_key(self, iss: str, dwk: str, kid: str) -> PublicKey:
        try:
            key = self._served(iss, dwk, kid)
        except KeyRejected as error:
            raise DiscoveryFailed(error.code, "the key of that kid cannot be used") from error
        if key is None:
            raise DiscoveryFailed("unknown_key", "no key of that kid is published here")
        return key

    def _served(self, iss: str, dwk: str, kid: str) -> PublicKey | None:
        """A key of our own; what was read of a set stands while that very set is served."""
        document = self._local[iss, dwk]()
        read, keys = self._local_keys.get((iss, dwk), (None, {}))
        if read is not document:
            keys = {}
            self._local_keys[iss, dwk] = document, keys
        if kid not in keys:
            found = key_from_jwks(document, kid)
            if found is None:
                return None
            keys[kid] = found
        return keys[kid]

    def _issuer(self, iss: str, dwk: str) -> Issuer:
        try:
            check_server_identifier(iss, self._http.egress.loopback)
        except InvalidIdentifier as error:
            raise DiscoveryFailed("unknown_key", "the issuer is not a server identifier") from error
        if dwk not in DWKS:
            raise DiscoveryFailed("unknown_key", "there is no metadata document of that name")
        found = self._shelves.find(iss)
        if found is None and len(self._flights) >= self._max_fetches:
            raise DiscoveryFailed("unknown_key", "too many fetches at once", unreachable=True, retry_after=1)
        return found or self._shelves.admit(iss, self._clock())

    def _at_hand(self, issuer: Issuer, dwk: str, kid: str, failed: PublicKey | None) -> PublicKey | None:
        """The key, if nothing need or may be fetched first."""
        now = self._clock()
        keys = issuer.keys_of(dwk, now)
        found = None if keys is None else keys.usable(kid, failed)
        if keys is None or found is None:
            return None
        if keys.fresh(now) or (dwk, "keys") in issuer.flights or self._wait(issuer, dwk, now) > 0:
            issuer.used = now
            return found
        return None

    def _selected(self, issuer: Issuer, dwk: str, kid: str) -> PublicKey:
        """What the keys in force say of `kid`."""
        now = self._clock()
        keys = issuer.keys_of(dwk, now)
        if keys is None:
            raise self._failed(issuer, dwk, now)
        found = keys.keys.get(kid)
        if isinstance(found, PublicKey):
            issuer.used = now
            return found
        if found is not None:
            raise DiscoveryFailed(found.code, found.reason)
        failure = issuer.failure(_urls(issuer, dwk))
        if failure is not None and failure.unreachable:
            reason = "the issuer cannot be reached, and the keys known of it have none of that kid"
            raise DiscoveryFailed("unknown_key", reason, unreachable=True, retry_after=self._later(issuer, dwk, now))
        raise DiscoveryFailed("unknown_key", "the issuer publishes no key of that kid")

    def _failed(self, issuer: Issuer, dwk: str, now: float) -> DiscoveryFailed:
        failure = issuer.failure(_urls(issuer, dwk)) or _UNFETCHED
        later = self._later(issuer, dwk, now) if failure.unreachable else None
        return DiscoveryFailed(
            failure.code, failure.reason, unreachable=failure.unreachable, retry_after=later, older=failure.older
        )

    def _wait(self, issuer: Issuer, dwk: str, now: float) -> float:
        """Seconds until the keys of a role may be fetched again: 0 if now."""
        document = issuer.document_of(dwk, now)
        where = well_known(issuer.iss, dwk)
        if document is None or document.metadata.jwks_uri is None:
            return issuer.wait(where, now)
        wait = issuer.wait(document.metadata.jwks_uri, now)
        return wait if document.fresh(now) else max(wait, issuer.wait(where, now))

    def _later(self, issuer: Issuer, dwk: str, now: float) -> int:
        return max(1, math.ceil(self._wait(issuer, dwk, now)))

    # What is fetched.

    async def _fly(self, issuer: Issuer, dwk: str, what: What, *, stale: bool) -> None:
        """Wait for the fetch under way, or for a new one if one may begin now.

        Who has something stale to go on with waits a moment for a fetch of their own and not at all for another's.
        """
        flight = issuer.flights.get((dwk, what))
        if flight is not None and stale:
            return
        renewed = issuer.flights.get((dwk, "metadata"))
        if flight is None and what == "keys" and not stale and renewed is not None:
            # The metadata is on its way, and is asked for once in a minute; it says where the keys are.
            await asyncio.wait({renewed})
            flight = issuer.flights.get((dwk, what))
        if flight is None:
            now = self._clock()
            wait = self._wait(issuer, dwk, now) if what == "keys" else issuer.wait(well_known(issuer.iss, dwk), now)
            if wait > 0:
                return
            flight = self._take_off(issuer, dwk, what)
        done, _ = await asyncio.wait({flight}, timeout=STALE_PATIENCE if stale else None)
        if done and not flight.cancelled():
            flight.result()

    def _take_off(self, issuer: Issuer, dwk: str, what: What) -> asyncio.Task[None]:
        """Begin a fetch as a task of its own: it is nobody's, so nobody who leaves ends it."""

        def landed(flight: asyncio.Task[None]) -> None:
            self._flights.discard(flight)
            issuer.flights.pop((dwk, what), None)

        flight = asyncio.get_running_loop().create_task(self._flight(issuer, dwk, what))
        issuer.flights[dwk, what] = flight
        self._flights.add(flight)
        flight.add_done_callback(landed)
        return flight

    async def _flight(self, issuer: Issuer, dwk: str, what: What) -> None:
        async with issuer.lock:
            before = issuer.keys_of(dwk, self._clock())
            document = await self._fetch_document(issuer, dwk, renew=what == "metadata")
            if document is None or what == "metadata":
                return
            now = self._clock()
            keys = issuer.keys_of(dwk, now)
            if keys is None or keys is before or not keys.fresh(now):
                await self._fetch_keys(issuer, dwk, document.metadata)
            issuer.prune()

    async def _fetch_document(self, issuer: Issuer, dwk: str, *, renew: bool) -> Document | None:
        """The metadata to go on with: fresh, or just fetched; `None` after a failure."""
        url = well_known(issuer.iss, dwk)
        now = self._clock()
        known = issuer.document_of(dwk, now)
        fresh = known if known is not None and known.fresh(now) else None
        # Keys that could not be fetched from where a fresh document says may have moved.
        moved = fresh is not None and issuer.failure([fresh.metadata.jwks_uri or url]) is not None
        if (fresh is not None and not renew and not moved) or issuer.wait(url, now) > 0:
            return fresh
        answer = await self._get(issuer, url, MAX_METADATA)
        if answer is None:
            return None
        try:
            document = parse_json(answer.body, limit=MAX_METADATA)
            metadata = read_metadata(dwk, issuer.iss, document, loopback=self._http.egress.loopback)
        except MetadataError as error:
            self._note(issuer, url, Failure(error.code, _METADATA_REASONS[error.code], older=_older(document)))
            return None
        except JoseError:
            self._note(issuer, url, Failure("unknown_key", "the issuer's metadata is not a JSON document"))
            return None
        issuer.tried(url).succeed()
        found = Document(now, now + lifetime(answer, now), metadata)
        issuer.role(dwk).document = found
        self._shelves.prove(issuer, now)
        return found

    async def _fetch_keys(self, issuer: Issuer, dwk: str, metadata: Metadata) -> None:
        url = metadata.jwks_uri
        if url is None:
            where = well_known(issuer.iss, dwk)
            self._note(issuer, where, Failure("unknown_key", "the issuer's metadata names no jwks_uri"))
            return
        now = self._clock()
        if issuer.wait(url, now) > 0:
            return
        if not self._http.egress.admits_jwks(issuer.iss, url):
            issuer.tried(url).begin(now)
            self._note(issuer, url, Failure("unknown_key", "the issuer's jwks_uri is of another origin"))
            return
        answer = await self._get(issuer, url, MAX_JWKS)
        if answer is None:
            return
        try:
            keys = read_keys(parse_json(answer.body, limit=MAX_JWKS))
        except JoseError:
            self._note(issuer, url, Failure("unknown_key", "the issuer's jwks_uri gives no JWKS"))
            return
        issuer.tried(url).succeed()
        issuer.key_sets[url] = KeySet(now, now + lifetime(answer, now), keys)
        issuer.role(dwk).source = url
        self._shelves.prove(issuer, now)

    async def _get(self, issuer: Issuer, url: str, limit: int) -> Answer | None:
        """The answer to one GET if it is a 200; else the failure is noted."""
        tries = issuer.tried(url)
        tries.begin(self._clock())
        self._shelves.tried(issuer)
        try:
            answer = await self._http.send("GET", url, _HEADERS, timeout=self._fetch_seconds, limit=limit)
        except asyncio.CancelledError:
            # `aclose` ended it, no fault of the issuer's. A JWKS may have been asked for, and its minute stands.
            if limit == MAX_METADATA:
                tries.not_before = tries.began
            raise
        except EgressError as error:
            log.info("%s of %s: %s", error.kind, issuer.iss, error.reason)
            reason = "the issuer cannot be reached" if error.passing else "the issuer's documents cannot be fetched"
            self._note(issuer, url, Failure("unknown_key", reason, error.passing))
            return None
        if answer.status == 200:
            return answer
        passing = answer.status == 429 or answer.status >= 500
        reason = "the issuer cannot be reached" if passing else "the issuer's documents cannot be fetched"
        self._note(issuer, url, Failure("unknown_key", reason, passing))
        return None

    def _note(self, issuer: Issuer, url: str, failure: Failure) -> None:
        log.info("discovery of %s failed: %s", issuer.iss, failure.reason)
        issuer.tried(url).fail(failure, self._jitter())


_METADATA_REASONS: Final = {
    "issuer_missing": "the issuer's metadata names no issuer",
    "issuer_mismatch": "the issuer's metadata names another issuer",
    "unknown_key": "the issuer's metadata is not in form",
}


def _older(document: Mapping[str, Any]) -> str:
    """That a document speaks an older draft, in brackets; empty where it does not."""
    from ..explaining.dialects import older_metadata

    said = [older.said for older in older_metadata(document) if older.fatal]
    return f" ({said[0]})" if said else ""


def _urls(issuer: Issuer, dwk: str) -> list[str]:
    """Where the documents of a role stand, as far as is known."""
    role = issuer.roles.get(dwk)
    jwks_uri = role.document.metadata.jwks_uri if role is not None and role.document is not None else None
    return [well_known(issuer.iss, dwk), *([jwks_uri] if jwks_uri is not None else [])]
