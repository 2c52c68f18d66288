"""Appending: an entry is part of the transaction it tells of, and the chain's lock is taken as the last of all.

One chain per writer, which is one process: two replicas never wait for each other, and two transactions of one process
only for the moment of a commit.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from ..protocol.jose import b64url_encode
from ..store import Database, Transaction
from .records import BEGINNING, Entry, digest_of, read_entry

PAGE: Final = 500
"""Entries read at once."""
PRUNED: Final = "pruned"
"""The kind of entry that tells what was discarded by its age."""


class AuditLog:
    """The audit log of `server`, as this process writes it; its chain is `writer`, a new one for every start."""

    def __init__(
        self,
        server: str,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.server = server
        self.writer = b64url_encode(random_bytes(9))
        self._database = database
        self._clock = clock
        self.observe: Callable[[str, Mapping[str, Any]], None] | None = None
        self._noted: WeakKeyDictionary[Any, list[tuple[str, str]]] = WeakKeyDictionary()

    def note(self, tx: Transaction, kind: str, /, **entry: Any) -> None:
        """Have this on record with the transaction, if that is kept. Members that are `None` are left out.

        Never a token, key or code: what proves a request is `Evidence`, and an entry names it.
        """
        told = {name: value for name, value in entry.items() if value is not None}
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        if tx in self._noted:
            self._noted[tx].append((kind, text))
            return
        self._noted[tx] = [(kind, text)]

        async def append() -> None:
            await self._append(tx, self._noted.pop(tx))

        tx.before_commit(append)

    async def _append(self, tx: Transaction, noted: list[tuple[str, str]]) -> None:
        head = await tx.fetch_one(
            f"""SELECT number, hash FROM audit_heads
                WHERE server = :server AND writer = :writer{self._database.for_update}""",
            server=self.server,
            writer=self.writer,
        )
        number, previous = (head["number"], head["hash"]) if head is not None else (0, BEGINNING)
        now = int(self._clock())
        for kind, text in noted:
            number += 1
            digest = digest_of(self.server, self.writer, number, now, kind, text, previous)
            await tx.execute(
                """INSERT INTO audit_entries (server, writer, number, at, kind, entry, previous, hash)
                   VALUES (:server, :writer, :number, :now, :kind, :entry, :previous, :hash)""",
                server=self.server,
                writer=self.writer,
                number=number,
                now=now,
                kind=kind,
                entry=text,
                previous=previous,
                hash=digest,
            )
            previous = digest
            if self.observe is not None:
                self.observe(kind, json.loads(text))
        await tx.execute(
            """INSERT INTO audit_heads (server, writer, number, hash) VALUES (:server, :writer, :number, :hash)
               ON CONFLICT (server, writer) DO UPDATE SET number = excluded.number, hash = excluded.hash""",
            server=self.server,
            writer=self.writer,
            number=number,
            hash=previous,
        )

    async def begin(self) -> None:
        """Put the head of this process's chain on record, so that its first two entries cannot both be the first."""
        await self._database.execute(
            """INSERT INTO audit_heads (server, writer, number, hash) VALUES (:server, :writer, 0, '')
               ON CONFLICT DO NOTHING""",
            server=self.server,
            writer=self.writer,
        )

    async def entries(self, *, kind: str | None = None, after: int = 0) -> AsyncIterator[Entry]:
        """All entries on record from the second `after` on, chain by chain, each in order; of one kind if given."""
        async for entry in entries(self._database, self.server):
            if entry.at >= after and kind in (None, entry.kind):
                yield entry

    async def prune(self, before: int, heads: Mapping[str, int]) -> int:
        """Discard entries that are older than `before` and that a checkpoint holds: `heads` says up to which number.

        How many went; what went is on record itself. A checkpoint outlives what it holds, so that the rest of the
        chain is still proved.
        """
        gone: dict[str, int] = {}
        count = 0
        async with self._database.transaction() as tx:
            for writer, number in sorted(heads.items()):
                until = await tx.fetch_one(
                    """SELECT max(number) AS number, count(*) AS total FROM audit_entries
                       WHERE server = :server AND writer = :writer AND number <= :number AND at < :before""",
                    server=self.server,
                    writer=writer,
                    number=number,
                    before=before,
                )
                if until is not None and until["number"] is not None:
                    gone[writer] = until["number"]
                    count += await self._discard(tx, writer, until["number"])
            if gone:
                self.note(tx, PRUNED, before=before, until=gone)
        return count

    async def _discard(self, tx: Transaction, writer: str, number: int) -> int:
        """The beginning of a chain; with a chain that has ended and is empty now, also its head."""
        count = await tx.execute(
            "DELETE FROM audit_entries WHERE server = :server AND writer = :writer AND number <= :number",
            server=self.server,
            writer=writer,
            number=number,
        )
        if writer != self.writer:
            await tx.execute(
                "DELETE FROM audit_heads WHERE server = :server AND writer = :writer AND number = :number",
                server=self.server,
                writer=writer,
                number=number,
            )
        return count


async def entries(database: Database, server: str) -> AsyncIterator[Entry]:
    """Every entry of a server, chain by chain in order, a page at a time."""
    writers = await database.fetch_all(
        "SELECT DISTINCT writer FROM audit_entries WHERE server = :server ORDER BY writer", server=server
    )
    for row in writers:
        last = 0
        while True:
            page = await database.fetch_all(
                f"""SELECT * FROM audit_entries WHERE server = :server AND writer = :writer AND number > :last
                    ORDER BY number LIMIT {PAGE}""",
                server=server,
                writer=row["writer"],
                last=last,
            )
            for one in page:
                yield read_entry(one)
            if len(page) < PAGE:
                break
            last = page[-1]["number"]
