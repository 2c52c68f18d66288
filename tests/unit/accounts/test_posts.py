"""Forms: only from a page of this server, only in the session they were made for (F77, draft-11 §13.13)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aauthkit.accounts import CSRF_FIELD, Accounts, Session
from aauthkit.protocol.problems import Problem
from aauthkit.serving import Request
from tests.unit.accounts.browser import Browser

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("store_engine", ["sqlite"])]  # the engine plays no part

ORIGIN = "https://person.example"


def post(*headers: tuple[str, str]) -> Request:
    return Request("POST", "/decide/x", headers)


def refused(accounts: Accounts, request: Request, session: Session, form: dict[str, object]) -> None:
    with pytest.raises(Problem) as caught:
        accounts.check_post(request, session, form)
    assert (caught.value.status, caught.value.code) == (403, "access_denied")
    assert not caught.value.answer().header("signature-error")


async def test_a_form_of_ours_in_its_own_session_is_accepted(accounts: Accounts) -> None:
    browser = Browser(ORIGIN)
    session = await accounts.session(browser.request())
    accounts.check_post(browser.request("POST"), session, {CSRF_FIELD: session.csrf})
    accounts.check_post(browser.request("POST"), session, {CSRF_FIELD: [session.csrf], "scope": ["a", "b"]})


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", ORIGIN), ("sec-fetch-site", "same-origin")],
        [("sec-fetch-site", "same-origin")],
        [("origin", "null"), ("sec-fetch-site", "same-origin")],
    ],
)
async def test_a_browser_says_where_a_form_comes_from_in_one_of_these_ways(
    accounts: Accounts, headers: list[tuple[str, str]]
) -> None:
    session = await accounts.session(post())
    accounts.check_post(post(*headers), session, {CSRF_FIELD: session.csrf})


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("origin", "")],
        [("origin", ORIGIN + "/")],
        [("origin", ORIGIN + ".evil.example")],
        [("origin", "https://evil.person.example")],
        [("origin", "http://person.example")],
        [("origin", ORIGIN), ("origin", ORIGIN)],
        [("origin", ORIGIN), ("origin", "https://evil.example")],
        [("origin", ORIGIN), ("sec-fetch-site", "cross-site")],
        [("origin", ORIGIN), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        [("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        [("sec-fetch-site", "same-site")],
        [("sec-fetch-site", "none")],
        [("referer", ORIGIN + "/")],
        [("host", "person.example")],
    ],
)
async def test_a_form_from_another_origin_is_refused_although_its_token_is_right(
    accounts: Accounts, headers: list[tuple[str, str]]
) -> None:
    """F77."""
    session = await accounts.session(post())
    refused(accounts, post(*headers), session, {CSRF_FIELD: session.csrf})


async def test_a_form_without_this_sessions_token_is_refused(accounts: Accounts) -> None:
    """F77."""
    request = post(("origin", ORIGIN))
    session, other = await accounts.session(post()), await accounts.session(post())
    for form in (
        {},
        {CSRF_FIELD: ""},
        {CSRF_FIELD: other.csrf},
        {CSRF_FIELD: session.csrf + "x"},
        {CSRF_FIELD: session.csrf[:-1]},
        {CSRF_FIELD: session.id},
        {CSRF_FIELD: "é\ud800"},
        {CSRF_FIELD: []},
        {CSRF_FIELD: [session.csrf, session.csrf]},
        {CSRF_FIELD.upper(): session.csrf},
    ):
        refused(accounts, request, session, form)


async def test_a_form_made_before_sign_in_is_refused_after_it(accounts: Accounts) -> None:
    before = await accounts.session(post())
    account = await accounts.sign_up("Ada", "a boat of seven cats")
    after = await accounts.bind(before, account)
    refused(accounts, post(("origin", ORIGIN)), after, {CSRF_FIELD: before.csrf})


async def test_the_origin_in_the_loopback_profile_has_its_port(make: Callable[..., Accounts]) -> None:
    accounts = make("http://person.localhost:8701", loopback=True)
    session = await accounts.session(post())
    accounts.check_post(post(("origin", "http://person.localhost:8701")), session, {CSRF_FIELD: session.csrf})
    for foreign in ("http://person.localhost", "http://agent.localhost:8702", "http://person.localhost:8702"):
        refused(accounts, post(("origin", foreign)), session, {CSRF_FIELD: session.csrf})
