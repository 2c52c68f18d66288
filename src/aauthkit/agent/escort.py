"""Bringing the person where a 202 wants them, once for each page and code (draft-11 §7.3, §11.6.3)."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Final, Protocol
from urllib.parse import quote

from ..outbound import Pending
from ..protocol.headers import HeaderError, Requirement
from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_endpoint, fold_code
from ..protocol.messages import Answer
from .answering import Answers, Said, UpdatedRequest, answer_to, clarification_response, question_of, updated_request
from .errors import (
    NobodyToAsk,
    PendingRefused,
    UnsupportedRequirement,
    UpdateImpossible,
    Withdrawn,
    callback_error,
    refusal,
)
from .person import PersonChannel
from .returning import Trip, Trips
from .watching import Waiting, Watch

Reply = Callable[[str, str, Mapping[str, Any] | None], Awaitable[Answer]]
"""Sends a signed request to a pending URL: method, URL, JSON body."""
Update = Callable[[frozenset[str]], Awaitable[Mapping[str, str]]]
"""Gives the tokens that ask for another scope than the pending request did (draft-11 §7.5.2.2)."""


class Relay(Protocol):
    """A way to the person through the person server (draft-11 §11.6.3.2)."""

    async def begin(self, url: str, code: str) -> bool:
        """Whether the person is brought to this page; else the agent brings them there itself."""
        ...

    def look(self) -> bool:
        """Whether what was begun still holds; False, once, where the agent is to go on itself."""
        ...


MAX_PAGES: Final = 16
"""Most different pages or codes that one pending request may bring the person to."""
MAX_REMEMBERED: Final = 1024

_CODE = re.compile(r"[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z-]{8,64}\Z")


class Shown:
    """The pages and codes that were shown already, whichever call they came up in (F39)."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()

    def first(self, url: str, code: str) -> bool:
        """Whether this is the first time; it counts as shown from now on."""
        with self._lock:
            if (url, code) in self._seen:
                return False
            self._seen[url, code] = None
            while len(self._seen) > MAX_REMEMBERED:
                del self._seen[next(iter(self._seen))]
            return True


class Escort:
    """Looks after the person for one pending request of the server `by`."""

    def __init__(
        self,
        by: str,
        channel: PersonChannel | None,
        shown: Shown,
        watch: Watch,
        loopback: LoopbackProfile,
        answers: Answers | None = None,
    ) -> None:
        self._by = by
        self._channel = channel
        self._shown = shown
        self._watch = watch
        self._loopback = loopback
        self._answers = answers
        self._said: tuple[str, str | UpdatedRequest] | None = None
        self._pages = 0
        self._begun: list[Trip] = []
        self._last: Waiting | None = None
        self._trips: Trips | None = getattr(channel, "trips", None)
        self._failed: Future[str] = Future()
        self._failed.set_running_or_notify_cancel()

    async def attend(self, following: Coroutine[Any, Any, Answer]) -> Answer:
        """What a pending request that is followed ends with, or what the person's browser comes back with before.

        Raises the `RequestRefused` of draft-11 §7.3.1, after which the request counts as over.
        """
        if self._trips is None:
            return await following
        task = asyncio.ensure_future(following)
        failed = asyncio.wrap_future(self._failed)
        either: set[asyncio.Future[Any]] = {task, failed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                raise callback_error(self._by, failed.result())
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def rejoin(self, shown: Iterable[tuple[str, str]]) -> None:
        """A pending request is gone on with that showed these pages and codes. Raises `RequestRefused` as `attend`."""
        for url, code in shown:
            if self._trips is not None:
                self._began(self._trips.to(url, code))

    def _began(self, trip: Trip) -> None:
        """A page is open. Raises `RequestRefused` where the browser came back from it with an error."""

        def fail(error: Future[str]) -> None:
            if not self._failed.done():
                self._failed.set_result(error.result())

        if trip.error.done():
            raise callback_error(self._by, trip.error.result())
        if trip not in self._begun:
            self._begun.append(trip)
            trip.error.add_done_callback(fail)

    def was_shown(self, url: str, code: str) -> None:
        """Note that the person was sent there already, by whoever began the request."""
        self._shown.first(url, fold_code(code))

    async def meet(
        self, pending: Pending, reply: Reply, update: Update | None = None, relay: Relay | None = None
    ) -> None:
        """Do what this 202 asks for beside waiting; `reply` sends to its pending URL, `update` asks for something else.

        `relay` may bring the person to the page; the agent does so itself where it does not.

        Raises `RequestRefused` where the person's browser came back with an error (draft-11 §7.3.1),
        `UnsupportedRequirement` for a requirement that is not known, `PendingRefused` for one not in form,
        `Withdrawn` where this agent ends the request itself.
        """
        requirement = pending.requirement
        self._tell(pending)
        if requirement is None or requirement.value == "approval":
            return
        if requirement.value == "clarification" and self._answers is not None:
            await self._clarify(pending, self._answers, reply, update)
            return
        if requirement.value != "interaction":
            raise UnsupportedRequirement(requirement.value, 202, self._by)
        url, code = self._page(requirement)
        trip = self._trips.to(url, code) if self._trips is not None else None
        if trip is not None:
            self._began(trip)
        if pending.status == "interacting":
            return
        failed = relay is not None and not relay.look()
        if not self._shown.first(url, fold_code(code)) and not failed:
            return
        if relay is not None and not failed and await relay.begin(url, code):
            return
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise PendingRefused(f"{self._by} sent the person to more than {MAX_PAGES} pages for one request")
        if self._channel is None:
            raise NobodyToAsk(
                f"{self._by} needs a person to decide, and this agent was given no way to one (person=...)"
            )
        back = f"&callback={quote(trip.callback, safe='')}" if trip is not None else ""
        await self._channel.show(f"{url}?code={code}{back}", url, code, requirement.value, self._by)

    async def _clarify(self, pending: Pending, answers: Answers, reply: Reply, update: Update | None) -> None:
        """Answer a person's question at the pending URL, or withdraw the request (draft-11 §7.5.2).

        An answer that was lost on its way is sent again when the question comes again, without asking anybody anew.
        """
        question = question_of(pending, self._by)
        if self._said is not None and self._said[0] == question.text:
            said: Said = self._said[1]
        else:
            try:
                said = await answer_to(question, answers)
            except TimeoutError:
                return  # the server has given up on the question, and says at the next poll how it goes on
        if said is None:
            await reply("DELETE", pending.location, None)
            raise Withdrawn(f"the request at {self._by} was withdrawn in place of an answer to its question")
        self._said = (question.text, said)
        body = await self._updated(said, update) if isinstance(said, UpdatedRequest) else clarification_response(said)
        answer = await reply("POST", pending.location, body)
        if answer.status >= 400:
            raise refusal(self._by, answer)
        self._said = None

    async def _updated(self, said: UpdatedRequest, update: Update | None) -> Mapping[str, Any]:
        if update is None:
            raise UpdateImpossible(self._by)
        return updated_request(said, await update(said.scopes))

    def _page(self, requirement: Requirement) -> tuple[str, str]:
        """The interaction URL and code, in form (draft-11 §11.6.3, §11.6.3.1)."""
        try:
            url = check_endpoint(requirement.text("url"), self._by, self._loopback)
            code = requirement.text("code")
        except (HeaderError, InvalidIdentifier) as error:
            raise PendingRefused(f"{self._by} sends the person nowhere in particular: {error}") from error
        if not _CODE.match(code):
            raise PendingRefused(
                f"the interaction code of {self._by} holds other symbols than draft-11 §11.6.3.1 allows"
            )
        return url, code

    def _tell(self, pending: Pending) -> None:
        waiting = Waiting(self._by, pending.requirement.value if pending.requirement else None, pending.status)
        if waiting != self._last:
            self._last = waiting
            self._watch(waiting)
