"""What a question is about where it is no token: a mission, a change of it, its end, an action, a word, a way.

Each is a copy of what the agent said, bounded when it was read, kept with the question and with its decision. All of it
is agent-asserted (draft-11 §7.4), but for the names of resources, which are their own.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class ResourceLine(msgspec.Struct, frozen=True):
    """A resource that a proposal names, in the words of its own metadata."""

    identifier: str
    name: str | None = None
    description: str | None = None


class ToolLine(msgspec.Struct, frozen=True):
    """A tool that a proposal names."""

    name: str
    description: str = ""


class MissionProposal(msgspec.Struct, frozen=True, tag_field="about", tag="mission"):
    """What an agent wants to set out to do (draft-11 §8.1). `expires` is in seconds since the epoch."""

    description: str
    tools: tuple[ToolLine, ...] = ()
    resources: tuple[ResourceLine, ...] = ()
    limits: dict[str, Any] = {}
    expires: int | None = None


class MissionUpdate(msgspec.Struct, frozen=True, tag_field="about", tag="update"):
    """How the work has changed (draft-11 §8.4)."""

    description: str


class MissionCompletion(msgspec.Struct, frozen=True, tag_field="about", tag="completion"):
    """What was accomplished, in the agent's words (draft-11 §8.5)."""

    summary: str


class Action(msgspec.Struct, frozen=True, tag_field="about", tag="permission"):
    """An action that no resource governs (draft-11 §7.7.1)."""

    action: str
    description: str | None = None
    parameters: dict[str, Any] = {}


class Query(msgspec.Struct, frozen=True, tag_field="about", tag="question"):
    """A question of the agent to its person (draft-11 §7.6.1)."""

    question: str
    description: str | None = None


class Relay(msgspec.Struct, frozen=True, tag_field="about", tag="relay"):
    """Somewhere a person is needed: another party's interaction page, with its code (draft-11 §7.6.1).

    `until`: when this server stops trying, in seconds since the epoch.
    """

    type: Literal["interaction", "payment"]
    url: str
    code: str | None = None
    description: str | None = None
    until: int | None = None


About = MissionProposal | MissionUpdate | MissionCompletion | Action | Query | Relay
