"""The one way in: every step of draft-11 §11.3.4 refuses what it must, in the draft's words, in the draft's order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aauthkit.callers import Agent, Delegate, Grant, Person, Pseudonym, Server
from aauthkit.discovery import Discovery
from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.protocol.signature_key import hwk_header
from aauthkit.replay import ReplayCache
from aauthkit.serving import Request
from aauthkit.trust import ANY, Trust
from aauthkit.verification import Accepts, Verified, Verifier
from tests.plugins.signing import NOW, Issuer, Signer, new_key, sign, signature_twin, with_header, with_target

pytestmark = pytest.mark.anyio

API = "https://api.example"
OTHER = "https://other.example"
AGENT_TYPES = frozenset({"aa-agent+jwt", "aa-person+jwt", "aa-auth+jwt"})
ACCEPTS = Accepts(("jwt",), AGENT_TYPES)
ALL_SCHEMES = Accepts(
    ("jwt", "jwks_uri", "hwk", "jkt-jwt"), AGENT_TYPES, frozenset({"aauth-person.json", "aauth-agent.json"})
)


class NoNetwork:
    """An Http that must not be used."""

    async def send(self, method: str, url: str, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"fetched {url}")


class World:
    """One API, one provider and one person server whose keys are at hand; anybody else would have to be fetched."""

    def __init__(self, **knobs: Any) -> None:
        self.provider = Issuer("https://agents.example")
        self.person_server = Issuer("https://ps.example")
        self.now = float(NOW)
        discovery = Discovery(NoNetwork(), clock=lambda: self.now)  # type: ignore[arg-type]
        discovery.serve_locally(self.provider.iss, "aauth-agent.json", self.provider.jwks)
        discovery.serve_locally(self.person_server.iss, "aauth-person.json", self.person_server.jwks)
        trust = knobs.pop("trust", Trust(agent_providers=ANY, person_servers=ANY))
        self.verifier = Verifier(API, discovery=discovery, trust=trust, clock=lambda: self.now, **knobs)
        self.key = new_key(knobs.get("alg", "Ed25519"))

    def agent(self, **claims: Any) -> Signer:
        return Signer.token(self.key, self.provider.agent_token(self.key.public, **claims))

    def person(self, aud: str = API, **claims: Any) -> Signer:
        return Signer.token(self.key, self.person_server.person_token(self.key.public, aud, **claims))

    def grant(self, aud: str = API, scope: str = "orders.read", **claims: Any) -> Signer:
        return Signer.token(self.key, self.person_server.auth_token(self.key.public, aud, scope, **claims))

    async def verify(self, request: Request, accepts: Accepts = ACCEPTS) -> Verified:
        return await self.verifier.verify(request.as_signed(API), accepts)


@pytest.fixture
def world() -> World:
    return World()


Refused = Callable[..., Awaitable[SignatureFailure]]


async def refused(world: World, request: Request, code: str, accepts: Accepts = ACCEPTS) -> SignatureFailure:
    with pytest.raises(SignatureFailure) as caught:
        await world.verify(request, accepts)
    assert caught.value.code == code, str(caught.value)
    answer = caught.value.answer()
    assert answer.status == 401
    assert (answer.header("signature-error") or "").startswith(f"error={code}")
    return caught.value


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
    import base64

    from aauthkit.protocol.httpsig import SignatureInput, parse_signature_input, signature_base

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
    import base64

    from aauthkit.protocol.httpsig import parse_signature_input, signature_base

    request = world.agent().sign("GET", f"{API}/a?x=1")
    entry = parse_signature_input(request.values("signature-input"))["sig"]
    base = signature_base(request.as_signed(API), entry).replace(b'"@query": ?x=1', b'"@query": x=1')
    value = base64.b64encode(world.key.sign(base)).decode()
    await refused(world, with_header(request, "signature", f"sig=:{value}:"), "invalid_signature")


async def test_a_der_signature_is_refused() -> None:
    """F04; RFC 9421 §3.3, RFC 7518 §3.4."""
    import base64

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
    from aauthkit.serving import BytesBody

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
