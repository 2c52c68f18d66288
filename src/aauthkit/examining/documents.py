"""What a server publishes: its metadata (draft-11 §11.2) and its keys, every one of them (§11.3.1, §11.4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from ..explaining.dialects import older_metadata
from ..protocol.identifiers import LoopbackProfile
from ..protocol.jose import JoseError, KeyRejected, parse_json, parse_jwk
from ..protocol.messages import Answer
from ..protocol.metadata import MetadataError, read_metadata
from .findings import Examination

PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
LONGEST: Final = 86400
"""Seconds that a cache may keep keys before it hides new ones for too long."""


def examine_metadata(
    found: Examination, issuer: str, dwk: str, answer: Answer, loopback: LoopbackProfile
) -> Mapping[str, Any] | None:
    """Look at a metadata document; what it says, or `None` where it is none."""
    document = _document(found, "metadata", answer, f"serve it at {issuer}/.well-known/{dwk}")
    if document is None:
        return None
    for older in older_metadata(document):
        (found.bad if older.fatal else found.warn)("metadata", older.said, f"in -11: {older.instead}")
    try:
        read_metadata(dwk, issuer, document, loopback=loopback)
        found.good("metadata", "its required members are there, and every URL is in form")
        found.good("issuer", f"it names itself {issuer}")
    except MetadataError as error:
        about = "issuer" if error.code.startswith("issuer") else "metadata"
        named = f": {str(document.get('issuer'))[:80]!r}" if about == "issuer" else ""
        mend = f"it must say exactly {issuer!r}, to the letter (draft-11 §11.2)" if about == "issuer" else "see §11.2"
        found.bad(about, f"{error}{named}", mend)
    algorithms = document.get("accept_signature_algs")
    if isinstance(algorithms, list) and "Ed25519" not in algorithms:
        found.bad("metadata", "accept_signature_algs lacks Ed25519", "every party supports it (draft-11 §11.3.1)")
    return document


def _document(found: Examination, about: str, answer: Answer, mend: str) -> Mapping[str, Any] | None:
    if 300 <= answer.status < 400:
        found.bad(about, f"the answer is a redirect ({answer.status}), which verifiers do not follow", mend)
        return None
    if answer.status != 200:
        found.bad(about, f"the answer is {answer.status}", mend)
        return None
    kind = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    try:
        document = parse_json(answer.body)
    except JoseError as error:
        found.bad(about, f"not a JSON object: {error}" + (f" (it is {kind})" if kind else ""), mend)
        return None
    if "json" not in kind:
        found.warn(about, f"it is sent as {kind or 'no type at all'}", "send it as application/json")
    return document


def examine_jwks(found: Examination, answer: Answer, *, expected: Collection[str] = ()) -> None:
    """Look at every key that is published; `expected` are the kids of keys that sign here."""
    document = _document(found, "jwks", answer, "serve the public keys where jwks_uri says")
    if document is None:
        return
    keys = document.get("keys")
    if not isinstance(keys, list) or not keys:
        found.bad("jwks", "it holds no key", "publish the key that signs")
        return
    kids: list[str] = []
    for number, jwk in enumerate(keys[:32], 1):
        _key(found, number, jwk, kids)
    for kid in sorted(set(expected) - set(kids)):
        text = f"the key {kid} of the key file is not published"
        found.bad("jwks", text, "serve this key file's keys; without them its tokens verify nowhere")
    _caching(found, answer)


def _key(found: Examination, number: int, jwk: object, kids: list[str]) -> None:
    about = "jwks"
    if not isinstance(jwk, Mapping):
        found.bad(about, f"key {number} is no object", "publish keys as RFC 7517 writes them")
        return
    if PRIVATE & jwk.keys():
        mend = "take it out at once, and make a new key: this one is everybody's now"
        found.bad(about, f"key {number} holds a private part", mend)
    named = jwk.get("kid")
    kid = named if isinstance(named, str) and named else None
    called = f"key {number} ({kid or 'no kid'}, alg {jwk.get('alg', 'none')})"
    try:
        key = parse_jwk({name: value for name, value in jwk.items() if name not in PRIVATE})
    except KeyRejected as error:
        found.bad(about, f"{called}: {error}", 'give it alg "Ed25519" or "ES256", and the kty and crv of that alg')
        return
    if kid is None:
        found.bad(about, f"{called}: no kid, so no token can name it", "give it a kid; its thumbprint is a good one")
    elif kid in kids:
        found.bad(about, f"{called}: this kid stands twice", "give every key a kid of its own (draft-11 §11.4)")
    else:
        kids.append(kid)
        use = jwk.get("use", "not said")
        own = " (its thumbprint)" if kid == key.thumbprint else ""
        found.good(about, f"key {number}: {key.alg}, kid {kid}{own}, use {use}")


def _caching(found: Examination, answer: Answer) -> None:
    control = (answer.header("cache-control") or "").lower()
    ages = [part.partition("=")[2].strip('" ') for part in control.split(",") if part.strip().startswith("max-age=")]
    age = int(ages[0]) if ages and ages[0].isdecimal() and len(ages[0]) < 12 else None
    if age is not None and age > LONGEST:
        found.warn("jwks", f"caches may keep it for {age} s, and hide a new key for as long", "max-age=300 is enough")
