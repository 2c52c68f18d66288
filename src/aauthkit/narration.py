"""An agent's calls told in the terminal as they happen: what was sent, signed by what, what came back, what it holds.

No token is shown, only what it says: claims, and whom it is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

from .agent.watching import Answered, Carried, Event, Obtained, Sent, Waiting
from .inspection import TOKEN_NAMES, relative
from .protocol.identifiers import authority_of

SHOWN_CLAIMS: Final = ("sub", "aud", "ps", "scope", "account", "presented_jti", "mission_s256", "tenant")
LEVELS: Final = {
    "agent": "presenting its agent token",
    "person": "presenting the person token",
    "grant": "presenting the auth token",
    "key": "by a bare key",
}
_STYLES: Final = {"dim": "2", "bold": "1", "good": "32", "bad": "31", "ask": "33", "name": "36"}


class Narrator:
    """Writes a story to `out`, with colour where that is a terminal. `watch` takes an agent's events."""

    def __init__(self, out: TextIO, *, colour: bool | None = None, clock: Callable[[], float] = time.time) -> None:
        self._out = out
        self._colour = out.isatty() if colour is None else colour
        self._clock = clock
        self._waiting: Waiting | None = None

    def styled(self, style: str, text: str) -> str:
        """`text` in one of the styles, where there is colour."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str = "") -> None:
        """One line."""
        print(text, file=self._out, flush=True)

    def chapter(self, title: str) -> None:
        """A heading."""
        self.line()
        self.line(self.styled("bold", title))

    def good(self, text: str) -> None:
        """Something that is as it should be."""
        self.line(f"  {self.styled('good', '✓')} {text}")

    def bad(self, text: str) -> None:
        """Something that is not."""
        self.line(f"  {self.styled('bad', '✗')} {text}")

    def aside(self, text: str) -> None:
        """Something beside the story."""
        self.line(f"    {self.styled('dim', text)}")

    def watch(self, event: Event) -> None:
        """Tell one event of a call."""
        if isinstance(event, Waiting):
            self._tell_waiting(event)
            return
        self._waiting = None
        if isinstance(event, Sent):
            how = LEVELS.get(event.level, f"presenting {event.level}")
            self.line(f"  → {event.method} {_short(event.url)}  {self.styled('dim', 'signed, ' + how)}")
        elif isinstance(event, Answered):
            self._tell_answer(event)
        elif isinstance(event, Obtained):
            name = TOKEN_NAMES.get(event.typ, (event.typ, ""))[0]
            self.good(f"{self.styled('name', name)} from {authority_of(event.by)}")
            self._claims(event.claims)
        elif isinstance(event, Carried):
            self.line(
                f"  ⇒ the {self.styled('name', 'resource token')} is in order, and goes to {authority_of(event.to)}"
            )
            self._claims(event.claims)

    def _tell_answer(self, event: Answered) -> None:
        what = ""
        if event.requirement:
            what = f"requirement={event.requirement}"
        elif event.error:
            what = event.error
        style = "good" if event.status < 300 and event.status != 202 else "ask"
        self.line(f"  ← {self.styled(style, str(event.status))} {what}".rstrip())

    def _tell_waiting(self, event: Waiting) -> None:
        if self._waiting == event:
            return
        self._waiting = event
        words = {
            "interaction": "a person is needed: their page is opened",
            "approval": "it has appeared on the person's open page",
        }.get(event.requirement or "", "the answer is not ready")
        if event.status == "interacting":
            words = "the person is looking at it"
        self.line(f"  … {authority_of(event.on)}: {self.styled('ask', words)}")

    def _claims(self, claims: Mapping[str, Any]) -> None:
        told = [f"{name} {_clip(claims[name])}" for name in SHOWN_CLAIMS if name in claims]
        exp = claims.get("exp")
        if isinstance(exp, int):
            told.append(f"ends {relative(exp - self._clock())}")
        if "cnf" in claims:
            told.append("bound to the agent's key")
        self.aside(", ".join(told))


def _clip(value: object) -> str:
    text = "".join(c if c.isprintable() else "�" for c in str(value))
    return text if len(text) <= 60 else f"{text[:57]}…"


def _short(url: str) -> str:
    """A URL without a pending request's identifier, which is a secret of the agent's."""
    head, mark, tail = url.partition("/pending/")
    return f"{head}{mark}…" if mark and tail else url
