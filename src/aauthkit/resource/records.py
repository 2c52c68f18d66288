"""What a resource remembers: sessions and the secrets that seal them, who asked for one, and the calls it holds."""

from __future__ import annotations

from typing import Final

from ..deferred import MIGRATIONS as PENDING_TABLES
from ..store import Migration

TABLES: Final = Migration(
    room="resource",
    version=1,
    statements=(
        """CREATE TABLE resource_secrets (
            resource TEXT NOT NULL,
            id TEXT NOT NULL,
            secret TEXT NOT NULL,
            created BIGINT NOT NULL,
            PRIMARY KEY (resource, id)
        )""",
        """CREATE TABLE resource_sessions (
            id TEXT PRIMARY KEY,
            resource TEXT NOT NULL,
            binding TEXT NOT NULL,
            content TEXT NOT NULL,
            serial BIGINT NOT NULL,
            renewed BIGINT NOT NULL,
            used BIGINT NOT NULL,
            expires BIGINT NOT NULL
        )""",
        "CREATE INDEX resource_sessions_expires ON resource_sessions (resource, expires)",
        """CREATE TABLE resource_asked (
            resource TEXT NOT NULL,
            binding TEXT NOT NULL,
            wanted TEXT NOT NULL,
            pending TEXT,
            session TEXT,
            expires BIGINT NOT NULL,
            PRIMARY KEY (resource, binding, wanted)
        )""",
        "CREATE INDEX resource_asked_expires ON resource_asked (resource, expires)",
        """CREATE TABLE resource_held (
            id TEXT PRIMARY KEY,
            resource TEXT NOT NULL,
            binding TEXT NOT NULL,
            state TEXT NOT NULL,
            call TEXT NOT NULL,
            account TEXT,
            presented TEXT NOT NULL,
            asked_until BIGINT NOT NULL,
            token_iss TEXT,
            token_jti TEXT,
            result TEXT,
            runner TEXT,
            seen BIGINT NOT NULL,
            created BIGINT NOT NULL,
            expires BIGINT NOT NULL
        )""",
        "CREATE INDEX resource_held_binding ON resource_held (resource, binding, expires)",
        "CREATE INDEX resource_held_state ON resource_held (resource, state, expires)",
        "CREATE INDEX resource_held_expires ON resource_held (resource, expires)",
    ),
)

MIGRATIONS: Final = (*PENDING_TABLES, TABLES)
"""Every table of a resource; those of revocation come with that room."""

KEPT_AFTER_END: Final = 24 * 3600
"""Seconds that the record of an ended request is kept, so that it answers 410 rather than 404."""
