"""What the named tests run: a rule whose tests run none of its functions is not shown by them.

A pytest plugin as well: it notes the product's functions that each test calls, on whatever thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from .listing import ROOT, Requirement

SOURCE = f"{ROOT / 'src' / 'aauthkit'}/"
_seen: dict[str, set[str]] = defaultdict(set)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--calls", type=Path, help="where the functions that each test calls are written")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    called = _seen[item.nodeid.partition("[")[0]]

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(SOURCE):
            room = code.co_filename.removeprefix(SOURCE).removesuffix(".py").replace("/", ".")
            called.add(f"{room}.{code.co_qualname}")

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        return (yield)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def pytest_sessionfinish(session: pytest.Session) -> None:
    target: Path | None = session.config.getoption("--calls")
    if target is not None:
        target.write_text(json.dumps({test: sorted(called) for test, called in _seen.items()}), "utf-8")


def unrun(rows: Sequence[Requirement], called: Mapping[str, Collection[str]]) -> list[str]:
    """The rules whose positive, or whose negative, tests call none of their functions. A class is not looked for."""
    found: list[str] = []
    for row in rows:
        functions = [name for name in row.code if not name.rpartition(".")[2][0].isupper()]
        for side, tests in (("positive", row.positive), ("negative", row.negative)):
            names = {name for test in tests for name in called.get(test, ())}
            if functions and not any(name in names or _inherited(name, names) for name in functions):
                found.append(f"{row.id}: its {side} tests run none of {', '.join(functions)}")
    return found


def _inherited(function: str, names: Collection[str]) -> bool:
    """Whether a method was called under the name of the module that it stands in."""
    return any(name.endswith(f".{function}") for name in names)


def trace(rows: Sequence[Requirement]) -> list[str]:
    """Run every named test, and tell what `unrun` says of it."""
    named = sorted({test for row in rows for test in row.tests})
    with tempfile.TemporaryDirectory() as folder:
        calls, listed = Path(folder, "calls.json"), Path(folder, "tests.txt")
        listed.write_text("\n".join(named), "utf-8")
        options = ["-p", __name__, "-q", "-p", "no:cacheprovider", f"--calls={calls}", f"@{listed}"]
        done = subprocess.run([sys.executable, "-m", "pytest", *options], check=False, cwd=ROOT)
        failed = [] if done.returncode == 0 else ["the tests did not pass"]
        return failed + unrun(rows, json.loads(calls.read_text("utf-8")))
