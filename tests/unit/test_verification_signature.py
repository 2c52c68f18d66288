"""The one way in, step 7 of draft-11 §11.3.4: the signature itself, replay and revocation."""

from __future__ import annotations

import base64

import pytest

from aauthkit.protocol.httpsig import parse_signature_input, signature_base
from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.replay import ReplayCache
from aauthkit.serving import BytesBody, Request
from aauthkit.verification import Accepts
from tests.plugins.signing import NOW, new_key, sign, signature_twin, with_header, with_target
from tests.plugins.verifying import API, OTHER, World, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


# --- step 7: the signature ----------------------------------------------------------------------------------


async def test_a_token_without_its_key_opens_nothing(world: World) -> None:
    """F45; §13.1."""
    stolen = world.grant().signature_key
    await refused(world, sign("GET", f"{API}/a", new_key(), stolen), "invalid_signature")


async def test_a_request_signed_for_another_host_is_refused_here_whatever_its_host_says(world: World) -> None:
    """§11.3.3.1: the authority is configured, so a relayed request does not verify."""
    await refused(world, world.agent().sign("GET", f"{OTHER}/a"), "invalid_signature")


async def test_upper_case_and_default_port_are_one_authority(world: World) -> None:
    """F06; RFC 9421 §2.2.3."""
    for authority in ("API.Example", "api.example:443", "api.example"):
        request = sign("GET", f"https://{authority}/a", world.key, world.agent().signature_key)
        await world.verify(request)


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("/data;role=user", "/data;role=admin"),
        ("/data;role=user", "/data"),
        ("/a%2Fb", "/a/b"),
        ("/a/b", "/a//b"),
        ("/a/../b", "/b"),
        ("/a?x=1", "/a?x=2"),
        ("/a?x=1&y=2", "/a?y=2&x=1"),
        ("/a?x=1", "/a?"),
        ("/a?", "/a??"),
    ],
)
async def test_a_changed_target_does_not_verify_and_the_unchanged_one_does(
    world: World, signed: str, sent: str
) -> None:
    """F05, F08; RFC 9421 §2.2.6, §2.2.7: path and query are used as they were sent."""
    request = world.agent().sign("GET", f"{API}{signed}")
    await world.verify(request)
    again = world.agent().sign("GET", f"{API}{signed}")
    await refused(world, with_target(again, sent), "invalid_signature")


async def test_a_removed_query_does_not_verify(world: World) -> None:
    """F08."""
    await refused(world, with_target(world.agent().sign("GET", f"{API}/a?x=1"), "/a"), "invalid_signature")


async def test_query_without_its_question_mark_does_not_verify(world: World) -> None:
    """F07; RFC 9421 §2.2.7."""

    request = world.agent().sign("GET", f"{API}/a?x=1")
    entry = parse_signature_input(request.values("signature-input"))["sig"]
    base = signature_base(request.as_signed(API), entry).replace(b'"@query": ?x=1', b'"@query": x=1')
    value = base64.b64encode(world.key.sign(base)).decode()
    await refused(world, with_header(request, "signature", f"sig=:{value}:"), "invalid_signature")


async def test_a_der_signature_is_refused() -> None:
    """F04; RFC 9421 §3.3, RFC 7518 §3.4."""

    from cryptography.hazmat.primitives.asymmetric import utils

    world = World()
    world.key = new_key("ES256")
    request = world.agent().sign("GET", f"{API}/a")
    await world.verify(request)
    raw = base64.b64decode((request.header("signature") or "").partition(":")[2].rstrip(":"))
    assert len(raw) == 64
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    await refused(
        world, with_header(request, "signature", f"sig=:{base64.b64encode(der).decode()}:"), "invalid_signature"
    )


async def test_a_body_that_does_not_match_its_covered_digest_is_refused(world: World) -> None:
    """F13; RFC 9530."""
    request = world.agent().sign("POST", f"{API}/a", body=b'{"a":1}')
    verified = await world.verify(request)
    assert await request.read_json(verified.digest()) == {"a": 1}

    changed = Request(request.method, request.target, request.headers, BytesBody(b'{"a":2}'))
    with pytest.raises(SignatureFailure, match="does not match"):
        await changed.read_json(verified.digest())


# --- replay and revocation ----------------------------------------------------------------------------------


async def test_the_second_copy_of_an_unsafe_request_is_refused(world: World) -> None:
    """F17; §11.3.4.2."""
    request = world.agent().sign("POST", f"{API}/a", body=b"{}")
    await world.verify(request)
    await refused(world, request, "invalid_signature")
    safe = world.agent().sign("GET", f"{API}/a")
    await world.verify(safe)
    await world.verify(safe)


async def test_two_equal_requests_signed_apart_are_both_served(world: World) -> None:
    """F17: the nonce tells them apart within one second."""
    signer = world.agent()
    await world.verify(signer.sign("POST", f"{API}/a", body=b"{}"))
    await world.verify(signer.sign("POST", f"{API}/a", body=b"{}"))


async def test_the_twin_of_an_es256_signature_is_a_replay() -> None:
    """F17: r and n - s verify too, over the same base."""
    world = World()
    world.key = new_key("ES256")
    request = world.agent().sign("POST", f"{API}/a", body=b"{}")
    await world.verify(request)
    await refused(world, signature_twin(request), "invalid_signature")


async def test_a_replay_at_the_last_moment_of_the_window_is_refused(world: World) -> None:
    request = world.agent().sign("POST", f"{API}/a", body=b"{}", now=NOW + 60)
    await world.verify(request)
    world.now = NOW + 120.0
    await refused(world, request, "invalid_signature")


async def test_a_full_replay_memory_refuses_rather_than_forgets() -> None:
    world = World(replay=ReplayCache(max_per_key=2))
    signer = world.agent()
    for _ in range(2):
        await world.verify(signer.sign("POST", f"{API}/a", body=b"{}"))
    with pytest.raises(Problem) as caught:
        await world.verify(signer.sign("POST", f"{API}/a", body=b"{}"))
    assert caught.value.status == 429
    world.now += 122
    await world.verify(world.agent().sign("POST", f"{API}/a", body=b"{}", now=int(world.now)))


async def test_a_revoked_token_is_refused_also_when_it_was_remembered() -> None:
    """F52; §11.12.5."""
    revoked: set[tuple[str, str]] = set()
    world = World(is_revoked=lambda iss, token: (iss, token) in revoked)
    signer = world.grant(jti="g-1")
    await world.verify(signer.sign("GET", f"{API}/a"))
    revoked.add(("https://ps.example", "g-1"))
    await refused(world, signer.sign("GET", f"{API}/a"), "revoked_jwt")


async def test_a_remembered_token_still_expires(world: World) -> None:
    signer = world.agent(exp=NOW + 10)
    await world.verify(signer.sign("GET", f"{API}/a"))
    world.now = NOW + 10.0
    await refused(world, signer.sign("GET", f"{API}/a", now=NOW + 10), "expired_jwt")


async def test_a_remembered_token_is_checked_against_the_types_of_each_endpoint(world: World) -> None:
    """F18: what one endpoint took is not taken by another because it is known."""
    signer = world.person()
    await world.verify(signer.sign("GET", f"{API}/a"))
    await refused(world, signer.sign("GET", f"{API}/a"), "invalid_jwt", Accepts(("jwt",), frozenset({"aa-auth+jwt"})))
