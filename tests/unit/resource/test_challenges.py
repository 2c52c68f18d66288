"""Resource tokens: what a challenge carries to the person server (draft-11 §6.7)."""

from __future__ import annotations

import json

import pytest

from aauthkit.keys import FixedKey
from aauthkit.protocol.jose import b64url_decode
from aauthkit.protocol.messages import Refusal
from aauthkit.protocol.tokens import check_lifetime
from aauthkit.resource import Need, Resource
from aauthkit.resource.challenges import Challenges
from tests.plugins.resources import API, SCOPES, World, requirement, resource_token
from tests.plugins.signing import NOW, Signer, new_key

URL = "https://api.example/orders"
S256 = "a" * 43


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def resource(world: World) -> Resource:
    return world.resource()


def challenge(resource: Resource, signer: Signer, need: Need) -> dict[str, object]:
    """The claims of the resource token that a challenge carries."""
    with pytest.raises(Refusal) as caught:
        resource.decide_now(signer.sign("GET", URL), need)
    asked = requirement(resource.answer_to(caught.value))
    assert asked is not None
    claims: dict[str, object] = json.loads(b64url_decode(asked.text("resource-token").split(".")[1]))
    return claims


def test_a_resource_token_names_the_person_the_key_and_the_token_that_was_presented(
    world: World, resource: Resource
) -> None:
    """§6.7.1, RS-30, RS-31, RS-32: everything about the person is copied from the verified token; F25: no agent."""
    signer = world.person(sub="p-7", jti="presented-1", mission_s256=S256, tenant="acme", agent="aauth:x@y.example")
    claims = challenge(resource, signer, resource.grant("orders.read", optional=["orders.place"]))
    jti = claims.pop("jti")
    assert isinstance(jti, str)
    assert len(jti) >= 20
    assert claims == {
        "iss": API,
        "dwk": "aauth-resource.json",
        "aud": "https://ps.example",
        "ps": "https://ps.example",
        "sub": "p-7",
        "presented_jti": "presented-1",
        "agent_jkt": world.key.kid,
        "scope": "orders.place orders.read",
        "mission_s256": S256,
        "tenant": "acme",
        "iat": NOW,
        "exp": NOW + 300,
    }


def test_what_the_presented_token_does_not_say_the_resource_token_does_not_say(
    world: World, resource: Resource
) -> None:
    claims = challenge(resource, world.person(), resource.grant("orders.read"))
    assert not {"mission_s256", "tenant", "account", "login_hint", "interaction", "cnf", "agent", "act"} & claims.keys()


def test_a_step_up_points_at_the_auth_token(world: World, resource: Resource) -> None:
    """RS-34, §11.11: with its account, so that the new grant is for the same one."""
    signer = world.grant("orders.read", jti="held-1", sub="p-9", account="work", mission_s256=S256)
    claims = challenge(resource, signer, resource.grant("orders.place"))
    assert claims["presented_jti"] == "held-1"
    assert (claims["aud"], claims["ps"], claims["sub"]) == ("https://ps.example", "https://ps.example", "p-9")
    assert (claims["account"], claims["mission_s256"]) == ("work", S256)


def test_each_challenge_has_a_fresh_resource_token(world: World, resource: Resource) -> None:
    first, second = (challenge(resource, world.person(), resource.grant("orders.read")) for _ in range(2))
    assert first["jti"] != second["jti"]


def test_a_resource_token_verifies_under_the_published_key_and_lives_five_minutes(
    world: World, resource: Resource
) -> None:
    """§6.7.1, §11.5.1."""
    with pytest.raises(Refusal) as caught:
        resource.decide_now(world.person().sign("GET", URL), resource.grant("orders.read"))
    token = resource_token(caught.value.answer())
    token.verify_signature(world.resource_key.public)
    check_lifetime(token, NOW)
    assert token.kid == world.resource_key.kid
    assert token.jwt.header["alg"] == "Ed25519"


def test_the_key_that_signs_is_the_current_one(world: World) -> None:
    keys = {"now": FixedKey(new_key())}

    class Rotating:
        @property
        def current(self) -> object:
            return keys["now"].current

        def jwks(self) -> object:
            return keys["now"].jwks()

    resource = world.resource(keys=Rotating())
    for _ in range(2):
        keys["now"] = FixedKey(new_key("ES256"))
        with pytest.raises(Refusal) as caught:
            resource.decide_now(world.person().sign("GET", URL), resource.grant("orders.read"))
        resource_token(caught.value.answer()).verify_signature(keys["now"].current.public)


def test_a_resource_without_keys_cannot_be_made_to_issue_one(world: World, resource: Resource) -> None:
    bare = Challenges(API, None, SCOPES)
    caller = resource.decide_now(world.person().sign("GET", URL), resource.person()).caller
    with pytest.raises(ValueError, match="without keys"):
        bare.for_caller(caller, resource.grant("orders.read"))


def test_there_is_no_challenge_for_a_need_of_keys_alone(world: World, resource: Resource) -> None:
    caller = resource.decide_now(world.person().sign("GET", URL), resource.person()).caller
    with pytest.raises(ValueError, match="no challenge"):
        resource.challenge(caller, resource.key())


def test_a_challenge_tells_a_developer_what_to_do_and_shows_no_token(world: World, resource: Resource) -> None:
    """F87."""
    with pytest.raises(Refusal) as caught:
        resource.decide_now(world.person().sign("GET", URL), resource.grant("orders.read"))
    answer = caught.value.answer()
    assert b"auth token" in answer.body
    assert b"eyJ" not in answer.body
    assert "eyJ" not in f"{caught.value!r} {caught.value} {answer!r}"
