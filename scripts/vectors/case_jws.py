"""Cases of `request`: the token as a JWS and a JSON document (§11.5.1, §11.5.2)."""

from __future__ import annotations

from typing import Any

from .keys import KEYS, b64, compact, encode, mac_jws, sign_jws
from .pack import Pack, Requests, accepted, unsigned, who
from .world import (
    presents,
    relative,
    token,
)

BAD = unsigned("invalid_jwt")


def jws() -> Pack:
    pack = Pack("jws", "The token as a JWS and a JSON document (§11.5.1, §11.5.2 step 2, Signature-Keys §3.8).")
    _jws_1(pack)
    _jws_2(pack)
    return pack


def _jws_1(pack: Pack) -> None:
    add = Requests(pack).add
    made = token("agent").made()
    head, claims, signature = made.split(".")
    header = token("agent").header
    payload = relative(token("agent").claims)
    cases: list[tuple[str, str, str]] = [
        ("empty", "Nothing", ""),
        ("word", "One word", "abc"),
        ("two-parts", "Two parts", f"{head}.{claims}"),
        ("four-parts", "Four parts", f"{made}.{signature}"),
        ("padded", "A padded part", f"{head}=.{claims}.{signature}"),
        ("alphabet", "A part in the other alphabet", f"{head}.{claims}.{signature[:-2]}+/"),
        ("stray-bits", "Stray bits in the last symbol", _stray(made)),
        ("header-array", "The header is an array", sign_jws(KEYS["ap-1"], b"[]", payload)),
        ("header-text", "The header is no JSON", sign_jws(KEYS["ap-1"], b"{", payload)),
        ("payload-array", "The claims are an array", sign_jws(KEYS["ap-1"], header, b"[1]")),
        ("payload-text", "The claims are no JSON", sign_jws(KEYS["ap-1"], header, b"sub=x")),
        ("payload-latin", "The claims are not UTF-8", sign_jws(KEYS["ap-1"], header, b'{"sub":"\xe9"}')),
        (
            "twice",
            "A claim stands twice",
            sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"sub":"aauth:other@agents.example"}'),
        ),
        ("nan", "A claim is NaN", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":NaN}')),
        ("infinite", "A claim is 1e999", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":1e999}')),
        (
            "long-number",
            "A number of fifty digits",
            sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":' + b"9" * 50 + b"}"),
        ),
        ("surrogate", "A lone surrogate", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":"\\ud800"}')),
        (
            "deep",
            "Forty arrays in one another",
            sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}"),
        ),
        ("long", "A token of 20 000 characters", sign_jws(KEYS["ap-1"], header, {**payload, "x": "y" * 15_000})),
        ("crit", "An extension is marked critical", token("agent", header={"crit": ["exp"]}).made()),
        ("b64", "The payload is not encoded", token("agent", header={"b64": False}).made()),
        ("no-alg", "No alg", sign_jws(KEYS["ap-1"], {**header, "alg": None}, payload)),
        ("alg-none", "alg none, without a signature", encode({**header, "alg": "none"}, payload).decode() + "."),
        ("alg-eddsa", "alg EdDSA", sign_jws(KEYS["ap-1"], {**header, "alg": "EdDSA"}, payload)),
        ("alg-hs256", "A MAC under the public key", mac_jws(_public("ap-1"), {**header, "alg": "HS256"}, payload)),
        (
            "alg-other",
            "alg names another algorithm than the key",
            sign_jws(KEYS["ap-1"], {**header, "alg": "ES256"}, payload),
        ),
        ("flipped", "One bit of the signature is flipped", _flipped(made)),
        ("claims-changed", "The claims are others", _swapped(made, {**payload, "sub": "aauth:other@agents.example"})),
        ("header-changed", "The header is another", ".".join([b64(compact({**header, "x": 1})), claims, signature])),
        ("no-signature", "No signature", f"{head}.{claims}."),
        ("wrong-key", "Signed by another key than the published", sign_jws(KEYS["ap-2"], header, payload)),
    ]
    ours = "RFC 8259 §4 and §9 leave this to the parser; here it is refused"
    stricter = dict.fromkeys(("twice", "infinite", "long-number", "surrogate", "deep", "long"), ours)
    for name, title, raw in cases:
        sections = "11.5.1, 11.5.2, 11.3.4, SK 3.8, SK 5.4.11" if name.startswith("alg") else "11.5.2, 11.3.4, SK 3.8"
        add(f"jws-{name}", title, sections, BAD, by=presents(raw), stricter=stricter.get(name))


def _jws_2(pack: Pack) -> None:
    add = Requests(pack).add
    add("jws-es256", "The issuer signs with ES256", "11.3.1, 11.5.1", by=token("agent", key="ap-es"), live=True)
    add(
        "jws-unknown-header",
        "An unknown header member is ignored",
        "11.7",
        by=token("agent", header={"x": [1]}),
        live=True,
    )
    add(
        "jws-unknown-claim",
        "An unknown claim is ignored",
        "5.3.1",
        by=token("agent", attestation={"level": 3}),
        live=True,
    )
    add("jwt-no-parameter", "No parameter jwt", "SK 3.8", BAD, by="jwt", live="agent")
    add("jwt-number", "The parameter jwt is no String", "SK 3.8", BAD, by="jwt;jwt=7")
    add(
        "jwt-cache",
        "A request for caching is ignored where there is none",
        "SK 6.2, SK 3.8",
        accepted(**who(token("agent"))),
        by=f"{presents(token('agent'))};cache",
    )


def _public(name: str) -> bytes:
    return KEYS[name].jwk["x"].encode()


def _stray(raw: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return raw[:-1] + alphabet[alphabet.index(raw[-1]) | 1]


def _flipped(raw: str) -> str:
    head, _, signature = raw.rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def _swapped(raw: str, claims: dict[str, Any]) -> str:
    head, _, signature = raw.split(".")
    return f"{head}.{b64(compact(claims))}.{signature}"
