"""What the commands of an agent have in common: as which agent, how a person is reached, how it is told."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from ..agent import Agent, AgentHome, Browser, Mission, PersonChannel, Terminal, TerminalAnswers
from ..agent.person import default_channel
from ..inspection import plain
from ..installation import Installation
from ..narration import Beside, Narrator
from .failing import CalledWrongly, CommandError, explain
from .places import add_home, egress_for, folder, installed, with_next_step

CHANNELS: Final = {"browser": Browser, "terminal": Terminal}
SHORTEST_PREFIX: Final = 6
"""Fewest characters by which a mission may be named."""


def add_actor(parser: argparse.ArgumentParser, *, mission: bool = True) -> None:
    """`--agent`, `--why`, `--show`, `--quiet`, `--json`, `--home`, and `--mission`."""
    parser.add_argument("--agent", metavar="NAME", help="as which agent (default: the only one on this machine)")
    if mission:
        add_mission(parser)
    parser.add_argument("--why", metavar="TEXT", help="shown to the person as the agent's own words")
    parser.add_argument("--show", choices=tuple(CHANNELS), help="how the person is brought to a page")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not tell what happens on the way")
    parser.add_argument("--json", action="store_true", help="the outcome for a program")
    add_home(parser)


def add_mission(parser: argparse.ArgumentParser) -> None:
    """`--mission`."""
    parser.add_argument("--mission", metavar="S256", help="within this mission; its beginning is enough")


def agent_name(options: argparse.Namespace) -> str:
    """The agent that the options mean. Raises `CommandError`, `CalledWrongly`."""
    if options.agent:
        return str(options.agent)
    home = AgentHome(folder(options))
    names = home.names()
    if len(names) == 1:
        return names[0]
    if not names:
        raise CommandError(f"there is no agent in {home.folder}", "enrol one: aauthkit init NAME")
    raise CalledWrongly(f"there are several agents: {', '.join(names)}", "choose one with --agent NAME")


def channel(options: argparse.Namespace) -> PersonChannel:
    """The way to the person that the options mean."""
    return CHANNELS[options.show]() if options.show else default_channel()


def manner(options: argparse.Namespace, narrator: Narrator | None) -> dict[str, Any]:
    """How something is asked: the person, who answers them, and who is told."""
    settings: dict[str, Any] = {"person": channel(options)}
    if sys.stdin.isatty() and sys.stderr.isatty():
        settings["answer"] = TerminalAnswers()
    if narrator is not None:
        settings |= {"watch": narrator.watch, "person": Beside(narrator, settings["person"])}
    if options.why is not None:
        settings["justification"] = options.why
    return settings


def mission_of(agent: Agent, named: str) -> Mission:
    """The kept mission whose identifier begins so. Raises `CalledWrongly`."""
    found = [one for one in agent.missions() if one.s256.startswith(named)] if len(named) >= SHORTEST_PREFIX else []
    if len(found) != 1:
        what = "several missions begin" if found else "no mission that is kept here begins"
        raise CalledWrongly(f"{what} with {named[:64]!r}", "see them with: aauthkit mission list")
    return found[0]


@contextmanager
def telling(options: argparse.Namespace, found: Installation | None) -> Iterator[Narrator | None]:
    """Who tells what happens; a failure comes out as a `CommandError` with its next step."""
    narrator = None if options.quiet else Narrator(sys.stderr)
    if narrator is not None and egress_for(found).loopback.origins:
        narrator.aside("loopback profile: http is accepted for what is listed on this machine")
    try:
        yield narrator
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        raise with_next_step(failure, found) from error
    finally:
        if narrator is not None:
            narrator.done()


Act = Callable[[Agent, Mission | None, dict[str, Any]], Awaitable[int]]


def act(options: argparse.Namespace, does: Act) -> int:
    """Have the agent that the options mean do something, within their mission, in their manner."""
    found = installed(options)
    with telling(options, found) as narrator:
        agent = Agent.load(agent_name(options), home=folder(options), egress=egress_for(found) if found else None)
        mission = mission_of(agent, options.mission) if options.mission else None

        async def run() -> int:
            return await does(agent, mission, manner(options, narrator))

        return asyncio.run(run())


def show(options: argparse.Namespace, document: Any, lines: list[str]) -> None:
    """The outcome, for a program or in words."""
    if options.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print("\n".join(plain(line) for line in lines))


def moment(seconds: float | None) -> str | None:
    """A time in UTC, as people and programs read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds is not None else None
