"""`aauthkit audit`: is the log as it was written, what is in it, what proves a request, and what may go."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ..audit import MIGRATIONS, AuditLog, Checkpoints, FileSink, Keeping, read_lines, verify
from ..audit.checkpoints import read_statement, statements
from ..installation import Installation
from ..keys import KeyFile
from ..protocol.jose import JoseError, PublicKey, parse_json, parse_jwk
from ..store import Database
from .failing import CalledWrongly, CommandError
from .places import folder
from .serving import add_server, records

DAY: Final = 24 * 3600
NOT_AS_WRITTEN: Final = 1

Act = Callable[[str, Database, argparse.Namespace], Awaitable[int]]


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `audit`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    check = _command(below, "verify", _verify, "say whether anything was removed, changed, reordered or cut off")
    _add_keys(check)
    check.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        help="checkpoints that were kept outside: finds a cut tail as well (default: the installation's)",
    )
    export = _command(below, "export", _export, "print every entry, a line of JSON each")
    export.add_argument("--kind", metavar="KIND", help="of one kind only: decision, token, revocation, agent, mission")
    export.add_argument("--days", type=int, metavar="N", help="of the last N days only")
    made = _command(below, "checkpoint", _checkpoint, "make a checkpoint now, and print it")
    _add_keys(made)
    made.add_argument(
        "--to", metavar="FILE", type=Path, help="a file that it is appended to as well (default: the installation's)"
    )
    proof = _command(below, "evidence", _evidence, "print what proves a request, which an entry names")
    proof.add_argument("id", metavar="ID")
    prune = _command(below, "prune", _prune, "discard old entries that a checkpoint holds; the rest stays proved")
    _add_keys(prune)
    prune.add_argument("--days", type=int, default=365, metavar="N", help="keep the last N days (default 365)")


def _command(below: Any, name: str, act: Act, words: str) -> argparse.ArgumentParser:
    description = f"{words[0].upper()}{words[1:]}."
    command: argparse.ArgumentParser = below.add_parser(name, help=words, description=description)
    command.add_argument("--json", action="store_true", help="the outcome for a program")
    add_server(command)
    command.set_defaults(run=run, act=act)
    return command


def _add_keys(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--audit-keys",
        type=Path,
        metavar="FILE",
        help="the audit log's key file, or a JWKS of its public keys (default: the installation's)",
    )


def run(options: argparse.Namespace) -> int:
    """One operation on the log of a person server."""

    async def act() -> int:
        async with records(options, "person") as (issuer, database, _):
            await database.migrate(MIGRATIONS)
            code: int = await options.act(issuer, database, options)
            return code

    return asyncio.run(act())


def _keys_file(options: argparse.Namespace) -> Path:
    if options.audit_keys is not None:
        path: Path = options.audit_keys
        return path
    if options.issuer is not None:
        raise CalledWrongly("with --issuer, --audit-keys must be given too")
    return Installation.load(folder(options)).root / "keys" / "audit.jwks"


def _public_keys(path: Path) -> Sequence[PublicKey]:
    """The keys of a key file, or of a JWKS that holds nothing private."""
    try:
        entries = parse_json(path.read_bytes()).get("keys", [])
        if not all("kty" in entry for entry in entries):
            entries = KeyFile(path).jwks()["keys"]
        return [parse_jwk(entry) for entry in entries]
    except (OSError, JoseError, AttributeError, ValueError) as error:
        raise CommandError(f"{path} holds no audit keys: {error}") from error


async def _verify(issuer: str, database: Database, options: argparse.Namespace) -> int:
    outside, kept = None, options.checkpoint
    if kept is None and options.issuer is None:
        kept = Installation.load(folder(options)).checkpoints_file
        kept = kept if kept.exists() else None
    if kept is not None:
        try:
            outside = read_lines(kept)
        except OSError as error:
            raise CommandError(f"{kept} cannot be read: {error}") from error
    report = await verify(database, issuer, _public_keys(_keys_file(options)), outside=outside)
    if options.json:
        document = {
            "good": report.good,
            "entries": report.entries,
            "chains": report.chains,
            "checkpoints": report.checkpoints,
            "findings": [{"where": one.where, "what": one.what} for one in report.findings],
        }
        print(json.dumps(document, indent=2))
        return 0 if report.good else NOT_AS_WRITTEN
    for finding in report.findings:
        print(finding)
    counted = f"entries: {report.entries}, chains: {report.chains}, checkpoints: {report.checkpoints}"
    print(f"{counted}; " + ("as they were written" if report.good else f"{len(report.findings)} not as written"))
    if report.good and outside is None:
        print("  with --checkpoint FILE, checkpoints kept outside, a cut tail would be found as well")
    return 0 if report.good else NOT_AS_WRITTEN


async def _export(issuer: str, database: Database, options: argparse.Namespace) -> int:
    after = int(time.time()) - options.days * DAY if options.days is not None else 0
    async for entry in AuditLog(issuer, database).entries(kind=options.kind, after=after):
        print(json.dumps(entry.document(), ensure_ascii=False, separators=(",", ":")))
    return 0


def _checkpoints(issuer: str, database: Database, options: argparse.Namespace) -> Checkpoints:
    to = getattr(options, "to", None)
    if to is None and options.issuer is None:
        to = Installation.load(folder(options)).checkpoints_file
    return Checkpoints(
        issuer, database, KeyFile(_keys_file(options)).current, sinks=[FileSink(to)] if to is not None else []
    )


async def _checkpoint(issuer: str, database: Database, options: argparse.Namespace) -> int:
    print(await _checkpoints(issuer, database, options).make())
    return 0


async def _evidence(issuer: str, database: Database, options: argparse.Namespace) -> int:
    found = await Keeping(issuer, database).find(options.id)
    if found is None:
        raise CommandError("nothing is kept under this name", "it was never kept, or its time is over")
    print(json.dumps(json.loads(found.text), indent=2))
    return 0


async def _prune(issuer: str, database: Database, options: argparse.Namespace) -> int:
    if options.days < 1:
        raise CalledWrongly("--days is a number from 1")
    keys = _public_keys(_keys_file(options))
    made = await statements(database, issuer)
    if not made:
        raise CommandError("there is no checkpoint yet", "`aauthkit audit checkpoint` makes one")
    try:
        newest = read_statement(made[-1], issuer, keys)
    except ValueError as error:
        raise CommandError(f"the newest checkpoint cannot be used: {error}", "run `aauthkit audit verify`") from error
    log = AuditLog(issuer, database)
    await log.begin()
    heads = {writer: number for writer, (number, _) in newest.heads.items()}
    gone = await log.prune(int(time.time()) - options.days * DAY, heads)
    print(json.dumps({"discarded": gone}) if options.json else f"{gone} entries discarded", file=sys.stdout)
    return 0
