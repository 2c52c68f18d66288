"""Who asks, and where, as every page names them."""

from __future__ import annotations

from typing import Any

from ...protocol.identifiers import parse_agent_identifier
from ..asked import Asked
from ..questions import Question


def agent_name(agent_sub: str) -> str:
    """What a person calls an agent: the part of its identifier before the provider's domain."""
    return parse_agent_identifier(agent_sub).local


def names_of(asked: Asked) -> dict[str, Any]:
    """Who asks, and where, as every page names them."""
    return {
        "asked": asked,
        "agent": agent_name(asked.agent_sub),
        "place": asked.described.name or asked.resource or asked.agent_iss,
        "provider": asked.provider_name or asked.agent_iss,
    }


def waiting_line(question: Question) -> dict[str, Any]:
    """A question as one line of a list."""
    assert question.asked is not None
    talk = question.asked.conversation
    return {"question": question, "answered": bool(talk) and talk[-1].answered is not None, **names_of(question.asked)}
