"""A person server with a past: its tables filled with what others did before, by the database itself.

Beside `size` issued tokens there are as many agent tokens, resource tokens, decisions, entries of the audit log and
proofs of requests, and a tenth as many people, agents, places, missions, requests that wait, revocations and refusals.
Nothing of it has lapsed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from tests.plugins.people import PROVIDER, PS, RESOURCE

DAY = 86_400
EVIDENCE = "e" * 400
"""Some of what a proof holds; a real one is four times as long."""

_AGENT = "'aauth:worker' || {few} || '@agents.example'"
_PERSON = "'person' || {few}"
"""Whose a record is: one of a tenth as many, so that each has ten of a kind."""

_MANY: Mapping[str, Mapping[str, str]] = {
    "person_agent_tokens": {"iss": f"'{PROVIDER}'", "jti": "'a' || {key}", "sub": _AGENT, "exp": "{later}"},
    "person_issued": {
        "jti": "'i' || {key}",
        "typ": "'aa-auth+jwt'",
        "person": _PERSON,
        "agent_iss": f"'{PROVIDER}'",
        "agent_sub": _AGENT,
        "jkt": "'thumbprint of a key, forty-three characters'",
        "aud": f"'{RESOURCE}'",
        "sub": "'s' || {few}",
        "scope": "'orders.read'",
        "account": "''",
        "issued": "{now}",
        "exp": "{later}",
        "decisions": "'d' || {key}",
        "agent_jti": "'a' || {key}",
        "presented_jti": "'p' || {key}",
        "resource_jti": "'r' || {key}",
    },
    "person_resource_tokens": {
        "iss": f"'{RESOURCE}'",
        "jti": "'r' || {key}",
        "issued": "'i' || {key}",
        "prompted": "0",
        "exp": "{later}",
    },
    "person_decisions": {
        "id": "'d' || {key}",
        "person": _PERSON,
        "agent_iss": f"'{PROVIDER}'",
        "agent_sub": _AGENT,
        "resource": "'https://shop' || {i} % 10 || '.example'",
        "kind": "'scope'",
        "account": "''",
        "asked": "'orders.read'",
        "granted": "'orders.read'",
        "memory": "'kept'",
        "decided": "{now}",
        "number": "1",
        "decided_by": "'a browser'",
        "shown": "'{{}}'",
    },
    "audit_entries": {
        "server": f"'{PS}'",
        "writer": "'writer' || {i} % 7",
        "number": "{i}",
        "at": "{now}",
        "kind": "'token'",
        "entry": "'{{\"jti\":\"' || {key} || '\"}}'",
        "previous": "'hash of forty-three characters, as they are'",
        "hash": "'hash of forty-three characters, as they are'",
    },
    "audit_evidence": {"server": f"'{PS}'", "id": "'e' || {key}", "at": "{now}", "request": f"'{EVIDENCE}'"},
}
_FEW: Mapping[str, Mapping[str, str]] = {
    "accounts": {
        "id": "'person' || {i}",
        "server": f"'{PS}'",
        "name": "'Person ' || {i}",
        "folded": "'person ' || {i}",
        "created": "{now}",
        "disabled": "0",
    },
    "account_sessions": {
        "digest": "'b' || {key}",
        "server": f"'{PS}'",
        "handle": "'h' || {key}",
        "account": "'person' || {i}",
        "data": "'{{}}'",
        "created": "{now}",
        "expires": "{later}",
        "alive_until": "{now}",
    },
    "person_agents": {
        "agent_iss": f"'{PROVIDER}'",
        "agent_sub": "'aauth:worker' || {i} || '@agents.example'",
        "person": "'person' || {i}",
        "since": "{now}",
    },
    "person_subjects": {
        "person": "'person' || {i}",
        "resource": f"'{RESOURCE}'",
        "sub": "'s' || {i}",
        "since": "{now}",
    },
    "person_missions": {
        "s256": "'m' || {key}",
        "person": "'person' || {i}",
        "agent_iss": f"'{PROVIDER}'",
        "agent_sub": "'aauth:worker' || {i} || '@agents.example'",
        "blob": "'{{}}'",
        "approved": "{now}",
        "expires": "{later}",
        "capabilities": "''",
    },
    "person_mission_log": {
        "mission": "'m' || {key}",
        "number": "1",
        "at": "{now}",
        "kind": "'granted'",
        "entry": "'{{}}'",
    },
    "person_noes": {
        "person": "'person' || {i}",
        "agent_iss": f"'{PROVIDER}'",
        "agent_sub": "'aauth:worker' || {i} || '@agents.example'",
        "resource": f"'{RESOURCE}'",
        "kind": "'scope'",
        "account": "''",
        "mission": "''",
        "value": "'orders.cancel'",
        "since": "{now}",
    },
    "person_stops": {
        "person": "'person' || {i}",
        "agent_iss": f"'{PROVIDER}'",
        "agent_sub": "'aauth:stopped' || {i} || '@agents.example'",
        "since": "{now}",
    },
    "pending": {
        "id": "'q' || {key}",
        "server": f"'{PS}'",
        "kind": "'scope'",
        "owner": "'somebody ' || {key}",
        "state": "'open'",
        "data": "'{{}}'",
        "created": "{now}",
        "expires": "{soon}",
        "page": "'g' || {key}",
        "code": "'ABCD-EFGH'",
        "code_used": "0",
        "code_tries": "0",
    },
    "questions": {
        "pending": "'q' || {key}",
        "page": "'g' || {key}",
        "joined": "'j' || {key}",
        "agent_iss": f"'{PROVIDER}'",
        "agent_sub": "'aauth:worker' || {i} || '@agents.example'",
        "person": "'person' || {i}",
        "created": "{now}",
        "expires": "{soon}",
    },
    "revoked_tokens": {
        "server": f"'{PS}'",
        "iss": f"'{PROVIDER}'",
        "jti": "'x' || {key}",
        "exp": "{later}",
        "recorded": "{now}",
    },
    "revocation_outbox": {
        "server": f"'{PS}'",
        "recipient": "'https://shop' || {i} || '.example'",
        "dwk": "'aauth-resource.json'",
        "jti": "'x' || {key}",
        "exp": "{later}",
        "state": "'recorded'",
        "attempts": "1",
        "due": "{now}",
        "queued": "{now}",
        "changed": "{now}",
        "reason": "''",
    },
}


def _filling(table: str, columns: Mapping[str, str], series: str, *, total: int, now: int) -> str:
    """The statement that fills a table with rows 1 to `total`; keys come in no order, as random ones do."""
    words = {
        "i": "i",
        "few": f"(i % {max(total // 10, 1)})",
        "key": "((i * 2654435761) % 4294967296)",
        "now": str(now),
        "soon": str(now + 1800),
        "later": f"({now} + {DAY} + i % 3600)",
    }
    values = ", ".join(text.format(**words) for text in columns.values())
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {series}"


def _fillings(size: int, now: int, series: str) -> list[str]:
    """All of them; `series` has `{total}` where the number of rows goes."""
    of = [(table, columns, size) for table, columns in _MANY.items()]
    of += [(table, columns, max(size // 10, 1)) for table, columns in _FEW.items()]
    return [_filling(table, columns, series.format(total=total), total=total, now=now) for table, columns, total in of]


def records_of(size: int) -> int:
    """How many rows that makes."""
    return len(_MANY) * size + len(_FEW) * max(size // 10, 1)


async def fill(url: str, size: int, now: int) -> None:
    """Fill the tables of a person server that has been started once on the database `url`, and let it settle."""
    if url.startswith("sqlite"):
        await asyncio.to_thread(_fill_sqlite, Path(url.removeprefix("sqlite:///")), size, now)
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
        # What an index is made of is sorted once, where each row would have to find its place in it.
        indexes = await connection.fetch(
            """SELECT indexname, indexdef FROM pg_indexes
               WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)"""
        )
        for row in indexes:
            await connection.execute(f"DROP INDEX {row['indexname']}")
        # In the order of keys, near enough: else each row of an index lies on another page than the one before.
        counting = (
            "SELECT i FROM generate_series(1, CAST({total} AS BIGINT)) AS n(i) ORDER BY i * 2654435761 % 4294967296"
        )
        for statement in _fillings(size, now, f"({counting}) AS n"):
            await connection.execute(statement, timeout=600)
        for row in indexes:
            await connection.execute(row["indexdef"], timeout=600)
        await connection.execute("VACUUM (ANALYZE)", timeout=600)
        await connection.execute("CHECKPOINT", timeout=600)
    finally:
        await connection.close()


def _fill_sqlite(path: Path, size: int, now: int) -> None:
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {total}) SELECT i FROM n"
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -800000")
        for statement in _fillings(size, now, f"({counting})"):
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
