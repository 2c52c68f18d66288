"""AAuth for agents, resources and the servers between them.

`import aauthkit` is light: the public names below are imported on first use, so that an agent never pays for a server's
framework, nor a resource for an HTTP client it does not call with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .agent import Agent as Agent
    from .agent import ScopeReduced as ScopeReduced
    from .callers import Grant as Grant
    from .callers import Person as Person
    from .callers import Session as Session
    from .keys import KeyFile as KeyFile
    from .resource import Resource as Resource
    from .trust import ANY as ANY

__version__ = "0.1.0"

DRAFTS: Final = ("draft-hardt-oauth-aauth-protocol-11", "draft-hardt-httpbis-signature-key-09")
"""The drafts this version speaks, by their full names."""

_ROOMS: Final = {
    "ANY": "trust",
    "Agent": "agent",
    "Grant": "callers",
    "KeyFile": "keys",
    "Person": "callers",
    "Resource": "resource",
    "ScopeReduced": "agent",
    "Session": "callers",
}
"""Each public name and the room it comes from, imported when the name is first asked for."""

__all__ = [
    "ANY",
    "DRAFTS",
    "Agent",
    "Grant",
    "KeyFile",
    "Person",
    "Resource",
    "ScopeReduced",
    "Session",
    "__version__",
]


def __getattr__(name: str) -> object:
    """The public name `name`, from its room. Raises AttributeError for a name that is not public."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, also those not yet imported."""
    return sorted(__all__)
