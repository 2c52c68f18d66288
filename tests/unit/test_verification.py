"""The one way in: every step of draft-11 §11.3.4 refuses what it must, in the draft's words, in its order."""

from __future__ import annotations

import pytest

from aauthkit.callers import Agent, Delegate, Grant, Person, Pseudonym, Server
from aauthkit.protocol.signature_key import hwk_header
from aauthkit.serving import Request
from aauthkit.verification import Accepts
from tests.plugins.signing import NOW, Signer, new_key, sign, with_header, with_target
from tests.plugins.verifying import AGENT_TYPES, ALL_SCHEMES, API, World, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


# --- who gets in --------------------------------------------------------------------------------------------


async def test_each_token_type_gives_its_own_kind_of_caller(world: World) -> None:
    agent = (await world.verify(world.agent().sign("GET", f"{API}/a"))).caller
    person = (await world.verify(world.person().sign("GET", f"{API}/a"))).caller
    grant = (await world.verify(world.grant(account="a-1").sign("GET", f"{API}/a"))).caller
    assert isinstance(agent, Agent) and agent.sub == "aauth:planner@agents.example"
    assert isinstance(person, Person) and person.person.ps == person.person.iss == "https://ps.example"
    assert isinstance(grant, Grant) and grant.scope == {"orders.read"} and grant.account == "a-1"


async def test_other_schemes_give_their_callers_where_an_endpoint_names_them(world: World) -> None:
    durable = new_key()
    bare = (await world.verify(Signer.bare(world.key).sign("GET", f"{API}/a"), ALL_SCHEMES)).caller
    server = Signer.server(world.person_server, "aauth-person.json")
    named = (await world.verify(server.sign("GET", f"{API}/a"), ALL_SCHEMES)).caller
    delegated = (await world.verify(Signer.delegated(durable, world.key).sign("GET", f"{API}/a"), ALL_SCHEMES)).caller
    assert isinstance(bare, Pseudonym) and bare.thumbprint == world.key.kid
    assert isinstance(named, Server) and named.iss == "https://ps.example"
    assert isinstance(delegated, Delegate) and delegated.durable.thumbprint == durable.kid


async def test_no_caller_shows_its_token(world: World) -> None:
    """F87: a repr, which ends up in logs, holds no token."""
    signer = world.grant()
    verified = await world.verify(signer.sign("GET", f"{API}/a"))
    token = verified.caller.proof.raw  # type: ignore[union-attr]
    assert token not in repr(verified) and token.split(".")[2] not in repr(verified)


# --- step 1: the fields -------------------------------------------------------------------------------------


async def test_an_unsigned_request_is_invalid_signature(world: World) -> None:
    """F14; §11.3.4 step 1."""
    await refused(world, Request("GET", "/a", (("host", "api.example"),)), "invalid_signature")


@pytest.mark.parametrize("name", ["signature", "signature-input", "signature-key"])
async def test_partial_signature_headers_are_never_anonymous(world: World, name: str) -> None:
    """§11.3.4 step 1: one of the three missing is refused like all three."""
    await refused(world, with_header(world.agent().sign("GET", f"{API}/a"), name, None), "invalid_signature")


@pytest.mark.parametrize("name", ["signature", "signature-input", "signature-key"])
async def test_a_signature_field_sent_twice_is_refused(world: World, name: str) -> None:
    request = world.agent().sign("GET", f"{API}/a")
    value = request.header(name) or ""
    twice = Request(request.method, request.target, (*request.headers, (name, value)))
    await refused(world, twice, "invalid_signature")


@pytest.mark.parametrize(
    "value", ["", "sig", "sig=1", "sig=(", "sig=:%%:", "\x7f", "sig=:AAAA", "a" * 40_000, "sig=?0"]
)
@pytest.mark.parametrize("name", ["signature", "signature-input", "signature-key"])
async def test_garbage_in_a_signature_field_is_401_never_500(world: World, name: str, value: str) -> None:
    """F91."""
    await refused(world, with_header(world.agent().sign("GET", f"{API}/a"), name, value), "invalid_signature")


async def test_authorization_sent_twice_is_refused(world: World) -> None:
    request = world.agent().sign("GET", f"{API}/a", headers=[("authorization", "AAuth abc")])
    twice = Request(request.method, request.target, (*request.headers, ("authorization", "AAuth abd")))
    await refused(world, twice, "invalid_signature")


async def test_a_base64url_signature_is_refused_by_name_unless_the_switch_is_on() -> None:
    """F03; RFC 9651 §4.2.7."""
    world, lenient = World(), World(accept_base64url=True)
    for _ in range(64):  # until the signature has one of the two symbols in which the alphabets differ
        request = world.agent().sign("GET", f"{API}/a")
        value = request.header("signature") or ""
        if "+" in value or "/" in value:
            break
    url_safe = with_header(request, "signature", value.replace("+", "-").replace("/", "_"))
    failure = await refused(world, url_safe, "invalid_signature")
    assert "base64url" in (failure.detail or "")
    lenient.provider, lenient.key = world.provider, world.key
    lenient.verifier.discovery.serve_locally(world.provider.iss, "aauth-agent.json", world.provider.jwks)
    assert isinstance((await lenient.verify(url_safe)).caller, Agent)


# --- step 2: coverage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropped", [["@method"], ["@authority"], ["@path"], ["@method", "@authority", "@path"]])
async def test_an_uncovered_base_component_is_invalid_input(world: World, dropped: list[str]) -> None:
    """F01; §11.3.3.1, §11.3.4 step 2."""
    failure = await refused(world, world.agent().sign("DELETE", f"{API}/a", drop=dropped), "invalid_input")
    assert failure.required_input is not None and set(dropped) <= set(failure.required_input)


@pytest.mark.parametrize("covered", ["", '"signature-key"', '"@method" "@authority" "@path"'])
async def test_a_signature_that_covers_nothing_or_too_little_is_invalid_input(world: World, covered: str) -> None:
    """F01: the covered list is empty, holds only signature-key, or all but signature-key."""
    request = world.agent().sign("GET", f"{API}/a")
    changed = with_header(request, "signature-input", f"sig=({covered});created={NOW}")
    await refused(world, changed, "invalid_input")


async def test_a_required_component_counts_only_bare(world: World) -> None:
    request = world.agent().sign("GET", f"{API}/a")
    value = (request.header("signature-input") or "").replace('"signature-key"', '"signature-key";bs')
    await refused(world, with_header(request, "signature-input", value), "invalid_input")


@pytest.mark.parametrize("name", ["content-digest", "content-type"])
async def test_a_body_whose_digest_or_type_is_not_covered_is_invalid_input(world: World, name: str) -> None:
    """F13; §11.3.3.1."""
    request = world.agent().sign("POST", f"{API}/a", body=b"{}", drop=[name])
    failure = await refused(world, request, "invalid_input")
    assert failure.required_input is not None and name in failure.required_input


async def test_a_query_that_is_not_covered_is_invalid_input_with_query_in_required_input(world: World) -> None:
    """F08: house rule; §11.3.3.1 lets a server ask for more."""
    failure = await refused(world, world.agent().sign("GET", f"{API}/a?x=1", drop=["@query"]), "invalid_input")
    assert failure.required_input is not None and "@query" in failure.required_input
    await world.verify(
        world.agent().sign("GET", f"{API}/a?x=1", drop=["@query"]), Accepts(("jwt",), AGENT_TYPES, query=False)
    )


async def test_a_query_added_to_a_request_that_had_none_is_refused(world: World) -> None:
    """F08."""
    await refused(world, with_target(world.agent().sign("GET", f"{API}/a"), "/a?admin=1"), "invalid_input")


async def test_a_session_token_must_be_covered(world: World) -> None:
    """F47; §6.3."""
    signer = world.agent()
    await world.verify(signer.sign("GET", f"{API}/a", headers=[("authorization", "AAuth abc")]))
    request = signer.sign("GET", f"{API}/a", headers=[("authorization", "AAuth abc")], drop=["authorization"])
    failure = await refused(world, request, "invalid_input")
    assert failure.required_input is not None and "authorization" in failure.required_input


# --- step 3: time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        "",
        ";created=1.5",
        ';created="1"',
        f";created={NOW};expires={NOW}",
        ";created=?1",
        f";created={NOW};created={NOW}",
        f";created={NOW};expires=1.5",
    ],
)
async def test_created_missing_or_no_integer_or_doubled_and_expires_past(world: World, params: str) -> None:
    """F02; §11.3.3.2, §11.3.4 step 3, §11.3.4.2."""
    request = world.agent().sign("GET", f"{API}/a")
    inner = (request.header("signature-input") or "").split(")")[0] + ")"
    await refused(world, with_header(request, "signature-input", inner + params), "invalid_signature")


async def test_an_expired_signature_is_refused_and_an_unexpired_one_is_not(world: World) -> None:
    """F02; §11.3.4.2: `expires` is honoured."""
    await world.verify(world.agent().sign("GET", f"{API}/a", expires=NOW + 5))
    await refused(world, world.agent().sign("GET", f"{API}/a", expires=NOW - 1), "invalid_signature")


async def test_created_behind_the_window_is_stale_and_ahead_of_it_is_skew(world: World) -> None:
    """§11.3.4 step 3."""
    for offset in (-60, 60):
        await world.verify(world.agent().sign("GET", f"{API}/a", now=NOW + offset))
    await refused(world, world.agent().sign("GET", f"{API}/a", now=NOW - 61), "invalid_signature")
    await refused(world, world.agent().sign("GET", f"{API}/a", now=NOW + 61), "clock_skew")


# --- step 4: schemes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["hwk", "jwks_uri", "jkt-jwt", "x509", "self-jwt", "cached", "made-up"])
async def test_a_scheme_that_is_not_named_is_unsupported_and_nothing_is_fetched(world: World, scheme: str) -> None:
    """F16; §11.3.4 step 4, §11.3.4.1."""
    failure = await refused(
        world,
        sign("GET", f"{API}/a", world.key, f'sig={scheme};id="https://evil.example";kid="k"'),
        "unsupported_scheme",
    )
    assert failure.answer().header("accept-signature-scheme") == "jwt"


async def test_an_inline_key_must_verify_like_any_other(world: World) -> None:
    """F16; §11.3.4 step 7."""
    forged = sign("GET", f"{API}/a", new_key(), hwk_header(world.key.public))
    await refused(world, forged, "invalid_signature", ALL_SCHEMES)


async def test_a_second_label_and_a_label_of_any_name_are_fine(world: World) -> None:
    """F09; RFC 9651 §3.2; Signature-Keys §3."""
    request = sign(
        "GET", f"{API}/a", world.key, world.agent().signature_key.replace("sig=", "sig-1=", 1), label="sig-1"
    )
    noisy = request
    for name, value in (
        ("signature-input", 'other=("@method");created=1'),
        ("signature", "other=:AAAA:"),
        ("signature-key", 'other=made-up;x="y"'),
    ):
        noisy = with_header(noisy, name, f"{value}, {request.header(name)}")
    # The signature covers signature-key as a whole, so the signer must have written that member itself.
    await refused(world, noisy, "invalid_signature")
    both = world.agent().signature_key.replace("sig=", "sig-1=", 1) + ', other=made-up;x="y"'
    signed = sign("GET", f"{API}/a", world.key, both, label="sig-1")
    for name, value in (("signature-input", 'other=("@method");created=1'), ("signature", "other=:AAAA:")):
        signed = with_header(signed, name, f"{value}, {signed.header(name)}")
    assert isinstance((await world.verify(signed)).caller, Agent)


async def test_the_key_comes_from_the_member_with_the_labels_own_name(world: World) -> None:
    """F09: no such member is invalid_signature."""
    request = sign("GET", f"{API}/a", world.key, world.agent().signature_key, label="other")
    await refused(world, request, "invalid_signature")
