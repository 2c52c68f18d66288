"""docs/keys.md says what the code does: its commands can be typed, its Python runs, its figures are true (F92)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from aauthkit.cli import parser
from aauthkit.keys import MARGIN, PUBLISHED_BEFORE, KeyFile
from aauthkit.keys.sealing import KEY, PASSPHRASE
from tests.plugins.machine import PROJECT

TEXT = (PROJECT / "docs" / "keys.md").read_text()


def test_its_commands_can_be_typed() -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)[1:]
        assert parser(words[0]).parse_args(words).run, line


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python keys\n(.*?)```", TEXT, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(compile(block, "docs/keys.md", "exec"), namespace)
    keys = namespace["keys"]
    assert isinstance(keys, KeyFile)
    assert keys.current.kid == keys.jwks()["keys"][0]["kid"]


def test_its_figures_and_names_are_the_codes() -> None:
    assert (PUBLISHED_BEFORE, MARGIN) == (120, 300)
    assert "two minutes later at the earliest" in TEXT
    assert "five minutes more" in TEXT
    assert f"`{PASSPHRASE}`" in TEXT
    assert f"`{KEY}`" in TEXT
