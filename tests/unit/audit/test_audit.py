"""A log that finds what was removed, changed, reordered or cut off, on both engines (draft-11 §13.17)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.audit import MIGRATIONS, AuditLog, Checkpoints, FileSink, Report, read_lines, verify
from aauthkit.audit.records import digest_of
from aauthkit.protocol.jose import SigningKey
from aauthkit.store import Database
from tests.plugins.people import Clock
from tests.plugins.signing import new_key

pytestmark = pytest.mark.anyio

SERVER = "https://person.example"


class Office:
    """A log of two writers with a key for its checkpoints."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = Clock()
        self.key: SigningKey = new_key()
        self.file = folder / "checkpoints"
        self.logs = [AuditLog(SERVER, database, clock=self.clock) for _ in range(2)]
        self.checkpoints = Checkpoints(SERVER, database, self.key, sinks=[FileSink(self.file)], clock=self.clock)

    async def write(self, count: int = 3, log: int = 0) -> None:
        for number in range(count):
            async with self.database.transaction() as tx:
                self.logs[log].note(tx, "decision", number=number, agent="aauth:a@b.example", nothing=None)
            self.clock.pass_(1)

    async def look(self, *, outside: bool = False) -> Report:
        lines = read_lines(self.file) if outside else None
        return await verify(self.database, SERVER, [self.key.public], outside=lines)

    def own(self, log: int = 0) -> str:
        return self.logs[log].writer


@pytest.fixture
async def office(database: Database, tmp_path: Path) -> Office:
    await database.migrate(MIGRATIONS)
    made = Office(database, tmp_path)
    for log in made.logs:
        await log.begin()
    await made.write(3)
    await made.write(2, log=1)
    await made.checkpoints.make()
    await made.write(2)
    await made.checkpoints.make()
    return made


async def test_a_log_that_nobody_touched_is_good(office: Office) -> None:
    report = await office.look(outside=True)
    assert (report.good, report.entries, report.chains, report.checkpoints) == (True, 7, 2, 2)


async def test_nothing_is_on_record_of_what_was_not_kept(office: Office) -> None:
    with pytest.raises(RuntimeError):
        async with office.database.transaction() as tx:
            office.logs[0].note(tx, "decision", number=9)
            raise RuntimeError
    assert (await office.look()).entries == 7


async def test_transactions_at_once_give_one_chain(office: Office) -> None:
    async def one(number: int) -> None:
        async with office.database.transaction() as tx:
            office.logs[0].note(tx, "token", number=number)
            office.logs[0].note(tx, "decision", number=number)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, number)
    report = await office.look()
    assert report.good and report.entries == 27


async def change(office: Office) -> None:
    await office.database.execute(
        "UPDATE audit_entries SET entry = :entry WHERE writer = :writer AND number = 2",
        entry=json.dumps({"agent": "another"}),
        writer=office.own(),
    )


async def remove(office: Office) -> None:
    await office.database.execute("DELETE FROM audit_entries WHERE writer = :w AND number = 2", w=office.own())


async def reorder(office: Office) -> None:
    for old, new in ((2, 99), (3, 2), (99, 3)):
        await office.database.execute(
            "UPDATE audit_entries SET number = :new WHERE writer = :w AND number = :old",
            new=new,
            old=old,
            w=office.own(),
        )


async def remove_a_chain(office: Office) -> None:
    for table in ("audit_entries", "audit_heads"):
        await office.database.execute(f"DELETE FROM {table} WHERE writer = :w", w=office.own(1))


async def cut_the_tail(office: Office) -> None:
    await office.database.execute("DELETE FROM audit_entries WHERE writer = :w AND number > 3", w=office.own())
    row = await office.database.fetch_one(
        "SELECT hash FROM audit_entries WHERE writer = :w AND number = 3", w=office.own()
    )
    assert row is not None
    await office.database.execute(
        "UPDATE audit_heads SET number = 3, hash = :hash WHERE writer = :w", hash=row["hash"], w=office.own()
    )


async def begin_later(office: Office) -> None:
    await office.database.execute("DELETE FROM audit_entries WHERE writer = :w AND number = 1", w=office.own())


async def forge_a_checkpoint(office: Office) -> None:
    forger = Checkpoints(SERVER, office.database, new_key(), clock=office.clock)
    await forger.make()


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (change, "it was changed"),
        (remove, "1 before it are missing"),
        (reorder, "it was changed"),
        (remove_a_chain, "and has none"),
        (cut_the_tail, "its tail was cut off"),
        (begin_later, "no checkpoint proves what came before"),
        (forge_a_checkpoint, "under a known audit key"),
    ],
)
async def test_what_was_meddled_with_is_found(
    office: Office, meddle: Callable[[Office], Awaitable[None]], said: str
) -> None:
    await meddle(office)
    report = await office.look()
    assert not report.good and said in " ".join(map(str, report.findings))


async def test_a_log_written_anew_is_found_by_what_was_kept_outside(office: Office) -> None:
    """Every table rewritten by somebody who has the database, but not the key nor the other disk."""
    for table in ("audit_entries", "audit_heads", "audit_checkpoints"):
        await office.database.execute(f"DELETE FROM {table}")
    office.logs[0] = AuditLog(SERVER, office.database, clock=office.clock)
    await office.write(2)
    assert (await office.look()).good
    report = await office.look(outside=True)
    assert "the log was written anew" in " ".join(map(str, report.findings))


async def test_a_lost_checkpoint_is_found(office: Office) -> None:
    await office.checkpoints.make()
    await office.database.execute("DELETE FROM audit_checkpoints WHERE number = 2")
    assert "one before it is missing" in " ".join(map(str, (await office.look()).findings))


async def test_what_is_discarded_by_its_age_leaves_a_chain_that_is_proved(office: Office) -> None:
    """Retention: checkpoints outlive entries, and what went is on record."""
    office.clock.pass_(100)
    await office.write(1)
    heads = {office.own(): 5, office.own(1): 2}
    gone = await office.logs[0].prune(int(office.clock()) - 50, heads)
    assert gone == 7
    report = await office.look(outside=True)
    assert report.good, report.findings
    await office.checkpoints.make()
    assert (await office.look(outside=True)).good
    kinds = [entry.kind async for entry in office.logs[0].entries()]
    assert kinds == ["decision", "pruned"]


async def test_a_file_of_checkpoints_is_the_owners_alone(office: Office) -> None:
    """F88."""
    assert office.file.stat().st_mode & 0o777 == 0o600
    assert len(read_lines(office.file)) == 2


async def test_a_chain_goes_on_where_it_was_after_what_was_undone_at_the_very_end(office: Office) -> None:
    """The log remembers its head; what it remembers of a transaction that was not kept counts for nothing."""

    async def fail() -> None:
        raise RuntimeError

    for number in range(3):
        with pytest.raises(RuntimeError):
            async with office.database.transaction() as tx:
                office.logs[0].note(tx, "decision", number=number)
                tx.before_commit(fail)  # after the log's own
        await office.write(1 + number % 2)
    report = await office.look(outside=True)
    assert report.good and report.entries == 7 + 4


async def test_a_chain_holds_while_transactions_at_once_are_kept_and_undone(office: Office) -> None:
    async def one(number: int) -> None:
        async def last() -> None:
            await anyio.lowlevel.checkpoint()
            if number % 3 == 0:
                raise KeyError(number)

        try:
            async with office.database.transaction() as tx:
                for part in range(1 + number % 2):
                    office.logs[number % 2].note(tx, "token", number=number, part=part)
                tx.before_commit(last)
        except KeyError:
            pass

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(one, number)
    report = await office.look()
    assert report.good, report.findings
    assert report.entries == 7 + sum(1 + number % 2 for number in range(30) if number % 3)


async def test_a_head_that_somebody_else_moved_is_followed_from_where_it_is(office: Office) -> None:
    writer = office.own()
    async with office.database.transaction() as tx:
        twin = AuditLog(SERVER, office.database, clock=office.clock)
        twin.writer = writer
        twin.note(tx, "decision", number=1)
    await office.write(2)
    report = await office.look()
    assert report.good and report.entries == 10


texts_of_entries = st.text(st.characters(codec="utf-8"))


@given(st.lists(texts_of_entries, min_size=5, max_size=5), st.integers(0, 2**62))
def test_an_entry_is_hashed_as_json_without_spaces(texts: list[str], number: int) -> None:
    """So that anybody can check a chain with nothing of ours."""
    server, writer, kind, text, previous = texts
    chained = json.dumps([previous, server, writer, number, 7, kind, text], ensure_ascii=False, separators=(",", ":"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(chained.encode()).digest()).rstrip(b"=").decode()
    assert digest_of(server, writer, number, 7, kind, text, previous) == digest
