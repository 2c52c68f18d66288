"""What a verifier had in hand when it refused a request: for whoever explains the refusal, and for nobody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .identifiers import NO_LOOPBACK, LoopbackProfile
from .jose import PublicKey
from .messages import SignedRequest

SIGNATURE_FIELDS: Final = ("signature", "signature-input", "signature-key")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A request as the server `identifier` saw it at `now`, and what the endpoint takes, as in `verification.Accepts`.

    `key` is the one under which the signature did not verify; `None` where it did not come to that.
    """

    request: SignedRequest = field(repr=False)
    identifier: str
    now: float
    window: int
    schemes: tuple[str, ...]
    token_types: frozenset[str]
    components: tuple[str, ...] = ()
    body: bool = True
    query: bool = True
    accept_base64url: bool = False
    loopback: LoopbackProfile = NO_LOOPBACK
    key: PublicKey | None = None

    @property
    def signed(self) -> bool:
        """Whether any field of a signature is there."""
        return any(self.request.values(name) for name in SIGNATURE_FIELDS)
