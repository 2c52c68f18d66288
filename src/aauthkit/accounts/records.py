"""What is remembered of people: accounts, their passwords, sessions, invitations and attempts.

Of sessions and invitations only a SHA-256 is kept, so that the database opens no session.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..store import Database, Migration, Row, Transaction
from .throttle import FORGOTTEN_AFTER, Subject
from .values import Account

MIGRATIONS: Final = (
    Migration(
        room="accounts",
        version=1,
        statements=(
            """CREATE TABLE accounts (
                id TEXT PRIMARY KEY,
                server TEXT NOT NULL,
                name TEXT NOT NULL,
                folded TEXT NOT NULL,
                created BIGINT NOT NULL,
                disabled BIGINT NOT NULL,
                UNIQUE (server, folded)
            )""",
            """CREATE TABLE account_passwords (
                account TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
                hash TEXT NOT NULL,
                changed BIGINT NOT NULL
            )""",
            """CREATE TABLE account_sessions (
                digest TEXT PRIMARY KEY,
                server TEXT NOT NULL,
                handle TEXT NOT NULL UNIQUE,
                account TEXT REFERENCES accounts (id) ON DELETE CASCADE,
                data TEXT NOT NULL,
                created BIGINT NOT NULL,
                expires BIGINT NOT NULL,
                alive_until BIGINT NOT NULL
            )""",
            "CREATE INDEX account_sessions_account ON account_sessions (account, alive_until)",
            "CREATE INDEX account_sessions_expires ON account_sessions (server, expires)",
            """CREATE TABLE account_ended_visits (
                digest TEXT PRIMARY KEY,
                server TEXT NOT NULL,
                expires BIGINT NOT NULL
            )""",
            "CREATE INDEX account_ended_visits_expires ON account_ended_visits (server, expires)",
            """CREATE TABLE account_invitations (
                digest TEXT PRIMARY KEY,
                server TEXT NOT NULL,
                expires BIGINT NOT NULL
            )""",
            "CREATE INDEX account_invitations_expires ON account_invitations (server, expires)",
            """CREATE TABLE account_attempts (
                server TEXT NOT NULL,
                subject TEXT NOT NULL,
                failures BIGINT NOT NULL,
                not_before BIGINT NOT NULL,
                since BIGINT NOT NULL,
                PRIMARY KEY (server, subject)
            )""",
            "CREATE INDEX account_attempts_since ON account_attempts (server, since)",
            "CREATE TABLE account_secrets (server TEXT PRIMARY KEY, secret TEXT NOT NULL)",
        ),
    ),
)


def digest_of(secret: str) -> str:
    """What is kept of a session or an invitation."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it is on record; times are epoch seconds."""

    handle: str
    account: Account | None
    data: Mapping[str, Any] = field(repr=False)
    created: int
    expires: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account with the hash of its password, if it has one."""

    account: Account
    hash: str | None = field(repr=False)


def _account(row: Row) -> Account:
    return Account(row["id"], row["name"], row["created"], bool(row["disabled"]))


class Records:
    """The records of one server's people. Times are epoch seconds."""

    def __init__(self, database: Database, server: str) -> None:
        self.database = database
        self._server = server

    # Accounts

    async def find(self, folded: str) -> Account | None:
        """The account with this folded name."""
        row = await self.database.fetch_one(
            "SELECT id, name, created, disabled FROM accounts WHERE server = :server AND folded = :folded",
            server=self._server,
            folded=folded,
        )
        return _account(row) if row is not None else None

    async def account(self, source: Database | Transaction, account_id: str) -> Account | None:
        """The account with this identifier."""
        row = await source.fetch_one(
            "SELECT id, name, created, disabled FROM accounts WHERE server = :server AND id = :id",
            server=self._server,
            id=account_id,
        )
        return _account(row) if row is not None else None

    async def accounts(self) -> tuple[Account, ...]:
        """Every account, in the order of their making."""
        rows = await self.database.fetch_all(
            "SELECT id, name, created, disabled FROM accounts WHERE server = :server ORDER BY created, id",
            server=self._server,
        )
        return tuple(_account(row) for row in rows)

    async def credentials(self, folded: str) -> Credentials | None:
        """The account with this folded name, and its password's hash."""
        row = await self.database.fetch_one(
            """SELECT id, name, created, disabled, hash FROM accounts LEFT JOIN account_passwords ON account = id
               WHERE server = :server AND folded = :folded""",
            server=self._server,
            folded=folded,
        )
        return Credentials(_account(row), row["hash"]) if row is not None else None

    async def add_account(self, tx: Transaction, account: Account, folded: str) -> bool:
        """Put an account on record; False where its name is taken."""
        return bool(
            await tx.execute(
                """INSERT INTO accounts (id, server, name, folded, created, disabled)
                   VALUES (:id, :server, :name, :folded, :created, 0) ON CONFLICT (server, folded) DO NOTHING""",
                id=account.id,
                server=self._server,
                name=account.name,
                folded=folded,
                created=account.created,
            )
        )

    async def set_hash(self, tx: Database | Transaction, account_id: str, encoded: str, now: int) -> None:
        """Keep the hash of an account's password in place of any other."""
        await tx.execute(
            """INSERT INTO account_passwords (account, hash, changed) VALUES (:account, :hash, :now)
               ON CONFLICT (account) DO UPDATE SET hash = excluded.hash, changed = excluded.changed""",
            account=account_id,
            hash=encoded,
            now=now,
        )

    async def renew_hash(self, account_id: str, old: str, new: str) -> None:
        """Put a hash of today's parameters in the place of an older one, unless the password was changed meanwhile."""
        await self.database.execute(
            "UPDATE account_passwords SET hash = :new WHERE account = :account AND hash = :old",
            account=account_id,
            old=old,
            new=new,
        )

    async def set_disabled(self, tx: Transaction, account_id: str, disabled: bool) -> None:
        """Switch an account off or on."""
        await tx.execute(
            "UPDATE accounts SET disabled = :disabled WHERE id = :id", disabled=int(disabled), id=account_id
        )

    # Invitations

    async def add_invitation(self, secret: str, expires: int, now: int) -> None:
        """Keep an invitation, and let go of those whose time is up."""
        await self.database.execute(
            "DELETE FROM account_invitations WHERE server = :server AND expires <= :now", server=self._server, now=now
        )
        await self.database.execute(
            "INSERT INTO account_invitations (digest, server, expires) VALUES (:digest, :server, :expires)",
            digest=digest_of(secret),
            server=self._server,
            expires=expires,
        )

    async def has_invitation(self, secret: str, now: int) -> bool:
        """Whether the invitation can be used now."""
        row = await self.database.fetch_one(
            "SELECT expires FROM account_invitations WHERE digest = :digest AND server = :server AND expires > :now",
            digest=digest_of(secret),
            server=self._server,
            now=now,
        )
        return row is not None

    async def use_invitation(self, tx: Transaction, secret: str, now: int) -> bool:
        """Use an invitation up; False where there is none."""
        return bool(
            await tx.execute(
                "DELETE FROM account_invitations WHERE digest = :digest AND server = :server AND expires > :now",
                digest=digest_of(secret),
                server=self._server,
                now=now,
            )
        )

    # Attempts

    async def count_attempt(self, tx: Transaction, subject: Subject, now: int) -> int:
        """Count an attempt as failed before it is made, so that no two count as one.

        Answers the seconds to wait where it comes too early; then nothing is counted.
        """
        row = await tx.fetch_one(
            """INSERT INTO account_attempts (server, subject, failures, not_before, since)
               VALUES (:server, :subject, 0, 0, :now)
               ON CONFLICT (server, subject) DO UPDATE SET subject = excluded.subject
               RETURNING failures, not_before, since""",
            server=self._server,
            subject=subject.key,
            now=now,
        )
        assert row is not None
        if row["not_before"] > now:
            return int(row["not_before"]) - now
        before, since = subject.limit.left(row["failures"], row["since"], now)
        await tx.execute(
            """UPDATE account_attempts SET failures = :failures, not_before = :not_before, since = :since
               WHERE server = :server AND subject = :subject""",
            failures=before + 1,
            not_before=now + subject.limit.wait_after(before + 1),
            since=since,
            server=self._server,
            subject=subject.key,
        )
        return 0

    async def forgive(self, tx: Transaction, subject: Subject) -> None:
        """Take back one counted attempt; the wait stands where the others alone bring one."""
        await tx.execute(
            """UPDATE account_attempts
               SET failures = failures - 1, not_before = CASE WHEN failures - 1 <= :free THEN 0 ELSE not_before END
               WHERE server = :server AND subject = :subject AND failures > 0""",
            free=subject.limit.free,
            server=self._server,
            subject=subject.key,
        )

    async def forgive_all(self, tx: Transaction, subject: Subject) -> None:
        """Forget every counted attempt of a subject."""
        await tx.execute(
            "DELETE FROM account_attempts WHERE server = :server AND subject = :subject",
            server=self._server,
            subject=subject.key,
        )

    # Sessions

    async def session(self, session_id: str, now: int) -> SessionRecord | None:
        """The session of a cookie, unless it has ended or its account is switched off."""
        row = await self.database.fetch_one(
            """SELECT s.handle AS handle, s.data AS data, s.created AS begun, s.expires AS expires,
                      a.id AS id, a.name AS name, a.created AS created, a.disabled AS disabled
               FROM account_sessions s LEFT JOIN accounts a ON a.id = s.account
               WHERE s.digest = :digest AND s.server = :server AND s.expires > :now""",
            digest=digest_of(session_id),
            server=self._server,
            now=now,
        )
        if row is None or row["disabled"]:
            return None
        account = _account(row) if row["id"] is not None else None
        return SessionRecord(row["handle"], account, json.loads(row["data"]), row["begun"], row["expires"])

    async def add_session(self, tx: Transaction, session_id: str, record: SessionRecord, alive_until: int = 0) -> None:
        """Put a session on record."""
        await tx.execute(
            """INSERT INTO account_sessions (digest, server, handle, account, data, created, expires, alive_until)
               VALUES (:digest, :server, :handle, :account, :data, :created, :expires, :alive_until)""",
            digest=digest_of(session_id),
            server=self._server,
            handle=record.handle,
            account=record.account.id if record.account is not None else None,
            data=json.dumps(dict(record.data)),
            created=record.created,
            expires=record.expires,
            alive_until=alive_until,
        )

    async def save_data(self, tx: Transaction, session_id: str, data: Mapping[str, Any], now: int) -> bool:
        """Replace what a session keeps; False where it is not on record."""
        return bool(
            await tx.execute(
                """UPDATE account_sessions SET data = :data
                   WHERE digest = :digest AND server = :server AND expires > :now""",
                data=json.dumps(dict(data)),
                digest=digest_of(session_id),
                server=self._server,
                now=now,
            )
        )

    async def take_session(self, tx: Transaction, session_id: str) -> Row | None:
        """Remove a session and answer its record (`account`, `handle`, `data`, `alive_until`)."""
        return await tx.fetch_one(
            """DELETE FROM account_sessions WHERE digest = :digest AND server = :server
               RETURNING account, handle, data, alive_until""",
            digest=digest_of(session_id),
            server=self._server,
        )

    async def end_visit(self, tx: Transaction, session_id: str, expires: int) -> None:
        """Remember that a session of nobody's is over, for as long as its cookie would be taken."""
        await tx.execute(
            """INSERT INTO account_ended_visits (digest, server, expires) VALUES (:digest, :server, :expires)
               ON CONFLICT (digest) DO NOTHING""",
            digest=digest_of(session_id),
            server=self._server,
            expires=expires,
        )

    async def visit_ended(self, source: Database | Transaction, session_id: str) -> bool:
        """Whether a session of nobody's is over."""
        row = await source.fetch_one(
            "SELECT expires FROM account_ended_visits WHERE digest = :digest", digest=digest_of(session_id)
        )
        return row is not None

    async def end_sessions(self, tx: Transaction, account_id: str) -> None:
        """End every session of an account."""
        await tx.execute("DELETE FROM account_sessions WHERE account = :account", account=account_id)

    async def keep_alive(self, session_id: str, until: int) -> None:
        """Note that a page of the session is open until then."""
        await self.database.execute(
            "UPDATE account_sessions SET alive_until = :until WHERE digest = :digest AND server = :server",
            until=until,
            digest=digest_of(session_id),
            server=self._server,
        )

    async def account_alive(self, source: Database | Transaction, account_id: str, now: int) -> bool:
        """Whether a page of any session of the account is open."""
        row = await source.fetch_one(
            # The plus keeps SQLite from looking by `expires`: at every session of the server.
            """SELECT 1 AS alive FROM account_sessions
               WHERE account = :account AND alive_until > :now AND server = :server AND +expires > :now LIMIT 1""",
            account=account_id,
            server=self._server,
            now=now,
        )
        return row is not None

    async def handle_alive(self, handle: str, now: int) -> bool:
        """Whether a page of this session is open."""
        row = await self.database.fetch_one(
            """SELECT 1 AS alive FROM account_sessions
               WHERE handle = :handle AND alive_until > :now AND server = :server AND expires > :now""",
            handle=handle,
            server=self._server,
            now=now,
        )
        return row is not None

    # What is over

    async def forget(self, now: int) -> None:
        """Remove sessions whose time is up, and attempts that count no more."""
        await self.database.execute(
            "DELETE FROM account_sessions WHERE server = :server AND expires <= :now", server=self._server, now=now
        )
        await self.database.execute(
            "DELETE FROM account_ended_visits WHERE server = :server AND expires <= :now", server=self._server, now=now
        )
        await self.database.execute(
            "DELETE FROM account_attempts WHERE server = :server AND since <= :before AND not_before <= :now",
            server=self._server,
            before=now - FORGOTTEN_AFTER,
            now=now,
        )

    async def secret(self, proposed: str) -> str:
        """This server's secret for sessions that are not on record: the one that is kept, or else `proposed`."""
        await self.database.execute(
            "INSERT INTO account_secrets (server, secret) VALUES (:server, :secret) ON CONFLICT (server) DO NOTHING",
            server=self._server,
            secret=proposed,
        )
        row = await self.database.fetch_one(
            "SELECT secret FROM account_secrets WHERE server = :server", server=self._server
        )
        assert row is not None
        return str(row["secret"])
