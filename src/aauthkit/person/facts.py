"""What rules may know of a request, level by level: the vocabulary of a person server, and its facts.

Levels are the kinds of question for which a rule may speak. Every fact is one that was verified, or is marked in its
name as what the agent says: `request.justification`, `action.parameters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from ..policy import Shape, Variables, Vocabulary
from ..protocol.identifiers import host_of, parse_agent_identifier
from .about import Action, MissionProposal, MissionUpdate
from .asked import Asked
from .consent import Kind
from .limits import PERMISSIONS, TOKENS
from .missions import OwnMission

REQUEST: Final = Shape(
    {
        "kind": "text",
        "justification": "text",
        "platform": "text",
        "device": "text",
        "prompt": "texts",
        "login_hint": "text",
        "tenant": "text",
        "domain_hint": "text",
    }
)
AGENT: Final = Shape({"id": "text", "name": "text", "provider": "text", "provider_name": "text"})
PERSON: Final = Shape({"id": "text", "known": "flag"})
RESOURCE: Final = Shape({"id": "text", "host": "text", "name": "text", "access_mode": "text"})
GRANT: Final = Shape({"scope": "texts", "account": "text", "tenant": "text"})
MISSION: Final = Shape(
    {"s256": "text", "description": "text", "tools": "texts", "resources": "texts", "expires": "time", "named": "flag"}
)
HISTORY: Final = Shape({"tokens": "whole", "permissions": "whole"})
ACTION: Final = Shape({"name": "text", "description": "text", "parameters": "object"})
UPDATE: Final = Shape({"description": "text"})

_COMMON: Final[Variables] = {
    "request": REQUEST,
    "agent": AGENT,
    "person": PERSON,
    "mission": MISSION,
    "history": HISTORY,
    "now": "time",
}
_NEVER: Final[tuple[Kind, ...]] = ("completion", "question", "relay")
"""Kinds that are for people alone: a rule may say "must ask" or "never" of them, nothing else (draft-11 §8.5)."""

VOCABULARIES: Final[Mapping[Kind, Vocabulary]] = {
    "identity": Vocabulary("identity", {**_COMMON, "resource": RESOURCE}),
    "scope": Vocabulary("scope", {**_COMMON, "resource": RESOURCE, "grant": GRANT}),
    "mission": Vocabulary("mission", _COMMON),
    "update": Vocabulary("update", {**_COMMON, "update": UPDATE}),
    "permission": Vocabulary("permission", {**_COMMON, "action": ACTION}),
    **{kind: Vocabulary(kind, _COMMON) for kind in _NEVER},
}


def facts_of(
    asked: Asked, person: str | None, mission: OwnMission | None, used: Mapping[str, float], now: int
) -> dict[str, Any]:
    """The facts of a request, as plain JSON: what rules see, and what a recording of the decision keeps."""
    facts: dict[str, Any] = {
        "request": {
            "kind": asked.kind,
            "justification": asked.claimed.justification,
            "platform": asked.claimed.platform,
            "device": asked.claimed.device,
            "prompt": sorted(asked.prompt),
            "login_hint": asked.claimed.login_hint,
            "tenant": asked.claimed.tenant,
            "domain_hint": asked.claimed.domain_hint,
        },
        "agent": {
            "id": asked.agent_sub,
            "name": parse_agent_identifier(asked.agent_sub).local,
            "provider": asked.agent_iss,
            "provider_name": asked.provider_name,
        },
        "person": {"id": person, "known": person is not None},
        "mission": _mission(asked, mission),
        "history": {"tokens": int(used.get(TOKENS, 0)), "permissions": int(used.get(PERMISSIONS, 0))},
        "now": now,
    }
    if asked.kind in ("identity", "scope"):
        facts["resource"] = {
            "id": asked.resource,
            "host": host_of(asked.resource),
            "name": asked.described.name,
            "access_mode": asked.described.access_mode,
        }
    if asked.kind == "scope":
        facts["grant"] = {"scope": sorted(asked.scope), "account": asked.account, "tenant": asked.tenant}
    if isinstance(asked.about, Action):
        about = asked.about
        facts["action"] = {"name": about.action, "description": about.description, "parameters": about.parameters}
    if isinstance(asked.about, MissionUpdate):
        facts["update"] = {"description": asked.about.description}
    return facts


def _mission(asked: Asked, mission: OwnMission | None) -> dict[str, Any]:
    """The mission a request belongs to; of a proposal, what it proposes, with no name yet."""
    if isinstance(asked.about, MissionProposal):
        return {
            "description": asked.about.description,
            "tools": [tool.name for tool in asked.about.tools],
            "resources": [line.identifier for line in asked.about.resources],
            "expires": asked.about.expires,
            "named": False,
        }
    if mission is None:
        return {"named": False}
    read = mission.read()
    return {
        "s256": mission.s256,
        "description": read.description,
        "tools": [tool.name for tool in read.approved_tools],
        "resources": list(read.approved_resources),
        "expires": read.expires_at,
        "named": True,
    }


Outcome = Literal["approved", "denied", "left", "refused"]
"""What became of a recorded request."""
