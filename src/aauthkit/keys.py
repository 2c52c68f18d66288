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
from typing import Any, Literal, Protocol, cast, get_args

from .protocol.jose import JoseError, SigningKey, parse_json

State = Literal["next", "current", "previous"]
"""Published and not yet used, signing now, published until its last token has expired."""


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
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Keep the file's name, too, through a loss of power: a key that signed must not be gone after it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not every file system does this for a folder
            os.fsync(handle)
    finally:
        os.close(handle)


def read_private(path: Path) -> bytes:
    """The content of a file that only its owner can read.

    Raises `KeyFileError` where others can too, and `OSError` where it cannot be opened.
    """
    with path.open("rb") as file:
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
        try:
            if not self.path.exists():
                self._make(random_bytes, int(clock()))
            content = read_private(self.path)
        except OSError as error:
            raise KeyFileError(f"{self.path}: {error.strerror}") from error
        try:
            self._keys = _read_keys(parse_json(content))
        except JoseError as error:
            raise KeyFileError(f"{self.path} is not a key file: {error}") from error

    def _make(self, random_bytes: Callable[[int], bytes], now: int) -> None:
        entry = {"state": "current", "created": now, "jwk": SigningKey.generate(random_bytes).to_jwk()}
        with contextlib.suppress(FileExistsError):  # another process was first: its key is the one
            write_private(self.path, json.dumps({"keys": [entry]}, indent=1).encode(), exclusive=True)

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return next(key for state, key in self._keys if state == "current")

    def jwks(self) -> Mapping[str, Any]:
        """Next, current and previous keys, public parts only."""
        return {"keys": [{**key.public.jwk, "use": "sig"} for _, key in self._keys]}


def _read_keys(document: Mapping[str, Any]) -> list[tuple[State, SigningKey]]:
    """The keys of a key file with their states. Raises `JoseError`."""
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise JoseError("it holds no list of keys")
    keys: list[tuple[State, SigningKey]] = []
    for entry in entries:
        state = entry.get("state") if isinstance(entry, Mapping) else None
        if state not in get_args(State):
            raise JoseError("the state of a key is one of " + ", ".join(get_args(State)))
        keys.append((cast("State", state), SigningKey.from_jwk(entry.get("jwk"))))
    if [state for state, _ in keys].count("current") != 1:
        raise JoseError("it has not exactly one current key")
    if len({key.kid for _, key in keys}) != len(keys):
        raise JoseError("it holds one key twice")
    return keys
