"""What earlier decisions say of a new request."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.person.consent import DAY, Standing, revise, weigh

NOW = 1_000_000
KEY = "key"


def decision(name: str, asked: str, granted: str, **more: Any) -> Standing:
    values: dict[str, Any] = {"memory": "kept", "decided": NOW, **more}
    return Standing(name, frozenset(asked.split()), frozenset(granted.split()), **values)


def granted(asked: str, *decisions: Standing, now: float = NOW, key: str = KEY) -> set[str] | None:
    covered = weigh(frozenset(asked.split()), decisions, now, key)
    return None if covered is None else set(covered.granted)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("read", {"read"}), ("read place", {"read"}), ("place", None), ("read cancel", None), ("cancel", None)],
)
def test_a_repeat_asking_no_more_is_answered_with_what_was_granted(asked: str, expected: set[str] | None) -> None:
    assert granted(asked, decision("1", "read place", "read")) == expected


def test_scope_is_compared_by_whole_values() -> None:
    """F70: `x:read` says nothing of `x:readwrite`."""
    assert granted("x:readwrite", decision("1", "x:read", "x:read")) is None


def test_values_decided_apart_are_answered_together() -> None:
    assert granted("read place", decision("2", "place", "place"), decision("1", "read", "read")) == {"read", "place"}


def test_the_newest_decision_about_a_value_counts() -> None:
    newest = decision("2", "read place", "place")
    assert granted("read place", newest, decision("1", "read", "read")) == {"place"}


def test_a_day_is_a_day() -> None:
    today = decision("1", "read", "read", memory="today")
    assert granted("read", today, now=NOW + DAY - 1) == {"read"}
    assert granted("read", today, now=NOW + DAY) is None


def test_once_waits_a_day_to_be_used_and_then_is_over() -> None:
    once = decision("1", "read", "read", memory="once")
    assert granted("read", once, now=NOW + DAY - 1) == {"read"}
    assert granted("read", once, now=NOW + DAY) is None


def test_once_used_is_for_the_same_key_until_its_first_token_ends() -> None:
    used = decision("1", "read", "read", memory="once", key=KEY, ends=NOW + 600)
    covered = weigh(frozenset({"read"}), [used], NOW + 599, KEY)
    assert covered is not None and covered.ends == NOW + 600 and covered.unused == ()
    assert granted("read", used, now=NOW + 600) is None
    assert granted("read", used, key="another") is None


def test_a_token_uses_up_every_grant_for_once_it_rests_on() -> None:
    covered = weigh(
        frozenset({"read", "place"}),
        [decision("2", "place", "place", memory="once"), decision("1", "read", "read")],
        NOW,
        KEY,
    )
    assert covered is not None and covered.unused == ("2",)


def test_what_the_person_unticked_is_forgotten_wherever_it_was_allowed() -> None:
    earlier = [decision("1", "read", "read"), decision("2", "cancel", "cancel"), decision("3", "read x", "read x")]
    left = {one.id: set(one.granted) for one in revise(earlier, frozenset({"read", "place"}), frozenset({"place"}))}
    assert left == {"1": set(), "3": {"x"}}


def test_what_was_left_out_is_asked_again_where_it_alone_is_asked_for() -> None:
    """Unticked is no no: beside what was granted it stays out in silence, by itself it is a question."""
    left_out = decision("1", "read place cancel", "read")
    assert granted("read place", left_out) == {"read"}
    assert granted("place", left_out) is None
    assert granted("place cancel", left_out) is None


def test_refusing_what_was_left_out_ends_nothing_that_was_allowed() -> None:
    earlier = [decision("1", "read place", "read")]
    assert revise(earlier, frozenset({"place"}), frozenset()) == ()
    assert [one.id for one in revise(earlier, frozenset({"read"}), frozenset())] == ["1"]


def test_refusing_ends_earlier_answers_to_the_same_question_and_no_smaller_ones() -> None:
    earlier = [decision("1", "read", "read"), decision("2", "read place", "read place")]
    assert [one.id for one in revise(earlier, frozenset({"read", "place"}), frozenset())] == ["2"]
