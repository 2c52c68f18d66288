"""What happened at a server, so that it can still be proved later (draft-11 §13.17).

`AuditLog` appends to hash chains, one per writer; checkpoints, signed with a key of their own, tie the chains together
and are also written outside the database. `Evidence` is what proves a single request. `verify` finds what was removed,
changed, reordered or cut off.
"""

from __future__ import annotations

from .checkpoints import Checkpoints, FileSink, Regularly, Sink, read_lines
from .evidence import Evidence, Keeping
from .log import AuditLog
from .records import MIGRATIONS, Entry
from .verifying import Finding, Report, verify

__all__ = [
    "MIGRATIONS",
    "AuditLog",
    "Checkpoints",
    "Entry",
    "Evidence",
    "FileSink",
    "Finding",
    "Keeping",
    "Regularly",
    "Report",
    "Sink",
    "read_lines",
    "verify",
]
