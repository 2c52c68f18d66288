"""What is remembered of issuers, and of how many. Nothing here waits, fetches, or knows the clock.

Strangers create entries, so both shelves are bounded (Signature-Keys §7.2): *proven* issuers, who gave a document that
passed, and *strangers*, who never did. A stranger never displaces a proven issuer, and no entry is forgotten within
`FLOOR` of its last fetch, for that would let the same issuer be fetched again at once: when all are that young, a new
stranger is turned away without a fetch.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..protocol.jose import MAX_JWKS_KEYS, KeyRejected, PublicKey, key_from_jwks
from ..protocol.metadata import Metadata, well_known
from .failure import Code, DiscoveryFailed
from .freshness import CEILING, FLOOR, backoff

MAX_KID = 255


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last fetch of a document gave nothing."""

    code: Code
    reason: str
    unreachable: bool = False
    older: str = ""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """Something that was fetched, and when it was asked for."""

    fetched_at: float
    fresh_until: float

    def fresh(self, now: float) -> bool:
        """Whether it may be used unasked. What a clock that ran ahead made fresh for years is not."""
        return self.fetched_at - FLOOR <= now < self.fresh_until

    def in_force(self, now: float) -> bool:
        """Whether it may be used at all: less than a day old (draft-11 §11.4)."""
        return abs(now - self.fetched_at) < CEILING


@dataclass(frozen=True, slots=True)
class Document(_Fetched):
    """A metadata document that passed."""

    metadata: Metadata


@dataclass(frozen=True, slots=True)
class KeySet(_Fetched):
    """The keys of one JWKS by `kid`; one that cannot be used is kept as the failure it is."""

    keys: Mapping[str, PublicKey | Failure]

    def usable(self, kid: str, failed: PublicKey | None = None) -> PublicKey | None:
        """The key that `kid` names, if it is usable and not the one that `failed`."""
        found = self.keys.get(kid)
        if not isinstance(found, PublicKey) or (failed is not None and found.same_key(failed)):
            return None
        return found


def read_keys(document: Mapping[str, Any]) -> dict[str, PublicKey | Failure]:
    """Every named member of a JWKS by `kid`, usable or not (draft-11 §11.4). Raises `KeyRejected`: it has no keys."""
    members = document.get("keys")
    if not isinstance(members, list):
        raise KeyRejected("invalid_key", "the JWKS has no keys")
    found: dict[str, PublicKey | Failure] = {}
    for member in members[:MAX_JWKS_KEYS]:
        kid = member.get("kid") if isinstance(member, Mapping) else None
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID or kid in found:
            continue
        try:
            key = key_from_jwks(document, kid)
        except KeyRejected as error:
            found[kid] = Failure(error.code, "the issuer's key of that kid cannot be used")
        else:
            if key is not None:
                found[kid] = key
    return found


@dataclass(slots=True)
class Tries:
    """The fetches of one URL: when the last began, when the next may, and what went wrong."""

    began: float = float("-inf")
    not_before: float = float("-inf")
    failures: int = 0
    failure: Failure | None = None

    def begin(self, now: float) -> None:
        """A fetch begins. Noted before it is sent, so that one that is cut off counts as well."""
        self.began = now
        self.not_before = now + FLOOR

    def succeed(self) -> None:
        """The fetch gave a document that passed."""
        self.failures = 0
        self.failure = None

    def fail(self, failure: Failure, jitter: float) -> None:
        """The fetch gave nothing: the next one waits longer each time."""
        self.failures += 1
        self.failure = failure
        self.not_before = self.began + backoff(self.failures, jitter)

    def wait(self, now: float) -> float:
        """Seconds until the next fetch may begin; 0 if it may now, also after the clock was set back by far."""
        return 0.0 if now < self.began - FLOOR else max(0.0, self.not_before - now)


@dataclass(slots=True)
class Role:
    """What an issuer is in one role, by the name of its document: `source` is the URL whose keys are in force."""

    document: Document | None = None
    source: str | None = None


@dataclass(slots=True, eq=False)
class Issuer:
    """Everything remembered about one issuer. Key sets are shared between its roles, by their URL."""

    iss: str
    roles: dict[str, Role] = field(default_factory=dict)
    key_sets: dict[str, KeySet] = field(default_factory=dict)
    tries: dict[str, Tries] = field(default_factory=dict)
    flights: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    used: float = float("-inf")

    def role(self, dwk: str) -> Role:
        """The role of that document name."""
        return self.roles.setdefault(dwk, Role())

    def tried(self, url: str) -> Tries:
        """The fetches of that URL."""
        return self.tries.setdefault(url, Tries())

    def wait(self, url: str, now: float) -> float:
        """Seconds until that URL may be fetched again."""
        tries = self.tries.get(url)
        return 0.0 if tries is None else tries.wait(now)

    def failure(self, urls: Iterable[str]) -> Failure | None:
        """What went wrong at the latest of these URLs' fetches that gave nothing."""
        failed = [self.tries[url] for url in urls if url in self.tries and self.tries[url].failure is not None]
        return max(failed, key=lambda tries: tries.began).failure if failed else None

    def document_of(self, dwk: str, now: float) -> Document | None:
        """The document of a role, fresh or stale, unless it is a day old."""
        role = self.roles.get(dwk)
        document = role.document if role is not None else None
        return document if document is not None and document.in_force(now) else None

    def keys_of(self, dwk: str, now: float) -> KeySet | None:
        """The keys in force for a role, fresh or stale, unless they are a day old (draft-11 §11.4).

        Those at the URL its metadata names, whichever role fetched them; else those it named before.
        """
        role = self.roles.get(dwk)
        if role is None:
            return None
        if role.document is not None and role.document.metadata.jwks_uri in self.key_sets:
            role.source = role.document.metadata.jwks_uri
        keys = self.key_sets.get(role.source) if role.source is not None else None
        return keys if keys is not None and keys.in_force(now) else None

    def prune(self) -> None:
        """Forget key sets and fetches that no role points to any more."""
        named = {role.source for role in self.roles.values()}
        named |= {role.document.metadata.jwks_uri for role in self.roles.values() if role.document is not None}
        named |= {well_known(self.iss, dwk) for dwk in self.roles}
        for url in self.key_sets.keys() - named:
            del self.key_sets[url]
        for url in self.tries.keys() - named:
            del self.tries[url]

    def young(self, now: float) -> bool:
        """Whether a fetch is under way or began less than `FLOOR` ago."""
        return bool(self.flights) or any(abs(now - tries.began) < FLOOR for tries in self.tries.values())


class Shelves:
    """Proven issuers and strangers, each bounded; `max_keys` bounds the keys of all proven ones together."""

    def __init__(self, max_issuers: int, max_strangers: int, max_keys: int) -> None:
        self._max_issuers = max_issuers
        self._max_strangers = max_strangers
        self._max_keys = max_keys
        self._proven: dict[str, Issuer] = {}
        self._strangers: OrderedDict[str, Issuer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._proven) + len(self._strangers)

    def proven(self, iss: str) -> Issuer | None:
        """The issuer, if a document of it ever passed."""
        return self._proven.get(iss)

    def find(self, iss: str) -> Issuer | None:
        """The issuer, if anything is remembered of it."""
        return self._proven.get(iss) or self._strangers.get(iss)

    def everyone(self) -> list[Issuer]:
        """Every issuer."""
        return [*self._proven.values(), *self._strangers.values()]

    def admit(self, iss: str, now: float) -> Issuer:
        """A new stranger. Raises `DiscoveryFailed` where the shelf is full of entries younger than `FLOOR`."""
        if len(self._strangers) >= self._max_strangers:
            name, oldest = next(iter(self._strangers.items()))
            if oldest.young(now):
                raise DiscoveryFailed(
                    "unknown_key", "too many unknown issuers at once", unreachable=True, retry_after=int(FLOOR)
                )
            del self._strangers[name]
        return self._strangers.setdefault(iss, Issuer(iss))

    def tried(self, issuer: Issuer) -> None:
        """A fetch for this issuer begins: among strangers it is now the youngest."""
        if issuer.iss in self._strangers:
            self._strangers.move_to_end(issuer.iss)

    def prove(self, issuer: Issuer, now: float) -> None:
        """A document of this issuer passed: it joins the proven, and those used longest ago make room."""
        self._strangers.pop(issuer.iss, None)
        issuer.used = max(issuer.used, now)
        self._proven[issuer.iss] = issuer
        while len(self._proven) > 1 and (len(self._proven) > self._max_issuers or self._keys() > self._max_keys):
            self._dismiss(min((i for i in self._proven.values() if i is not issuer), key=lambda i: i.used), now)

    def _keys(self) -> int:
        return sum(len(keys.keys) for issuer in self._proven.values() for keys in issuer.key_sets.values())

    def _dismiss(self, issuer: Issuer, now: float) -> None:
        del self._proven[issuer.iss]
        issuer.roles.clear()
        issuer.key_sets.clear()
        if issuer.young(now):
            # Its last fetch must still be known; it stands where a stranger has just left.
            self._strangers[issuer.iss] = issuer
