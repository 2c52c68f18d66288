"""How often each subject may come. In memory, each process for itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from .protocol.problems import Problem

MAX_SUBJECTS: Final = 10_000


class Pace:
    """How often each subject may come: `per_minute` at once, and as many in every minute that follows."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._apart = 60 / per_minute
        self._clock = clock
        self._paid: dict[str, float] = {}
        """Until when each subject has used up its share: a minute ahead at most."""

    def admit(self, subject: str) -> None:
        """Return and count, or raise `Problem` 429 with the seconds to wait."""
        now = self._clock()
        paid = min(max(self._paid.pop(subject, now), now), now + 60)
        wait = round(paid + self._apart - now - 60, 3)
        if wait <= 0:
            paid += self._apart
        if len(self._paid) >= MAX_SUBJECTS:
            del self._paid[next(iter(self._paid))]  # whoever came longest ago
        self._paid[subject] = paid
        if wait > 0:
            raise Problem("rate_limited", retry_after=math.ceil(wait))
