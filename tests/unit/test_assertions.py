"""Verified tokens that are remembered: bounded in number and in size, and forgotten when they must be."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

from aauthkit.assertions import Assertion, Assertions
from aauthkit.callers import Agent, Grant, Person
from aauthkit.protocol.tokens import AGENT_TYP, AUTH_TYP, PERSON_TYP, AgentToken, AuthToken, PersonToken, read_token
from tests.plugins.signing import NOW, Issuer, new_key

ISSUER = Issuer("https://ps.example")
PROVIDER = Issuer("https://agents.example")
KEY = new_key().public
API = "https://api.example"


def assertion(*, ends: int = NOW + 3600, **claims: object) -> Assertion:
    raw = ISSUER.auth_token(KEY, API, "orders.read", iat=ends - 3600, exp=ends, **claims)
    token = read_token(raw, {AUTH_TYP})
    assert isinstance(token, AuthToken)
    return Assertion.of(token)


def known(assertions: Assertions, *those: Assertion) -> list[bool]:
    return [assertions.find(each.token.raw) is each for each in those]


def test_each_kind_of_token_proves_its_own_kind_of_caller() -> None:
    agent = read_token(PROVIDER.agent_token(KEY), {AGENT_TYP})
    person = read_token(ISSUER.person_token(KEY, API, nbf=NOW + 7), {PERSON_TYP})
    assert isinstance(agent, AgentToken) and isinstance(person, PersonToken)
    assert isinstance(Assertion.of(agent).caller, Agent) and isinstance(assertion().caller, Grant)
    proved = Assertion.of(person)
    assert isinstance(proved.caller, Person)
    assert (proved.typ, proved.begins, proved.ends) == (PERSON_TYP, NOW + 7, NOW + 3600)


def test_a_token_is_found_by_its_exact_bytes_alone() -> None:
    assertions, one, other = Assertions(), assertion(), assertion()
    assertions.remember(one, NOW)
    assertions.remember(one, NOW)
    assert known(assertions, one, other) == [True, False] and len(assertions) == 1
    assert assertions.find(one.token.raw + " ") is None


def test_those_that_ended_make_room_first_then_those_that_came_first() -> None:
    assertions = Assertions(max_tokens=3)
    ended, first, second, third, fourth = assertion(ends=NOW), *(assertion() for _ in range(4))
    for each in (first, ended, second):
        assertions.remember(each, NOW - 1)
    assertions.remember(third, NOW)
    assert known(assertions, ended, first, second, third) == [False, True, True, True]
    assertions.remember(fourth, NOW)
    assert known(assertions, first, second, third, fourth) == [False, True, True, True]


def test_what_all_take_together_is_bounded_whatever_comes() -> None:
    """A stream of new tokens, long and short, never takes more than its share."""
    long, short = "x" * 250, "y"
    limit = 20 * 1024
    assertions = Assertions(max_tokens=1000, max_characters=limit)
    for number in range(200):
        made = assertion(sub=long if number % 3 else short)
        assertions.remember(made, NOW)
        assert assertions._characters == sum(map(len, assertions._known)) <= limit
        assert known(assertions, made) == [True]


def test_a_token_longer_than_all_may_be_together_is_not_kept() -> None:
    assertions = Assertions(max_characters=100)
    assertions.remember(assertion(), NOW)
    assert len(assertions) == 0


def test_what_is_forgotten_is_forgotten_under_every_form_and_nothing_else() -> None:
    assertions = Assertions()
    one, again, other = assertion(jti="a"), assertion(jti="a", sub="p-2"), assertion(jti="b")
    for each in (one, again, other):
        assertions.remember(each, NOW)
    assertions.forget(ISSUER.iss, "a")
    assertions.forget("https://another.example", "b")
    assert known(assertions, one, again, other) == [False, False, True]
    assertions.forget(ISSUER.iss, "a")
    assert assertions._characters == len(other.token.raw)


def test_threads_remember_and_forget_at_once_and_nothing_is_counted_twice() -> None:
    assertions = Assertions(max_tokens=16)
    made = [assertion(jti=str(number % 5)) for number in range(60)]

    def work(mine: Iterator[Assertion]) -> None:
        for number, each in enumerate(mine):
            assertions.remember(each, NOW)
            assertions.forget(ISSUER.iss, str(number % 5))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=work, args=(iter(made[start:] + made[:start]),)) for start in range(0, 60, 15)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(assertions) <= 16
    assert assertions._characters == sum(map(len, assertions._known))
