"""What the list names: the functions, by importing them, and the tests, by reading their source without running it."""

from __future__ import annotations

import ast
import importlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from .listing import ROOT

TESTS: Final = ROOT / "tests"
SECURITY: Final = ROOT / "docs" / "security.md"
_NAMED = re.compile(r"`(test_[a-zA-Z0-9_]+)`")


@lru_cache(maxsize=1)
def tests() -> dict[str, str]:
    """Every test function of the tree: `path::name`, with its name and docstring as one text."""
    found: dict[str, str] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                place = path.relative_to(ROOT).as_posix()
                found[f"{place}::{node.name}"] = f"{node.name} {ast.get_docstring(node) or ''}"
    return found


def carries(test: str, fault: str) -> bool:
    """Whether a test carries the identifier of a fault in its name or docstring."""
    return re.search(rf"(?:^|[^A-Za-z0-9]){fault}(?![0-9])", tests()[test], re.IGNORECASE) is not None


@lru_cache(maxsize=512)
def is_there(dotted: str) -> bool:
    """Whether a dotted name of the package leads to something that can be called."""
    parts = f"aauthkit.{dotted}".split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name, None)
        return callable(found) or isinstance(found, property)
    return False


def named_in(path: Path) -> set[str]:
    """The tests that a document names in back quotes."""
    return set(_NAMED.findall(path.read_text("utf-8")))


def known_names() -> set[str]:
    """The bare names of every test."""
    return {test.partition("::")[2] for test in tests()}
