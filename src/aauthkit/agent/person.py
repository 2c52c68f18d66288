"""Ways to the person: how an agent brings somebody to a page (draft-11 §7.3, §11.6.3).

`Terminal` prints the address and a QR code, `Browser` opens it, `Callback` hands it to the application. The page shows
the code once more, so that the person sees that both belong together.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TextIO

from .returning import Trips, Where


@dataclass(frozen=True, slots=True)
class Errand:
    """Where a person is needed. `who` is the server that asks, by its identifier.

    `url_with_code` takes them straight there; `url` and `code` are for typing in.
    """

    url_with_code: str
    url: str
    code: str
    requirement: str
    who: str

    def __repr__(self) -> str:
        return f"Errand(to={self.who})"


class PersonChannel(Protocol):
    """A way to the person."""

    async def show(self, url_with_code: str, url: str, code: str, requirement: str, who: str) -> None:
        """Bring the person to a page; returns at once, without waiting for what they do there."""
        ...


class Terminal:
    """Prints address, code and a QR code on the standard error output, or on `out`."""

    def __init__(self, out: TextIO | None = None, *, qr: bool = True) -> None:
        self._out = out
        self._qr = qr

    @property
    def is_attended(self) -> bool:
        """Whether somebody sits there who can answer a question."""
        return self._out is None and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    async def show(self, url_with_code: str, url: str, code: str, requirement: str, who: str) -> None:
        """Print where to go."""
        out = self._out or sys.stderr
        lines = [f"\n{who} needs you to decide. Open this page:", f"\n    {url_with_code}\n"]
        if self._qr:
            lines.append(qr_code(url_with_code))
        lines.append(f"The page must show the code {code}.\n")
        out.write("\n".join(lines))
        out.flush()


def qr_code(text: str) -> str:
    """`text` as a QR code for a terminal, or nothing where `segno` is not installed."""
    try:
        import segno
    except ImportError:
        return ""
    import io

    drawn = io.StringIO()
    segno.make(text, error="l").terminal(out=drawn, compact=True)
    return drawn.getvalue()


class Browser:
    """Opens the page in this machine's browser and prints one line that says so.

    Where no browser can be opened the person is shown the way in the terminal.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out

    async def show(self, url_with_code: str, url: str, code: str, requirement: str, who: str) -> None:
        """Open the page."""
        import webbrowser

        import anyio.to_thread

        if not await anyio.to_thread.run_sync(webbrowser.open, url_with_code):
            await Terminal(self._out).show(url_with_code, url, code, requirement, who)
            return
        out = self._out or sys.stderr
        out.write(
            f"{who} needs you to decide; a page opens. It must show the code {code}. Not there? {url_with_code}\n"
        )
        out.flush()


Shown = Callable[[Errand], Awaitable[None] | None]


class Callback:
    """Hands the errand to a function of the application, plain or async. A plain one must not block.

    `callback`: where the person's browser goes afterwards, or a function that makes an address for each page; the
    agent's provider must name it, or allow loopback (draft-11 §7.3, §11.2.1). Tell `returned` when it is there.
    """

    def __init__(self, function: Shown, *, callback: Where | None = None) -> None:
        self._function = function
        self.trips = Trips(callback) if callback is not None else None

    def returned(self, url: str, errand: Errand | None = None) -> bool:
        """The person's browser is at the callback; `url` is the one it asks for. From any thread.

        Where the page sent it back with an error, the call that waits for it ends with that: `Denied`, `Abandoned`,
        `Expired`, or `InteractionFailed` (draft-11 §7.3.1). `errand` says from which page it comes, where several have
        the same callback. Whether there was an error. Raises `LookupError` where it is not clear which page it was.
        """
        page = (errand.url, errand.code) if errand is not None else None
        return self.trips.returned(url, page) if self.trips is not None else False

    async def show(self, url_with_code: str, url: str, code: str, requirement: str, who: str) -> None:
        """Call the function."""
        outcome = self._function(Errand(url_with_code, url, code, requirement, who))
        if inspect.isawaitable(outcome):
            await outcome


def default_channel(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> PersonChannel:
    """A browser where this session has a display, else the terminal."""
    if environ.get("SSH_CONNECTION") and not environ.get("DISPLAY"):
        return Terminal()
    has_display = platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    return Browser() if has_display else Terminal()
