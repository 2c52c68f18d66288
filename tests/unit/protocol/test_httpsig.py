"""Signature-Input and Signature read, the base built, requests signed: draft-11 §11.3.3, RFC 9421 §2 to §4."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.components import Component, ComponentError, component
from aauthkit.protocol.httpsig import (
    BASE_COMPONENTS,
    BODY_COMPONENTS,
    MAX_COMPONENTS,
    MAX_LABELS,
    SignatureInput,
    SignatureSyntaxError,
    content_digest,
    known_mistake,
    parse_signature_input,
    parse_signatures,
    sign_request,
    signature_base,
    signature_key_value,
)
from aauthkit.protocol.jose import BadSignature, SigningKey
from aauthkit.protocol.messages import SignedRequest
from tests.unit.protocol.specimens import AGENT_KEY, KEYS, NOW, OTHER_KEY

BODY = b'{"order": 7}'
POST = SignedRequest(
    "POST",
    "https",
    "api.example",
    "/orders;draft=1?urgent=yes",
    (("content-type", "application/json"), ("content-digest", content_digest(BODY))),
)
COVERED = (*BASE_COMPONENTS, "@query", *BODY_COMPONENTS)


def signed(
    request: SignedRequest = POST, key: SigningKey = AGENT_KEY, components: Any = COVERED, **parameters: Any
) -> SignedRequest:
    fields = sign_request(
        request, key, signature_key='sig=jwt;jwt="a.b.c"', components=components, created=NOW, **parameters
    )
    return request.with_headers(fields)


def verify(request: SignedRequest, key: SigningKey = AGENT_KEY, *, label: str = "sig", **options: Any) -> None:
    entry = parse_signature_input(request.values("signature-input"))[label]
    signature = parse_signatures(request.values("signature"), **options)[label]
    key.public.verify(signature_base(request, entry), signature)


def only(value: str) -> SignatureInput:
    [entry] = parse_signature_input([value]).values()
    return entry


# Signing


@pytest.mark.parametrize("alg", KEYS)
def test_a_signed_request_verifies_under_its_key_and_no_other(alg: Literal["Ed25519", "ES256"]) -> None:
    request = signed(key=KEYS[alg])
    verify(request, KEYS[alg])
    other = OTHER_KEY if alg == "Ed25519" else SigningKey("ES256", bytes([7] * 32))
    with pytest.raises(BadSignature):
        verify(request, other)


def test_the_three_fields_are_written_in_this_form() -> None:
    """draft-11 §11.3.3: no `alg`, no `keyid`; `signature-key` is always covered."""
    fields = dict(
        sign_request(
            POST,
            AGENT_KEY,
            signature_key="sig=hwk",
            components=BASE_COMPONENTS[:3],
            created=NOW,
            nonce="n",
            expires=NOW + 60,
        )
    )
    assert list(fields) == ["signature-key", "signature-input", "signature"]
    assert fields["signature-key"] == "sig=hwk"
    expected = f'sig=("@method" "@authority" "@path" "signature-key");created={NOW};expires={NOW + 60};nonce="n"'
    assert fields["signature-input"] == expected


@pytest.mark.parametrize("alg", KEYS)
def test_f03_a_signature_is_written_as_standard_base64_with_padding(alg: Literal["Ed25519", "ES256"]) -> None:
    """F03, F04: 64 bytes, whose base64 always ends in `==`."""
    for number in range(40):
        [value] = signed(key=KEYS[alg], nonce=str(number)).values("signature")
        assert value.startswith("sig=:")
        assert value.endswith("==:")
        assert not {"-", "_"} & set(value)
        assert len(base64.b64decode(value[5:-1], validate=True)) == 64


def test_a_component_named_twice_is_covered_once() -> None:
    """RFC 9421 §2: a resource may ask for components that are covered anyway."""
    request = signed(components=["@method", "@method", "signature-key", component("@method"), "@path"])
    [text] = request.values("signature-input")
    assert text.startswith('sig=("@method" "signature-key" "@path");')
    verify(request)


def test_what_cannot_be_signed_raises() -> None:
    """draft-11 §11.3.3: the caller gets an error and no fields to send (what F35 stands on)."""
    for item in ("x-missing", "@status", "X-Upper", "\n", component("content-digest", req=True)):
        with pytest.raises(ComponentError):
            signed(components=["@method", item])
    with pytest.raises(ComponentError):
        signed(nonce="not ascii: \u00e9")


def test_components_with_parameters_are_signed_and_verified() -> None:
    items = [
        "@method",
        component("content-digest", sf=True),
        component("content-type", bs=True),
        component("content-digest", key="sha-256"),
        component("@query-param", name="urgent"),
    ]
    request = signed(components=items)
    verify(request)
    assert '"@query-param";name="urgent"' in request.values("signature-input")[0]


# A request that was changed after it was signed

CHANGES = {
    "method": {"method": "PUT"},
    "F05: path parameter": {"target": "/orders;draft=0?urgent=yes"},
    "path": {"target": "/orders?urgent=yes"},
    "percent-encoding": {"target": "/%6Frders;draft=1?urgent=yes"},
    "dot segment": {"target": "/./orders;draft=1?urgent=yes"},
    "doubled slash": {"target": "//orders;draft=1?urgent=yes"},
    "query changed": {"target": "/orders;draft=1?urgent=no"},
    "query added": {"target": "/orders;draft=1?urgent=yes&all=1"},
    "query removed": {"target": "/orders;draft=1"},
    "host": {"authority": "evil.example"},
    "port": {"authority": "api.example:8443"},
}


@pytest.mark.parametrize("alg", KEYS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_request_does_not_verify(alg: Literal["Ed25519", "ES256"], change: dict[str, str]) -> None:
    request = signed(key=KEYS[alg])
    with pytest.raises(BadSignature):
        verify(replace(request, **change), KEYS[alg])


@pytest.mark.parametrize("name", ["content-type", "content-digest", "signature-key"])
def test_a_changed_added_or_removed_covered_field_does_not_verify(name: str) -> None:
    request = signed()
    others = tuple(field for field in request.headers if field[0] != name)
    for headers in ((*others, (name, "a=1")), (*request.headers, (name, "b=1"))):
        with pytest.raises(BadSignature):
            verify(replace(request, headers=headers))
    with pytest.raises(ComponentError):
        verify(replace(request, headers=others))


def test_f06_a_request_signed_for_an_upper_case_host_with_default_port_is_the_same_request() -> None:
    """F06."""
    request = signed(replace(POST, authority="API.Example:443"))
    verify(replace(request, authority="api.example"))


# Signature-Input

INPUTS_REFUSED = {
    "empty list member": "sig=1",
    "a string": 'sig="@method"',
    "a token inside": "sig=(@method)",
    "a token name": "sig=(method)",
    "an integer name": "sig=(1)",
    "a byte sequence name": "sig=(:bWV0aG9k:)",
    "twice the same component": 'sig=("@method" "@method");created=1',
    "twice the same with parameters": 'sig=("x";sf "x";sf);created=1',
    "twice the same in another order": 'sig=("x";sf;key="a" "x";key="a";sf);created=1',
    "a parameter of a component twice": 'sig=("x";sf;sf);created=1',
    "F02: created twice": 'sig=("@method");created=1;created=2',
    "a label twice": 'sig=("@method");created=1, sig=("@path");created=1',
    "no dictionary": '("@method");created=1',
    "a trailing comma": 'sig=("@method");created=1,',
    "unclosed": 'sig=("@method"',
    "not ascii": 'sig=("caf\u00e9")',
    "too many components": "sig=(" + " ".join(f'"x{n}"' for n in range(MAX_COMPONENTS + 1)) + ")",
    "too many labels": ", ".join(f's{n}=("@method")' for n in range(MAX_LABELS + 1)),
    "over-long": f'sig=("@method");nonce="{"n" * 33_000}"',
}


@pytest.mark.parametrize("value", INPUTS_REFUSED.values(), ids=INPUTS_REFUSED)
def test_a_signature_input_that_is_not_in_form_is_refused(value: str) -> None:
    with pytest.raises(SignatureSyntaxError, match="Signature-Input"):
        parse_signature_input([value])


def test_a_label_twice_is_refused_across_lines_as_well() -> None:
    with pytest.raises(SignatureSyntaxError, match="stands twice"):
        parse_signature_input(['sig=("@method")', 'sig=("@path")'])


@pytest.mark.parametrize("label", ["sig", "sig-1", "sig_b.2", "*", "a", "x-1.2*3"])
def test_f09_any_key_of_a_dictionary_is_a_label(label: str) -> None:
    """F09; RFC 9651 §3.2."""
    request = signed(label=label)
    assert list(parse_signature_input(request.values("signature-input"))) == [label]
    verify(request, label=label)


def test_an_empty_list_of_components_is_syntax_and_covers_nothing() -> None:
    """Refused by coverage (F01), not by the parser: RFC 9421 B.2.1 has one."""
    entry = only("sig=();created=1")
    assert entry.components == ()
    assert entry.bare_names == frozenset()


def test_a_component_with_parameters_does_not_count_as_covered() -> None:
    entry = only('sig=("@method" "content-type";bs "content-digest";sf "content-digest";key="sha-256");created=1')
    assert entry.bare_names == {"@method"}


@pytest.mark.parametrize("value", ["1.0", '"1"', ":AQ==:", "?1", "one", "@1"])
def test_f02_a_time_of_any_other_type_is_refused(value: str) -> None:
    """F02: `created` and `expires` are Integers."""
    entry = only(f'sig=("@method");created={value};expires={value}')
    for name in ("created", "expires"):
        with pytest.raises(SignatureSyntaxError, match="not an Integer"):
            entry.integer(name)


@pytest.mark.parametrize("value", ["1", "token", ":AQ==:", "?1", "1.5", '%"n"'])
def test_a_nonce_or_keyid_of_any_other_type_is_refused(value: str) -> None:
    entry = only(f'sig=("@method");nonce={value};keyid={value}')
    for name in ("nonce", "keyid"):
        with pytest.raises(SignatureSyntaxError, match="not a String"):
            entry.text_of(name)


def test_absent_parameters_are_none_and_present_ones_are_their_values() -> None:
    entry = only(f'sig=("@method");created={NOW};keyid="k";alg="rsa-v1_5-sha256";unknown=1')
    assert (entry.integer("created"), entry.integer("expires")) == (NOW, None)
    assert (entry.text_of("keyid"), entry.text_of("nonce")) == ("k", None)


def test_f10_the_alg_parameter_chooses_nothing() -> None:
    """F10; draft-11 §11.3.3.2: it stands in the base like any parameter, and the key's own algorithm verifies."""
    entry = only(f'sig=("@method");created={NOW};alg="hmac-sha256"')
    base = signature_base(POST, entry)
    assert base.endswith(b'alg="hmac-sha256"')
    for key in KEYS.values():
        key.public.verify(base, key.sign(base))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ('sig=( "@method"   "@path" );created=1', '("@method" "@path");created=1'),
        ('sig=("@method");  created=1;  x;y=?1', '("@method");created=1;x;y'),
        ('sig=("a";sf=?1);d=1.50', '("a";sf);d=1.5'),
    ],
)
def test_the_parameters_line_is_written_strictly_whatever_white_space_came(written: str, canonical: str) -> None:
    """RFC 9421 §2.3."""
    assert only(written).text == canonical


# Signature


SIGNATURES_REFUSED = {
    "a string": 'sig="abc"',
    "a token": "sig=abc",
    "an integer": "sig=1",
    "no value": "sig",
    "a list": "sig=(:AQ==:)",
    "a parameter": "sig=:AQ==:;x=1",
    "a label twice": "sig=:AQ==:, sig=:AQ==:",
    "unclosed": "sig=:AQ==",
    "too much padding": "sig=:AQ===:",
    "padding inside": "sig=:A=Q=:",
    "an impossible length": "sig=:A:",
    "another alphabet": "sig=:A.Q=:",
    "not ascii": "sig=:\u00e9:",
    "no dictionary": ":AQ==:",
    "over-long": f"sig=:{'A' * 33_000}:",
}


@pytest.mark.parametrize("value", SIGNATURES_REFUSED.values(), ids=SIGNATURES_REFUSED)
@pytest.mark.parametrize("accept_base64url", [False, True])
def test_a_signature_that_is_not_in_form_is_refused(value: str, accept_base64url: bool) -> None:
    with pytest.raises(SignatureSyntaxError, match="Signature:"):
        parse_signatures([value], accept_base64url=accept_base64url)


def test_f03_padding_may_be_absent() -> None:
    """F03; RFC 9651 §4.2.7."""
    assert parse_signatures(["sig=:3q2+7w:"]) == parse_signatures(["sig=:3q2+7w==:"]) == {"sig": b"\xde\xad\xbe\xef"}


@pytest.mark.parametrize(
    "value", ["sig=:3q2-7w==:", "sig=:3q2-7w:", "sig=:_-8:", "a=:AQ==:, sig=:-_8=:", "sig-x_1=:-A==:"]
)
def test_f03_base64url_is_refused_by_name_and_taken_with_the_switch(value: str) -> None:
    """F03."""
    with pytest.raises(SignatureSyntaxError, match="base64url"):
        parse_signatures([value])
    standard = {label: bytes(data) for label, data in parse_signatures([value], accept_base64url=True).items()}
    assert list(standard) == [part.partition("=")[0].strip() for part in value.split(",")]
    assert all(standard.values())


def test_f03_the_bytes_are_the_same_in_either_alphabet() -> None:
    """F03: and a whole request signed so verifies with the switch only."""
    for number in range(30):
        request = signed(nonce=str(number))
        [value] = request.values("signature")
        written = value[5:-1]
        url_safe = written.replace("+", "-").replace("/", "_").rstrip("=")
        other = POST.with_headers(
            (name, f"sig=:{url_safe}:" if name == "signature" else field)
            for name, field in request.headers
            if name.startswith("signature")
        )
        verify(other, accept_base64url=True)
        if url_safe != written.rstrip("="):
            with pytest.raises(SignatureSyntaxError, match="base64url"):
                verify(other)


@given(st.dictionaries(st.sampled_from(["sig", "sig-1", "b_2"]), st.binary(min_size=1, max_size=70), min_size=1))
def test_signatures_come_back_in_either_alphabet(signatures: dict[str, bytes]) -> None:
    standard = ", ".join(f"{label}=:{base64.b64encode(data).decode()}:" for label, data in signatures.items())
    url_safe = ", ".join(f"{label}=:{base64.urlsafe_b64encode(data).decode()}:" for label, data in signatures.items())
    assert parse_signatures([standard]) == signatures
    assert parse_signatures([standard], accept_base64url=True) == signatures
    assert parse_signatures([url_safe], accept_base64url=True) == signatures


@pytest.mark.parametrize("value", ["sig=:" + "-" * 300_000, "=:" * 150_000, "sig=:" + "A-" * 150_000 + "!:"])
def test_a_hostile_signature_costs_no_more_than_its_length(value: str) -> None:
    """Quadratic work would take minutes here, and the run's own time limit ends it."""
    with pytest.raises(SignatureSyntaxError):
        parse_signatures([value])
    with pytest.raises(SignatureSyntaxError):
        parse_signatures([value], accept_base64url=True)


@given(st.text(max_size=80))
def test_no_text_makes_the_parsers_raise_anything_but_their_own_error(text: str) -> None:
    for parse in (parse_signature_input, parse_signatures):
        with contextlib.suppress(SignatureSyntaxError):
            parse([text])


MEMBERS = st.sampled_from(
    [
        "sig=",
        "(",
        ")",
        '"@method"',
        '"@query-param"',
        '"x"',
        ";sf",
        ";key=",
        '"u"',
        " ",
        ";created=1",
        ", ",
        ":",
        ";req",
    ]
)


@given(st.lists(MEMBERS, max_size=16).map("".join))
def test_whatever_parses_gives_a_base_or_a_component_error(text: str) -> None:
    try:
        entries = parse_signature_input([f"sig={text}"])
    except SignatureSyntaxError:
        return
    for entry in entries.values():
        try:
            base = signature_base(POST, entry)
        except ComponentError:
            continue
        assert base.decode("ascii").count("\n") == len(entry.components)
        assert parse_signature_input([f"sig={entry.text}"])["sig"] == SignatureInput(
            "sig", entry.components, entry.params, entry.text
        )


def test_the_value_of_signature_key_is_a_member_named_by_its_label() -> None:
    assert signature_key_value("jwt", {"jwt": "a.b.c"}) == 'sig=jwt;jwt="a.b.c"'
    assert signature_key_value("hwk", {"x": 'q"'}, "sig-2") == 'sig-2=hwk;x="q\\""'


def test_a_component_prints_as_it_stands_in_signature_input() -> None:
    assert str(Component("@query-param", (("name", "a"),))) == '"@query-param";name="a"'


# The signers who are known to be wrong


def test_the_mistake_of_a_signer_is_named_only_where_it_is_the_cause() -> None:
    """F07: `@query` without its question mark, and the query put into `@path`."""
    entry = only(f'sig=("@method" "@path" "@query");created={NOW}')
    right = signature_base(POST, entry)
    wrong = {
        "question mark": right.replace(b'"@query": ?', b'"@query": '),
        "query in it": right.replace(b'"@path": /orders;draft=1', b'"@path": /orders;draft=1?urgent=yes'),
    }
    for key in KEYS.values():
        for cause, base in wrong.items():
            signature = key.sign(base)
            with pytest.raises(BadSignature):
                key.public.verify(right, signature)
            named = known_mistake(POST, entry, key.public, signature)
            assert named is not None
            assert cause in named
        assert known_mistake(POST, entry, key.public, key.sign(b"something else")) is None
        assert known_mistake(POST, entry, key.public, b"") is None


def test_an_empty_query_without_its_question_mark_is_the_same_mistake() -> None:
    """F07; RFC 9421 §2.2.7: an absent query is a lone question mark."""
    request = replace(POST, target="/orders")
    entry = only(f'sig=("@path" "@query");created={NOW}')
    base = signature_base(request, entry).replace(b'"@query": ?', b'"@query": ')
    assert "question mark" in str(known_mistake(request, entry, AGENT_KEY.public, AGENT_KEY.sign(base)))


def test_no_mistake_is_looked_for_in_what_is_not_covered() -> None:
    request = replace(POST, target="/orders?caf\u00e9")
    entry = only(f'sig=("@method" "@path");created={NOW}')
    assert known_mistake(request, entry, AGENT_KEY.public, bytes(64)) is None
