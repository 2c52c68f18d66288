"""The rows of docs/interoperability.md: each is written down by a test with a peer, and stands there if that passed.

    def test_a_get_is_verified(rows: Rows) -> None:
        ...
        rows.add(HTTPSIG, "our agent signs, it verifies", "GET", WORKS)

A test whose rows are not those of the page fails, so the page cannot grow old; `python -m tests.interop.page` makes it
anew from a run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.plugins.machine import PROJECT

PAGE: Final = PROJECT / "docs" / "interoperability.md"
RECORD: Final = "AAUTHKIT_ROWS"
"""The environment variable that names the file to record rows in, instead of holding them against the page."""

WORKS: Final = "works"
SWITCHED: Final = "works with the switch"
REFUSED: Final = "refused"
BREAKS: Final = "the peer breaks the draft"
ABSENT: Final = "not served by the peer"
OUTCOMES: Final = (WORKS, SWITCHED, REFUSED, BREAKS, ABSENT)

INTROSPECTION: Final = "introspection-aauth"
AAUTH: Final = "aauth"
HTTPSIG: Final = "@hellocoop/httpsig"
MOCKIN: Final = "@hellocoop/mockin"
PEERS: Final = (INTROSPECTION, AAUTH, HTTPSIG, MOCKIN)

_CELL: Final = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Row:
    """One pair, one direction, one operation. `remark` names the section wherever the draft is broken or refused by."""

    peer: str
    direction: str
    operation: str
    outcome: str
    remark: str
    test: str

    def line(self) -> str:
        """As it stands on the page."""
        cells = (self.direction, self.operation, self.outcome, self.remark, f"`{self.test}`")
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    @classmethod
    def read(cls, peer: str, line: str) -> Row:
        """The row that `line` is."""
        cells = [cell.strip().replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]]
        return cls(peer, *cells[:-1], cells[-1].strip("`"))


@dataclass
class Rows:
    """What one test found."""

    test: str
    found: list[Row] = field(default_factory=list)

    def add(self, peer: str, direction: str, operation: str, outcome: str, remark: str = "") -> None:
        """Write down a row, after what it says was asserted."""
        assert peer in PEERS and outcome in OUTCOMES
        assert "§" in remark or outcome not in (BREAKS, REFUSED), "a peer that breaks the draft breaks a section of it"
        self.found.append(Row(peer, direction, operation, outcome, remark, self.test))


def rows_of(page: str) -> list[Row]:
    """Every row of the page."""
    found: list[Row] = []
    for section in page.split("\n## ")[1:]:
        title, _, rest = section.partition("\n")
        peer = title.strip("`")
        lines = [line for line in rest.splitlines() if line.startswith("| ")]
        found += [Row.read(peer, line) for line in lines[1:] if peer in PEERS]
    return found


_PASSED: Final = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember whether the test itself passed, for what its rows are held against at its end."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> Iterator[Rows]:
    """Where a test with a peer writes down what it found."""
    found = Rows(request.node.name)
    yield found
    if not request.node.stash.get(_PASSED, False):
        return
    assert found.found, "a test with a peer finds something"
    record = os.environ.get(RECORD)
    if record:
        with Path(record).open("a") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in found.found)
        return
    peers = {row.peer for row in found.found}
    there = {row for row in rows_of(PAGE.read_text()) if row.test == found.test and row.peer in peers}
    assert there == set(found.found), (
        "docs/interoperability.md says otherwise; `python -m tests.interop.page` makes it anew"
    )
