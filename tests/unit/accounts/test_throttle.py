"""A storm of passwords: slowed for the account and for the address, kept on record, and never a burden on the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import anyio
import pytest

from aauthkit.accounts import AccountError, Accounts
from aauthkit.accounts.passwords import MAX_WAITING, Passwords
from aauthkit.accounts.throttle import (
    ACCOUNT,
    ADDRESS,
    FORGOTTEN_AFTER,
    LONGEST_WAIT,
    account_subject,
    address_subject,
    in_words,
)
from aauthkit.store import Database

pytestmark = pytest.mark.anyio

GOOD = "a boat of seven cats"


async def attempt(accounts: Accounts, name: str, password: str, peer: str | None = "192.0.2.1") -> str:
    """How it ended: the kind of the error, or `in`."""
    try:
        await accounts.sign_in(name, password, peer=peer)
    except AccountError as error:
        return error.kind
    return "in"


async def test_after_five_failures_an_account_waits_from_whichever_address(accounts: Accounts) -> None:
    await accounts.sign_up("Ada", GOOD)
    for number in range(6):
        assert await attempt(accounts, "Ada", "wrong", f"192.0.2.{number}") == "credentials"
    assert await attempt(accounts, "ADA", GOOD, "198.51.100.1") == "throttled"


async def test_each_further_failure_doubles_the_wait_up_to_a_bound(accounts: Accounts, clock: object) -> None:
    """Whoever goes on all day, from as many addresses as they like, has some hundred guesses."""
    begun, guesses, waits = clock.now, 0, []
    while clock.now < begun + 24 * 3600:
        try:
            await accounts.sign_in("Ada", "wrong", peer=f"2001:db8:{guesses:x}::1")
        except AccountError as error:
            if error.retry_after is None:
                guesses += 1
                continue
            waits.append(error.retry_after)
            clock.now += error.retry_after
    assert waits[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert max(waits) <= LONGEST_WAIT
    assert guesses < 200


async def test_a_throttled_attempt_is_not_hashed_and_not_counted(accounts: Accounts, hasher: object) -> None:
    for _ in range(6):
        await attempt(accounts, "Ada", "wrong")
    hasher.compared = 0
    with pytest.raises(AccountError) as first:
        await accounts.sign_in("Ada", "wrong", peer="192.0.2.1")
    for _ in range(10):
        assert await attempt(accounts, "Ada", "wrong") == "throttled"
    with pytest.raises(AccountError) as last:
        await accounts.sign_in("Ada", "wrong", peer="192.0.2.1")
    assert hasher.compared == 0
    assert first.value.retry_after == last.value.retry_after
    assert str(last.value) == "Too many attempts. Try again in 2 seconds."


async def test_an_unknown_name_is_throttled_like_a_known_one(accounts: Accounts) -> None:
    await accounts.sign_up("Ada", GOOD)
    known = [await attempt(accounts, "Ada", "wrong", f"192.0.2.{number}") for number in range(10)]
    unknown = [await attempt(accounts, "Bob", "wrong", f"198.51.100.{number}") for number in range(10)]
    assert known == unknown


async def test_an_address_waits_after_thirty_failures_at_whichever_accounts(accounts: Accounts, clock: object) -> None:
    await accounts.sign_up("Ada", GOOD)
    for number in range(31):
        assert await attempt(accounts, f"name {number}", "wrong") == "credentials"
    assert await attempt(accounts, "Ada", GOOD) == "throttled"
    assert await attempt(accounts, "Ada", GOOD, "198.51.100.1") == "in"
    clock.now += 2
    assert await attempt(accounts, "Ada", GOOD) == "in"


async def test_success_clears_the_account_but_only_its_own_attempt_at_the_address(accounts: Accounts) -> None:
    await accounts.sign_up("Mallory", GOOD)
    await accounts.sign_up("Ada", GOOD)
    for number in range(30):
        assert await attempt(accounts, f"name {number}", "wrong") == "credentials"
        assert await attempt(accounts, "Mallory", GOOD) == "in"
    assert await attempt(accounts, "one more", "wrong") == "credentials"
    assert await attempt(accounts, "Mallory", GOOD) == "throttled", "an account of one's own clears no way"


async def test_failures_are_forgotten_one_by_one_however_busy_the_address(accounts: Accounts, clock: object) -> None:
    await accounts.sign_up("Ada", GOOD)
    for number in range(200):
        assert await attempt(accounts, f"name {number}", "mistyped") == "credentials"
        assert await attempt(accounts, "Ada", GOOD) == "in"
        clock.now += ADDRESS.forgets_in - number % 2


async def test_an_account_is_free_again_when_its_failures_are_forgotten(accounts: Accounts, clock: object) -> None:
    await accounts.sign_up("Ada", GOOD)
    for number in range(6):
        await attempt(accounts, "Ada", "wrong", f"192.0.2.{number}")
    clock.now += 6 * ACCOUNT.forgets_in
    for number in range(6):
        assert await attempt(accounts, "Ada", "wrong", f"192.0.2.{number}") == "credentials"
    assert await attempt(accounts, "Ada", "wrong", "192.0.2.100") == "throttled"


def test_nothing_is_lost_of_the_time_between_two_attempts() -> None:
    failures, since = 10, 1000
    for now in range(1000, 1000 + 5 * ACCOUNT.forgets_in, 7):
        failures, since = ACCOUNT.left(failures, since, now)
    assert failures == 10 - 4
    assert ACCOUNT.left(3, 1000, 500) == (3, 1000), "a clock that steps back forgets nothing"
    assert ACCOUNT.left(3, 1000, 1000 + FORGOTTEN_AFTER) == (0, 1000 + FORGOTTEN_AFTER)


async def test_counts_survive_a_restart_and_hold_for_every_process(make: Callable[..., Accounts]) -> None:
    """F85."""
    for number in range(6):
        assert await attempt(make(), "Ada", "wrong", f"192.0.2.{number}") == "credentials"
    assert await attempt(make(), "Ada", "wrong", "198.51.100.1") == "throttled"


async def test_a_storm_at_one_account_gets_no_more_guesses_than_one_after_another(
    accounts: Accounts, hasher: object
) -> None:
    await accounts.sign_up("Ada", GOOD)
    hasher.compared = 0
    outcomes: Counter[str] = Counter()

    async def guess(number: int) -> None:
        outcomes[await attempt(accounts, "Ada", f"guess {number}", f"192.0.2.{number % 200}")] += 1

    async with anyio.create_task_group() as group:
        for number in range(150):
            group.start_soon(guess, number)
    assert outcomes == {"credentials": ACCOUNT.free + 1, "throttled": 150 - ACCOUNT.free - 1}
    assert hasher.compared == ACCOUNT.free + 1
    assert hasher.at_once <= 2


async def test_no_more_than_two_passwords_are_hashed_at_once_and_the_queue_is_bounded(hasher: object) -> None:
    passwords = Passwords(hasher)
    outcomes: Counter[str] = Counter()

    async def one() -> None:
        try:
            await passwords.hash(GOOD)
        except AccountError as error:
            assert error.retry_after is not None
            outcomes[error.kind] += 1
        else:
            outcomes["hashed"] += 1

    async with anyio.create_task_group() as group:
        for _ in range(500):
            group.start_soon(one)
    assert outcomes == {"hashed": 2 + MAX_WAITING, "throttled": 500 - 2 - MAX_WAITING}
    assert hasher.at_once <= 2
    await passwords.hash(GOOD)  # and afterwards it goes on


async def test_a_sign_up_is_throttled_by_address_too(make: Callable[..., Accounts], hasher: object) -> None:
    accounts = make()
    kinds: Counter[str] = Counter()
    for number in range(40):
        with pytest.raises(AccountError) as caught:
            await accounts.sign_up("Ada", GOOD, invite=f"guess {number}", peer="192.0.2.1")
        kinds[caught.value.kind] += 1
    assert kinds == {"invite": ADDRESS.free + 1, "throttled": 40 - ADDRESS.free - 1}
    assert hasher.hashed == 0


async def test_old_counts_do_not_pile_up(accounts: Accounts, clock: object, database: Database) -> None:
    for number in range(40):
        await attempt(accounts, f"name {number}", "wrong", f"192.0.2.{number}")
    clock.now += FORGOTTEN_AFTER + 1
    await attempt(accounts, "Ada", "wrong")
    row = await database.fetch_one("SELECT count(*) AS total FROM account_attempts")
    assert row is not None
    assert row["total"] == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        (None, "", True),
        ("unix", "unix", True),
    ],
)
def test_an_address_is_counted_by_what_its_owner_cannot_choose(one: str | None, other: str, same: bool) -> None:
    assert (address_subject(one) == address_subject(other)) is same


def test_a_subject_is_kept_as_a_hash() -> None:
    assert "ada" not in account_subject("Ada").key
    assert account_subject("Ada") == account_subject(" ADA ")
    assert account_subject("192.0.2.1").key != address_subject("192.0.2.1").key


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (61, "2 minutes")]
)
def test_a_wait_is_told_as_people_say_it(seconds: int, text: str) -> None:
    assert in_words(seconds) == text
