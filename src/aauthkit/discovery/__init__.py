"""Finding an issuer's keys and metadata: fetched rarely, kept by HTTP's rules, bounded against strangers.

draft-11 §11.2, §11.4; Signature-Keys §3.6, §7.2, §7.3. Whether an issuer is trusted is decided before it is asked here.
"""

from __future__ import annotations

from .discovery import Discovery
from .failure import DiscoveryFailed

__all__ = ["Discovery", "DiscoveryFailed"]
