"""The bodies of the two token endpoints and of a pending URL (draft-11 §7.1, §7.2.1, §7.5.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.person.requests import (
    ClarificationResponse,
    UpdatedRequest,
    read_action,
    read_auth_token_request,
    read_person_token_request,
)
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.problems import Problem

GOOD: dict[str, Any] = {"resource": "https://orders.example"}
TOKENS: dict[str, Any] = {"resource_token": "r", "presented_token": "p"}


def test_every_parameter_is_taken_and_unknown_ones_are_ignored() -> None:
    wanted = read_person_token_request(
        {
            **GOOD,
            "capabilities": ["interaction", "levitation"],
            "login_hint": "ada",
            "tenant": "acme",
            "domain_hint": "acme.example",
            "prompt": "consent",
            "justification": "**why**",
            "platform": "self-hosted",
            "device": "Pixel 8 (App)",
            "weather": {"nice": True},
        },
        NO_LOOPBACK,
    )
    declared = wanted.declared
    assert wanted.resource == "https://orders.example"
    assert declared.reaches_person and declared.ask_anyway
    assert (declared.justification, declared.platform, declared.device) == ("**why**", "self-hosted", "Pixel 8 (App)")


def test_without_parameters_nothing_is_assumed() -> None:
    declared = read_person_token_request(GOOD, NO_LOOPBACK).declared
    assert not declared.reaches_person and not declared.ask_anyway and declared.justification is None


@pytest.mark.parametrize(
    "resource",
    [
        "http://orders.example",
        "https://Orders.example",
        "https://orders.example/",
        "https://orders.example:8443",
        "https://orders.example/v1",
        "https://127.0.0.1",
        "http://orders.localhost:8703",
        "orders.example",
        "",
        7,
        None,
        ["https://orders.example"],
    ],
)
def test_resource_is_a_server_identifier(resource: Any) -> None:
    """F30: a malformed `resource` is 400 `invalid_request` (§7.1)."""
    with pytest.raises(Problem) as caught:
        read_person_token_request({"resource": resource}, NO_LOOPBACK)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize("missing", ["resource_token", "presented_token"])
def test_both_tokens_are_required(missing: str) -> None:
    """F24, PS-30: no `presented_token` is 400 `invalid_request` (§7.2.1)."""
    with pytest.raises(Problem) as caught:
        read_auth_token_request({name: value for name, value in TOKENS.items() if name != missing})
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    "parameter",
    [
        {"upstream_token": "x"},
        {"subagent_token": "x"},
        {"prompt": "none login"},
        {"prompt": "Consent"},
        {"prompt": ""},
        {"prompt": ["consent"]},
        {"capabilities": "interaction"},
        {"capabilities": [1]},
        {"capabilities": ["x"] * 33},
        {"capabilities": ["x" * 65]},
        {"capabilities": None},
        {"justification": ""},
        {"justification": "x" * 4097},
        {"justification": 3},
        {"justification": "a\0b"},
        {"platform": "toaster"},
        {"platform": "Web"},
        {"device": "x" * 65},
        {"device": "a\nb"},
        {"device": "a\u202eb"},
        {"device": "a\u200bb"},
        {"login_hint": {}},
        {"tenant": 1},
        {"domain_hint": "x" * 513},
    ],
)
def test_what_is_malformed_or_not_served_is_refused(parameter: dict[str, Any]) -> None:
    """400 `invalid_request` at both endpoints (§7.2.1, §11.9.3)."""
    for read in (
        lambda: read_person_token_request({**GOOD, **parameter}, NO_LOOPBACK),
        lambda: read_auth_token_request({**TOKENS, **parameter}),
    ):
        with pytest.raises(Problem) as caught:
            read()
        assert caught.value.code == "invalid_request"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["resource", "capabilities", "prompt", "justification", "platform", "device", "login_hint", "resource_token"]
)
_SAID = st.sampled_from(["action", "clarification_response", "resource_token", "presented_token", "justification"])


@given(st.dictionaries(_NAMES, _VALUES))
def test_no_body_is_more_than_a_refusal(body: dict[str, Any]) -> None:
    """F91: bad input is 400, never a fault of ours."""
    for read in (lambda: read_person_token_request(body, NO_LOOPBACK), lambda: read_auth_token_request(body)):
        try:
            read()
        except Problem as refusal:
            assert refusal.code == "invalid_request"


@pytest.mark.parametrize(("values", "answers"), [([], False), (["interaction"], False), (["clarification"], True)])
def test_only_who_says_so_answers_questions(values: list[str], answers: bool) -> None:
    """§7.5, §11.7."""
    assert read_auth_token_request({**TOKENS, "capabilities": values}).declared.answers_questions is answers


def test_what_an_agent_says_to_a_question_is_one_of_two_things() -> None:
    """F38, §7.5.2."""
    assert read_action({"action": "clarification_response", "clarification_response": "x", "more": 1}) == (
        ClarificationResponse("x")
    )
    given = {"action": "updated_request", **TOKENS}
    assert read_action(given) == UpdatedRequest("r", "p")
    assert read_action({**given, "justification": "less"}) == UpdatedRequest("r", "p", "less")
    unknown: list[Any] = [None, 1, "", "cancel", ["clarification_response"], {}]
    for action in unknown:
        with pytest.raises(Problem) as caught:
            read_action({"action": action, "clarification_response": "x", **TOKENS})
        assert caught.value.code == "invalid_request"


@given(st.dictionaries(_SAID, _VALUES | st.sampled_from(["clarification_response", "updated_request"])))
def test_nothing_an_agent_says_is_more_than_a_refusal(body: dict[str, Any]) -> None:
    """F91."""
    try:
        read_action(body)
    except Problem as refusal:
        assert refusal.code == "invalid_request"


def test_what_is_read_shows_no_token_and_no_words() -> None:
    """F87."""
    said = read_action({"action": "clarification_response", "clarification_response": "a secret"})
    other = read_action({"action": "updated_request", "resource_token": "a secret", "presented_token": "a secret"})
    assert "secret" not in repr(said) + repr(other)
