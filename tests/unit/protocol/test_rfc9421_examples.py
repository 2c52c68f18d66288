"""RFC 9421's own test cases (§2.4, §2.5, §4.3, B.2 to B.4): the base to the byte, Ed25519 and ES256 verified.

The keys and messages are the RFC's; an example that no request of this profile can be is named with the reason.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest

from aauthkit.protocol.components import ComponentError
from aauthkit.protocol.httpsig import SignatureInput, parse_signature_input, parse_signatures, signature_base
from aauthkit.protocol.jose import BadSignature, SigningKey, b64url_decode
from aauthkit.protocol.messages import HeaderList, SignedRequest

ED25519 = SigningKey("Ed25519", b64url_decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU"))
P256 = SigningKey("ES256", b64url_decode("UpuF81l-kOxbjf7T4mNSv0r5tN67Gim7rnf6EFpcYDs"))

OUT_OF_PROFILE = {
    "B.2.4": "a signed response; this profile signs requests only",
    "§2.4 reqres": "a signed response that covers its request (`req`)",
    "signatures of B.2.1, B.2.2, B.2.3": "rsa-pss-sha512 is not served; the bases are checked",
    "signature of B.2.5": "hmac-sha256 is symmetric and forbidden (draft-11 §11.3.1); the base is checked",
    "proxy_sig of §4.3": "rsa-v1_5-sha256 is not served; the base is checked",
}

DIGEST = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
CERTIFICATE = (
    ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0"
    "ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgm"
    "nMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm"
    "3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY2"
    "9tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1"
    "yhk=:"
)
FIELDS: HeaderList = (
    ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("content-type", "application/json"),
    ("content-digest", DIGEST),
    ("content-length", "18"),
)
TARGET = "/foo?param=Value&Pet=dog"
TEST_REQUEST = SignedRequest("POST", "https", "example.com", TARGET, FIELDS)
FORWARDED = SignedRequest(
    "POST",
    "https",
    "origin.host.internal.example",
    TARGET,
    (*FIELDS, ("forwarded", "for=192.0.2.123;host=example.com;proto=https")),
)
BEHIND_TLS = SignedRequest("POST", "https", "service.internal.example", TARGET, (("client-cert", CERTIFICATE),))


@dataclass(frozen=True)
class Example:
    """`parameters` is the member of Signature-Input; `lines` is the base but for its last line."""

    request: SignedRequest
    parameters: str
    lines: tuple[str, ...]
    key: SigningKey | None = None
    signature: str = ""


EXAMPLES = {
    "§2.5": Example(
        TEST_REQUEST,
        '("@method" "@authority" "@path" "content-digest" "content-length" "content-type")'
        ';created=1618884473;keyid="test-key-rsa-pss"',
        (
            '"@method": POST',
            '"@authority": example.com',
            '"@path": /foo',
            f'"content-digest": {DIGEST}',
            '"content-length": 18',
            '"content-type": application/json',
        ),
    ),
    "§2.4 request": Example(
        TEST_REQUEST,
        '("@method" "@authority" "@path" "@query" "content-digest" "content-type" "content-length")'
        ';created=1618884475;keyid="test-key-rsa-pss"',
        (
            '"@method": POST',
            '"@authority": example.com',
            '"@path": /foo',
            '"@query": ?param=Value&Pet=dog',
            f'"content-digest": {DIGEST}',
            '"content-type": application/json',
            '"content-length": 18',
        ),
    ),
    "§4.3 sig1": Example(
        TEST_REQUEST,
        '("@method" "@authority" "@path" "content-digest" "content-type" "content-length")'
        ';created=1618884475;keyid="test-key-ecc-p256"',
        (
            '"@method": POST',
            '"@authority": example.com',
            '"@path": /foo',
            f'"content-digest": {DIGEST}',
            '"content-type": application/json',
            '"content-length": 18',
        ),
        P256,
        "X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A==",
    ),
    "§4.3 proxy_sig": Example(
        FORWARDED,
        '("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded")'
        ';created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540',
        (
            '"@method": POST',
            '"@authority": origin.host.internal.example',
            '"@path": /foo',
            f'"content-digest": {DIGEST}',
            '"content-type": application/json',
            '"content-length": 18',
            '"forwarded": for=192.0.2.123;host=example.com;proto=https',
        ),
    ),
    "B.2.1": Example(TEST_REQUEST, '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"', ()),
    "B.2.2": Example(
        TEST_REQUEST,
        '("@authority" "content-digest" "@query-param";name="Pet")'
        ';created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
        ('"@authority": example.com', f'"content-digest": {DIGEST}', '"@query-param";name="Pet": dog'),
    ),
    "B.2.3": Example(
        TEST_REQUEST,
        '("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length")'
        ';created=1618884473;keyid="test-key-rsa-pss"',
        (
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@method": POST',
            '"@path": /foo',
            '"@query": ?param=Value&Pet=dog',
            '"@authority": example.com',
            '"content-type": application/json',
            f'"content-digest": {DIGEST}',
            '"content-length": 18',
        ),
    ),
    "B.2.5": Example(
        TEST_REQUEST,
        '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        (
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@authority": example.com',
            '"content-type": application/json',
        ),
    ),
    "B.2.6": Example(
        TEST_REQUEST,
        '("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"',
        (
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@method": POST',
            '"@path": /foo',
            '"@authority": example.com',
            '"content-type": application/json',
            '"content-length": 18',
        ),
        ED25519,
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    ),
    "B.3": Example(
        BEHIND_TLS,
        '("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256"',
        (
            '"@path": /foo',
            '"@query": ?param=Value&Pet=dog',
            '"@method": POST',
            '"@authority": service.internal.example',
            f'"client-cert": {CERTIFICATE}',
        ),
        P256,
        "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==",
    ),
}


def entry_of(example: Example) -> SignatureInput:
    return parse_signature_input([f"sig-x={example.parameters}"])["sig-x"]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_the_signature_base_is_the_rfc_s_to_the_byte(example: Example) -> None:
    expected = "\n".join([*example.lines, f'"@signature-params": {example.parameters}'])
    assert signature_base(example.request, entry_of(example)) == expected.encode("ascii")


SIGNED = {name: example for name, example in EXAMPLES.items() if example.key}


@pytest.mark.parametrize("example", SIGNED.values(), ids=SIGNED)
def test_the_rfc_s_signature_verifies(example: Example) -> None:
    signatures = parse_signatures([f"sig-x=:{example.signature}:"])
    assert example.key
    example.key.public.verify(signature_base(example.request, entry_of(example)), signatures["sig-x"])


def test_our_ed25519_signature_of_b_2_6_is_the_rfc_s_to_the_byte() -> None:
    example = EXAMPLES["B.2.6"]
    signature = ED25519.sign(signature_base(example.request, entry_of(example)))
    assert base64.b64encode(signature).decode() == example.signature


@pytest.mark.parametrize("example", SIGNED.values(), ids=SIGNED)
def test_the_rfc_s_signature_fails_over_any_other_parameters(example: Example) -> None:
    changed = example.parameters.replace("created=16", "created=17")
    entry = parse_signature_input([f"sig-x={changed}"])["sig-x"]
    assert example.key
    with pytest.raises(BadSignature):
        example.key.public.verify(signature_base(example.request, entry), base64.b64decode(example.signature))


# B.4: what an intermediary may do to a message, and what it may not

TRANSFORM = 'transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"'
TRANSFORM_SIGNATURE = (
    "transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:"
)
DATE = ("date", "Fri, 15 Jul 2022 14:24:55 GMT")
JSON, ANY = ("accept", "application/json"), ("accept", "*/*")
DEMO = "/demo?name1=Value1&Name2=value2"


def transformed(*headers: tuple[str, str], method: str = "GET", host: str = "example.org", target: str = DEMO) -> bytes:
    request = SignedRequest(method, "https", host, target, headers)
    return signature_base(request, parse_signature_input([TRANSFORM])["transform"])


STILL_VALID = {
    "as it was signed": transformed(DATE, JSON, ANY),
    "a field and a query parameter added": transformed(
        DATE, JSON, ANY, ("accept-language", "en-US,en;q=0.5"), target=f"{DEMO}&param=added"
    ),
    "Date removed, Referer added, Accept on one line": transformed(
        ("referer", "https://developer.example.org/demo"), ("accept", "application/json, */*")
    ),
    "other fields in another order": transformed(JSON, ANY, DATE),
}
NO_LONGER_VALID = {
    "method and authority changed": transformed(DATE, JSON, ANY, method="POST", host="example.com"),
    "two Accept fields in another order": transformed(DATE, ANY, JSON),
}


@pytest.mark.parametrize("base", STILL_VALID.values(), ids=STILL_VALID)
def test_b_4_a_permitted_transformation_leaves_the_signature_valid(base: bytes) -> None:
    ED25519.public.verify(base, parse_signatures([TRANSFORM_SIGNATURE])["transform"])


@pytest.mark.parametrize("base", NO_LONGER_VALID.values(), ids=NO_LONGER_VALID)
def test_b_4_a_forbidden_transformation_does_not(base: bytes) -> None:
    with pytest.raises(BadSignature):
        ED25519.public.verify(base, parse_signatures([TRANSFORM_SIGNATURE])["transform"])


# §4.3: two signatures in one message


def test_4_3_of_two_signatures_each_is_read_under_its_label() -> None:
    first, second = EXAMPLES["§4.3 sig1"], EXAMPLES["§4.3 proxy_sig"]
    inputs = parse_signature_input([f"sig1={first.parameters}, proxy_sig={second.parameters}"])
    signatures = parse_signatures([f"sig1=:{first.signature}:", f"proxy_sig=:{'AA' * 170}:"])
    assert list(inputs) == list(signatures) == ["sig1", "proxy_sig"]
    P256.public.verify(signature_base(TEST_REQUEST, inputs["sig1"]), signatures["sig1"])
    # The proxy changed the host, so that the client's signature does not hold behind it.
    with pytest.raises(BadSignature):
        P256.public.verify(signature_base(FORWARDED, inputs["sig1"]), signatures["sig1"])


@pytest.mark.parametrize("parameters", ['("@status" "content-type")', '("@method";req)', '("content-digest";req)'])
def test_what_only_a_response_can_cover_is_refused(parameters: str) -> None:
    """`OUT_OF_PROFILE` names the RFC's examples of it."""
    assert {"B.2.4", "§2.4 reqres"} <= set(OUT_OF_PROFILE)
    entry = parse_signature_input([f"sig={parameters};created=1618884473"])["sig"]
    with pytest.raises(ComponentError):
        signature_base(TEST_REQUEST, entry)
