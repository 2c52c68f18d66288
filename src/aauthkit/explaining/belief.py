"""What the server takes for granted about itself when it verifies: configuration, and never the request's own word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile
from ..protocol.messages import SignedRequest
from ..protocol.signature_key import SERVED_SCHEMES
from ..protocol.tokens import AGENT_TYP, AUTH_TYP, PERSON_TYP, SIGNATURE_WINDOW
from .captured import Captured, authority_in

TOKEN_TYPES: Final = frozenset({AGENT_TYP, PERSON_TYP, AUTH_TYP})


@dataclass(frozen=True, slots=True)
class Belief:
    """The server's side of a request: where it thinks the request went, and what it takes.

    - `target` is the request target as this server saw it; `authority` its own, as configured.
    - `identifier`: its whole identifier, which a person or auth token must be for; `None` where that is not known.
    - `now`: its clock, in seconds since the epoch; `None` where the time of the request is not known.
    - `schemes`, `token_types`, `components`, `body`, `query`: what the endpoint takes, as in `verification.Accepts`.
    - `assumed`: what of this was taken from the request itself, for want of a better word.
    """

    scheme: str
    authority: str
    target: str
    identifier: str | None = None
    now: float | None = None
    window: int = SIGNATURE_WINDOW
    schemes: tuple[str, ...] = SERVED_SCHEMES
    token_types: frozenset[str] = TOKEN_TYPES
    components: tuple[str, ...] = ()
    body: bool = False
    query: bool = True
    accept_base64url: bool = False
    loopback: LoopbackProfile = NO_LOOPBACK
    assumed: tuple[str, ...] = ()

    def sees(self, captured: Captured) -> SignedRequest:
        """The request as this server sees it."""
        return SignedRequest(captured.method, self.scheme, self.authority, self.target, captured.headers)


def belief_of(
    captured: Captured,
    *,
    identifier: str | None = None,
    authority: str | None = None,
    target: str | None = None,
    scheme: str | None = None,
    now: float | None = None,
    window: int = SIGNATURE_WINDOW,
    components: tuple[str, ...] = (),
    loopback: LoopbackProfile = NO_LOOPBACK,
) -> Belief:
    """What a server believes, as far as it was said; the rest as the request has it, which is then named as assumed.

    `identifier` is its server identifier, `https://host`. Raises `CaptureError` for one that is no URL.
    """
    assumed: list[str] = []
    if identifier is not None:
        own_scheme, own_authority = authority_in(identifier)
        scheme, authority = scheme or own_scheme, authority or own_authority
    if authority is None:
        assumed.append("authority")
    if target is None:
        assumed.append("target")
    if now is None and captured.at is None:
        assumed.append("clock")
    return Belief(
        scheme=scheme or captured.scheme or "https",
        authority=authority or captured.authority or "",
        target=target or captured.target,
        identifier=identifier,
        now=now if now is not None else captured.at,
        window=window,
        components=components,
        loopback=loopback,
        assumed=tuple(assumed),
    )
