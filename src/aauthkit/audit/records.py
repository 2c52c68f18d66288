"""The tables of the audit log, and an entry as it is chained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..protocol.jose import b64url_encode
from ..store import Migration, Row

MIGRATIONS: Final = (
    Migration(
        room="audit",
        version=1,
        statements=(
            """CREATE TABLE audit_entries (
                server TEXT NOT NULL,
                writer TEXT NOT NULL,
                number BIGINT NOT NULL,
                at BIGINT NOT NULL,
                kind TEXT NOT NULL,
                entry TEXT NOT NULL,
                previous TEXT NOT NULL,
                hash TEXT NOT NULL,
                PRIMARY KEY (server, writer, number)
            )""",
            "CREATE INDEX audit_entries_at ON audit_entries (server, at)",
            """CREATE TABLE audit_heads (
                server TEXT NOT NULL,
                writer TEXT NOT NULL,
                number BIGINT NOT NULL,
                hash TEXT NOT NULL,
                PRIMARY KEY (server, writer)
            )""",
            """CREATE TABLE audit_checkpoints (
                server TEXT NOT NULL,
                number BIGINT NOT NULL,
                at BIGINT NOT NULL,
                statement TEXT NOT NULL,
                PRIMARY KEY (server, number)
            )""",
            """CREATE TABLE audit_evidence (
                server TEXT NOT NULL,
                id TEXT NOT NULL,
                at BIGINT NOT NULL,
                request TEXT NOT NULL,
                PRIMARY KEY (server, id)
            )""",
            "CREATE INDEX audit_evidence_at ON audit_evidence (server, at)",
        ),
    ),
    # Entries are read and discarded by chain and number, never by their time alone.
    Migration(room="audit", version=2, statements=("DROP INDEX audit_entries_at",)),
)

BEGINNING: Final = ""
"""What the first entry of a chain follows."""
_written: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a chain. `at` is in seconds since the epoch; `text` is its content, as JSON."""

    server: str
    writer: str
    number: int
    at: int
    kind: str
    text: str
    previous: str
    hash: str

    @property
    def content(self) -> Mapping[str, Any]:
        """What happened."""
        value: Mapping[str, Any] = json.loads(self.text)
        return value

    def digest(self) -> str:
        """The hash that these contents have, whatever `hash` says."""
        return digest_of(self.server, self.writer, self.number, self.at, self.kind, self.text, self.previous)

    def document(self) -> dict[str, Any]:
        """As a line of an export."""
        return {
            "writer": self.writer,
            "number": self.number,
            "at": self.at,
            "kind": self.kind,
            "entry": self.content,
            "previous": self.previous,
            "hash": self.hash,
        }


def digest_of(server: str, writer: str, number: int, at: int, kind: str, text: str, previous: str) -> str:
    """SHA-256 over all of an entry and the hash before it, a JSON array without spaces, in base64url."""
    chained = _written((previous, server, writer, number, at, kind, text))
    return b64url_encode(hashlib.sha256(chained).digest())


def read_entry(row: Row) -> Entry:
    """An entry from its record."""
    names = ("server", "writer", "number", "at", "kind", "previous", "hash")
    return Entry(**{name: row[name] for name in names}, text=row["entry"])
