"""What rules know of a request: for every kind of question just what its vocabulary declares, as plain JSON."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aauthkit.person.about import (
    About,
    Action,
    MissionCompletion,
    MissionProposal,
    MissionUpdate,
    Query,
    Relay,
    ResourceLine,
    ToolLine,
)
from aauthkit.person.asked import KINDS, Asked, Bounds, Claimed, Errand
from aauthkit.person.consent import IDENTITY
from aauthkit.person.conversation import Turn
from aauthkit.person.facts import VOCABULARIES, facts_of
from aauthkit.person.logbook import talk_of
from aauthkit.person.missions import OwnMission
from aauthkit.policy import Shape, Undecided
from aauthkit.protocol.missions import Tool, mission_s256, write_blob

AGENT = "aauth:planner@agents.example"
BLOB = write_blob(agent=AGENT, approved_at=1, description="x", expires_at=9, approved_tools=[Tool("Search")])
MISSION = OwnMission(mission_s256(BLOB), "ada", "https://agents.example", AGENT, BLOB, 1, 9, frozenset())
ABOUTS: list[About | None] = [
    None,
    MissionProposal("x", (ToolLine("Search"),), (ResourceLine("https://a.example"),), {"tokens": 3}, 9),
    MissionUpdate("x"),
    MissionCompletion("x"),
    Action("Pay", "for it", {"price": 3, "deep": {"a": [1, None, "x"]}}),
    Query("x"),
    Relay("payment", "https://pay.example/x", "Q7K2M9P4", None, 5),
]


def asked(about: About | None, kind: Any = "scope", **members: Any) -> Asked:
    return Asked(
        kind=KINDS[type(about)] if about is not None else kind,
        agent_iss="https://agents.example",
        agent_sub=AGENT,
        resource="https://a.example" if about is None else "",
        scope=frozenset({"read"}) if about is None else IDENTITY,
        bounds=Bounds("j", 100),
        reaches_person=True,
        about=about,
        **members,
    )


EVERY = [*(asked(about) for about in ABOUTS), asked(None, "identity")]


@pytest.mark.parametrize("question", EVERY, ids=[one.kind for one in EVERY])
@pytest.mark.parametrize("mission", [None, MISSION], ids=["alone", "in a mission"])
def test_every_fact_is_one_that_is_declared(question: Asked, mission: OwnMission | None) -> None:
    facts = facts_of(question, "ada", mission, {"tokens": 2.0, "permissions": 1.0}, 7)
    vocabulary = VOCABULARIES[question.kind]
    assert json.loads(json.dumps(facts)) == facts
    vocabulary.activation(facts)
    for name, value in facts.items():
        shape = vocabulary.variables[name]
        if isinstance(shape, Shape):
            assert set(value) <= set(shape.fields)
    assert vocabulary.compile("person.known && now > timestamp(0)").holds(facts)
    assert facts["history"] == {"tokens": 2, "permissions": 1}


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=5
        ),
        max_size=5,
    )
)
def test_no_parameters_are_a_fault(parameters: dict[str, Any]) -> None:
    """§7.7.1: undecided at the worst, which denies."""
    facts = facts_of(asked(Action("Pay", None, parameters)), "ada", None, {}, 7)
    condition = VOCABULARIES["permission"].compile('action.name == "Pay"')
    with contextlib.suppress(Undecided):
        assert condition.holds(facts)


def test_what_is_kept_after_a_decision_holds_no_code() -> None:
    """§13.15: neither that of another party's page, nor of an errand, nor the way back from it."""
    relay = asked(Relay("payment", "https://pay.example/x", "Q7K2M9P4"))
    errand = asked(None, errand=Errand("https://a.example/x", "Q7K2M9P4", "the-way-back"))
    for one in (relay, errand):
        text = json.dumps(one.shown())
        assert "Q7K2M9P4" not in text and "the-way-back" not in text
        assert Asked.read(one.kept()) == one
    assert "https://a.example/x" in json.dumps(errand.shown())


def test_talk_is_kept_as_it_was() -> None:
    """§8.3."""
    question = asked(MissionProposal("x")).with_question(Turn("ada", "Why?", 1, 9)).with_answer("So.", 2)
    assert talk_of(question) == [{"question": "Why?", "answer": "So.", "asked": 1, "answered": 2}]


def test_a_question_ends_with_its_mission_or_its_relay() -> None:
    """PS-89, §7.6.1, §8.2: whichever comes first."""
    relay = Relay("payment", "https://pay.example/x", None, None, 50)
    assert asked(relay).until == 50
    assert asked(None).until is None
    bounded = Asked.read({**asked(relay).kept(), "bounds": {"agent_jti": "j", "agent_exp": 100, "mission_exp": 40}})
    assert bounded.until == 40


def test_hints_are_the_agents() -> None:
    """PS-33: shown, part of what rules may see, and part of no question's name."""
    hinted = asked(None, claimed=Claimed(login_hint="ada", tenant="corp"))
    assert hinted.claimed.hints == ("ada", "corp")
    assert hinted.joins("x") == asked(None).joins("x")
    assert facts_of(hinted, None, None, {}, 7)["request"]["tenant"] == "corp"
