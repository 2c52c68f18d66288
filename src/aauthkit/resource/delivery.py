"""Deferred delivery: a call is held until an auth token comes for it, runs once, and its result is kept.

draft-11 §6.5.1, §13.2. The commit that marks a call as running comes before it runs, and there is no way back from it:
what a crash leaves as running ends in 500 and never runs again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from ..callers import Caller, Grant, Person
from ..protocol.headers import auth_token_required
from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, Refusal, json_answer
from ..protocol.problems import Problem
from ..store import Database, StoreError
from .admission import Admitted
from .challenges import AuthTokenChallenge, Challenges
from .held import MAX_CALL, MAX_FIELDS, MAX_RESULT, Held, HeldCall, HeldRecords
from .holders import binding_of
from .needs import Need
from .records import KEPT_AFTER_END

log = logging.getLogger("aauthkit.resource")

LIFETIME: Final = 4 * 3600
"""Seconds that a call is held for an auth token."""
MAX_OF_ONE: Final = 64
"""Calls and results of one caller that are kept; past that the delivery is 401."""
MAX_OF_ALL: Final = 1000
"""Calls of all callers that are held at once; past that the delivery is 401."""
RETRY_HELD: Final = 5
RETRY_RUNNING: Final = 1
"""Seconds between polls, before the auth token is there and while the call runs."""
BEAT: Final = 4.0
"""Seconds after which a runner says again that it lives."""
LEASE: Final = 20
"""Seconds of silence after which its runner is gone, and the call may have run."""
LEAVE_WITHIN: Final = 10.0
"""Seconds that a closing process gives to the calls it runs."""

MAY_HAVE_RUN: Final = "the call was begun and its outcome is not known: it may have run, and will not be run again"


class Runner(Protocol):
    """What runs a held call inside the application: the adapter that the poll came through."""

    def need_of(self, call: HeldCall) -> Need | None:
        """What the call's route needs now."""
        ...

    async def run(self, call: HeldCall, admitted: Admitted | None) -> Answer:
        """The application's answer, whole. Raises `Refusal` where it refuses, anything else where it fails.

        `admitted` is `None` where the route needs nothing any more.
        """
        ...


Admit = Callable[[Need], Awaitable[Admitted]]
"""Lets the caller of a poll in as one whom the need serves. Raises `Problem` for one without an account here."""


class _Later:
    """A task that begins after `seconds`, unless it is cancelled before: most calls have ended by then."""

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._work(), name="aauthkit-held-beat")

    def cancel(self) -> None:
        """It does not begin any more, or is ended."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


class Deliveries:
    """The held calls of one resource; `path` is where their pending URLs stand, seen from outside."""

    def __init__(
        self,
        resource: str,
        database: Database,
        challenges: Challenges,
        *,
        path: str,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._url = f"{resource}{path}/held"
        self._db = database
        self._records = HeldRecords(resource, database.for_update)
        self._challenges = challenges
        self._clock = clock
        self._random = random_bytes
        self._name = b64url_encode(random_bytes(12))
        self._running: set[asyncio.Task[Answer]] = set()
        self._forgot = 0

    async def close(self) -> None:
        """Give the calls that run here time to end; those that do not are left as begun."""
        if self._running:
            await asyncio.wait(self._running, timeout=LEAVE_WITHIN)

    async def hold(self, call: HeldCall, challenge: AuthTokenChallenge) -> Answer:
        """The 202 for a call that is held now. Raises the challenge itself where it cannot be: 401 then."""
        asked, held = challenge.asked, call.held()
        fields = sum(len(name) + len(value) for name, value in held.headers)
        if len(call.body) > MAX_CALL or fields > MAX_FIELDS:
            raise challenge
        binding, now, held_id = binding_of(asked.caller), int(self._clock()), b64url_encode(self._random(24))
        async with self._db.transaction() as tx:
            if now != self._forgot:
                await self._records.forget(tx, now)
                self._forgot = now
            mine, every = await self._records.room(tx, binding, now)
            if mine >= MAX_OF_ONE or every >= MAX_OF_ALL:
                raise challenge
            await self._records.add(
                tx,
                held_id,
                binding,
                held,
                account=asked.account,
                presented=asked.caller.jti,
                asked_until=asked.exp,
                now=now,
                expires=now + LIFETIME,
            )
        return self._pending(held_id, RETRY_HELD, challenge.requirement.header())

    async def poll(self, held_id: str, caller: Caller, runner: Runner, admit: Admit) -> Answer:
        """The answer to a poll by `caller`: 404 to any but the key and person that the call is held for."""
        held = await self._records.find(self._db, held_id)
        if held is None or not isinstance(caller, Person | Grant) or not held.binding.polls(caller):
            raise Problem("not_found")
        if held.state == "held" and held.expires > self._clock():
            return await self._poll_held(held, caller, runner, admit)
        return await self._poll_begun(held, caller)

    async def cancel(self, held_id: str, caller: Caller) -> Answer:
        """Its agent withdraws a call that has not begun. Raises `Problem` 404 or 410."""
        async with self._db.transaction() as tx:
            held = await self._records.lock(tx, held_id)
            if held is None or not isinstance(caller, Person | Grant) or not held.binding.polls(caller):
                raise Problem("not_found")
            if held.state != "held":
                raise Problem("gone", "this call has begun or ended")
            await self._records.end(tx, held, int(self._clock()))
        return Answer(204, (("cache-control", "no-store"),))

    # Before it runs.

    async def _poll_held(self, held: Held, caller: Person | Grant, runner: Runner, admit: Admit) -> Answer:
        need = runner.need_of(held.call)
        if isinstance(caller, Person) or caller.jti in held.presented:
            return await self._still_held(held, caller, need)
        if (need is not None and not need.serves(caller)) or caller.account != held.account:
            await self._end(held)
            raise Problem("denied", "the auth token grants less than this call needs")
        admitted = None
        if need is not None and not need.is_open:
            try:
                admitted = await admit(need)
            except Problem:
                await self._end(held)
                raise
        if not await self._begin(held, caller):
            return await self._begun_meanwhile(held, caller)
        running = asyncio.create_task(self._run(held, admitted, runner), name="aauthkit-held-call")
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)  # it goes on when the poll's own connection is lost

    async def _still_held(self, held: Held, caller: Person | Grant, need: Need | None) -> Answer:
        """202 again; with a fresh resource token where the last one has lapsed."""
        if held.asked_until > self._clock() or need is None or "grant" not in need.levels:
            return self._pending(held.id, RETRY_HELD)
        scope = self._challenges.scope_for(caller, need)
        asked = self._challenges.resource_token(caller, scope, held.account)
        async with self._db.transaction() as tx:
            locked = await self._records.lock(tx, held.id)
            if locked is not None and locked.state == "held":
                await self._records.asked(tx, locked, caller.jti, asked.exp)
        return self._pending(held.id, RETRY_HELD, auth_token_required(asked.raw).header())

    async def _end(self, held: Held) -> None:
        async with self._db.transaction() as tx:
            locked = await self._records.lock(tx, held.id)
            if locked is not None and locked.state == "held":
                await self._records.end(tx, locked, int(self._clock()))

    async def _begin(self, held: Held, grant: Grant) -> bool:
        """Mark the call as running, durably. False where another poll was first."""
        token = (grant.proof.iss, grant.jti)
        return await self._records.start(self._db, held.id, token, self._name, int(self._clock()), grant.exp)

    async def _begun_meanwhile(self, held: Held, caller: Grant) -> Answer:
        found = await self._records.find(self._db, held.id)
        if found is None:
            raise Problem("gone")
        return await self._poll_begun(found, caller)

    # Once it runs.

    async def _run(self, held: Held, admitted: Admitted | None, runner: Runner) -> Answer:
        beating = _Later(BEAT, lambda: self._beat(held.id))
        try:
            answer = await self._outcome(held, admitted, runner)
            if len(answer.body) > MAX_RESULT:
                log.error("the answer of a held call is larger than %d bytes, and is not kept", MAX_RESULT)
                answer = Problem("server_error", "the call has run, and its answer is too large to be kept").answer()
            await self._records.finish(self._db, held.id, self._name, answer)
        finally:
            beating.cancel()
        return answer

    async def _outcome(self, held: Held, admitted: Admitted | None, runner: Runner) -> Answer:
        try:
            return await runner.run(held.call, admitted)
        except Refusal as refusal:
            return refusal.answer()
        except Exception:
            log.exception("a held call failed in its route")
            return Problem("server_error", "the call was run and failed").answer()

    async def _beat(self, held_id: str) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self._records.beat(self._db, held_id, self._name, int(self._clock()))
            await asyncio.sleep(BEAT)

    async def _poll_begun(self, held: Held, caller: Person | Grant) -> Answer:
        now = self._clock()
        if held.state == "running" and now < held.expires + KEPT_AFTER_END:
            if now < held.seen + LEASE:
                return self._pending(held.id, RETRY_RUNNING)
            return await self._lost(held)
        if held.state == "held":
            await self._end(held)
            raise Problem("expired", "no auth token came in time")
        mine = isinstance(caller, Grant) and held.token == (caller.proof.iss, caller.jti)
        if held.state == "done" and held.result is not None and now < held.expires and mine:
            return held.result
        raise Problem("gone", "this call has ended")

    async def _lost(self, held: Held) -> Answer:
        """Its runner fell silent: 500, from now on."""
        answer = Problem("server_error", MAY_HAVE_RUN).answer()
        await self._records.finish(self._db, held.id, held.runner, answer)
        return answer

    def _pending(self, held_id: str, retry_after: int, *headers: tuple[str, str]) -> Answer:
        """202 (draft-11 §11.8.2)."""
        named = [("location", f"{self._url}/{held_id}"), ("retry-after", str(retry_after)), *headers]
        return json_answer(202, {"status": "pending"}, *named)
