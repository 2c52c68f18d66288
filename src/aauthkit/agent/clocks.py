"""The time as others have it: how far this machine's clock is off theirs, learned where it made a signature fail.

draft-11 §11.3.4, §11.12.5: a server answers `clock_skew` to whoever is ahead of it and `invalid_signature` to whoever
is behind. Its `Date` says which of both it is. What one server says counts for its own origin only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from ..protocol.headers import HeaderError, parse_signature_error
from ..protocol.identifiers import origin_of
from ..protocol.messages import Answer

TOLERATED: Final = 2.0
"""Seconds between two clocks that are nothing to act on: `Date` is in whole seconds, and a message takes its time."""
FARTHEST: Final = 366 * 24 * 3600
"""A `Date` farther off than this, in seconds, is no clock."""
MAX_ORIGINS: Final = 1024


class Clocks:
    """This machine's clock (`clock`, seconds since the epoch), and what has to be added to it at each origin."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offsets: dict[str, float] = {}
        self._lock = threading.Lock()

    def at(self, origin: str) -> float:
        """The time at `origin`, as far as is known."""
        return self._clock() + self._offsets.get(origin, 0.0)

    def of(self, origin: str) -> Callable[[], float]:
        """A clock that shows the time at `origin`."""
        return lambda: self.at(origin)

    def offset(self, origin: str) -> float:
        """How far `origin` is ahead of this machine, in seconds."""
        return self._offsets.get(origin, 0.0)

    def learn(self, answer: Answer, url: str, *, safe: bool) -> bool:
        """Whether to sign again at another time, after the refusal `answer` of a request to `url`.

        An unsafe request is made again after `clock_skew` only, since one that was refused as `invalid_signature` may
        be a replay of itself; the time is remembered for the next one.
        """
        code = _code(answer)
        date = _date(answer)
        if date is None or code not in ("clock_skew", "invalid_signature"):
            return False
        origin = origin_of(url)
        gap = date - self.at(origin)
        if abs(gap) <= TOLERATED or abs(gap) > FARTHEST or (gap < 0) != (code == "clock_skew"):
            return False
        with self._lock:
            self._offsets.pop(origin, None)
            self._offsets[origin] = date - self._clock()
            while len(self._offsets) > MAX_ORIGINS:
                del self._offsets[next(iter(self._offsets))]
        return safe or code == "clock_skew"

    def forget(self, origin: str) -> None:
        """Take this machine's own clock again: what was learned did not help."""
        with self._lock:
            self._offsets.pop(origin, None)


def _code(answer: Answer) -> str | None:
    if answer.status != 401:
        return None
    try:
        error = parse_signature_error(answer.values("signature-error"))
    except HeaderError:
        return None
    return error.error if error is not None else None


def _date(answer: Answer) -> float | None:
    value = answer.header("date")
    try:
        return parsedate_to_datetime(value).timestamp() if value is not None else None
    except (ValueError, OverflowError):
        return None
