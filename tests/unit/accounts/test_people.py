"""Signing up and in, invitations, and what an administrator does to an account."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import anyio
import pytest

from aauthkit.accounts import Account, AccountError, Accounts
from aauthkit.accounts.passwords import Argon2id, check_password
from aauthkit.store import Database

pytestmark = pytest.mark.anyio

ON_ONE_ENGINE = pytest.mark.parametrize("store_engine", ["sqlite"])
"""For tests of many inputs in which the engine plays no part."""

GOOD = "a boat of seven cats"


async def refused(attempt: object, kind: str) -> AccountError:
    with pytest.raises(AccountError) as caught:
        await attempt
    assert caught.value.kind == kind
    return caught.value


# Signing up


async def test_a_person_signs_up_and_in(accounts: Accounts) -> None:
    made = await accounts.sign_up("Ada", GOOD)
    assert made == Account(made.id, "Ada", 1_800_000_000, False)
    assert await accounts.sign_in("Ada", GOOD, peer="192.0.2.1") == made
    assert await accounts.find("ada") == made == await accounts.account(made.id)
    assert list(await accounts.list()) == [made]


async def test_sign_up_is_open_in_the_loopback_profile_only(make: Callable[..., Accounts]) -> None:
    """F89."""
    await make("http://person.localhost:8701", loopback=True).sign_up("Ada", GOOD)
    await refused(make().sign_up("Ada", GOOD), "closed")
    assert await make().find("Ada") is None


async def test_no_account_and_no_password_comes_with_the_server(accounts: Accounts) -> None:
    """F89."""
    assert not await accounts.list()
    for name in ("admin", "root", "", "test"):
        await refused(accounts.sign_in(name, "", peer=None), "credentials")
        await refused(accounts.sign_in(name, name, peer=None), "credentials")


async def test_an_invitation_is_good_for_one_account(make: Callable[..., Accounts]) -> None:
    accounts = make()
    invitation = await accounts.invite()
    await refused(accounts.sign_up("Ada", GOOD, invite="x" + invitation[1:]), "invite")
    await accounts.sign_up("Ada", GOOD, invite=invitation)
    await refused(accounts.sign_up("Bob", GOOD, invite=invitation), "invite")


async def test_an_invitation_used_twice_at_once_makes_one_account(make: Callable[..., Accounts]) -> None:
    accounts = make()
    invitation = await accounts.invite()
    outcomes: list[str] = []

    async def try_it(name: str) -> None:
        try:
            outcomes.append((await accounts.sign_up(name, GOOD, invite=invitation)).name)
        except AccountError as error:
            outcomes.append(error.kind)

    async with anyio.create_task_group() as group:
        for name in ("Ada", "Bob", "Cyd"):
            group.start_soon(try_it, name)
    assert sorted(outcomes)[1:] == ["invite", "invite"]
    assert len(await accounts.list()) == 1


async def test_an_invitation_is_not_used_up_by_a_refused_sign_up(make: Callable[..., Accounts]) -> None:
    accounts = make()
    await accounts.sign_up("Ada", GOOD, invite=await accounts.invite())
    invitation = await accounts.invite()
    await refused(accounts.sign_up("ADA", GOOD, invite=invitation), "taken")
    await refused(accounts.sign_up("Bob", "short", invite=invitation), "weak")
    await accounts.sign_up("Bob", GOOD, invite=invitation)


async def test_an_invitation_ends(make: Callable[..., Accounts], clock: object) -> None:
    accounts = make()
    invitation = await accounts.invite(lifetime=60)
    clock.now += 60
    await refused(accounts.sign_up("Ada", GOOD, invite=invitation), "invite")


async def test_an_invitation_of_another_server_is_none_here(make: Callable[..., Accounts]) -> None:
    invitation = await make("https://other.example").invite()
    await refused(make().sign_up("Ada", GOOD, invite=invitation), "invite")


async def test_the_same_name_twice_at_once_makes_one_account(accounts: Accounts) -> None:
    outcomes: list[str] = []

    async def try_it(name: str) -> None:
        try:
            outcomes.append((await accounts.sign_up(name, GOOD)).name)
        except AccountError as error:
            outcomes.append(error.kind)

    async with anyio.create_task_group() as group:
        group.start_soon(try_it, "Ada")
        group.start_soon(try_it, "ada")
    assert len(await accounts.list()) == 1
    assert "taken" in outcomes


# Names


@ON_ONE_ENGINE
@pytest.mark.parametrize("other", ["ADA", "ada", "Ａｄａ", " Ada "])
async def test_a_name_is_unique_whatever_its_case_and_width(accounts: Accounts, other: str) -> None:
    made = await accounts.sign_up("Ada", GOOD)
    await refused(accounts.sign_up(other, GOOD), "taken")
    assert await accounts.sign_in(other, GOOD, peer=None) == made


@ON_ONE_ENGINE
@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 65,
        "x" * 100_000,
        "Ada\u202eevil",  # direction override
        "Ada\u2066",  # isolate
        "A\u200bda",  # zero width
        "A\u00adda",  # soft hyphen
        "A\u034fda",  # joiner
        "\u3164",  # filler that shows as nothing
        "\u2800",  # blank that is no space
        "Ada\x00",
        "Ada\nBob",
        "Ada  Bob",
        "Ada\u00a0Bob",
        "A\ufe0fda",
        "\ufffe",
        "Ada\ud800",
    ],
)
async def test_a_name_holds_nothing_that_is_not_seen(accounts: Accounts, name: str) -> None:
    await refused(accounts.sign_up(name, GOOD), "name")
    await refused(accounts.sign_in(name, GOOD, peer=None), "credentials")
    assert await accounts.find(name) is None


@ON_ONE_ENGINE
@pytest.mark.parametrize("name", ["Ada Lovelace", "李雷", "عائشة", "O'Neil <b>", "Zoë"])
async def test_a_name_may_be_of_any_script(accounts: Accounts, name: str) -> None:
    assert (await accounts.sign_up(name, GOOD)).name == name


# Passwords


@ON_ONE_ENGINE
@pytest.mark.parametrize(
    "password",
    [
        "",
        "eleven char",
        "x" * 1025,
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "password1234",
        "qwertyuiopas",
        "lkjhgfdsapoiuytrewq",
        "abcdefghijklmn",
        "1234567890123",
        "AdaLovelaceX" * 2,
        "twelve chars\0",
    ],
)
async def test_a_weak_password_is_refused(accounts: Accounts, password: str) -> None:
    await refused(accounts.sign_up("AdaLovelaceX", password), "weak")


@ON_ONE_ENGINE
@pytest.mark.parametrize("password", ["twelve chars", "x y z" + "w" * 1019, "пароль из слов"])
async def test_a_password_has_12_to_1024_characters_of_any_kind(accounts: Accounts, password: str) -> None:
    await accounts.sign_up("Ada", password)
    await accounts.sign_in("Ada", password, peer=None)


async def test_a_password_is_the_same_from_whichever_keyboard(accounts: Accounts) -> None:
    composed = "ein schöner Käfer"
    await accounts.sign_up("Ada", unicodedata.normalize("NFD", composed))
    await accounts.sign_in("Ada", composed, peer=None)


async def test_every_character_of_a_long_password_counts(accounts: Accounts) -> None:
    password = "abc de" + "f" * 1018
    await accounts.sign_up("Ada", password)
    for wrong in (password + "f", password[:-1], password[:-1] + "g"):
        await refused(accounts.sign_in("Ada", wrong, peer=None), "credentials")


async def test_a_password_is_kept_as_argon2id_with_the_parameters_of_rfc_9106() -> None:
    hasher = Argon2id()
    encoded = hasher.hash(GOOD)
    assert encoded.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hasher.matches(encoded, GOOD)
    assert not hasher.matches(encoded, GOOD + "!")
    assert not hasher.outdated(encoded)
    decoy = hasher.decoy()
    assert not hasher.matches(decoy, GOOD)
    assert not hasher.outdated(decoy), "costs exactly what a real one costs"
    assert len(decoy) == len(encoded)


async def test_a_hash_of_older_parameters_is_made_anew_at_sign_in(
    make: Callable[..., Accounts], database: Database
) -> None:
    class Stronger(Argon2id):
        def __init__(self) -> None:
            super().__init__(time_cost=2, memory_cost=16, parallelism=1)

    await make(open_sign_up=True).sign_up("Ada", GOOD)
    today = Accounts(database, issuer="https://person.example", hasher=Stronger())
    await today.sign_in("Ada", GOOD, peer=None)
    row = await database.fetch_one("SELECT hash FROM account_passwords")
    assert row is not None
    assert "m=16,t=2,p=1" in row["hash"]
    await today.sign_in("Ada", GOOD, peer=None)


# Signing in


async def test_a_wrong_password_and_an_unknown_name_say_and_cost_the_same(accounts: Accounts, hasher: object) -> None:
    await accounts.sign_up("Ada", GOOD)
    await accounts.sign_up("Off", GOOD)
    await accounts.set_disabled("Off", True)
    spent: list[tuple[int, int, str]] = []
    for name in ("Ada", "Nobody", "Off", "\x00", "x" * 5000):
        hasher.hashed = hasher.compared = 0
        error = await refused(accounts.sign_in(name, "not the password", peer="192.0.2.1"), "credentials")
        spent.append((hasher.hashed, hasher.compared, str(error)))
    assert spent == [(0, 1, "Name or password is wrong.")] * 5


async def test_passwords_are_hashed_away_from_the_event_loop(accounts: Accounts, hasher: object) -> None:
    """F90."""
    import threading

    await accounts.sign_up("Ada", GOOD)
    await accounts.sign_in("Ada", GOOD, peer=None)
    assert hasher.threads
    assert threading.get_ident() not in hasher.threads


async def test_a_disabled_account_is_told_so_after_the_right_password_only(accounts: Accounts) -> None:
    await accounts.sign_up("Ada", GOOD)
    await accounts.set_disabled("Ada", True)
    await refused(accounts.sign_in("Ada", "not the password", peer=None), "credentials")
    await refused(accounts.sign_in("Ada", GOOD, peer=None), "disabled")
    await accounts.set_disabled("Ada", False)
    assert not (await accounts.sign_in("Ada", GOOD, peer=None)).disabled


async def test_accounts_of_two_servers_on_one_database_are_apart(make: Callable[..., Accounts]) -> None:
    one, other = make(open_sign_up=True), make("https://other.example", open_sign_up=True)
    await one.sign_up("Ada", GOOD)
    await refused(other.sign_in("Ada", GOOD, peer=None), "credentials")
    await other.sign_up("Ada", "another boat of cats")
    await refused(one.sign_in("Ada", "another boat of cats", peer=None), "credentials")


async def test_another_password_replaces_the_first(accounts: Accounts) -> None:
    await accounts.sign_up("Ada", GOOD)
    await refused(accounts.set_password("Ada", "short"), "weak")
    await refused(accounts.set_password("Bob", GOOD), "unknown")
    await accounts.set_password("ada", "seven boats of a cat")
    await refused(accounts.sign_in("Ada", GOOD, peer=None), "credentials")
    await accounts.sign_in("Ada", "seven boats of a cat", peer=None)


async def test_the_database_holds_no_password_and_no_invitation(accounts: Accounts, database: Database) -> None:
    await accounts.sign_up("Ada", GOOD)
    invitation = await accounts.invite()
    await refused(accounts.sign_in("my secret typed as name", GOOD, peer=None), "credentials")
    tables = ("accounts", "account_passwords", "account_invitations", "account_attempts")
    everything = str([await database.fetch_all(f"SELECT * FROM {table}") for table in tables])
    for secret in (GOOD, invitation, "my secret", "192.0.2"):
        assert secret not in everything


async def test_an_error_holds_neither_name_nor_password(accounts: Accounts) -> None:
    """F87."""
    await accounts.sign_up("Ada", GOOD)
    for attempt in (
        accounts.sign_in("Ada", "wrong-password-here", peer=None),
        accounts.sign_up("Ada", GOOD),
        accounts.sign_up("Bob", "password1234"),
    ):
        with pytest.raises(AccountError) as caught:
            await attempt
        assert not {"Ada", "wrong-password-here", GOOD, "password1234"} & set(str(caught.value).split())


def test_the_check_of_a_password_gives_it_back_composed() -> None:
    assert check_password("e\u0301" * 3 + " boat of cats", "Ada") == "é" * 3 + " boat of cats"
