"""Tables, declared once per room and applied in order; a pure account of what is to be done."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import MigrationRefused, StoreError

LEDGER = (
    "CREATE TABLE IF NOT EXISTS aauthkit_migrations"
    " (room TEXT, version BIGINT, sha256 TEXT NOT NULL, PRIMARY KEY (room, version))"
)
"""The table that records what was applied."""

APPLIED = "SELECT version, sha256 FROM aauthkit_migrations WHERE room = :room"
RECORD = "INSERT INTO aauthkit_migrations (room, version, sha256) VALUES (:room, :version, :sha256)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a room's tables: `statements` of DDL that both engines read, without parameters, applied together.

    Versions of a room count from 1 without a gap. A released migration is never changed; the next one follows it.
    """

    room: str
    version: int
    statements: tuple[str, ...]
    sha256: str = field(init=False, compare=False)
    """Of the statements as they are written."""

    def __post_init__(self) -> None:
        if not self.room or self.version < 1 or not self.statements:
            raise StoreError("a migration has a room, a version from 1, and statements")
        object.__setattr__(self, "sha256", hashlib.sha256("\0".join(self.statements).encode()).hexdigest())


def by_room(migrations: Iterable[Migration]) -> Mapping[str, Sequence[Migration]]:
    """Each room's migrations in order. Raises `StoreError` where versions do not count 1, 2, 3."""
    rooms: dict[str, list[Migration]] = defaultdict(list)
    for migration in migrations:
        rooms[migration.room].append(migration)
    for room, steps in rooms.items():
        steps.sort(key=lambda step: step.version)
        versions = [step.version for step in steps]
        if versions != list(range(1, len(steps) + 1)):
            raise StoreError(f"the migrations of {room!r} are numbered {versions}; they must count from 1, each once")
    return rooms


def outstanding(room: str, steps: Sequence[Migration], applied: Mapping[int, str]) -> Sequence[Migration]:
    """What is still to be applied, given version and SHA-256 of what was. Raises `MigrationRefused`."""
    newest = max(applied, default=0)
    if newest > len(steps):
        raise MigrationRefused(
            f"the tables of {room!r} are at version {newest}, but this program knows only up to {len(steps)}: "
            "run the release that made them, or a newer one"
        )
    for step in steps[:newest]:
        if applied.get(step.version) != step.sha256:
            raise MigrationRefused(
                f"migration {step.version} of {room!r} is not the one that was applied to this database: "
                "a released migration is never changed; add the next one"
            )
    return steps[newest:]
