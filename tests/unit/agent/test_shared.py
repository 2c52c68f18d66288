"""What processes of one agent share: locks, tokens by key, and what cannot be used (draft-11 §7.1, F88)."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aauthkit.agent import shared as shared_module
from aauthkit.agent.caches import Held, Place
from aauthkit.agent.locks import Locks
from aauthkit.agent.shared import CURRENT, Shared
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.tokens import AUTH_TYP, PERSON_TYP, AuthToken, PersonToken, read_token
from tests.plugins.signing import Issuer, new_key

NOW = 1_800_000_000
PS = "https://person.example"
API = "https://api.example"
KEY = new_key()
ISSUER = Issuer(PS, new_key())


def store(folder: Path, **other: str) -> Shared:
    values = {"agent": "aauth:planner@agents.example", "provider": "https://agents.example", "person_server": PS}
    return Shared(folder / "shared", **{**values, **other}, loopback=NO_LOOPBACK, clock=lambda: NOW)  # type: ignore[arg-type]


def place(**other: str | None) -> Place:
    return replace(Place(KEY.kid, PS, None, API), **other)  # type: ignore[arg-type]


def person(aud: str = API, exp: int = NOW + 3600) -> Held:
    token = read_token(ISSUER.person_token(KEY.public, aud, now=NOW, sub="p-1", exp=exp), {PERSON_TYP})
    assert isinstance(token, PersonToken)
    return Held.of(token, KEY)


def granted(scope: str = "orders.read", **claims: str) -> Held:
    token = read_token(
        ISSUER.auth_token(KEY.public, API, scope, now=NOW, sub="p-1", exp=NOW + 3600, **claims), {AUTH_TYP}
    )
    assert isinstance(token, AuthToken)
    return Held.of(token, KEY, frozenset(scope.split()))


def test_what_is_kept_is_found_in_its_place_under_its_key_by_its_own_agent(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.keep(person(), place())
    one.keep(granted(account="b-7"), place(account="b-7"))
    found = store(tmp_path).find("grant", place(account="b-7"), KEY)
    assert found is not None and found.granted == found.asked == {"orders.read"}
    assert one.find("person", place(account="b-7"), KEY) is not None, "a person token knows no account"
    assert one.find("grant", place(), KEY) is None
    assert one.find("person", place(resource="https://other.example"), KEY) is None
    assert one.find("person", place(), new_key()) is None
    assert store(tmp_path, agent="aauth:buyer@agents.example").find("person", place(), KEY) is None


def test_what_has_ended_or_is_about_to_is_not_found(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.keep(person(exp=NOW + 3600), place())
    late = replace(one, clock=lambda: NOW + 3600 - 300)
    assert replace(one, clock=lambda: NOW + 3600 - 301).find("person", place(), KEY) is not None
    assert late.find("person", place(), KEY) is None


def entry(folder: Path) -> Path:
    (path,) = (folder / "shared").glob("*.token")
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"jkt": "another"},
        {"exp": NOW + 9999},
        {"exp": "soon"},
        {"asked": 7},
        {"token": None},
        {"token": granted().token.raw},
        {"token": person("https://other.example").token.raw},
    ],
)
def test_an_entry_that_is_not_what_was_looked_for_counts_as_not_there(
    tmp_path: Path, change: dict[str, object]
) -> None:
    one = store(tmp_path)
    one.keep(person(), place())
    document = json.loads(entry(tmp_path).read_bytes())
    entry(tmp_path).write_text(json.dumps({**document, **change}))
    assert one.find("person", place(), KEY) is None
    one.keep(person(), place())
    assert one.find("person", place(), KEY) is not None


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
def test_f88_an_entry_that_others_can_read_or_write_is_not_used(tmp_path: Path, mode: int) -> None:
    """F88."""
    one = store(tmp_path)
    one.keep(person(), place())
    one.make_current(KEY)
    for path in (entry(tmp_path), tmp_path / "shared" / CURRENT):
        path.chmod(mode)
    assert one.find("person", place(), KEY) is None
    assert one.current() is None


def test_f88_a_link_is_not_followed(tmp_path: Path) -> None:
    """F88."""
    one = store(tmp_path)
    one.keep(person(), place())
    entry(tmp_path).rename(tmp_path / "aside")
    path = tmp_path / "shared" / "x"
    one.keep(person(), place())
    path = entry(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "aside")
    assert one.find("person", place(), KEY) is None


def test_a_refused_token_is_dropped_if_it_is_still_the_one(tmp_path: Path) -> None:
    one, first, second = store(tmp_path), person(), person()
    one.keep(first, place())
    one.keep(second, place())
    one.forget(place(), first)
    assert one.find("person", place(), KEY) is not None
    one.forget(place(), second)
    assert one.find("person", place(), KEY) is None


def test_the_number_of_tokens_is_bounded_and_what_has_ended_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_module, "MAX_ENTRIES", 3)
    one = store(tmp_path)
    places = [place(resource=f"https://r{number}.example") for number in range(6)]
    for number, each in enumerate(places):
        one.keep(person(each.resource, NOW + 1000 + number), each)
    one.keep(person("https://old.example", NOW - 1), place(resource="https://old.example"))
    one.make_current(KEY)
    assert [one.find("person", each, KEY) is not None for each in places] == [False] * 3 + [True] * 3
    assert len(list((tmp_path / "shared").glob("*.token"))) == 3
    current = one.current()
    assert current is not None and current.kid == KEY.kid


def test_f87_nothing_secret_is_shown(tmp_path: Path) -> None:
    """F87: also not by the names of files."""
    one = store(tmp_path)
    one.keep(granted(), place())
    one.make_current(KEY)
    shown = repr(one) + " ".join(path.name for path in (tmp_path / "shared").iterdir())
    assert KEY.kid not in shown and "api.example" not in shown


# Locks.


def test_a_lock_is_held_by_one_and_leaves_nothing_behind(tmp_path: Path) -> None:
    one, other = Locks(tmp_path / "locks"), Locks(tmp_path / "locks")
    lock = one.attempt("agent")
    assert lock is not None
    assert other.attempt("agent") is None
    another = other.attempt("person")
    assert another is not None
    assert stat.S_IMODE(os.stat(tmp_path / "locks").st_mode) == 0o700
    for each in (lock, another):
        each.release()
    assert list((tmp_path / "locks").iterdir()) == []
    again = other.attempt("agent")
    assert again is not None
    again.release()


@pytest.mark.anyio
async def test_whoever_waits_for_a_lock_gets_it_and_one_that_leaves_takes_nothing(tmp_path: Path) -> None:
    locks, order = Locks(tmp_path / "locks"), list[int]()

    async def one(number: int) -> None:
        async with locks.held("agent"):
            order.append(number)
            assert order.count(number) == 1
            await asyncio.sleep(0)

    first = locks.attempt("agent")
    assert first is not None
    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0.02)
    assert order == []
    tasks[0].cancel()
    first.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(order) == [1, 2, 3, 4]
    assert list((tmp_path / "locks").iterdir()) == []


@pytest.mark.anyio
async def test_after_its_limit_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    """Rather asked twice than never: the one that holds it may have been stopped."""
    locks = Locks(tmp_path / "locks")
    first = locks.attempt("agent")
    assert first is not None
    async with locks.held("agent", limit=0.02):
        assert locks.attempt("agent") is None
    assert locks.attempt("agent") is None, "it is still the first one's"
    first.release()


HOLDING = """
import sys, time
from pathlib import Path
from aauthkit.agent.locks import Locks

lock = Locks(Path(sys.argv[1])).attempt("agent")
print(lock is not None, flush=True)
time.sleep(60)
"""


def test_f42_a_process_that_dies_holds_no_lock(tmp_path: Path) -> None:
    """F42: not even one that is killed; the file it leaves is in nobody's way."""
    folder = tmp_path / "locks"
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert Locks(folder).attempt("agent") is None
    holder.kill()
    holder.wait()
    holder.stdout.close()
    lock = Locks(folder).attempt("agent")
    assert lock is not None
    lock.release()
    assert list(folder.iterdir()) == []
