"""Where a person's browser may be sent back to (draft-11 §7.3, §11.1.2, §11.2.1; F79)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.person.callbacks import CallbackRefused, check_callback, with_error
from aauthkit.protocol.metadata import Metadata

ENDPOINT = "https://agents.example/callback"


def provider(**members: Any) -> Metadata:
    return Metadata("aauth-agent.json", "https://agents.example", {"callback_endpoint": ENDPOINT, **members})


@pytest.mark.parametrize("callback", ["http://localhost/cb", "http://localhost:1234/cb?s=1", "http://127.0.0.1:9/"])
def test_loopback_is_good_only_where_the_provider_allows_it(callback: str) -> None:
    assert check_callback(callback, provider(localhost_callback_allowed=True)) == callback
    for value in (False, "true", 1, None):
        with pytest.raises(CallbackRefused):
            check_callback(callback, provider(localhost_callback_allowed=value))


def test_the_endpoint_itself_is_good() -> None:
    assert check_callback(ENDPOINT, provider()) == ENDPOINT


@pytest.mark.parametrize(
    "callback",
    [
        "https://evil.example/callback",
        f"{ENDPOINT}/more",
        f"{ENDPOINT}?x=1",
        f"{ENDPOINT}#x",
        "https://agents.example/Callback",
        "https://localhost:1234/cb",
        "http://localhost.evil.example/cb",
        "http://localhost:1234@evil.example/",
        "http://evil.example@localhost/",
        "http://localhost:99999/cb",
        "http://localhost:x/cb",
        "http://LOCALHOST/cb",
        "http://[::1]/cb",
        "http://127.0.0.2/cb",
        "http://127.1/cb",
        "http://planner.localhost:1/cb",
        "http://localhost\\@evil.example/",
        "http://localhost/\r\nset-cookie: a=b",
        "http://localhost/#x",
        "http://localhost/\u202e",
        "javascript:alert(1)",
        "//evil.example",
        "http://localhost/" + "x" * 2048,
    ],
)
def test_any_other_is_refused(callback: str) -> None:
    with pytest.raises(CallbackRefused):
        check_callback(callback, provider(localhost_callback_allowed=True))


def test_an_error_goes_along() -> None:
    """Table 6 (§7.3.1)."""
    assert with_error(ENDPOINT, None) == ENDPOINT
    assert with_error(ENDPOINT, "access_denied") == f"{ENDPOINT}?error=access_denied"
    assert with_error("http://localhost/?s=1", "user_abandoned") == "http://localhost/?s=1&error=user_abandoned"
