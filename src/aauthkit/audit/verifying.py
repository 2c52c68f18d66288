"""Checking a log: every chain from entry to entry, every checkpoint against them, and against those kept outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..protocol.jose import PublicKey
from ..store import Database
from .checkpoints import Statement, digest_of, read_statement, statements
from .log import PRUNED, entries
from .records import BEGINNING, Entry


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written: where, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class Report:
    """What was looked at and what was found; `good` if nothing was."""

    entries: int = 0
    chains: int = 0
    checkpoints: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything is as it was written."""
        return not self.findings

    def find(self, where: str, what: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(where, what))


@dataclass(slots=True)
class _Chain:
    """What was read of one chain: the numbers it has, and the hash at each that a checkpoint may name."""

    first: int
    before: str
    last: int = 0
    hashes: dict[int, str] = field(default_factory=dict)


async def verify(
    database: Database, server: str, keys: Sequence[PublicKey], *, outside: Sequence[str] | None = None
) -> Report:
    """Check the log of `server`, whose checkpoints are signed with one of `keys`.

    `outside` are the checkpoints that were kept elsewhere: with them a cut tail and a log that was written anew are
    found as well, up to the last one. One that was made and never got there (a process that was killed between the two)
    is taken from the record, where the next one outside names it; replicas may have told theirs in any order.
    """
    report = Report()
    chains: dict[str, _Chain] = {}
    pruned: set[str] = set()
    async for entry in entries(database, server):
        report.entries += 1
        _link(report, chains, entry)
        if entry.kind == PRUNED:
            pruned |= entry.content.get("until", {}).keys()
    report.chains = len(chains)
    await _check_heads(report, database, server, chains)
    inside = await statements(database, server)
    read = _read_statements(report, inside, server, keys, "checkpoint")
    _check_succession(report, read, "checkpoint")
    report.checkpoints = len(read)
    held = list(read)
    if outside is not None:
        elsewhere = _read_statements(report, outside, server, keys, "checkpoint kept outside")
        _check_succession(report, _filled(elsewhere, read), "checkpoint kept outside")
        missing = [one for one in elsewhere if one.text not in set(inside)]
        for one in missing:
            report.find(f"checkpoint {one.number}", "it was made, and is not on record: the log was written anew")
        held += missing
    for statement in held:
        _check_against(report, statement, chains)
    _check_beginnings(report, held, chains, pruned)
    return report


def _link(report: Report, chains: dict[str, _Chain], entry: Entry) -> None:
    where = f"chain {entry.writer}, entry {entry.number}"
    chain = chains.get(entry.writer)
    if chain is None:
        chain = chains[entry.writer] = _Chain(entry.number, entry.previous)
    elif entry.number != chain.last + 1:
        report.find(where, f"{entry.number - chain.last - 1} before it are missing")
    elif entry.previous != chain.hashes[chain.last]:
        report.find(where, "it does not follow the one before it")
    if entry.digest() != entry.hash:
        report.find(where, "it was changed")
    chain.last = entry.number
    chain.hashes[entry.number] = entry.hash


async def _check_heads(report: Report, database: Database, server: str, chains: dict[str, _Chain]) -> None:
    rows = await database.fetch_all(
        "SELECT writer, number, hash FROM audit_heads WHERE server = :server AND number > 0", server=server
    )
    heads = {row["writer"]: (row["number"], row["hash"]) for row in rows}
    for writer, chain in chains.items():
        head = heads.get(writer)
        if head is None:
            report.find(f"chain {writer}", "its head is missing")
        elif head[0] != chain.last:
            report.find(f"chain {writer}", f"it ends at {chain.last}, and was written up to {head[0]}")
        elif head[1] != chain.hashes[chain.last]:
            report.find(f"chain {writer}", "its last entry is not the one that was written")


def _read_statements(
    report: Report, texts: Sequence[str], server: str, keys: Sequence[PublicKey], name: str
) -> list[Statement]:
    """Those that verify."""
    read: list[Statement] = []
    for position, text in enumerate(texts, 1):
        try:
            read.append(read_statement(text, server, keys))
        except ValueError as error:
            report.find(f"{name} {position}", str(error))
    return read


def _filled(elsewhere: Sequence[Statement], inside: Sequence[Statement]) -> list[Statement]:
    """What was kept elsewhere, in order and each once, with what is on record where something between is missing."""
    kept = {one.text: one for one in elsewhere}.values()
    numbers = {one.number for one in kept}
    between = [
        one for one in inside if numbers and min(numbers) < one.number < max(numbers) and one.number not in numbers
    ]
    return sorted((*kept, *between), key=lambda one: one.number)


def _check_succession(report: Report, read: Sequence[Statement], name: str) -> None:
    """Each follows the one before it, without a gap."""
    last: Statement | None = None
    for statement in read:
        if last is not None and statement.number > last.number + 1:
            report.find(f"{name} {statement.number}", "one before it is missing")
        elif last is not None and (statement.number <= last.number or statement.previous != digest_of(last.text)):
            report.find(f"{name} {statement.number}", "it does not follow the one before it")
        elif last is None and statement.number == 1 and statement.previous != BEGINNING:
            report.find(f"{name} 1", "it says that one came before it")
        last = statement


def _check_against(report: Report, statement: Statement, chains: dict[str, _Chain]) -> None:
    """A chain has what a checkpoint says it had; what was discarded by its age is held by the checkpoint alone."""
    for writer, (number, digest) in statement.heads.items():
        where = f"chain {writer}, by checkpoint {statement.number}"
        chain = chains.get(writer)
        if chain is None or number < chain.first:
            continue
        if number > chain.last:
            report.find(where, f"it had {number} entries, and ends at {chain.last}: its tail was cut off")
        elif chain.hashes.get(number) != digest:
            report.find(where, f"entry {number} is another than it was")


def _check_beginnings(report: Report, held: Sequence[Statement], chains: dict[str, _Chain], pruned: set[str]) -> None:
    """A chain that does not begin with its first entry begins where a checkpoint says it was."""
    proved = {(writer, number, digest) for one in held for writer, (number, digest) in one.heads.items()}
    newest = max(held, key=lambda one: one.number, default=None)
    for writer, chain in chains.items():
        if chain.first == 1:
            if chain.before != BEGINNING:
                report.find(f"chain {writer}, entry 1", "it says that one came before it")
        elif (writer, chain.first - 1, chain.before) not in proved:
            report.find(f"chain {writer}", f"it begins at {chain.first}, and no checkpoint proves what came before")
    for writer, (number, _) in (newest.heads if newest is not None else {}).items():
        if writer not in chains and writer not in pruned:
            report.find(f"chain {writer}", f"it had {number} entries, and has none")
