"""What a resource needs of a person at its own page before they decide here: the way there and back (draft-11 §7.2.3).

The way back is a URL for this one errand, which only the browser knows that set out; the agent never sees it, so that
it cannot say in its person's place that they have been there.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from ..callbacks import CallbackError
from ..deferred import Deferred
from ..protocol.jose import b64url_encode
from ..protocol.problems import Problem, ProblemCode
from ..store import Database
from . import records
from .deciding import Decider, may_see
from .questions import Questions

BACK: Final = "/back"
OUTCOMES: Final[Mapping[CallbackError, ProblemCode]] = {
    "access_denied": "denied",
    "user_abandoned": "abandoned",
    "interaction_expired": "expired",
    "server_error": "server_error",
    "temporarily_unavailable": "server_error",
}
"""What the agent reads for each error of the callback (draft-11 §7.3.1)."""


def read_error(value: str) -> CallbackError:
    """An error of the callback; one that is not in the table is a failure of the resource."""
    return next((error for error in OUTCOMES if error == value), "server_error")


class Errands:
    """Sends people out and takes them back, for the person server `issuer`."""

    def __init__(
        self,
        issuer: str,
        database: Database,
        *,
        deferred: Deferred,
        questions: Questions,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._issuer = issuer
        self._database = database
        self._deferred = deferred
        self._questions = questions
        self._clock = clock
        self._random = random_bytes

    async def set_out(self, page: str, decider: Decider) -> str:
        """Where to send the browser: the resource's page, with its code and the way back.

        Raises `Problem`: 404 where the question is not theirs, 410 where it is over or needs no errand.
        """
        secret = b64url_encode(self._random(24))
        now = int(self._clock())
        async with self._database.transaction() as tx:
            question = await self._questions.find_held(tx, page, now)
            if question is None or not may_see(question, decider.browser, decider.person):
                raise Problem("not_found")
            asked = question.asked
            if question.state != "open" or asked is None or not asked.errand_open or asked.errand is None:
                raise Problem("gone", "there is nothing to do elsewhere")
            if await records.person_of(tx, asked.agent_iss, asked.agent_sub) not in (None, decider.person):
                raise Problem("not_found")
            pending = await self._deferred.lock(tx, question.pending)
            assert pending is not None
            await self._deferred.update(tx, pending, asked.with_errand(ticket=_digest(secret)).kept())
        query = {"code": asked.errand.code or "", "callback": f"{self._issuer}{BACK}/{page}.{secret}"}
        return f"{asked.errand.url}?{urlencode(query)}"

    async def come_back(self, ticket: str, decider: Decider, error: CallbackError | None) -> str:
        """The person is back, having done it or not: the page of their question.

        With an error the request ends, and the agent reads what it is mapped to. Raises `Problem` 404 for a way back
        that was not given to this browser, or was used before; 410 where the question is over.
        """
        page, _, secret = ticket.partition(".")
        now = int(self._clock())
        async with self._database.transaction() as tx:
            question = await self._questions.find_held(tx, page, now)
            if question is None or not may_see(question, decider.browser, decider.person):
                raise Problem("not_found")
            asked = question.asked
            if question.state != "open" or asked is None:
                raise Problem("gone", "this request was decided already, or is over")
            known = asked.errand.ticket if asked.errand is not None else None
            if known is None or not hmac.compare_digest(known, _digest(secret)):
                raise Problem("not_found")
            pending = await self._deferred.lock(tx, question.pending)
            assert pending is not None
            if error is None:
                await self._deferred.update(tx, pending, asked.with_errand(done=True).kept())
            else:
                await self._questions.call_off(tx, pending, "errand", OUTCOMES[error])
        await self._deferred.wake(pending)
        return page


def _digest(secret: str) -> str:
    return b64url_encode(hashlib.sha256(secret.encode()).digest())
