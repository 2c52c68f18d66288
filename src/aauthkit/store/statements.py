"""One statement for both engines: which parameters it names, how PostgreSQL numbers them, and whether it only reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .errors import StoreError

_PIECES = re.compile(
    r"""
    (?P<untouched> '(?:[^']|'')*' | "(?:[^"]|"")*" | :: )
  | (?P<comment> --[^\n]* | /\*.*?\*/ )
  | : (?P<name> [A-Za-z_]\w* )
    """,
    re.VERBOSE | re.DOTALL,
)
_WRITING = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE\s+INTO)\b", re.IGNORECASE)
_READING = re.compile(r"(?:SELECT|VALUES|WITH|EXPLAIN)\b", re.IGNORECASE)
_CONTROLLING = re.compile(r"(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
_BIGGEST = 2**63


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL as both engines want it."""

    named: str
    """As it was written, with `:name`."""
    numbered: str
    """With `$1`, `$2`, one number for each name."""
    names: tuple[str, ...]
    """The names, in the order of their numbers."""
    allowed: frozenset[str]
    """The same, as a set."""
    reads: bool
    """Certain to change nothing, so that it needs no pen and may be asked again."""

    def admit(self, params: Mapping[str, Any]) -> None:
        """Refuse, alike on both engines, what one of them would refuse or misread. Raises `StoreError`."""
        if params.keys() != self.allowed:
            raise StoreError(f"the statement names {sorted(self.names)} but was given {sorted(params)} [{self}]")
        for name, value in params.items():
            if isinstance(value, str):
                if "\0" in value or not (value.isascii() or _is_unicode(value)):
                    raise StoreError(f":{name} holds a character that no text column can keep [{self}]")
            elif isinstance(value, int):
                if not -_BIGGEST <= value < _BIGGEST:
                    raise StoreError(f":{name} is a number of more than 64 bits [{self}]")
            elif value is not None:
                raise StoreError(f":{name} is a {type(value).__name__}; a value is str, int or None [{self}]")

    def __str__(self) -> str:
        line = " ".join(self.named.split())
        return line if len(line) <= 100 else f"{line[:99]}…"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=4096)
def parse(sql: str) -> Statement:
    """Read a statement once. Quoted text, `::` casts and comments are left alone. Raises `StoreError`."""
    numbers: dict[str, int] = {}

    def number(piece: re.Match[str]) -> str:
        name = piece["name"]
        if name is None:
            return piece[0]
        return f"${numbers.setdefault(name, len(numbers) + 1)}"

    numbered = _PIECES.sub(number, sql)
    bare = _PIECES.sub(lambda piece: " " if piece["name"] is None else piece[0], sql).strip().removesuffix(";")
    if ";" in bare:
        raise StoreError(f"one statement at a time [{sql}]")
    if _CONTROLLING.match(bare):
        raise StoreError(f"a transaction is opened by transaction() and ends with its block [{sql}]")
    reads = bool(_READING.match(bare)) and not _WRITING.search(bare)
    return Statement(sql, numbered, tuple(numbers), frozenset(numbers), reads)
