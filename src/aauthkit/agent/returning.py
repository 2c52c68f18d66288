"""How a person's browser comes back from a page: where to, and what went wrong there (draft-11 §7.3, §7.3.1)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final
from urllib.parse import parse_qs, urlsplit

from ..protocol.identifiers import fold_code

MAX_TRIPS: Final = 1024
"""Most pages of which it is remembered where the browser comes back to."""

Where = str | Callable[[], str]
"""The callback, or what makes one for each page."""


class Trip:
    """One page that a browser was sent to. `error` is set, to a value of Table 6, once it came back with that."""

    def __init__(self, callback: str) -> None:
        self.callback = callback
        self.error: Future[str] = Future()
        self.error.set_running_or_notify_cancel()  # whoever stops to wait for it takes it from nobody else

    def fail(self, error: str) -> None:
        """It came back with this."""
        if not self.error.done():
            self.error.set_result(error)


class Trips:
    """Every page that one way to the person sent a browser to. Used from any thread."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._known: dict[tuple[str, str], Trip] = {}
        self._lock = threading.Lock()

    def to(self, url: str, code: str) -> Trip:
        """The one to this page with this code, begun now where it was not before."""
        page = (url, fold_code(code))
        with self._lock:
            trip = self._known.get(page)
            if trip is None:
                trip = self._known[page] = Trip(self._where if isinstance(self._where, str) else self._where())
                while len(self._known) > MAX_TRIPS:
                    del self._known[next(iter(self._known))]
            return trip

    def returned(self, url: str, page: tuple[str, str] | None) -> bool:
        """A browser is at the callback `url`, from `page` where that is known. Whether it came with an error.

        Raises `LookupError` where it cannot be told which page that is.
        """
        found = parse_qs(urlsplit(url).query, keep_blank_values=True, max_num_fields=64).get("error", [])
        if not found:
            return False
        self._which(url, page).fail(found[0])
        return True

    def _which(self, url: str, page: tuple[str, str] | None) -> Trip:
        with self._lock:
            if page is not None:
                candidates = [trip for key, trip in self._known.items() if key == (page[0], fold_code(page[1]))]
            else:
                open_ones = [trip for trip in self._known.values() if not trip.error.done()]
                candidates = [trip for trip in open_ones if _place(trip.callback) == _place(url)]
        if len(candidates) != 1:
            raise LookupError(
                f"the browser came back from one of {len(candidates)} pages; say which: returned(url, errand), "
                "or give each page a callback of its own"
            )
        return candidates[0]

    def __repr__(self) -> str:
        return f"Trips({len(self._known)})"


def _place(url: str) -> tuple[str, str]:
    """What tells callbacks apart: path and query, without what the server adds."""
    parts = urlsplit(url)
    query = "&".join(one for one in parts.query.split("&") if one.partition("=")[0] != "error")
    return parts.path or "/", query
