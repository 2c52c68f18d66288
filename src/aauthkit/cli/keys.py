"""`aauthkit keys`: the key file of a server or a self-hosted agent, made, looked at, rotated, protected."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ..inspection import relative
from ..keys import PUBLISHED_BEFORE, KeyFile, KeyFileError, KeyFileProtected, KeyStanding, Seal, read_private
from .failing import CalledWrongly, CommandError

ALGORITHMS: Final = ("Ed25519", "ES256")
SECRETS: Final = (
    "A protected file is opened by AAUTHKIT_KEYS_PASSPHRASE, or by AAUTHKIT_KEYS_KEY (32 bytes in\n"
    "base64url); with _FILE added, either names a file that holds it. At a terminal it is asked for."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `keys`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    create = below.add_parser("create", help="make one, of mode 0600", description="Make a key file with a first key.")
    create.add_argument("--alg", choices=ALGORITHMS, default="Ed25519", help="the key's algorithm (default Ed25519)")
    show = below.add_parser("show", help="its keys, and which one signs", description="Show the keys of a key file.")
    show.add_argument("--jwks", action="store_true", help="the public keys alone, as they are published")
    rotate = below.add_parser(
        "rotate",
        help="publish a next key, which signs from then on",
        description="Publish a next key at once; it signs two minutes later at the earliest. Running servers follow.",
    )
    rotate.add_argument("--alg", choices=ALGORITHMS, help="the next key's algorithm (default: as before)")
    rotate.add_argument(
        "--delay",
        type=int,
        default=PUBLISHED_BEFORE,
        metavar="SECONDS",
        help=f"when it signs; longer where the keys are published by hand (default {PUBLISHED_BEFORE})",
    )
    protect = below.add_parser(
        "protect",
        help="seal its private keys",
        description="Seal the private keys under a passphrase or a key, or under another one.",
    )
    secret = protect.add_mutually_exclusive_group()
    secret.add_argument("--passphrase-file", type=Path, metavar="FILE", help="the new passphrase, in a file")
    secret.add_argument("--remove", action="store_true", help="leave the private keys open, in a file of mode 0600")
    for command, act in ((create, _create), (show, _show), (rotate, _rotate), (protect, _protect)):
        command.add_argument("file", type=Path, metavar="FILE", help="the key file")
        command.add_argument("--json", action="store_true", help="the outcome for a program")
        command.epilog = SECRETS
        command.set_defaults(run=run, act=act)


def run(options: argparse.Namespace) -> int:
    """One operation on a key file."""
    options.act(options)
    return 0


def _create(options: argparse.Namespace) -> None:
    _told(options, KeyFile.create(options.file, alg=options.alg))


def _show(options: argparse.Namespace) -> None:
    keys = _open(options.file)
    if options.jwks:
        print(json.dumps(keys.jwks(), indent=2))
    else:
        _told(options, keys)


def _rotate(options: argparse.Namespace) -> None:
    if options.delay < PUBLISHED_BEFORE:
        raise CalledWrongly(
            f"--delay {options.delay} is too short: verifiers look once a minute, so a key is published "
            f"{PUBLISHED_BEFORE} s before it signs"
        )
    keys = _open(options.file)
    waiting = next((one for one in keys.standing() if one.state == "next"), None)
    following = keys.rotate(delay=options.delay, alg=options.alg)
    if not options.json and waiting is not None:
        print(f"a next key is published already: {following.kid}", file=sys.stderr)
    _told(options, keys)


def _protect(options: argparse.Namespace) -> None:
    keys = _open(options.file)
    keys.protect(None if options.remove else _new_seal(options, keys))
    _told(options, keys)


def _open(path: Path) -> KeyFile:
    """The key file, which is there; its passphrase is asked for where it needs one and the environment has none."""
    if not path.exists():
        raise CommandError(f"there is no key file {path}", f"make one with: aauthkit keys create {path}")
    try:
        return KeyFile(path)
    except KeyFileProtected:
        if not sys.stdin.isatty():
            raise
    return KeyFile(path, seal=Seal.passphrase(getpass.getpass(f"passphrase of {path}: ")))


def _new_seal(options: argparse.Namespace, keys: KeyFile) -> Seal:
    """What the file is sealed under from now on."""
    if options.passphrase_file is not None:
        try:
            return Seal.passphrase(read_private(options.passphrase_file).decode().rstrip("\r\n"))
        except UnicodeDecodeError as error:
            raise KeyFileError(f"{options.passphrase_file} is not text") from error
    held = Seal.from_environment()
    if held is not None and not keys.protected:
        return held
    if not sys.stdin.isatty():
        raise CalledWrongly(
            "no new passphrase was given; nothing was changed",
            "name a file with --passphrase-file, or set AAUTHKIT_KEYS_PASSPHRASE for a file that is not protected yet",
        )
    passphrase = getpass.getpass("new passphrase: ")
    if getpass.getpass("once more: ") != passphrase:
        raise CommandError("the two differ; nothing was changed", "try again")
    return Seal.passphrase(passphrase)


def _told(options: argparse.Namespace, keys: KeyFile) -> None:
    standing = keys.standing()
    if options.json:
        outcome: dict[str, Any] = {"file": str(keys.path), "protected": keys.protected}
        print(json.dumps({**outcome, "keys": [asdict(one) for one in standing]}, indent=2))
        return
    print(f"{keys.path}: {'protected' if keys.protected else 'not protected'}, readable by its owner alone")
    print("\n".join(described(standing, time.time())))


def described(standing: Sequence[KeyStanding], now: float) -> list[str]:
    """Keys as lines for a reader."""
    return [f"  {one.state:<8}  {one.kid}  {one.alg:<7}  {_time(one, now)}" for one in standing]


def _time(one: KeyStanding, now: float) -> str:
    if one.state == "next":
        return f"signs {relative(one.signs_from - now)}"
    if one.state == "current":
        return f"signs, began {relative(one.signs_from - now)}"
    return f"published still, lapses {relative(one.until - now)}" if one.until is not None else "published still"
