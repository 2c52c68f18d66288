"""The records of what is to be delivered: put once, claimed by one process at a time, settled once."""

from __future__ import annotations

from collections.abc import Collection

from ..store import Database, Row, Transaction
from .records import Delivery, DeliveryState


def _delivery(row: Row) -> Delivery:
    return Delivery(**{name: value for name, value in row.items() if name != "server"})


def _others(busy: Collection[str]) -> tuple[str, dict[str, str]]:
    """The condition that a recipient is none of these, and its parameters."""
    named = {f"busy{number}": recipient for number, recipient in enumerate(busy)}
    return (f" AND recipient NOT IN ({', '.join(f':{name}' for name in named)})" if named else ""), named


class Deliveries:
    """The deliveries of `server`."""

    def __init__(self, server: str, database: Database) -> None:
        self.server = server
        self._db = database

    async def put(self, tx: Transaction, recipient: str, dwk: str, jti: str, exp: int, now: int) -> None:
        """Have this one delivered; one that was recorded stays so, and one that waits keeps its place."""
        await tx.execute(
            """INSERT INTO revocation_outbox (server, recipient, dwk, jti, exp, state, attempts, due, queued, changed,
                                              reason)
               VALUES (:server, :recipient, :dwk, :jti, :exp, 'waiting', 0, :now, :now, :now, '')
               ON CONFLICT (server, recipient, jti) DO UPDATE
               SET state = 'waiting', attempts = 0, due = excluded.due, changed = excluded.changed
               WHERE revocation_outbox.state = 'revocation_unsupported'""",
            server=self.server,
            recipient=recipient,
            dwk=dwk,
            jti=jti,
            exp=exp,
            now=now,
        )

    async def claim(self, now: int, until: int, limit: int, *, each: int, busy: Collection[str] = ()) -> list[Delivery]:
        """Some that are due, at most `each` for one recipient and none for the `busy`; counted as tried.

        They are nobody else's before `until`.
        """
        others, named = _others(busy)
        async with self._db.transaction() as tx:
            rows = await tx.fetch_all(
                f"""SELECT recipient, jti FROM (
                        SELECT recipient, jti, due,
                               row_number() OVER (PARTITION BY recipient ORDER BY due, jti) AS place
                        FROM revocation_outbox
                        WHERE server = :server AND state = 'waiting' AND due <= :now{others}
                    ) AS ready WHERE place <= {each} ORDER BY due, recipient, jti LIMIT {limit}""",
                server=self.server,
                now=now,
                **named,
            )
            claimed: list[Delivery] = []
            for row in rows:
                mine = await tx.fetch_one(
                    """UPDATE revocation_outbox SET attempts = attempts + 1, due = :until, reason = ''
                       WHERE server = :server AND recipient = :recipient AND jti = :jti
                             AND state = 'waiting' AND due <= :now RETURNING *""",
                    server=self.server,
                    recipient=row["recipient"],
                    jti=row["jti"],
                    now=now,
                    until=until,
                )
                if mine is not None:
                    claimed.append(_delivery(mine))
        return claimed

    async def claim_one(self, recipient: str, jti: str, now: int, until: int) -> Delivery | None:
        """This one, though its next try is not due yet; `None` where it is over, or under way elsewhere.

        One that was tried has the reason it failed; one that is under way has none.
        """
        row = await self._db.fetch_one(
            """UPDATE revocation_outbox SET attempts = attempts + 1, due = :until, reason = ''
               WHERE server = :server AND recipient = :recipient AND jti = :jti AND state = 'waiting'
                     AND (due <= :now OR reason <> '') RETURNING *""",
            server=self.server,
            recipient=recipient,
            jti=jti,
            now=now,
            until=until,
        )
        return _delivery(row) if row is not None else None

    async def find(self, recipient: str, jti: str) -> Delivery | None:
        """One delivery as it stands."""
        row = await self._db.fetch_one(
            "SELECT * FROM revocation_outbox WHERE server = :server AND recipient = :recipient AND jti = :jti",
            server=self.server,
            recipient=recipient,
            jti=jti,
        )
        return _delivery(row) if row is not None else None

    async def hold(self, delivery: Delivery, until: int) -> None:
        """One that is under way stays so, and nobody else's before `until`."""
        await self._db.execute(
            """UPDATE revocation_outbox SET due = :until
               WHERE server = :server AND recipient = :recipient AND jti = :jti AND state = 'waiting'
                     AND attempts = :attempts AND reason = ''""",
            server=self.server,
            recipient=delivery.recipient,
            jti=delivery.jti,
            attempts=delivery.attempts,
            until=until,
        )

    async def postpone(self, delivery: Delivery, now: int, due: int, reason: str) -> None:
        """To be tried again at `due`."""
        await self._set(delivery, "waiting", now, due, reason)

    async def settle(self, delivery: Delivery, state: DeliveryState, now: int, reason: str) -> None:
        """Over, one way or the other."""
        await self._set(delivery, state, now, delivery.due, reason)

    async def _set(self, delivery: Delivery, state: DeliveryState, now: int, due: int, reason: str) -> None:
        await self._db.execute(
            """UPDATE revocation_outbox SET state = :state, due = :due, changed = :now, reason = :reason
               WHERE server = :server AND recipient = :recipient AND jti = :jti AND state = 'waiting'""",
            server=self.server,
            recipient=delivery.recipient,
            jti=delivery.jti,
            state=state,
            due=due,
            now=now,
            reason=reason,
        )

    async def lapse(self, now: int) -> list[Delivery]:
        """Drop those whose token has expired, since nothing is left to revoke; the ones that never arrived."""
        sql = "DELETE FROM revocation_outbox WHERE server = :server AND exp <= :now RETURNING *"
        gone = [_delivery(row) for row in await self._db.fetch_all(sql, server=self.server, now=now)]
        return [delivery for delivery in gone if delivery.state == "waiting"]

    async def next_due(self, now: int, busy: Collection[str] = ()) -> int | None:
        """When the next one is due that is for none of the `busy`, `None` where none waits."""
        others, named = _others(busy)
        row = await self._db.fetch_one(
            # The plus keeps SQLite from looking by `exp`: at all whose token lives, those that have arrived too.
            f"""SELECT min(due) AS due FROM revocation_outbox
               WHERE server = :server AND state = 'waiting' AND +exp > :now{others}""",
            server=self.server,
            now=now,
            **named,
        )
        return int(row["due"]) if row is not None and row["due"] is not None else None

    async def count_waiting(self, now: int) -> int:
        """How many are to be delivered still."""
        row = await self._db.fetch_one(
            """SELECT count(*) AS total FROM revocation_outbox
               WHERE server = :server AND state = 'waiting' AND +exp > :now""",
            server=self.server,
            now=now,
        )
        return int(row["total"]) if row is not None else 0

    async def alive(self, now: int) -> list[Delivery]:
        """Those whose token has not expired, oldest first."""
        rows = await self._db.fetch_all(
            "SELECT * FROM revocation_outbox WHERE server = :server AND exp > :now ORDER BY queued, recipient, jti",
            server=self.server,
            now=now,
        )
        return [_delivery(row) for row in rows]
