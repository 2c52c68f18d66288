"""The check: list and drafts, list and code, list and tests, list and document. Each finding is one line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import evidence
from .document import TARGET, document
from .drafts import DRAFTS, Sentence, read_drafts
from .listing import ROOT, Fault, Requirement, read_faults, read_requirements

SPEC = Path(os.environ.get("AAUTHKIT_SPEC") or ROOT.parent / "shared" / "spec")
"""Where the drafts lie, if they are at hand."""


def drafts_at_hand(folder: Path = SPEC) -> bool:
    """Whether the drafts lie beside the project."""
    return all((folder / name).is_file() for name in DRAFTS.values())


def against_drafts(rows: Sequence[Requirement], found: Sequence[Sentence]) -> Iterator[str]:
    """What the drafts say and the list does not, and the other way round; by identifier and by hash."""
    listed = {row.id: row.hash for row in rows}
    said = {sentence.id: sentence.hash for sentence in found}
    for name in said.keys() - listed.keys():
        yield f"{name}: the draft says it, the list does not (hash {said[name]})"
    for name in listed.keys() - said.keys():
        yield f"{name}: the list says it, the draft does not"
    for name in said.keys() & listed.keys():
        if said[name] != listed[name]:
            yield f"{name}: the sentence has changed (hash {said[name]}, listed as {listed[name]})"


def against_code(rows: Sequence[Requirement], allowed: frozenset[str]) -> Iterator[str]:
    """Functions and tests that are not there, and rules of ours that lack a test."""
    there = evidence.tests()
    for row in rows:
        for code in row.code:
            if not evidence.is_there(code):
                yield f"{row.id}: there is no function aauthkit.{code}"
        for test in row.tests:
            if test not in there:
                yield f"{row.id}: there is no test {test}"
        if row.status == "obeyed" and not (row.positive and row.negative):
            yield f"{row.id}: obeyed takes a positive and a negative test"
        if row.status == "unproved" and row.id not in allowed:
            yield f"{row.id}: unproved, and not among those that may be"
    unproved = {row.id for row in rows if row.status == "unproved"}
    for name in allowed - unproved:
        yield f"{name}: may be unproved and is not; take it off the list, which only shrinks"


def against_faults(rows: Sequence[Fault]) -> Iterator[str]:
    """Faults without a test that carries their identifier."""
    there = evidence.tests()
    for row in rows:
        if not row.tests and not row.later:
            yield f"{row.id}: no test carries it"
        for test in row.tests:
            if test not in there:
                yield f"{row.id}: there is no test {test}"
            elif not evidence.carries(test, row.id):
                yield f"{row.id}: {test} does not carry the identifier"


def against_fault_list(rows: Sequence[Fault], text: str) -> Iterator[str]:
    """Identifiers of the list of faults and ours, both ways."""
    named = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| F")}
    listed = {row.id for row in rows}
    yield from (f"{name}: not in conformance/faults.toml" for name in sorted(named - listed))
    yield from (f"{name}: in conformance/faults.toml alone" for name in sorted(listed - named))


def against_documents(rows: Sequence[Requirement], faults: Sequence[Fault]) -> Iterator[str]:
    """A document that is not the list's, and tests that docs/security.md names and that are not there."""
    if not TARGET.is_file() or TARGET.read_text("utf-8") != document(rows, faults):
        yield "docs/conformance.md is not what the list makes: python -m scripts.conformance write"
    for name in sorted(evidence.named_in(evidence.SECURITY) - evidence.known_names()):
        yield f"docs/security.md: there is no test {name}"


def own_findings() -> list[str]:
    """What is wrong between list, code, tests and documents."""
    rows, allowed = read_requirements()
    faults = read_faults()
    return [*against_code(rows, allowed), *against_faults(faults), *against_documents(rows, faults)]


def drafts_findings(folder: Path) -> list[str]:
    """What is wrong between the list and the drafts in `folder`, and a list of faults that lies beside it."""
    found = list(against_drafts(read_requirements()[0], read_drafts(folder)))
    faults = folder.parent / "faults.md"
    if faults.is_file():
        found += against_fault_list(read_faults(), faults.read_text("utf-8"))
    return found


def findings() -> list[str]:
    """Everything. The part that needs the drafts is left out where those do not lie at hand."""
    return own_findings() + (drafts_findings(SPEC) if drafts_at_hand() else [])
