"""docs/interoperability.md: whole, as it is made, and of tests that are there; and what the peers are pinned by."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from tests.interop.page import page
from tests.node import FOLDER
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


def test_the_peers_from_npm_are_held_to_their_hashes_and_name_no_place() -> None:
    """Exact versions, each package by its integrity, and nowhere the address it was got from."""
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    locked = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in locked.items() if name}
    assert all(version[0].isdigit() for version in wanted.values())
    assert all(
        package["integrity"].startswith("sha512-") and "resolved" not in package for package in installed.values()
    )
