"""What a machine cannot run is named at the end of a run, with how to get it, and fails the run with CI=true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.machine import PROJECT

WANTS_VECTORS = "def test_one(vectors_dir): ...\ndef test_two(vectors_dir): ...\n"


def run(folder: Path, tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tests` with the plugin in a pytest of its own."""
    (folder / "test_inner.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}
    command = [sys.executable, "-m", "pytest", "-p", "tests.plugins.machine", "-p", "no:cacheprovider", str(folder)]
    inherited = {**kept, "PYTHONPATH": str(PROJECT), **environment}
    return subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True)


def test_what_is_missing_is_named_once_with_how_to_get_it(tmp_path: Path) -> None:
    ran = run(tmp_path, WANTS_VECTORS, AAUTHKIT_VECTORS=str(tmp_path / "none"))
    assert ran.returncode == 0
    assert "2 x the published test vectors; to run it: lay them at ../shared/vectors" in ran.stdout


def test_in_ci_what_is_missing_fails_the_run(tmp_path: Path) -> None:
    ran = run(tmp_path, WANTS_VECTORS, AAUTHKIT_VECTORS=str(tmp_path / "none"), CI="true")
    assert ran.returncode == 1
    assert "CI=true: what was not run fails the run" in ran.stdout


@pytest.mark.parametrize("skip", ["import pytest\npytest.skip('elsewhere', allow_module_level=True)"])
def test_in_ci_any_other_skip_fails_the_run_too(tmp_path: Path, skip: str) -> None:
    ran = run(tmp_path, f"def test_fine(): ...\n\n{skip}\n", CI="true")
    assert ran.returncode != 0
    assert "1 x elsewhere" in ran.stdout


def test_what_is_there_is_run(tmp_path: Path) -> None:
    ran = run(tmp_path, WANTS_VECTORS, AAUTHKIT_VECTORS=str(tmp_path), CI="true")
    assert ran.returncode == 0
    assert "not run on this machine" not in ran.stdout
