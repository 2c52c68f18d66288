"""Remembers signatures that were seen, for as long as they could be sent again (draft-11 §11.3.4.2).

Keyed on the key's thumbprint and the SHA-256 of the signature base: an ECDSA signature has a twin of other bytes over
the same base. Two honest equal requests differ by their `nonce`.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import Final

from .protocol.problems import Problem, SignatureFailure

MAX_PER_KEY: Final = 20_000
"""Signatures of one key remembered at once."""
MAX_ENTRIES: Final = 400_000
"""Signatures remembered in all."""

_Seen = tuple[str, bytes]


class ReplayCache:
    """What one verifier has seen. In memory: a second process has its own. May be asked from any thread.

    What has lapsed is forgotten by the second, so that the cost of a request does not grow with what is remembered.
    """

    def __init__(self, *, max_per_key: int = MAX_PER_KEY, max_entries: int = MAX_ENTRIES) -> None:
        self._max_per_key = max_per_key
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._until: dict[_Seen, float] = {}
        self._per_key: dict[str, int] = {}
        self._ending: dict[int, list[_Seen]] = {}
        self._swept: int | None = None

    def admit(self, thumbprint: str, base_hash: bytes, until: float, now: float) -> None:
        """Return if this signature was not seen before, and remember it until `until`.

        Raises `SignatureFailure` for one seen before. Where no room is left, 429: forgetting would let one through.
        """
        name = (sys.intern(thumbprint), base_hash)
        with self._lock:
            self._forget(now)
            if self._until.get(name, 0) > now:
                raise SignatureFailure("invalid_signature", "this very request was received before")
            if name not in self._until:
                mine = self._per_key.get(thumbprint, 0)
                if mine >= self._max_per_key or len(self._until) >= self._max_entries:
                    raise Problem("rate_limited", "too many signed requests within the window", retry_after=60)
                self._per_key[name[0]] = mine + 1
            self._until[name] = until
            self._ending.setdefault(math.ceil(until), []).append(name)

    def _forget(self, now: float) -> None:
        """Drop what lapsed; looked at once a second of the clock that `now` comes from."""
        second = math.floor(now)
        if second == self._swept:
            return
        self._swept = second
        for ended in [end for end in self._ending if end <= second]:
            for name in self._ending.pop(ended):
                if self._until.get(name, math.inf) <= now:
                    del self._until[name]
                    self._count_down(name[0])

    def _count_down(self, thumbprint: str) -> None:
        self._per_key[thumbprint] -= 1
        if not self._per_key[thumbprint]:
            del self._per_key[thumbprint]

    def __len__(self) -> int:
        return len(self._until)
