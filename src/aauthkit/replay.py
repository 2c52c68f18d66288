"""Remembers signatures that were seen, for as long as they could be sent again (draft-11 §11.3.4.2).

Keyed on the key's thumbprint and the SHA-256 of the signature base: an ECDSA signature has a twin of other bytes over
the same base. Two honest equal requests differ by their `nonce`.
"""

from __future__ import annotations

from typing import Final

from .protocol.problems import Problem, SignatureFailure

MAX_PER_KEY: Final = 20_000
"""Signatures of one key remembered at once."""
MAX_ENTRIES: Final = 400_000
"""Signatures remembered in all."""


class ReplayCache:
    """What one verifier has seen. In memory: a second process has its own."""

    def __init__(self, *, max_per_key: int = MAX_PER_KEY, max_entries: int = MAX_ENTRIES) -> None:
        self._max_per_key = max_per_key
        self._max_entries = max_entries
        self._seen: dict[str, dict[bytes, float]] = {}
        self._count = 0

    def admit(self, thumbprint: str, base_hash: bytes, until: float, now: float) -> None:
        """Return if this signature was not seen before, and remember it until `until`.

        Raises `SignatureFailure` for one seen before. Where no room is left, 429: forgetting would let one through.
        """
        mine = self._seen.get(thumbprint)
        if mine is None:
            mine = self._seen[thumbprint] = {}
        if mine.get(base_hash, 0) > now:
            raise SignatureFailure("invalid_signature", "this very request was received before")
        if len(mine) >= self._max_per_key:
            self._expire(thumbprint, now)
        if self._count >= self._max_entries:
            for other in list(self._seen):
                self._expire(other, now)
        mine = self._seen.setdefault(thumbprint, mine)
        if len(mine) >= self._max_per_key or self._count >= self._max_entries:
            raise Problem("rate_limited", "too many signed requests within the window", retry_after=60)
        self._count += base_hash not in mine
        mine[base_hash] = until

    def _expire(self, thumbprint: str, now: float) -> None:
        mine = self._seen[thumbprint]
        for base_hash in [h for h, until in mine.items() if until <= now]:
            del mine[base_hash]
            self._count -= 1
        if not mine:
            del self._seen[thumbprint]

    def __len__(self) -> int:
        return self._count
