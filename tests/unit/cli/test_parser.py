"""What can be typed: every command has help, options are written out, and what is wrong is said in one line."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aauthkit.cli import COMMANDS, main, parser
from tests.plugins.machine import PROJECT

SILENT = {"demo", "provider serve", "person serve", "gateway up", "gateway serve"}
"""What has nothing to say to a program but its exit code."""


def below(of: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command there is, with the words that lead to it."""
    groups = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield " ".join(words), of
    for name, inner in groups[0].choices.items() if groups else ():
        yield from below(inner, (*words, name))


EVERY = dict(below(parser()))


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_the_commands_are_those_of_the_documentation() -> None:
    assert set(EVERY) >= {
        "demo",
        "up",
        "init",
        "fetch",
        "inspect",
        *(f"provider {action}" for action in ("serve", "list", "approve", "deny", "suspend", "resume", "end")),
        *(f"person {action}" for action in ("serve", "invite", "passwd", "list")),
        *(f"keys {action}" for action in ("create", "show", "rotate", "protect")),
    }


@pytest.mark.parametrize("words", [*COMMANDS, *EVERY])
def test_each_command_has_help_that_fits_the_terminal(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words.split(), "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert told.startswith(f"usage: aauthkit {words} ")
    assert not [line for line in told.splitlines() if len(line) > 100]


@pytest.mark.parametrize("words", EVERY)
def test_each_option_says_what_it_is_for(words: str) -> None:
    of = EVERY[words]
    assert of.description
    silent = [
        action.dest for action in of._actions if not action.help and action.dest != "url" and action.help is not None
    ]
    assert not silent


@pytest.mark.parametrize("words", sorted(set(EVERY) - SILENT))
def test_what_a_program_may_read_comes_as_json(words: str) -> None:
    assert "--json" in EVERY[words]._option_string_actions


@pytest.mark.parametrize("words", EVERY)
def test_an_abbreviated_option_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    option = "--fold" if words == "demo" else "--hom"
    needed = ["x" for action in EVERY[words]._get_positional_actions() if action.nargs is None]
    with pytest.raises(SystemExit) as ended:
        main([*words.split(), *needed, option, "/nowhere"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["bogus"], ["--", "demo"], ["--verbose", "demo"], ["provider"], ["person", "x"]])
def test_nonsense_is_called_wrongly(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: aauthkit")


def commands_of(text: str) -> list[str]:
    """The `aauthkit` lines of a document's shell blocks, and those that it quotes."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    whole = [re.sub(r"\s*\\\n\s*", " ", block) for block in blocks]
    lines = [line.partition(" #")[0].strip() for block in whole for line in block.splitlines()]
    quoted = re.findall(r"`(aauthkit [a-z][^`]*)`", text)
    return [line for line in [*lines, *quoted] if line.startswith("aauthkit ")]


DOCUMENTS = sorted(path.relative_to(PROJECT).as_posix() for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_command_line_in_a_document_can_be_typed(document: str) -> None:
    for line in commands_of((PROJECT / document).read_text()):
        words = [word for word in shlex.split(line)[1:] if word != "COMMAND"]
        if "--help" in words or "--version" in words or " ".join(words) in COMMANDS:
            continue
        assert parser(words[0]).parse_args(words).run, line


def test_the_readme_shows_commands() -> None:
    assert len(commands_of((PROJECT / "README.md").read_text())) >= 5


CALLED_WRONGLY = [
    ("fetch api.localhost:8700/orders", "did you mean https://api.localhost:8700/orders"),
    ("fetch -H nonsense https://api.example/", "write it as 'Name: value'"),
    ("fetch -H 'a b: c' https://api.example/", "write it as 'Name: value'"),
    ("fetch -H 'a: b\x00' https://api.example/", "characters that no header field may hold"),
    ("fetch -X 'G T' https://api.example/", "is not an HTTP method"),
    ("fetch --as key --agent planner https://api.example/", "or use --as agent"),
    ("fetch --as agent --why because https://api.example/", "--as makes one request by hand"),
    ("init planner", "name one with --provider URL, or run `aauthkit up` first"),
    ("provider serve --issuer https://a.example", "--database, --keys, --listen must be given too"),
    ("provider serve --database x.db", "--database goes with --issuer"),
    ("provider serve --issuer https://a.example/x --database d --keys k --listen 1", "--issuer: "),
    ("provider serve --issuer http://a.localhost:1 --database d --keys k --listen 1", "export AAUTHKIT_EGRESS"),
    ("provider serve --issuer https://a.example --database d --keys k --listen 1", "--person-server any trusts all"),
    (
        "provider serve --issuer https://a.example --database d --keys k --listen 1 --person-server ps.example",
        "--person-server: ",
    ),
    ("person serve --issuer https://p.example --database d --keys k --listen 1", "--agent-provider is missing"),
    (
        "person serve --issuer https://p.example --database d --keys k --listen 1 --agent-provider any",
        "--resource is missing",
    ),
    ("provider list --database x.db", "--database goes with --issuer"),
    ("provider list --issuer https://a.example", "--database must be given too"),
    ("inspect ''", "give it as an argument, or on standard input"),
]


@pytest.mark.parametrize(("line", "said"), CALLED_WRONGLY)
def test_options_that_make_no_sense_are_refused_before_anything_is_done(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AAUTHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)) == 2
    written = capsys.readouterr()
    assert said in written.err
    assert written.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["0", "91", "x", "-1", "1.5"])
def test_an_invitation_is_for_1_to_90_days(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["person", "invite", "--days", value])
    assert ended.value.code == 2
    assert "1 to 90" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["x", "0", "70000", "host:", ":"])
def test_where_a_server_listens_is_a_port(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["provider", "serve", "--listen", value])
    assert ended.value.code == 2
    assert "is not [host:]port" in capsys.readouterr().err


NEEDS_AN_INSTALLATION = ["provider list", "provider approve x", "person list", "person invite", "provider serve"]


@pytest.mark.parametrize("line", NEEDS_AN_INSTALLATION)
def test_a_command_without_its_installation_says_what_to_run_first(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*line.split(), "--home", str(tmp_path)]) == 1
    assert "run `aauthkit up` first" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_failure_is_json_where_json_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["provider", "list", "--json", "--home", str(tmp_path)]) == 1
    written = capsys.readouterr()
    failure = json.loads(written.out)["error"]
    assert failure["kind"] == "InstallationError"
    assert failure["message"] in written.err


def test_an_operators_command_makes_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.db"
    for database in (str(missing), f"sqlite:///{missing}"):
        assert main(["person", "list", "--issuer", "https://ps.example", "--database", database]) == 1
        assert f"there is no database {missing}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_installation_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "installation.json").write_text('{"provider": 1}')
    for line in (["inspect", "--offline", "x"], ["provider", "list"], ["up"]):
        assert main([*line, "--home", str(tmp_path)]) == 1
        assert str(tmp_path / "installation.json") in capsys.readouterr().err


def test_a_terminal_that_takes_ascii_only_gets_what_it_can(tmp_path: Path) -> None:
    import subprocess

    ran = subprocess.run(
        [sys.executable, "-m", "aauthkit", "inspect", "--offline", "ünsinn"],
        env={"PYTHONIOENCODING": "ascii", "AAUTHKIT_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "\\u2717" in ran.stdout
    assert ran.stderr == ""
