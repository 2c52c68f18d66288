"""The slot for what an agent shows beside its durable key: an attestation of its platform, a ticket, or a person.

The draft leaves the mechanism to the provider (draft-11 §5.1). A verifier is an `async` function of an `Evidence`; it
is registered under the `type` that the enrolment's `evidence` object names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..protocol.jose import PublicKey


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one enrolment shows: `members` is the object as it was sent, under a `nonce` that was this server's own.

    `durable` has signed the request, body and nonce included. A verifier compares what its platform attests with both.
    """

    type: str
    members: Mapping[str, Any] = field(repr=False)
    durable: PublicKey
    nonce: str = field(repr=False)
    name: str
    ps: str | None


Verdict = Literal["admitted", "needs_person"]
"""`admitted`: the agent is enrolled at once. `needs_person`: the evidence is in order, and a person decides."""

EvidenceVerifier = Callable[[Evidence], Awaitable[Verdict]]
"""Judges one `Evidence`. Raises `EvidenceRefused` for one that is not accepted."""


class EvidenceRefused(Exception):
    """Evidence that does not hold. The message goes to the agent, so it holds no secret."""


async def approved_by_a_person(_evidence: Evidence) -> Verdict:
    """`{"type": "person"}`: nothing is shown, and a person approves or declines."""
    return "needs_person"
