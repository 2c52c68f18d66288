"""What revocation remembers: which tokens were revoked here, and which revocations are still to be delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..store import Database, Migration, Transaction

MIGRATIONS: Final = (
    Migration(
        room="revocation",
        version=1,
        statements=(
            """CREATE TABLE revoked_tokens (
                server TEXT NOT NULL,
                iss TEXT NOT NULL,
                jti TEXT NOT NULL,
                exp BIGINT NOT NULL,
                recorded BIGINT NOT NULL,
                PRIMARY KEY (server, iss, jti)
            )""",
            "CREATE INDEX revoked_tokens_exp ON revoked_tokens (server, exp)",
            """CREATE TABLE revocation_outbox (
                server TEXT NOT NULL,
                recipient TEXT NOT NULL,
                dwk TEXT NOT NULL,
                jti TEXT NOT NULL,
                exp BIGINT NOT NULL,
                state TEXT NOT NULL,
                attempts BIGINT NOT NULL,
                due BIGINT NOT NULL,
                queued BIGINT NOT NULL,
                changed BIGINT NOT NULL,
                reason TEXT NOT NULL,
                PRIMARY KEY (server, recipient, jti)
            )""",
            "CREATE INDEX revocation_outbox_due ON revocation_outbox (server, state, due)",
            "CREATE INDEX revocation_outbox_exp ON revocation_outbox (server, exp)",
        ),
    ),
)

Reader = Database | Transaction
DeliveryState = Literal["waiting", "recorded", "revocation_unsupported"]
"""To be delivered, as long as its token lives; done; the recipient takes none."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A revocation to be delivered, or one that was. Times are in seconds since the epoch."""

    recipient: str
    dwk: str
    jti: str
    exp: int
    state: DeliveryState
    attempts: int
    due: int
    queued: int
    changed: int
    reason: str


class RevokedRecords:
    """The revocations on record at `server`."""

    def __init__(self, server: str) -> None:
        self.server = server

    async def exp_of(self, tx: Transaction, iss: str, jti: str) -> int | None:
        """The `exp` on record for this token, `None` where it was not revoked."""
        sql = "SELECT exp FROM revoked_tokens WHERE server = :server AND iss = :iss AND jti = :jti"
        row = await tx.fetch_one(sql, server=self.server, iss=iss, jti=jti)
        return int(row["exp"]) if row is not None else None

    async def add(self, tx: Transaction, iss: str, jti: str, exp: int, now: int) -> bool:
        """Record a revocation; `False` if it was on record already. The later of two `exp` stands."""
        row = await tx.fetch_one(
            """INSERT INTO revoked_tokens (server, iss, jti, exp, recorded) VALUES (:server, :iss, :jti, :exp, :now)
               ON CONFLICT DO NOTHING RETURNING jti""",
            server=self.server,
            iss=iss,
            jti=jti,
            exp=exp,
            now=now,
        )
        if row is not None:
            return True
        await tx.execute(
            """UPDATE revoked_tokens SET exp = :exp
               WHERE server = :server AND iss = :iss AND jti = :jti AND exp < :exp""",
            server=self.server,
            iss=iss,
            jti=jti,
            exp=exp,
        )
        return False

    async def alive(self, tx: Reader, alive: int) -> list[tuple[str, str, int]]:
        """Issuer, `jti` and `exp` of every revocation that ends after `alive`."""
        sql = "SELECT iss, jti, exp FROM revoked_tokens WHERE server = :server AND exp > :alive"
        rows = await tx.fetch_all(sql, server=self.server, alive=alive)
        return [(row["iss"], row["jti"], row["exp"]) for row in rows]

    async def forget(self, tx: Reader, alive: int) -> None:
        """Drop what ended by then."""
        sql = "DELETE FROM revoked_tokens WHERE server = :server AND exp <= :alive"
        await tx.execute(sql, server=self.server, alive=alive)
