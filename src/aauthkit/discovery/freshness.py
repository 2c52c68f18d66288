"""How long a document is good, and how long to wait before the next fetch. Plain arithmetic; times are in seconds.

draft-11 §11.4; Signature-Keys §7.2; RFC 9111 §4.2, §5.2.2, §5.3.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from ..protocol.messages import Answer

FLOOR: Final = 60.0
"""Least time between two fetches of one document, whatever happens (Signature-Keys §7.2)."""
DEFAULT_LIFETIME: Final = 3600.0
"""How long a document is fresh of which its server says nothing."""
CEILING: Final = 86400.0
"""When a document is discarded, whatever its server says and whether or not there is another (draft-11 §11.4)."""
BACKOFF_CEILING: Final = 3600.0
"""Longest wait after repeated failures."""


def lifetime(answer: Answer, now: float) -> float:
    """How long `answer` stays fresh: what Cache-Control or Expires says, between `FLOOR` and `CEILING`."""
    stated = _stated(answer, now)
    return DEFAULT_LIFETIME if stated is None else min(max(stated, FLOOR), CEILING)


def backoff(failures: int, jitter: float) -> float:
    """The wait after that many failures in a row; `jitter` in [0, 1) keeps many verifiers from coming back as one."""
    return min(FLOOR * 2.0 ** min(max(failures - 1, 0), 16) * (1 + jitter / 4), BACKOFF_CEILING)


def _stated(answer: Answer, now: float) -> float | None:
    directives = [part.strip().lower() for value in answer.values("cache-control") for part in value.split(",")]
    if {part.partition("=")[0].strip() for part in directives} & {"no-store", "no-cache"}:
        return 0.0
    ages = [part.partition("=")[2].strip(' "') for part in directives if part.partition("=")[0].strip() == "max-age"]
    if ages:
        return min(_seconds(age) for age in ages) - _seconds(answer.header("age") or "0")
    expires = answer.header("expires")
    if expires is None:
        return None
    end = _date(expires)
    # RFC 9111 §5.3: an Expires that cannot be read, "0" above all, lies in the past.
    return 0.0 if end is None else end - (_date(answer.header("date")) or now)


def _seconds(text: str) -> float:
    return float(text[:12]) if text.isascii() and text.isdecimal() else 0.0


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
