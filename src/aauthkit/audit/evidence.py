"""What proves a single request: its signature base, signature, token, and the issuer's key as it was (draft-11 §13.17).

Kept apart from the log, which names it by its hash: it has an access and a retention of its own, since it holds what
the log never does.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..protocol.jose import PublicKey, b64url_encode
from ..store import Database, Transaction
from ..verification import Verified

KEPT: Final = 90 * 24 * 3600
"""Seconds that evidence is kept."""
_written: Final = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verified request. `id` is the SHA-256 of `text`, so that an entry which names it holds it fast."""

    id: str
    text: str = field(repr=False)

    @classmethod
    def of(cls, verified: Verified, issuer_key: PublicKey | None) -> Evidence:
        """What proves this request, with the key that its issuer signed the token with.

        The token stands in the signature base, which covers Signature-Key (draft-11 §11.3.3.1); a byte of the base is
        a character.
        """
        request = verified.request
        document: dict[str, Any] = {
            "method": request.method,
            "url": f"{request.scheme}://{request.authority}{request.target}",
            "signature_base": verified.base.decode("latin-1"),
            "signature_input": ", ".join(request.values("signature-input")),
            "signature": ", ".join(request.values("signature")),
            "key": verified.key.jwk,
            "created": verified.created,
        }
        if issuer_key is not None:
            document["issuer_key"] = issuer_key.jwk
        digest = request.values("content-digest")
        if digest:
            document["content_digest"] = ", ".join(digest)
        text = _written(document)
        return cls(b64url_encode(hashlib.sha256(text).digest()), text.decode())


class Keeping:
    """The evidence of `server`. `kept`: seconds until it is discarded."""

    def __init__(
        self, server: str, database: Database, *, kept: int = KEPT, clock: Callable[[], float] = time.time
    ) -> None:
        self.server = server
        self._database = database
        self._kept = kept
        self._clock = clock

    async def keep(self, tx: Transaction, evidence: Evidence) -> None:
        """Put it on record with what it proves."""
        await tx.execute(
            """INSERT INTO audit_evidence (server, id, at, request) VALUES (:server, :id, :now, :request)
               ON CONFLICT DO NOTHING""",
            server=self.server,
            id=evidence.id,
            now=int(self._clock()),
            request=evidence.text,
        )

    async def find(self, evidence_id: str) -> Evidence | None:
        """What was kept under this name; `None` where it was never kept, or is no longer."""
        row = await self._database.fetch_one(
            "SELECT request FROM audit_evidence WHERE server = :server AND id = :id", server=self.server, id=evidence_id
        )
        return Evidence(evidence_id, row["request"]) if row is not None else None

    async def forget(self, tx: Transaction) -> None:
        """Discard what has been kept long enough."""
        await tx.execute(
            "DELETE FROM audit_evidence WHERE server = :server AND at < :before",
            server=self.server,
            before=int(self._clock()) - self._kept,
        )
