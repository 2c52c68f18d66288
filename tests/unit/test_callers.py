"""Who sent a request: one type per level, its person as a whole, and nothing of its token shown (F87, F48)."""

from __future__ import annotations

import pytest

from aauthkit.callers import Agent, Delegate, Grant, Person, PersonId, Pseudonym, Server
from aauthkit.protocol.tokens import ACCESS_DWK, AgentToken, AuthToken, PersonToken, read_token
from tests.plugins.signing import Issuer, new_key

PROVIDER = Issuer("https://agents.example")
PS = Issuer("https://ps.example")
AS = Issuer("https://as.example")
API = "https://api.example"
KEY = new_key().public


def agent(**claims: str) -> Agent:
    token = read_token(PROVIDER.agent_token(KEY, **claims), {"aa-agent+jwt"})
    assert isinstance(token, AgentToken)
    return Agent(token)


def person(**claims: str) -> Person:
    token = read_token(PS.person_token(KEY, API, **claims), {"aa-person+jwt"})
    assert isinstance(token, PersonToken)
    return Person(token)


def grant(issuer: Issuer = PS, **claims: str) -> Grant:
    token = read_token(issuer.auth_token(KEY, API, "orders.read b", **claims), {"aa-auth+jwt"})
    assert isinstance(token, AuthToken)
    return Grant(token)


def test_an_agent_knows_itself_and_no_person() -> None:
    caller = agent(ps=PS.iss, parent_agent="aauth:boss@agents.example")
    assert (caller.iss, caller.sub, caller.ps) == (PROVIDER.iss, "aauth:planner@agents.example", PS.iss)
    assert caller.parent_agent == "aauth:boss@agents.example"
    assert caller.key.same_key(KEY)
    assert not hasattr(caller, "person")


def test_a_person_is_known_as_a_whole() -> None:
    """draft-11 §7.1.4, §13.7: (iss, ps, sub), where ps is iss unless an access server issued."""
    assert person().person == grant().person == PersonId(PS.iss, PS.iss, "p-1")
    other = grant(AS, dwk=ACCESS_DWK, ps=PS.iss).person
    assert other == PersonId(AS.iss, PS.iss, "p-1")
    assert other != grant().person


def test_neither_a_person_nor_a_grant_carries_an_agent_identifier() -> None:
    """draft-11 §4.2.1, §C.1.6."""
    for caller in (person(), grant()):
        assert not any(hasattr(caller, name) for name in ("sub", "agent", "parent_agent"))
    assert not any(hasattr(person(), name) for name in ("scope", "account"))


def test_f48_a_grant_hands_on_scope_and_account() -> None:
    """F48; F70: scope is a set of whole values."""
    caller = grant(account="shop", tenant="acme")
    assert caller.scope == {"orders.read", "b"}
    assert "orders" not in caller.scope
    assert (caller.account, caller.tenant, caller.mission_s256) == ("shop", "acme", None)
    assert caller.claims["account"] == "shop"


def test_f87_no_repr_shows_a_token_or_a_claim() -> None:
    """F87: what was proved is kept, for call chaining, and never shown."""
    for caller in (agent(), person(), grant(account="secret-account")):
        shown = repr(caller)
        assert caller.proof.raw.startswith("eyJ")
        assert "eyJ" not in shown
        assert "secret" not in shown
        assert caller.jti not in shown
    assert repr(grant()) == "Grant(p-1, ps=https://ps.example, scope=['b', 'orders.read'])"


def test_callers_without_a_token() -> None:
    assert Pseudonym(KEY).thumbprint == KEY.thumbprint
    assert Server(PS.iss, "aauth-person.json", KEY).iss == PS.iss
    assert Delegate(KEY, new_key().public).durable == KEY


@pytest.mark.parametrize("make", [agent, person, grant])
def test_a_caller_is_a_value(make: type[Agent]) -> None:
    caller = make()
    with pytest.raises(AttributeError):
        caller.proof = None  # type: ignore[misc, assignment]
