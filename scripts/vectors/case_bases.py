"""Cases of `base`, `sign`, `digest` and `key`: what is signed, digested and named, bytes in and bytes out."""

from __future__ import annotations

import base64
from typing import Any

from .keys import KEYS, RSA_MODULUS, b64
from .messages import BASE, NOW, Message, base, digest, parameters
from .pack import Pack, accepted, body_text, refused

REFUSED = refused("no_base")


def bases() -> Pack:
    pack = Pack("base", "The signature base of a request (RFC 9421 §2), as §11.3.3.1 uses it.")

    def add(id: str, title: str, sections: str, message: Message, covered: str, lines: str | None, params: str = f";created={NOW}", stricter: str | None = None) -> None:
        given = {"authority": message.authority, "request": message.wire(), "signature_input": f"sig=({covered}){params}"}
        whole = f'{lines}"@signature-params": ({covered}){params}' if lines is not None else ""
        pack.add(f"base-{id}", title, "base", sections, given, accepted(base=whole) if lines is not None else REFUSED, stricter=stricter)

    get = Message("GET", "/orders?page=2&q=a%20b", headers=(("Host", "api.example"), ("X-A", " one "), ("X-B", "1"), ("X-B", "2")))
    sections = "11.3.3.1, RFC 9421 2.2"
    for name, value in (
        ("@method", "GET"),
        ("@authority", "api.example"),
        ("@scheme", "https"),
        ("@path", "/orders"),
        ("@query", "?page=2&q=a%20b"),
        ("@target-uri", "https://api.example/orders?page=2&q=a%20b"),
        ("@request-target", "/orders?page=2&q=a%20b"),
        ("x-a", "one"),
        ("x-b", "1, 2"),
    ):
        add(name.removeprefix("@"), f"{name}", sections if name[0] == "@" else "RFC 9421 2.1", get, f'"{name}"', f'"{name}": {value}\n')
    simple = Message("POST", "", authority="API.Example:443")
    add("path-empty", "An empty path is a slash", sections, simple, '"@path"', '"@path": /\n')
    add("authority-port", "The default port is left out", sections, simple, '"@authority"', '"@authority": api.example\n')
    add("authority-other-port", "Another port stays", sections, Message(authority="api.example:8443"), '"@authority"', '"@authority": api.example:8443\n')
    add("query-none", "No query is a lone question mark", "RFC 9421 2.2.7", Message(), '"@query"', '"@query": ?\n')
    add("none", "Nothing is covered", "RFC 9421 2.5", get, "", "")
    add("params-whole", "Every parameter is signed", "11.3.3.2, RFC 9421 2.3", get, '"@method"', '"@method": GET\n', f';created={NOW};expires={NOW + 60};nonce="n";tag="t"')
    add("params-order", "Parameters keep their order", "RFC 9421 2.3", get, '"@method"', '"@method": GET\n', f';nonce="n";created={NOW}')
    fold = Message(headers=(("X-A", "one\r\n  two\r\n\tthree"),))
    add("fold", "A fold is one space", "RFC 9421 2.1", fold, '"x-a"', '"x-a": one two three\n')
    add("line-break", "A line break that is no fold", "RFC 9421 7.5.5", Message(headers=(("X-A", "one\r\ntwo"),)), '"x-a"', None)
    add("field-empty", "An empty field", "RFC 9421 2.1", Message(headers=(("X-A", ""),)), '"x-a"', '"x-a": \n')
    add("field-absent", "A field that is not there", "RFC 9421 2.5", Message(), '"x-a"', None)
    add("field-latin", "A field with a byte outside ASCII", "RFC 9421 2.5", Message(headers=(("X-A", "\xe9"),)), '"x-a"', None)
    add("field-latin-bs", "The same, byte-wrapped", "RFC 9421 2.1.3", Message(headers=(("X-A", "\xe9"),)), '"x-a";bs', '"x-a";bs: :6Q==:\n')
    add("bs-lines", "Two lines, byte-wrapped", "RFC 9421 2.1.3", get, '"x-b";bs', '"x-b";bs: :MQ==:, :Mg==:\n')
    structured = Message(headers=(("Priority", " u=1,   i "), ("Example-Dict", "a=1,  b=2;x=1;y=2,  c=(a   b   c)"), ("Accept-Language", "en,  fr")))
    add("sf-dictionary", "A Dictionary, strictly written", "RFC 9421 2.1.1", structured, '"priority";sf', '"priority";sf: u=1, i\n')
    add("sf-unknown", "A type that is not known", "RFC 9421 2.1.1", structured, '"example-dict";sf', None)
    for name, value in (("a", "1"), ("b", "2;x=1;y=2"), ("c", "(a b c)")):
        add(f"key-{name}", "A member of a Dictionary", "RFC 9421 2.1.2", structured, f'"example-dict";key="{name}"', f'"example-dict";key="{name}": {value}\n')
    add("key-absent", "A member that is not there", "RFC 9421 2.1.2", structured, '"example-dict";key="z"', None)
    add("key-not-string", "A member named by a Token", "RFC 9421 2.1.2", structured, '"example-dict";key=a', None)
    add("key-of-list", "A member of a field that is a List", "RFC 9421 2.1.2", structured, '"accept-language";key="en"', None)
    add("sf-list", "A List, strictly written", "RFC 9421 2.1.1", structured, '"accept-language";sf', '"accept-language";sf: en, fr\n')
    add("sf-item", "An Item, strictly written", "RFC 9421 2.1.1", Message(headers=(("Age", " 7 "),)), '"age";sf', '"age";sf: 7\n')
    add("sf-malformed", "A Dictionary that is none", "RFC 9421 2.1.1", Message(headers=(("Priority", "u=="),)), '"priority";sf', None)
    add("bs-and-sf", "bs with sf", "RFC 9421 2.1", structured, '"priority";bs;sf', None)
    add("sf-value", "sf with a value", "RFC 9421 2.1", structured, '"priority";sf=?0', None)
    add("parameter-unknown", "A parameter that is not known", "RFC 9421 2.5", structured, '"priority";zz', None)
    add("tr", "A trailer", "RFC 9421 2.1.4", structured, '"priority";tr', None, stricter="no trailers are signed in this profile")
    add("req", "The request of a response", "RFC 9421 2.4", get, '"@method";req', None)
    add("status", "The status of a request", "RFC 9421 2.2.9", get, '"@status"', None)
    add("unknown", "A derived component that is not known", "RFC 9421 2.5", get, '"@moon"', None)
    add("upper", "A field named in capitals", "RFC 9421 2.1", get, '"X-A"', None)
    asked = Message(target="/a?x=1&y=a%20b&y2=a+b&z=&n%20m=%C3%A9&t=%7E&bad=%FF&two=1&two=2")
    for id, name, value in (
        ("plain", "x", "1"),
        ("space", "y", "a%20b"),
        ("plus", "y2", "a%20b"),
        ("empty", "z", ""),
        ("name", "n%20m", "%C3%A9"),
        ("tilde", "t", "%7E"),
    ):
        clean = Message(target=asked.target.replace("&bad=%FF", ""))
        add(f"query-param-{id}", "One parameter of the query, encoded anew", "RFC 9421 2.2.8", clean, f'"@query-param";name="{name}"', f'"@query-param";name="{name}": {value}\n')
    for id, item in (("absent", '"@query-param";name="q"'), ("twice", '"@query-param";name="two"'), ("no-name", '"@query-param"'), ("more", '"@query-param";name="x";sf')):
        add(f"query-param-{id}", "A parameter that is not one", "RFC 9421 2.2.8", Message(target="/a?x=1&two=1&two=2"), item, None)
    add("query-param-bytes", "A parameter that is no UTF-8", "RFC 9421 2.2.8", asked, '"@query-param";name="x"', None, stricter="RFC 9421 §2.2.8 decodes with replacement; then two queries had one value")
    for id, field in (("twice", '"@method" "@method"'), ("token", "@method"), ("number", "7")):
        add(f"input-{id}", "Signature-Input that is not in form", "RFC 9421 2.5, RFC 9421 4.1", get, field, None)
    _signed(pack)
    return pack


def _signed(pack: Pack) -> None:
    """Ed25519 gives the same bytes to everybody."""
    key = KEYS["agent-1"]
    shown = "hwk" + "".join(f';{name}="{value}"' for name, value in key.jwk.items())
    session = Message(headers=(("Authorization", "AAuth abc"),))
    for id, message, covered, more in (
        ("get", Message(), BASE, ()),
        ("session", session, (*BASE, "authorization"), ()),
        ("query", Message(target="/orders?page=2"), (*BASE, "@query"), (("expires", NOW + 60), ("nonce", "n-1"))),
    ):
        keyed = message.adding(("Signature-Key", f"sig={shown}"))
        params = parameters(covered, (("created", NOW), *more))
        made = base64.b64encode(key.sign(base(keyed, covered, params))).decode()
        given = {
            "authority": message.authority,
            "request": message.wire(),
            "key": "agent-1",
            "signature_key": shown,
            "label": "sig",
            "covered": list(covered),
            "created": NOW,
            **dict(more),
        }
        fields = {"signature-key": f"sig={shown}", "signature-input": f"sig={params}", "signature": f"sig=:{made}:"}
        pack.add(f"sign-{id}", "Signing a request with Ed25519", "sign", "11.3.3, 11.3.3.1, 11.3.3.2", given, accepted(fields=fields))
    for id, covered, values in (
        ("absent-field", (*BASE, "x-absent"), {}),
        ("bad-nonce", BASE, {"nonce": "\xe9"}),
        ("line-break", (*BASE, "x-note"), {}),
    ):
        message = Message(headers=(("X-Note", "a\r\nSet-Cookie: b"),)) if id == "line-break" else Message()
        given = {"authority": message.authority, "request": message.wire(), "key": "agent-1", "signature_key": shown, "label": "sig", "covered": list(covered), "created": NOW, **values}
        pack.add(f"sign-{id}", "A request that cannot be signed as it must be", "sign", "11.3.3, RFC 9421 2.5", given, refused("not_signed"))


def digests() -> Pack:
    pack = Pack("digest", "Content-Digest, and the body it speaks of (RFC 9530; §11.3.3.1).")
    body = b'{"hello": "world"}\n'
    right, longer = digest(body), digest(body, "sha-512")
    bad = refused("digest_mismatch")
    cases: list[tuple[str, str, list[str], bytes, bool]] = [
        ("sha-256", "SHA-256", [right], body, True),
        ("sha-512", "SHA-512", [longer], body, True),
        ("both", "Both", [f"{right}, {longer}"], body, True),
        ("lines", "Both, in two lines", [right, longer], body, True),
        ("empty-body", "An empty body", [digest(b"")], b"", True),
        ("other-body", "Another body", [right], body + b" ", False),
        ("one-wrong", "One of two does not match", [f"{right}, {digest(b'', 'sha-512')}"], body, False),
        ("unknown-beside", "An unknown algorithm beside a known one", [f"unixsum=:MDEy:, {right}"], body, True),
        ("unknown", "Only an unknown algorithm", ["unixsum=:MDEy:"], body, False),
        ("md5", "Only MD5", ["md5=:Sd/dVLAcvNLSq16eXua5uQ==:"], body, False),
        ("string", "A String", [f'sha-256="{right}"'], body, False),
        ("short", "Half a digest", ["sha-256=:AAAA:"], body, False),
        ("malformed", "No Dictionary", ["sha-256=:%%%:"], body, False),
        ("twice", "SHA-256 twice", [f"{right}, {right}"], body, False),
        ("none", "Empty", [""], body, False),
    ]
    for id, title, values, sent, ok in cases:
        stricter = "RFC 9651 §4.2.2 lets the last of two equal keys win; here two are refused" if id == "twice" else None
        given = {"values": values, "body": body_text(sent)}
        pack.add(f"digest-{id}", title, "digest", "11.3.3.1, RFC 9530 2", given, accepted() if ok else bad, stricter=stricter)
    return pack


def keys() -> Pack:
    pack = Pack("key", "Keys: their algorithm, their thumbprint, and how one is selected from a set (§11.3.1, §11.4, Signature-Keys §3.3).")

    def add(id: str, title: str, sections: str, given: dict[str, Any], outcome: dict[str, Any], stricter: str | None = None) -> None:
        pack.add(f"key-{id}", title, "key", sections, given, outcome, stricter=stricter)

    rfc8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "Ed25519"}
    add("rfc8037", "The key of RFC 8037 A.2 and its thumbprint of A.3", "6.7.1, RFC 8037 A.3", {"jwk": rfc8037}, accepted(alg="Ed25519", thumbprint="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"))
    rfc7515 = {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "alg": "ES256"}
    add("rfc7515", "The key of RFC 7515 A.3", "11.3.1, RFC 7515 A.3", {"jwk": rfc7515}, accepted(alg="ES256", thumbprint="oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"))
    for name in ("agent-1", "agent-es"):
        found = accepted(alg=KEYS[name].alg, thumbprint=KEYS[name].thumbprint)
        add(f"{name}", "A key of the pack", "11.3.1", {"jwk": KEYS[name].jwk}, found)
        more = {"use": "sig", "key_ops": ["verify"], "kid": "k", "x5c": ["AA"], "zz": {"a": 1}}
        add(f"{name}-whole", "Members that are not known are ignored and change no thumbprint", "SK 3.3, RFC 7638 3", {"jwk": {**KEYS[name].jwk, **more}}, found)
    ed, es = KEYS["agent-1"].bare, KEYS["agent-es"].bare
    unsupported, invalid = refused("unsupported_algorithm"), refused("invalid_key")
    cases: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("no-alg", "No alg", ed, unsupported),
        ("alg-null", "alg is null", {**ed, "alg": None}, unsupported),
        ("alg-number", "alg is a number", {**ed, "alg": 7}, unsupported),
        ("eddsa", "EdDSA", {**ed, "alg": "EdDSA"}, unsupported),
        ("none", "none", {**ed, "alg": "none"}, unsupported),
        ("hs256", "A shared secret", {"kty": "oct", "k": b64(bytes(32)), "alg": "HS256"}, unsupported),
        ("oct-ed25519", "kty oct that says Ed25519", {"kty": "oct", "k": b64(bytes(32)), "alg": "Ed25519"}, invalid),
        ("rsa", "RSA", {"kty": "RSA", "n": RSA_MODULUS.rstrip("="), "e": "AQAB", "alg": "PS256"}, unsupported),
        ("akp", "AKP", {"kty": "AKP", "pub": "AAAA", "alg": "ML-DSA-44"}, unsupported),
        ("no-kty", "No kty", {"crv": "Ed25519", "x": ed["x"], "alg": "Ed25519"}, invalid),
        ("kty-number", "kty is a number", {**ed, "kty": 7, "alg": "Ed25519"}, invalid),
        ("kty-other", "kty EC, alg Ed25519", {**ed, "kty": "EC", "alg": "Ed25519"}, invalid),
        ("crv-other", "crv Ed448, alg Ed25519", {**ed, "crv": "Ed448", "alg": "Ed25519"}, invalid),
        ("p384", "crv P-384, alg ES256", {**es, "crv": "P-384", "alg": "ES256"}, invalid),
        ("no-crv", "No crv", {"kty": "OKP", "x": ed["x"], "alg": "Ed25519"}, invalid),
        ("no-x", "No x", {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519"}, invalid),
        ("no-y", "No y", {"kty": "EC", "crv": "P-256", "x": es["x"], "alg": "ES256"}, invalid),
        ("long-x", "33 bytes", {**ed, "x": b64(b"\0" * 33), "alg": "Ed25519"}, invalid),
        ("stray-bits", "Stray bits in the last symbol", {**ed, "x": "A" * 42 + "B", "alg": "Ed25519"}, invalid),
        ("standard-base64", "The other alphabet", {**ed, "x": "+" * 42 + "A", "alg": "Ed25519"}, invalid),
        ("off-curve", "Not on the curve", {**es, "y": b64(b"\x05" * 32), "alg": "ES256"}, invalid),
        ("private", "With its private part", {**ed, "alg": "Ed25519", "d": b64(b"\x01" * 32)}, invalid),
        ("use-enc", "For encryption", {**ed, "alg": "Ed25519", "use": "enc"}, invalid),
        ("use-number", "use is a number", {**ed, "alg": "Ed25519", "use": 7}, invalid),
        ("ops", "key_ops without verify", {**ed, "alg": "Ed25519", "key_ops": ["sign"]}, invalid),
        ("ops-string", "key_ops is a string", {**ed, "alg": "Ed25519", "key_ops": "verify"}, invalid),
        ("kid-number", "kid is a number", {**ed, "alg": "Ed25519", "kid": 7}, invalid),
        ("string", "No object", "key", invalid),
    ]
    for id, title, jwk, outcome in cases:
        stricter = "RFC 7517 says nothing of it; a public key with its private part is no secret any more" if id == "private" else None
        add(id, title, "11.3.1, SK 3.3, SK 7.1", {"jwk": jwk}, outcome, stricter)
    _sets(add, unsupported, invalid)
    return pack


def _sets(add: Any, unsupported: dict[str, Any], invalid: dict[str, Any]) -> None:
    from .world import DECOYS

    mine = KEYS["ap-1"].published()
    found = accepted(alg="Ed25519", thumbprint=KEYS["ap-1"].thumbprint)
    section = "11.4, SK 3.3"
    add("set", "Selected by kid among keys that cannot be used", section, {"jwks": {"keys": [*DECOYS, mine, 7, "key"]}, "kid": "ap-1"}, found)
    add("set-repeated", "The same key twice", section, {"jwks": {"keys": [mine, mine]}, "kid": "ap-1"}, found)
    add("set-twice", "One kid, two keys", section, {"jwks": {"keys": [mine, KEYS["ap-2"].published("ap-1")]}, "kid": "ap-1"}, invalid, "RFC 7517 §4.5 says only that distinct keys should have distinct kids")
    add("set-absent", "No key of that kid", section, {"jwks": {"keys": [mine]}, "kid": "nobody"}, refused("unknown_key"))
    add("set-no-keys", "No keys", section, {"jwks": {}, "kid": "ap-1"}, invalid)
    add("set-keys-object", "keys is an object", section, {"jwks": {"keys": {"ap-1": mine}}, "kid": "ap-1"}, invalid)
    add("set-no-alg", "The selected key has no alg", section, {"jwks": {"keys": [{**KEYS["ap-1"].bare, "kid": "ap-1"}]}, "kid": "ap-1"}, unsupported)
    add("set-kid-case", "kids keep their case", section, {"jwks": {"keys": [mine]}, "kid": "AP-1"}, refused("unknown_key"))
    many = [{"kid": f"k{n}"} for n in range(300)]
    add("set-many", "Behind three hundred others", section, {"jwks": {"keys": [*many, mine]}, "kid": "ap-1"}, refused("unknown_key"), "a bound of ours: 256 members are looked at")
    _private(add, invalid)


def _private(add: Any, invalid: dict[str, Any]) -> None:
    """Private keys, as a party keeps them."""
    for name in ("agent-1", "agent-es"):
        private = KEYS[name].private
        add(f"own-{name}", "A private key", "11.3.1", {"private": private}, accepted(alg=KEYS[name].alg, thumbprint=KEYS[name].thumbprint))
        other = KEYS["agent-2" if name == "agent-1" else "durable-es"].private
        add(f"own-{name}-mixed", "The private part of another key", "11.3.1", {"private": {**private, "d": other["d"]}}, invalid)
        add(f"own-{name}-short", "A private part of 31 bytes", "11.3.1", {"private": {**private, "d": b64(bytes(31))}}, invalid)
        add(f"own-{name}-public", "No private part", "11.3.1", {"private": KEYS[name].jwk}, invalid)
    zero = {**KEYS["agent-es"].private, "d": b64(bytes(32))}
    add("own-zero", "A scalar of zero", "11.3.1", {"private": zero}, invalid)
    add("own-large", "A scalar above the order", "11.3.1", {"private": {**zero, "d": b64(b"\xff" * 32)}}, invalid)
    add("own-string", "No object", "11.3.1", {"private": "key"}, invalid)


__all__ = ["bases", "digests", "keys"]
