"""What an agent provider remembers: agents, open enrolments, nonces, and every agent token it issued.

Revocations that are still on their way are in the outbox of `revocation`, whose tables are brought along.

An agent's row is never deleted: its name belongs to its durable key for good, also after it has ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal, cast

from ..protocol.jose import PublicKey
from ..revocation import MIGRATIONS as REVOCATION_TABLES
from ..store import Database, Migration, Row, Transaction

AgentState = Literal["active", "suspended", "ended"]
Reader = Database | Transaction

MIGRATIONS: Final = (
    Migration(
        room="provider",
        version=1,
        statements=(
            """CREATE TABLE provider_agents (
                iss TEXT NOT NULL,
                name TEXT NOT NULL,
                durable_jkt TEXT NOT NULL,
                durable_jwk TEXT NOT NULL,
                state TEXT NOT NULL,
                ps TEXT,
                platform TEXT,
                device TEXT,
                evidence TEXT NOT NULL,
                created BIGINT NOT NULL,
                approved BIGINT NOT NULL,
                changed BIGINT NOT NULL,
                PRIMARY KEY (iss, name),
                UNIQUE (iss, durable_jkt)
            )""",
            """CREATE TABLE provider_enrollments (
                iss TEXT NOT NULL,
                durable_jkt TEXT NOT NULL,
                pending_id TEXT NOT NULL,
                name TEXT NOT NULL,
                network TEXT NOT NULL,
                expires BIGINT NOT NULL,
                PRIMARY KEY (iss, durable_jkt)
            )""",
            "CREATE INDEX provider_enrollments_name ON provider_enrollments (iss, name)",
            "CREATE INDEX provider_enrollments_expires ON provider_enrollments (iss, expires)",
            """CREATE TABLE provider_nonces (
                iss TEXT NOT NULL,
                durable_jkt TEXT NOT NULL,
                nonce TEXT NOT NULL,
                expires BIGINT NOT NULL,
                PRIMARY KEY (iss, durable_jkt)
            )""",
            "CREATE INDEX provider_nonces_expires ON provider_nonces (iss, expires)",
            """CREATE TABLE provider_tokens (
                iss TEXT NOT NULL,
                jti TEXT NOT NULL,
                name TEXT NOT NULL,
                jkt TEXT NOT NULL,
                iat BIGINT NOT NULL,
                exp BIGINT NOT NULL,
                PRIMARY KEY (iss, jti)
            )""",
            "CREATE INDEX provider_tokens_name ON provider_tokens (iss, name, exp)",
            "CREATE INDEX provider_tokens_exp ON provider_tokens (iss, exp)",
        ),
    ),
    *REVOCATION_TABLES,
)


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """An agent that was approved. `thumbprint` is its durable key's; times are seconds since the epoch.

    `platform` and `device` are what the agent said of itself when it enrolled.
    """

    name: str
    thumbprint: str
    state: AgentState
    ps: str | None
    platform: str | None
    device: str | None
    evidence: str
    created: int
    approved: int
    changed: int


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An agent token on record: never the token itself. `jkt` is the thumbprint of the key it is bound to."""

    jti: str
    name: str
    jkt: str
    iat: int
    exp: int


@dataclass(frozen=True, slots=True)
class OpenEnrollment:
    """Which pending request a durable key has open, and under which name."""

    durable_jkt: str
    pending_id: str
    name: str


class Taken(Exception):
    """The name belongs to another durable key, or the key to another name."""


def _agent(row: Row) -> AgentRecord:
    return AgentRecord(
        name=row["name"],
        thumbprint=row["durable_jkt"],
        state=cast("AgentState", row["state"]),
        ps=row["ps"],
        platform=row["platform"],
        device=row["device"],
        evidence=row["evidence"],
        created=row["created"],
        approved=row["approved"],
        changed=row["changed"],
    )


def _open(row: Row) -> OpenEnrollment:
    return OpenEnrollment(row["durable_jkt"], row["pending_id"], row["name"])


class Records:
    """The records of the provider `iss`."""

    def __init__(self, iss: str, database: Database) -> None:
        self.iss = iss
        self._db = database

    # Agents.

    async def agent_of_key(self, tx: Reader, thumbprint: str) -> AgentRecord | None:
        """The agent of a durable key."""
        sql = "SELECT * FROM provider_agents WHERE iss = :iss AND durable_jkt = :jkt"
        row = await tx.fetch_one(sql, iss=self.iss, jkt=thumbprint)
        return _agent(row) if row is not None else None

    async def lock_agent_of_key(self, tx: Transaction, thumbprint: str) -> AgentRecord | None:
        """As `agent_of_key`, holding the record until the transaction ends."""
        sql = f"SELECT * FROM provider_agents WHERE iss = :iss AND durable_jkt = :jkt{self._db.for_update}"
        row = await tx.fetch_one(sql, iss=self.iss, jkt=thumbprint)
        return _agent(row) if row is not None else None

    async def agent(self, tx: Reader, name: str) -> AgentRecord | None:
        """The agent of a name."""
        sql = "SELECT * FROM provider_agents WHERE iss = :iss AND name = :name"
        row = await tx.fetch_one(sql, iss=self.iss, name=name)
        return _agent(row) if row is not None else None

    async def lock_agent(self, tx: Transaction, name: str) -> AgentRecord | None:
        """As `agent`, holding the record until the transaction ends."""
        sql = f"SELECT * FROM provider_agents WHERE iss = :iss AND name = :name{self._db.for_update}"
        row = await tx.fetch_one(sql, iss=self.iss, name=name)
        return _agent(row) if row is not None else None

    async def agents(self) -> list[AgentRecord]:
        """Every agent, oldest first."""
        sql = "SELECT * FROM provider_agents WHERE iss = :iss ORDER BY approved, name"
        return [_agent(row) for row in await self._db.fetch_all(sql, iss=self.iss)]

    async def add_agent(self, tx: Transaction, durable: PublicKey, record: AgentRecord) -> None:
        """Put a new agent on record. Raises `Taken`; the transaction can go on."""
        row = await tx.fetch_one(
            """INSERT INTO provider_agents (iss, name, durable_jkt, durable_jwk, state, ps, platform, device, evidence,
                                            created, approved, changed)
               VALUES (:iss, :name, :jkt, :jwk, :state, :ps, :platform, :device, :evidence,
                       :created, :approved, :changed)
               ON CONFLICT DO NOTHING RETURNING name""",
            iss=self.iss,
            name=record.name,
            jkt=durable.thumbprint,
            jwk=json.dumps(durable.jwk),
            state=record.state,
            ps=record.ps,
            platform=record.platform,
            device=record.device,
            evidence=record.evidence,
            created=record.created,
            approved=record.approved,
            changed=record.changed,
        )
        if row is None:
            raise Taken(record.name)

    async def set_state(self, tx: Transaction, name: str, state: AgentState, now: int) -> AgentRecord:
        """The agent, which is on record, in its new state."""
        row = await tx.fetch_one(
            """UPDATE provider_agents SET state = :state, changed = :now
               WHERE iss = :iss AND name = :name RETURNING *""",
            iss=self.iss,
            name=name,
            state=state,
            now=now,
        )
        assert row is not None
        return _agent(row)

    # Open enrolments.

    async def claim_open(self, tx: Transaction, thumbprint: str, name: str, network: str, expires: int) -> str:
        """The pending request this durable key has open, or an empty string; held until the transaction ends.

        The row is made where there is none, so that two asks of one key come one after the other.
        """
        row = await tx.fetch_one(
            """INSERT INTO provider_enrollments (iss, durable_jkt, pending_id, name, network, expires)
               VALUES (:iss, :jkt, '', :name, :network, :expires)
               ON CONFLICT (iss, durable_jkt) DO UPDATE SET durable_jkt = excluded.durable_jkt
               RETURNING pending_id""",
            iss=self.iss,
            jkt=thumbprint,
            name=name,
            network=network,
            expires=expires,
        )
        assert row is not None
        return str(row["pending_id"])

    async def put_open(self, tx: Transaction, entry: OpenEnrollment, network: str, expires: int) -> None:
        """What this durable key has open from now on; its row was claimed."""
        await tx.execute(
            """UPDATE provider_enrollments
               SET pending_id = :pending_id, name = :name, network = :network, expires = :expires
               WHERE iss = :iss AND durable_jkt = :jkt""",
            iss=self.iss,
            jkt=entry.durable_jkt,
            pending_id=entry.pending_id,
            name=entry.name,
            network=network,
            expires=expires,
        )

    async def count_others(self, tx: Transaction, thumbprint: str, network: str, now: int) -> tuple[int, int]:
        """How many requests other durable keys have open: in all, and from `network`."""
        row = await tx.fetch_one(
            """SELECT count(*) AS total, sum(CASE WHEN network = :network THEN 1 ELSE 0 END) AS near
               FROM provider_enrollments WHERE iss = :iss AND expires > :now AND durable_jkt <> :jkt""",
            iss=self.iss,
            jkt=thumbprint,
            network=network,
            now=now,
        )
        assert row is not None
        return int(row["total"]), int(row["near"] or 0)

    async def close_open(self, tx: Reader, pending_id: str, thumbprint: str) -> None:
        """This request of this durable key is no longer open."""
        await tx.execute(
            "DELETE FROM provider_enrollments WHERE iss = :iss AND durable_jkt = :jkt AND pending_id = :pending_id",
            iss=self.iss,
            jkt=thumbprint,
            pending_id=pending_id,
        )

    async def close_named(self, tx: Transaction, name: str) -> list[OpenEnrollment]:
        """All that was open under `name`, of any key; none of it is any more."""
        sql = "DELETE FROM provider_enrollments WHERE iss = :iss AND name = :name RETURNING *"
        return [_open(row) for row in await tx.fetch_all(sql, iss=self.iss, name=name)]

    # Nonces: one for each durable key, the newest.

    async def put_nonce(
        self, tx: Transaction, thumbprint: str, nonce: str, *, expires: int, now: int, limit: int
    ) -> bool:
        """Keep `nonce` for this key until `expires`; `False` where `limit` of them are out already."""
        sql = "SELECT count(*) AS total FROM provider_nonces WHERE iss = :iss AND expires > :now"
        out = await tx.fetch_one(sql, iss=self.iss, now=now)
        assert out is not None
        if out["total"] >= limit:
            return False
        await tx.execute(
            """INSERT INTO provider_nonces (iss, durable_jkt, nonce, expires) VALUES (:iss, :jkt, :nonce, :expires)
               ON CONFLICT (iss, durable_jkt) DO UPDATE SET nonce = excluded.nonce, expires = excluded.expires""",
            iss=self.iss,
            jkt=thumbprint,
            nonce=nonce,
            expires=expires,
        )
        return True

    async def use_nonce(self, tx: Reader, thumbprint: str, nonce: str, now: int) -> bool:
        """Whether `nonce` was this key's and still good; from now on it is not."""
        used = await tx.execute(
            """DELETE FROM provider_nonces
               WHERE iss = :iss AND durable_jkt = :jkt AND nonce = :nonce AND expires > :now""",
            iss=self.iss,
            jkt=thumbprint,
            nonce=nonce,
            now=now,
        )
        return used == 1

    # Tokens.

    async def add_token(self, tx: Transaction, token: IssuedToken) -> None:
        """Record a token before it leaves, so that it can be revoked (draft-11 §5.1)."""
        await tx.execute(
            """INSERT INTO provider_tokens (iss, jti, name, jkt, iat, exp)
               VALUES (:iss, :jti, :name, :jkt, :iat, :exp)""",
            iss=self.iss,
            jti=token.jti,
            name=token.name,
            jkt=token.jkt,
            iat=token.iat,
            exp=token.exp,
        )

    async def live_tokens(self, tx: Reader, name: str, now: int) -> list[IssuedToken]:
        """The agent's tokens that have not expired, newest first."""
        rows = await tx.fetch_all(
            "SELECT * FROM provider_tokens WHERE iss = :iss AND name = :name AND exp > :now ORDER BY iat DESC, jti",
            iss=self.iss,
            name=name,
            now=now,
        )
        return [IssuedToken(row["jti"], row["name"], row["jkt"], row["iat"], row["exp"]) for row in rows]

    # What has had its time.

    async def forget(self, now: int) -> None:
        """Drop what has expired. Each statement is a transaction of its own, so that none waits for another's rows."""
        for table, column in (("enrollments", "expires"), ("nonces", "expires"), ("tokens", "exp")):
            sql = f"DELETE FROM provider_{table} WHERE iss = :iss AND {column} <= :now"
            await self._db.execute(sql, iss=self.iss, now=now)
