"""`aauthkit fetch --describe URL`: what a resource offers, and what this agent, or another caller, lacks for it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Final

from ..agent import Agent, Description
from ..agent.describing import describe_for_nobody
from ..egress import Egress
from ..inspection import plain

MODES: Final = {
    "agent-token": "any agent, by its agent token",
    "person-token": "an agent that says for whom it acts (person token)",
    "session-token": "an agent that the resource itself admitted (session token)",
    "auth-token": "an agent that a person authorized (auth token)",
    None: "not declared; a first call tells",
}


async def describe(agent: Agent, url: str, *, as_json: bool) -> int:
    """Print the description of the resource at `url`."""
    return _print(await agent.describe(url), as_json=as_json)


async def describe_by_hand(url: str, egress: Egress, *, as_json: bool) -> int:
    """The same for one who signs with a bare key or as a server (`--as key`, `--as server`): no agent is needed."""
    return _print(await describe_for_nobody(url, egress), as_json=as_json)


def _print(description: Description, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(asdict(description), indent=2, ensure_ascii=False))
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(description)))
    return 0


def lines(description: Description) -> list[str]:
    """The description for a terminal; what the resource says of itself is quoted, and harmless."""
    told = [description.resource]
    if description.name is not None:
        told.append(f"  calls itself  {plain(description.name)}")
    if description.description is not None:
        told.append(f"  says          {plain(description.description)}")
    told.append(f"  described at  {plain(description.found_at)}")
    told.append(f"  serves        {MODES[description.access_mode]}")
    told.append(f"  you lack      {', '.join(description.lacks) or 'nothing'}")
    for offered in description.scopes:
        told.append(f"  scope         {plain(offered.scope)}{' (held)' if offered.held else ''}")
        if offered.words:
            told.append(f"                {plain(offered.words)}")
    return told
