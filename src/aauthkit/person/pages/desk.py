"""What every page of a person server works with, and how a refusal becomes a page."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from ...accounts import Accounts, Session
from ...deferred import Deferred
from ...discovery import Discovery
from ...protocol.messages import Answer
from ...protocol.problems import Problem, WireError
from ...serving import RETRY_STORE, Request
from ...store import Database, StoreBusy, StoreUnavailable
from ...web import Pages
from ..questions import Questions
from .naming import worded

log = logging.getLogger("aauthkit.person")

READING: Final = 60
"""Seconds a page counts as open from its being loaded: time to read it where no script says more."""
BEATING: Final = 20
"""Seconds a page counts as open after a sign of life from it; those come every five."""
ALIVE_PATH: Final = "/alive"


@dataclass(frozen=True, slots=True)
class Desk:
    """The rooms behind the pages of one person server."""

    issuer: str
    database: Database
    deferred: Deferred
    questions: Questions
    accounts: Accounts
    discovery: Discovery
    pages: Pages
    clock: Callable[[], float] = time.time

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self.clock())

    async def show(
        self, template: str, session: Session, *, status: int = 200, open_for: int | None = READING, **context: Any
    ) -> Answer:
        """A page in this session, which counts as open from now on; with `open_for=None` it does not."""
        if open_for is not None:
            await self.accounts.keep_alive(session, open_for)
            context.setdefault("alive", ALIVE_PATH)
        context.setdefault("worded", worded)
        answer = self.pages.page(template, status, session=session, **context)
        return self.accounts.with_session(answer, session)

    def go(self, path: str, session: Session) -> Answer:
        """303 to another page."""
        return self.accounts.with_session(self.pages.see_other(path), session)


class _OfDesk(Protocol):
    desk: Desk


Self = TypeVar("Self", bound=_OfDesk)
P = ParamSpec("P")
Handler = Callable[Concatenate[Self, Request, P], Awaitable[Answer]]
Page = Callable[Concatenate[Self, Request, P], Coroutine[Any, Any, Answer]]


def as_page(handler: Handler[Self, P]) -> Page[Self, P]:
    """A page's handler whose refusals and faults are pages too: a person is who reads them."""

    async def answer(self: Self, request: Request, /, *args: P.args, **names: P.kwargs) -> Answer:
        try:
            return await handler(self, request, *args, **names)
        except WireError as refusal:
            return self.desk.pages.problem(refusal)
        except (StoreBusy, StoreUnavailable) as error:
            log.error("records out of reach while showing a page: %s", error)
            return self.desk.pages.problem(Problem("server_error", status=503, retry_after=RETRY_STORE))
        except Exception:
            log.exception("fault while showing a page")
            return self.desk.pages.problem(Problem("server_error"))

    functools.update_wrapper(answer, handler)
    return answer
