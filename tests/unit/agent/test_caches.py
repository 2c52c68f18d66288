"""Where tokens are, and when one is too old to be presented."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aauthkit.agent.caches import Held, Place, Wallet, fresh
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.tokens import AUTH_TYP, PERSON_TYP, AuthToken, PersonToken, read_token
from tests.plugins.signing import NOW, Issuer, new_key

PS = Issuer("https://person.example")
RESOURCE = "https://api.example"
PLACE = Place("key", PS.iss, None, RESOURCE)
ELSEWHERE = {
    "key": "another",
    "person_server": "https://other.example",
    "upstream": "a.b.c",
    "resource": "https://files.example",
    "account": "acme",
    "mission": "m",
}


def person(key: SigningKey | None = None, **claims: object) -> Held:
    key = key or new_key()
    token = read_token(PS.person_token(key.public, RESOURCE, **claims), {PERSON_TYP})
    assert isinstance(token, PersonToken)
    return Held.of(token, key)


def grant(scope: str = "orders.read", **claims: object) -> Held:
    key = new_key()
    token = read_token(PS.auth_token(key.public, RESOURCE, scope, **claims), {AUTH_TYP})
    assert isinstance(token, AuthToken)
    return Held.of(token, key, frozenset({"orders.read", "orders.place"}))


@pytest.mark.parametrize(
    ("lifetime", "left", "presented"),
    [
        (3600, 301, True),
        (3600, 300, False),
        (600, 151, True),
        (600, 150, False),
        (60, 16, True),
        (60, 15, False),
        (60, 60, True),
        (3600, 0, False),
    ],
)
def test_the_margin_is_five_minutes_or_a_quarter_of_the_lifetime(lifetime: int, left: int, presented: bool) -> None:
    """§7.9.1."""
    assert fresh(NOW, NOW + lifetime, NOW + lifetime - left) is presented


@pytest.mark.parametrize("part", ELSEWHERE)
def test_a_grant_is_found_in_its_own_place_only(part: str) -> None:
    """Key, person server, upstream token, resource, account and mission: one person's token is never another's."""
    wallet = Wallet()
    wallet.keep(PLACE, grant())
    assert wallet.grant(PLACE, NOW) is not None
    assert wallet.grant(replace(PLACE, **{part: ELSEWHERE[part]}), NOW) is None


@pytest.mark.parametrize("part", ELSEWHERE)
def test_a_person_token_is_found_in_its_own_place_and_knows_no_account(part: str) -> None:
    """§7.1: one per resource and mission."""
    wallet = Wallet()
    wallet.keep(PLACE, person())
    found = wallet.person(replace(PLACE, **{part: ELSEWHERE[part]}), NOW)
    assert (found is not None) is (part == "account")


def test_there_is_one_current_auth_token_in_a_place() -> None:
    wallet, first, second = Wallet(), grant(), grant("orders.read orders.place")
    for held in (first, second):
        wallet.keep(PLACE, held)
    assert wallet.grant(PLACE, NOW) is second
    wallet.drop(PLACE, first)
    assert wallet.grant(PLACE, NOW) is second
    wallet.drop(PLACE, second)
    assert wallet.grant(PLACE, NOW) is None


def test_what_is_about_to_end_is_not_presented_but_says_that_the_resource_wants_a_person() -> None:
    wallet = Wallet()
    assert not wallet.knows(PLACE)
    wallet.keep(PLACE, person())
    assert wallet.person(PLACE, NOW + 3400) is None
    assert wallet.knows(PLACE)


def test_the_number_of_places_is_bounded() -> None:
    wallet, held = Wallet(limit=3), grant()
    places = [replace(PLACE, resource=f"https://r{number}.example") for number in range(5)]
    for place in places:
        wallet.keep(place, held)
    assert [wallet.grant(place, NOW) is not None for place in places] == [False, False, True, True, True]


def test_what_is_held_says_its_level_and_what_was_granted_and_shows_no_token() -> None:
    """F87."""
    held = grant()
    assert (held.level, held.granted) == ("grant", {"orders.read"})
    assert (person().level, person().granted) == ("person", frozenset())
    assert held.token.raw not in repr(held)
    assert "upstream" not in repr(replace(PLACE, upstream="a.b.c"))
