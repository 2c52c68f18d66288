"""The built wheel in an empty environment: with its extra it runs the demonstration, without it names the extra."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.commands import Commands, Ran
from tests.plugins.machine import PROJECT, not_run

pytestmark = pytest.mark.timeout(400)  # downloads, where nothing is cached

UV = (sys.executable, "-m", "uv", "--quiet")
OFFLINE = re.compile(r"error sending request|failed to fetch|dns error|client error \(connect\)", re.IGNORECASE)


@pytest.fixture(scope="session")
def wheel(ports_lock: Path) -> Path:
    """The wheel of this tree, built once for all workers."""
    folder = ports_lock.parent / "wheel"
    with ports_lock.with_name("wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
            subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def installed(wheel: Path, extra: str, folder: Path) -> Path:
    """The command `aauthkit` of an environment with nothing in it but the wheel and what it needs, as it is locked."""
    environment = {**os.environ, "VIRTUAL_ENV": str(folder)}
    environment.pop("PYTHONPATH", None)
    subprocess.run([*UV, "venv", "--python", sys.executable, str(folder)], check=True, env=environment)
    lock = ("--constraint", str(PROJECT / "requirements" / "lock.txt"))
    install = [*UV, "pip", "install", "--python", str(folder), *lock, f"aauthkit{extra} @ {wheel.as_uri()}"]
    ran = subprocess.run(install, capture_output=True, text=True, env=environment)
    if ran.returncode and OFFLINE.search(ran.stderr):
        not_run("the wheel in an empty environment, for want of a package index", "connect to one, or name it to uv")
    assert ran.returncode == 0, ran.stderr
    return folder / "bin" / "aauthkit"


def run(commands: Commands, command: Path, *words: str) -> Ran:
    # The first line of a script may not be as long as the path of a test's folder: the interpreter runs it.
    ran = commands.run(
        str(command), *words, python=(), interpreter=str(command.with_name("python")), without="PYTHONPATH"
    )
    assert "Traceback" not in ran.err
    return ran


def test_with_its_extra_the_wheel_runs_the_demonstration(wheel: Path, commands: Commands, tmp_path: Path) -> None:
    command = installed(wheel, "[demo]", tmp_path / "environment")
    commands.settle_demo()
    told = run(commands, command, "demo", "--headless", "--folder", "demo")
    assert told.code == 0, told.err
    assert "all as expected" in told.out.splitlines()[-1]


def test_without_it_the_wheel_serves_an_agent_and_names_the_extra(
    wheel: Path, commands: Commands, tmp_path: Path
) -> None:
    command = installed(wheel, "", tmp_path / "environment")
    refused = run(commands, command, "demo", "--headless")
    assert refused.code == 1
    assert "pip install 'aauthkit[demo]'" in refused.err
    assert "draft-hardt-oauth-aauth-protocol-11" in run(commands, command, "--version").out
    assert run(commands, command, "inspect", "--offline", "AAuth-Requirement: requirement=agent-token").code == 0
    measured = run(commands, command, "vectors", "run")
    assert measured.code == 0, measured.out
    assert int(measured.out.splitlines()[-1].split()[2]) > 1000
    assert "aauthkit init planner" in run(commands, command, "fetch", "--agent", "planner", "https://api.example/").err
    commands.settle(commands.home)
    for words in ("up", "provider serve", "person serve", "person list"):
        refused = run(commands, command, *words.split())
        assert refused.code == 1, words
        assert "pip install 'aauthkit[" in refused.err, refused.err
    agent = "from aauthkit import Agent, Resource, KeyFile, ANY"
    assert (
        commands.run("-c", agent, python=(), interpreter=str(command.with_name("python")), without="PYTHONPATH").code
        == 0
    )
