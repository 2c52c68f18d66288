"""Keys and signed tokens: JWK, fully-specified algorithms, thumbprints, compact JWS.

draft-11 §11.3.1, §11.5; Signature-Keys §3.3; RFC 7515, 7517, 7638, 8037, 9864. The algorithm is the key's own `alg` and
nothing a message says; a JWS whose header names another is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, cast

from . import ed25519
from .ed25519 import BadSignature

__all__ = [
    "ALGORITHMS",
    "BadSignature",
    "JoseError",
    "Jws",
    "KeyRejected",
    "PublicKey",
    "SigningKey",
    "b64url_decode",
    "b64url_encode",
    "key_from_jwks",
    "parse_json",
    "parse_jwk",
    "parse_jws",
    "parse_jwt",
    "sign_jwt",
]

ALGORITHMS: Final = ("Ed25519", "ES256")
"""The algorithms served, in order of preference; what `Accept-Signature-Alg` says."""

MAX_TOKEN: Final = 16 * 1024
"""Longest compact JWS that is looked at, in characters."""
MAX_KNOWN_HEADER: Final = 512
"""Longest JWS header that is remembered, in characters."""
MAX_JSON: Final = 256 * 1024
"""Longest JSON document that is parsed, in bytes."""
MAX_DEPTH: Final = 16
"""Deepest nesting of a JSON document."""
MAX_JWKS_KEYS: Final = 256
"""Most members of a JWKS that are looked at."""

# By the length of a text in base64url, modulo four: the padding it lacks, and the symbols that may end it without stray
# bits. A lone symbol encodes nothing, and three signs of padding are what no decoder takes.
_ENDS: Final[tuple[tuple[str, frozenset[str] | None], ...]] = (
    ("", None),
    ("===", None),
    ("==", frozenset("AQgw")),
    ("=", frozenset("AEIMQUYcgkosw048")),
)
_SHAPE: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "Ed25519": ("OKP", "Ed25519", ("x",)),
    "ES256": ("EC", "P-256", ("x", "y")),
}
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class JoseError(ValueError):
    """A token or document that is malformed."""


class KeyRejected(JoseError):
    """A key that cannot be used; `code` is the Signature-Error that says so (draft-11 §11.3.4 steps 5 and 6)."""

    def __init__(self, code: Literal["invalid_key", "unsupported_algorithm"], reason: str) -> None:
        super().__init__(reason)
        self.code: Literal["invalid_key", "unsupported_algorithm"] = code


def b64url_encode(data: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    standard = b2a_base64(data, newline=False).decode("ascii")
    return standard.rstrip("=").replace("+", "-").replace("/", "_")


def b64url_decode(text: object) -> bytes:
    """Strict inverse of `b64url_encode`: no padding, no other alphabet, no stray bits. Raises `JoseError`."""
    if not isinstance(text, str) or "+" in text or "/" in text or "=" in text:
        raise JoseError("not base64url without padding")
    padding, last = _ENDS[len(text) % 4]
    try:
        data = a2b_base64(text.replace("-", "+").replace("_", "/") + padding, strict_mode=True)
    except ValueError as error:
        raise JoseError("not base64url without padding") from error
    if last is not None and text[-1] not in last:
        raise JoseError("base64url with stray bits")
    return data


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JoseError("a JSON object names a member twice")
    return members


def _no_constant(name: str) -> None:
    raise JoseError(f"{name} is not JSON")


def _bounded_int(text: str) -> int:
    if len(text) > 20:
        raise JoseError("a number is too long")
    return int(text)


def _bounded_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise JoseError("a number is out of range")
    return value


_decoder = json.JSONDecoder(
    object_pairs_hook=_no_duplicates,
    parse_constant=_no_constant,
    parse_int=_bounded_int,
    parse_float=_bounded_float,
)


# A string that never ends is one match as well, and nothing is tried twice: time linear in the length, come what may.
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def _depth_within(text: str, limit: int) -> bool:
    """Whether brackets outside strings nest no deeper than `limit`, without recursion."""
    if text.count("{") + text.count("[") <= limit:
        return True
    depth = 0
    for match in _BRACKETS.finditer(text):
        first = match.group()[0]
        if first in "[{":
            depth += 1
            if depth > limit:
                return False
        elif first in "]}":
            depth -= 1
    return True


def _decoded(text: str) -> Any:
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError:
        return _decoder.decode(text)  # there is space around it, or it is none
    return value if end == len(text) else _decoder.decode(text)


def parse_json(raw: bytes | str, *, limit: int = MAX_JSON) -> dict[str, Any]:
    """One JSON object: no member twice, no NaN, no lone surrogate, bounded in size and depth. Raises `JoseError`."""
    if len(raw) > limit:
        raise JoseError(f"the document is longer than {limit} bytes")
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        if not _depth_within(text, MAX_DEPTH):
            raise JoseError(f"the document nests deeper than {MAX_DEPTH}")
        value = _decoded(text)
        if "\\u" in text or not text.isascii():
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except JoseError:
        raise
    except (UnicodeError, ValueError, RecursionError) as error:
        raise JoseError("not a JSON document") from error
    if not isinstance(value, dict):
        raise JoseError("not a JSON object")
    return value


@dataclass(frozen=True, slots=True, repr=False)
class PublicKey:
    """A public key whose one algorithm is settled. `kid` is what its set calls it; the thumbprint is its own name."""

    alg: Literal["Ed25519", "ES256"]
    raw: bytes
    """Ed25519: 32 bytes. ES256: x and y, 64 bytes."""
    kid: str | None = None
    _es256: Any = field(default=None, compare=False)
    _name: str | None = field(default=None, compare=False)

    @property
    def thumbprint(self) -> str:
        """RFC 7638, SHA-256; made when it is first asked for, which a request that changes nothing never does."""
        if self._name is None:
            object.__setattr__(self, "_name", _thumbprint(self.alg, self.raw))
        return cast("str", self._name)

    def __repr__(self) -> str:
        return f"PublicKey({self.alg}, thumbprint={self.thumbprint}, kid={self.kid})"

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if `signature` (64 bytes, raw) is this key's over `message`; raise `BadSignature` otherwise."""
        if self.alg == "Ed25519":
            ed25519.verify(self.raw, message, signature)
            return
        _verify_es256(self._es256, message, signature)

    @property
    def jwk(self) -> dict[str, str]:
        """The public JWK, always with `alg` (draft-11 §11.3.1)."""
        kty, crv, _ = _SHAPE[self.alg]
        jwk = {"kty": kty, "crv": crv, **_members(self.alg, self.raw), "alg": self.alg}
        if self.kid is not None:
            jwk["kid"] = self.kid
        return jwk

    def same_key(self, other: PublicKey) -> bool:
        """Whether both are one key: same algorithm, same bytes, and so the same thumbprint."""
        return self.alg == other.alg and self.raw == other.raw


def _verify_es256(key: Any, message: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    if len(signature) != 64:
        # RFC 7518 §3.4: r and s, 32 bytes each; a DER signature is refused by its length.
        raise BadSignature("an ES256 signature has exactly 64 bytes, r and s")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < P256_ORDER and 0 < s < P256_ORDER):
        raise BadSignature("r or s is out of range")
    try:
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise BadSignature("the signature does not verify") from error


def _members(alg: Literal["Ed25519", "ES256"], raw: bytes) -> dict[str, str]:
    """The parameters of a public key in a JWK, each 32 bytes."""
    return {name: b64url_encode(raw[at * 32 : at * 32 + 32]) for at, name in enumerate(_SHAPE[alg][2])}


@lru_cache(maxsize=1024)
def _thumbprint(alg: Literal["Ed25519", "ES256"], raw: bytes) -> str:
    """RFC 7638 §3: the required members in the order of their names; none of these texts needs an escape."""
    kty, crv, _ = _SHAPE[alg]
    parts = "".join(f',"{name}":"{value}"' for name, value in _members(alg, raw).items())
    return b64url_encode(hashlib.sha256(f'{{"crv":"{crv}","kty":"{kty}"{parts}}}'.encode("ascii")).digest())


def _algorithm_of(jwk: Mapping[str, Any]) -> Literal["Ed25519", "ES256"]:
    """Signature-Keys §3.3: `alg` present, fully specified, served, and in accord with `kty` and `crv`."""
    alg, kty, crv = jwk.get("alg"), jwk.get("kty"), jwk.get("crv")
    if not isinstance(kty, str):
        raise KeyRejected("invalid_key", "the key has no kty")
    if alg is None:
        raise KeyRejected("unsupported_algorithm", "the key carries no alg")
    if not isinstance(alg, str) or alg not in _SHAPE:
        raise KeyRejected("unsupported_algorithm", f"the key's alg {str(alg)[:32]!r} is not served")
    if kty != _SHAPE[alg][0] or (crv is not None and crv != _SHAPE[alg][1]):
        raise KeyRejected("invalid_key", f"kty {kty[:16]!r} and crv {str(crv)[:16]!r} disagree with alg {alg!r}")
    if crv is None:
        raise KeyRejected("invalid_key", "the key has no crv")
    return cast("Literal['Ed25519', 'ES256']", alg)


def parse_jwk(jwk: object) -> PublicKey:
    """A public key from a JWK (RFC 7517), its algorithm determined as Signature-Keys §3.3 says.

    Unknown members are ignored. Raises `KeyRejected`. A JWK with a private part is refused, and so is one that says it
    is for something else than signatures.
    """
    if not isinstance(jwk, Mapping):
        raise KeyRejected("invalid_key", "the key is not a JSON object")
    if len(jwk) == 4 and jwk.get("alg") == jwk.get("crv") == "Ed25519" and jwk.get("kty") == "OKP":
        # As keys stand in tokens. What is left is x, or it is missing: there is no room for anything to be refused.
        return PublicKey("Ed25519", _part(jwk, "x"))
    alg = _algorithm_of(jwk)
    if "d" in jwk:
        raise KeyRejected("invalid_key", "the key carries its private part")
    _check_use(jwk)
    parts = [_part(jwk, name) for name in _SHAPE[alg][2]]
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise KeyRejected("invalid_key", "the key's kid is not a string")
    native = _es256_key(parts) if alg == "ES256" else None
    return PublicKey(alg, b"".join(parts), kid, native)


def _part(jwk: Mapping[str, Any], name: str) -> bytes:
    """A parameter of a public key: 32 bytes."""
    try:
        part = b64url_decode(jwk.get(name))
    except JoseError as error:
        raise KeyRejected("invalid_key", f"the key's {name} is missing or not base64url") from error
    if len(part) != 32:
        raise KeyRejected("invalid_key", f"the key's {name} has not 32 bytes")
    return part


def _check_use(jwk: Mapping[str, Any]) -> None:
    """RFC 7517 §4.2, §4.3: `use` and `key_ops`, where they stand, must allow the verifying of signatures."""
    operations = jwk.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        raise KeyRejected("invalid_key", "the key's key_ops do not allow it to verify")
    if jwk.get("use", "sig") != "sig":
        raise KeyRejected("invalid_key", "the key's use is not sig")


def _es256_key(parts: Sequence[bytes]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + b"".join(parts))
    except ValueError as error:
        raise KeyRejected("invalid_key", "the point is not on P-256") from error


def key_from_jwks(document: Mapping[str, Any], kid: str) -> PublicKey | None:
    """The member of a JWKS that `kid` names, or `None`; no other member is looked into (draft-11 §11.4).

    Raises `KeyRejected` if that one is unusable, or if `kid` names two different members.
    """
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise KeyRejected("invalid_key", "the JWKS has no keys")
    named = [jwk for jwk in keys[:MAX_JWKS_KEYS] if isinstance(jwk, Mapping) and jwk.get("kid") == kid]
    if not named:
        return None
    if any(other != named[0] for other in named[1:]):
        raise KeyRejected("invalid_key", "the JWKS gives one kid to two keys")
    return parse_jwk(named[0])


@dataclass(frozen=True)
class SigningKey:
    """A private key with its one algorithm. Its `kid` is its thumbprint, so that no `kid` ever names two keys."""

    alg: Literal["Ed25519", "ES256"]
    secret: bytes = field(repr=False)
    """Ed25519: the 32-byte seed. ES256: the private scalar, 32 bytes."""

    @classmethod
    def generate(cls, random: Callable[[int], bytes], alg: Literal["Ed25519", "ES256"] = "Ed25519") -> SigningKey:
        """A fresh key from a secure source such as `secrets.token_bytes`."""
        secret = random(32)
        while alg == "ES256" and not 0 < int.from_bytes(secret, "big") < P256_ORDER:
            secret = random(32)
        return cls(alg, secret)

    @classmethod
    def from_jwk(cls, jwk: object) -> SigningKey:
        """A private JWK as `to_jwk` writes it. Raises `KeyRejected`; so it does if the public part is another key's."""
        if not isinstance(jwk, Mapping):
            raise KeyRejected("invalid_key", "the key is not a JSON object")
        alg = _algorithm_of(jwk)
        try:
            secret = b64url_decode(jwk.get("d"))
        except JoseError as error:
            raise KeyRejected("invalid_key", "the key has no private part") from error
        if len(secret) != 32 or (alg == "ES256" and not 0 < int.from_bytes(secret, "big") < P256_ORDER):
            raise KeyRejected("invalid_key", "the private part has not 32 bytes, or is out of range")
        key = cls(alg, secret)
        public = parse_jwk({name: value for name, value in jwk.items() if name not in ("d", "key_ops")})
        if not key.public.same_key(public):
            raise KeyRejected("invalid_key", "the private part belongs to another public key")
        return key

    def to_jwk(self) -> dict[str, str]:
        """The private JWK. For key files only."""
        return {**self.public.jwk, "d": b64url_encode(self.secret)}

    @cached_property
    def public(self) -> PublicKey:
        """The public half, named by its thumbprint."""
        if self.alg == "Ed25519":
            parts = [ed25519.public_of(self.secret)]
            native = None
        else:
            numbers = self._native.public_key().public_numbers()
            parts = [numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")]
            native = self._native.public_key()
        raw = b"".join(parts)
        thumbprint = _thumbprint(self.alg, raw)
        return PublicKey(self.alg, raw, thumbprint, native, thumbprint)

    @cached_property
    def _native(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric import ec

        return ec.derive_private_key(int.from_bytes(self.secret, "big"), ec.SECP256R1())

    @property
    def kid(self) -> str:
        """The thumbprint (RFC 7638)."""
        return self.public.thumbprint

    def sign(self, message: bytes) -> bytes:
        """64 bytes over `message`: Ed25519, or ES256 as r and s."""
        if self.alg == "Ed25519":
            return ed25519.sign(self.secret, self.public.raw, message)
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        r, s = utils.decode_dss_signature(self._native.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Jws(NamedTuple):
    """A compact JWS taken apart and not yet verified."""

    header: Mapping[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Jws(header={dict(self.header)})"

    def verify(self, key: PublicKey) -> None:
        """Return if `key` signed this; raise `BadSignature` otherwise, also if the header names another `alg`."""
        if self.header.get("alg") != key.alg:
            raise BadSignature("the header's alg is not the key's")
        key.verify(self.signing_input, self.signature)


def parse_jws(token: object) -> Jws:
    """Take a compact JWS apart (RFC 7515 §5.2). Raises `JoseError`; any `crit` is one we do not know."""
    if not isinstance(token, str) or not token.isascii() or len(token) > MAX_TOKEN:
        raise JoseError(f"a token is ASCII and no longer than {MAX_TOKEN} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise JoseError("a compact JWS has three parts")
    header, payload, signature = parts
    read = _header if len(header) <= MAX_KNOWN_HEADER else _header.__wrapped__
    signing_input = token[: -len(signature) - 1].encode("ascii")
    return Jws(read(header), b64url_decode(payload), signing_input, b64url_decode(signature))


@lru_cache(maxsize=256)
def _header(encoded: str) -> Mapping[str, Any]:
    """A protected header that names an `alg` and nothing that is not known here.

    An issuer's tokens have one header, but for its `kid`: it is read once.
    """
    header = parse_json(b64url_decode(encoded))
    if "crit" in header:
        raise JoseError("the header marks an extension critical that is not known here")
    if header.get("b64") is False:
        raise JoseError("an unencoded payload is not taken")
    if not isinstance(header.get("alg"), str):
        raise JoseError("the header names no alg")
    return MappingProxyType(header)


class Jwt(NamedTuple):
    """A JWT taken apart and not yet verified."""

    jws: Jws
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Jwt(jws={self.jws})"

    @property
    def header(self) -> Mapping[str, Any]:
        """The protected header."""
        return self.jws.header


def parse_jwt(token: object) -> Jwt:
    """Take a JWT apart (RFC 7519 §7.2). Raises `JoseError`."""
    jws = parse_jws(token)
    return Jwt(jws, parse_json(jws.payload))


def sign_jwt(key: SigningKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """A compact JWT by `key`, whose `alg` it names; `header` adds `typ`, and `kid` or `jwk`."""
    full = {"alg": key.alg, **header} | {"alg": key.alg}
    plain = all(type(value) is str and len(value) <= MAX_KNOWN_HEADER for value in full.values())
    encoded = _encoded_header(tuple(full.items())) if plain else _encoded(full)
    signing_input = f"{encoded}.{_encoded(claims)}"
    return f"{signing_input}.{b64url_encode(key.sign(signing_input.encode('ascii')))}"


_written = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _encoded(part: Mapping[str, Any]) -> str:
    return b64url_encode(_written(part).encode())


@lru_cache(maxsize=64)
def _encoded_header(members: tuple[tuple[str, str], ...]) -> str:
    """A header of plain texts, as all tokens of a server have the same."""
    return _encoded(dict(members))
