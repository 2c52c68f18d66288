"""The people at the page: one browser is one visitor, with an agent that acts for nobody else, and runs of its own.

An agent has exactly one person (draft-11 §13.14), so the page has one for each visitor. Nothing of this is kept: after
a restart everybody is new, and nobody gets an agent that was another's.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ...accounts import Session
from ...accounts.cookies import cookie_name, read_cookie, set_cookie
from ...accounts.posts import check_origin, check_token, csrf_of
from ...agent import Agent
from ...protocol.jose import b64url_encode
from ...serving import Request
from .runs import Run

LIFETIME: Final = 12 * 3600
"""Seconds for which a browser is known."""
MAX_VISITORS: Final = 100
MAX_RUNS: Final = 20
"""Runs that are kept of one visitor."""


@dataclass
class Visitor:
    """A browser."""

    session: Session
    agent: Agent | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def latest(self) -> Run | None:
        """The run that the page shows."""
        return self.runs[-1] if self.runs else None

    def add(self, run: Run) -> None:
        """Keep a run, and let go of the oldest."""
        self.runs = [*self.runs, run][-MAX_RUNS:]

    def run(self, number: int) -> Run | None:
        """The run of that number, if it is this visitor's."""
        return next((run for run in self.runs if run.id == number), None)


class Visitors:
    """Everybody who is at the page `origin`."""

    def __init__(
        self,
        origin: str,
        *,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._origin = origin
        self._cookie = cookie_name(origin, loopback=True)
        self._clock = clock
        self._random = random_bytes
        self._known: dict[str, Visitor] = {}

    def find(self, request: Request) -> Visitor | None:
        """Who sent a request, if they are known."""
        secret = read_cookie(request, self._cookie)
        visitor = self._known.get(_digest(secret)) if secret is not None else None
        return visitor if visitor is not None and visitor.session.expires > self._clock() else None

    def welcome(self) -> Visitor:
        """Somebody new; `cookie` goes out with the answer. The one who came first goes, where there are too many."""
        secret = b64url_encode(self._random(32))
        now = int(self._clock())
        session = Session(
            secret, csrf_of(secret), _digest(secret)[:16], None, {}, created=now, expires=now + LIFETIME, fresh=True
        )
        while len(self._known) >= MAX_VISITORS:
            self._leave(next(iter(self._known)))
        visitor = self._known[_digest(secret)] = Visitor(session)
        return visitor

    def _leave(self, digest: str) -> asyncio.Task[None] | None:
        run = self._known.pop(digest).latest
        if run is not None and run.task is not None:
            run.task.cancel()
        return run.task if run is not None else None

    async def close(self) -> None:
        """Everybody leaves, and what is under way is stopped."""
        tasks = [task for digest in list(self._known) if (task := self._leave(digest)) is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def cookie(self, visitor: Visitor) -> tuple[str, str]:
        """The field that makes a browser known."""
        return set_cookie(self._cookie, visitor.session.id, LIFETIME)

    def check_post(self, request: Request, visitor: Visitor, form: dict[str, str]) -> None:
        """Return if a page of ours sent the form, for this visitor. Raises `Problem` 403 (draft-11 §13.13)."""
        check_origin(request, self._origin)
        check_token(visitor.session.csrf, form)

    def counts(self) -> dict[str, int]:
        """How many runs there were, how many have ended, and over how many hops the longest of those went."""
        runs = [run for visitor in self._known.values() for run in visitor.runs]
        ended = [run for run in runs if not run.under_way]
        return {"runs": len(runs), "ended": len(ended), "hops": max((len(run.hops) for run in ended), default=0)}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
