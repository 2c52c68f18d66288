"""`aauthkit permission`: may this be done? Asked of the person before an action that no resource governs."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..agent import Agent, Mission
from .acting import act, add_actor, show
from .failing import CalledWrongly


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `permission`."""
    parser.add_argument("action", metavar="ACTION", help="such as the name of a tool")
    parser.add_argument("--description", metavar="TEXT", help="what it will do and why, in Markdown")
    parser.add_argument("--parameters", metavar="JSON", help="what it is called with")
    add_actor(parser)
    parser.epilog = (
        "Exit code: 0 granted, 1 denied.\n"
        "example:\n"
        '  aauthkit permission SendEmail --parameters \'{"to": "pat@example.com"}\' && send-the-mail'
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """One permission."""
    parameters = _parameters(options.parameters)

    async def ask(agent: Agent, mission: Mission | None, manner: dict[str, Any]) -> int:
        permission = await agent.permission(
            options.action, description=options.description, parameters=parameters, mission=mission, **manner
        )
        word = "granted" if permission else "denied"
        said = f"{word}: {permission.reason}" if permission.reason else word
        document = {"permission": word, "reason": permission.reason, "asked": permission.asked}
        show(options, document, [said])
        return 0 if permission else 1

    return act(options, ask)


def _parameters(value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        parameters = json.loads(value)
    except ValueError as error:
        raise CalledWrongly(f"--parameters is not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise CalledWrongly("--parameters is an object", 'such as {"to": "pat@example.com"}')
    return parameters
