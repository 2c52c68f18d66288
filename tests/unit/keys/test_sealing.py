"""Protected key files: the private keys sealed under a passphrase or a key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aauthkit.keys import KeyFile, KeyFileError, Seal
from aauthkit.protocol.jose import b64url_encode
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock

PASSPHRASE = "correct horse battery"
RAW = bytes(range(32))


def quick(text: str = PASSPHRASE) -> Seal:
    """A passphrase at the least cost that there is."""
    return Seal.passphrase(text, operations=1, memory=8192)


SEALS = [pytest.param(quick, id="passphrase"), pytest.param(lambda: Seal.key(RAW), id="key")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AAUTHKIT_KEYS"):
            monkeypatch.delenv(name)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.jwks"


def document(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_bytes()))


@pytest.mark.parametrize("seal", SEALS)
def test_f88_a_protected_file_holds_no_private_key_in_the_open(path: Path, seal: Any, clock: Clock) -> None:
    """F88."""
    keys = KeyFile(path, seal=seal(), clock=clock)
    private = keys.current.to_jwk()["d"]
    assert keys.protected
    assert private not in path.read_text()
    assert b64url_encode(keys.current.secret) not in path.read_text()
    (entry,) = document(path)["keys"]
    assert "d" not in entry["jwk"]
    assert KeyFile(path, seal=seal(), clock=clock).current == keys.current


@pytest.mark.parametrize("seal", SEALS)
def test_it_rotates_and_stays_protected(path: Path, seal: Any, clock: Clock) -> None:
    keys = KeyFile(path, seal=seal(), clock=clock)
    other = KeyFile(path, seal=seal(), clock=clock)
    following = keys.rotate()
    clock.advance(120)
    assert other.current.kid == following.kid
    assert '"d"' not in path.read_text()
    other.rotate()
    assert '"d"' not in path.read_text()


@pytest.mark.parametrize("seal", SEALS)
def test_an_open_file_is_protected_and_opened_again(path: Path, seal: Any, clock: Clock) -> None:
    keys = KeyFile(path, clock=clock)
    before = keys.current
    assert not keys.protected
    keys.protect(seal())
    assert keys.protected
    assert '"d"' not in path.read_text()
    with pytest.raises(KeyFileError, match="AAUTHKIT_KEYS_PASSPHRASE"):
        KeyFile(path, clock=clock)
    opened = KeyFile(path, seal=seal(), clock=clock)
    assert opened.current == before
    opened.protect(None)
    assert KeyFile(path, clock=clock).current == before


def test_the_passphrase_is_changed(path: Path, clock: Clock) -> None:
    keys = KeyFile(path, seal=quick(), clock=clock)
    before, salt = keys.current, document(path)["seal"]["salt"]
    keys.protect(quick("another one altogether"))
    assert document(path)["seal"]["salt"] != salt
    with pytest.raises(KeyFileError, match="does not open with the passphrase"):
        KeyFile(path, seal=quick(), clock=clock)
    assert KeyFile(path, seal=quick("another one altogether"), clock=clock).current == before


def test_a_wrong_passphrase_opens_nothing_and_is_not_repeated(path: Path) -> None:
    KeyFile(path, seal=quick())
    with pytest.raises(KeyFileError, match="does not open with the passphrase") as caught:
        KeyFile(path, seal=quick("wrong passphrase"))
    assert "wrong passphrase" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_another_kind_of_secret_is_said_to_be_one(path: Path) -> None:
    KeyFile(path, seal=quick())
    with pytest.raises(KeyFileError, match="sealed under a passphrase"):
        KeyFile(path, seal=Seal.key(RAW))
    path.unlink()
    KeyFile(path, seal=Seal.key(RAW))
    with pytest.raises(KeyFileError, match="sealed under a key"):
        KeyFile(path, seal=quick())


def test_a_sealed_key_belongs_to_its_own_entry(path: Path, clock: Clock) -> None:
    """One cannot be put into another's place: it is bound to its thumbprint."""
    keys = KeyFile(path, seal=Seal.key(RAW), clock=clock)
    keys.rotate()
    whole = document(path)
    one, other = whole["keys"]
    one["sealed"], other["sealed"] = other["sealed"], one["sealed"]
    path.write_text(json.dumps(whole))
    with pytest.raises(KeyFileError, match="does not open"):
        KeyFile(path, seal=Seal.key(RAW))


def test_the_same_key_is_never_sealed_to_the_same_bytes(path: Path, clock: Clock) -> None:
    keys = KeyFile(path, seal=Seal.key(RAW), clock=clock)
    seen = set()
    for _ in range(5):
        keys.protect(Seal.key(RAW))
        seen.add(document(path)["keys"][0]["sealed"])
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aead": "aes"}, "sealed in a way that is not known"),
        ({"kdf": "pbkdf2"}, "sealed in a way that is not known"),
        ({"salt": None}, "names no salt"),
        ({"salt": "AAAA"}, "out of bounds"),
        ({"operations": 0}, "out of bounds"),
        ({"operations": 10_000}, "out of bounds"),
        ({"operations": "3"}, "out of bounds"),
        ({"operations": True}, "out of bounds"),
        ({"memory": 2**40}, "out of bounds"),
        ({"memory": 1}, "out of bounds"),
        ({"memory": "65536"}, "out of bounds"),
    ],
)
def test_a_seal_out_of_form_or_bounds_is_refused_before_any_work(
    path: Path, change: dict[str, Any], reason: str
) -> None:
    KeyFile(path, seal=quick())
    whole = document(path)
    whole["seal"] |= change
    path.write_text(json.dumps(whole))
    with pytest.raises(KeyFileError, match=reason):
        KeyFile(path, seal=quick())


@pytest.mark.parametrize("sealed", [None, 7, "", "AAAA", "!" * 80])
def test_a_sealed_key_out_of_form_is_refused(path: Path, sealed: Any) -> None:
    KeyFile(path, seal=Seal.key(RAW))
    whole = document(path)
    whole["keys"][0]["sealed"] = sealed
    path.write_text(json.dumps(whole))
    with pytest.raises(KeyFileError, match="does not open"):
        KeyFile(path, seal=Seal.key(RAW))


def test_a_running_server_goes_on_when_the_secret_changes(path: Path, clock: Clock) -> None:
    running = KeyFile(path, seal=quick(), clock=clock)
    before = running.current
    KeyFile(path, seal=quick(), clock=clock).protect(quick("another one altogether"))
    assert running.current == before


def test_whether_it_is_protected_is_asked_of_the_file_as_it_is_now(path: Path, clock: Clock) -> None:
    one, other = KeyFile(path, seal=quick(), clock=clock), KeyFile(path, seal=quick(), clock=clock)
    one.protect(None)
    assert not other.protected


@pytest.mark.parametrize("seal", ["x", 7, []])
def test_a_seal_that_is_no_object_is_refused(path: Path, seal: Any) -> None:
    KeyFile(path)
    path.write_text(json.dumps({**document(path), "seal": seal}))
    with pytest.raises(KeyFileError, match="its seal is not a JSON object"):
        KeyFile(path)


def test_the_passphrase_is_worked_out_once_for_a_file(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation seen by a running server costs it no second of Argon2id."""
    from nacl.pwhash import argon2id

    keys = KeyFile(path, seal=quick(), clock=clock)
    other = KeyFile(path, seal=quick(), clock=clock)
    monkeypatch.setattr(argon2id, "kdf", lambda *_: pytest.fail("worked out again"))
    keys.rotate()
    assert len(other.jwks()["keys"]) == 2


# Where the secret comes from.


def test_the_environment_holds_the_passphrase_or_the_key(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "secret"
    private.touch(0o600)
    for name, value in (("AAUTHKIT_KEYS_PASSPHRASE", PASSPHRASE), ("AAUTHKIT_KEYS_KEY", b64url_encode(RAW))):
        private.write_text(f"{value}\n")
        for variable, held in ((name, value), (f"{name}_FILE", str(private))):
            monkeypatch.setenv(variable, held)
            keys = KeyFile(path)
            assert keys.protected
            monkeypatch.delenv(variable)
            other = {variable: held}
            assert KeyFile(path, seal=Seal.from_environment(other)).current == keys.current
            path.unlink()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"AAUTHKIT_KEYS_PASSPHRASE": PASSPHRASE, "AAUTHKIT_KEYS_KEY": b64url_encode(RAW)}, "only one of"),
        ({"AAUTHKIT_KEYS_PASSPHRASE": "short"}, "at least 8"),
        ({"AAUTHKIT_KEYS_KEY": "AAAA"}, "exactly 32 bytes"),
        ({"AAUTHKIT_KEYS_KEY": "not base64url!"}, "base64url"),
        ({"AAUTHKIT_KEYS_KEY_FILE": "/nowhere/at/all"}, "No such file"),
    ],
)
def test_a_secret_that_cannot_be_used_is_said_to_be_one(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(KeyFileError, match=reason):
        Seal.from_environment(environment)


def test_f88_a_file_with_the_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """F88."""
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Seal.from_environment({"AAUTHKIT_KEYS_PASSPHRASE_FILE": str(secret)})


def test_a_file_with_the_secret_that_is_no_text_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_bytes(b"\xff" * 40)
    with pytest.raises(KeyFileError, match="is not text"):
        Seal.from_environment({"AAUTHKIT_KEYS_PASSPHRASE_FILE": str(secret)})


def test_a_passphrase_of_eight_characters_will_do() -> None:
    assert Seal.passphrase("8 letter")
    with pytest.raises(KeyFileError, match="at least 8"):
        Seal.passphrase("7 lette")


def test_without_one_a_file_is_not_protected(path: Path) -> None:
    assert Seal.from_environment({}) is None
    assert Seal.from_environment({"AAUTHKIT_KEYS_PASSPHRASE": ""}) is None
    assert not KeyFile(path).protected


def test_f87_a_seal_shows_nothing_of_its_secret() -> None:
    """F87."""
    assert PASSPHRASE not in repr(quick())
    assert repr(Seal.key(RAW)) == "Seal(none)"


def test_the_cost_is_what_argon2id_is_recommended_with_at_the_least() -> None:
    """RFC 9106 §4: three passes and 64 MiB where memory is scarce."""
    shown = Seal.passphrase(PASSPHRASE).fresh()
    assert (shown["operations"], shown["memory"]) == (3, 64 * 1024 * 1024)
