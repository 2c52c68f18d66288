"""An agent's calls told in the terminal as they happen: what was sent, signed by what, what came back, what it holds.

No token is shown, only what it says: claims, and whom it is for. Lines are folded to the terminal, 100 columns at most.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

from .agent.person import PersonChannel
from .agent.watching import Answered, Carried, Event, Obtained, Sent, Waiting
from .inspection import TOKEN_NAMES, plain, relative
from .protocol.identifiers import authority_of

SHOWN_CLAIMS: Final = ("sub", "aud", "ps", "scope", "account", "presented_jti", "mission_s256", "tenant")
LEVELS: Final = {
    "agent": "signed, presenting its agent token",
    "person": "signed, presenting the person token",
    "grant": "signed, presenting the auth token",
    "key": "signed by a bare key",
}
"""How a request is signed, by the level of what it presents."""
WIDEST: Final = 100
NARROWEST: Final = 40
_STYLES: Final = {"dim": "2", "bold": "1", "good": "32", "bad": "31", "ask": "33", "name": "36"}
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*m")


class Narrator:
    """Writes a story to `out`, with colour where that is a terminal. `watch` takes an agent's events.

    On a terminal something that waits shows for how long it has. `width` is in columns.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        colour: bool | None = None,
        width: int | None = None,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._out = out
        self._terminal = out.isatty() and environ.get("TERM") != "dumb"
        self._colour = self._terminal and not environ.get("NO_COLOR") if colour is None else colour
        columns = shutil.get_terminal_size((WIDEST, 24)).columns if self._terminal else WIDEST
        self._width = width or max(NARROWEST, min(WIDEST, columns))
        self._clock = clock
        self._waiting: Waiting | None = None
        self._wait = _Wait(self)

    def styled(self, style: str, text: str) -> str:
        """`text` in one of the styles, where there is colour."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str = "") -> None:
        """One line, folded where it is longer than the terminal is wide."""
        self._wait.end()
        print("\n".join(folded(text, self._width)), file=self._out, flush=True)

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

    def sent(self, method: str, url: str, how: str) -> None:
        """A request, and what signed it."""
        self.line(f"  → {method} {_short(url)}  {self.styled('dim', how)}")

    def answered(self, status: int, what: str | None = None) -> None:
        """A status, and what it asks for or refuses."""
        style = "good" if status < 300 and status != 202 else "ask"
        self.line(f"  ← {self.styled(style, str(status))} {what or ''}".rstrip())

    def waiting(self, words: str) -> None:
        """Something that takes as long as it takes; on a terminal, with the time it has taken."""
        self.line(f"  … {words}")
        self._wait.begin(words)

    def done(self) -> None:
        """What was waited for has come, or will not."""
        self._wait.end()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Within the block somebody else writes to the same terminal."""
        words = self._wait.end()
        yield
        if words:
            self._wait.begin(words)

    def watch(self, event: Event) -> None:
        """Tell one event of a call."""
        if isinstance(event, Waiting):
            self._tell_waiting(event)
            return
        self._waiting = None
        if isinstance(event, Sent):
            self.sent(event.method, event.url, LEVELS.get(event.level, f"signed, presenting {event.level}"))
        elif isinstance(event, Answered):
            self.answered(event.status, f"requirement={event.requirement}" if event.requirement else event.error)
        elif isinstance(event, Obtained):
            name = TOKEN_NAMES.get(event.typ, (event.typ, ""))[0]
            self.good(f"{self.styled('name', name)} from {authority_of(event.by)}")
            self._claims(event.claims)
        elif isinstance(event, Carried):
            self.line(
                f"  ⇒ the {self.styled('name', 'resource token')} is in order, and goes to {authority_of(event.to)}"
            )
            self._claims(event.claims)

    def _tell_waiting(self, event: Waiting) -> None:
        if self._waiting == event:
            return
        self._waiting = event
        words = {
            "interaction": "a person is needed, and is shown the way; the agent asks again until it is decided",
            "approval": "it has appeared on the person's open page; the agent asks again until it is decided",
        }.get(event.requirement or "", "the answer is not ready; the agent asks again")
        if event.status == "interacting":
            words = "the person is looking at it"
        self.waiting(f"{authority_of(event.on)}: {self.styled('ask', words)}")

    def _claims(self, claims: Mapping[str, Any]) -> None:
        told = [f"{name} {_clip(claims[name])}" for name in SHOWN_CLAIMS if name in claims]
        exp = claims.get("exp")
        if isinstance(exp, int):
            told.append(f"ends {relative(exp - self._clock())}")
        if "cnf" in claims:
            told.append("bound to the agent's key")
        self.aside(", ".join(told))

    def draw(self, text: str) -> None:
        """Show `text` on a line that is written over by whatever comes next; nothing where there is no terminal."""
        if self._terminal:
            seen = text if _visible(text) < self._width else f"{_ESCAPES.sub('', text)[: self._width - 2]}…"
            print(f"\r\x1b[K{seen}", end="", file=self._out, flush=True)


class _Wait:
    """How long something has been waited for, drawn every second while an event loop runs."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._words = ""
        self._seconds = 0
        self._next: asyncio.TimerHandle | None = None

    def begin(self, words: str) -> None:
        self._words = words
        self._seconds = 0
        self._plan()

    def end(self) -> str:
        """Wipe what was drawn; what was waited for is the return value."""
        if self._next is not None:
            self._next.cancel()
        if self._seconds:
            self._narrator.draw("")
        words, self._words, self._next, self._seconds = self._words, "", None, 0
        return words

    def _plan(self) -> None:
        try:
            self._next = asyncio.get_running_loop().call_later(1, self._tick)
        except RuntimeError:  # a synchronous caller, who sees the line that was written
            self._next = None

    def _tick(self) -> None:
        self._seconds += 1
        self._narrator.draw(f"  … {self._seconds // 60}:{self._seconds % 60:02} {self._words}")
        self._plan()


class Beside:
    """A way to the person that writes to the same terminal as a narrator, and not into the middle of its lines."""

    def __init__(self, narrator: Narrator, channel: PersonChannel) -> None:
        self._narrator = narrator
        self._channel = channel

    async def show(self, url_with_code: str, url: str, code: str, requirement: str, who: str) -> None:
        """Bring the person to the page, as the channel does."""
        with self._narrator.silence():
            await self._channel.show(url_with_code, url, code, requirement, who)


def folded(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, broken at spaces; what follows is indented by two more.

    A word that is longer than a line stays whole, so that an address can be copied.
    """
    indent = " " * (len(text) - len(text.lstrip(" ")) + 2)
    lines: list[str] = []
    line = ""
    for word in re.findall(r" *[^ ]+", text) or [""]:
        if line.strip() and _visible(line) + _visible(word) > width:
            lines.append(line)
            line = indent + word.lstrip(" ")
        else:
            line += word
    return [*lines, line]


def _visible(text: str) -> int:
    """The columns that `text` takes on a terminal."""
    return len(_ESCAPES.sub("", text))


def _clip(value: object) -> str:
    text = plain(str(value))
    return text if len(text) <= 60 else f"{text[:57]}…"


def _short(url: str) -> str:
    """A URL without a pending request's identifier, which is a secret of the agent's."""
    head, mark, tail = url.partition("/pending/")
    return f"{head}{mark}…" if mark and tail else url
