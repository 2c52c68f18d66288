"""The short way in and the walk give one verdict, and the short way out writes what the long one writes."""

from __future__ import annotations

import dataclasses
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aauthkit.outbound import Credential, sign_outgoing
from aauthkit.protocol.components import ComponentError
from aauthkit.protocol.httpsig import SignatureSyntaxError, parse_signature_input, sign_request, signature_base
from aauthkit.protocol.messages import Answer, SignedRequest
from aauthkit.protocol.plain_form import read_plain
from aauthkit.protocol.problems import WireError
from aauthkit.verification import Accepts, KeyNeeded, Verifier
from tests.plugins.signing import NOW, Issuer, Signer, new_key
from tests.plugins.verifying import ACCEPTS, AGENT_TYPES, API, World

KEY = new_key()
ES256 = new_key("ES256")
PROVIDER = Issuer("https://agents.example")
PERSON_SERVER = Issuer("https://ps.example")
STRANGER = Issuer("https://stranger.example")
FORGER = Issuer("https://ps.example")


class Reference(Verifier):
    """Walks every step in full, whatever the form of the request."""

    def _verify_plain(self, *_: Any) -> None:
        return None


def two_doors() -> tuple[Verifier, Verifier]:
    """The verifier, and the same one that takes no short way."""
    doors = []
    for kind in (Verifier, Reference):
        world = World(is_revoked=lambda _iss, jti: jti == "withdrawn")
        for issuer, dwk in ((PROVIDER, "aauth-agent.json"), (PERSON_SERVER, "aauth-person.json")):
            world.verifier.discovery.serve_locally(issuer.iss, dwk, issuer.jwks)
        world.verifier.__class__ = kind
        doors.append(world.verifier)
    return doors[0], doors[1]


def verdict(door: Verifier, request: SignedRequest, accepts: Accepts) -> object:
    """All that can be told of an outcome: who was let in and how, or what was answered and why."""
    try:
        verified = door.verify_now(request, accepts)
    except WireError as refusal:
        return type(refusal), refusal.detail, refusal.answer(), getattr(refusal, "evidence", None)
    except KeyNeeded as need:
        return need.name, need.failed
    return verified.caller, verified.key, verified.covered, verified.created, verified.base


def tokens() -> dict[str, Signer]:
    """One signer of each kind, good and bad; a token's issuer is known, unknown, or lying."""
    return {
        "agent": Signer.token(KEY, PROVIDER.agent_token(KEY.public)),
        "person": Signer.token(KEY, PERSON_SERVER.person_token(KEY.public, API)),
        "grant": Signer.token(KEY, PERSON_SERVER.auth_token(KEY.public, API, "orders.read")),
        "of another key": Signer.token(KEY, PROVIDER.agent_token(new_key().public)),
        "on ES256": Signer.token(ES256, PROVIDER.agent_token(ES256.public)),
        "elsewhere": Signer.token(KEY, PERSON_SERVER.auth_token(KEY.public, "https://other.example", "orders.read")),
        "ended": Signer.token(KEY, PROVIDER.agent_token(KEY.public, now=NOW - 4000)),
        "ahead": Signer.token(KEY, PROVIDER.agent_token(KEY.public, now=NOW + 30)),
        "far ahead": Signer.token(KEY, PROVIDER.agent_token(KEY.public, now=NOW + 90)),
        "not yet": Signer.token(KEY, PROVIDER.agent_token(KEY.public, nbf=NOW + 5)),
        "withdrawn": Signer.token(KEY, PROVIDER.agent_token(KEY.public, jti="withdrawn")),
        "resource": Signer.token(
            KEY, PROVIDER.resource_token(aud=API, sub="x", presented_jti="y", agent_jkt=KEY.public.thumbprint)
        ),
        "of a stranger": Signer.token(KEY, STRANGER.person_token(KEY.public, API)),
        "forged": Signer.token(KEY, FORGER.auth_token(KEY.public, API, "orders.read")),
        "no token": Signer(KEY, 'sig=jwt;jwt="not.a.token"'),
        "bare": Signer.bare(KEY),
    }


SIGNERS = tokens()
FIELDS = ("signature", "signature-input", "signature-key")
PLAIN = '"@method" "@authority" "@path" "signature-key"'


def resigned(request: SignedRequest, signature_input: str, *, literally: bool) -> SignedRequest:
    """The request with this `Signature-Input`, signed by what it says where it says something.

    `literally`: over its parameters as they stand there, not as RFC 9421 §2.5 has them written anew.
    """
    headers = tuple((n, v) for n, v in request.headers if n not in ("signature", "signature-input"))
    changed = dataclasses.replace(request, headers=(*headers, ("signature-input", signature_input)))
    try:
        ((label, entry),) = parse_signature_input([signature_input]).items()
        base = signature_base(changed, entry)
        if literally:
            base = base.replace(entry.text.encode(), signature_input.partition("=")[2].encode())
        signature = KEY.sign(base)
    except (SignatureSyntaxError, ComponentError, ValueError, UnicodeEncodeError):
        label, signature = "sig", bytes(64)
    return changed.with_headers([("signature", f"{label}=:{b64encode(signature).decode()}:")])


def a_request(signer: str, label: str, method: str, target: str, **knobs: Any) -> SignedRequest:
    """A request to the API, signed under this label."""
    known = SIGNERS[signer]
    relabelled = Signer(known.key, known.signature_key.replace("sig=", f"{label}=", 1))
    return relabelled.sign(method, f"{API}{target}", label=label, **knobs).as_signed(API)


requests = st.builds(
    a_request,
    signer=st.sampled_from(sorted(SIGNERS)),
    label=st.sampled_from(["sig", "sig", "s*-_.1"]),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    target=st.sampled_from(["/", "/a", "/a?b=c", "/a?", "/%7Ea/", "/a%20b"]),
    body=st.sampled_from([b"", b"{}"]),
    headers=st.sampled_from(
        [(), (("authorization", "AAuth abc"),), (("x-one", "1"), ("x-two", " 2\t"), ("x-one", "3"))]
    ),
    now=st.sampled_from([NOW, NOW, NOW, NOW - 60, NOW + 60, NOW - 61, NOW + 61]),
    nonce=st.sampled_from([None, "n", "a b~!", 'quo"te', "back\\slash"]),
)

odd_inputs = st.sampled_from(
    [
        f"sig=({PLAIN});created={NOW}",
        f"sig=({PLAIN});created=0{NOW}",
        f"sig=({PLAIN});created=00{NOW}",
        f'sig=({PLAIN});nonce="n";created={NOW}',
        f"sig=({PLAIN});created={NOW};expires={NOW + 1}",
        f"sig=({PLAIN});created={NOW};expires={NOW}",
        f'sig=({PLAIN});created={NOW};keyid="{KEY.public.thumbprint}"',
        f'sig=({PLAIN});created={NOW};keyid="another"',
        f'sig=({PLAIN});created={NOW};nonce="n";tag="t"',
        f"sig=({PLAIN});created={NOW};nonce=n",
        f"sig=({PLAIN} );created={NOW}",
        f"sig=({PLAIN.replace(' ', '  ')});created={NOW}",
        f"sig=({PLAIN}) ;created={NOW}",
        f"sig=({PLAIN}); created={NOW}",
        f"sig=({PLAIN});created={NOW} ",
        f"  sig=({PLAIN});created={NOW}",
        f'sig=({PLAIN} "@path");created={NOW}',
        f'sig=({PLAIN} "host");created={NOW}',
        f'sig=({PLAIN} "host";sf);created={NOW}',
        f'sig=({PLAIN} "host";bs);created={NOW}',
        f'sig=({PLAIN} "Host");created={NOW}',
        f'sig=({PLAIN} "absent");created={NOW}',
        f'sig=({PLAIN} "@query-param";name="b");created={NOW}',
        f'sig=({PLAIN} "@query" "@scheme" "@target-uri" "@request-target");created={NOW}',
        f'sig=({PLAIN} "@status");created={NOW}',
        f'sig=("signature-key" "@path" "@authority" "@method");created={NOW}',
        f'sig=("@method" "@path" "signature-key");created={NOW}',
        f"sig=({PLAIN})",
        f"sig=();created={NOW}",
        f"sig=({PLAIN});created={NOW}, other=({PLAIN});created={NOW}",
        f"other=({PLAIN});created={NOW}",
        f'sig=({PLAIN});created={NOW};nonce="{"n" * 3000}"',
    ]
)
edits = st.tuples(
    st.sampled_from(FIELDS),
    st.floats(0, 1),
    st.sampled_from(["drop", "add", "change", "twice", "away", "again"]),
    st.sampled_from([*' \t"\\,;=:()*?aA0+-_/.%', "\n", "\x7f", "é", ";x", ', sig=("a")']),
)


def edited(request: SignedRequest, edit: tuple[str, float, str, str]) -> SignedRequest:
    """One of the three fields with one fault: a character less, more or another, or the whole field twice or gone."""
    name, where, how, text = edit
    headers = []
    for field, value in request.headers:
        if field != name:
            headers.append((field, value))
            continue
        at = int(where * len(value))
        until = at if how == "add" else at + 1
        if how in ("drop", "add", "change"):
            headers.append((field, value[:at] + ("" if how == "drop" else text) + value[until:]))
        elif how == "twice":
            headers.append((field, f"{value}, {value}"))
        elif how == "again":
            headers += [(field, value), (field, value)]
    return dataclasses.replace(request, headers=tuple(headers))


ENDPOINTS = st.sampled_from(
    [
        ACCEPTS,
        ACCEPTS,
        Accepts(("jwt",), frozenset({"aa-auth+jwt"})),
        Accepts(("hwk",), AGENT_TYPES),
        Accepts(("jwt", "hwk"), AGENT_TYPES, body=False, query=False),
        Accepts(("jwt",), AGENT_TYPES, components=("host", "@method")),
    ]
)


def one_verdict(request: SignedRequest, accepts: Accepts) -> None:
    """Cold, then with the token known from another endpoint, then once more: each time the same from both doors."""
    short, walk = two_doors()
    for endpoint in (accepts, ACCEPTS, accepts):
        assert verdict(short, request, endpoint) == verdict(walk, request, endpoint)


@settings(max_examples=300)
@given(requests, ENDPOINTS)
def test_whatever_is_signed_gets_one_verdict_from_the_short_way_and_the_walk(
    request: SignedRequest, accepts: Accepts
) -> None:
    one_verdict(request, accepts)


@settings(max_examples=300)
@given(requests, odd_inputs, st.booleans(), ENDPOINTS)
def test_a_good_signature_in_an_odd_form_gets_one_verdict(
    request: SignedRequest, signature_input: str, literally: bool, accepts: Accepts
) -> None:
    one_verdict(resigned(request, signature_input, literally=literally), accepts)


@settings(max_examples=600)
@given(requests, st.lists(edits, min_size=1, max_size=3), ENDPOINTS)
def test_whatever_is_altered_gets_one_verdict(
    request: SignedRequest, changes: list[tuple[str, float, str, str]], accepts: Accepts
) -> None:
    for change in changes:
        request = edited(request, change)
    one_verdict(request, accepts)


@settings(max_examples=200)
@given(requests, st.sampled_from(["method", "authority", "target"]), st.sampled_from(["X", "/a?b=d", "é", "a\nb", ""]))
def test_a_request_moved_elsewhere_gets_one_verdict(request: SignedRequest, what: str, value: str) -> None:
    one_verdict(dataclasses.replace(request, **{what: value}), ACCEPTS)


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=300), st.sampled_from(FIELDS))
def test_any_text_in_a_signature_field_gets_one_verdict(text: str, field: str) -> None:
    request = SIGNERS["grant"].sign("GET", f"{API}/a").as_signed(API)
    headers = tuple((n, text if n == field else v) for n, v in request.headers)
    one_verdict(dataclasses.replace(request, headers=headers), ACCEPTS)


# --- what is in plain form, so that these properties are not about nothing ---------------------------------------


@pytest.mark.parametrize("signer", ["agent", "person", "grant", "on ES256"])
@pytest.mark.parametrize("target", ["/", "/a?b=c"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_what_this_house_signs_is_in_plain_form(signer: str, target: str, body: bytes) -> None:
    request = SIGNERS[signer].sign("POST", f"{API}{target}", body=body).as_signed(API)
    plain = read_plain(request)
    assert plain is not None
    ((_, entry),) = parse_signature_input(request.values("signature-input")).items()
    assert plain.base(request) == signature_base(request, entry)
    assert plain.cover.names == entry.bare_names and plain.created == NOW


def test_a_field_that_stands_twice_is_another_form() -> None:
    request = SIGNERS["grant"].sign("GET", f"{API}/a", headers=[("x", "1"), ("x", "2")]).as_signed(API)
    assert read_plain(request) is None


@pytest.mark.parametrize("signer", ["agent", "grant", "not yet"])
@pytest.mark.parametrize("later", [3599, 3600, 5, 4, -61, -4000])
def test_a_known_token_is_looked_at_again_when_the_clock_has_moved(signer: str, later: int) -> None:
    """draft-11 §11.5.2: known before, and not valid yet, or no longer."""
    short, walk = two_doors()
    for moment in (NOW + 10, NOW + later):
        request = SIGNERS[signer].sign("GET", f"{API}/a", now=moment).as_signed(API)
        for door in (short, walk):
            door.clock = lambda: moment  # noqa: B023
        assert verdict(short, request, ACCEPTS) == verdict(walk, request, ACCEPTS)


@pytest.mark.parametrize("more", ['"host";sf', '"host";bs', '"@query-param";name="b"', '"@status"'])
def test_a_line_left_out_of_the_base_is_missed_by_both(more: str) -> None:
    """Whoever signs less than the list says gets nowhere, also where the short way could pass a component over."""
    request = SIGNERS["grant"].sign("GET", f"{API}/a?b=c").as_signed(API)
    params = f";created={NOW}"
    plain = '"@method" "@authority" "@path" "@query" "signature-key"'
    ((_, entry),) = parse_signature_input([f"sig=({plain}){params}"]).items()
    base = signature_base(request, entry).replace(f"({plain})".encode(), f"({plain} {more})".encode())
    headers = tuple((n, v) for n, v in request.headers if n not in ("signature", "signature-input"))
    short = dataclasses.replace(
        request,
        headers=(
            *headers,
            ("signature-input", f"sig=({plain} {more}){params}"),
            ("signature", f"sig=:{b64encode(KEY.sign(base)).decode()}:"),
        ),
    )
    one_verdict(short, ACCEPTS)
    assert isinstance(verdict(two_doors()[0], short, ACCEPTS)[2], Answer)  # type: ignore[index]


# --- signing ----------------------------------------------------------------------------------------------------


# What is plain stands here many times, so that most of what is made is plain but for one thing.
values = st.sampled_from([*["1"] * 8, "", " 2 ", "a\tb", "é", "a\r\n b", "a\nb", "%s%%"])
outgoing = st.builds(
    SignedRequest,
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["https", "http"]),
    st.sampled_from(["api.example", "API.example:443", "api.example:8443"]),
    st.sampled_from(["/", "", "/a", "/a?b", "/a?", "/é"]),
    st.lists(
        st.tuples(
            st.sampled_from(["host", "content-type", "content-digest", "authorization", "x-%s", "signature-key"]),
            values,
        ),
        max_size=4,
    ).map(tuple),
)


def signed(call: Any) -> object:
    try:
        return call()
    except ComponentError as error:
        return str(error)


@settings(max_examples=400)
@given(
    outgoing,
    st.sampled_from([b"", b"{}"]),
    st.sampled_from([None, *["n"] * 6, "", 'quo"te', "back\\slash", "é", "a b"]),
    st.lists(st.sampled_from(["@method", "@query", "x-%s", "host", "@scheme", "@status", "A", "signature-key"])),
    st.sampled_from([*[NOW] * 8, 0, -5, 10**15]),
    st.sampled_from([*[SIGNERS["grant"].signature_key] * 8, "sig=hwk", " sig=hwk", "sig=é", ""]),
)
def test_the_short_way_of_signing_writes_what_the_long_one_writes(
    request: SignedRequest, body: bytes, nonce: str | None, more: list[str], now: int, signature_key: str
) -> None:
    """Ed25519 is deterministic, so that every byte of the fields can be compared."""
    quick = Credential(KEY, signature_key)
    slow = Credential(KEY, signature_key)
    object.__setattr__(slow, "plain", False)

    def sign(credential: Credential) -> object:
        return signed(lambda: sign_outgoing(request, credential, now=now, body=body, nonce=nonce, components=more))

    assert sign(quick) == sign(slow)


def test_signing_names_each_component_once_and_in_one_order() -> None:
    request = SignedRequest("GET", "https", "api.example", "/a", (("host", "api.example"),))
    fields = sign_outgoing(
        request, Credential(KEY, "sig=hwk"), now=NOW, components=["host", "@path", "host", "signature-key"]
    )
    long = sign_request(
        request,
        KEY,
        signature_key="sig=hwk",
        components=["@method", "@authority", "@path", "host"],
        created=NOW,
    )
    assert fields == long
