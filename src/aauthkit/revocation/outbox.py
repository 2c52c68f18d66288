"""Revocations on their way: on record with the decision that made them, delivered until their token has expired.

draft-11 §11.12.3: a party that could not be told may be told again, and telling it twice is safe.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Final

from ..store import Database, StoreError, Subscription, Transaction
from .deliveries import Deliveries
from .outcomes import Downstream, Outcome
from .records import MIGRATIONS, Delivery
from .sending import Revoker

log = logging.getLogger("aauthkit.revocation")

CHANNEL: Final = "revocation-outbox"
LEASE: Final = 60
"""Seconds for which a delivery is one process's, which renews that while it waits for the recipient.

So long do the deliveries of a process that was killed wait for another one.
"""
AT_ONCE: Final = 32
"""Deliveries under way at once."""
AT_RECIPIENT: Final = 2
"""Of them at one recipient: one that is slow holds up nobody else."""
FIRST_PAUSE: Final = 5
"""Seconds before the second try; each further one waits twice as long."""
LONGEST_PAUSE: Final = 300
LONGEST_PATIENCE: Final = 900
"""Seconds that a recipient may put its next try off by: no longer, as its token ends meanwhile."""
LOOK_IN: Final = 0.2
"""Seconds between two looks at a delivery that another process has under way."""
LOOK_AGAIN: Final = 30.0
"""Seconds after which the records are read again without having been woken."""
PAUSE: Final = 2.0
"""Seconds before records that were out of reach are looked for again."""


def pause_after(attempts: int, jitter: float) -> int:
    """Seconds until the next try after that many; `jitter` in [0, 1) keeps many senders from coming back as one."""
    return round(min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 16), LONGEST_PAUSE) * (1 + jitter / 4))


class RevocationOutbox:
    """The revocations that `server` has still to deliver.

    Put one in with the decision that makes it (`put`); nothing is needed for that but the database, so that a command
    line can do it beside a running server. That server delivers: `start` and `close` it there, with a `revoker`.
    Several processes may; each delivery is one's at a time.
    """

    def __init__(
        self,
        server: str,
        database: Database,
        *,
        revoker: Revoker | None = None,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._db = database
        self._revoker = revoker
        self._clock = clock
        self._jitter = jitter
        self._channel = f"{CHANNEL} {server}"
        self._deliveries = Deliveries(server, database)
        self._delivering: asyncio.Task[None] | None = None

    # What is put in.

    async def put(self, tx: Transaction, recipient: str, dwk: str, jti: str, exp: int) -> None:
        """Have the token `jti`, which ends at `exp`, revoked at `recipient`, once `tx` is committed.

        One that is there already is left as it is, but for one that its recipient would not take: it is sent again.
        """
        await self._deliveries.put(tx, recipient, dwk, jti, exp, int(self._clock()))
        await tx.notify(self._channel)

    async def deliveries(self) -> list[Delivery]:
        """What is to be delivered and what was, of tokens that have not expired; oldest first."""
        return await self._deliveries.alive(int(self._clock()))

    async def count_waiting(self) -> int:
        """How many are to be delivered still."""
        return await self._deliveries.count_waiting(int(self._clock()))

    # What is taken out.

    async def start(self) -> None:
        """Bring the tables up to date, and begin to deliver. Raises `StoreError`."""
        await self._db.migrate(MIGRATIONS)
        if self._revoker is not None and self._delivering is None:
            self._delivering = asyncio.create_task(self._deliver(), name="aauthkit-revocation-outbox")

    async def close(self) -> None:
        """Stop delivering; what was not delivered is, at the next start."""
        delivering, self._delivering = self._delivering, None
        if delivering is not None:
            delivering.cancel()
            await asyncio.wait({delivering})

    async def _deliver(self) -> None:
        complained = False
        while True:
            try:
                async with self._db.subscribe(self._channel) as subscription:
                    await self._deliver_and_hear(subscription)
            except StoreError as error:
                if not complained:
                    log.error("revocations wait for the database: %s", error)
                complained = True
            except Exception:
                log.exception("delivering revocations failed, and begins anew")
            await asyncio.sleep(PAUSE)

    async def _deliver_and_hear(self, subscription: Subscription) -> None:
        """Keep up to `AT_ONCE` deliveries under way, so that a slow recipient holds up nobody else."""
        running: dict[asyncio.Task[Outcome], str] = {}
        try:
            while True:
                now = int(self._clock())
                await self._lapse(now)
                claimed = await self._claim(now, AT_ONCE - len(running), _busy(running.values()))
                running |= {self._begin(each): each.recipient for each in claimed}
                busy = _busy(running.values())
                following = await self._deliveries.next_due(now, busy) if len(running) < AT_ONCE else None
                wait = LOOK_AGAIN if following is None else min(max(following - now, 0.0), LOOK_AGAIN)
                heard = asyncio.create_task(subscription.wait(wait))
                try:
                    await asyncio.wait({heard, *running}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    heard.cancel()
                    await asyncio.wait({heard})
                for task in [task for task in running if task.done()]:
                    del running[task]
                    task.result()
                if not heard.cancelled():
                    heard.result()
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)

    async def _lapse(self, now: int) -> None:
        for delivery in await self._deliveries.lapse(now):
            log.warning("%s was never told of a revocation: its token has expired", delivery.recipient)

    def _begin(self, delivery: Delivery) -> asyncio.Task[Outcome]:
        return asyncio.create_task(self._deliver_one(delivery), name="aauthkit-revocation")

    async def _claim(self, now: int, limit: int, busy: Collection[str] = ()) -> list[Delivery]:
        if limit <= 0:
            return []
        return await self._deliveries.claim(now, now + LEASE, limit, each=AT_RECIPIENT, busy=busy)

    async def deliver_due(self) -> list[Outcome]:
        """Deliver everything that is due now, each once, and tell what became of it."""
        outcomes: list[Outcome] = []
        now = int(self._clock())
        await self._lapse(now)
        while claimed := await self._claim(now, AT_ONCE):
            outcomes += await asyncio.gather(*(self._deliver_one(each) for each in claimed))
        return outcomes

    async def finish(self, names: Collection[tuple[str, str]]) -> list[Downstream]:
        """Deliver these, by recipient and `jti`, each once more where it did not arrive, and tell how each has ended.

        What another process has under way is waited for. One that fails is tried again later (draft-11 §11.12.3).
        """
        limit = asyncio.Semaphore(AT_ONCE)
        each = {recipient: asyncio.Semaphore(AT_RECIPIENT) for recipient, _ in names}

        async def one(recipient: str, jti: str) -> Downstream:
            async with each[recipient], limit:
                return await self._finish_one(recipient, jti)

        return list(await asyncio.gather(*(one(*name) for name in sorted(names))))

    async def _finish_one(self, recipient: str, jti: str) -> Downstream:
        while True:
            now = int(self._clock())
            mine = await self._deliveries.claim_one(recipient, jti, now, now + LEASE)
            if mine is not None:
                return (await self._deliver_one(mine)).entry
            found = await self._deliveries.find(recipient, jti)
            if found is None or found.state == "recorded":
                return Downstream(recipient)
            if found.state == "revocation_unsupported":
                return Downstream(recipient, "revocation_unsupported")
            if await self._under_way(recipient, jti):
                return Downstream(recipient, "revocation_unavailable")

    async def _under_way(self, recipient: str, jti: str) -> bool:
        """Wait for whoever delivers this one now; whether that came to nothing."""
        await asyncio.sleep(LOOK_IN)
        found = await self._deliveries.find(recipient, jti)
        return found is not None and found.state == "waiting" and bool(found.reason)

    async def _deliver_one(self, delivery: Delivery) -> Outcome:
        assert self._revoker is not None, "an outbox without a revoker delivers nothing"
        renewing = asyncio.create_task(self._renew(delivery), name="aauthkit-revocation-lease")
        try:
            outcome = await self._revoker.revoke_at(delivery.recipient, delivery.dwk, delivery.jti, delivery.exp)
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
        now = int(self._clock())
        if outcome.status == "revocation_unavailable":
            wait = max(pause_after(delivery.attempts, self._jitter()), min(outcome.retry_after or 0, LONGEST_PATIENCE))
            await self._deliveries.postpone(delivery, now, now + wait, outcome.reason)
            level = logging.WARNING if delivery.attempts == 1 else logging.INFO
            log.log(level, "%s could not be told of a revocation, and will be: %s", delivery.recipient, outcome.reason)
        else:
            await self._deliveries.settle(delivery, outcome.status, now, outcome.reason)
            log.info("revocation at %s: %s", delivery.recipient, outcome.status)
        return outcome

    async def _renew(self, delivery: Delivery) -> None:
        """Keep a delivery this process's while its recipient is waited for."""
        while True:
            await asyncio.sleep(LEASE / 3)
            try:
                await self._deliveries.hold(delivery, int(self._clock()) + LEASE)
            except StoreError as error:
                log.warning("a revocation under way could not be held: %s", error)


def _busy(recipients: Iterable[str]) -> list[str]:
    """The recipients that have as many deliveries under way as one may have."""
    return sorted(name for name, number in Counter(recipients).items() if number >= AT_RECIPIENT)
