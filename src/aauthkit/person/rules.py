"""The rules of a person server: a text in TOML, checked whole when it is loaded, asked before any person is.

    [[rule]]
    name = "orders may be read"
    kinds = ["identity", "scope"]
    resource = "https://orders.example"
    scope = ["orders.read", "orders.list.*"]
    when = 'agent.provider == "https://agents.example"'
    then = "may decide"

`resource` (one, or several) and `scope` (exact, or a prefix before `*`) are shorthand for what `when` can say as well;
all of them have to hold. A rule that may decide is about a request whose every scope value it names, any other about
one that holds any of them. Of the rules that hold, `never` wins over
`must ask`, and that over `may decide`. A condition that fails counts as a `never` of its rule, and is logged.
"""

from __future__ import annotations

import hashlib
import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..policy import Condition, Facts, PolicyError, Undecided
from ..store import Statements, Transaction
from .consent import Kind
from .facts import VOCABULARIES
from .rulings import DECIDABLE, Level, Ruling

log = logging.getLogger("aauthkit.person")

MAX_TEXT: Final = 256 * 1024
MAX_RULES: Final = 256
MAX_NAME: Final = 64
MAX_REASON: Final = 256
LEVELS: Final[tuple[Level, ...]] = ("never", "must ask", "may decide")
"""From the one that wins to the one that gives way."""
_MEMBERS: Final = frozenset({"name", "kinds", "when", "resource", "scope", "then", "reason", "shadow"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `conditions` has the compiled `when` for each kind it speaks about; `shadow` means logged only."""

    name: str
    kinds: tuple[Kind, ...]
    then: Level
    sha256: str
    when: str | None = None
    conditions: Mapping[Kind, Condition] | None = None
    resources: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    reason: str | None = None
    shadow: bool = False

    def speaks(self, kind: Kind, facts: Facts) -> bool:
        """Whether it is about this request. Raises `Undecided`."""
        if kind not in self.kinds:
            return False
        if self.resources and facts["resource"]["id"] not in self.resources:
            return False
        if self.scopes and not self._is_about(facts["grant"]["scope"]):
            return False
        return self.conditions is None or self.conditions[kind].holds(facts)

    def _is_about(self, scope: Sequence[str]) -> bool:
        """A yes is about a request of which it names every value; a no, and a question, about one that holds any."""
        named = (self._names(value) for value in scope)
        return all(named) if self.then == "may decide" else any(named)

    def _names(self, value: str) -> bool:
        return any(value.startswith(one[:-1]) if one.endswith("*") else value == one for one in self.scopes)

    @property
    def ruling(self) -> Ruling:
        """What it says where it holds."""
        return Ruling(self.then, self.name, self.sha256, self.reason)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rules of a server, in order. `sha256` is that of the text."""

    rules: tuple[Rule, ...]
    text: str
    sha256: str

    def ruling(self, kind: Kind, facts: Facts) -> Ruling | None:
        """What the rules say of a request; `None` where none speaks about it."""
        found: dict[Level, Rule] = {}
        for rule in self.rules:
            try:
                holds = rule.speaks(kind, facts)
            except Undecided as error:
                log.error("rule %s could not be decided, and denies: %s", rule.name, error)
                if not rule.shadow:
                    reason = f"the rule {rule.name} could not be decided"
                    return Ruling("never", rule.name, rule.sha256, reason)
                continue
            if holds and rule.shadow:
                log.info("rule %s, in shadow, would say %s for %s", rule.name, rule.then, facts["agent"]["id"])
            elif holds:
                found.setdefault(rule.then, rule)
        return next((found[level].ruling for level in LEVELS if level in found), None)


EMPTY: Final = RuleBook((), "", hashlib.sha256(b"").hexdigest())


def read_rules(text: str) -> RuleBook:
    """The rules in a text. Raises `PolicyError`, which names the rule and what is wrong with it."""
    if len(text) > MAX_TEXT:
        raise PolicyError(f"the text is longer than {MAX_TEXT} characters")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(str(error)) from error
    unknown = sorted(set(document) - {"rule"})
    if unknown:
        raise PolicyError(f"there is no {unknown[0]!r} here: only [[rule]]")
    entries = document.get("rule", [])
    if not isinstance(entries, list) or len(entries) > MAX_RULES:
        raise PolicyError(f"rules are tables, [[rule]], and at most {MAX_RULES}")
    rules = tuple(_rule(entry, number) for number, entry in enumerate(entries, 1))
    names = [rule.name for rule in rules]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PolicyError(f"two rules have the name {twice!r}")
    return RuleBook(rules, text, hashlib.sha256(text.encode()).hexdigest())


def _rule(entry: Mapping[str, Any], number: int) -> Rule:
    name = entry.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise PolicyError(f"rule {number}: name is a text of 1 to {MAX_NAME} characters")
    try:
        return _named(entry, name)
    except PolicyError as error:
        raise PolicyError(f"rule {name!r}: {error}") from error


def _named(entry: Mapping[str, Any], name: str) -> Rule:
    unknown = sorted(set(entry) - _MEMBERS)
    if unknown:
        raise PolicyError(f"there is no {unknown[0]!r} in a rule")
    kinds = tuple(one for one in VOCABULARIES if one in _texts(entry, "kinds"))
    strange = [one for one in _texts(entry, "kinds") if one not in VOCABULARIES]
    if strange or not kinds:
        raise PolicyError(f"kinds are some of {', '.join(VOCABULARIES)}")
    then = next((level for level in LEVELS if level == entry.get("then")), None)
    if then is None:
        raise PolicyError(f"then is one of {', '.join(LEVELS)}")
    if then == "may decide" and not set(kinds) <= DECIDABLE:
        people = ", ".join(sorted(set(kinds) - DECIDABLE))
        raise PolicyError(f"no rule may decide: {people} is for people alone (draft-11 §8.5)")
    resources, scopes = _texts(entry, "resource"), _texts(entry, "scope")
    if resources and not set(kinds) <= {"identity", "scope"}:
        raise PolicyError("resource is known for the kinds identity and scope only")
    if scopes and kinds != ("scope",):
        raise PolicyError("scope is known for the kind scope only")
    when = entry.get("when")
    if when is not None and not isinstance(when, str):
        raise PolicyError("when is a text")
    reason = entry.get("reason")
    if reason is not None and (not isinstance(reason, str) or not 0 < len(reason) <= MAX_REASON):
        raise PolicyError(f"reason is a text of 1 to {MAX_REASON} characters")
    shadow = entry.get("shadow", False)
    if not isinstance(shadow, bool):
        raise PolicyError("shadow is true or false")
    return Rule(
        name=name,
        kinds=kinds,
        then=then,
        sha256=_digest(entry),
        when=when,
        conditions={kind: VOCABULARIES[kind].compile(when) for kind in kinds} if when is not None else None,
        resources=resources,
        scopes=scopes,
        reason=reason,
        shadow=shadow,
    )


def _digest(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(entry.items())).encode()).hexdigest()


def _texts(entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = entry.get(name, [])
    values: Sequence[object] = [value] if isinstance(value, str) else value if isinstance(value, list) else [None]
    if any(not isinstance(one, str) or not one for one in values):
        raise PolicyError(f"{name} is a text or an array of texts")
    return tuple(str(one) for one in values)


class FixedRules:
    """A rule book that does not change while the server runs."""

    def __init__(self, book: RuleBook) -> None:
        self._book = book

    async def book(self, tx: Statements, sha256: str | None) -> RuleBook:
        """The rules that are in force."""
        return self._book


class StoredRules:
    """The rule book on record: set by one process, in force in all with the next request."""

    def __init__(self) -> None:
        self._known = EMPTY

    async def book(self, tx: Statements, sha256: str | None) -> RuleBook:
        """Those in force now; the text is read only where it is another than the last. Raises `PolicyError`.

        `sha256` is of the text on record, `None` where there is none.
        """
        if sha256 is None:
            return EMPTY
        if sha256 != self._known.sha256:
            text = await tx.fetch_one("SELECT text FROM person_rules WHERE only_one = 1")
            if text is None:
                return EMPTY  # cleared in this moment
            self._known = read_rules(text["text"])
        return self._known


async def sha256_on_record(tx: Statements) -> str | None:
    """The SHA-256 of the rules on record."""
    row = await tx.fetch_one("SELECT sha256 FROM person_rules WHERE only_one = 1")
    return row["sha256"] if row is not None else None


async def set_rules(tx: Transaction, book: RuleBook, now: int) -> None:
    """Put a rule book in force; an empty one clears what was there."""
    await tx.execute("DELETE FROM person_rules WHERE only_one = 1")
    if book.rules:
        await tx.execute(
            "INSERT INTO person_rules (only_one, text, sha256, since) VALUES (1, :text, :sha256, :now)",
            text=book.text,
            sha256=book.sha256,
            now=now,
        )
