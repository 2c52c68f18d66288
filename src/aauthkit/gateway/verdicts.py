"""What comes of a question to the gateway: a verdict for the proxy, and a decision for whoever runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .. import hop
from ..callers import Caller, Pseudonym, Server
from ..protocol.headers import HeaderError, parse_requirement
from ..protocol.messages import Answer
from .rules import Ruling

Outcome = Literal["passed", "open", "challenged", "deferred", "refused", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("passed", "open", "challenged", "deferred", "refused", "failed")


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that is let through: the fields to set, and the names of those to remove."""

    fields: tuple[tuple[str, str], ...]
    removed: tuple[str, ...]
    caller: Caller | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """A request that is turned away, with the answer for its sender."""

    answer: Answer
    rule: str | None = None


Verdict = Passed | Turned


@dataclass(slots=True)
class Judged:
    """What is known of one request while it is decided; each step adds what it found."""

    route: str = ""
    caller: Caller | None = None
    level: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ruling: Ruling | None = None
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision as it is logged: every verified field, and no token, key, signature, query or body.

    `seconds` is what it took. `facts` are those that rules see, so that a log is a recording that rules can be run on.
    """

    time: float
    resource: str
    method: str
    path: str
    route: str
    outcome: Outcome
    status: int
    seconds: float
    level: str = ""
    asks: str | None = None
    error: str | None = None
    rule: str | None = None
    rule_sha256: str | None = None
    limit: str | None = None
    shadowed: tuple[str, ...] = ()
    correlation: str | None = None
    caller: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        """For a line of a log; what there is none of is left out."""
        names = [name for name in self.__slots__ if getattr(self, name) not in (None, (), {}, "")]
        return {name: getattr(self, name) for name in names}


Observer = Callable[[Decision], None]
"""Is told of each decision. What it raises is a fault of its own, and changes no verdict."""


def decided(
    verdict: Verdict, judged: Judged, *, now: float, resource: str, method: str, target: str, seconds: float
) -> Decision:
    """The decision that a verdict is."""
    answer = verdict.answer if isinstance(verdict, Turned) else None
    ruling = judged.ruling
    rule = ruling.rule if ruling is not None else None
    return Decision(
        time=now,
        resource=resource,
        method=method,
        path=target.partition("?")[0],
        route=judged.route,
        outcome=_outcome(verdict),
        status=answer.status if answer is not None else 200,
        seconds=round(seconds, 6),
        level=judged.level,
        asks=_asked(answer),
        error=_error(answer),
        rule=rule.name if rule is not None else None,
        rule_sha256=rule.sha256 if rule is not None else None,
        limit=judged.limit,
        shadowed=ruling.shadowed if ruling is not None else (),
        correlation=_problem(answer).get("instance"),
        caller=_verified(judged.caller),
        facts=_told(judged.facts),
    )


def _told(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """What rules saw, without a query, which may hold anything."""
    if not facts:
        return {}
    return {**facts, "request": {**facts["request"], "query": ""}}


def _outcome(verdict: Verdict) -> Outcome:
    if isinstance(verdict, Passed):
        return "passed" if verdict.caller is not None else "open"
    status = verdict.answer.status
    if status >= 500:
        return "failed"
    return {401: "challenged", 202: "deferred"}.get(status, "refused")  # type: ignore[return-value]


def _verified(caller: Caller | None) -> Mapping[str, Any]:
    """Everything verified of a caller, its key by its thumbprint."""
    if caller is None:
        return {}
    facts = {name: value for name, value in hop.facts_of(caller).items() if name not in ("jwk", "kid")}
    key = caller.key if isinstance(caller, Pseudonym | Server) else caller.proof.cnf  # type: ignore[union-attr]
    return {**facts, "jkt": key.thumbprint}


def _asked(answer: Answer | None) -> str | None:
    """What a challenge asks for; never the resource token in it."""
    if answer is None:
        return None
    try:
        requirement = parse_requirement(answer.values("aauth-requirement"))
    except HeaderError:
        return None
    return requirement.value if requirement is not None else None


def _error(answer: Answer | None) -> str | None:
    if answer is None:
        return None
    code = answer.header("signature-error")
    if code is not None:
        return code.partition("error=")[2].partition(";")[0].partition(",")[0].strip('" ') or code[:64]
    return _problem(answer).get("error")


def _problem(answer: Answer | None) -> Mapping[str, Any]:
    if answer is None or "json" not in (answer.header("content-type") or ""):
        return {}
    try:
        read = json.loads(answer.body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
