"""`aauthkit doctor`: what is wrong with an agent, a resource or a server, and what mends it."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Final

from ..agent.home import AgentHome
from ..egress import Egress
from ..examining import Examination, examine_agent, examine_installed, examine_keys, examine_server, lines, summary
from ..installation import Installation
from ..protocol.tokens import AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from .failing import CalledWrongly
from .places import add_home, egress_for, folder, installed

ROLES: Final = {"provider": AGENT_DWK, "person": PERSON_DWK, "resource": RESOURCE_DWK}


WHATS: Final = ("agent", *ROLES)


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `doctor`."""
    parser.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help=f"{', '.join(WHATS[:-1])} or {WHATS[-1]} (default: all agents and servers of this machine)",
    )
    parser.add_argument("name", nargs="?", metavar="NAME|URL", help="the agent's name, or the server's identifier")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="the server's key file, where it is on this machine")
    parser.add_argument("--json", action="store_true", help="the findings for a program")
    add_home(parser)
    parser.epilog = (
        "Published documents are read, and every endpoint is asked once, unsigned, what it says to that.\n"
        "For an agent, one agent token is fetched as well.\n"
        "✓ as it should be, ! works but look at it, ✗ to mend, ? cannot be told from here.\n"
        "Exit code: 0 nothing has to be mended, 1 something has.\n"
        "examples:\n"
        "  aauthkit doctor\n"
        "  aauthkit doctor agent planner\n"
        "  aauthkit doctor resource https://api.example --keys keys/api.jwks --json"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine, and tell."""
    if options.what not in (None, *WHATS):
        raise CalledWrongly(f"{options.what!r} is nothing to examine", f"aauthkit doctor {'|'.join(WHATS)} …")
    found = installed(options)
    examined = asyncio.run(_examine(options, found, egress_for(found)))
    well = all(each.well for each in examined)
    if options.json:
        print(
            json.dumps({"well": well, "examined": [each.as_json() for each in examined]}, indent=2, ensure_ascii=False)
        )
        return 0 if well else 1
    whole = Examination("", inside=examined)
    for each in examined:
        print("\n".join([*lines(each), ""]))
    print(summary(whole))
    return 0 if well else 1


async def _examine(options: argparse.Namespace, found: Installation | None, egress: Egress) -> list[Examination]:
    machine = examine_installed(server=options.what not in ("agent", "resource"))
    if options.what is None:
        return [machine, *await _everything(options, found, egress)]
    if options.what == "agent":
        return [machine, await _agent(options, egress)]
    return [machine, *await _server(options, found, egress)]


async def _agent(options: argparse.Namespace, egress: Egress) -> Examination:
    if options.name is None:
        names = ", ".join(AgentHome(folder(options)).names()) or "there is none yet: aauthkit init NAME"
        raise CalledWrongly("which agent?", f"aauthkit doctor agent NAME, of: {names}")
    return await examine_agent(options.name, home=folder(options), egress=egress)


async def _server(options: argparse.Namespace, found: Installation | None, egress: Egress) -> list[Examination]:
    own = {"provider": found.provider, "person": found.person} if found is not None else {}
    issuer = options.name or own.get(options.what)
    if issuer is None:
        raise CalledWrongly(f"which {options.what}?", f"aauthkit doctor {options.what} https://host")
    file = options.keys
    if file is None and found is not None and issuer == own.get(options.what):
        file = found.root / "keys" / f"{options.what}.jwks"
    return await _one(issuer, ROLES[options.what], file, egress)


async def _one(issuer: str, dwk: str, keys: Path | None, egress: Egress) -> list[Examination]:
    examined: list[Examination] = []
    kids: set[str] = set()
    if keys is not None:
        files = Examination(f"the keys of {issuer}")
        kids = examine_keys(files, keys)
        examined.append(files)
    return [*examined, await examine_server(issuer, dwk, egress, expected_kids=kids)]


async def _everything(options: argparse.Namespace, found: Installation | None, egress: Egress) -> list[Examination]:
    examined: list[Examination] = []
    if found is not None:
        for name, issuer in (("provider", found.provider), ("person", found.person)):
            examined += await _one(issuer, ROLES[name], found.root / "keys" / f"{name}.jwks", egress)
    for name in AgentHome(folder(options)).names():
        examined.append(await examine_agent(name, home=folder(options), egress=egress))
    return examined
