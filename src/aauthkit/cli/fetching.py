"""`aauthkit fetch`: curl for AAuth. One request, signed and authorized as it needs to be, consent included."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..agent import Agent
from ..egress import Egress
from ..inspection import plain
from ..installation import Installation
from ..narration import LEVELS, Narrator
from ..protocol.messages import Answer
from ..protocol.tokens import AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from .acting import CHANNELS, add_mission, agent_name, manner, mission_of, telling
from .failing import CalledWrongly
from .places import add_home, egress_for, folder, installed

if TYPE_CHECKING:
    from ..keys import Keys

ROLES: Final = (RESOURCE_DWK, PERSON_DWK, AGENT_DWK)
"""The documents under which a server may publish the keys it signs with."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
TIMEOUT: Final = 60.0
"""Seconds that a server may be silent."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `fetch`."""
    parser.add_argument("url", metavar="URL")
    parser.add_argument("-X", "--method", help="default: GET, or POST with a body")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    parser.add_argument("-d", "--data", metavar="TEXT", help="the body; @FILE reads one, - reads standard input")
    parser.add_argument("--agent", metavar="NAME", help="as which agent (default: the only one on this machine)")
    parser.add_argument(
        "--as",
        dest="level",
        choices=("key", "agent", "server"),
        help="by hand: sign with a bare key, the agent token, or a server's own key, and show whatever comes back",
    )
    parser.add_argument("--issuer", metavar="URL", help="with --as server: its identifier")
    parser.add_argument("--keys", metavar="FILE", type=Path, help="with --as server: its key file")
    parser.add_argument(
        "--role",
        choices=ROLES,
        default=ROLES[0],
        help=f"with --as server: the document its keys are published by (default: {ROLES[0]})",
    )
    parser.add_argument(
        "--describe",
        action="store_true",
        help="call nothing; say what the resource offers and what the agent, or whoever --as names, lacks",
    )
    add_mission(parser)
    parser.add_argument("--why", metavar="TEXT", help="shown to the person as the agent's own words")
    parser.add_argument("--ask", action="store_true", help="have the person asked even where they agreed before")
    parser.add_argument("--show", choices=tuple(CHANNELS), help="how the person is brought to a page")
    parser.add_argument("-i", "--include", action="store_true", help="status and headers too")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not tell what happens on the way")
    parser.add_argument("--json", action="store_true", help="status, headers, body and grant for a program")
    add_home(parser)
    parser.epilog = (
        "What happens on the way is told on standard error. Exit code: 0 below 400, 1 otherwise.\n"
        "Redirects are shown, not followed.\n"
        "examples:\n"
        "  aauthkit fetch http://api.localhost:8700/orders\n"
        "  aauthkit fetch --as agent -i http://api.localhost:8700/orders\n"
        "  aauthkit fetch -H 'Content-Type: application/json' -d '{\"item\": \"lamp\"}' \\\n"
        "      http://api.localhost:8700/orders"
    )
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes | None = field(repr=False)


def run(options: argparse.Namespace) -> int:
    """One request."""
    request = _request(options)
    found = installed(options)
    with telling(options, found) as narrator:
        if options.describe:
            return asyncio.run(_describe(options, found))
        if options.level is not None:
            return asyncio.run(_by_hand(options, request, found, narrator))
        return asyncio.run(_call(options, request, found, narrator))


def _request(options: argparse.Namespace) -> _Request:
    """What the options ask for. Raises `CalledWrongly`."""
    if "://" not in options.url:
        raise CalledWrongly(f"{options.url} is not a whole URL", f"did you mean https://{options.url}")
    if options.level is not None and (options.why or options.ask or options.show or options.mission):
        raise CalledWrongly("--as makes one request by hand, so that --why, --ask, --show and --mission say nothing")
    if options.level == "key" and options.agent:
        raise CalledWrongly(
            "--as key signs with a fresh key and not as an agent", "leave --agent out, or use --as agent"
        )
    if (options.level == "server") != bool(options.issuer and options.keys) and not options.describe:
        raise CalledWrongly("a server signs in its own name", "use --as server with both --issuer URL and --keys FILE")
    headers = [_header(line) for line in options.header]
    body = _body(options.data)
    method = options.method or ("GET" if body is None else "POST")
    if not _TOKEN.match(method):
        raise CalledWrongly(f"{method!r} is not an HTTP method")
    return _Request(method, options.url, headers, body)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _TOKEN.match(name.strip()):
        raise CalledWrongly(f"{line!r} is not a header", "write it as 'Name: value'")
    if not value.strip().isprintable() or not value.isascii():
        raise CalledWrongly(f"the value of {name.strip()} holds characters that no header field may hold")
    return name.strip().lower(), value.strip()


def _body(data: str | None) -> bytes | None:
    if data is None:
        return None
    if data == "-":
        return sys.stdin.buffer.read()
    return Path(data[1:]).read_bytes() if data.startswith("@") else data.encode(errors="surrogateescape")


async def _describe(options: argparse.Namespace, found: Installation | None) -> int:
    """What the resource offers, and what whoever `--as` names lacks for it; nothing is signed."""
    from .describing import describe, describe_by_hand

    if options.level in ("key", "server"):
        return await describe_by_hand(options.url, egress_for(found), as_json=options.json)
    egress = egress_for(found) if found else None
    agent = Agent.load(agent_name(options), home=folder(options), egress=egress)
    return await describe(agent, options.url, as_json=options.json)


async def _call(
    options: argparse.Namespace, request: _Request, found: Installation | None, narrator: Narrator | None
) -> int:
    agent = Agent.load(agent_name(options), home=folder(options), egress=egress_for(found) if found else None)
    settings: dict[str, Any] = {"timeout": TIMEOUT, **manner(options, narrator)}
    if options.ask:
        settings["prompt"] = "consent"
    if options.mission:
        settings["mission"] = mission_of(agent, options.mission)
    async with (
        agent.client(**settings) as http,
        http.stream(request.method, request.url, headers=request.headers, content=request.body) as response,
    ):
        headers = tuple((name.lower(), value) for name, value in response.headers.multi_items())
        if options.json:
            answer = Answer(response.status_code, headers, await response.aread())
            return _as_json(answer, response.extensions.get("aauth"))
        _head(options, response.status_code, headers)
        last = b""
        async for last in response.aiter_bytes():
            sys.stdout.buffer.write(last)
            sys.stdout.buffer.flush()
        return _end(response.status_code, last)


def _key_file(path: Path) -> Keys:
    """The keys in a file that is there: a server that signs has published them."""
    from ..keys import KeyFile

    if not path.exists():
        raise CalledWrongly(f"{path} is not there", f"make one: aauthkit keys create {path}")
    return KeyFile(path)


async def _by_hand(
    options: argparse.Namespace, request: _Request, found: Installation | None, narrator: Narrator | None
) -> int:
    """One request at one step of the scale, its answer as it is."""
    from ..byhand import agent_credential, bare_credential, prepare, server_credential
    from ..egress import Http
    from ..protocol.headers import HeaderError, parse_requirement, parse_signature_error

    egress: Egress = egress_for(found)
    async with Http(egress) as http:
        if options.level == "key":
            credential = bare_credential()
        elif options.level == "server":
            credential = server_credential(options.issuer, options.role, _key_file(options.keys), egress)
        else:
            credential = await agent_credential(agent_name(options), http, egress, home=folder(options))
        prepared = prepare(
            request.method, request.url, credential, egress, headers=request.headers, body=request.body or b""
        )
        if narrator is not None:
            narrator.sent(request.method, request.url, LEVELS.get(options.level, "signed in a server's own name"))
        answer = await prepared.send(http)
    if narrator is not None:
        try:
            requirement = parse_requirement(answer.values("aauth-requirement"))
            error = parse_signature_error(answer.values("signature-error"))
        except HeaderError as fault:
            narrator.bad(str(fault))
            requirement = error = None
        asked = [f"requirement={requirement.value}"] if requirement else []
        narrator.answered(answer.status, " ".join([*asked, *([error.error] if error else [])]))
    if options.json:
        return _as_json(answer, None)
    _head(options, answer.status, answer.headers)
    sys.stdout.buffer.write(answer.body)
    return _end(answer.status, answer.body)


def _as_json(answer: Answer, aauth: Any) -> int:
    outcome: dict[str, Any] = {"status": answer.status, "headers": answer.headers}
    try:
        outcome["body"] = answer.body.decode()
    except UnicodeDecodeError:
        outcome["body_base64"] = base64.b64encode(answer.body).decode()
    if aauth is not None:
        outcome["aauth"] = _jsonable(aauth)
    print(json.dumps(outcome, indent=2, ensure_ascii=False))
    return int(answer.status >= 400)


def _head(options: argparse.Namespace, status: int, headers: tuple[tuple[str, str], ...]) -> None:
    if options.include:
        print(f"HTTP {status}")
        print("".join(f"{name}: {plain(value)}\n" for name, value in headers))
    sys.stdout.flush()


def _end(status: int, last: bytes) -> int:
    """What a shell shows next begins on a line of its own."""
    if last and not last.endswith(b"\n") and sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    return int(status >= 400)


def _jsonable(value: Any) -> Any:
    """What a response's extensions say, as JSON: sets as sorted lists."""
    if isinstance(value, dict):
        return {name: _jsonable(inner) for name, inner in value.items()}
    if isinstance(value, set | frozenset | tuple | list):
        return sorted(map(str, value))
    return value if isinstance(value, str | int | float | bool | None) else str(value)
