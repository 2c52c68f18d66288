"""Signature-Key: which member counts, what each scheme conveys, and every step of `jkt-jwt` (Signature-Keys §3)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.httpsig import parse_signature_input, parse_signatures
from aauthkit.protocol.jose import JoseError, KeyRejected, SigningKey, b64url_encode, parse_jwt, sign_jwt
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.protocol.signature_key import (
    SERVED_SCHEMES,
    DelegatedKey,
    HeaderKey,
    JwksUriKey,
    JwtKey,
    SchemeMember,
    check_scheme,
    hwk_header,
    jkt_jwt_header,
    jwks_uri_header,
    jwt_header,
    key_failure,
    parse_signature_key,
    read_member,
    select_label,
    verify_delegation,
)
from tests.unit.protocol.specimens import AGENT_KEY, DEVICE_KEY, KEYS, NOW, OTHER_KEY, plain

TOKEN = sign_jwt(OTHER_KEY, {"typ": "aa-agent+jwt", "kid": "k"}, {"iss": "https://agents.example"})


def member(value: str) -> SchemeMember:
    [found] = parse_signature_key([value]).values()
    return found


def failure(value: str | SchemeMember) -> SignatureFailure:
    with pytest.raises(SignatureFailure) as refused:
        read_member(member(value) if isinstance(value, str) else value)
    return refused.value


# The field


def test_every_member_that_names_a_scheme_is_kept_in_order() -> None:
    members = parse_signature_key(['b=hwk;kty="OKP", a=jwt;jwt="x"', "c=unheard-of"])
    assert {label: found.scheme for label, found in members.items()} == {"b": "hwk", "a": "jwt", "c": "unheard-of"}
    assert list(members) == ["b", "a", "c"]


def test_members_that_name_no_scheme_are_ignored() -> None:
    """Signature-Keys §3.1: what is not being verified is ignored."""
    assert list(parse_signature_key(['s="jwt", n=1, l=(jwt), b=:AQ==:, t, sig=jwt;jwt="x"'])) == ["sig"]


DUPLICATES = [
    'sig=jwt;jwt="a", sig=jwt;jwt="b"',
    'sig=jwt;jwt="a";jwt="b"',
    'sig=hwk;x="a";x="a"',
    'other;p;p, sig=jwt;jwt="a"',
]
NO_DICTIONARY = ["sig=", "=jwt", "sig=jwt;jwt=", 'sig=jwt;jwt="', "SIG=jwt", "sig=jwt,", "sig=\u00e9"]
NO_SHARED_LABEL = [("a", "a", "b=jwt"), ("a", "b", "a=jwt"), ("a", "b", "c=jwt")]
NO_TOKEN = ["sig=jwt", "sig=jwt;jwt", "sig=jwt;jwt=1", "sig=jwt;jwt=abc", 'sig=jwt;jwt=""', 'sig=jwt;jwt="a.b"']


@pytest.mark.parametrize("value", DUPLICATES)
def test_a_member_or_parameter_that_stands_twice_is_refused(value: str) -> None:
    with pytest.raises(SignatureFailure, match="stands twice") as refused:
        parse_signature_key([value])
    assert refused.value.code == "invalid_signature"


def test_a_member_that_stands_twice_in_two_lines_is_refused() -> None:
    with pytest.raises(SignatureFailure, match="stands twice"):
        parse_signature_key(['sig=jwt;jwt="a"', 'sig=jwt;jwt="b"'])


@pytest.mark.parametrize("value", NO_DICTIONARY)
def test_what_is_no_dictionary_is_invalid_signature(value: str) -> None:
    with pytest.raises(SignatureFailure) as refused:
        parse_signature_key([value])
    assert refused.value.code == "invalid_signature"


# Which signature counts (draft-11 §11.3.4 step 4)


def selected(inputs: str, signatures: str, keys: str, *accepted: str) -> str:
    return select_label(
        parse_signature_input([", ".join(f'{label}=("@method");created=1' for label in inputs)]),
        parse_signatures([", ".join(f"{label}=:AQ==:" for label in signatures)]),
        parse_signature_key([keys]),
        accepted or ("jwt",),
    )


def test_f09_the_key_comes_from_the_member_with_the_signature_s_own_label() -> None:
    """F09: not from the first member of Signature-Key."""
    assert selected("b", "b", "a=jwt, b=jwt") == "b"


@pytest.mark.parametrize(
    ("inputs", "signatures", "keys", "label"),
    [
        ("a", "a", "a=jwt", "a"),
        ("ab", "ab", "a=jwt, b=jwt", "a"),
        ("ba", "ab", "a=jwt, b=jwt", "b"),
        ("ab", "b", "a=jwt, b=jwt", "b"),
        ("ab", "ab", "b=jwt", "b"),
        ("abc", "bc", "a=jwt, c=jwt", "c"),
        ("ab", "ab", "a=x509, b=jwt", "b"),
        ("ab", "ab", "a=hwk, b=jwt", "b"),
        ("ab", "ab", "a=hwk, b=x509", "a"),
    ],
)
def test_the_first_label_that_stands_in_all_three_under_an_accepted_scheme(
    inputs: str, signatures: str, keys: str, label: str
) -> None:
    assert selected(inputs, signatures, keys) == label


@pytest.mark.parametrize(("inputs", "signatures", "keys"), NO_SHARED_LABEL)
def test_f09_without_a_label_in_all_three_there_is_no_signature(inputs: str, signatures: str, keys: str) -> None:
    """F09; Signature-Keys §3, rule 4."""
    with pytest.raises(SignatureFailure) as refused:
        selected(inputs, signatures, keys)
    assert refused.value.code == "invalid_signature"


@pytest.mark.parametrize("scheme", ["x509", "cached", "self-jwt", "jwks", "unregistered", "JWT", "jwt2", "hwk"])
def test_f16_a_scheme_that_is_not_listed_is_unsupported_and_the_answer_lists_those_that_are(scheme: str) -> None:
    """F16; draft-11 §11.3.4.1."""
    with pytest.raises(SignatureFailure) as refused:
        check_scheme(member(f"sig={scheme}"), ("jwt", "jwks_uri"))
    assert refused.value.code == "unsupported_scheme"
    assert refused.value.answer().header("accept-signature-scheme") == "jwt, jwks_uri"


def test_a_scheme_that_is_listed_but_not_served_is_unsupported_too() -> None:
    with pytest.raises(SignatureFailure) as refused:
        check_scheme(member("sig=x509"), ("jwt", "x509"))
    assert refused.value.code == "unsupported_scheme"
    for scheme in SERVED_SCHEMES:
        check_scheme(member(f"sig={scheme}"), SERVED_SCHEMES)


def test_a_scheme_that_nobody_checked_is_refused_when_it_is_read() -> None:
    assert failure("sig=x509").code == "unsupported_scheme"


# jwt (Signature-Keys §3.8)


def test_jwt_conveys_the_exact_token() -> None:
    presented = read_member(member(jwt_header(TOKEN)))
    assert isinstance(presented, JwtKey)
    assert presented.raw == TOKEN
    assert presented.jwt.claims == {"iss": "https://agents.example"}
    assert isinstance(read_member(member(f'sig=jwt;jwt="{TOKEN}";cache;unknown=1')), JwtKey)


@pytest.mark.parametrize("value", NO_TOKEN)
def test_a_jwt_that_is_missing_or_malformed_is_invalid_jwt(value: str) -> None:
    assert failure(value).code == "invalid_jwt"


def test_f87_the_token_does_not_show_in_a_repr() -> None:
    """F87."""
    assert TOKEN not in repr(member(jwt_header(TOKEN)))
    assert TOKEN not in repr(read_member(member(jwt_header(TOKEN))))


# jwks_uri (Signature-Keys §3.6)


def test_jwks_uri_conveys_who_and_where() -> None:
    header = jwks_uri_header("https://ps.example", "aauth-person.json", "key-1")
    assert header == 'sig=jwks_uri;id="https://ps.example";dwk="aauth-person.json";kid="key-1"'
    assert read_member(member(header)) == JwksUriKey("https://ps.example", "aauth-person.json", "key-1")


@pytest.mark.parametrize("missing", ["id", "dwk", "kid"])
@pytest.mark.parametrize("replacement", ["", ';{0}=""', ";{0}=1", ";{0}", ";{0}=token"])
def test_a_missing_or_ill_typed_parameter_of_jwks_uri_is_invalid_key(missing: str, replacement: str) -> None:
    values = {"id": "https://ps.example", "dwk": "aauth-person.json", "kid": "k"}
    written = "".join(f';{name}="{value}"' for name, value in values.items() if name != missing)
    assert failure(f"sig=jwks_uri{written}{replacement.format(missing)}").code == "invalid_key"


# hwk (Signature-Keys §3.4)


@pytest.mark.parametrize("alg", KEYS)
def test_hwk_conveys_the_key_itself(alg: str) -> None:
    header = hwk_header(KEYS[alg].public)
    assert "kid" not in header
    presented = read_member(member(header))
    assert isinstance(presented, HeaderKey)
    assert presented.key.same_key(KEYS[alg].public)


def hwk(**changes: str | None) -> str:
    params = {**plain(AGENT_KEY.public), **changes}
    return "sig=hwk" + "".join(f';{name}="{value}"' for name, value in params.items() if value is not None)


@pytest.mark.parametrize("kid", ['"k"', "1", "?1", "token"])
def test_hwk_with_a_kid_is_refused(kid: str) -> None:
    """Signature-Keys §3.4: it is understood and rejected, not unknown and ignored."""
    assert failure(f"{hwk()};kid={kid}").code == "invalid_key"


HWK_REFUSED = {
    "F12: no alg": (hwk(alg=None), "unsupported_algorithm"),
    "F12: alg as a token": (hwk(alg=None) + ";alg=Ed25519", "unsupported_algorithm"),
    "F11: EdDSA": (hwk(alg="EdDSA"), "unsupported_algorithm"),
    "F10: HS256": ('sig=hwk;kty="oct";k="AAAA";alg="HS256"', "unsupported_algorithm"),
    "F10: none": (hwk(alg="none"), "unsupported_algorithm"),
    "RS256": ('sig=hwk;kty="RSA";n="AAAA";e="AQAB";alg="RS256"', "unsupported_algorithm"),
    "F12: ES256 on an OKP key": (hwk(alg="ES256"), "invalid_key"),
    "F12: crv disagrees": (hwk(crv="P-256"), "invalid_key"),
    "no kty": (hwk(kty=None), "invalid_key"),
    "no x": (hwk(x=None), "invalid_key"),
    "x no string": (hwk(x=None) + ";x=:AQ==:", "invalid_key"),
    "x not base64url": (hwk(x="AA=="), "invalid_key"),
    "a private part": (hwk(d="AAAA"), "invalid_key"),
    "for encryption": (hwk(use="enc"), "invalid_key"),
    "nothing": ("sig=hwk", "invalid_key"),
}


@pytest.mark.parametrize(("value", "code"), HWK_REFUSED.values(), ids=HWK_REFUSED)
def test_f12_an_inline_key_is_subject_to_the_same_rules(value: str, code: str) -> None:
    """F10, F11, F12; Signature-Keys §3.3."""
    refused = failure(value)
    assert refused.code == code
    offered = refused.answer().header("accept-signature-alg")
    assert offered == ("Ed25519, ES256" if code == "unsupported_algorithm" else None)


# jkt-jwt (Signature-Keys §3.5)


def delegation(*, signer: SigningKey = DEVICE_KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    full_header = {"typ": "jkt-s256+jwt", "jwk": plain(DEVICE_KEY.public), **(header or {})}
    full_claims = {
        "iss": f"urn:jkt:sha-256:{DEVICE_KEY.kid}",
        "iat": NOW,
        "exp": NOW + 300,
        "cnf": {"jwk": plain(AGENT_KEY.public)},
        **claims,
    }
    kept = {name: value for name, value in full_claims.items() if value is not ...}
    return sign_jwt(signer, {name: value for name, value in full_header.items() if value is not ...}, kept)


def test_a_durable_key_delegates_to_another() -> None:
    for durable, key in ((DEVICE_KEY, AGENT_KEY), (AGENT_KEY, DEVICE_KEY), (AGENT_KEY, AGENT_KEY)):
        presented = read_member(member(jkt_jwt_header(durable, key.public, iat=NOW, exp=NOW + 300)))
        assert isinstance(presented, DelegatedKey)
        assert presented.durable.same_key(durable.public)
        assert presented.key.same_key(key.public)
        assert (presented.iat, presented.exp) == (NOW, NOW + 300)


def test_the_signature_key_drafts_form_is_read() -> None:
    """The header and claims of its example, signed; members not known are ignored."""
    presented = verify_delegation(parse_jwt(delegation(header={"kid": "x"}, jti="j", sub="ignored")))
    assert presented.durable.thumbprint == DEVICE_KEY.kid


WRONG_JKT: dict[str, tuple[str, str]] = {
    "step 1: no JWT": ("a.b", "invalid_jwt"),
    "step 2: another typ": (delegation(header={"typ": "aa-agent+jwt"}), "invalid_jwt"),
    "step 2: no typ": (delegation(header={"typ": ...}), "invalid_jwt"),
    "step 2: SHA-512 is not served": (delegation(header={"typ": "jkt-s512+jwt"}), "invalid_jwt"),
    "step 2: typ a list": (delegation(header={"typ": ["jkt-s256+jwt"]}), "invalid_jwt"),
    "step 3: the prefix of another hash": (delegation(iss=f"urn:jkt:sha-512:{DEVICE_KEY.kid}"), "invalid_jwt"),
    "step 4: no jwk": (delegation(header={"jwk": ...}), "invalid_key"),
    "step 4: jwk a string": (delegation(header={"jwk": "key"}), "invalid_key"),
    "F12: jwk without alg": (
        delegation(header={"jwk": {k: v for k, v in plain(DEVICE_KEY.public).items() if k != "alg"}}),
        "unsupported_algorithm",
    ),
    "F11: jwk says EdDSA": (
        delegation(header={"jwk": {**plain(AGENT_KEY.public), "alg": "EdDSA"}}),
        "unsupported_algorithm",
    ),
    "step 4: jwk with its private part": (delegation(header={"jwk": DEVICE_KEY.to_jwk()}), "invalid_key"),
    "step 7: the thumbprint of another key": (delegation(iss=f"urn:jkt:sha-256:{OTHER_KEY.kid}"), "invalid_jwt"),
    "step 7: no prefix": (delegation(iss=DEVICE_KEY.kid), "invalid_jwt"),
    "step 7: no iss": (delegation(iss=...), "invalid_jwt"),
    "step 7: padded": (delegation(iss=f"urn:jkt:sha-256:{DEVICE_KEY.kid}="), "invalid_jwt"),
    "step 8: signed by the key it delegates to": (delegation(signer=AGENT_KEY), "invalid_jwt"),
    "step 8: signed by a stranger": (delegation(signer=SigningKey("ES256", bytes([5] * 32))), "invalid_jwt"),
    "step 9: no iat": (delegation(iat=...), "invalid_jwt"),
    "step 9: no exp": (delegation(exp=...), "invalid_jwt"),
    "step 9: exp a string": (delegation(exp=str(NOW)), "invalid_jwt"),
    "step 9: exp a float": (delegation(exp=NOW + 0.5), "invalid_jwt"),
    "step 9: iat true": (delegation(iat=True), "invalid_jwt"),
    "step 10: no cnf": (delegation(cnf=...), "invalid_jwt"),
    "step 10: cnf a list": (delegation(cnf=[]), "invalid_jwt"),
    "step 10: cnf without jwk": (delegation(cnf={"kid": "k"}), "invalid_key"),
    "step 10: cnf with no usable key": (delegation(cnf={"jwk": {"kty": "OKP", "alg": "Ed25519"}}), "invalid_key"),
    "F12: cnf.jwk without alg": (delegation(cnf={"jwk": {"kty": "OKP", "crv": "Ed25519"}}), "unsupported_algorithm"),
}


@pytest.mark.parametrize(("jwt", "code"), WRONG_JKT.values(), ids=WRONG_JKT)
def test_each_step_of_jkt_jwt_refuses(jwt: str, code: str) -> None:
    assert failure(f'sig=jkt-jwt;jwt="{jwt}"').code == code


def test_f44_somebody_s_public_key_alone_delegates_nothing() -> None:
    """F44 stands on this: a delegation holds only with the durable key's own signature."""
    forged = sign_jwt(
        AGENT_KEY,
        {"typ": "jkt-s256+jwt", "jwk": plain(DEVICE_KEY.public)},
        parse_jwt(delegation()).claims,
    )
    assert failure(f'sig=jkt-jwt;jwt="{forged}"').code == "invalid_jwt"


def test_a_changed_delegation_is_refused() -> None:
    header, payload, signature = delegation().split(".")
    other = delegation(exp=NOW + 10**6).split(".")[1]
    assert other != payload
    assert failure(f'sig=jkt-jwt;jwt="{header}.{other}.{signature}"').code == "invalid_jwt"


def test_a_delegation_whose_header_names_another_algorithm_than_its_key_is_refused() -> None:
    """F10."""
    header, payload, _ = delegation().split(".")
    jwt = parse_jwt(delegation())
    assert jwt.header["alg"] == "ES256"
    changed = b64url_encode(str(dict(jwt.header) | {"alg": "Ed25519"}).replace("'", '"').encode())
    signature = b64url_encode(DEVICE_KEY.sign(f"{changed}.{payload}".encode()))
    assert failure(f'sig=jkt-jwt;jwt="{changed}.{payload}.{signature}"').code == "invalid_jwt"
    assert changed != header


@pytest.mark.parametrize("value", ["sig=jkt-jwt", "sig=jkt-jwt;jwt=1", 'sig=jkt-jwt;jwt=""'])
def test_jkt_jwt_without_its_token_is_invalid_jwt(value: str) -> None:
    assert failure(value).code == "invalid_jwt"


# Errors


def test_a_refused_key_becomes_the_failure_that_the_draft_names() -> None:
    """draft-11 §11.3.4 steps 5 and 6."""
    unsupported = key_failure(KeyRejected("unsupported_algorithm", "reason"))
    assert unsupported.answer().header("accept-signature-alg") == "Ed25519, ES256"
    assert key_failure(KeyRejected("invalid_key", "reason")).answer().header("accept-signature-alg") is None


SCHEMES = ["sig=", "jwt", "hwk", "jkt-jwt", "jwks_uri", ", "]
PARAMETERS = [";jwt=", ";alg=", ";kty=", ";x=", ";kid", '"OKP"', '"Ed25519"', '"a.b.c"', "1"]
parts = st.sampled_from([*SCHEMES, *PARAMETERS])
claim_values = st.recursive(st.none() | st.integers() | st.text(), st.lists)


@given(st.lists(parts, max_size=12).map("".join))
def test_no_field_raises_anything_but_a_signature_failure(value: str) -> None:
    with contextlib.suppress(SignatureFailure):
        for found in parse_signature_key([value]).values():
            with contextlib.suppress(SignatureFailure):
                read_member(found)


@given(st.dictionaries(st.sampled_from(["iss", "iat", "exp", "cnf"]), claim_values))
def test_no_claims_of_a_delegation_raise_anything_but_its_errors(claims: dict[str, Any]) -> None:
    with contextlib.suppress(JoseError):
        verify_delegation(parse_jwt(delegation(**claims)))
