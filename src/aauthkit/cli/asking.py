"""`aauthkit ask`: a question of the agent to its person, and what they answer."""

from __future__ import annotations

import argparse
from typing import Any

from ..agent import Agent, Mission
from .acting import act, add_actor, show


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `ask`."""
    parser.add_argument("question", metavar="QUESTION", help="in Markdown")
    parser.add_argument("--description", metavar="TEXT", help="what it is about, in Markdown")
    add_actor(parser)
    parser.epilog = "example:\n  aauthkit ask 'Aisle or window?'"
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """One question."""

    async def ask(agent: Agent, mission: Mission | None, manner: dict[str, Any]) -> int:
        answer = await agent.ask(options.question, description=options.description, mission=mission, **manner)
        show(options, {"answer": answer}, answer.splitlines() or [""])
        return 0

    return act(options, ask)
