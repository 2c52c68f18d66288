"""What a person chose, read from the form of a decision: nothing that the page did not offer (draft-11 §13.13)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from ...protocol.missions import MAX_DESCRIPTION, is_mission_s256
from ...protocol.problems import Problem
from ..about import MissionProposal, Query
from ..asked import Asked
from ..consent import DAY, Memory
from ..deciding import Choice, Verdict
from ..granting import Given, Terms
from ..limits import MAX_COUNT, PERMISSIONS, TOKENS
from .naming import editable

MEMORIES: Final[tuple[Memory, ...]] = ("once", "today", "kept")
VERDICTS: Final[tuple[Verdict, ...]] = ("approved", "denied", "left")
MAX_ANSWER: Final = 4096
ENDS: Final[Mapping[str, int | None]] = {
    "proposed": None,
    "day": DAY,
    "week": 7 * DAY,
    "month": 30 * DAY,
    "open": None,
}
"""When a mission ends: as the agent proposed, after so many seconds, or not by itself."""

Form = dict[str, list[str]]


class NothingChosen(Exception):
    """The form lacks what a yes needs: something ticked, or an answer."""


def _refuse() -> Problem:
    return Problem("invalid_request", "the form holds an answer that the page does not offer")


def _one(form: Form, name: str, offered: Collection[str], default: str | None = None) -> str:
    values = form.get(name, [default] if default is not None else [])
    if len(values) != 1 or values[0] not in offered:
        raise _refuse()
    return values[0]


def _text(form: Form, name: str, limit: int) -> str:
    values = form.get(name, [""])
    text = values[0].replace("\r\n", "\n").replace("\0", "").strip()
    if len(values) != 1 or len(text) > limit:
        raise _refuse()
    return text


def read_choice(form: Form, asked: Asked, now: int) -> Choice:
    """The person's answer. Raises `Problem` for what was not offered, and `NothingChosen`."""
    verdict = next(one for one in VERDICTS if one == _one(form, "verdict", VERDICTS))
    memory = next(one for one in MEMORIES if one == _one(form, "memory", MEMORIES, "once"))
    if verdict != "approved":
        return Choice(verdict, changes=asked.changes)
    if asked.kind == "scope":
        granted = frozenset(form.get("scope", []))
        if not granted <= asked.scope:
            raise _refuse()
        if not granted:
            raise NothingChosen
        return Choice(verdict, granted, memory, asked.changes)
    if asked.kind == "identity":
        return Choice(verdict, asked.scope, memory, asked.changes)
    return Choice(verdict, asked.scope, "once", asked.changes, _given(form, asked, now))


def _given(form: Form, asked: Asked, now: int) -> Given:
    if isinstance(asked.about, MissionProposal):
        return Given(terms=_terms(form, asked.about, now))
    if isinstance(asked.about, Query):
        answer = _text(form, "answer", MAX_ANSWER)
        if not answer:
            raise NothingChosen
        return Given(answer=answer)
    return Given()


def _terms(form: Form, proposal: MissionProposal, now: int) -> Terms:
    """A mission's terms: of tools and resources what is ticked, the words as they stand in the form."""
    tools, resources = form.get("tool", []), form.get("resource", [])
    known = {tool.name for tool in proposal.tools}, {line.identifier for line in proposal.resources}
    if not set(tools) <= known[0] or not set(resources) <= known[1]:
        raise _refuse()
    return Terms(
        description=_text(form, "description", MAX_DESCRIPTION)
        or editable(proposal.description)
        or proposal.description,
        tools=tuple(tool.name for tool in proposal.tools if tool.name in tools),
        resources=tuple(line.identifier for line in proposal.resources if line.identifier in resources),
        limits=_limits(form, proposal.limits),
        expires=_expires(form, proposal, now),
        replaces=_replaces(form),
    )


def _replaces(form: Form) -> str | None:
    """The mission it takes the place of; whether it is one that it may is looked at when it is ended."""
    values = [value for value in form.get("replaces", []) if value]
    if len(values) > 1 or not all(is_mission_s256(value) for value in values):
        raise _refuse()
    return values[0] if values else None


def _expires(form: Form, proposal: MissionProposal, now: int) -> int | None:
    ends = _one(form, "ends", ENDS, "proposed")
    seconds = ENDS[ends]
    if seconds is None:
        return proposal.expires if ends == "proposed" else None
    return now + seconds


def _limits(form: Form, proposed: Mapping[str, Any]) -> dict[str, Any]:
    """The proposal's limits, made tighter where the person wrote a smaller number."""
    limits = dict(proposed)
    for name in (TOKENS, PERMISSIONS):
        text = _text(form, f"limit-{name}", 7)
        if not text:
            continue
        if not text.isdecimal() or int(text) > MAX_COUNT:
            raise _refuse()
        limits[name] = min(int(text), limits.get(name, MAX_COUNT))
    return limits
