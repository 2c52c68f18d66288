"""What agents bring to the endpoints beside those for tokens, read from its body (draft-11 §7.6 to §8.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aauthkit.person.about import MissionCompletion, MissionUpdate, Query, Relay
from aauthkit.person.errands import OUTCOMES, read_error
from aauthkit.person.proposals import (
    MAX_WAIT,
    read_audit,
    read_interaction,
    read_mission_action,
    read_permission,
    read_proposal,
)
from aauthkit.person.quota import Misses
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.missions import format_time
from aauthkit.protocol.problems import Problem
from tests.unit.protocol.test_missions import anything

PS = "https://person.example"
NOW = 1_775_000_000
S256 = "A" * 43


def code_of(read: Callable[[], object]) -> str:
    with pytest.raises(Problem) as caught:
        read()
    return str(caught.value.code)


def proposal(**members: Any) -> Any:
    return read_proposal({"description": "x", **members}, NO_LOOPBACK, NOW)


def interaction(**members: Any) -> Any:
    return read_interaction(members, NO_LOOPBACK, PS, NOW)


def test_a_proposal_has_a_description_and_the_rest_is_optional() -> None:
    """PS-88, PS-89, §8.1."""
    assert proposal().tools == () and proposal().resources == () and proposal().expires is None
    full = proposal(
        tools=[{"name": "a"}], resources=["https://a.example", "https://a.example"], expires_at=format_time(NOW + 5)
    )
    assert full.resources == ("https://a.example",) and full.expires == NOW + 5
    assert proposal(unknown=[1, 2]).description == "x"


@pytest.mark.parametrize(
    "members",
    [
        {"description": ""},
        {"description": 7},
        {"description": "a\0b"},
        {"tools": {}},
        {"resources": ["x"]},
        {"limits": []},
        {"limits": {"speed": 1}},
        {"expires_at": format_time(NOW)},
        {"expires_at": "soon"},
        {"capabilities": "interaction"},
        {"upstream_token": "x"},
    ],
)
def test_a_proposal_out_of_form_is_invalid(members: dict[str, Any]) -> None:
    assert code_of(lambda: proposal(**members)) == "invalid_request"


def test_a_missions_own_url_takes_an_action() -> None:
    """PS-84, PS-86, PS-87, §8."""
    assert read_mission_action({"action": "update", "description": "x"})[0] == MissionUpdate("x")
    assert read_mission_action({"action": "completion", "summary": "x"})[0] == MissionCompletion("x")
    for sent in ({}, {"action": "delete"}, {"action": "update"}, {"action": "completion", "description": "x"}):
        assert code_of(lambda sent=sent: read_mission_action(sent)) == "invalid_request"  # type: ignore[misc]


def test_a_record_needs_a_mission_and_an_action() -> None:
    """PS-80, §7.8.1."""
    mission, entry = read_audit({"mission_s256": S256, "action": "x", "result": {"a": 1}, "other": 1})
    assert (mission, entry) == (S256, {"action": "x", "result": {"a": 1}})
    for sent in ({"action": "x"}, {"mission_s256": S256}, {"mission_s256": "x", "action": "x"}):
        assert code_of(lambda sent=sent: read_audit(sent)) == "invalid_request"  # type: ignore[misc]


def test_an_interaction_is_a_question_or_a_page_elsewhere() -> None:
    """PS-95, §7.6.1: max_wait in seconds from now."""
    assert interaction(type="question", question="Why?")[0] == Query("Why?")
    relay = interaction(type="payment", url="https://a.example/x", code="abcd-efgh", max_wait=60)[0]
    assert relay == Relay("payment", "https://a.example/x", "abcd-efgh", None, NOW + 60)
    assert interaction(type="interaction", url="https://a.example/x")[0].until is None


@pytest.mark.parametrize(
    "members",
    [
        {"type": "completion", "url": "https://a.example/x"},
        {"type": "interaction"},
        {"type": "interaction", "url": "http://a.example/x"},
        {"type": "interaction", "url": "https://a.example/x?q=1"},
        {"type": "interaction", "url": "javascript:alert(1)"},
        {"type": "interaction", "url": "https://u@a.example/x"},
        {"type": "interaction", "url": "https://a.example/x", "code": "a b"},
        {"type": "interaction", "url": "https://a.example/x", "code": "<b>"},
        {"type": "interaction", "url": "https://a.example/x", "max_wait": MAX_WAIT + 1},
        {"type": "interaction", "url": "https://a.example/x", "max_wait": 1.5},
        {"type": "question"},
        {"type": "question", "question": ""},
        {},
    ],
)
def test_an_interaction_out_of_form_is_invalid(members: dict[str, Any]) -> None:
    assert code_of(lambda: interaction(**members)) == "invalid_request"


NAMES = (
    "description",
    "tools",
    "resources",
    "limits",
    "expires_at",
    "capabilities",
    "action",
    "summary",
    "parameters",
    "result",
    "mission_s256",
    "type",
    "url",
    "code",
    "max_wait",
    "question",
    "justification",
    "platform",
    "device",
    "prompt",
    "login_hint",
)
plausible = st.sampled_from(["x", "interaction", "question", "update", "https://a.example/x", S256, "none", "web"])


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(NAMES), anything | plausible, max_size=8))
def test_no_body_is_a_fault(sent: dict[str, Any]) -> None:
    """§13.3: every body is read, or refused with the draft's own error."""
    for read in (
        lambda body: read_proposal(body, NO_LOOPBACK, NOW),
        read_mission_action,
        read_permission,
        read_audit,
        lambda body: read_interaction(body, NO_LOOPBACK, PS, NOW),
    ):
        try:
            read(sent)
        except Problem as problem:
            assert problem.code == "invalid_request"


def test_every_error_of_a_callback_is_mapped() -> None:
    """§7.3.1."""
    assert OUTCOMES[read_error("access_denied")] == "denied" and OUTCOMES[read_error("user_abandoned")] == "abandoned"
    assert OUTCOMES[read_error("interaction_expired")] == "expired"
    assert {OUTCOMES[read_error(one)] for one in ("server_error", "temporarily_unavailable", "?", "")} == {
        "server_error"
    }


def test_missions_that_are_none_are_counted_and_forgotten() -> None:
    """§8.7: for each agent by itself, and for a bounded time."""
    misses = Misses(most=2, period=100)
    for _ in range(2):
        misses.check("a", 0)
        misses.count("a", 0)
    with pytest.raises(Problem) as caught:
        misses.check("a", 50)
    assert caught.value.code == "slow_down"
    misses.check("b", 50)
    misses.check("a", 100)
    misses.count("a", 100)
    misses.check("a", 101)
