"""Questions about a request, as part of it: whose turn it is, how many are left, and what a change is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aauthkit.person.asked import Asked, Bounds, Described
from aauthkit.person.clarifying import check_same
from aauthkit.person.conversation import MAX_ROUNDS, Change, Turn
from aauthkit.protocol.problems import Problem

NOW = 1_000_000
SCOPES = {"read": "See your orders", "place": "Place orders", "cancel": "Cancel orders"}


def asked(scope: str = "read place", **more: object) -> Asked:
    values = frozenset(scope.split())
    base = Asked(
        kind="scope",
        agent_iss="https://agents.example",
        agent_sub="aauth:planner@agents.example",
        resource="https://orders.example",
        scope=values,
        bounds=Bounds("at", NOW + 3600, "pt", NOW + 3600, "rt", NOW + 300),
        reaches_person=True,
        described=Described(name="Orders", scopes={name: words for name, words in SCOPES.items() if name in values}),
        answers_questions=True,
        sub="p-1",
    )
    return replace(base, **more)  # type: ignore[arg-type]


def turn(until: int = NOW + 300) -> Turn:
    return Turn("ada", "Why?", NOW, until)


def test_it_is_the_agents_turn_until_it_answers_or_time_is_up() -> None:
    """§7.5.1."""
    one = asked().with_question(turn())
    assert one.open_turn(NOW + 299) == turn() and one.open_turn(NOW + 300) is None
    assert not one.may_be_asked(NOW + 299) and one.may_be_asked(NOW + 300)
    answered = one.with_answer("Because.", NOW + 10)
    assert answered.open_turn(NOW + 10) is None and answered.may_be_asked(NOW + 10)
    assert answered.conversation == (replace(turn(), answered=NOW + 10, answer="Because."),)


def test_an_agent_is_asked_five_times_at_most() -> None:
    """§7.5.3: also where it did not answer."""
    one = asked()
    for _ in range(MAX_ROUNDS):
        assert one.may_be_asked(NOW)
        one = one.with_question(turn(until=NOW))
    assert not one.may_be_asked(NOW) and MAX_ROUNDS == 5
    assert not asked(answers_questions=False).may_be_asked(NOW)


def test_what_replaces_a_request_keeps_the_conversation_and_says_what_is_different() -> None:
    """§7.5.2.2."""
    before = asked().with_question(turn())
    after = before.replaced_by(asked("read cancel", account="work"), "Less.", NOW + 5)
    assert after.scope == frozenset({"read", "cancel"}) and after.account == "work" and after.changes == 1
    change = after.conversation[0].change
    assert change == Change(("Place orders",), ("Cancel orders",), None, "work") and not change.is_none
    assert after.conversation[0].answer == "Less." and after.claimed == before.claimed
    same = before.replaced_by(asked(), None, NOW + 5).conversation[0].change
    assert same is not None and same.is_none


def test_a_conversation_is_kept_with_its_request() -> None:
    one = asked().with_question(turn()).replaced_by(asked("read"), "Less.", NOW + 5).with_question(turn())
    assert Asked.read(one.kept()) == one
    # What was put on record before there were conversations is read as well.
    older = asked().kept()
    for name in ("answers_questions", "sub", "conversation", "changes"):
        del older[name]
    assert Asked.read(older) == asked(answers_questions=False, sub=None)


@pytest.mark.parametrize(
    ("other", "names"),
    [({"resource": "https://mail.example"}, "iss"), ({"sub": "p-2"}, "sub"), ({"tenant": "acme"}, "tenant")],
)
def test_what_replaces_a_request_is_for_the_same_place_and_person(other: dict[str, str], names: str) -> None:
    """PS-36, §7.5.2.2."""
    check_same(asked(), asked("read", account="work"))
    with pytest.raises(Problem) as caught:
        check_same(asked(), asked("read", **other))
    assert caught.value.code == "invalid_resource_token" and names in str(caught.value)


def test_a_joined_name_does_not_depend_on_what_was_said() -> None:
    assert asked().joins("owner") == asked().with_question(turn()).joins("owner")
