"""The code of a page in docs/, run as it stands: a server's block as a module, a client's inside an async function."""

from __future__ import annotations

import ast
import asyncio
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aauthkit.agent import Errand
from tests.plugins.machine import PROJECT
from tests.plugins.visiting import PATIENCE
from tests.plugins.world import PS

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
_SHOWN = re.compile(rf"({PS}/interaction/[\w-]+)\?code=([\w-]+)")


class Document:
    """One page."""

    def __init__(self, name: str) -> None:
        self.path: Path = PROJECT / "docs" / name
        self.text = self.path.read_text()

    def blocks(self, heading: str) -> list[str]:
        """The Python blocks under this heading, in order."""
        _, _, rest = self.text.partition(f"\n## {heading}\n")
        assert rest, f"{self.path.name} has no heading {heading!r}"
        return _BLOCK.findall(rest.partition("\n## ")[0])

    def module(self, monkeypatch: pytest.MonkeyPatch, *blocks: str) -> Any:
        """The blocks, one after another, as the module of a user's application."""
        module = ModuleType(f"from_{self.path.stem}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for block in blocks:
            exec(compile(block, self.path.name, "exec"), module.__dict__)
        return module

    async def run(self, block: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
        """A block as the body of an async function, with `names` known; what it has defined beside them."""
        defined = names if names is not None else {}
        code = compile(block, self.path.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, defined)
        if outcome is not None:
            await outcome
        return defined


class Terminal:
    """What the agent of a page prints for its person."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def errand(self) -> Errand:
        """Where the person is sent."""
        printed = ""
        async with asyncio.timeout(PATIENCE):
            while (found := _SHOWN.search(printed)) is None:
                await asyncio.sleep(0.02)
                printed += self._capsys.readouterr().err
        return Errand(found[0], found[1], found[2], "interaction", PS)
