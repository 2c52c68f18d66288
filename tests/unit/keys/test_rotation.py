"""Keys that change: published before they sign, kept until their last token has expired (design: Keys and state)."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aauthkit.keys import LONGEST_LIFETIME, MARGIN, PUBLISHED_BEFORE, KeyFile, KeyFileError
from aauthkit.keys.keyset import MAX_PREVIOUS
from aauthkit.keys.private_files import locked
from aauthkit.protocol.jose import key_from_jwks
from tests.plugins.signing import NOW, new_key
from tests.plugins.tls import Clock

HOUR = 3600


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "server.jwks"


@pytest.fixture
def keys(path: Path, clock: Clock) -> KeyFile:
    return KeyFile(path, lifetime=HOUR, clock=clock)


def published(keys: KeyFile) -> list[str]:
    return [jwk["kid"] for jwk in keys.jwks()["keys"]]


def written(path: Path) -> list[Mapping[str, Any]]:
    return list(json.loads(path.read_bytes())["keys"])


# One rotation.


def test_a_next_key_is_published_at_once_and_signs_two_minutes_later(keys: KeyFile, clock: Clock) -> None:
    """F33: verifiers may fetch once a minute only (draft-11 §11.4)."""
    before = keys.current
    following = keys.rotate()
    assert following.state == "next"
    assert following.signs_from == NOW + PUBLISHED_BEFORE == NOW + 120
    assert set(published(keys)) == {before.kid, following.kid}
    clock.advance(119.9)
    assert keys.current == before
    clock.advance(0.1)
    assert keys.current.kid == following.kid
    assert set(published(keys)) == {before.kid, following.kid}


def test_the_first_key_of_a_new_issuer_signs_at_once(path: Path, clock: Clock) -> None:
    keys = KeyFile(path, clock=clock)
    (only,) = keys.standing()
    assert (only.state, only.kid, only.signs_from) == ("current", keys.current.kid, NOW)


def test_a_previous_key_is_published_until_its_last_token_has_expired(keys: KeyFile, clock: Clock) -> None:
    """F33: it signed its last token two minutes from now; that lives an hour, and a margin is added."""
    before = keys.current.kid
    keys.rotate()
    clock.advance(PUBLISHED_BEFORE + HOUR)
    assert before in published(keys), "the last token expires now"
    clock.advance(MARGIN - 1)
    assert before in published(keys)
    clock.advance(1)
    assert published(keys) == [keys.current.kid]


def test_a_file_that_is_not_told_how_long_tokens_live_keeps_a_key_for_the_longest_there_are(
    path: Path, clock: Clock
) -> None:
    keys = KeyFile(path, clock=clock)
    before = keys.current.kid
    keys.rotate()
    clock.advance(PUBLISHED_BEFORE + LONGEST_LIFETIME + MARGIN - 1)
    assert before in published(keys)
    clock.advance(1)
    assert before not in published(keys)


def test_who_only_looks_sees_the_same_at_the_same_time(keys: KeyFile, path: Path, clock: Clock) -> None:
    """What time alone changes stands in no file: every process reckons it from the same times."""
    keys.rotate()
    for moment in (0, 119, 120, 4019, 4020):
        clock.now = NOW + moment
        other = KeyFile(path, lifetime=HOUR, clock=clock)
        assert (other.current, other.jwks()) == (keys.current, keys.jwks())


def test_a_key_that_retired_is_kept_without_its_private_part(keys: KeyFile, path: Path, clock: Clock) -> None:
    """At the rotation after: it signs nothing any more, so nothing is left to steal."""
    before = keys.current
    keys.rotate()
    clock.advance(200)
    keys.rotate()
    states = {entry["state"]: entry for entry in written(path)}
    assert sorted(states) == ["current", "next", "previous"]
    assert states["previous"]["jwk"]["kid"] == before.kid
    assert "d" not in states["previous"]["jwk"]
    assert "d" in states["current"]["jwk"]
    found = key_from_jwks(keys.jwks(), before.kid)
    assert found is not None
    assert found.same_key(before.public)


def test_what_has_lapsed_is_gone_from_the_file_at_the_next_rotation(keys: KeyFile, path: Path, clock: Clock) -> None:
    before = keys.current.kid
    keys.rotate()
    clock.advance(2 * HOUR)
    keys.rotate()
    assert before not in {entry["jwk"]["kid"] for entry in written(path)}


def test_a_rotation_while_one_is_under_way_is_the_same_one(keys: KeyFile, clock: Clock) -> None:
    first = keys.rotate()
    clock.advance(60)
    assert keys.rotate() == first
    assert len(published(keys)) == 2


def test_rotated_again_and_again_every_key_that_signed_stays_until_its_time(keys: KeyFile, clock: Clock) -> None:
    signed: list[tuple[str, float]] = []
    for _ in range(30):
        keys.rotate()
        for _ in range(7):
            signed.append((keys.current.kid, clock.now))
            clock.advance(100)
        alive = {kid for kid, at in signed if at + HOUR > clock.now}
        assert alive <= set(published(keys))
    assert len(written(keys.path)) < 12


def test_the_number_of_keys_kept_is_bounded(keys: KeyFile, clock: Clock) -> None:
    """A verifier looks at so many keys of a set and no more."""
    keys.lifetime = LONGEST_LIFETIME
    with pytest.raises(KeyFileError, match="wait until some have lapsed"):
        for _ in range(MAX_PREVIOUS + 2):
            keys.rotate()
            clock.advance(PUBLISHED_BEFORE)
    assert len(published(keys)) == MAX_PREVIOUS + 1


def test_a_key_may_be_published_longer_before_it_signs_and_never_shorter(keys: KeyFile, clock: Clock) -> None:
    with pytest.raises(KeyFileError, match="120 s before"):
        keys.rotate(delay=119)
    following = keys.rotate(delay=HOUR)
    clock.advance(HOUR - 1)
    assert keys.current.kid != following.kid
    clock.advance(1)
    assert keys.current.kid == following.kid


def test_the_next_key_is_of_the_same_kind_unless_another_is_named(path: Path, clock: Clock) -> None:
    keys = KeyFile(path, alg="ES256", clock=clock)
    assert keys.rotate().alg == "ES256"
    clock.advance(PUBLISHED_BEFORE)
    assert keys.rotate(alg="Ed25519").alg == "Ed25519"


def test_every_key_is_named_by_its_thumbprint_and_none_ever_by_anothers_name(keys: KeyFile, clock: Clock) -> None:
    """F33: never one `kid` for two keys."""
    seen: dict[str, Any] = {}
    for _ in range(5):
        keys.rotate()
        for jwk in keys.jwks()["keys"]:
            found = key_from_jwks(keys.jwks(), jwk["kid"])
            assert found is not None
            assert found.thumbprint == jwk["kid"]
            assert seen.setdefault(jwk["kid"], jwk["x"]) == jwk["x"]
            assert jwk["alg"] == "Ed25519"
            assert "d" not in jwk
        clock.advance(130)
    assert len(seen) == 6


# Several processes.


def test_another_process_of_the_same_file_sees_the_change_without_a_restart(
    keys: KeyFile, path: Path, clock: Clock
) -> None:
    other = KeyFile(path, lifetime=HOUR, clock=clock)
    following = keys.rotate()
    assert following.kid in published(other)
    clock.advance(PUBLISHED_BEFORE)
    assert other.current.kid == following.kid


def test_a_file_that_did_not_change_is_not_read_again(keys: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    really = KeyFile._load

    def counted(self: KeyFile) -> Any:
        nonlocal reads
        reads += 1
        return really(self)

    monkeypatch.setattr(KeyFile, "_load", counted)
    for _ in range(100):
        assert keys.current
        assert keys.jwks()
    assert reads == 0


def test_of_processes_that_rotate_at_once_there_is_one_next_key(keys: KeyFile, path: Path) -> None:
    program = f"from aauthkit.keys import KeyFile; print(KeyFile({str(path)!r}, clock=lambda: {NOW}).rotate().kid)"
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(4)]
    kids = {process.communicate()[0].decode().strip() for process in running}
    assert len(kids) == 1
    assert set(published(keys)) == {keys.current.kid, *kids}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_who_changes_the_file_waits_for_whoever_changes_it_now(keys: KeyFile, path: Path) -> None:
    before = path.read_bytes()
    with locked(path.parent):
        rotating = threading.Thread(target=keys.rotate)
        rotating.start()
        rotating.join(0.2)
        assert rotating.is_alive()
        assert path.read_bytes() == before
    rotating.join()
    assert path.read_bytes() != before


def test_threads_that_read_while_it_changes_always_see_a_whole_set(keys: KeyFile, clock: Clock) -> None:
    stop, wrong = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            if keys.current.kid not in {entry.kid for entry in keys.standing()}:
                wrong.append(clock.now)  # pragma: no cover

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        keys.rotate()
        clock.advance(130)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_f88_a_rotated_file_is_its_owners_alone_and_whole(
    keys: KeyFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F88: mode 0600 from the first byte; a write that fails leaves the old file."""
    keys.rotate()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    other = KeyFile(path, lifetime=HOUR, clock=lambda: NOW + 500)
    with pytest.raises(KeyFileError, match="No space left"):
        other.rotate()
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", ["removed", "cut", "opened", "another"])
def test_a_file_that_can_no_longer_be_used_leaves_the_keys_in_force_and_is_told_once(
    keys: KeyFile, path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A running server goes on; a start would refuse it."""
    before, shown = keys.current, keys.jwks()
    if damage == "removed":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "opened":
        path.chmod(0o644)
    else:
        path.write_text("{}")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert (keys.current, keys.jwks()) == (before, shown)
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert before.to_jwk()["d"] not in record.getMessage()
    if damage != "removed":
        with pytest.raises(KeyFileError):
            KeyFile(path)


def test_a_file_that_is_mended_is_used_again(keys: KeyFile, path: Path, clock: Clock) -> None:
    good = path.read_bytes()
    path.write_text("{}")
    assert keys.current
    path.write_bytes(good)
    assert keys.current
    following = KeyFile(path, lifetime=HOUR, clock=clock).rotate()
    assert following.kid in published(keys)


def test_a_rotation_does_not_begin_from_a_file_that_cannot_be_read(keys: KeyFile, path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.rotate()


# What stands in the file.


def test_a_file_of_the_first_form_is_read_and_rotated(path: Path, clock: Clock) -> None:
    """`state`, `created` and `jwk` alone; a next key signs two minutes after it was made."""
    following, now, before = new_key(), new_key(), new_key()
    path.parent.mkdir()
    entries = [
        {"state": "next", "created": NOW, "jwk": following.to_jwk()},
        {"state": "current", "created": NOW - 99, "jwk": now.to_jwk()},
        {"state": "previous", "created": NOW - 999, "jwk": before.to_jwk()},
    ]
    path.touch(0o600)
    path.write_text(json.dumps({"keys": entries}))
    keys = KeyFile(path, lifetime=HOUR, clock=clock)
    assert keys.current == now
    clock.advance(120)
    assert keys.current == following
    clock.advance(30 * 24 * HOUR)
    assert before.kid in published(keys), "nobody knows yet when it signed last"
    keys.rotate()
    clock.advance(HOUR + MARGIN)
    assert before.kid not in published(keys)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signs_from": "soon"}, "signs_from"),
        ({"signs_from": -1}, "signs_from"),
        ({"created": True}, "created"),
        ({"retired": 5}, "is a previous one"),
    ],
)
def test_times_out_of_form_are_refused(path: Path, change: dict[str, Any], reason: str) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    entry = {"state": "current", "created": NOW, "jwk": new_key().to_jwk(), **change}
    path.write_text(json.dumps({"keys": [entry]}))
    with pytest.raises(KeyFileError, match=reason):
        KeyFile(path)


def test_two_next_keys_are_refused(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    states = ("current", "next", "next")
    entries = [{"state": state, "created": NOW, "jwk": new_key().to_jwk()} for state in states]
    path.write_text(json.dumps({"keys": entries}))
    with pytest.raises(KeyFileError, match="more than one next"):
        KeyFile(path)


def test_a_current_or_next_key_without_its_private_part_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    path.write_text(json.dumps({"keys": [{"state": "current", "created": NOW, "jwk": new_key().public.jwk}]}))
    with pytest.raises(KeyFileError, match="no private part"):
        KeyFile(path)


def test_create_leaves_an_existing_file_alone(keys: KeyFile, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        KeyFile.create(path)
    assert path.read_bytes() == before


def test_f87_a_standing_and_a_repr_show_nothing_private(keys: KeyFile) -> None:
    """F87."""
    secret = keys.current.to_jwk()["d"]
    keys.rotate()
    assert secret not in repr(keys) + repr(keys.standing()) + repr(keys._read) + repr(keys._view)


def test_a_clock_that_steps_forth_and_back_leaves_the_keys_as_they_were(keys: KeyFile, clock: Clock) -> None:
    """F86: what a wrong time showed is forgotten with it."""
    before = keys.current.kid
    keys.rotate()
    names = published(keys)
    clock.advance(5 * 24 * HOUR)
    assert keys.current.kid != before
    clock.advance(-5 * 24 * HOUR)
    assert keys.current.kid == before and published(keys) == names
