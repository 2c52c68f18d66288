"""How often each subject may come."""

from __future__ import annotations

import pytest

from aauthkit import pacing
from aauthkit.pacing import Pace
from aauthkit.protocol.problems import Problem
from tests.plugins.tls import Clock


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
    monkeypatch.setattr(pacing, "MAX_SUBJECTS", 3)
    pace = Pace(1, Clock())
    for subject in "abcdefg":
        assert wait_of(pace, subject) is None
    assert len(pace._paid) == 3
    assert wait_of(pace, "g") == 60
