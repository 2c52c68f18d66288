"""Records on SQLite or PostgreSQL, with one set of plain SQL for both: transactions, migrations, wake-ups.

`open_database` opens one; `Database` says what it does. A decision and its effects are written in one `transaction()`.
"""

from __future__ import annotations

from .database import Database, Row, Statements, Subscription, Transaction, Value
from .errors import Conflict, MigrationRefused, StoreBusy, StoreError, StoreUnavailable
from .migrations import Migration
from .opening import open_database

__all__ = [
    "Conflict",
    "Database",
    "Migration",
    "MigrationRefused",
    "Row",
    "Statements",
    "StoreBusy",
    "StoreError",
    "StoreUnavailable",
    "Subscription",
    "Transaction",
    "Value",
    "open_database",
]
