"""docs/interoperability.md: whole, in the form that is made, and of tests that are there."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.interop.page import page
from tests.plugins.rows import PAGE, rows_of


def _tests() -> set[str]:
    """Every test that writes down rows, by its name."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_peer_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= {node.name} if "rows" in [argument.arg for argument in node.args.args] else set()
    return found


def test_the_page_has_rows_of_every_test_with_a_peer_and_of_no_other() -> None:
    assert {row.test.partition("[")[0] for row in rows_of(PAGE.read_text())} == _tests()


def test_the_page_is_as_it_is_made_with_the_versions_that_are_installed() -> None:
    text = PAGE.read_text()
    assert text == page(rows_of(text)), "`python -m tests.interop.page` makes it anew"
