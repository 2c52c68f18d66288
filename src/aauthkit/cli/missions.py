"""`aauthkit mission`: propose one, list and show those that are kept, change them, and have them accepted as done."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from ..agent import Agent, Mission
from .acting import act, add_actor, moment, show
from .failing import CalledWrongly


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommands of `mission`."""
    below = parser.add_subparsers(dest="what", metavar="WHAT", required=True)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return below.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")

    propose = command("propose", "propose a mission, and wait until somebody has decided")
    propose.add_argument("description", metavar="TEXT", help="what the agent sets out to do, in Markdown, or @FILE")
    propose.add_argument("--tool", action="append", default=[], metavar="'NAME: WHAT IT DOES'", help="may be repeated")
    propose.add_argument("--resource", action="append", default=[], metavar="URL", help="may be repeated")
    propose.add_argument("--limits", metavar="JSON", help="such as '{\"tokens\": 5}'; see docs/missions.md")
    propose.add_argument("--expires", metavar="TIME", help="when it ends by itself, such as 2026-12-24T18:00:00+01:00")
    propose.set_defaults(run=_propose)
    listed = command("list", "the missions that are kept here")
    listed.set_defaults(run=_list)
    shown = command("show", "one of them")
    shown.set_defaults(run=_show)
    update = command("update", "have a change of the work accepted")
    update.set_defaults(run=_update)
    complete = command("complete", "have it accepted as done")
    complete.set_defaults(run=_complete)
    for each in (shown, update, complete):
        each.add_argument("mission", metavar="S256", help="its identifier, or how that begins")
    update.add_argument("description", metavar="TEXT", help="what changed, in Markdown; @FILE reads it")
    complete.add_argument("summary", metavar="TEXT", help="what was accomplished, in Markdown; @FILE reads it")
    for each in (propose, listed, shown, update, complete):
        add_actor(each, mission=False)
    for each in (propose, listed):
        each.set_defaults(mission=None)
    parser.epilog = (
        "examples:\n"
        "  aauthkit mission propose 'Order lamps for the office' --resource http://api.localhost:8700 \\\n"
        "      --tool 'Search: Compare prices' --limits '{\"tokens\": 5}'\n"
        "  aauthkit fetch --mission dBjftJ http://api.localhost:8700/orders"
    )


def _propose(options: argparse.Namespace) -> int:
    description = _text(options.description)
    limits = _limits(options.limits)
    expires = _expires(options.expires)

    async def propose(agent: Agent, _mission: Mission | None, manner: dict[str, Any]) -> int:
        tools = dict(_tool(one) for one in options.tool)
        mission = await agent.mission(
            description, tools=tools, resources=options.resource, limits=limits, expires=expires, **manner
        )
        show(options, document_of(mission), lines_of(mission))
        return 0

    return act(options, propose)


def _list(options: argparse.Namespace) -> int:
    async def listed(agent: Agent, _mission: Mission | None, _manner: dict[str, Any]) -> int:
        missions = agent.missions()
        lines = [f"{one.s256}  {_state(one)}  {_first_line(one.description)}" for one in missions]
        show(options, [document_of(one) for one in missions], lines or ["no missions are kept here"])
        return 0

    return act(options, listed)


def _show(options: argparse.Namespace) -> int:
    async def shown(_agent: Agent, mission: Mission | None, _manner: dict[str, Any]) -> int:
        assert mission is not None
        show(options, document_of(mission), lines_of(mission))
        return 0

    return act(options, shown)


def _update(options: argparse.Namespace) -> int:
    description = _text(options.description)

    async def update(_agent: Agent, mission: Mission | None, manner: dict[str, Any]) -> int:
        assert mission is not None
        accepted = await mission.update(description, **manner)
        show(options, {"s256": accepted.s256}, [f"accepted: {accepted.s256}"])
        return 0

    return act(options, update)


def _complete(options: argparse.Namespace) -> int:
    summary = _text(options.summary)

    async def complete(_agent: Agent, mission: Mission | None, manner: dict[str, Any]) -> int:
        assert mission is not None
        await mission.complete(summary, **manner)
        show(options, {"ended": mission.ended}, ["accepted: the mission is completed"])
        return 0

    return act(options, complete)


def document_of(mission: Mission) -> dict[str, Any]:
    """A mission for a program."""
    return {
        "s256": mission.s256,
        "description": mission.description,
        "approved_at": moment(mission.approved_at),
        "expires_at": moment(mission.expires_at),
        "tools": [{"name": tool.name, "description": tool.description} for tool in mission.tools],
        "resources": list(mission.resources),
        "limits": dict(mission.limits),
        "capabilities": sorted(mission.capabilities),
        "updates": [{"description": one.description, "s256": one.s256} for one in mission.updates],
        "ended": mission.ended,
    }


def lines_of(mission: Mission) -> list[str]:
    """A mission in words. Most of it was written by strangers."""
    told = [
        ("mission", mission.s256),
        ("state", _state(mission)),
        ("ends", moment(mission.expires_at) or "when it is done, or somebody ends it"),
        ("tools", ", ".join(tool.name for tool in mission.tools)),
        ("resources", ", ".join(mission.resources)),
        ("limits", json.dumps(dict(mission.limits)) if mission.limits else ""),
    ]
    lines = [f"{name + ':':<11}{value}" for name, value in told if value]
    lines += ["", *mission.description.splitlines()]
    for update in mission.updates:
        lines += ["", f"updated: {update.s256}", *update.description.splitlines()]
    return lines


def _state(mission: Mission) -> str:
    return "active" if mission.is_active else f"ended: {mission.ended or 'no reason was said'}"


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0]
    return line if len(line) <= 60 else f"{line[:59]}…"


def _text(value: str) -> str:
    return Path(value[1:]).read_text() if value.startswith("@") else value


def _tool(value: str) -> tuple[str, str]:
    name, _, words = value.partition(":")
    return name.strip(), words.strip()


def _limits(value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        limits = json.loads(value)
    except ValueError as error:
        raise CalledWrongly(f"--limits is not JSON: {error}") from error
    if not isinstance(limits, dict):
        raise CalledWrongly("--limits is an object", 'such as {"tokens": 5}')
    return limits


def _expires(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        end = datetime.fromisoformat(value)
    except ValueError as error:
        raise CalledWrongly(f"--expires is not a time: {error}", "such as 2026-12-24T18:00:00+01:00") from error
    if end.tzinfo is None:
        raise CalledWrongly("--expires names no zone", "such as 2026-12-24T18:00:00+01:00")
    return end
