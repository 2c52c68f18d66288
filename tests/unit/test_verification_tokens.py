"""The one way in, steps 5 and 6 of draft-11 §11.3.4: the token in Signature-Key and the key in it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from aauthkit.protocol.httpsig import SignatureInput, parse_signature_input, signature_base
from aauthkit.serving import Request
from aauthkit.trust import Trust
from aauthkit.verification import Accepts
from tests.plugins.signing import NOW, Issuer, Signer, with_header
from tests.plugins.verifying import AGENT_TYPES, API, OTHER, World, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


# --- steps 5 and 6: token and key ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "presented"),
    [
        (a, p)
        for a in sorted(AGENT_TYPES)
        for p in (*sorted(AGENT_TYPES), "aa-resource+jwt", "JWT", "aa-event+jwt")
        if a != p
    ],
)
async def test_every_token_type_in_every_wrong_place_is_invalid_jwt(
    world: World, accepted: str, presented: str
) -> None:
    """F18; §11.5.2 step 1, §13.11."""
    signers = {
        "aa-agent+jwt": world.agent(),
        "aa-person+jwt": world.person(),
        "aa-auth+jwt": world.grant(),
        "aa-resource+jwt": Signer.token(
            world.key,
            Issuer(API).resource_token(aud="https://ps.example", sub="p", presented_jti="j", agent_jkt=world.key.kid),
        ),
    }
    signer = signers.get(presented) or world.agent(typ=presented)
    await refused(world, signer.sign("GET", f"{API}/a"), "invalid_jwt", Accepts(("jwt",), frozenset({accepted})))


async def test_a_token_for_another_resource_is_invalid_jwt(world: World) -> None:
    """F19; §7.1.4 step 1, §9.4.3.2 step 2."""
    await refused(world, world.person(aud=OTHER).sign("GET", f"{API}/a"), "invalid_jwt")
    await refused(world, world.grant(aud=OTHER).sign("GET", f"{API}/a"), "invalid_jwt")


async def test_an_agent_of_another_domain_than_its_provider_is_invalid_jwt(world: World) -> None:
    """F21; §5.2, §11.2.1."""
    await refused(world, world.agent(sub="aauth:ceo@bank.example").sign("GET", f"{API}/a"), "invalid_jwt")


async def test_an_issuer_outside_the_trust_is_invalid_key_before_any_fetch() -> None:
    """F20; Signature-Keys §5.4.7. The network of this world fails the test if it is touched."""
    world = World(trust=Trust(agent_providers={"https://agents.example"}, person_servers=frozenset()))
    await world.verify(world.agent().sign("GET", f"{API}/a"))
    await refused(world, world.person().sign("GET", f"{API}/a"), "invalid_key")
    stranger = Issuer("https://stranger.example")
    signer = Signer.token(world.key, stranger.agent_token(world.key.public))
    await refused(world, signer.sign("GET", f"{API}/a"), "invalid_key")


async def test_nobody_is_trusted_unless_somebody_is_named() -> None:
    """F20, F89: an empty trust admits nobody."""
    world = World(trust=Trust())
    await refused(world, world.agent().sign("GET", f"{API}/a"), "invalid_key")


@pytest.mark.parametrize("claim", ["iss", "dwk", "jti", "iat", "exp", "cnf", "sub"])
async def test_a_token_without_a_required_claim_is_invalid_jwt(world: World, claim: str) -> None:
    """F23; §11.5.1."""
    await refused(world, world.agent(**{claim: None}).sign("GET", f"{API}/a"), "invalid_jwt")


async def test_a_token_without_kid_is_invalid_jwt(world: World) -> None:
    """F23; §11.5.1."""
    await refused(world, world.agent(header={"kid": None}).sign("GET", f"{API}/a"), "invalid_jwt")


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", "ES256", "ed25519"])
async def test_a_token_header_with_another_alg_than_its_key_is_invalid_jwt(world: World, alg: str) -> None:
    """F10; §11.3.1, §11.5.1."""
    await refused(world, world.agent(header={"alg": alg}).sign("GET", f"{API}/a"), "invalid_jwt")


async def test_a_forged_token_is_invalid_jwt(world: World) -> None:
    """F22: signed by somebody else under the provider's name and kid."""
    impostor = Issuer(world.provider.iss)
    token = impostor.agent_token(world.key.public, header={"kid": world.provider.key.kid})
    await refused(world, Signer.token(world.key, token).sign("GET", f"{API}/a"), "invalid_jwt")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"alg": None}, "unsupported_algorithm"),
        ({"alg": "EdDSA"}, "unsupported_algorithm"),
        ({"alg": "HS256"}, "unsupported_algorithm"),
        ({"alg": "ES256"}, "invalid_key"),
        ({"crv": "Ed448"}, "invalid_key"),
        ({"kty": "EC", "y": "AA"}, "invalid_key"),
        ({"x": "AAAA"}, "invalid_key"),
        ({"x": None}, "invalid_jwt"),
        ({"kty": None}, "invalid_jwt"),
    ],
)
async def test_a_confirmation_key_must_name_one_algorithm_and_agree_with_it(
    world: World, change: dict[str, Any], code: str
) -> None:
    """F11, F12; §11.3.4 step 6, §9.4.3.2 step 3."""
    jwk = {
        name: value for name, value in {**world.key.public.jwk, **change}.items() if value is not None and name != "kid"
    }
    failure = await refused(world, world.agent(cnf={"jwk": jwk}).sign("GET", f"{API}/a"), code)
    if code == "unsupported_algorithm":
        assert failure.answer().header("accept-signature-alg") == "Ed25519, ES256"


async def test_expired_and_ahead_tokens_have_codes_of_their_own(world: World) -> None:
    """§11.5.2 step 3: no tolerance on exp; iat ahead by more than the window is skew."""
    await refused(world, world.agent(exp=NOW).sign("GET", f"{API}/a"), "expired_jwt")
    await refused(world, world.agent(iat=NOW + 61).sign("GET", f"{API}/a"), "clock_skew")
    await world.verify(world.agent(iat=NOW + 60).sign("GET", f"{API}/a"))


async def test_lifetimes_above_the_ceilings_are_invalid_jwt(world: World) -> None:
    """§5.3.1, §7.1.2, §9.4.1, §11.5.2."""
    await refused(world, world.person(exp=NOW + 3601).sign("GET", f"{API}/a"), "invalid_jwt")
    await refused(world, world.grant(exp=NOW + 3601).sign("GET", f"{API}/a"), "invalid_jwt")
    await refused(world, world.agent(exp=NOW + 86401).sign("GET", f"{API}/a"), "invalid_jwt")


async def test_a_contradicting_keyid_is_refused_and_alg_is_ignored(world: World) -> None:
    """F10; §11.3.3.2."""

    def resigned(extra: str) -> Request:
        request = world.agent().sign("GET", f"{API}/a")
        value = (request.header("signature-input") or "") + extra
        entry: SignatureInput = parse_signature_input([value])["sig"]
        changed = with_header(request, "signature-input", value)
        signature = world.key.sign(signature_base(changed.as_signed(API), entry))
        return with_header(changed, "signature", f"sig=:{base64.b64encode(signature).decode()}:")

    await world.verify(resigned(';alg="rsa-v1_5-sha256"'))
    await world.verify(resigned(f';keyid="{world.key.kid}"'))
    await refused(world, resigned(';keyid="other"'), "invalid_signature")
