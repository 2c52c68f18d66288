"""Where a server or an agent keeps its signing keys, and which one signs now.

A key file is a set with the state of each key, readable by its owner alone from the moment it exists; a file that
others can read is refused. Every key is named by its thumbprint, so that no `kid` ever names two keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..protocol.jose import SigningKey
from .keyfile import KeyFile, KeyStanding
from .keyset import LONGEST_LIFETIME, MARGIN, PUBLISHED_BEFORE, State
from .private_files import KeyFileError, KeyFileProtected, read_private, write_private
from .sealing import Seal

__all__ = [
    "LONGEST_LIFETIME",
    "MARGIN",
    "PUBLISHED_BEFORE",
    "FixedKey",
    "KeyFile",
    "KeyFileError",
    "KeyFileProtected",
    "KeyStanding",
    "Keys",
    "Seal",
    "State",
    "read_private",
    "write_private",
]


class Keys(Protocol):
    """The signing keys of one party."""

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        ...

    def jwks(self) -> Mapping[str, Any]:
        """The public set, as it is published at `jwks_uri`."""
        ...


class FixedKey:
    """One key that never changes."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._jwks = {"keys": [{**key.public.jwk, "use": "sig"}]}

    @property
    def current(self) -> SigningKey:
        """The key."""
        return self._key

    def jwks(self) -> Mapping[str, Any]:
        """A set of this one key."""
        return self._jwks
