"""Cases of `request` in which two readings of one message could differ: what one accepts, the other must too."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from .keys import KEYS, b64, compact
from .messages import BASE, NOW, Message, Signing, base, digest, parameters, with_body
from .pack import ALL_TYPES, Pack, Requests, accepted, request_input, server, unsigned
from .world import AP, API, DOCUMENTS, DWK, PS, documents, hwk, jwks_uri, presents, token

MISSING = unsigned("invalid_signature")
SCHEMES = ["jwt", "jwks_uri", "hwk", "jkt-jwt"]


def edges() -> Pack:
    pack = Pack(
        "edges", "Messages that could be read in two ways, and keys and signatures at the edge of what they may be."
    )
    requests = Requests(pack)
    _labels(pack)
    _values(requests)
    _lines(requests)
    _tokens(requests)
    _servers(requests)
    _forged(requests)
    return pack


def _sent(
    pack: Pack, id: str, title: str, message: Message, outcome: dict[str, Any], sections: str = "11.3.4, SK 3"
) -> None:
    pack.add(id, title, "request", sections, request_input(message, server(), (AP, PS)), outcome)


def _signed_as(signature_key: str, label: str = "sig") -> Message:
    """A request with this Signature-Key, signed over it under `label`."""
    keyed = Message().adding(("Signature-Key", signature_key))
    text = parameters(BASE, (("created", NOW),))
    made = base64.b64encode(KEYS["agent-1"].sign(base(keyed, BASE, text))).decode()
    return keyed.adding(("Signature-Input", f"{label}={text}"), ("Signature", f"{label}=:{made}:"))


def _labels(pack: Pack) -> None:
    _labels_1(pack)
    _labels_2(pack)


def _labels_1(pack: Pack) -> None:
    shown = presents(token("agent"))
    other = _signed_as(f"sic={shown}")
    _sent(
        pack,
        "edge-key-label",
        "Signature-Key has another label of the same length, and the signature is over it",
        other,
        MISSING,
        "SK 3, SK 3.1",
    )
    plain = _signed_as(f"sig={shown}")
    value = plain.lines("signature")[0]
    _sent(
        pack,
        "edge-signature-label",
        "Signature has another label of the same length",
        plain.setting("signature", f"sic{value[3:]}"),
        MISSING,
        "SK 3",
    )
    _sent(pack, "edge-signature-open", "Signature is not closed", plain.setting("signature", f"{value[:-1]};"), MISSING)
    _sent(
        pack,
        "edge-key-open",
        "The token's String is not closed, and the signature is over it",
        _signed_as(f"sig={shown[:-1]}x"),
        MISSING,
    )
    good = accepted(level="agent")
    stray = value[:-4] + _next(value[-4]) + value[-3:]
    _sent(
        pack,
        "edge-stray-bits",
        "Stray bits at the end of the base64",
        plain.setting("signature", stray),
        good,
        "RFC 9651 4.2.7",
    )
    unpadded = value.replace("==:", ":")
    _sent(
        pack,
        "edge-unpadded",
        "base64 without its padding",
        plain.setting("signature", unpadded),
        good,
        "RFC 9651 4.2.7",
    )


def _labels_2(pack: Pack) -> None:
    shown = presents(token("agent"))
    plain = _signed_as(f"sig={shown}")
    value = plain.lines("signature")[0]
    good = accepted(level="agent")
    spaced = plain.lines("signature-input")[0].replace('" "', '"   "')
    _sent(
        pack,
        "edge-spaces",
        "Spaces between the covered components: they are signed as one",
        plain.setting("signature-input", spaced),
        good,
        "RFC 9421 2.3",
    )
    blanks = plain.setting("signature", f"  {value} ").setting(
        "signature-input", f" {plain.lines('signature-input')[0]}  "
    )
    _sent(pack, "edge-blanks", "Blanks around the fields", blanks, good, "RFC 9651 4.2")
    lower = Message(plain.method, plain.target, headers=tuple((name.lower(), each) for name, each in plain.headers))
    _sent(pack, "edge-names-lower", "Field names in lower case", lower, good, "11.3.4")
    leading = plain.setting("signature-input", plain.lines("signature-input")[0].replace(f"={NOW}", f"=0{NOW}"))
    _sent(
        pack,
        "edge-leading-zero",
        "created with a leading zero: it is signed without",
        leading,
        good,
        "RFC 9651 4.2.4, RFC 9421 2.3",
    )


def _next(symbol: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return alphabet[alphabet.index(symbol) | 1]


def _values(requests: Requests) -> None:
    _values_1(requests)
    _values_2(requests)


def _values_1(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    covered = (*BASE, "x-note")
    for id, value, outcome, stricter in (
        ("latin", "caf\xe9", MISSING, None),
        ("control", "a\x01b", MISSING, "RFC 9110 §5.5 lets a recipient keep such a character; it is not signed here"),
        ("blanks", "  a  ", None, None),
        ("tab", "\ta\t", None, None),
        ("tab-inside", "a\tb", None, None),
        ("empty", "", None, None),
        ("percent", "100%s %d %%", None, None),
        ("quote", 'say "a": b', None, None),
    ):
        message = Message(headers=(("X-Note", value),))
        values = {"x-note": "caf?"} if id == "latin" else {}
        add(
            f"edge-value-{id}",
            f"A covered field with the value {value!r}",
            "11.3.4, RFC 9421 2.1, RFC 9421 2.5",
            outcome,
            by=agent,
            message=message,
            covered=covered,
            values=values,
            stricter=stricter,
        )
    twice = [("set", "x-note", "a"), ("add", "X-Note", "b")]
    add(
        "edge-line-added",
        "A covered field got a second line",
        "11.3.4, RFC 9421 2.1",
        MISSING,
        by=agent,
        message=Message(headers=(("X-Note", "b"),)),
        covered=covered,
        changes=twice,
    )
    two = Message(headers=(("X-Note", "a"), ("X-Note", "b")))
    add(
        "edge-two-lines", "A covered field in two lines", "11.3.4, RFC 9421 2.1", by=agent, message=two, covered=covered
    )
    for name, path in (("percent", "/a%20b/%2F"), ("star", "/*"), ("double", "//a//b"), ("colon", "/a:b;c=d")):
        add(f"edge-path-{name}", f"The path {path}", "11.3.3.1, RFC 9421 2.2.6", by=agent, message=Message(target=path))
    add(
        "edge-method-lower",
        "A method in lower case is another",
        "RFC 9421 2.2.1",
        MISSING,
        by=agent,
        changes=[("method", "get")],
    )


def _values_2(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    bad = with_body(Message("POST", "/token"), b"{}").setting("content-digest", "sha-256=junk")
    add(
        "edge-digest-malformed",
        "A covered Content-Digest that is malformed",
        "11.3.3.1, RFC 9530 2",
        unsigned("invalid_signature", "invalid_request"),
        by=agent,
        message=bad,
        covered=(*BASE, "content-digest", "content-type"),
    )
    both = with_body(Message("POST", "/token"), b"{}")
    both = both.setting("content-digest", f"{digest(b'{}')}, {digest(b'[]', 'sha-512')}")
    add(
        "edge-digest-one-wrong",
        "One of two digests is another body's",
        "11.3.3.1",
        unsigned("invalid_signature", "invalid_request"),
        by=agent,
        message=both,
        covered=(*BASE, "content-digest", "content-type"),
    )


def _lines(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    two = Message(headers=(("Authorization", "AAuth abc"), ("Authorization", "AAuth def")))
    add(
        "edge-two-credentials",
        "Two credentials, both covered",
        "6.3",
        unsigned("invalid_signature", "invalid_request"),
        by=agent,
        message=two,
        covered=(*BASE, "authorization"),
    )
    odd = Message(headers=(("Authorization", "Bearer abc"), ("Authorization", "Bearer abc")))
    add(
        "edge-two-bearers",
        "Authorization twice, in another scheme",
        "6.3",
        unsigned("invalid_signature", "invalid_request"),
        by=agent,
        message=odd,
        stricter="RFC 9110 §5.3 allows one line only",
    )
    at = server(schemes=SCHEMES)
    delete = Message("DELETE")
    seen = Signing(KEYS["agent-1"], hwk("agent-1")).sign(delete)
    again = "§11.3.4.2 lets a verifier keep a replay cache; this one does, for methods that change something"
    add(
        "edge-replayed-key",
        "The same DELETE under a bare key a second time",
        "11.3.4.2",
        MISSING,
        by=hwk("agent-1"),
        message=delete,
        at=at,
        before=[{"request": seen.wire(), "time": NOW}],
        stricter=again,
    )
    other = Signing(KEYS["agent-1"], presents(agent), params=(("created", NOW), ("nonce", "a"))).sign(delete)
    add(
        "edge-nonce-differs",
        "Two DELETEs that differ by their nonce",
        "11.3.4.2",
        by=agent,
        message=delete,
        params=(("created", NOW), ("nonce", "b")),
        before=[{"request": other.wire(), "time": NOW}],
    )
    late = Signing(KEYS["agent-1"], presents(agent)).sign(delete)
    add(
        "edge-replayed-late",
        "A second time when the window has closed",
        "11.3.4, 11.3.4.2",
        MISSING,
        by=agent,
        message=delete,
        before=[{"request": late.wire(), "time": NOW}],
        time=NOW + 61,
    )


def _tokens(requests: Requests) -> None:
    add, bad = requests.add, unsigned("invalid_jwt")
    add("edge-typ-list", "typ is a list", "11.5.1", bad, by=token("agent", header={"typ": ["aa-agent+jwt"]}))
    add(
        "edge-kid-empty",
        "kid is empty",
        "11.5.1",
        unsigned("invalid_jwt", "unknown_key"),
        by=token("agent", header={"kid": ""}),
    )
    add(
        "edge-kid-long",
        "kid has 300 characters",
        "11.5.1",
        unsigned("invalid_jwt", "unknown_key"),
        by=token("agent", header={"kid": "k" * 300}),
        stricter="a bound of ours",
    )
    add(
        "edge-times-negative",
        "Times before 1970",
        "11.5.1",
        unsigned("invalid_jwt", "expired_jwt"),
        by=token("agent", iat=-3600, exp=-1),
    )
    types = server(token_types=[*ALL_TYPES, "aa-resource+jwt"])
    add(
        "edge-resource-token",
        "A resource token carries no key, whatever the server takes",
        "6.7.1, 11.5.2",
        bad,
        by=token("resource"),
        issuers=(API,),
        at=types,
    )
    add("edge-jwt-empty", "An empty token", "SK 3.8", bad, by='jwt;jwt=""')
    add("edge-jwt-spaces", "Blanks around the token", "SK 3.8", bad, by=presents(f" {token('agent').made()} "))
    add(
        "edge-scope-repeated",
        "A scope value twice",
        "9.4.1",
        accepted(level="grant", scope=["orders.read"]),
        by=token("auth", scope="orders.read orders.read"),
    )
    unserved = unsigned("unsupported_scheme", accept_signature_scheme="*")
    add(
        "edge-scheme-unserved",
        "A scheme that is configured and not implemented",
        "11.3.4, SK 3",
        unserved,
        by='x509;x5u="https://agents.example/c.pem";x5t=:AAAA:',
        at=server(schemes=["jwt", "x509"]),
    )


def _servers(requests: Requests) -> None:
    add = requests.add
    at = server(schemes=SCHEMES, documents=[DWK["person"]])
    add(
        "edge-kid-empty-server",
        "kid is empty",
        "SK 3.6",
        unsigned("invalid_key", "unknown_key"),
        by=jwks_uri(kid=""),
        key="ps-1",
        at=at,
    )
    url = f"{PS}/jwks.json"
    old = {
        **documents(PS),
        url: {**DOCUMENTS[url], "body": compact({"keys": [KEYS["ps-2"].published("ps-1")]}).decode()},
    }
    known = {"documents": old, "time": NOW - 600, "keys": [[PS, DWK["person"], "ps-1"]]}
    found = accepted(level="server", iss=PS, key=KEYS["ps-1"].thumbprint)
    add(
        "edge-server-rekeyed",
        "A server's key was replaced under its kid: one more look",
        "11.4, SK 7.2",
        found,
        by=jwks_uri(),
        key="ps-1",
        at=at,
        cached=known,
    )
    young = {**known, "time": NOW - 30}
    add(
        "edge-server-rekeyed-young",
        "The known set is half a minute old: no look",
        "11.4, SK 7.2",
        unsigned("invalid_signature", "invalid_jwt"),
        by=jwks_uri(),
        key="ps-1",
        at=at,
        cached=young,
    )


def _forged(requests: Requests) -> None:
    """Signatures that the equation of RFC 8032 holds for, and that a sound verifier refuses."""
    at = server(schemes=SCHEMES)
    order = 2**252 + 27742317777372353535851937790883648493
    key = KEYS["agent-1"]
    half = hashlib.sha512(key.secret).digest()
    scalar = int.from_bytes(half[:32], "little") & ~7 & (2**255 - 1) & ~(1 << 254) | 1 << 254
    identity = b"\x01" + bytes(31)
    public = base64.urlsafe_b64decode(key.jwk["x"] + "=")

    def field(raw: bytes) -> list[tuple[str, ...]]:
        return [("set", "signature", f"sig=:{base64.b64encode(raw).decode()}:")]

    shown = hwk("agent-1")
    over = base(Message().adding(("Signature-Key", f"sig={shown}")), BASE, parameters(BASE, (("created", NOW),)))
    k = int.from_bytes(hashlib.sha512(identity + public + over).digest(), "little")
    made = identity + (k * scalar % order).to_bytes(32, "little")
    strict = "RFC 8032 §5.1.7 lets R and A of small order pass; here they are refused"
    requests.add(
        "edge-small-r",
        "R is of small order",
        "11.3.1, SK 7.1",
        MISSING,
        by=shown,
        changes=field(made),
        at=at,
        stricter=strict,
    )
    weak = hwk("agent-1", x=b64(identity))
    anything = public + (scalar % order).to_bytes(32, "little")
    outcome = unsigned("invalid_signature", "invalid_key")
    requests.add(
        "edge-small-a",
        "The public key is of small order: one signature for every message",
        "11.3.1, SK 7.1",
        outcome,
        by=weak,
        changes=field(anything),
        at=at,
        stricter=strict,
    )
    large = ((2**255 - 19) + 1).to_bytes(32, "little")
    requests.add(
        "edge-large-a",
        "The public key is not written canonically",
        "11.3.1, SK 7.1",
        outcome,
        by=hwk("agent-1", x=b64(large)),
        changes=field(anything),
        at=at,
    )
