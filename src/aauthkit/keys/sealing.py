"""Private keys sealed under a passphrase or a key: a copied key file alone signs nothing.

XChaCha20-Poly1305 over each private key, bound to the thumbprint it belongs to; a passphrase goes through Argon2id
(RFC 9106) first. Both are libsodium's. What they were given stands in the file, so that it opens anywhere.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ..protocol.jose import JoseError, b64url_decode, b64url_encode
from .private_files import KeyFileError, read_private

PASSPHRASE: Final = "AAUTHKIT_KEYS_PASSPHRASE"
KEY: Final = "AAUTHKIT_KEYS_KEY"
"""What the environment may hold: a passphrase, or 32 bytes in base64url. With `_FILE` added, the path of a file that
does (of mode 0600)."""
MIN_PASSPHRASE: Final = 8
"""Shortest passphrase that a file is sealed under, in characters."""
OPERATIONS: Final = 3
MEMORY: Final = 64 * 1024 * 1024
"""The cost of Argon2id: passes, and bytes of memory; about a tenth of a second."""
_MOST_OPERATIONS: Final = 16
_MOST_MEMORY: Final = 1024 * 1024 * 1024
_SALT, _NONCE = 16, 24
_CONTEXT: Final = b"aauthkit key file\0"

Parameters = Mapping[str, Any]
"""How the sealing key is had, as it stands in the file; no secret is in it."""


class Seal:
    """What private keys are sealed under: `Seal.passphrase`, `Seal.key`, or what the environment holds."""

    def __init__(self, kdf: str, secret: bytes, operations: int = OPERATIONS, memory: int = MEMORY) -> None:
        self._kdf = kdf
        self._secret = secret
        self._operations = operations
        self._memory = memory
        self._made: dict[tuple[bytes, int, int], bytes] = {}

    @classmethod
    def passphrase(cls, text: str, *, operations: int = OPERATIONS, memory: int = MEMORY) -> Seal:
        """A seal that opens with `text`. Raises `KeyFileError` where that is too short to be one."""
        if len(text) < MIN_PASSPHRASE:
            raise KeyFileError(f"a passphrase has at least {MIN_PASSPHRASE} characters")
        return cls("argon2id", text.encode("utf-8", "surrogateescape"), operations, memory)

    @classmethod
    def key(cls, secret: bytes) -> Seal:
        """A seal under 32 random bytes, such as a secret store gives out. Raises `KeyFileError`."""
        if len(secret) != 32:
            raise KeyFileError("a sealing key has exactly 32 bytes")
        return cls("none", secret)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Seal | None:
        """The seal that the environment holds, or `None`. Raises `KeyFileError`."""
        named = [name for base in (PASSPHRASE, KEY) for name in (base, f"{base}_FILE") if environment.get(name)]
        if not named:
            return None
        if len(named) > 1:
            raise KeyFileError(f"only one of {' and '.join(named)} may be set")
        (name,) = named
        value = environment[name]
        if name.endswith("_FILE"):
            value = _text_of(Path(value), name)
        if name.startswith(PASSPHRASE):
            return cls.passphrase(value)
        try:
            return cls.key(b64url_decode(value.strip()))
        except JoseError as error:
            raise KeyFileError(f"{name} is not 32 bytes in base64url") from error

    def __repr__(self) -> str:
        return f"Seal({self._kdf})"

    def fresh(self, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Parameters:
        """Parameters for a file that is sealed under this anew."""
        if self._kdf == "none":
            return {"aead": "xchacha20-poly1305", "kdf": "none"}
        salt = b64url_encode(random_bytes(_SALT))
        costs = {"operations": self._operations, "memory": self._memory}
        return {"aead": "xchacha20-poly1305", "kdf": self._kdf, "salt": salt, **costs}

    def close(self, private: bytes, thumbprint: str, parameters: Parameters) -> str:
        """A private key sealed, for the file. The nonce is fresh each time, and long enough to be random."""
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt

        nonce = secrets.token_bytes(_NONCE)
        sealed = encrypt(private, _CONTEXT + thumbprint.encode(), nonce, self._key_for(parameters))
        return b64url_encode(nonce + sealed)

    def open(self, sealed: object, thumbprint: str, parameters: Parameters) -> bytes:
        """A private key of the file. Raises `KeyFileError` where this seal is another than it was closed with."""
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt
        from nacl.exceptions import CryptoError

        try:
            data = b64url_decode(sealed)
            return decrypt(data[_NONCE:], _CONTEXT + thumbprint.encode(), data[:_NONCE], self._key_for(parameters))
        except (JoseError, CryptoError, ValueError) as error:
            what = "key" if self._kdf == "none" else "passphrase"
            raise KeyFileError(f"it does not open with the {what} given") from error

    def _key_for(self, parameters: Parameters) -> bytes:
        """The key that these parameters give. Raises `KeyFileError` if they are of another kind, or out of bounds."""
        if parameters.get("aead") != "xchacha20-poly1305" or parameters.get("kdf") not in ("argon2id", "none"):
            raise KeyFileError("it is sealed in a way that is not known here")
        if parameters["kdf"] != self._kdf:
            wanted = "a passphrase" if parameters["kdf"] == "argon2id" else "a key"
            raise KeyFileError(f"it is sealed under {wanted}")
        if self._kdf == "none":
            return self._secret
        salt, operations, memory = _costs(parameters)
        name = (salt, operations, memory)
        if name not in self._made:
            from nacl.pwhash import argon2id

            self._made = {name: argon2id.kdf(32, self._secret, salt, operations, memory)}
        return self._made[name]


def _costs(parameters: Parameters) -> tuple[bytes, int, int]:
    operations, memory = parameters.get("operations"), parameters.get("memory")
    try:
        salt = b64url_decode(parameters.get("salt"))
    except JoseError as error:
        raise KeyFileError("its seal names no salt") from error
    if (
        len(salt) != _SALT
        or type(operations) is not int
        or type(memory) is not int
        or not 1 <= operations <= _MOST_OPERATIONS
        or not 8192 <= memory <= _MOST_MEMORY
    ):
        raise KeyFileError("its seal names a cost out of bounds")
    return salt, operations, memory


def _text_of(path: Path, name: str) -> str:
    try:
        return read_private(path).decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise KeyFileError(f"{name}: {path}: {error.strerror}") from error
    except UnicodeError as error:
        raise KeyFileError(f"{name}: {path} is not text") from error
