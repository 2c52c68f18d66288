"""Limits of a mission: what they let through, what they refuse and say, and what is no limit (draft-11 §8.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aauthkit.person.limits import MAX_AMOUNT, NO_LIMITS, Hours, Limits, counter_of, read_limits
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.missions import MissionRejected
from tests.unit.protocol.test_missions import anything

NIGHT = 22 * 3600
NOON = 12 * 3600
READ = frozenset({"read"})
HERE = "https://a.example"


def limits(**members: Any) -> Limits:
    return read_limits(members, NO_LOOPBACK)


def test_without_limits_nothing_is_refused() -> None:
    assert NO_LIMITS.token(HERE, READ, {"tokens": 10**6}, 0) is None
    assert NO_LIMITS.permission("x", {"price": 10**9}, {"permissions": 10**6}, 0) is None
    assert NO_LIMITS.document() == {}


@pytest.mark.parametrize(
    ("members", "resource", "scope", "used", "now", "named"),
    [
        ({"resources": [HERE]}, "https://b.example", READ, {}, NOON, "resources"),
        (
            {"scopes": "read write"},
            HERE,
            frozenset({"read", "delete"}),
            {},
            NOON,
            "scopes: this mission leaves out delete",
        ),
        ({"hours": {"from": 8, "to": 20}}, HERE, READ, {}, NIGHT, "hours"),
        ({"tokens": 3}, HERE, READ, {"tokens": 3}, NOON, "tokens: this mission may ask for at most 3"),
        ({"tokens": 0}, HERE, READ, {}, NOON, "tokens"),
    ],
)
def test_a_token_beyond_a_limit_is_refused_with_the_limits_name(
    members: dict[str, Any], resource: str, scope: frozenset[str], used: dict[str, float], now: float, named: str
) -> None:
    reason = limits(**members).token(resource, scope, used, now)
    assert reason is not None and reason.startswith(named)


def test_within_all_limits_a_token_may_be_asked_for() -> None:
    all_of_them = limits(resources=[HERE], scopes="read write", hours={"from": 8, "to": 20}, tokens=3)
    assert all_of_them.token(HERE, READ, {"tokens": 2}, NOON) is None
    assert all_of_them.token(HERE, frozenset(), {}, NOON) is None


@pytest.mark.parametrize(
    ("hour", "inside"), [(21, False), (22, True), (23, True), (0, True), (5, True), (6, False), (12, False)]
)
def test_hours_may_go_past_midnight(hour: int, inside: bool) -> None:
    assert Hours(22, 6).holds(hour * 3600) is inside
    assert Hours(6, 22).holds(hour * 3600) is not inside


def test_amounts_are_each_and_together() -> None:
    """§8.2: what the agent says; a name the limit gives that holds no proper number is refused."""
    one = limits(amounts={"price": {"each": 10, "total": 25}})
    used = {counter_of("price"): 20.0}
    assert one.permission("pay", {"price": 5}, used, 0) is None
    assert one.permission("pay", {"price": 5.01}, used, 0) == "amounts: price is at most 25 in all"
    assert one.permission("pay", {"price": 10.5}, {}, 0) == "amounts: price is at most 10 each time"
    for value in ("5", True, None, -1, float("nan"), float("inf"), MAX_AMOUNT * 2, [5]):
        assert one.permission("pay", {"price": value}, {}, 0) is not None
    assert one.permission("pay", {}, used, 0) is None


def test_tools_are_exact_names() -> None:
    one = limits(tools=["Search"])
    assert one.permission("Search", {}, {}, 0) is None
    assert one.permission("search", {}, {}, 0) == "tools: search is not among those of this mission"


def test_what_is_counted() -> None:
    one = limits(permissions=3, amounts={"price": {"total": 25}})
    assert one.counted({"price": 5, "other": 7}) == {"permissions": 1.0, counter_of("price"): 5.0}
    assert one.permission("x", {}, {"permissions": 3}, 0) == "permissions: this mission may ask for at most 3"


def test_a_document_comes_back() -> None:
    document = {
        "resources": [HERE],
        "scopes": "read write",
        "tools": ["Search"],
        "hours": {"from": 22, "to": 6},
        "tokens": 3,
        "permissions": 4,
        "amounts": {"price": {"each": 1.5, "total": 9}},
    }
    assert read_limits(document, NO_LOOPBACK).document() == document
    assert read_limits(read_limits(document, NO_LOOPBACK).document(), None) == read_limits(document, NO_LOOPBACK)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"speed": 3},
        {"tokens": -1},
        {"tokens": True},
        {"tokens": 1.5},
        {"tokens": "3"},
        {"hours": {"from": 1}},
        {"hours": {"from": 1, "to": 1}},
        {"hours": {"from": 1, "to": 25}},
        {"hours": {"from": 1, "to": 2, "zone": "CET"}},
        {"scopes": ["read"]},
        {"scopes": 'a"b'},
        {"tools": "Search"},
        {"tools": [""]},
        {"resources": ["http://a.example"]},
        {"amounts": {}},
        {"amounts": {"price": {}}},
        {"amounts": {"price": {"each": -1}}},
        {"amounts": {"price": {"each": float("nan")}}},
        {"amounts": {"price": {"most": 1}}},
        {"amounts": {"": {"each": 1}}},
    ],
)
def test_a_limit_that_nobody_would_check_is_refused(value: Any) -> None:
    """§8.2: a limit that would not hold is worse than none."""
    with pytest.raises(MissionRejected):
        read_limits(value, NO_LOOPBACK)


NAMES = ("resources", "scopes", "tools", "hours", "tokens", "permissions", "amounts")


@settings(max_examples=300)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, anything)) | anything)
def test_no_limits_are_a_fault(value: Any) -> None:
    """§13.3: refused in its own words; what is taken can be asked and comes back."""
    try:
        read = read_limits(value, NO_LOOPBACK)
    except MissionRejected:
        return
    assert read_limits(read.document(), None) == read
    read.token(HERE, READ, {}, NOON)
    read.permission("x", value if isinstance(value, dict) else {}, {}, NOON)
