"""How long a fetched document is good (draft-11 §11.4; Signature-Keys §7.2; RFC 9111 §4.2)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from aauthkit.discovery.freshness import BACKOFF_CEILING, CEILING, DEFAULT_LIFETIME, FLOOR, backoff, lifetime
from aauthkit.protocol.messages import Answer

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"  # NOW


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], DEFAULT_LIFETIME),
        ([("cache-control", "public")], DEFAULT_LIFETIME),
        ([("cache-control", "max-age=600")], 600),
        ([("cache-control", 'public, Max-Age="600"')], 600),
        ([("cache-control", "max-age=600, max-age=300")], 300),
        ([("cache-control", "max-age=600"), ("cache-control", "max-age=300")], 300),
        ([("cache-control", "max-age=600"), ("age", "200")], 400),
        ([("cache-control", "max-age=600"), ("age", "nonsense")], 600),
        ([("cache-control", "max-age=1")], FLOOR),
        ([("cache-control", "max-age=-5")], FLOOR),
        ([("cache-control", "max-age=99999999999999999999")], CEILING),
        ([("cache-control", "max-age=nonsense")], FLOOR),
        ([("cache-control", "no-store")], FLOOR),
        ([("cache-control", "no-cache, max-age=600")], FLOOR),
        ([("cache-control", 'no-cache="x"')], FLOOR),
        ([("expires", "Fri, 15 Jan 2027 08:10:00 GMT"), ("date", DATE)], 600),
        ([("expires", "Fri, 15 Jan 2027 08:10:00 GMT")], 600),
        ([("expires", "Fri, 15 Jan 2027 08:10:00 GMT"), ("date", "Fri, 15 Jan 2027 08:05:00 GMT")], 300),
        ([("expires", "0")], FLOOR),
        ([("expires", "Fri, 15 Jan 2027 07:00:00 GMT"), ("date", DATE)], FLOOR),
        ([("expires", "Fri, 31 Dec 9999 23:59:59 GMT")], CEILING),
        ([("cache-control", "max-age=600"), ("expires", "0")], 600),
    ],
)
def test_the_server_says_how_long_between_a_minute_and_a_day(headers: list[tuple[str, str]], seconds: float) -> None:
    assert lifetime(Answer(200, tuple(headers)), NOW) == seconds


def test_repeated_failures_wait_longer_each_time_never_less_than_a_minute_and_never_more_than_an_hour() -> None:
    waits = [backoff(failures, 0.0) for failures in range(1, 12)]
    assert waits[:4] == [60, 120, 240, 480]
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] == backoff(10_000, 0.999) == BACKOFF_CEILING


def test_jitter_only_ever_lengthens_the_wait() -> None:
    assert backoff(1, 0.0) == FLOOR < backoff(1, 0.5) < backoff(1, 0.999) < backoff(2, 0.0)
