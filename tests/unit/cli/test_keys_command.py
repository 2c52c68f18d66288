"""`aauthkit keys`: create, show, rotate, protect; each outcome also for a program."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from aauthkit.cli import main
from aauthkit.keys import KeyFile, Seal
from tests.plugins.commands import Commands

PASSPHRASE = "correct horse battery"
Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AAUTHKIT_KEYS"):
            monkeypatch.delenv(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "server.jwks"


@pytest.fixture
def made(path: Path) -> KeyFile:
    return KeyFile(path)


def ran(out: Out, *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in ("keys", *words)])
    read = out.readouterr()
    return code, read.out, read.err


def outcome(out: Out, *words: object) -> Any:
    code, told, err = ran(out, *words, "--json")
    assert code == 0, err
    return json.loads(told)


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
def test_f88_create_makes_a_file_of_mode_0600(path: Path, capsys: Out, alg: str) -> None:
    """F88."""
    told = outcome(capsys, "create", path, "--alg", alg)
    (key,) = told["keys"]
    assert (told["file"], told["protected"]) == (str(path), False)
    assert (key["state"], key["alg"], key["kid"]) == ("current", alg, KeyFile(path).current.kid)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_create_leaves_an_existing_file_alone(made: KeyFile, path: Path, capsys: Out) -> None:
    before = path.read_bytes()
    code, _, err = ran(capsys, "create", path)
    assert code == 1
    assert "exists already" in err
    assert path.read_bytes() == before


def test_show_tells_each_key_and_nothing_private(made: KeyFile, path: Path, capsys: Out) -> None:
    made.rotate()
    code, told, _ = ran(capsys, "show", path)
    assert code == 0
    assert "next" in told
    assert "signs in " in told
    assert made.current.kid in told
    assert made.current.to_jwk()["d"] not in told
    assert {key["state"] for key in outcome(capsys, "show", path)["keys"]} == {"next", "current"}


def test_show_jwks_gives_the_document_to_publish(made: KeyFile, path: Path, capsys: Out) -> None:
    code, told, _ = ran(capsys, "show", path, "--jwks")
    assert code == 0
    assert json.loads(told) == made.jwks()


@pytest.mark.parametrize("action", ["show", "rotate", "protect"])
def test_a_file_that_is_not_there_is_not_made(path: Path, capsys: Out, action: str) -> None:
    code, _, err = ran(capsys, action, path)
    assert code == 1
    assert f"aauthkit keys create {path}" in err
    assert not path.exists()


@pytest.mark.parametrize("action", ["show", "rotate", "protect"])
def test_f88_a_file_that_others_can_read_is_refused_with_the_mend(
    made: KeyFile, path: Path, capsys: Out, action: str
) -> None:
    """F88."""
    path.chmod(0o644)
    code, _, err = ran(capsys, action, path)
    assert code == 1
    assert f"chmod 600 {path}" in err
    assert "0644" in err


def test_rotate_publishes_a_next_key_once(made: KeyFile, path: Path, capsys: Out) -> None:
    (following,) = [key for key in outcome(capsys, "rotate", path)["keys"] if key["state"] == "next"]
    assert following["signs_from"] - following["created"] == 120
    assert following["kid"] in {jwk["kid"] for jwk in made.jwks()["keys"]}
    code, told, err = ran(capsys, "rotate", path)
    assert code == 0
    assert f"published already: {following['kid']}" in err
    assert following["kid"] in told


def test_rotate_may_be_slower_and_never_faster(made: KeyFile, path: Path, capsys: Out) -> None:
    code, _, err = ran(capsys, "rotate", path, "--delay", 60)
    assert code == 2
    assert "120 s before it signs" in err
    told = outcome(capsys, "rotate", path, "--delay", 86400, "--alg", "ES256")
    (following,) = [key for key in told["keys"] if key["state"] == "next"]
    assert (following["signs_from"] - following["created"], following["alg"]) == (86400, "ES256")


def test_protect_seals_under_a_passphrase_in_a_file_and_opens_again(
    made: KeyFile, path: Path, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "passphrase"
    secret.touch(0o600)
    secret.write_text(f"{PASSPHRASE}\n")
    assert outcome(capsys, "protect", path, "--passphrase-file", secret)["protected"]
    assert '"d"' not in path.read_text()
    code, _, err = ran(capsys, "show", path)
    assert code == 1
    assert "AAUTHKIT_KEYS_PASSPHRASE" in err
    monkeypatch.setenv("AAUTHKIT_KEYS_PASSPHRASE_FILE", str(secret))
    assert outcome(capsys, "rotate", path)["protected"]
    assert not outcome(capsys, "protect", path, "--remove")["protected"]
    assert KeyFile(path).current == made.current


def test_protect_takes_what_the_environment_holds_for_a_file_that_is_open(
    made: KeyFile, path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAUTHKIT_KEYS_PASSPHRASE", PASSPHRASE)
    assert outcome(capsys, "protect", path)["protected"]
    code, _, err = ran(capsys, "protect", path)
    assert code == 2, "another one must be named"
    assert "nothing was changed" in err


def test_protect_without_a_passphrase_changes_nothing(made: KeyFile, path: Path, capsys: Out) -> None:
    before = path.read_bytes()
    code, _, err = ran(capsys, "protect", path)
    assert code == 2
    assert "--passphrase-file" in err
    assert path.read_bytes() == before


def test_at_a_terminal_the_passphrase_is_asked_for_twice(
    made: KeyFile, path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [PASSPHRASE, "a different one"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: typed.pop(0))
    code, _, err = ran(capsys, "protect", path)
    assert code == 1
    assert "the two differ" in err
    typed[:] = [PASSPHRASE, PASSPHRASE]
    assert outcome(capsys, "protect", path)["protected"]
    typed[:] = [PASSPHRASE]
    assert outcome(capsys, "show", path)["protected"]
    typed[:] = ["not the right one"]
    code, _, err = ran(capsys, "show", path)
    assert code == 1
    assert "does not open" in err
    assert KeyFile(path, seal=Seal.passphrase(PASSPHRASE)).current == made.current


def test_a_new_file_is_protected_where_the_environment_holds_a_secret(
    path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAUTHKIT_KEYS_PASSPHRASE", PASSPHRASE)
    assert outcome(capsys, "create", path)["protected"]


def test_a_real_process_tells_a_wide_mode_in_one_line(commands: Commands) -> None:
    assert commands.run("keys", "create", "server.jwks").code == 0
    (commands.root / "server.jwks").chmod(0o640)
    failed = commands.run("keys", "show", "server.jwks", "--json")
    assert failed.code == 1
    assert "chmod 600 server.jwks" in failed.json["error"]["message"]
