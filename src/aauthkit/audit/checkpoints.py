"""Checkpoints: what every chain's head was at a moment, signed with a key of the log's own, told outside as well.

A statement is a compact JWS of type `aauth-audit+jwt`: `iss`, `iat`, `number`, `previous` (the SHA-256 of the statement
before it) and `heads`, an object from writer to its number and hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ..protocol.jose import JoseError, PublicKey, SigningKey, b64url_encode, parse_jwt, sign_jwt
from ..store import Database, StoreError

log = logging.getLogger("aauthkit.audit")

TYP: Final = "aauth-audit+jwt"
EVERY: Final = 300.0
"""Seconds between two checkpoints, unless a server is told otherwise."""
MAX_LINES: Final = 1_000_000


class Sink(Protocol):
    """Somewhere outside the database that statements are told to."""

    async def tell(self, statement: str) -> None:
        """Keep it. What it raises is the teller's to report; the statement is in the database already."""
        ...


class FileSink:
    """A file that statements are appended to, a line each: on another disk, or one that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def tell(self, statement: str) -> None:
        """Append it, and wait for the disk."""
        await asyncio.to_thread(self._append, statement)

    def _append(self, statement: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{statement}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_lines(path: Path) -> list[str]:
    """The statements in a file that a `FileSink` wrote. Raises `OSError`."""
    with path.open() as file:
        return [line.strip() for line, _ in zip(file, range(MAX_LINES), strict=False) if line.strip()]


@dataclass(frozen=True, slots=True)
class Statement:
    """A checkpoint that was read: its number, when it was made, the statement before it, and the heads it holds."""

    number: int
    at: int
    previous: str
    heads: dict[str, tuple[int, str]]
    text: str


def digest_of(statement: str) -> str:
    """How the next statement names this one."""
    return b64url_encode(hashlib.sha256(statement.encode()).digest())


def read_statement(text: str, server: str, keys: Sequence[PublicKey]) -> Statement:
    """A statement of this server under one of its audit keys. Raises `ValueError`, which says what is wrong."""
    try:
        jwt = parse_jwt(text)
        key = next((one for one in keys if one.thumbprint == jwt.header.get("kid")), None)
        if jwt.header.get("typ") != TYP or key is None:
            raise ValueError("it is no checkpoint under a known audit key")
        jwt.jws.verify(key)
        claims = jwt.claims
        if claims.get("iss") != server:
            raise ValueError("it is another server's")
        heads = {name: (int(head["number"]), str(head["hash"])) for name, head in claims["heads"].items()}
        return Statement(int(claims["number"]), int(claims["iat"]), str(claims["previous"]), heads, text)
    except (JoseError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("it does not verify, or is malformed") from error


class Checkpoints:
    """Makes and keeps the checkpoints of `server`, under the audit key `key`, and tells them to `sinks`."""

    def __init__(
        self,
        server: str,
        database: Database,
        key: SigningKey,
        *,
        sinks: Sequence[Sink] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.server = server
        self._database = database
        self._key = key
        self._sinks = sinks
        self._clock = clock

    async def is_due(self) -> bool:
        """Whether anything was written since the last one."""
        heads = await self._database.fetch_all(
            "SELECT writer, number, hash FROM audit_heads WHERE server = :server AND number > 0", server=self.server
        )
        last = await self._database.fetch_one(
            "SELECT statement FROM audit_checkpoints WHERE server = :server ORDER BY number DESC LIMIT 1",
            server=self.server,
        )
        if last is None:
            return bool(heads)
        try:
            held = read_statement(last["statement"], self.server, [self._key.public]).heads
        except ValueError:  # made under an earlier key
            return True
        return held != {row["writer"]: (row["number"], row["hash"]) for row in heads}

    async def make(self) -> str:
        """A checkpoint of the chains as they are now, on record and told outside: the statement.

        Raises what a sink raises, once it is on record.
        """
        async with self._database.transaction() as tx:
            lock = self._database.for_update
            last = await tx.fetch_one(
                f"""SELECT number, statement FROM audit_checkpoints WHERE server = :server
                    ORDER BY number DESC LIMIT 1{lock}""",
                server=self.server,
            )
            rows = await tx.fetch_all(
                "SELECT writer, number, hash FROM audit_heads WHERE server = :server AND number > 0 ORDER BY writer",
                server=self.server,
            )
            number = 1 + (last["number"] if last is not None else 0)
            now = int(self._clock())
            claims: dict[str, Any] = {
                "iss": self.server,
                "iat": now,
                "number": number,
                "previous": digest_of(last["statement"]) if last is not None else "",
                "heads": {row["writer"]: {"number": row["number"], "hash": row["hash"]} for row in rows},
            }
            statement = sign_jwt(self._key, {"typ": TYP, "kid": self._key.public.thumbprint}, claims)
            await tx.execute(
                """INSERT INTO audit_checkpoints (server, number, at, statement)
                   VALUES (:server, :number, :now, :statement)""",
                server=self.server,
                number=number,
                now=now,
                statement=statement,
            )
        for sink in self._sinks:
            await sink.tell(statement)
        return statement


async def statements(database: Database, server: str) -> list[str]:
    """The checkpoints on record, in order."""
    rows = await database.fetch_all(
        f"SELECT statement FROM audit_checkpoints WHERE server = :server ORDER BY number LIMIT {MAX_LINES}",
        server=server,
    )
    return [row["statement"] for row in rows]


class Regularly:
    """Makes a checkpoint every `seconds` as long as something was written; `start` it, and `close` it at the end."""

    def __init__(self, checkpoints: Checkpoints, *, seconds: float = EVERY) -> None:
        self._checkpoints = checkpoints
        self._seconds = seconds
        self._making: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._making = asyncio.create_task(self._make(), name="aauthkit-audit-checkpoints")

    async def close(self) -> None:
        """Make a last one, and end."""
        making, self._making = self._making, None
        if making is not None:
            making.cancel()
            await asyncio.wait({making})
            await self._once()

    async def _make(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._once()

    async def _once(self) -> None:
        try:
            if await self._checkpoints.is_due():
                await self._checkpoints.make()
        except (StoreError, OSError) as error:
            log.error("a checkpoint of the audit log could not be kept: %s", error)
