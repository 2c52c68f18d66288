"""Files that are their owner's alone: written whole with mode 0600, refused where others can read them (F88)."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_FILE: Final = 1024 * 1024
"""Most bytes that are read of a private file."""

Identity = tuple[int, ...]
"""What tells that a file is the one that was read: it changes with every write."""


class KeyFileError(Exception):
    """A key file that cannot be used; the message says which and what to do."""


class KeyFileProtected(KeyFileError):
    """A protected key file, and nothing at hand that opens it."""


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
    return read_identified(path)[0]


def read_identified(path: Path) -> tuple[bytes, Identity]:
    """As `read_private`, with the identity of what was read."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise KeyFileError(f"{path} has mode {mode:04o}: others can read a private key. Run: chmod 600 {path}")
        return file.read(MAX_FILE), _identity(found)


def identity_of(path: Path) -> Identity:
    """The identity of the file that stands there now. Raises `OSError`."""
    return _identity(os.stat(path))


def _identity(found: os.stat_result) -> Identity:
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_dev)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process that changes a file of this folder under the same lock out, until the block ends.

    The folder itself is locked: a file that is replaced cannot carry the lock, and nothing is left lying about.
    """
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
