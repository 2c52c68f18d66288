"""`docs/conformance.md`, made of the list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from .listing import ROLES, ROOT, Fault, Requirement

TARGET = ROOT / "docs" / "conformance.md"
TITLES = {
    "P11": ("draft-hardt-oauth-aauth-protocol-11", "draft-11"),
    "SK9": ("draft-hardt-httpbis-signature-key-09", "Signature-Keys"),
}
HEAD = """\
# Conformance: every MUST, counted

<!-- Made by `python -m scripts.conformance write` from conformance/. Change the list there, then run it. -->

Every sentence with MUST, MUST NOT or REQUIRED in the two drafts this project follows, every step of a list that such a
sentence introduces, and every step of a verification, in our words: the functions that obey it (where one party writes
what another refuses, one for each), a test that it does what it must, and a test that it does not do what it must not.
The list is `conformance/requirements.toml`, with a hash of each sentence. `python -m scripts.conformance check`
compares it with the drafts where they lie at hand, imports every function and looks up every test; a rule of ours
without both tests, or a test that is gone, fails the build. `python -m scripts.conformance trace` runs the tests and
tells each rule whose tests run none of its functions.
"""
WORDS = {
    "obeyed": "obeyed",
    "unproved": "obeyed, with a test still missing",
    "not-built": "not built yet",
    "not-ours": "not ours",
}


def _counts(rows: Sequence[Requirement]) -> Iterator[str]:
    yield "| | draft-11 | Signature-Keys | together |"
    yield "|---|---|---|---|"
    by = Counter((row.draft, row.status) for row in rows)
    drafts = tuple(TITLES)
    whole = [sum(by[draft, status] for status in WORDS) for draft in drafts]
    yield f"| sentences and steps | {whole[0]} | {whole[1]} | {sum(whole)} |"
    for status, words in WORDS.items():
        each = [by[draft, status] for draft in drafts]
        yield f"| {words} | {each[0]} | {each[1]} | {sum(each)} |"
    named = {test for row in rows for test in row.tests}
    yield ""
    yield f"They name {len(named)} different tests and {len({code for row in rows for code in row.code})} functions."


def _test(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[`{name.removeprefix('test_')}`](../{path})"


def _row(row: Requirement) -> str:
    rule = f"{row.rule} ({', '.join(ROLES[role] for role in row.roles)})"
    if row.status in ("not-built", "not-ours"):
        return f"| {row.id} | {rule} | *{WORDS[row.status]}*: {row.reason} | | |"
    code = "<br>".join(f"`{name}`" for name in row.code) + ("" if row.status == "obeyed" else "<br>*unproved*")
    positive, negative = ("<br>".join(map(_test, tests)) for tests in (row.positive, row.negative))
    return f"| {row.id} | {rule} | {code} | {positive} | {negative} |"


def _waiting(rows: Sequence[Requirement]) -> Iterator[str]:
    waits = Counter(row.reason for row in rows if row.status == "not-built")
    yield (
        "What is not built yet waits for: " + "; ".join(f"{why} ({count})" for why, count in waits.most_common()) + "."
    )


def _faults(faults: Sequence[Fault]) -> Iterator[str]:
    yield "\n## Faults that others had\n"
    yield "What implementations were found to do, and tests here that carry the identifier in docstring or name.\n"
    yield "| fault | what must happen | tests |\n|---|---|---|"
    for fault in faults:
        later = [f"*not built yet*: {fault.later}"] if fault.later else []
        tests = "<br>".join([*map(_test, fault.tests), *later])
        yield f"| {fault.id} | {fault.rule} | {tests} |"


def document(rows: Sequence[Requirement], faults: Sequence[Fault]) -> str:
    """The whole text."""
    parts = [HEAD, *_counts(rows), "", *_waiting(rows)]
    for draft, (title, short) in TITLES.items():
        parts.append(f"\n## {title}")
        mine = [row for row in rows if row.draft == draft]
        for section, grouped in groupby(mine, key=lambda row: row.section):
            parts.append(f"\n### {short} §{section}\n")
            parts.append("| | rule | obeyed by | it does | it does not |\n|---|---|---|---|---|")
            parts += map(_row, grouped)
    parts += _faults(faults)
    return "\n".join(parts) + "\n"
