"""How a call is told: folded to the terminal, without a token, and with the time where something is waited for."""

from __future__ import annotations

import asyncio
import io

import pytest

from aauthkit.agent.watching import Answered, Carried, Obtained, Sent, Waiting
from aauthkit.narration import Beside, Narrator, folded
from aauthkit.protocol.tokens import AUTH_TYP

PS = "https://ps.example"
CLAIMS = {
    "iss": PS,
    "sub": "p-1",
    "aud": "https://api.example",
    "scope": "orders.read",
    "exp": 4000,
    "cnf": {"jwk": {"kty": "OKP", "x": "KEYBYTES"}},
    "agent_jkt": "THUMBPRINT",
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(*events: object) -> str:
    out = io.StringIO()
    narrator = Narrator(out, clock=lambda: 1000)
    for event in events:
        narrator.watch(event)  # type: ignore[arg-type]
    return out.getvalue()


def test_a_request_says_what_signed_it_and_an_answer_what_it_asks_for() -> None:
    assert told(
        Sent("GET", "https://api.example/orders?year=2026", "person", "https://api.example"),
        Answered(401, "https://api.example", "auth-token", "invalid_jwt"),
        Answered(401, "https://api.example", None, "invalid_jwt"),
        Answered(200, "https://api.example"),
    ).splitlines() == [
        "  → GET https://api.example/orders?year=2026  signed, presenting the person token",
        "  ← 401 requirement=auth-token",
        "  ← 401 invalid_jwt",
        "  ← 200",
    ]


def test_a_token_is_told_by_what_it_says_and_no_key_is_shown() -> None:
    text = told(Obtained(AUTH_TYP, PS, CLAIMS), Carried(PS, CLAIMS))
    assert "auth token from ps.example" in text
    assert "sub p-1, aud https://api.example, scope orders.read, ends in 50 min, bound to the agent's key" in text
    assert "KEYBYTES" not in text
    assert "THUMBPRINT" not in text


def test_a_pending_request_is_not_named() -> None:
    text = told(Sent("GET", f"{PS}/pending/SECRET", "agent", PS))
    assert "SECRET" not in text
    assert f"{PS}/pending/…" in text


def test_a_strangers_claim_cannot_write_to_the_terminal() -> None:
    text = told(Obtained(AUTH_TYP, PS, {**CLAIMS, "sub": "\x1b[2Jgone\u202e", "scope": "x" * 200}))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "x" * 61 not in text


def test_the_same_wait_is_told_once() -> None:
    waiting = Waiting(PS, "interaction", "pending")
    assert told(waiting, waiting, Waiting(PS, "interaction", "interacting")).count("…") == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("short", ["short"]),
        ("  → one two three four", ["  → one two", "    three four"]),
        ("    averyverylongwordindeed", ["    averyverylongwordindeed"]),
        ("a averyverylongwordindeed b", ["a", "  averyverylongwordindeed", "  b"]),
        ("\x1b[1mone\x1b[0m two three", ["\x1b[1mone\x1b[0m two three"]),
        ("one  two", ["one  two"]),
    ],
)
def test_a_line_is_folded_at_spaces_and_an_address_stays_whole(text: str, lines: list[str]) -> None:
    assert folded(text, 14) == lines


def test_no_line_is_longer_than_100_columns() -> None:
    out = io.StringIO()
    Narrator(out).line("    " + "word " * 80)
    assert max(map(len, out.getvalue().splitlines())) <= 100


@pytest.mark.parametrize(("environ", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(environ: dict[str, str], colour: bool) -> None:
    out = Terminal()
    Narrator(out, environ=environ).good("done")
    assert ("\x1b[" in out.getvalue()) is colour


def test_a_pipe_gets_no_colour_and_nothing_is_written_over() -> None:
    out = io.StringIO()

    async def wait() -> None:
        narrator = Narrator(out)
        narrator.waiting("until it is there")
        await asyncio.sleep(1.2)
        narrator.done()

    asyncio.run(wait())
    assert out.getvalue() == "  … until it is there\n"


def test_a_wait_on_a_terminal_shows_how_long_it_takes_and_leaves_no_trace() -> None:
    out = Terminal()

    async def wait() -> None:
        narrator = Narrator(out, colour=False, width=40)
        narrator.waiting("until it is there, which may take rather long")
        await asyncio.sleep(2.2)
        narrator.line("there")

    asyncio.run(wait())
    drawn = out.getvalue().split("\r\x1b[K")
    assert drawn[1].startswith("  … 0:01 until it is there")
    assert drawn[2].startswith("  … 0:02 ")
    assert len(drawn[1]) <= 39
    assert drawn[-1] == "there\n"


def test_a_way_to_the_person_writes_between_the_lines() -> None:
    out = Terminal()

    class Slow:
        async def show(self, url_with_code: str, url: str, code: str, requirement: str, who: str) -> None:
            await asyncio.sleep(1.5)
            out.write(f"go to {url_with_code}\n")

    async def wait() -> None:
        narrator = Narrator(out, colour=False, width=80)
        narrator.waiting("for somebody")
        await Beside(narrator, Slow()).show(f"{PS}/i?code=A", f"{PS}/i", "A", "interaction", PS)
        assert out.getvalue().endswith("for somebody\ngo to https://ps.example/i?code=A\n")
        await asyncio.sleep(1.2)
        assert out.getvalue().endswith("  … 0:01 for somebody")
        narrator.done()

    asyncio.run(wait())
    assert out.getvalue().endswith("\r\x1b[K")


def test_a_synchronous_caller_is_told_what_is_waited_for() -> None:
    out = Terminal()
    narrator = Narrator(out, colour=False)
    narrator.waiting("for somebody")
    narrator.done()
    assert out.getvalue() == "  … for somebody\n"
