"""What `aauthkit inspect` says: what a thing is, whose it is, whether it would verify, and what is wrong with it."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.discovery import Discovery
from aauthkit.egress import Egress
from aauthkit.inspection import Inspector, Report, plain, relative
from aauthkit.protocol.httpsig import content_digest
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.signature_key import hwk_header, jkt_jwt_header, jwks_uri_header, jwt_header
from aauthkit.protocol.tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from tests.plugins.signing import NOW, Issuer, new_key
from tests.plugins.tls import Clock, Internet, Reply, json_reply

pytestmark = pytest.mark.anyio

API = "https://api.example"
PROVIDER = Issuer("https://agents.example")
PS = Issuer("https://ps.example")
RESOURCE = Issuer(API)
KEY = new_key()


class NoNetwork:
    """An Http that must not be used."""

    egress = Egress()

    async def send(self, method: str, url: str, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"fetched {url}")


def online() -> Inspector:
    """An inspector that knows the keys of all three issuers and reaches nobody else."""
    discovery = Discovery(NoNetwork(), clock=lambda: NOW)  # type: ignore[arg-type]
    for issuer, dwk in ((PROVIDER, AGENT_DWK), (PS, PERSON_DWK), (RESOURCE, RESOURCE_DWK)):
        discovery.serve_locally(issuer.iss, dwk, issuer.jwks)
    return Inspector(discovery=discovery, clock=lambda: NOW)


def offline() -> Inspector:
    return Inspector(clock=lambda: NOW)


def agent_token(**claims: Any) -> str:
    return PROVIDER.agent_token(KEY.public, **claims)


def facts(report: Report) -> dict[str, str]:
    return dict(report.facts)


def failed(report: Report) -> list[str]:
    return [check.text for check in report.checks if check.ok is False]


async def fault(text: str) -> str:
    """The one thing that is wrong with it."""
    report = await online().inspect(text)
    assert report.verdict is False
    (only,) = failed(report)
    return only


# Tokens.


TOKENS: dict[str, tuple[Callable[..., str], str]] = {
    "agent token": (agent_token, "§5.3"),
    "person token": (lambda **more: PS.person_token(KEY.public, API, **more), "§7.1.1"),
    "auth token": (lambda **more: PS.auth_token(KEY.public, API, "orders.read", **more), "§9.4"),
    "resource token": (
        lambda **more: RESOURCE.resource_token(
            aud=PS.iss, sub="p-1", presented_jti="j", agent_jkt=KEY.kid, account="shop", **more
        ),
        "§6.7",
    ),
}


@pytest.mark.parametrize("name", TOKENS)
async def test_each_token_is_recognised_and_verified(name: str) -> None:
    make, section = TOKENS[name]
    raw = make()
    report = await online().inspect(f"\n {raw} ")
    assert report.title.startswith(f"{name} (aa-")
    assert section in report.title
    assert report.verdict is True
    found = facts(report)
    assert found["iss"] == {"agent token": PROVIDER.iss, "resource token": API}.get(name, PS.iss)
    assert found["iat"].endswith("(0 s ago)")
    assert found["exp"].endswith("(in 5 min)" if name == "resource token" else "(in 60 min)")
    if name != "resource token":
        assert found["bound to key"] == f"Ed25519 {KEY.kid}"
    assert raw not in repr(report)  # the signature, without which it is no token
    assert raw.rpartition(".")[2] not in json.dumps(report.as_json())


@pytest.mark.parametrize("name", TOKENS)
async def test_offline_everything_but_the_signature_is_judged(name: str) -> None:
    report = await offline().inspect(TOKENS[name][0]())
    assert report.verdict is None
    assert [check.text for check in report.checks if check.ok is None] == [
        f"the signature of {facts(report)['iss']} was not checked: offline"
    ]
    assert failed(report) == []


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"now": NOW - 7200}, "expired_jwt"),
        ({"now": NOW + 120}, "clock_skew"),
        ({"exp": NOW + 90_000}, "invalid_jwt"),
        ({"nbf": NOW + 60}, "invalid_jwt"),
        ({"sub": "aauth:ceo@bank.example"}, "another domain"),
        ({"dwk": "aauth-person.json"}, "dwk"),
        ({"cnf": None}, "cnf"),
        ({"jti": None}, "jti"),
        ({"header": {"kid": None}}, "kid"),
    ],
)
async def test_what_a_verifier_would_refuse_is_named_with_its_code(claims: dict[str, Any], said: str) -> None:
    assert said in await fault(agent_token(**claims))


async def test_a_key_that_cannot_be_used_is_named_with_its_code() -> None:
    """F11: `alg: EdDSA`."""
    jwk = {**KEY.public.jwk, "alg": "EdDSA"}
    report = await online().inspect(agent_token(cnf={"jwk": jwk}))
    assert all("unsupported_algorithm" in text for text in failed(report))
    assert len(failed(report)) == 2


async def test_a_forged_signature_and_an_unknown_key_are_told_apart() -> None:
    forger = Issuer(PROVIDER.iss)
    assert "kid" in await fault(forger.agent_token(KEY.public))
    named = forger.agent_token(KEY.public, header={"kid": PROVIDER.key.kid})
    assert "does not verify" in await fault(named)


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "EdDSA"}, {"alg": "ES256"}])
async def test_a_header_that_names_another_algorithm_does_not_verify(header: dict[str, str]) -> None:
    """F10."""
    assert "alg" in await fault(agent_token(header=header))


async def test_an_issuer_out_of_reach_leaves_the_verdict_open(
    internet: Internet, discover: Callable[..., Discovery], clock: Clock
) -> None:
    inspector = Inspector(discovery=discover(), clock=clock)
    report = await inspector.inspect(PROVIDER.agent_token(KEY.public, now=int(clock())))
    assert report.verdict is None
    assert "cannot be had" in report.checks[-1].text


async def test_a_token_of_no_type_of_this_protocol() -> None:
    report = await online().inspect(PROVIDER.mint("at+jwt", {"iss": "https://idp.example", "exp": NOW + 60}))
    assert report.title.startswith("a JWT of no type of this protocol (at+jwt)")
    assert report.verdict is False
    assert facts(report)["iss"] == "https://idp.example"


async def test_a_delegation() -> None:
    """Signature-Keys §3.5."""
    durable = new_key()

    async def told(iat: int, exp: int) -> Report:
        value = jkt_jwt_header(durable, KEY.public, iat=iat, exp=exp)
        (token,) = (await offline().inspect(f"Signature-Key: {value}")).inside
        return token

    good = await told(NOW, NOW + 60)
    assert good.title == "key delegation (jkt-s256+jwt), Signature-Keys §3.5"
    assert good.verdict is True
    assert durable.kid in good.checks[0].text
    assert "expired_jwt" in failed(await told(NOW - 60, NOW))[0]
    raw = jkt_jwt_header(durable, KEY.public, iat=NOW, exp=NOW + 60).split('"')[1]
    head, claims, signature = raw.split(".")
    assert (await offline().inspect(f"{head}.{claims}.{signature[:-4]}AAAA")).verdict is False


@pytest.mark.parametrize("text", ["a.b.c", "..", "eyJ.eyJ.x", "e30.e30.", "x" * 20_000 + ".y.z", "é.é.é"])
async def test_what_only_looks_like_a_token_is_none(text: str) -> None:
    assert (await online().inspect(text)).verdict is False


# Header fields.


async def header(text: str, inspector: Inspector | None = None) -> Report:
    report = await (inspector or online()).inspect(text)
    assert report.kind == "header"
    return report


GOOD_INPUT = f'sig=("@method" "@authority" "@path" "signature-key");created={NOW}'


@pytest.mark.parametrize(
    "text",
    [
        f"Signature-Input: {GOOD_INPUT}",
        f"signature-input:{GOOD_INPUT}",
        f"Signature: sig=:{'A' * 86}==:",
        f"Signature-Key: {jwt_header(agent_token())}",
        f"Signature-Key: {hwk_header(KEY.public)}",
        f"Signature-Key: {jwks_uri_header(PS.iss, PERSON_DWK, 'k')}",
        "AAuth-Requirement: requirement=approval",
        'AAuth-Requirement: requirement=interaction;url="https://ps.example/i";code="A1B2-C3D4"',
        "Signature-Error: error=invalid_key",
        'Signature-Error: error=invalid_input, required_input=("@method" "@query")',
        f"Content-Digest: {content_digest(b'')}",
        "Accept-Signature-Scheme: jwt, hwk",
        "Accept-Signature-Alg: Ed25519",
        "AAuth-Capabilities: interaction, payment",
        "AAuth-Access: abc.def-_~+/==",
        "Authorization: AAuth abc",
    ],
)
async def test_a_header_in_order(text: str) -> None:
    report = await header(text)
    assert report.verdict is True, failed(report)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('Signature-Input: sig=("@method");created=1', "invalid_input"),
        (f'Signature-Input: sig=("@method" "@authority" "@path" "signature-key");created={NOW - 61}', "60 s window"),
        (f'Signature-Input: sig=("@method" "@authority" "@path" "signature-key");created={NOW + 61}', "clock_skew"),
        ('Signature-Input: sig=("@method" "@authority" "@path" "signature-key")', "created is missing"),
        ('Signature-Input: sig=("@method" "@authority" "@path" "signature-key");created="1"', "created is missing"),
        ("Signature-Input: sig=(", "invalid_signature"),
        (f"Signature-Input: {GOOD_INPUT}, {GOOD_INPUT}", "invalid_signature"),
        ("Signature: sig=:AAAA:", "64 bytes"),
        ("Signature: sig=:__--:", "base64url"),
        ("Signature-Key: sig=hwk;kty=OKP", "no kty"),
        ('Signature-Key: sig=hwk;kty="OKP";crv="Ed25519";x="AA";alg="Ed25519"', "invalid_key"),
        ('Signature-Key: sig=jwks_uri;id="https://ps.example/";dwk="d";kid="k"', "server identifier"),
        ("Signature-Key: sig=x509;x5t=:AA==:", "unsupported_scheme"),
        ("Signature-Key: sig=jwt", "invalid_jwt"),
        ("Signature-Key: =", "invalid_signature"),
        ("AAuth-Requirement: requirement=auth-token", "resource-token"),
        ("AAuth-Requirement: requirement=dance", "not a requirement"),
        ("AAuth-Requirement: x=y", "names no requirement"),
        ("Signature-Error: error=bad_hair", "not a registered code"),
        ("AAuth-Capabilities: (", ""),
        ("Authorization: Bearer x", "scheme is not AAuth"),
        ("Authorization: AAuth a b", "token68"),
    ],
)
async def test_what_is_wrong_with_a_header_is_named(text: str, said: str) -> None:
    report = await header(text)
    assert report.verdict is False
    assert said in " ".join(failed(report))


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Signature-Key"])
async def test_a_header_without_a_member_is_not_called_valid(name: str) -> None:
    assert (await header(f"{name}:")).verdict is not True


async def test_a_token_within_a_header_is_inspected_as_well() -> None:
    report = await header(f"Signature-Key: {jwt_header(agent_token(now=NOW - 7200))}")
    (token,) = report.inside
    assert token.title.startswith("agent token")
    assert report.verdict is False
    challenge = RESOURCE.resource_token(aud=PS.iss, sub="p", presented_jti="j", agent_jkt=KEY.kid)
    report = await header(f'AAuth-Requirement: requirement=auth-token;resource-token="{challenge}"')
    assert report.inside[0].title.startswith("resource token")
    assert report.verdict is True


async def test_an_algorithm_in_a_signature_is_called_ignored() -> None:
    report = await header(f'Signature-Input: {GOOD_INPUT};alg="none"')
    assert report.verdict is None
    assert "alg is ignored" in report.checks[-1].text


# Documents.


def metadata(**members: Any) -> str:
    return json.dumps({"issuer": PS.iss, "jwks_uri": f"{PS.iss}/jwks.json", **members})


PERSON_ENDPOINTS = {"person_token_endpoint": f"{PS.iss}/person", "auth_token_endpoint": f"{PS.iss}/token"}


@pytest.mark.parametrize(
    ("members", "title"),
    [
        (PERSON_ENDPOINTS, "a person server"),
        ({"auth_token_endpoint": f"{PS.iss}/token"}, "an access server"),
        ({"callback_endpoint": f"{PS.iss}/callback"}, "an agent provider"),
        ({"access_mode": "auth-token", "scope_descriptions": {"a": "b"}}, "a resource"),
    ],
)
async def test_a_metadata_document_is_told_by_its_members(members: dict[str, Any], title: str) -> None:
    report = await offline().inspect(metadata(**members))
    assert report.title == f"metadata of {title} (§11.2)"
    assert report.verdict is True
    assert facts(report)["jwks_uri"] == f"{PS.iss}/jwks.json"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"issuer": "https://PS.example"}, "server identifier"),
        ({"issuer": None}, "server identifier"),
        ({"jwks_uri": "http://ps.example/jwks"}, "https"),
        ({"person_token_endpoint": "https://ps.example/p?x"}, "query"),
        ({"person_token_endpoint": 5}, "URL"),
    ],
)
async def test_what_is_wrong_with_a_document_is_named(members: dict[str, Any], said: str) -> None:
    report = await offline().inspect(metadata(**{**PERSON_ENDPOINTS, **members}))
    assert report.verdict is False
    assert said in " ".join(failed(report))


async def test_a_loopback_document_is_in_form_where_the_profile_lists_it() -> None:
    origin = "http://ps.localhost:8702"
    text = json.dumps({"issuer": origin, "jwks_uri": f"{origin}/jwks"})
    assert (await offline().inspect(text)).verdict is False
    inspector = Inspector(loopback=LoopbackProfile(frozenset({origin})), clock=lambda: NOW)
    assert (await inspector.inspect(text)).verdict is True


async def test_a_key_set_names_each_key_and_what_is_wrong_with_it() -> None:
    good, other = KEY.public.jwk, new_key("ES256").public.jwk
    bad = [
        {**good, "alg": "EdDSA"},
        {name: value for name, value in other.items() if name != "kid"},
        good,
        KEY.to_jwk(),
        "x",
    ]
    report = await offline().inspect(json.dumps({"keys": [good, other, *bad]}))
    assert [check.ok for check in report.checks] == [True, True, *[False] * 5]
    assert KEY.kid in report.checks[0].text
    assert ["unsupported_algorithm" in text for text in failed(report)] == [True, False, False, False, False]
    assert (await offline().inspect(json.dumps(good))).verdict is True
    for empty in ({"keys": []}, {"keys": "x"}, {"keys": None}):
        assert (await offline().inspect(json.dumps(empty))).verdict is False


@pytest.mark.parametrize("wrap", [lambda jwk: jwk, lambda jwk: {"keys": [jwk]}, lambda jwk: {"a": [{"jwk": jwk}]}])
async def test_f87_a_private_key_is_called_one_and_not_shown(wrap: Callable[[Any], Any]) -> None:
    """F87."""
    key = SigningKey.generate(lambda size: b"\x07" * size)
    report = await offline().inspect(json.dumps(wrap(key.to_jwk())))
    assert report.verdict is False
    assert "private" in " ".join(failed(report))
    assert key.to_jwk()["d"] not in json.dumps(report.as_json())


@pytest.mark.parametrize("text", ["{", "{}", '{"a": 1, "a": 2}', "{" * 1000, '{"keys": NaN}', '{"issuer": ["x"]}'])
async def test_a_document_that_is_none_is_refused(text: str) -> None:
    assert (await offline().inspect(text)).verdict is False


# Servers.


async def test_a_server_is_asked_for_its_documents(
    internet: Internet, discover: Callable[..., Discovery], clock: Clock
) -> None:
    server = await internet.issuer("ps.example", PERSON_DWK)
    inspector = Inspector(discovery=discover(), clock=clock)
    for text in (server.iss, f"{server.iss}/.well-known/{PERSON_DWK}"):
        report = await inspector.inspect(text)
        assert report.verdict is True
        assert [inner.title for inner in report.inside] == ["metadata of a person server (§11.2)"]


async def test_a_document_is_what_it_was_asked_for_as(
    internet: Internet, discover: Callable[..., Discovery], clock: Clock
) -> None:
    """An agent provider's metadata may hold nothing that tells it from a resource's."""
    server = await internet.issuer("agents.example", AGENT_DWK)
    report = await Inspector(discovery=discover(), clock=clock).inspect(server.iss)
    assert [inner.title for inner in report.inside] == ["metadata of an agent provider (§11.2)"]


async def test_a_server_that_lies_or_has_no_such_document_is_told(
    internet: Internet, discover: Callable[..., Discovery], clock: Clock
) -> None:
    server = await internet.issuer("ps.example", PERSON_DWK)
    server.metadata["issuer"] = "https://evil.example"
    await internet.serve("empty.example", lambda _: json_reply({}, status=404))
    await internet.serve("broken.example", lambda _: Reply(status=500))
    inspector = Inspector(discovery=discover(), clock=clock)
    assert "issuer_mismatch" in failed(await inspector.inspect(f"{server.iss}/.well-known/{PERSON_DWK}"))[0]
    assert "none of the four" in failed(await inspector.inspect("https://empty.example"))[0]
    report = await inspector.inspect(f"https://empty.example/.well-known/{ACCESS_DWK}")
    assert report.verdict is False
    assert (await inspector.inspect("https://broken.example")).verdict is None


@pytest.mark.parametrize(
    "text",
    [
        "https://PS.example",
        "https://ps.example/",
        "https://ps.example:8443",
        "http://ps.example",
        "http://169.254.169.254",
        "https://127.0.0.1",
        "https://user@ps.example",
        "https://ps.example/x/.well-known/aauth-person.json",
    ],
)
async def test_a_url_that_is_no_identifier_is_not_fetched(text: str) -> None:
    assert "not a server identifier" in await fault(text)


async def test_a_document_of_another_name_is_not_fetched() -> None:
    assert "no metadata document of that name" in await fault("https://ps.example/.well-known/openid-configuration")


async def test_offline_a_server_is_not_asked() -> None:
    report = await offline().inspect("https://ps.example")
    assert (report.verdict, report.checks[0].ok) == (None, None)


# Anything.


@pytest.mark.parametrize("text", ["", " ", "hello", "X-Foo: bar", ": x", "Bearer x.y", "1.2"])
async def test_what_is_not_recognised_says_what_can_be_given(text: str) -> None:
    report = await offline().inspect(text)
    assert report.kind == "unknown"
    assert "give a token" in failed(report)[0]


NAMES = st.sampled_from(["Signature", "Signature-Input", "Signature-Key", "AAuth-Requirement", "Signature-Error",
                         "Content-Digest", "AAuth-Capabilities", "AAuth-Access", "Authorization", "x"])  # fmt: skip
VALUES = st.text("=():;,\"'?* \\-_@" + string.ascii_lowercase + string.digits, max_size=40) | st.text(max_size=40)
KEYS = st.sampled_from(["typ", "alg", "kid", "cnf", "jwk", "iss", "iat", "exp", "keys", "kty", "issuer", "jwks_uri"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


async def never_fails(text: str) -> None:
    report = await offline().inspect(text)
    assert report.verdict in (True, False, None)
    assert plain(json.dumps(report.as_json(), ensure_ascii=False)) == json.dumps(report.as_json(), ensure_ascii=False)


@given(st.builds("{}:{}".format, NAMES, VALUES) | st.text(max_size=60))
async def test_f91_any_text_gets_a_report(text: str) -> None:
    """F91."""
    await never_fails(text)


@given(st.dictionaries(KEYS | st.text(max_size=5), JSON, max_size=6), st.dictionaries(KEYS, JSON, max_size=6))
async def test_f91_any_json_and_any_claims_get_a_report(claims: dict[str, Any], header: dict[str, Any]) -> None:
    """F91."""
    await never_fails(json.dumps(claims))
    for typ in ("aa-agent+jwt", "jkt-s256+jwt"):
        await never_fails(PROVIDER.mint(typ, claims, header))


async def test_a_stranger_s_text_reaches_no_terminal_as_it_is() -> None:
    """Escape sequences, C1 controls and bidirectional tricks of a token are written out."""
    evil = "\x1b[2J\x9b1m\u202e\x00\n\x7f"
    raw = PROVIDER.mint(f"at{evil}+jwt", {"iss": evil, "scope": evil})
    for report in (await online().inspect(raw), await offline().inspect(f"AAuth-Access: {evil}")):
        shown = json.dumps(report.as_json(), ensure_ascii=False)
        assert not [character for character in evil if not character.isprintable() and character in shown]
    assert plain("é \\ ok\n") == "é \\ ok\\n"
    report = Report("kind", "\x1b")
    for add in (report.good, report.bad, report.open, lambda text: report.fact(text, text)):
        add("\x1b\u202e")
    assert {report.title, *(check.text for check in report.checks)} == {"\\x1b", "\\x1b\\u202e"}
    assert report.facts == [("\\x1b\\u202e", "\\x1b\\u202e")]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s ago"), (-5, "5 s ago"), (5, "in 5 s"), (119, "in 119 s"), (120, "in 2 min"), (-7200, "2 h ago"),
     (172800, "in 2 d")],
)  # fmt: skip
def test_a_difference_of_time_in_words(seconds: float, words: str) -> None:
    assert relative(seconds) == words
