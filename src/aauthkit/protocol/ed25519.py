"""Ed25519 (RFC 8032), by libsodium where PyNaCl is at hand, else by OpenSSL made as strict.

libsodium's verdict is the rule of this project. It refuses public keys and `R` of small order and encodings that are
not canonical, which OpenSSL lets through; the fallback adds those refusals, so that both give one verdict.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519


def _libsodium() -> tuple[Any, Any]:
    """libsodium as PyNaCl brings it, and cffi's way to memory for it."""
    try:
        module = import_module("nacl._sodium")
    except ImportError:  # pragma: no cover - the tests call the fallback directly
        return None, None
    return module.lib, module.ffi


_sodium, _ffi = _libsodium()

FIELD_PRIME: Final = 2**255 - 19

# The encodings of the eight points of small order, with the sign bit cleared, canonical and not.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


class BadSignature(ValueError):
    """The bytes are not this key's signature over this message."""


def _sound_point(encoded: bytes) -> bool:
    cleared = encoded[:31] + bytes([encoded[31] & 0x7F])
    return cleared not in _SMALL_ORDER and int.from_bytes(cleared, "little") < FIELD_PRIME


def verify_with_openssl(public: bytes, message: bytes, signature: bytes) -> None:
    """The fallback: OpenSSL, with libsodium's refusals. Raises `BadSignature`."""
    if len(public) != 32 or len(signature) != 64:
        raise BadSignature("an Ed25519 key has 32 bytes, a signature 64")
    if not _sound_point(public) or not _sound_point(signature[:32]):
        raise BadSignature("a point of small order or a non-canonical encoding")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("the signature does not verify") from error


# PyNaCl's own `crypto_sign` and `crypto_sign_open` zero a buffer for the message and copy it out again, twice per call.
# libsodium's header lets both be null, so its two functions are called as they are: 1 us of 15, and 1 of 37.
_NULL: Final = _ffi.NULL if _ffi is not None else None
_buffer: Final[Any] = _ffi.new_allocator(should_clear_after_alloc=False) if _ffi is not None else None


def verify_with_sodium(public: bytes, message: bytes, signature: bytes) -> None:
    """libsodium. Raises `BadSignature`."""
    if len(public) != 32 or len(signature) != 64:
        raise BadSignature("an Ed25519 key has 32 bytes, a signature 64")
    signed = signature + message
    if _sodium.crypto_sign_open(_NULL, _NULL, signed, len(signed), public) != 0:
        raise BadSignature("the signature does not verify")


def sign_with_openssl(seed: bytes, message: bytes) -> bytes:
    """64 bytes over `message` by the key of this 32-byte seed."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def public_of(seed: bytes) -> bytes:
    """The 32-byte public key of a 32-byte seed."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign_with_sodium(seed: bytes, public: bytes, message: bytes) -> bytes:
    """64 bytes over `message`; libsodium wants the public key beside the seed. Raises `ValueError` for other sizes."""
    secret = seed + public
    if len(seed) != 32 or len(secret) != 64:
        raise ValueError("an Ed25519 seed and its public key have 32 bytes each")
    signed = _buffer("unsigned char[]", 64 + len(message))
    if _sodium.crypto_sign(signed, _NULL, message, len(message), secret) != 0:  # pragma: no cover - it never does
        raise RuntimeError("libsodium did not sign")
    signature: bytes = _ffi.buffer(signed, 64)[:]
    return signature


HAVE_SODIUM: Final = _sodium is not None
verify = verify_with_sodium if HAVE_SODIUM else verify_with_openssl


def sign(seed: bytes, public: bytes, message: bytes) -> bytes:
    """64 bytes over `message` by the key of this seed."""
    if HAVE_SODIUM:
        return sign_with_sodium(seed, public, message)
    return sign_with_openssl(seed, message)
