"""What a store can answer instead of a record.

No message quotes a value: a value may be a code, a key or a token. A message names the statement, which holds
parameter names only.
"""

from __future__ import annotations


class StoreError(Exception):
    """The statement failed, and the same statement would fail again."""


class StoreBusy(StoreError):
    """Somebody else held what this needed for too long. Nothing was kept; the whole transaction may be tried again."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is closed, or cannot write (disk full).

    Nothing was kept, except that a connection lost during a commit leaves open whether the commit was made.
    """


class Conflict(StoreError):
    """A unique constraint refused the row: another record stands there already."""


class MigrationRefused(StoreError):
    """The tables are not this program's: an applied migration was changed, or the database is newer."""
