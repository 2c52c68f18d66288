"""The paths of an agent provider. Where they stand is told by its metadata; nobody builds them from the issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..protocol.metadata import WELL_KNOWN
from ..protocol.tokens import AGENT_DWK
from ..serving import Route, Routes
from .enrollments import PENDING_PATH

if TYPE_CHECKING:
    from .server import AgentProvider

METADATA: Final = f"{WELL_KNOWN}{AGENT_DWK}"
JWKS: Final = f"{WELL_KNOWN}jwks.json"
NONCE: Final = "/enrollment/nonce"
ENROLLMENT: Final = "/enrollment"
PENDING: Final = f"{PENDING_PATH}/{{pending_id}}"
REFRESH: Final = "/refresh"


def table(provider: AgentProvider) -> Routes:
    """Method and path to what answers."""
    return Routes(
        Route("GET", METADATA, provider.metadata),
        Route("GET", JWKS, provider.jwks),
        Route("POST", NONCE, provider.nonce),
        Route("POST", ENROLLMENT, provider.enroll),
        Route("GET", PENDING, provider.poll),
        Route("DELETE", PENDING, provider.withdraw),
        Route("POST", REFRESH, provider.refresh),
    )
