"""Files that must be their owner's alone: where they are, their modes, and the keys in them (F88)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..keys import KeyFile, KeyFileError
from ..keys.private_files import KeyFileProtected
from .findings import Examination


def examine_file(found: Examination, about: str, path: Path) -> bool:
    """Look at a private file and its folder. Whether it is there and its owner's alone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        found.bad(
            about, f"there is no file {path}", "name the file that is used, or make one with: aauthkit keys create"
        )
        return False
    except OSError as error:
        found.bad(about, f"{path}: {error.strerror}", "let whoever runs this read it")
        return False
    mode = stat.S_IMODE(status.st_mode)
    private = not mode & 0o077
    if private:
        found.good(about, f"{path}, mode {mode:04o}")
    else:
        found.bad(about, f"{path} has mode {mode:04o}: others can read a private key", f"chmod 600 {path}")
    if hasattr(os, "getuid") and status.st_uid not in (os.getuid(), 0):
        found.warn(about, f"{path} belongs to another user (uid {status.st_uid})", f"chown it to uid {os.getuid()}")
    _folder(found, about, path.parent)
    return private


def _folder(found: Examination, about: str, folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        text = f"{folder} has mode {mode:04o}: others can put another file in its place"
        found.bad(about, text, f"chmod go-w {folder}")


def examine_keys(found: Examination, path: Path) -> set[str]:
    """Look at the key file of a server; the kids that it publishes, none where it cannot be read."""
    if not examine_file(found, "key file", path):
        return set()
    try:
        keys = KeyFile(path)
        standing = keys.standing()
        published = {str(key.get("kid")) for key in keys.jwks()["keys"]}
    except KeyFileProtected:
        found.open(
            "keys", "the private keys are sealed, and nothing at hand opens them", "set AAUTHKIT_KEYS_PASSPHRASE"
        )
        return set()
    except KeyFileError as error:
        found.bad("keys", str(error), "put the file right, or make a new one with: aauthkit keys create")
        return set()
    for one in standing:
        found.good("keys", f"{one.state}: {one.alg}, kid {one.kid}")
    if not keys.protected:
        found.good("keys", "private keys guarded by the file's mode alone (`aauthkit keys protect` seals them)")
    return published
