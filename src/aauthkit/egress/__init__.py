"""Every connection this software opens: what may be reached, over which address, and how much is read from it.

Signature-Keys §7.3; draft-11 §11.4. `Egress` is the configuration, and `Http` sends one request and gives one bounded
answer. `Egress.async_transport` and `Egress.sync_transport` carry the same names and the same CA into an agent's own
client.
"""

from __future__ import annotations

from .admission import DEFAULT_EGRESS, Egress, EgressError, Target, read_url
from .client import Http
from .resolving import Resolver, system_resolver

__all__ = [
    "DEFAULT_EGRESS",
    "Egress",
    "EgressError",
    "Http",
    "Resolver",
    "Target",
    "read_url",
    "system_resolver",
]
