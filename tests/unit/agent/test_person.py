"""Ways to the person: terminal, browser, the application's own."""

from __future__ import annotations

import io
import webbrowser
from typing import Any

import pytest

from aauthkit.agent import Browser, Callback, Errand, PersonChannel, Terminal, qr_code
from aauthkit.agent.escort import Shown
from aauthkit.agent.person import default_channel

pytestmark = pytest.mark.anyio

URL = "https://person.example/i/1"
SHOWN = (f"{URL}?code=A1B2-C3D4", URL, "A1B2-C3D4", "interaction", "https://person.example")


async def test_the_terminal_shows_the_address_the_code_and_who_asks() -> None:
    out = io.StringIO()
    await Terminal(out).show(*SHOWN)
    text = out.getvalue()
    assert SHOWN[0] in text
    assert "must show the code A1B2-C3D4" in text
    assert "https://person.example needs you" in text
    assert qr_code(SHOWN[0]).strip() in text


async def test_the_terminal_can_leave_out_the_picture() -> None:
    out = io.StringIO()
    await Terminal(out, qr=False).show(*SHOWN)
    assert len(out.getvalue().splitlines()) < 8


async def test_the_browser_is_opened_and_the_terminal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    out = io.StringIO()
    await Browser(out).show(*SHOWN)
    assert opened == [SHOWN[0]]
    assert "A1B2-C3D4" in out.getvalue()


async def test_without_a_browser_the_person_is_shown_the_way_in_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _url: False)
    out = io.StringIO()
    await Browser(out).show(*SHOWN)
    assert "Open this page" in out.getvalue()


async def test_a_callback_gets_the_errand_plain_or_async() -> None:
    seen: list[Errand] = []

    async def later(errand: Errand) -> None:
        seen.append(errand)

    for function in (seen.append, later):
        channel: PersonChannel = Callback(function)
        await channel.show(*SHOWN)
    assert seen == [Errand(*SHOWN)] * 2


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", Browser),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", Browser),
        ({}, "linux", Terminal),
        ({"SSH_CONNECTION": "a b"}, "linux", Terminal),
        ({}, "darwin", Browser),
        ({"SSH_CONNECTION": "a b"}, "darwin", Terminal),
        ({}, "win32", Browser),
    ],
)
def test_the_way_suits_the_machine(environ: dict[str, str], platform: str, expected: type[Any]) -> None:
    assert isinstance(default_channel(environ, platform), expected)


def test_f39_a_page_and_code_is_new_once_and_what_is_remembered_is_bounded() -> None:
    """F39."""
    shown = Shown()
    assert shown.first(URL, "A")
    assert not shown.first(URL, "A")
    assert shown.first(URL, "B")
    assert all(shown.first(URL, str(number)) for number in range(3000))
    assert len(shown._seen) <= 1024
