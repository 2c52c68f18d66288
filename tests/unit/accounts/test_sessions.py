"""Sessions: one for each browser, a new identifier at sign-in, nothing on record that opens one."""

from __future__ import annotations

import json
from collections.abc import Callable

import anyio
import pytest

from aauthkit.accounts import AccountError, Accounts, Session
from aauthkit.accounts.accounts import MAX_DATA, SESSION_LIFETIME, VISIT_LIFETIME
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem
from aauthkit.store import Database
from tests.unit.accounts.browser import Browser

pytestmark = pytest.mark.anyio

GOOD = "a boat of seven cats"
ORIGIN = "https://person.example"


async def visit(accounts: Accounts, browser: Browser) -> Session:
    """The browser's session, whose cookie it keeps."""
    session = await accounts.session(browser.request())
    browser.take(accounts.cookies(session))
    return session


async def signed_in(accounts: Accounts, browser: Browser, name: str = "Ada") -> Session:
    account = await accounts.find(name) or await accounts.sign_up(name, GOOD)
    session = await accounts.bind(await visit(accounts, browser), account)
    browser.take(accounts.cookies(session))
    return session


async def sessions_on_record(database: Database) -> int:
    row = await database.fetch_one("SELECT count(*) AS total FROM account_sessions")
    assert row is not None
    return int(row["total"])


# Before anybody signs in


async def test_a_visit_costs_no_record_and_is_known_again(accounts: Accounts, database: Database) -> None:
    browser = Browser(ORIGIN)
    first = await visit(accounts, browser)
    again = await accounts.session(browser.request())
    assert first.fresh
    assert not again.fresh
    assert (again.id, again.csrf, again.handle) == (first.id, first.csrf, first.handle)
    assert not again.signed_in
    assert await sessions_on_record(database) == 0


async def test_a_visit_is_known_to_every_process_and_after_a_restart(make: Callable[..., Accounts]) -> None:
    browser = Browser(ORIGIN)
    first = await visit(make(), browser)
    assert (await make().session(browser.request())).id == first.id


async def test_two_visits_share_nothing(accounts: Accounts) -> None:
    one, other = await visit(accounts, Browser(ORIGIN)), await visit(accounts, Browser(ORIGIN))
    assert not {one.id, one.csrf, one.handle} & {other.id, other.csrf, other.handle}


@pytest.mark.parametrize("store_engine", ["sqlite"])
@pytest.mark.parametrize(
    "invented",
    ["x" * 32, "A" * 43, "", "{random}.{later}.{mac}", "{random}.{begun}.A{mac}", "{random}..{mac}", "a.b.c"],
)
async def test_an_identifier_that_this_server_did_not_make_is_no_session(accounts: Accounts, invented: str) -> None:
    browser = Browser(ORIGIN)
    real = await visit(accounts, browser)
    random, begun, mac = real.id.split(".")
    (name,) = browser.cookies
    browser.cookies[name] = invented.format(random=random, begun=begun, mac=mac, later=int(begun) + 1)
    assert (await accounts.session(browser.request())).fresh


async def test_a_visit_of_another_server_is_none_here(make: Callable[..., Accounts]) -> None:
    browser = Browser(ORIGIN)
    await visit(make("https://other.example"), browser)
    assert (await make().session(browser.request())).fresh


async def test_a_visit_ends_after_two_hours(accounts: Accounts, clock: object) -> None:
    browser = Browser(ORIGIN)
    first = await accounts.save(await visit(accounts, browser), {"page": "p"})
    clock.now += VISIT_LIFETIME - 1
    assert (await accounts.session(browser.request())).id == first.id
    clock.now += 1
    assert (await accounts.session(browser.request())).id != first.id


async def test_what_is_saved_in_a_visit_is_there_for_this_browser_only(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    saved = await accounts.save(await visit(accounts, browser), {"page": "p1", "list": [1]})
    assert saved.data == {"page": "p1", "list": [1]}
    assert (await accounts.session(browser.request())).data == {"page": "p1", "list": [1]}
    assert not (await accounts.session(Browser(ORIGIN).request())).data
    await accounts.save(saved, {})
    assert (await accounts.session(browser.request())).data == {}


async def test_two_tabs_may_save_at_the_same_moment(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    session = await visit(accounts, browser)
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(accounts.save, session, {"page": number})
    assert (await accounts.session(browser.request())).data["page"] in range(4)


async def test_a_session_keeps_little(accounts: Accounts) -> None:
    session = await visit(accounts, Browser(ORIGIN))
    with pytest.raises(ValueError, match="at most"):
        await accounts.save(session, {"x": "y" * MAX_DATA})


# Fixation


async def test_sign_in_gives_a_new_identifier_and_token_and_keeps_what_was_there(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    before = await accounts.save(await visit(accounts, browser), {"page": "p1"})
    after = await signed_in(accounts, browser)
    assert after.fresh
    assert after.id != before.id
    assert after.csrf != before.csrf
    assert after.handle == before.handle
    assert (await accounts.session(browser.request())).data == {"page": "p1"}


@pytest.mark.parametrize("saved", [True, False])
async def test_an_identifier_planted_before_sign_in_is_worth_nothing_afterwards(
    accounts: Accounts, saved: bool
) -> None:
    attacker, victim = Browser(ORIGIN), Browser(ORIGIN)
    planted = await visit(accounts, attacker)
    if saved:
        planted = await accounts.save(planted, {"page": "p1"})
    victim.cookies = dict(attacker.cookies)
    bound = await signed_in(accounts, victim)
    theirs = await accounts.session(attacker.request())
    assert not theirs.signed_in
    assert theirs.fresh, "not even the visit goes on"
    assert theirs.id not in (planted.id, bound.id)
    assert theirs.handle != bound.handle
    assert not theirs.data
    with pytest.raises(Problem):
        await accounts.save(planted, {"page": "p2"})
    assert (await accounts.session(victim.request())).signed_in


async def test_what_one_person_left_in_the_browser_does_not_go_to_the_next(accounts: Accounts) -> None:
    """F83."""
    browser = Browser(ORIGIN)
    first = await accounts.save(await signed_in(accounts, browser, "Ada"), {"page": "hers"})
    second = await signed_in(accounts, browser, "Bob")
    assert not second.data
    assert second.handle != first.handle
    assert (await accounts.session(browser.request())).account == await accounts.find("Bob")


async def test_signing_in_again_as_oneself_keeps_what_was_there(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    first = await accounts.save(await signed_in(accounts, browser), {"page": "p"})
    second = await signed_in(accounts, browser)
    assert second.id != first.id
    assert second.handle == first.handle
    assert second.data == {"page": "p"}


# The end of a session


async def test_sign_out_ends_the_session_here_and_in_the_browser(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    session = await signed_in(accounts, browser)
    stolen = Browser(ORIGIN)
    stolen.cookies = dict(browser.cookies)
    await accounts.sign_out(session)
    browser.take(accounts.cookies(session, clear=True))
    assert not browser.cookies
    assert not (await accounts.session(stolen.request())).signed_in
    with pytest.raises(Problem) as caught:
        await accounts.save(session, {"page": "p"})
    assert caught.value.status == 403
    assert not (await accounts.session(stolen.request())).signed_in


async def test_a_visit_that_signs_out_is_over_too(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    session = await visit(accounts, browser)
    await accounts.sign_out(session)
    assert (await accounts.session(browser.request())).id != session.id


async def test_a_session_ends_after_its_time(accounts: Accounts, clock: object) -> None:
    browser = Browser(ORIGIN)
    session = await signed_in(accounts, browser)
    clock.now += SESSION_LIFETIME - 1
    assert (await accounts.session(browser.request())).signed_in
    clock.now += 1
    assert not (await accounts.session(browser.request())).signed_in
    with pytest.raises(Problem):
        await accounts.save(session, {})


async def test_another_password_and_a_disabled_account_end_every_session(accounts: Accounts) -> None:
    for end in (
        lambda: accounts.set_password("Ada", "seven boats of a cat"),
        lambda: accounts.set_disabled("Ada", True),
    ):
        browsers = [Browser(ORIGIN), Browser(ORIGIN)]
        for browser in browsers:
            await signed_in(accounts, browser)
        await end()
        for browser in browsers:
            assert not (await accounts.session(browser.request())).signed_in


async def test_a_disabled_account_gets_no_session(accounts: Accounts) -> None:
    account = await accounts.sign_up("Ada", GOOD)
    await accounts.set_disabled("Ada", True)
    with pytest.raises(AccountError) as caught:
        await accounts.bind(await visit(accounts, Browser(ORIGIN)), account)
    assert caught.value.kind == "disabled"


async def test_sessions_that_are_over_do_not_pile_up(accounts: Accounts, clock: object, database: Database) -> None:
    for _ in range(5):
        await signed_in(accounts, Browser(ORIGIN))
    clock.now += SESSION_LIFETIME
    await signed_in(accounts, Browser(ORIGIN))
    assert await sessions_on_record(database) == 1
    row = await database.fetch_one("SELECT count(*) AS total FROM account_ended_visits")
    assert row is not None
    assert row["total"] == 1


# What is on record


async def test_the_database_opens_no_session(accounts: Accounts, database: Database) -> None:
    browser = Browser(ORIGIN)
    before = await accounts.save(await visit(accounts, browser), {})
    after = await signed_in(accounts, browser)
    everything = str(
        [await database.fetch_all(f"SELECT * FROM {t}") for t in ("account_sessions", "account_ended_visits")]
    )
    for session in (before, after):
        assert session.id not in everything
        assert session.csrf not in everything
        assert session.id not in repr(session)
        assert session.csrf not in repr(session)


async def test_a_session_survives_a_restart(make: Callable[..., Accounts]) -> None:
    """F85."""
    browser = Browser(ORIGIN)
    session = await signed_in(make(open_sign_up=True), browser)
    assert (await make().session(browser.request())).account == session.account


# Cookies


async def test_the_cookie_has_every_protection(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    session = await signed_in(accounts, browser)
    attributes = f"Path=/; Max-Age={SESSION_LIFETIME}; Secure; HttpOnly; SameSite=Lax"
    assert accounts.cookies(session) == [("set-cookie", f"__Host-aauthkit={session.id}; {attributes}")]
    (cleared,) = accounts.cookies(session, clear=True)
    assert cleared == ("set-cookie", "__Host-aauthkit=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")


async def test_in_the_loopback_profile_the_cookie_has_neither_secure_nor_a_prefix(
    make: Callable[..., Accounts],
) -> None:
    accounts = make("http://person.localhost:8701", loopback=True)
    session = await accounts.session(Browser(None).request())
    ((_, line),) = accounts.cookies(session)
    assert line == f"aauthkit-8701={session.id}; Path=/; Max-Age={VISIT_LIFETIME}; HttpOnly; SameSite=Lax"


async def test_without_https_there_is_no_session_but_in_the_loopback_profile(make: Callable[..., Accounts]) -> None:
    with pytest.raises(ValueError, match="not https"):
        make("http://person.localhost:8701")
    assert make(loopback=True).cookies(await make().session(Browser(None).request()))[0][1].startswith("__Host-")


async def test_the_cookie_of_a_session_goes_out_once(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    fresh = await accounts.session(browser.request())
    answer = accounts.with_session(Answer(200), fresh)
    assert answer.values("set-cookie") == [accounts.cookies(fresh)[0][1]]
    browser.take(accounts.cookies(fresh))
    known = await accounts.session(browser.request())
    assert accounts.with_session(Answer(200), known).headers == ()


async def test_of_a_cookie_that_stands_twice_none_counts(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    session = await signed_in(accounts, browser)
    other = await visit(accounts, Browser(ORIGIN))
    twice = browser.request("GET", "/", ("cookie", f"__Host-aauthkit={other.id}"))
    assert not (await accounts.session(twice)).signed_in
    assert (await accounts.session(browser.request("GET", "/", ("cookie", "a=b; c")))).id == session.id


# Pages that are open


async def test_a_page_is_alive_for_as_long_as_it_says(accounts: Accounts, clock: object) -> None:
    session = await signed_in(accounts, Browser(ORIGIN))
    assert session.account is not None
    assert not await accounts.page_alive(session.account.id)
    await accounts.keep_alive(session, 15)
    assert await accounts.page_alive(session.account.id)
    assert await accounts.session_alive(session.handle)
    clock.now += 15
    assert not await accounts.page_alive(session.account.id)
    assert not await accounts.session_alive(session.handle)


async def test_a_page_of_one_person_is_not_a_page_of_another(accounts: Accounts) -> None:
    ada, bob = await signed_in(accounts, Browser(ORIGIN)), await signed_in(accounts, Browser(ORIGIN), "Bob")
    await accounts.keep_alive(ada, 15)
    assert bob.account is not None
    assert not await accounts.page_alive(bob.account.id)
    assert not await accounts.session_alive(bob.handle)


async def test_a_page_stays_alive_through_sign_in_and_under_the_same_handle(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    before = await accounts.save(await visit(accounts, browser), {})
    await accounts.keep_alive(before, 15)
    assert await accounts.session_alive(before.handle)
    after = await signed_in(accounts, browser)
    assert after.account is not None
    assert await accounts.session_alive(before.handle)
    assert await accounts.page_alive(after.account.id)


async def test_a_page_dies_with_its_session_and_is_never_alive_for_long(accounts: Accounts, clock: object) -> None:
    session = await signed_in(accounts, Browser(ORIGIN))
    assert session.account is not None
    await accounts.keep_alive(session, 10**9)
    clock.now += 301
    assert not await accounts.page_alive(session.account.id)
    await accounts.keep_alive(session, 60)
    await accounts.sign_out(session)
    assert not await accounts.page_alive(session.account.id)


async def test_a_visit_that_keeps_nothing_has_no_page(accounts: Accounts, database: Database) -> None:
    session = await visit(accounts, Browser(ORIGIN))
    await accounts.keep_alive(session, 15)
    assert not await accounts.session_alive(session.handle)
    assert await sessions_on_record(database) == 0


async def test_what_a_session_keeps_is_json(accounts: Accounts) -> None:
    session = await visit(accounts, Browser(ORIGIN))
    data = {"text": "\x00 <b> \u202e é", "none": None, "list": [1, {"a": True}]}
    browser = Browser(ORIGIN)
    browser.take(accounts.cookies(await accounts.save(session, data)))
    assert json.dumps((await accounts.session(browser.request())).data) == json.dumps(data)
