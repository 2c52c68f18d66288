"""Decisions that were logged, run through rules again: which would change, and which part of a rule said no.

A decision log is a recording. It holds no query and no body, so a rule that looks at `request.query` sees an empty one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..policy import PolicyError, Undecided
from .configuration import Configuration, ResourceConfiguration
from .rules import VOCABULARIES, Level, Rule, Ruling, rule_on

_DECIDED: Final = ("passed", "refused")


class RecordingError(ValueError):
    """A line that is no decision; the message says which."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision that rules had a say in. `allowed` is what they said, not what a limit said after them."""

    line: int
    resource: str
    level: str
    allowed: bool
    rule: str | None
    facts: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a condition and what it gives: `true`, `false`, or why it gives neither."""

    text: str
    said: str


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that would be another, and the rule that would make it."""

    recorded: Recorded
    ruling: Ruling


def read_recordings(lines: Iterable[str]) -> Iterator[Recorded]:
    """The decisions in a log that rules had a say in. Raises `RecordingError`."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
            facts, outcome = read.get("facts"), read["outcome"]
            if not facts or outcome not in _DECIDED:
                continue
            allowed = outcome == "passed" or "limit" in read
            yield Recorded(number, read["resource"], read["level"], allowed, read.get("rule"), facts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(f"line {number} is no decision of a gateway") from error


def resource_of(configuration: Configuration, recorded: Recorded) -> ResourceConfiguration | None:
    """The resource that a decision was about, as it is configured now."""
    return next((one for one in configuration.resources if one.identifier == recorded.resource), None)


def run_again(configuration: Configuration, recorded: Recorded) -> Ruling | None:
    """What the rules say now; `None` for a resource that is not there any more."""
    resource = resource_of(configuration, recorded)
    return rule_on(resource.rules, recorded.level, recorded.facts) if resource is not None else None


def changes(configuration: Configuration, recordings: Iterable[Recorded]) -> tuple[int, Sequence[Change]]:
    """How many decisions were run again, and those that would be others."""
    count, found = 0, []
    for recorded in recordings:
        ruling = run_again(configuration, recorded)
        if ruling is None:
            continue
        count += 1
        if ruling.allowed != recorded.allowed:
            found.append(Change(recorded, ruling))
    return count, found


def parts_of(rule: Rule, recorded: Recorded) -> Sequence[Part]:
    """Each part of a rule's condition, and what it gave; none where the rule is not one of this level."""
    level = next((each for each in rule.conditions if each == recorded.level), None)
    if level is None:
        return ()
    return [Part(text, _said(level, text, recorded.facts)) for text in split(rule.conditions[level].text)]


def _said(level: Level, text: str, facts: Mapping[str, Any]) -> str:
    try:
        return "true" if VOCABULARIES[level].compile(text).holds(facts) else "false"
    except (PolicyError, Undecided) as error:
        return f"neither: {error}"


def split(text: str) -> list[str]:
    """A condition cut at its outermost `&&` and `||`, parentheses around a whole taken off; else the whole."""
    text = text.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    pieces, depth, start, at = list[str](), 0, 0, 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            at = _end_of_text(text, at)
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and character == "?":
            return [text]  # the branches of a choice are no parts of a whole
        elif depth == 0 and text[at : at + 2] in ("&&", "||"):
            pieces.append(text[start:at])
            at += 1
            start = at + 1
        at += 1
    if not pieces:
        return [text]
    return [part for piece in (*pieces, text[start:]) for part in split(piece)]


def _closing(text: str) -> int:
    """Where the parenthesis that a text begins with is closed."""
    depth, at = 0, 0
    while at < len(text):
        if text[at] in "\"'":
            at = _end_of_text(text, at)
        depth += {"(": 1, ")": -1}.get(text[at], 0) if at < len(text) else 0
        if depth == 0:
            return at
        at += 1
    return at


def _end_of_text(text: str, at: int) -> int:
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at
