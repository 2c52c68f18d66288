"""Session tokens of resources: a resource's own credential, opaque here, bound to who got it (draft-11 §6.3)."""

from __future__ import annotations

from ..protocol.headers import HeaderError, parse_session_token
from ..protocol.messages import HeaderList, header_values
from .caches import Held, Place, Session, Wallet
from .errors import TokenRefused


def keep_session(wallet: Wallet, place: Place, held: Held, headers: HeaderList) -> None:
    """A session token that came with a response, of whatever kind, replaces the one before it.

    `held` is what the request presented. Raises `TokenRefused` for a response with one that is not in form.
    """
    try:
        token = parse_session_token(header_values(headers, "aauth-access"))
    except HeaderError as error:
        raise TokenRefused(f"the response of {place.resource} is refused: {error} (draft-11 §6.3)") from error
    if token is not None:
        wallet.keep_session(place, Session(token, held.level))
