"""The one way out: what a signature covers, and where a pending URL may be (draft-11 §11.3.3, §11.8.2, §13.2).

How a pending URL is followed to its end stands in `test_outbound_following`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.outbound import (
    Credential,
    OutboundError,
    PendingElsewhere,
    read_pending,
    request_target,
    sign_outgoing,
)
from aauthkit.protocol.components import ComponentError
from aauthkit.protocol.headers import interaction_required
from aauthkit.protocol.httpsig import check_content_digest, parse_signature_input
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer, SignedRequest
from aauthkit.protocol.signature_key import JwksUriKey, JwtKey, parse_signature_key, read_member
from tests.plugins.signing import NOW, new_key
from tests.unit.outgoing import CREDENTIAL, DONE, KEY, PENDING_URL, PS, TOKEN_URL, World, pending

pytestmark = pytest.mark.anyio

# What is signed.


def covered_of(headers: Iterable[tuple[str, str]]) -> list[str]:
    text = next(value for name, value in headers if name == "signature-input")
    (entry,) = parse_signature_input([text]).values()
    return [str(item).strip('"') for item in entry.components]


async def test_a_call_covers_the_base_components_and_nothing_that_is_not_there() -> None:
    """draft-11 §11.3.3.1."""
    world = World(DONE)
    assert await world.outbound.call("GET", f"{PS}/pending/p1", CREDENTIAL) == DONE
    (sent,) = world.http.sent
    covered, params = sent.verified(KEY.public)
    assert covered == ["@method", "@authority", "@path", "signature-key"]
    assert params["created"] == NOW
    assert {name for name, _ in sent.headers} == {"signature-key", "signature-input", "signature"}
    assert "alg" not in params
    assert "keyid" not in params  # §11.3.3.2
    (member,) = parse_signature_key([sent.value("signature-key") or ""]).values()
    assert isinstance(read_member(member), JwtKey)


async def test_f08_a_query_is_covered() -> None:
    """F08."""
    world = World(DONE, DONE)
    for url in (f"{PS}/x?a=1&b=%2F;c", f"{PS}/x?"):
        await world.outbound.call("GET", url, CREDENTIAL)
        covered, _ = world.http.sent[-1].verified(KEY.public)
        assert covered == ["@method", "@authority", "@path", "@query", "signature-key"]


async def test_f13_a_body_goes_with_its_digest_and_type_covered() -> None:
    """F13; draft-11 §11.3.3.1."""
    world = World(DONE)
    await world.outbound.call("POST", TOKEN_URL, CREDENTIAL, json_body={"justification": "für dich"})
    (sent,) = world.http.sent
    covered, _ = sent.verified(KEY.public)
    assert covered == ["@method", "@authority", "@path", "content-digest", "content-type", "signature-key"]
    assert sent.value("content-type") == "application/json"
    check_content_digest([sent.value("content-digest") or ""], sent.body)
    assert json.loads(sent.body) == {"justification": "für dich"}


async def test_an_empty_object_is_a_body_and_no_body_is_none() -> None:
    world = World(DONE, DONE)
    await world.outbound.call("POST", TOKEN_URL, CREDENTIAL, json_body={})
    await world.outbound.call("POST", TOKEN_URL, CREDENTIAL)
    assert [sent.body for sent in world.http.sent] == [b"{}", b""]
    assert "content-digest" in covered_of(world.http.sent[0].headers)
    assert world.http.sent[1].value("content-digest") is None


async def test_f47_a_session_token_is_covered() -> None:
    """F47; draft-11 §6.3."""
    world = World(DONE)
    await world.outbound.call("GET", f"{PS}/x", CREDENTIAL, headers=[("authorization", "AAuth abc")])
    covered, _ = world.http.sent[0].verified(KEY.public)
    assert covered == ["@method", "@authority", "@path", "authorization", "signature-key"]


def test_further_components_are_covered_once() -> None:
    """draft-11 §11.2.4 additional_signature_components; §11.3.4 required_input."""
    request = SignedRequest("GET", "https", "api.example", "/x", (("x-trace", "1"),))
    wanted = ["x-trace", "@path", "signature-key", "x-trace", "@query"]
    fields = sign_outgoing(request, CREDENTIAL, now=NOW, components=wanted)
    assert covered_of(fields) == ["@method", "@authority", "@path", "x-trace", "@query", "signature-key"]


def test_a_digest_that_is_there_already_is_covered_as_it_is() -> None:
    request = SignedRequest("POST", "https", "api.example", "/x", (("content-digest", "sha-512=:AA==:"),))
    fields = sign_outgoing(request, CREDENTIAL, now=NOW, body=b"x")
    assert [name for name, _ in fields] == ["signature-key", "signature-input", "signature"]
    assert "content-digest" in covered_of(fields)


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
async def test_a_server_signs_in_its_own_name(alg: Any) -> None:
    """draft-11 §11.3.2."""
    world, key = World(DONE), new_key(alg)
    await world.outbound.call("POST", TOKEN_URL, Credential.from_server(key, "https://as.example", "aauth-access.json"))
    (sent,) = world.http.sent
    sent.verified(key.public)
    (member,) = parse_signature_key([sent.value("signature-key") or ""]).values()
    assert read_member(member) == JwksUriKey("https://as.example", "aauth-access.json", key.kid)


async def test_f17_every_request_has_a_nonce_of_its_own_from_the_secure_source() -> None:
    """F17, house rule: two equal requests of one second are two, also where a poll is repeated."""
    world = World(*[DONE] * 50)
    for _ in range(50):
        await world.outbound.call("POST", TOKEN_URL, CREDENTIAL, json_body={"a": 1})
    nonces = {sent.verified(KEY.public)[1]["nonce"] for sent in world.http.sent}
    assert len(nonces) == 50
    assert all(len(nonce) >= 16 for nonce in nonces)
    fixed = World(DONE, nonce=lambda: "given")
    await fixed.outbound.call("GET", TOKEN_URL, CREDENTIAL)
    assert fixed.http.sent[0].verified(KEY.public)[1]["nonce"] == "given"
    without = World(DONE, nonce=None)
    await without.outbound.call("GET", TOKEN_URL, CREDENTIAL)
    assert "nonce" not in without.http.sent[0].verified(KEY.public)[1]


@pytest.mark.parametrize(
    "knobs",
    [
        {"headers": [("authorization", "AAuth a\nb")]},
        {"headers": [("authorization", "AAuth é")]},
        {"json_body": {"n": float("nan")}},
        {"json_body": {"n": "\ud800"}},
        {"json_body": {"n": object()}},
    ],
)
async def test_f35_what_cannot_be_signed_is_not_sent(knobs: dict[str, Any]) -> None:
    """F35; draft-11 §11.3.3: the call raises."""
    world = World(DONE)
    with pytest.raises((ComponentError, ValueError, TypeError)):
        await world.outbound.call("POST", TOKEN_URL, CREDENTIAL, **knobs)
    assert world.http.sent == []


async def test_f35_a_key_that_fails_ends_the_call_before_anything_is_sent() -> None:
    """F35."""

    class Broken(SigningKey):
        def sign(self, message: bytes) -> bytes:
            raise RuntimeError("the keyring is locked")

    world = World(DONE)
    with pytest.raises(RuntimeError, match="locked"):
        await world.outbound.call("GET", TOKEN_URL, Credential(Broken("Ed25519", b"0" * 32), "sig=hwk"))
    assert world.http.sent == []

    async def renew() -> Credential:
        raise RuntimeError("the provider is down")

    with pytest.raises(RuntimeError, match="down"):
        await world.follow(pending(), credential=renew)
    assert world.http.sent == []


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://h.example", "/"),
        ("https://h.example/", "/"),
        ("https://h.example?x=1", "/?x=1"),
        ("https://h.example/a;p=1/%2F//../b?x=?&y=%20", "/a;p=1/%2F//../b?x=?&y=%20"),
        ("https://h.example/a?", "/a?"),
        ("https://h.example:8443/a#frag?x", "/a"),
        ("http://api.localhost:8700/a//b", "/a//b"),
        ("https://h.example//evil.example/x", "//evil.example/x"),
    ],
)
def test_the_target_is_signed_as_it_stands_in_the_url(url: str, target: str) -> None:
    assert request_target(url) == target


async def test_the_time_limit_grows_by_what_the_server_is_asked_to_hold() -> None:
    world = World(DONE, DONE, guarded=False)
    await world.outbound.call("GET", TOKEN_URL, CREDENTIAL, wait=45, timeout=10)
    await world.outbound.call("GET", TOKEN_URL, CREDENTIAL)
    assert [sent.value("prefer") for sent in world.http.sent] == ["wait=45", None]
    assert [sent.timeout for sent in world.http.sent] == [55, 15]
    assert world.http.guarded == [False, False]


def test_f87_neither_key_nor_token_nor_pending_url_is_shown() -> None:
    """F87, §13.2."""
    first = read_pending(pending("/pending/secret", interaction_required(f"{PS}/i", "CODE-CODE").header()), TOKEN_URL)
    shown = repr(CREDENTIAL) + repr(first)
    assert all(text not in shown for text in ("eyJ", "secret", "CODE", repr(KEY.secret)))


# Where a pending URL may be.


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/pending/p1",
        "//evil.example/pending/p1",
        "http://ps.example/pending/p1",
        "https://ps.example:8443/pending/p1",
        "https://ps.example:80/pending/p1",
        "https://ps.example@evil.example/pending/p1",
        "https://ps.example:443@evil.example/",
        "https://evil@ps.example/pending/p1",
        "https://@ps.example/pending/p1",
        "https://:@ps.example/pending/p1",
        "https://ps.example.evil.example/",
        "https://ps.example./pending/p1",
        "https://evil.example\\@ps.example/p",
        "https://evil.example#@ps.example/p",
        "https://evil.example?@ps.example/p",
        "\t//evil.example/p",
        "/\t/evil.example/p",
        "ht\ttps://evil.example/p",
        "data:text/plain,x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://[::1]/p",
        "https://[::1/p",
        "https://ps.example\uff0f@evil.example/",
        "https://ps.example\u2100.example/",
    ],
)
async def test_f37_a_location_on_another_origin_ends_the_call_and_nothing_goes_there(location: str) -> None:
    """F37; draft-11 §11.8.2, §13.2: neither at the first 202 nor at a later one."""
    for first, answers in ((pending(location), []), (pending(), [pending(location)])):
        world = World(*answers)
        with pytest.raises(OutboundError):
            await world.follow(first)
        assert all(urlsplit(url).netloc == "ps.example" for url in world.polled)
        assert len(world.polled) == len(answers)


def test_a_location_elsewhere_is_told_from_one_that_is_no_url() -> None:
    with pytest.raises(PendingElsewhere):
        read_pending(pending("https://evil.example/"), TOKEN_URL)
    with pytest.raises(OutboundError) as caught:
        read_pending(pending("https://[::1"), TOKEN_URL)
    assert not isinstance(caught.value, PendingElsewhere)
    with pytest.raises(OutboundError, match="without Location"):
        read_pending(pending(None), TOKEN_URL)


@pytest.mark.parametrize(
    ("location", "absolute"),
    [
        ("/pending/p1", PENDING_URL),
        ("pending/p1", PENDING_URL),
        ("https://ps.example/pending/p1", PENDING_URL),
        ("https://PS.example/pending/p1", "https://PS.example/pending/p1"),
        ("https://ps.example:443/pending/p1", "https://ps.example:443/pending/p1"),
        ("/pending/p1?x=1", f"{PENDING_URL}?x=1"),
        ("/pending/p1#part", PENDING_URL),
        ("?p=1", f"{TOKEN_URL}?p=1"),
        ("/pending//p1;x=%2F..", f"{PS}/pending//p1;x=%2F.."),
        ("/\\evil.example/x", f"{PS}/\\evil.example/x"),
        ("/@evil.example/x", f"{PS}/@evil.example/x"),
    ],
)
def test_a_location_on_this_origin_is_resolved_against_it(location: str, absolute: str) -> None:
    assert read_pending(pending(location), TOKEN_URL).location == absolute


@given(st.text("/\\:@.?#;%[]\t pshtvl1", max_size=24) | st.text(max_size=40))
def test_whatever_a_location_holds_nothing_but_this_origin_comes_out(location: str) -> None:
    try:
        found = read_pending(pending(location), TOKEN_URL).location
    except OutboundError:
        return
    parts = urlsplit(found)
    assert (parts.scheme, parts.netloc.lower().removesuffix(":443")) == ("https", "ps.example")


@pytest.mark.parametrize("value", ["requirement", "requirement=", "requirement=interaction;url=", '="x"', "?1", "é"])
async def test_a_requirement_that_is_malformed_ends_the_call(value: str) -> None:
    world = World()
    with pytest.raises(OutboundError, match="AAuth-Requirement"):
        await world.follow(pending("/pending/p1", ("aauth-requirement", value)))
    assert world.polled == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"status": 5}', b'{"status": "brewing"}'])
def test_a_status_that_is_not_known_is_pending(body: bytes) -> None:
    """draft-11 §11.8.2."""
    answer = Answer(202, (("location", "/p"),), body)
    found = read_pending(answer, TOKEN_URL)
    assert found.status in {"pending", "brewing"}
    assert found.retry_after == 5
