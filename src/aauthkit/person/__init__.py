"""The person server: represents people to agents and resources (draft-11 §7)."""

from __future__ import annotations

from .records import BoundAgent, Issued
from .server import PersonServer, Shown, Terms

__all__ = ["BoundAgent", "Issued", "PersonServer", "Shown", "Terms"]
