"""A command that needs no server framework imports none, and starts where only the core is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVERS = {
    "uvicorn",
    "fastapi",
    "starlette",
    "jinja2",
    "asyncpg",
    "argon2",
    "msgspec",
    "nh3",
    "markdown_it",
    "segno",
    "h11",
}
CLIENTS = {"httpx2", "httpx"}
LIGHT = {
    "--help": SERVERS | CLIENTS | {"cryptography", "asyncio"},
    "--version": SERVERS | CLIENTS | {"cryptography", "asyncio"},
}


SERVE = (
    "person serve --issuer https://ps.example --database ps.db --keys ps.jwks --listen 8702 --agent-provider any "
    "--resource any"
)


def imported(words: list[str], home: Path) -> tuple[int, set[str]]:
    """The exit code of a command, and the top-level modules that its process had loaded at its end."""
    program = (
        "import sys, json, atexit\n"
        "tell = lambda: print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})), file=sys.stderr)\n"
        "atexit.register(tell)\n"
        f"from aauthkit.cli import main; sys.exit(main({words!r}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        input="",
        env={"AAUTHKIT_HOME": str(home), "PATH": ""},
    )
    return ran.returncode, set(json.loads(ran.stderr.splitlines()[-1]))


@pytest.mark.parametrize("word", LIGHT)
def test_help_and_version_import_next_to_nothing(word: str, tmp_path: Path) -> None:
    code, modules = imported([word], tmp_path)
    assert code == 0
    assert not modules & LIGHT[word]


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "--offline", "nonsense"],
        ["inspect", "--offline", "AAuth-Requirement: requirement=person-token"],
        ["inspect", "--help"],
        ["fetch", "--help"],
        ["init", "--help"],
        ["init", "planner"],
        ["fetch", "https://api.example/"],
    ],
)
def test_an_agents_command_imports_no_server(words: list[str], tmp_path: Path) -> None:
    _, modules = imported(words, tmp_path)
    assert not modules & SERVERS


def test_inspecting_offline_imports_no_http_client(tmp_path: Path) -> None:
    code, modules = imported(["inspect", "--offline", "AAuth-Requirement: requirement=person-token"], tmp_path)
    assert code == 0
    assert not modules & CLIENTS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo"], "pip install 'aauthkit[demo]'"),
        (SERVE.split(), "pip install 'aauthkit[demo]'"),
        (["inspect", "--offline", "Signature: sig=:AA==:"], ""),
        (["--version"], "draft-hardt-oauth-aauth-protocol-11"),
    ],
)
def test_without_the_extras_a_command_works_or_names_the_extra(words: list[str], said: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(SERVERS - {'h11'})!r}))\n"
        f"from aauthkit.cli import main; sys.exit(main({words!r}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        input="",
        env={"AAUTHKIT_HOME": str(tmp_path), "PATH": ""},
        cwd=tmp_path,
    )
    assert "Traceback" not in ran.stderr
    assert said in ran.stdout + ran.stderr
    assert not list(tmp_path.iterdir())
