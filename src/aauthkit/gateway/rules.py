"""The gateway's rules: `deny` wins, then every `require` must hold, then any `allow`, else no.

Where there is no `allow` rule for a level, whoever meets the route's need and every `require` is let in. Rules are CEL
over what was verified; one that speaks about several levels is compiled for each, and a name that a level does not have
is refused when the file is read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..callers import Agent, Caller, Grant, Person, Pseudonym
from ..policy import Condition, Facts, PolicyError, Shape, Undecided, Variables, Vocabulary

log = logging.getLogger("aauthkit.gateway")

Effect = Literal["deny", "require", "allow"]
EFFECTS: Final[tuple[Effect, ...]] = ("deny", "require", "allow")
Level = Literal["key", "agent", "person", "grant"]

REQUEST: Final = Shape({"method": "text", "path": "text", "query": "text", "resource": "text", "route": "text"})
KEY: Final = Shape({"thumbprint": "text"})
AGENT: Final = Shape({"id": "text", "provider": "text", "person_server": "text", "parent": "text"})
PERSON: Final = Shape({"iss": "text", "ps": "text", "sub": "text", "tenant": "text", "mission": "text"})
GRANT: Final = Shape({"scope": "texts", "account": "text"})

_COMMON: Final[Variables] = {"request": REQUEST, "key": KEY, "now": "time"}
VOCABULARIES: Final[Mapping[Level, Vocabulary]] = {
    "key": Vocabulary("key", _COMMON),
    "agent": Vocabulary("agent", {**_COMMON, "agent": AGENT}),
    "person": Vocabulary("person", {**_COMMON, "person": PERSON}),
    "grant": Vocabulary("grant", {**_COMMON, "person": PERSON, "grant": GRANT}),
}
BODY: Final = Shape({"json": "object"})
AMOUNTS: Final[Mapping[Level, Vocabulary]] = {
    level: Vocabulary(level, {**each.variables, "body": BODY}) for level, each in VOCABULARIES.items()
}
"""What an amount may be made of: what a rule sees, and the body as JSON."""
LATER: Final = ("chain", "mcp", "a2a")
"""Variables of the vocabulary that are not there yet."""


LAST: Final = "(no rule allows)"
"""What the last no is called where it is only noted."""


class RuleError(ValueError):
    """A rule that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled for each level it can speak about."""

    name: str
    effect: Effect
    sha256: str
    conditions: Mapping[Level, Condition]
    reason: str | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say. `rule` decided it; `None` for the last no, which no rule said."""

    allowed: bool
    rule: Rule | None = None
    shadowed: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """What a refused caller may read: the rule's public reason, never its condition."""
        if self.rule is None:
            return "no rule lets this caller in"
        return self.rule.reason or f"the rule {self.rule.name} says no"


def make_rule(
    *, name: str, effect: Effect, condition: str, level: str | None, reason: str | None, shadow: bool
) -> Rule:
    """A rule for one level, or for every level that has what it names. Raises `RuleError`."""
    levels: Sequence[Level] = [one for one in VOCABULARIES if level in (None, one)]
    conditions: dict[Level, Condition] = {}
    failures: list[str] = []
    for one in levels:
        try:
            conditions[one] = VOCABULARIES[one].compile(condition)
        except PolicyError as error:
            failures.append(str(error))
    if not conditions:
        later = [word for word in LATER if f"reference to '{word}" in failures[0]]
        # A name that some level has, with a field that it has not, is told rather than that another level lacks it.
        told = next((each for each in failures if "undefined field" in each), failures[0])
        raise RuleError(f"{later[0]} is not there yet" if later else told)
    sha256 = next(iter(conditions.values())).sha256
    return Rule(name, effect, sha256, conditions, reason, shadow)


def level_of(caller: Caller) -> Level:
    """The level of the vocabulary that a caller is judged at."""
    match caller:
        case Pseudonym():
            return "key"
        case Agent():
            return "agent"
        case Grant():
            return "grant"
        case Person():
            return "person"
    raise TypeError(f"there are no rules for a {type(caller).__name__}")


def facts_of(caller: Caller, method: str, target: str, resource: str, route: str, now: float) -> dict[str, Any]:
    """The facts of one request, as plain JSON: what rules see, and what a recording keeps."""
    path, _, query = target.partition("?")
    facts: dict[str, Any] = {
        "request": {"method": method, "path": path, "query": query, "resource": resource, "route": route},
        "key": {"thumbprint": caller.key.thumbprint if not isinstance(caller, Pseudonym) else caller.thumbprint},
        "now": now,
    }
    if isinstance(caller, Agent):
        facts["agent"] = {
            "id": caller.sub,
            "provider": caller.iss,
            "person_server": caller.ps,
            "parent": caller.parent_agent,
        }
    if isinstance(caller, Person | Grant):
        who = caller.person
        facts["person"] = {
            "iss": who.iss,
            "ps": who.ps,
            "sub": who.sub,
            "tenant": caller.tenant,
            "mission": caller.mission_s256,
        }
    if isinstance(caller, Grant):
        facts["grant"] = {"scope": sorted(caller.scope), "account": caller.account}
    return facts


def rule_on(rules: Sequence[Rule], level: str, facts: Facts, *, shadow: bool = False) -> Ruling:
    """What `rules` say of a caller. A rule that cannot be decided denies, and is logged.

    In `shadow` every rule says what it would do, and all are let in.
    """
    shadowed: list[str] = []
    allows = False
    allowed_by: Rule | None = None
    for effect in EFFECTS:
        for rule in rules:
            condition = next((each for name, each in rule.conditions.items() if name == level), None)
            if rule.effect != effect or condition is None:
                continue
            try:
                holds = condition.holds(facts)
                failed = False
            except Undecided as error:
                log.error("rule %s could not be decided: %s", rule.name, error)
                holds, failed = effect == "deny", True
            no = holds if effect == "deny" else (effect == "require" and not holds)
            if effect == "allow" and not rule.shadow:
                allows = True
                allowed_by = allowed_by or (rule if holds and not failed else None)
            if no and (rule.shadow or shadow):
                shadowed.append(rule.name)
            elif no:
                return Ruling(False, rule, tuple(shadowed))
    if allows and allowed_by is None:
        return Ruling(shadow, None, (*shadowed, LAST) if shadow else tuple(shadowed))
    return Ruling(True, allowed_by, tuple(shadowed))
