"""The pack's own keys and its own JOSE: made from names, so that the pack is the same bytes each time it is made.

Nothing here is secret: the private halves are in the pack, for whoever wants to sign cases of their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RSA_MODULUS = base64.urlsafe_b64encode(b"\xb1" + hashlib.shake_256(b"aauthkit vectors: modulus").digest(255)).decode()
"""Looks like an RSA modulus. Nothing is ever verified under it."""


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Key:
    """A key pair that is a function of its name."""

    name: str
    alg: str = "Ed25519"

    @cached_property
    def secret(self) -> bytes:
        return hashlib.sha256(f"aauthkit vectors: key {self.name}".encode()).digest()

    @cached_property
    def _ed25519(self) -> ed25519.Ed25519PrivateKey:
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.secret)

    @cached_property
    def _p256(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self.secret, "big") % (P256_ORDER - 1) + 1, ec.SECP256R1())

    def sign(self, message: bytes) -> bytes:
        """64 bytes: Ed25519, or ES256 as r and s with the deterministic nonce of RFC 6979."""
        if self.alg == "Ed25519":
            return self._ed25519.sign(message)
        der = self._p256.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    @cached_property
    def bare(self) -> dict[str, str]:
        """The public JWK without `alg`."""
        if self.alg == "Ed25519":
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(self._ed25519.public_key().public_bytes_raw())}
        numbers = self._p256.public_key().public_numbers()
        x, y = (b64(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    @property
    def jwk(self) -> dict[str, str]:
        """The public JWK, with `alg`."""
        return {**self.bare, "alg": self.alg}

    def published(self, kid: str | None = None, **more: Any) -> dict[str, Any]:
        """The public JWK as a member of a set."""
        return {**self.jwk, "kid": kid or self.name, **more}

    @property
    def private(self) -> dict[str, str]:
        number = self.secret
        if self.alg == "ES256":
            number = self._p256.private_numbers().private_value.to_bytes(32, "big")
        return {**self.jwk, "kid": self.name, "d": b64(number)}

    @cached_property
    def thumbprint(self) -> str:
        """RFC 7638."""
        members = {name: value for name, value in sorted(self.bare.items())}
        return b64(hashlib.sha256(compact(members)).digest())


def encode(header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes) -> bytes:
    """The JWS signing input; a header or payload given as bytes is taken as it is."""
    return ".".join(b64(each if isinstance(each, bytes) else compact(each)) for each in (header, claims)).encode()


def sign_jws(key: Key, header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes) -> str:
    """A compact JWS; nothing is added to the header, not even `alg`."""
    text = encode(header, claims)
    return f"{text.decode()}.{b64(key.sign(text))}"


def mac_jws(secret: bytes, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """A JWS under HS256, as somebody would make it who takes a public key for a secret."""
    text = encode(header, claims)
    return f"{text.decode()}.{b64(hmac.new(secret, text, hashlib.sha256).digest())}"


NAMES = {
    "agent-1": "Ed25519",
    "agent-2": "Ed25519",
    "agent-es": "ES256",
    "ap-1": "Ed25519",
    "ap-2": "Ed25519",
    "ap-es": "ES256",
    "ps-1": "Ed25519",
    "ps-2": "Ed25519",
    "as-1": "Ed25519",
    "api-1": "Ed25519",
    "stranger": "Ed25519",
    "durable-1": "Ed25519",
    "durable-es": "ES256",
}
KEYS = {name: Key(name, alg) for name, alg in NAMES.items()}
