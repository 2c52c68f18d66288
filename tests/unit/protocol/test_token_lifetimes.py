"""Times of tokens: `exp` without tolerance, `iat` within the window, and a ceiling for each type (draft-11 §11.5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.protocol.tokens import (
    AGENT_TYP,
    AUTH_TYP,
    DEFAULT_CEILINGS,
    HOUR,
    MAX_AGENT_LIFETIME,
    MAX_RESOURCE_LIFETIME,
    PERSON_TYP,
    RESOURCE_TYP,
    Ceilings,
    TokenRejected,
    check_lifetime,
    read_token,
)
from tests.unit.protocol.specimens import NOW, token

LONGEST = {AGENT_TYP: MAX_AGENT_LIFETIME, PERSON_TYP: HOUR, RESOURCE_TYP: MAX_RESOURCE_LIFETIME, AUTH_TYP: HOUR}
TYPES = list(LONGEST)


def kind(typ: str, now: float, *, window: int = 60, ceilings: Ceilings = DEFAULT_CEILINGS, **claims: Any) -> str | None:
    """How the token is rejected at `now`, or None if it is not."""
    found = read_token(token(typ, **claims), (typ,))
    try:
        check_lifetime(found, now, ceilings=ceilings, window=window)
    except TokenRejected as error:
        return error.kind
    return None


@pytest.mark.parametrize("typ", TYPES)
def test_exp_is_the_first_moment_at_which_a_token_is_no_more(typ: str) -> None:
    """draft-11 §11.5.2 step 3: in the future, with no tolerance."""
    exp = NOW + 200
    assert kind(typ, exp - 1, exp=exp) is None
    assert kind(typ, exp - 0.001, exp=exp) is None
    assert kind(typ, exp, exp=exp) == "expired"
    assert kind(typ, exp + 0.001, exp=exp) == "expired"
    assert kind(typ, exp + 10**9, exp=exp) == "expired"


@pytest.mark.parametrize("typ", TYPES)
def test_iat_may_lie_one_window_ahead_and_not_more(typ: str) -> None:
    """draft-11 §11.5.2: the bound is the signature window, and beyond it the answer is `clock_skew`."""
    claims = {"iat": NOW, "exp": NOW + 200}
    assert kind(typ, NOW - 60, **claims) is None
    assert kind(typ, NOW - 60.001, **claims) == "skew"
    assert kind(typ, NOW - 5, window=5, **claims) is None
    assert kind(typ, NOW - 6, window=5, **claims) == "skew"


@pytest.mark.parametrize("typ", TYPES)
def test_the_longest_life_is_accepted_and_one_second_more_is_not(typ: str) -> None:
    """draft-11 §5.3.1, §7.1.2, §6.7.1, §9.4.1."""
    assert kind(typ, NOW, exp=NOW + LONGEST[typ]) is None
    assert kind(typ, NOW, exp=NOW + LONGEST[typ] + 1) == "invalid"
    assert kind(typ, NOW, exp=NOW + 10**9) == "invalid"


@pytest.mark.parametrize("typ", TYPES)
def test_a_ceiling_of_agent_and_resource_tokens_is_configured_and_the_draft_s_own_are_not(typ: str) -> None:
    ceilings = Ceilings(agent=100, resource=20)
    configured = {AGENT_TYP: 100, RESOURCE_TYP: 20}.get(typ, HOUR)
    assert kind(typ, NOW, ceilings=ceilings, exp=NOW + configured) is None
    assert kind(typ, NOW, ceilings=ceilings, exp=NOW + configured + 1) == "invalid"
    raised = Ceilings(agent=10**6, resource=10**6)
    assert (kind(typ, NOW, ceilings=raised, exp=NOW + 100_000) is None) is (typ in (AGENT_TYP, RESOURCE_TYP))


@pytest.mark.parametrize("typ", TYPES)
def test_a_life_that_is_too_long_is_no_matter_of_the_clock(typ: str) -> None:
    """A fresh token would be refused as well, so that `expired` would send the agent in circles."""
    too_long = {"exp": NOW + LONGEST[typ] + 1}
    assert kind(typ, NOW + LONGEST[typ] + 1, **too_long) == "invalid"
    assert kind(typ, NOW - 1000, **too_long) == "invalid"


@pytest.mark.parametrize("typ", TYPES)
def test_a_token_that_is_not_valid_yet_is_refused(typ: str) -> None:
    """RFC 7519 §4.1.5."""
    claims = {"exp": NOW + 200}
    assert kind(typ, NOW, nbf=NOW, **claims) is None
    assert kind(typ, NOW, nbf=NOW - 0.5, **claims) is None
    assert kind(typ, NOW, nbf=NOW + 1, **claims) == "invalid"
    assert kind(typ, NOW, nbf=0, **claims) is None


@pytest.mark.parametrize("nbf", [str(NOW), True, [NOW], {"at": NOW}])
def test_an_nbf_that_is_no_number_is_refused(nbf: Any) -> None:
    assert kind(AUTH_TYP, NOW + 100, nbf=nbf) == "invalid"


@pytest.mark.parametrize("typ", TYPES)
def test_a_token_that_ended_before_it_began_is_never_alive(typ: str) -> None:
    for exp in (NOW, NOW - 1, NOW - 30, 0):
        for now in (NOW - 100, NOW - 40, NOW - 20, NOW, NOW + 20):
            assert kind(typ, now, exp=exp) is not None
