"""What one issuer may hold and how often it may come: any verified issuer is bounded (draft-11 §11.12.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RevocationLimits:
    """Bounds on the revocations one server takes; beyond them it answers `rate_limited`."""

    entries_per_issuer: int = 20_000
    """Revocations of one issuer on record whose tokens have not expired."""
    entries: int = 200_000
    """The same, of all issuers. Where anybody is accepted, this bounds memory, and can be used up by strangers."""
    per_minute: int = 600
    """Requests of one issuer, repeats included."""


DEFAULT_LIMITS: Final = RevocationLimits()
