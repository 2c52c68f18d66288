"""The list itself: `conformance/requirements.toml` and `conformance/faults.toml`, read and checked for form."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

ROOT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = ROOT / "conformance" / "requirements.toml"
FAULTS: Final = ROOT / "conformance" / "faults.toml"

ROLES: Final = {
    "agent": "agents",
    "provider": "agent providers",
    "resource": "resources",
    "person": "person servers",
    "access": "access servers",
    "signer": "whoever signs",
    "verifier": "whoever verifies",
    "all": "everybody",
}
STATUSES: Final = ("obeyed", "unproved", "not-built", "not-ours")


Row = TypeVar("Row")


class ListError(ValueError):
    """A list that cannot be meant: says which row."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One obliging sentence of a draft, in our words, and what became of it.

    `obeyed`: `code` are the functions that obey it, `positive` and `negative` the tests that show it. `unproved`:
    built, and a test is still missing. `not-built` and `not-ours` say why in `reason`.
    """

    id: str
    hash: str
    rule: str
    roles: tuple[str, ...]
    status: str
    code: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    reason: str = ""

    @property
    def draft(self) -> str:
        """The prefix of its draft."""
        return self.id.partition("-")[0]

    @property
    def section(self) -> str:
        """The section of its draft."""
        return self.id.split("-")[1]

    @property
    def tests(self) -> tuple[str, ...]:
        """Every test it names."""
        return self.positive + self.negative


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that others had, in our words, and the tests that carry its identifier; or what it waits for."""

    id: str
    rule: str
    tests: tuple[str, ...] = ()
    later: str = ""


def _rows(path: Path, kind: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = tomllib.loads(path.read_text("utf-8"))
    return document, document.get(kind, [])


def _made(kind: type[Row], row: dict[str, Any]) -> Row:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ListError(f"{row.get('id', row)}: {error}") from error


def read_requirements(path: Path = REQUIREMENTS) -> tuple[list[Requirement], frozenset[str]]:
    """The rows, and the identifiers that may be `unproved`. Raises `ListError`."""
    document, rows = _rows(path, "requirement")
    found = [_made(Requirement, row) for row in rows]
    _check_unique([row.id for row in found])
    for row in found:
        _check_form(row)
    return found, frozenset(document.get("unproved", []))


def read_faults(path: Path = FAULTS) -> list[Fault]:
    """The rows. Raises `ListError`."""
    found = [_made(Fault, row) for row in _rows(path, "fault")[1]]
    _check_unique([row.id for row in found])
    return found


def _check_unique(ids: Sequence[str]) -> None:
    twice = {one for one in ids if ids.count(one) > 1}
    if twice:
        raise ListError(f"listed twice: {', '.join(sorted(twice))}")


def _check_form(row: Requirement) -> None:
    if row.status not in STATUSES:
        raise ListError(f"{row.id}: the status is one of {', '.join(STATUSES)}")
    if not row.rule or not row.roles or not set(row.roles) <= ROLES.keys():
        raise ListError(f"{row.id}: a row has a rule, and roles out of {', '.join(ROLES)}")
    if row.status in ("not-built", "not-ours"):
        if not row.reason or row.code or row.tests:
            raise ListError(f"{row.id}: what is {row.status} has a reason, and neither code nor tests")
    elif row.reason or not row.code:
        raise ListError(f"{row.id}: what is {row.status} names the function that obeys it, and gives no reason")
