"""Key files: private from their first byte, whole or not there, and refused where others can read them (F88)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aauthkit.keys import FixedKey, KeyFile, KeyFileError, read_private, write_private
from aauthkit.protocol.jose import SigningKey, key_from_jwks
from tests.plugins.signing import new_key

NOW = 1_795_000_000


def entry(key: SigningKey, state: str = "current") -> dict[str, Any]:
    return {"state": state, "created": NOW, "jwk": key.to_jwk()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "server.jwks"


@pytest.fixture
def put(path: Path) -> Callable[[object], Path]:
    """Lays a key file with this content."""

    def put(document: object) -> Path:
        write_private(path, json.dumps(document).encode())
        return path

    return put


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# The file.


def test_a_first_key_is_made_and_found_again(path: Path) -> None:
    made = KeyFile(path, clock=lambda: NOW)
    assert made.current == KeyFile(path).current
    (written,) = json.loads(path.read_bytes())["keys"]
    assert (written["state"], written["created"]) == ("current", NOW)


def test_f88_a_key_file_and_its_folder_are_its_owners_alone_whatever_the_umask(path: Path) -> None:
    """F88."""
    before = os.umask(0)
    try:
        KeyFile(path)
    finally:
        os.umask(before)
    assert mode_of(path) == 0o600
    assert mode_of(path.parent) == 0o700


def test_f88_the_file_is_private_from_the_moment_it_exists(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F88: every file that is opened for the key is made with mode 0600, never narrowed afterwards."""
    modes: list[int] = []
    really = os.open

    def watched(name: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        handle = really(name, flags, mode, **more)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return handle

    monkeypatch.setattr(os, "open", watched)
    write_private(path, b"secret")
    assert modes == [0o600]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o666])
def test_f88_a_file_that_others_can_use_is_refused_and_says_what_to_do(path: Path, mode: int) -> None:
    """F88."""
    KeyFile(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        KeyFile(path)
    with pytest.raises(KeyFileError, match=f"{mode:04o}"):
        read_private(path)


def test_a_narrower_mode_is_taken(path: Path) -> None:
    KeyFile(path)
    path.chmod(0o400)
    assert KeyFile(path).current


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(path: Path) -> None:
    write_private(path, b"one")
    write_private(path, b"two")
    assert read_private(path) == b"two"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_old_file_and_no_piece_of_the_new(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(path, b"one")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"two")
    monkeypatch.undo()
    assert read_private(path) == b"one"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_exclusive_write_leaves_what_is_there(path: Path) -> None:
    write_private(path, b"one", exclusive=True)
    with pytest.raises(FileExistsError):
        write_private(path, b"two", exclusive=True)
    assert read_private(path) == b"one"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_write_goes_to_the_name_and_not_through_a_link(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    path.parent.mkdir()
    path.symlink_to(elsewhere)
    write_private(path, b"mine")
    assert elsewhere.read_bytes() == b"theirs"
    assert not path.is_symlink()


def test_of_two_processes_that_start_at_once_both_have_one_key(path: Path) -> None:
    program = f"from aauthkit.keys import KeyFile; print(KeyFile({str(path)!r}).current.kid)"
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(4)]
    kids = {process.communicate()[0] for process in running}
    assert kids == {f"{KeyFile(path).current.kid}\n".encode()}


# What stands in it.


def test_the_current_key_signs_and_every_key_is_published(put: Callable[[object], Path]) -> None:
    following, now, before = new_key(), new_key("ES256"), new_key()
    document = {"keys": [entry(following, "next"), entry(now), entry(before, "previous")]}
    keys = KeyFile(put(document), clock=lambda: NOW)
    assert keys.current == now
    jwks = keys.jwks()
    for key in (following, now, before):
        found = key_from_jwks(jwks, key.kid)
        assert found is not None
        assert found.same_key(key.public)


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
def test_what_is_published_is_public_and_named_by_its_thumbprint(put: Callable[[object], Path], alg: Any) -> None:
    """draft-11 §11.3.1: always with `alg`; house rule: `kid` is the thumbprint."""
    key = new_key(alg)
    for keys in (FixedKey(key), KeyFile(put({"keys": [entry(key)]}))):
        (jwk,) = keys.jwks()["keys"]
        assert "d" not in jwk
        assert (jwk["alg"], jwk["use"], jwk["kid"]) == (alg, "sig", key.public.thumbprint)
        assert keys.current == key


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "no list of keys"),
        ({"keys": {}}, "no list of keys"),
        ({"keys": []}, "exactly one current key"),
        ({"keys": ["x"]}, "the state of a key"),
        ({"keys": [{"state": "current"}]}, "not a JSON object"),
        ({"keys": [{"state": "current", "jwk": {"kty": "OKP"}}]}, "carries no alg"),
        ({"keys": [{"state": "retired", "jwk": {}}]}, "next, current, previous"),
        ({"keys": [{"state": ["current"], "jwk": {}}]}, "next, current, previous"),
    ],
)
def test_a_file_that_is_no_key_file_is_refused_with_its_name(
    put: Callable[[object], Path], document: object, reason: str
) -> None:
    path = put(document)
    with pytest.raises(KeyFileError, match=reason) as caught:
        KeyFile(path)
    assert str(path) in str(caught.value)


def test_two_current_keys_and_one_key_twice_are_refused(put: Callable[[object], Path]) -> None:
    one, other = new_key(), new_key()
    with pytest.raises(KeyFileError, match="exactly one current"):
        KeyFile(put({"keys": [entry(one), entry(other)]}))
    with pytest.raises(KeyFileError, match="one key twice"):
        KeyFile(put({"keys": [entry(one), entry(one, "previous")]}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"keys": [], "keys": []}'])
def test_what_is_no_json_object_is_refused(path: Path, content: bytes) -> None:
    write_private(path, content)
    with pytest.raises(KeyFileError, match="not a key file"):
        KeyFile(path)


def test_a_path_that_cannot_be_a_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(KeyFileError, match="folder: Is a directory"):
        KeyFile(tmp_path / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="file/key"):
        KeyFile(tmp_path / "file" / "key")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="link: No such file"):
        KeyFile(tmp_path / "link")


def test_f87_no_private_part_is_shown_in_a_repr_or_an_error(put: Callable[[object], Path]) -> None:
    """F87."""
    key, other = new_key(), new_key()
    secret = key.to_jwk()["d"]
    for shown in (repr(key), repr(FixedKey(key)), repr(KeyFile(put({"keys": [entry(key)]})))):
        assert secret not in shown
        assert repr(key.secret) not in shown
    wrong = {"state": "current", "jwk": {**other.to_jwk(), "d": secret}}
    with pytest.raises(KeyFileError) as caught:
        KeyFile(put({"keys": [wrong]}))
    assert secret not in str(caught.value)
