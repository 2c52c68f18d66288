"""http-message-signatures as a second opinion: the same bases, and each verifies what the other signed."""

from __future__ import annotations

import base64
import contextlib
import datetime
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureComponentResolver,
    InvalidSignature,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ECDSA_P256_SHA256, ED25519
from http_sf.compat import Item
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.components import Component, ComponentError, component, component_value
from aauthkit.protocol.httpsig import BASE_COMPONENTS, parse_signature_input, parse_signatures, signature_base
from aauthkit.protocol.messages import SignedRequest
from tests.unit.protocol.specimens import AGENT_KEY, DEVICE_KEY, KEYS

CREATED = datetime.datetime(2021, 4, 20, 2, 7, 55, tzinfo=datetime.UTC)
THEIRS: dict[str, Any] = {
    "Ed25519": (ED25519, ed25519.Ed25519PrivateKey.from_private_bytes(AGENT_KEY.secret)),
    "ES256": (
        ECDSA_P256_SHA256,
        ec.derive_private_key(int.from_bytes(DEVICE_KEY.secret, "big"), ec.SECP256R1()),
    ),
}


@dataclass
class Message:
    """A request as that library takes it."""

    method: str
    url: str
    headers: dict[str, str]


def ours(message: Message) -> SignedRequest:
    scheme, _, rest = message.url.partition("://")
    authority, slash, target = rest.partition("/")
    return SignedRequest(
        message.method, scheme, authority, slash + target, tuple((n.lower(), v) for n, v in message.headers.items())
    )


def order() -> Message:
    headers = {
        "Content-Type": "application/json",
        "Content-Digest": "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "Signature-Key": 'sig=jwt;jwt="a.b.c"',
        "Priority": "u=1,   i",
    }
    return Message("POST", "https://api.example/orders;draft=1/%2F//x?urgent=yes&q=%20a", headers)


COVERED = (
    *BASE_COMPONENTS,
    "@query",
    "@target-uri",
    "@scheme",
    "@request-target",
    "content-type",
    "content-digest",
    '"@query-param";name="q"',
    '"priority";sf',
    '"priority";key="i"',
    '"content-type";bs',
)


def keys_of(alg: str) -> Any:
    key = THEIRS[alg][1]
    return MappingKeyResolver(public_keys={"k": key.public_key()}, private_keys={"k": key})


@pytest.mark.parametrize("alg", KEYS)
def test_we_verify_what_they_sign(alg: str) -> None:
    message = order()
    signer = HTTPMessageSigner(signature_algorithm=THEIRS[alg][0], key_resolver=keys_of(alg))
    options = {"label": "sig", "covered_component_ids": COVERED, "use_existing_digest": True}
    signer.sign(message, key_id="k", created=CREATED, nonce="n", **options)
    request = ours(message)
    entry = parse_signature_input(request.values("signature-input"))["sig"]
    signature = parse_signatures(request.values("signature"))["sig"]
    KEYS[alg].public.verify(signature_base(request, entry), signature)
    assert len(entry.components) == len(COVERED)


@pytest.mark.parametrize("alg", KEYS)
def test_they_verify_what_we_sign(alg: str) -> None:
    """With a `keyid`, which they need and we never write on our own (draft-11 §11.3.3.2)."""
    names = " ".join(name if name.startswith('"') else f'"{name}"' for name in COVERED)
    parameters = f'({names});created={int(CREATED.timestamp())};keyid="k";nonce="n"'
    message = order()
    signature = KEYS[alg].sign(signature_base(ours(message), parse_signature_input([f"sig={parameters}"])["sig"]))
    message.headers["Signature-Input"] = f"sig={parameters}"
    message.headers["Signature"] = f"sig=:{base64.b64encode(signature).decode()}:"
    verifier = HTTPMessageVerifier(signature_algorithm=THEIRS[alg][0], key_resolver=keys_of(alg))
    [result] = verifier.verify(message, max_age=None)
    assert result.nonce == "n"
    message.url += "&more=1"
    with pytest.raises(InvalidSignature):
        verifier.verify(message, max_age=None)


# Component values

ESCAPED = ["%2F", "%2f", "%20", "%7E", "//", "/./", "/../", "??"]
characters = st.sampled_from([*"abzAZ09-._~!$&'()*+,;=:@/?", *ESCAPED])
targets = st.lists(characters, max_size=12).map("".join)
hosts = st.sampled_from(["api.example", "API.Example", "api.example:443", "api.example:80", "api.example:8443"])
schemes = st.sampled_from(["https", "http"])
derived = st.sampled_from(["@method", "@authority", "@scheme", "@target-uri", "@request-target", "@path", "@query"])


@given(schemes, hosts, targets, derived)
def test_derived_components_have_the_same_value(scheme: str, host: str, target: str, name: str) -> None:
    message = Message("GET", f"{scheme}://{host}/{target}", {})
    expected = HTTPSignatureComponentResolver(message).resolve(Item(name))
    if name == "@target-uri":  # they leave the authority as it was written there; here it is the same as @authority
        authority = component_value(ours(message), component("@authority"))
        expected = f"{scheme}://{authority}/{target}"
    assert component_value(ours(message), component(name)) == expected


texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@given(texts, st.sampled_from([{}, {"sf": True}, {"bs": True}, {"key": "u"}, {"key": "u", "sf": True}]))
def test_fields_have_the_same_value_or_none_for_both(value: str, params: dict[str, Any]) -> None:
    message = Message("GET", "https://api.example/", {"priority": value})
    node = Item("priority")
    node.params.update(params)
    found: str | None = None
    expected: str | None = None
    with contextlib.suppress(ComponentError):
        found = component_value(ours(message), Component("priority", tuple(params.items())))
    with contextlib.suppress(HTTPMessageSignaturesException):
        expected = HTTPSignatureComponentResolver(message).resolve(node)
    assert found == expected


pairs = st.lists(
    st.tuples(st.text("ab~é ", min_size=1, max_size=3), st.text("xy~é +&=", max_size=4)), min_size=1, max_size=4
)


@given(pairs)
def test_query_parameters_have_the_same_value_or_none_for_both(values: list[tuple[str, str]]) -> None:
    message = Message("GET", f"https://api.example/?{urlencode(values)}", {})
    name = quote(values[0][0], safe="*").replace("~", "%7E")
    node = Item("@query-param")
    node.params["name"] = name
    found: str | None = None
    expected: str | None = None
    with contextlib.suppress(ComponentError):
        found = component_value(ours(message), component("@query-param", name=name))
    with contextlib.suppress(HTTPMessageSignaturesException):
        expected = HTTPSignatureComponentResolver(message).resolve(node)
    assert found == expected
    assert (found is None) == ([key for key, _ in values].count(values[0][0]) > 1)
