"""What of a request and its answer goes into the log of its mission (draft-11 §8.3).

The log says what the agent asked and said and what was decided, never a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..store import Transaction
from . import missions
from .asked import Asked
from .consent import Kind
from .missions import EntryKind

_ENTRIES: Final[Mapping[Kind, EntryKind]] = {
    "identity": "token",
    "scope": "token",
    "update": "update",
    "completion": "completion",
    "permission": "permission",
    "question": "interaction",
    "relay": "interaction",
}


async def note(tx: Transaction, asked: Asked, event: str, now: int, **further: Any) -> None:
    """Log what happened with a request, where it belongs to a mission.

    `event` is one of asked, granted, denied, left, refused, issued.
    """
    if asked.mission is None:
        return
    kind = _ENTRIES[asked.kind]
    # Of updates only those that were accepted are part of what the mission means; the rest is talk about it.
    kind = "clarification" if kind == "update" else kind
    await missions.log(tx, asked.mission, kind, {"event": event, **_words(asked), **further}, now)


def _words(asked: Asked) -> dict[str, Any]:
    words: dict[str, Any] = {"kind": asked.kind}
    if asked.resource:
        words["resource"] = asked.resource
    if asked.kind == "scope":
        words["scope"] = sorted(asked.scope)
    if asked.account is not None:
        words["account"] = asked.account
    if asked.claimed.justification is not None:
        words["justification"] = asked.claimed.justification
    if asked.about is not None:
        about = msgspec.to_builtins(asked.about)
        words["about"] = {name: value for name, value in about.items() if name not in ("code", "about")}
    if asked.conversation:
        words["talk"] = talk_of(asked)
    return words


def talk_of(asked: Asked) -> list[dict[str, Any]]:
    """What the person asked before they decided, and what the agent answered."""
    return [
        {"question": turn.question, "answer": turn.answer, "asked": turn.asked, "answered": turn.answered}
        for turn in asked.conversation
    ]


async def note_turn(tx: Transaction, asked: Asked, now: int) -> None:
    """Log the last turn of a conversation about a request, as it is now (draft-11 §8.3)."""
    if asked.mission is None:
        return
    turn = asked.conversation[-1]
    words: dict[str, Any] = {"event": "asked back", "kind": asked.kind, "question": turn.question}
    if turn.answered is not None:
        words = {**words, "event": "answered", "answer": turn.answer}
    await missions.log(tx, asked.mission, "clarification", words, now)
