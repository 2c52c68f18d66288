"""The file of a database is its owner's alone."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from .errors import StoreError, StoreUnavailable

log = logging.getLogger(__name__)


def prepare(path: Path) -> None:
    """Make the file (mode 0600) and missing folders (0700), or check those that are there.

    SQLite gives its journal files the mode of the database. Raises `StoreError` where others may read or replace the
    file, `StoreUnavailable` where it cannot be made.
    """
    try:
        for folder in reversed([folder for folder in path.parents if not folder.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        folder_mode = path.parent.stat().st_mode
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is not a file")
    if os.name == "posix":
        _check_modes(path, found.st_mode, folder_mode)


def _check_modes(path: Path, file_mode: int, folder_mode: int) -> None:
    if file_mode & 0o077:
        raise StoreError(f"{path} can be read by others (mode {file_mode & 0o777:o}): chmod 600 {path}")
    if folder_mode & stat.S_IWOTH and not folder_mode & stat.S_ISVTX:
        raise StoreError(f"{path.parent} can be written by everybody: chmod o-w {path.parent}")
    if folder_mode & stat.S_IROTH:
        log.warning("others can list the folder of the database, though not read it: chmod 700 %s", path.parent)
