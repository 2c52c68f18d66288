"""Who asks, and where, as every page names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from unicodedata import category

from ...protocol.identifiers import parse_agent_identifier
from ..asked import Asked
from ..questions import Question

_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def worded(text: str) -> str:
    """Markdown whose headings are bold lines: a stranger's words get no heading among ours."""
    return "\n".join(_heading_as_bold(line) for line in text.split("\n"))


def _heading_as_bold(line: str) -> str:
    marked = line.strip()
    level = len(marked) - len(marked.lstrip("#"))
    if not 0 < level <= 6 or marked[level : level + 1] not in (" ", "\t"):
        return line
    words = marked[level:].strip().rstrip("#").strip()
    return f"**{words}**" if words and not set(words) & set("*_`\\") else line


def editable(text: str) -> str:
    """A stranger's text for a field in which it may be changed: without what turns a line round or cannot be seen."""
    return "".join(one for one in text if one in "\n\t" or not (one in _TURNING or category(one) == "Cc"))


def parameters_of(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an action is to be done with, each value as text: JSON where it is not one."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in given.items()
    ]


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
