"""What was seen once is not let in twice, and remembering stays bounded (draft-11 §11.3.4.2; F17)."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.replay import ReplayCache

NOW = 1_795_000_000.0


def base(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def refused(cache: ReplayCache, key: str, number: int, until: float, now: float) -> str:
    with pytest.raises((SignatureFailure, Problem)) as caught:
        cache.admit(key, base(number), until, now)
    return caught.value.code


def test_f17_the_same_signature_is_refused_until_it_could_not_be_sent_again() -> None:
    """F17."""
    cache = ReplayCache()
    cache.admit("k", base(1), NOW + 61, NOW)
    for later in (0, 1, 60, 60.999):
        assert refused(cache, "k", 1, NOW + 61, NOW + later) == "invalid_signature"
    cache.admit("k", base(1), NOW + 122, NOW + 61)
    assert refused(cache, "k", 1, NOW + 122, NOW + 121) == "invalid_signature"
    assert len(cache) == 1


def test_another_request_and_another_key_are_others() -> None:
    cache = ReplayCache()
    cache.admit("k", base(1), NOW + 61, NOW)
    cache.admit("k", base(2), NOW + 61, NOW)
    cache.admit("other", base(1), NOW + 61, NOW)
    assert len(cache) == 3


def test_one_key_s_flood_is_its_own_429_and_forgets_nothing() -> None:
    cache = ReplayCache(max_per_key=3)
    for number in range(3):
        cache.admit("k", base(number), NOW + 61, NOW)
    assert refused(cache, "k", 3, NOW + 61, NOW) == "rate_limited"
    for number in range(3):
        assert refused(cache, "k", number, NOW + 61, NOW) == "invalid_signature"
    cache.admit("other", base(3), NOW + 61, NOW)
    cache.admit("k", base(3), NOW + 122, NOW + 61)


def test_a_full_memory_is_429_for_everybody_and_forgets_nothing() -> None:
    cache = ReplayCache(max_entries=3)
    for number in range(3):
        cache.admit(f"k{number}", base(number), NOW + 61, NOW)
    for key in ("k0", "new"):
        assert refused(cache, key, 9, NOW + 61, NOW + 1) == "rate_limited"
    assert refused(cache, "k0", 0, NOW + 61, NOW + 1) == "invalid_signature"
    cache.admit("new", base(9), NOW + 122, NOW + 61)
    assert len(cache) == 1


def test_what_lapsed_is_gone_without_being_asked_for() -> None:
    """F29's spirit: ten thousand keys that came once leave nothing behind."""
    cache = ReplayCache()
    for number in range(10_000):
        cache.admit(f"k{number}", base(number), NOW + 61 + number % 7, NOW)
    assert len(cache) == 10_000
    cache.admit("k", base(0), NOW + 200, NOW + 100)
    assert len(cache) == 1
    assert (len(cache._per_key), len(cache._ending)) == (1, 1)


def test_a_clock_set_back_lets_nothing_in() -> None:
    cache = ReplayCache()
    cache.admit("k", base(1), NOW + 61, NOW)
    assert refused(cache, "k", 1, NOW + 61, NOW - 3600) == "invalid_signature"
    assert refused(cache, "k", 1, NOW + 61, NOW + 1) == "invalid_signature"


def test_what_came_again_after_it_lapsed_is_remembered_anew() -> None:
    """Also within the second in which the first of the two is forgotten."""
    cache = ReplayCache()
    cache.admit("k", base(1), NOW + 10.2, NOW)
    cache.admit("k", base(1), NOW + 60, NOW + 10.5)
    for later in (10.9, 11, 12, 59.9):
        assert refused(cache, "k", 1, NOW + 60, NOW + later) == "invalid_signature"
    cache.admit("k", base(1), NOW + 120, NOW + 60)
    assert len(cache) == 1


def test_of_many_threads_with_one_signature_one_gets_in() -> None:
    cache = ReplayCache()

    def admit(number: int) -> bool:
        try:
            cache.admit("k", base(number // 8), NOW + 61, NOW)
        except SignatureFailure:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        admitted = list(pool.map(admit, range(800)))
    assert admitted.count(True) == 100
