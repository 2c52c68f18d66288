"""A request that was let in: who sent it, what its route needs, and what the application knows of the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..callers import Caller
from ..verification import Verified
from .needs import Need


@dataclass(frozen=True, slots=True)
class Admitted(Verified):
    """A verified request that has what its route needs, with the application's account for its caller.

    `session_token` replaces the one that was presented, and goes out with the answer (draft-11 §6.3).
    """

    need: Need
    account: Any = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


def admit(
    verified: Verified, need: Need, caller: Caller, *, account: Any = None, session_token: str | None = None
) -> Admitted:
    """`verified` as it is let in, as `caller`."""
    return Admitted(
        caller,
        verified.key,
        verified.covered,
        verified.created,
        verified.request,
        verified.base,
        need=need,
        account=account,
        session_token=session_token,
    )
