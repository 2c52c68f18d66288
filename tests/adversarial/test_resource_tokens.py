"""Tokens of others and of another kind: none of them opens a route that it was not issued for."""

from __future__ import annotations

import pytest

from aauthkit.keys import FixedKey
from aauthkit.serving import Request
from tests.plugins.resources import API, World, ask, requirement
from tests.plugins.shop import Shop
from tests.plugins.signing import NOW, Issuer, Signer, new_key, with_header

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


async def test_a_stolen_token_without_its_key_opens_nothing(world: World, shop: Shop) -> None:
    """F45, §9.4.3.2 step 3, §13.1: signed with another key, or not at all."""
    stolen = Signer(new_key(), world.grant("orders.read").signature_key)
    await shop.refuse(stolen.sign("GET", f"{API}/orders"), "invalid_signature")
    token = world.ps.auth_token(world.key.public, API, "orders.read")
    for scheme in ("Bearer", "AAuth", "DPoP"):
        bearer = Request("GET", "/orders", (("host", "api.example"), ("authorization", f"{scheme} {token}")))
        await shop.refuse(bearer, "invalid_signature")


async def test_a_stolen_signature_over_another_token_opens_nothing(world: World, shop: Shop) -> None:
    """§11.3.3.1: `signature-key` is covered, so a signature cannot be moved to another token of the same key."""
    request = world.grant("orders.place").sign("GET", f"{API}/orders")
    better = with_header(request, "signature-key", world.grant("orders.read").signature_key)
    await shop.refuse(better, "invalid_signature")


async def test_a_person_token_never_serves_as_an_auth_token(world: World, shop: Shop) -> None:
    """F18, §7.1.4, §13.11: challenged, never served; also where it claims a scope or another typ."""
    answer = await ask(shop.app, world.person().sign("GET", f"{API}/orders"))
    asked = requirement(answer)
    assert asked is not None
    assert (answer.status, asked.value, answer.header("signature-error")) == (401, "auth-token", None)
    await shop.refuse(world.person(scope="orders.read").sign("GET", f"{API}/orders"), "invalid_jwt")
    await shop.refuse(world.person(typ="aa-auth+jwt", scope="orders.read").sign("GET", f"{API}/orders"), "invalid_jwt")
    assert not shop.ran


async def test_an_agent_token_never_serves_as_a_person(world: World, shop: Shop) -> None:
    """F18, F49: and no resource token is made for somebody whose person nobody vouched for."""
    for path in ("/me", "/orders"):
        answer = await ask(shop.app, world.agent().sign("GET", API + path))
        asked = requirement(answer)
        assert asked is not None
        assert (answer.status, asked.value, dict(asked.params)) == (401, "person-token", {})
    assert not shop.ran


@pytest.mark.parametrize("aud", ["https://shop.example", "https://ps.example", "https://api.example.evil.example"])
async def test_a_token_for_another_resource_is_invalid_jwt(world: World, shop: Shop, aud: str) -> None:
    """F19, §7.1.4 step 1, §9.4.3.2 step 2."""
    await shop.refuse(world.person(aud).sign("GET", f"{API}/me"), "invalid_jwt")
    await shop.refuse(world.grant("orders.read", aud).sign("GET", f"{API}/orders"), "invalid_jwt")


async def test_a_token_of_an_untrusted_issuer_is_invalid_key_and_nothing_is_fetched(world: World, shop: Shop) -> None:
    """F20, Signature-Keys §5.4.7: the issuer would answer, and is not asked."""
    for issuer in (Issuer("https://evil.example"), Issuer("https://ps.example.evil.example")):
        person = Signer.token(world.key, issuer.person_token(world.key.public, API))
        grant = Signer.token(world.key, issuer.auth_token(world.key.public, API, "orders.read"))
        agent = Signer.token(world.key, issuer.agent_token(world.key.public))
        await shop.refuse(person.sign("GET", f"{API}/me"), "invalid_key")
        await shop.refuse(grant.sign("GET", f"{API}/orders"), "invalid_key")
        await shop.refuse(agent.sign("GET", f"{API}/agent/a"), "invalid_key")


async def test_an_issuer_counts_only_in_its_role(world: World, shop: Shop) -> None:
    """F20: the agent provider vouches for no person, and the person server for no agent."""
    person = Signer.token(world.key, world.provider.person_token(world.key.public, API))
    await shop.refuse(person.sign("GET", f"{API}/me"), "invalid_key")
    agent = Signer.token(world.key, world.ps.agent_token(world.key.public))
    await shop.refuse(agent.sign("GET", f"{API}/agent/a"), "invalid_key")


async def test_an_auth_token_of_one_person_server_for_the_people_of_another_is_refused(
    world: World, shop: Shop
) -> None:
    """§9.4.1: a person server speaks for its own people; an access server is not served here."""
    foreign = world.grant("orders.read", ps="https://other-ps.example")
    await shop.refuse(foreign.sign("GET", f"{API}/orders"), "invalid_jwt")
    access = world.grant("orders.read", dwk="aauth-access.json")
    await shop.refuse(access.sign("GET", f"{API}/orders"), "invalid_key")


async def test_an_agent_identifier_of_another_providers_domain_is_invalid_jwt(world: World, shop: Shop) -> None:
    """F21, §5.2."""
    for sub in ("aauth:ceo@bank.example", "aauth:x@agents.example.evil.example", "aauth:x@evil-agents.example"):
        await shop.refuse(world.agent(sub=sub).sign("GET", f"{API}/agent/a"), "invalid_jwt")


@pytest.mark.parametrize("claim", ["iss", "dwk", "sub", "jti", "iat", "exp", "cnf"])
async def test_a_token_without_a_required_claim_is_invalid_jwt(world: World, shop: Shop, claim: str) -> None:
    """F23, §9.4.3.2 step 4."""
    await shop.refuse(world.agent(**{claim: None}).sign("GET", f"{API}/agent/a"), "invalid_jwt")
    await shop.refuse(world.grant("orders.read", **{claim: None}).sign("GET", f"{API}/orders"), "invalid_jwt")


async def test_a_forged_token_is_invalid_jwt(world: World, shop: Shop) -> None:
    """F22: its issuer's key signed it, or it is nothing."""
    forger = Issuer(world.ps.iss, new_key())
    token = forger.auth_token(world.key.public, API, "orders.read", header={"kid": world.ps.key.kid})
    await shop.refuse(Signer.token(world.key, token).sign("GET", f"{API}/orders"), "invalid_jwt")


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"exp": NOW}, "expired_jwt"),
        ({"exp": NOW - 1, "iat": NOW - 100}, "expired_jwt"),
        ({"iat": NOW + 61}, "clock_skew"),
        ({"exp": NOW + 3601}, "invalid_jwt"),
        ({"nbf": NOW + 10}, "invalid_jwt"),
    ],
)
async def test_a_token_lives_an_hour_at_most_and_not_a_second_longer(
    world: World, shop: Shop, claims: dict[str, int], error: str
) -> None:
    """§11.5.2: no tolerance on `exp`."""
    await shop.refuse(world.grant("orders.read", **claims).sign("GET", f"{API}/orders"), error)
    await shop.refuse(world.person(**claims).sign("GET", f"{API}/me"), error)


async def test_an_inline_key_is_no_way_in(world: World, shop: Shop) -> None:
    """F16: also beside a token under the label that is signed."""
    await shop.refuse(world.bare().sign("GET", f"{API}/agent/a"), "unsupported_scheme")
    stranger = Signer.bare(new_key()).sign("GET", f"{API}/agent/a", label="own")
    mine = with_header(stranger, "signature-key", f"{world.agent().signature_key}, {stranger.header('signature-key')}")
    answer = await ask(shop.app, mine)
    assert answer.status == 401
    assert not shop.ran


async def test_a_grant_of_one_scope_opens_no_route_of_another(world: World, shop: Shop) -> None:
    """F48, F70: whole values; the challenge asks for what is missing."""
    for scope in ("orders.readall", "orders", "ORDERS.READ", None):
        answer = await ask(shop.app, world.grant(scope).sign("GET", f"{API}/orders"))
        asked = requirement(answer)
        assert asked is not None
        assert (answer.status, asked.value) == (401, "auth-token")
    assert not shop.ran


async def test_the_keys_of_the_resource_open_nothing(world: World, shop: Shop) -> None:
    """A resource token is no credential, and its signer no caller."""
    mine = Issuer(API, world.resource_key)
    token = mine.resource_token(aud=world.ps.iss, sub="p-1", presented_jti="x", agent_jkt=world.key.kid)
    await shop.refuse(Signer.token(world.key, token).sign("GET", f"{API}/orders"), "invalid_jwt")
    assert FixedKey(world.resource_key).jwks()["keys"][0].keys() == {"kty", "crv", "x", "alg", "kid", "use"}
