"""Appending: an entry is part of the transaction it tells of, and the chain's lock is taken as the last of all.

One chain per writer, which is one process: two replicas never wait for each other, and two transactions of one process
only for the moment of a commit.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from ..protocol.jose import b64url_encode
from ..store import Database, Transaction
from .records import BEGINNING, Entry, digest_of, read_entry

PAGE: Final = 500
"""Entries read at once."""
PRUNED: Final = "pruned"
"""The kind of entry that tells what was discarded by its age."""
Head = tuple[int, str]
"""Number and hash of the last entry of a chain."""
_written: Final = msgspec.json.Encoder(order="sorted").encode


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
        self._head: Head = (0, BEGINNING)
        """As this process appended last, kept or not: what is on record is compared with it before it counts."""

    def note(self, tx: Transaction, kind: str, /, **entry: Any) -> None:
        """Have this on record with the transaction, if that is kept. Members that are `None` are left out.

        Never a token, key or code: what proves a request is `Evidence`, and an entry names it.
        """
        told = {name: value for name, value in entry.items() if value is not None}
        text = _written(told).decode()
        if tx in self._noted:
            self._noted[tx].append((kind, text))
            return
        self._noted[tx] = [(kind, text)]

        async def append() -> None:
            await self._append(tx, self._noted.pop(tx))

        tx.before_commit(append)

    async def _append(self, tx: Transaction, noted: list[tuple[str, str]]) -> None:
        now = int(self._clock())
        entries = self._chained(self._head, noted, now)
        if not await self._follow(tx, self._head, entries[-1]):
            # What this process appended last was not kept, or another transaction has not told of its own yet.
            entries = self._chained(await self._read_head(tx), noted, now)
            await self._put_head(tx, entries[-1])
        self._head = entries[-1].number, entries[-1].hash
        for entry in entries:
            await tx.execute(
                """INSERT INTO audit_entries (server, writer, number, at, kind, entry, previous, hash)
                   VALUES (:server, :writer, :number, :now, :kind, :entry, :previous, :hash)""",
                server=self.server,
                writer=self.writer,
                number=entry.number,
                now=now,
                kind=entry.kind,
                entry=entry.text,
                previous=entry.previous,
                hash=entry.hash,
            )
            if self.observe is not None:
                self.observe(entry.kind, entry.content)

    def _chained(self, head: Head, noted: list[tuple[str, str]], now: int) -> list[Entry]:
        """The entries that follow this head."""
        number, previous = head
        entries = []
        for kind, text in noted:
            number += 1
            digest = digest_of(self.server, self.writer, number, now, kind, text, previous)
            entries.append(Entry(self.server, self.writer, number, now, kind, text, previous, digest))
            previous = digest
        return entries

    async def _follow(self, tx: Transaction, head: Head, last: Entry) -> bool:
        """Make `last` the head if `head` is still it; whoever else appends waits for this transaction from here on."""
        number, previous = head
        changed = await tx.execute(
            """UPDATE audit_heads SET number = :number, hash = :hash
               WHERE server = :server AND writer = :writer AND number = :before AND hash = :previous""",
            server=self.server,
            writer=self.writer,
            number=last.number,
            hash=last.hash,
            before=number,
            previous=previous,
        )
        return changed == 1

    async def _read_head(self, tx: Transaction) -> Head:
        row = await tx.fetch_one(
            f"""SELECT number, hash FROM audit_heads
                WHERE server = :server AND writer = :writer{self._database.for_update}""",
            server=self.server,
            writer=self.writer,
        )
        return (row["number"], row["hash"]) if row is not None else (0, BEGINNING)

    async def _put_head(self, tx: Transaction, last: Entry) -> None:
        await tx.execute(
            """INSERT INTO audit_heads (server, writer, number, hash) VALUES (:server, :writer, :number, :hash)
               ON CONFLICT (server, writer) DO UPDATE SET number = excluded.number, hash = excluded.hash""",
            server=self.server,
            writer=self.writer,
            number=last.number,
            hash=last.hash,
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
