"""`aauthkit fetch`: curl for AAuth. One request, signed and authorized as it needs to be, consent included."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..agent import Agent, AgentHome, Browser, PersonChannel, Terminal
from ..installation import InstallationError
from ..protocol.messages import Answer
from .failing import CommandError
from .places import add_home, home_folder, installation, use


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
        choices=("key", "agent"),
        help="by hand: sign with a bare key, or present the agent token, and show whatever comes back",
    )
    parser.add_argument("--why", metavar="TEXT", help="shown to the person as the agent's own words")
    parser.add_argument("--ask", action="store_true", help="have the person asked even where they agreed before")
    parser.add_argument("--show", choices=("browser", "terminal"), help="how the person is brought to a page")
    parser.add_argument("-i", "--include", action="store_true", help="status and headers too")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not tell what happens on the way")
    parser.add_argument("--json", action="store_true", help="status, headers, body and grant for a program")
    add_home(parser)
    parser.epilog = (
        "What happens on the way is told on standard error. Exit code: 0 below 400, 1 otherwise.\n"
        "examples:\n"
        "  aauthkit fetch http://api.localhost:8700/orders\n"
        "  aauthkit fetch --as agent -i http://api.localhost:8700/orders\n"
        "  aauthkit fetch -d '{\"item\": \"lamp\"}' -H 'Content-Type: application/json' http://api.localhost:8700/orders"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """One request."""
    home = options.home or home_folder()
    with suppress(InstallationError):
        use(installation(options))
    headers, body = _headers(options.header), _body(options.data)
    method = options.method or ("GET" if body is None else "POST")
    if options.level is not None:
        answer = asyncio.run(_by_hand(options, home, method, headers, body or b""))
        return _show(options, answer.status, answer.headers, answer.body, None)
    return asyncio.run(_call(options, home, method, headers, body))


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise CommandError(f"{line!r} is not a header", "write it as 'Name: value'")
        headers.append((name.strip().lower(), value.strip()))
    return headers


def _body(data: str | None) -> bytes | None:
    if data is None:
        return None
    if data == "-":
        return sys.stdin.buffer.read()
    return Path(data[1:]).read_bytes() if data.startswith("@") else data.encode()


def _agent_name(options: argparse.Namespace, home: Path) -> str:
    if options.agent:
        return str(options.agent)
    names = AgentHome(home).names()
    if len(names) == 1:
        return names[0]
    if not names:
        raise CommandError("there is no agent on this machine", "enrol one: aauthkit init NAME")
    raise CommandError("there are several agents on this machine", f"choose with --agent: {', '.join(names)}")


def _channel(options: argparse.Namespace) -> PersonChannel | None:
    return {"browser": Browser(), "terminal": Terminal(), None: None}[options.show]


async def _call(
    options: argparse.Namespace, home: Path, method: str, headers: list[tuple[str, str]], body: bytes | None
) -> int:
    from ..narration import Narrator

    agent = Agent.load(_agent_name(options, home), home=home)
    settings: dict[str, Any] = {"timeout": 60.0}
    if not options.quiet:
        settings["watch"] = Narrator(sys.stderr).watch
    if options.show:
        settings["person"] = _channel(options)
    prompt = "consent" if options.ask else None
    async with agent.client(justification=options.why, prompt=prompt, **settings) as http:
        response = await http.request(method, options.url, headers=headers, content=body)
    fields = tuple((name.lower(), value) for name, value in response.headers.multi_items())
    return _show(options, response.status_code, fields, response.content, response.extensions.get("aauth"))


async def _by_hand(
    options: argparse.Namespace, home: Path, method: str, headers: list[tuple[str, str]], body: bytes
) -> Answer:
    """One request at one step of the scale, its answer as it is."""
    from ..byhand import agent_credential, bare_credential, prepare
    from ..egress import Egress, Http

    egress = Egress.from_environment()
    async with Http(egress) as http:
        if options.level == "key":
            credential = bare_credential()
        else:
            credential = await agent_credential(_agent_name(options, home), http, egress, home=home)
        return await prepare(method, options.url, credential, egress, headers=headers, body=body).send(http)


def _show(
    options: argparse.Namespace, status: int, headers: tuple[tuple[str, str], ...], body: bytes, grant: Any
) -> int:
    if options.json:
        outcome: dict[str, Any] = {"status": status, "headers": headers, "body": body.decode("utf-8", "replace")}
        if grant is not None:
            outcome["aauth"] = _plain(grant)
        print(json.dumps(outcome, indent=2, ensure_ascii=False))
        return 0 if status < 400 else 1
    if options.include:
        print(f"HTTP {status}")
        print("".join(f"{name}: {value}\n" for name, value in headers))
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    if body and not body.endswith(b"\n") and sys.stdout.isatty():
        print()
    return 0 if status < 400 else 1


def _plain(value: Any) -> Any:
    """A grant as JSON: sets as lists."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, set | frozenset | tuple | list):
        return sorted(map(str, value))
    return value if isinstance(value, str | int | float | bool | None) else str(value)
