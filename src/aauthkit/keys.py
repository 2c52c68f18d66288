"""Where a server or an agent keeps its signing keys, and which one signs now.

A key file is a set with the state of each key, readable by its owner alone from the moment it exists; a file that
others can read is refused. Every key is named by its thumbprint, so that no `kid` ever names two keys.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from .protocol.jose import JoseError, KeyRejected, SigningKey, parse_json

State = Literal["next", "current", "previous"]


class KeyFileError(Exception):
    """A key file that cannot be used; the message says which and what to do."""


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

    @property
    def current(self) -> SigningKey:
        """The key."""
        return self._key

    def jwks(self) -> Mapping[str, Any]:
        """A set of this one key."""
        return {"keys": [{**self._key.public.jwk, "use": "sig"}]}


def write_private(path: Path, content: bytes, *, exclusive: bool = False) -> None:
    """Put `content` at `path`, whole or not at all, with mode 0600 from its first byte.

    With `exclusive` an existing file is left alone and `FileExistsError` is raised.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def read_private(path: Path) -> bytes:
    """The content of a file that only its owner can read. Raises `KeyFileError` where others can too."""
    handle = os.open(path, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise KeyFileError(f"{path} has mode {mode:04o}: others can read a private key. Run: chmod 600 {path}")
        return file.read(1024 * 1024)


class KeyFile:
    """Keys in a file, made with a first key where there is none.

    The file is JSON: `{"keys": [{"state": "current", "created": 1730217600, "jwk": {…}}]}`, `created` in seconds since
    the epoch. Raises `KeyFileError`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.path = Path(path)
        if not self.path.exists():
            key = SigningKey.generate(random_bytes)
            entry = {"state": "current", "created": int(clock()), "jwk": key.to_jwk()}
            with contextlib.suppress(FileExistsError):  # another process was first: its key is the one
                write_private(self.path, json.dumps({"keys": [entry]}, indent=1).encode(), exclusive=True)
        self._keys = self._load()

    def _load(self) -> list[tuple[State, SigningKey]]:
        try:
            document = parse_json(read_private(self.path))
            keys = [(entry["state"], SigningKey.from_jwk(entry["jwk"])) for entry in document["keys"]]
        except (JoseError, KeyRejected, KeyError, TypeError) as error:
            raise KeyFileError(f"{self.path} is not a key file: {error}") from error
        if [state for state, _ in keys].count("current") != 1:
            raise KeyFileError(f"{self.path} has not exactly one current key")
        return keys

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return next(key for state, key in self._keys if state == "current")

    def jwks(self) -> Mapping[str, Any]:
        """Next, current and previous keys, public parts only."""
        return {"keys": [{**key.public.jwk, "use": "sig"} for _, key in self._keys]}
