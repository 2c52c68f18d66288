"""`aauthkit explain`: why a signed request was refused, from what was captured of it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..egress import Egress
from ..explaining import (
    FORMS,
    Captured,
    CaptureError,
    belief_of,
    explain,
    read_capture,
    read_time,
    signer_base,
    tell,
)
from ..explaining.captured import MAX_CAPTURE
from ..protocol.jose import JoseError, PublicKey, parse_json, parse_jwk
from ..protocol.tokens import SIGNATURE_WINDOW
from .failing import CalledWrongly, CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `explain`."""
    parser.add_argument(
        "request",
        metavar="FILE",
        nargs="?",
        default="-",
        help="a captured request: raw HTTP, the output of curl -v, a HAR entry or file, or JSON; - for standard input",
    )
    parser.add_argument("--format", choices=FORMS, default="auto", help="what the file is (default: by its looks)")
    server = parser.add_argument_group("what the server believes")
    server.add_argument("--identifier", metavar="URL", help="its server identifier, https://host")
    server.add_argument("--authority", metavar="HOST[:PORT]", help="its authority alone")
    server.add_argument("--target", metavar="PATH", help="the path and query as it saw them")
    server.add_argument("--at", metavar="TIME", help="what its clock showed (default: the Date of its answer)")
    server.add_argument(
        "--window", type=int, default=SIGNATURE_WINDOW, metavar="SECONDS", help="its signature window (default: 60)"
    )
    server.add_argument("--require", action="append", default=[], metavar="COMPONENT", help="what must be covered, too")
    signer = parser.add_argument_group("what the signer says")
    signer.add_argument("--signer-base", type=Path, metavar="FILE", help="the signature base that it signed")
    signer.add_argument("--keys", type=Path, metavar="FILE", help="public keys that may have signed: a JWK or a JWKS")
    parser.add_argument("--json", action="store_true", help="the explanation for a program")
    parser.epilog = (
        "Nothing is fetched or sent, and no private key is needed. Tokens are shortened in what is printed.\n"
        "Exit code: 0 the signature verifies, or nothing was found wrong; 1 a cause was found.\n"
        "examples:\n"
        "  curl -v ... 2>&1 | aauthkit explain --identifier https://api.example\n"
        "  aauthkit explain got.http --identifier https://api.example --target /orders --at 1795000000\n"
        "  aauthkit explain network.har --identifier https://api.example --signer-base base.txt --json"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain one request."""
    try:
        captured = read_capture(_read(options.request), options.format)
        explanation = explain(
            captured,
            belief_of(
                captured,
                identifier=options.identifier,
                authority=options.authority,
                target=_target(options.target, captured),
                now=read_time(options.at) if options.at is not None else None,
                window=options.window,
                components=tuple(name.lower() for name in options.require),
                loopback=Egress.from_environment().loopback,
            ),
            signer_base=signer_base(options.signer_base.read_bytes()) if options.signer_base is not None else None,
            keys=_keys(options.keys) if options.keys is not None else (),
        )
    except CaptureError as error:
        raise CommandError(str(error), "aauthkit explain --help shows what can be given") from error
    print(json.dumps(explanation.as_json(), indent=2, ensure_ascii=False) if options.json else tell(explanation))
    return 1 if explanation.causes else 0


def _read(name: str) -> bytes:
    if name != "-":
        with Path(name).open("rb") as file:
            return file.read(MAX_CAPTURE + 1)
    if sys.stdin.isatty():
        print("reading the request from the terminal: paste it, then end the input with Ctrl-D", file=sys.stderr)
    return sys.stdin.buffer.read(MAX_CAPTURE + 1)


def _target(given: str | None, captured: Captured) -> str | None:
    """`--target`, which begins with a slash; a path alone keeps no query that the server did not see."""
    if given is not None and not given.startswith("/"):
        raise CalledWrongly(
            "--target begins with a slash", f"the request was sent for {captured.target.partition('?')[0]}"
        )
    return given


def _keys(file: Path) -> list[PublicKey]:
    """The public keys in a file. Raises `CommandError` where there is none that can be used."""
    try:
        document = parse_json(file.read_bytes())
        members = document["keys"] if isinstance(document.get("keys"), list) else [document]
        return [parse_jwk(member) for member in members]
    except JoseError as error:
        raise CommandError(f"{file}: {error}", "give a JWK, or a JWKS, with public keys that have an alg") from error
