"""How often, and whom an address counts as."""

from __future__ import annotations

import pytest

from aauthkit.protocol.problems import Problem
from aauthkit.provider import limits
from aauthkit.provider.limits import Pace, network_of
from tests.plugins.tls import Clock


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        (None, ""),
        ("", ""),
        ("a socket", "a socket"),
        ("x" * 999, "x" * 64),
    ],
)
def test_an_address_counts_as_its_network(peer: str | None, network: str) -> None:
    assert network_of(peer) == network


def wait_of(pace: Pace, subject: str) -> int | None:
    """The seconds one is told to wait, or `None` where one is let in."""
    try:
        pace.admit(subject)
    except Problem as problem:
        assert problem.code == "rate_limited"
        return problem.retry_after
    return None


def test_what_is_used_up_comes_back_and_is_never_more_than_a_minutes_share() -> None:
    clock = Clock()
    pace = Pace(3, clock)
    assert [wait_of(pace, "a") for _ in range(4)] == [None, None, None, 20]
    assert wait_of(pace, "b") is None
    clock.advance(19)
    assert wait_of(pace, "a") == 1
    clock.advance(1)
    assert wait_of(pace, "a") is None
    clock.advance(3600)
    assert [wait_of(pace, "a") for _ in range(4)] == [None, None, None, 20]


def test_a_clock_that_goes_back_costs_and_gives_nothing() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    assert wait_of(pace, "a") is None
    clock.advance(-600)
    assert wait_of(pace, "a") == 60


def test_the_number_of_subjects_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SUBJECTS", 3)
    pace = Pace(1, Clock())
    for subject in "abcdefg":
        assert wait_of(pace, subject) is None
    assert len(pace._paid) == 3
    assert wait_of(pace, "g") == 60
