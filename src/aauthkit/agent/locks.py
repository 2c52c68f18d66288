"""Locks by name among the processes of one agent: what one of them obtains, the others wait for.

They are locks of the operating system on files of a folder that is the owner's alone, so a process that dies holds
none. A file is removed before its lock is given up, and whoever then gets the lock of a removed file tries anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # pragma: no cover - a system without such locks
    fcntl = None  # type: ignore[assignment]

SHORTEST_PAUSE: Final = 0.01
"""Seconds before a lock that is taken is tried for the first time again; longer each time, up to `LONGEST_PAUSE`."""
LONGEST_PAUSE: Final = 0.25

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def digest_of(*name: object) -> str:
    """A file name for what `name` tells from others, which says nothing of it."""
    return hashlib.sha256(json.dumps(name).encode()).hexdigest()[:40]


def own_folder(folder: Path) -> None:
    """Make `folder`, readable by its owner only. Raises `OSError` for one that is another's or open to others (F88)."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if not is_own(found):
        raise PermissionError(f"{folder} is another user's, or open to others. Run: chmod 700 {folder}")


def is_own(found: os.stat_result) -> bool:
    """Whether something belongs to this user and to nobody else."""
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077 if hasattr(os, "geteuid") else True


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held, until `release`."""

    path: Path
    handle: int

    def release(self) -> None:
        """Give it up; a forked child that has the file open, too, holds it no longer either."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        with contextlib.suppress(OSError):
            if fcntl is not None:
                fcntl.flock(self.handle, fcntl.LOCK_UN)
        os.close(self.handle)


class Locks:
    """The locks in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def attempt(self, *name: object) -> Lock | None:
        """The lock of that name, or `None` while anybody else holds it. Raises `OSError` where there can be none."""
        own_folder(self._folder)
        path = self._folder / f"{digest_of(*name)}.lock"
        while True:
            lock = Lock(path, os.open(path, _FLAGS, 0o600))
            try:
                if fcntl is not None:
                    fcntl.flock(lock.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock.handle)
                return None
            except BaseException:
                os.close(lock.handle)
                raise
            if self._stands(lock):
                return lock
            os.close(lock.handle)

    @staticmethod
    def _stands(lock: Lock) -> bool:
        try:
            return os.path.samestat(os.stat(lock.path), os.fstat(lock.handle))
        except FileNotFoundError:
            return False

    @contextlib.asynccontextmanager
    async def held(self, *name: object, limit: float | None = None) -> AsyncIterator[None]:
        """Hold the lock of that name; the event loop goes on while another process has it.

        After `limit` seconds it is gone on without: rather asked twice than never. Raises `OSError`.
        """
        waited, pause = 0.0, SHORTEST_PAUSE
        lock = self.attempt(*name)
        while lock is None and (limit is None or waited < limit):
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
            lock = self.attempt(*name)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()
