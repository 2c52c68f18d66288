"""Token revocation, once for every server (draft-11 §11.12).

`Revocations` is the receiving side: its endpoint, what is on record, the cascade. `Revoker` is the sending side, and
`RevocationOutbox` delivers, also over restarts, until a token has expired.
"""

from __future__ import annotations

from .cascades import Cascade
from .limits import RevocationLimits
from .outbox import RevocationOutbox
from .outcomes import Downstream, Failure, Outcome, Revocation, Status
from .records import MIGRATIONS, Delivery
from .revocations import Revocations
from .revoked import Effect
from .sending import Revoker

__all__ = [
    "MIGRATIONS",
    "Cascade",
    "Delivery",
    "Downstream",
    "Effect",
    "Failure",
    "Outcome",
    "Revocation",
    "RevocationLimits",
    "RevocationOutbox",
    "Revocations",
    "Revoker",
    "Status",
]
