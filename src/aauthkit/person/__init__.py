"""The person server: represents people to agents and resources (draft-11 §7)."""

from __future__ import annotations

from .building import Terms
from .records import BoundAgent, Issued
from .server import PersonServer, Shown

__all__ = ["BoundAgent", "Issued", "PersonServer", "Shown", "Terms"]
