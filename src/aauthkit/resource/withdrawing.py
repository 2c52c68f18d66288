"""A resource takes back a resource token it issued, at whoever might redeem it (draft-11 §11.12.2, §11.12.4)."""

from __future__ import annotations

from ..discovery import Discovery
from ..keys import Keys
from ..outbound import Outbound
from ..protocol.identifiers import LoopbackProfile
from ..protocol.tokens import (
    ACCESS_DWK,
    PERSON_DWK,
    RESOURCE_DWK,
    RESOURCE_TYP,
    ResourceToken,
    TokenRejected,
    read_token,
)
from ..revocation import Outcome, Revoker


async def withdraw(
    raw: str, identifier: str, keys: Keys, discovery: Discovery, outbound: Outbound, loopback: LoopbackProfile
) -> tuple[Outcome, ...]:
    """Revoke the resource token `raw` of `identifier`, in that resource's name. One outcome for each recipient.

    The party in `aud` redeems it; in four-party the person server in `ps` carries it there. Raises `ValueError`.
    """
    try:
        token = read_token(raw, {RESOURCE_TYP}, loopback=loopback)
    except TokenRejected as error:
        raise ValueError(f"not a resource token: {error}") from error
    assert isinstance(token, ResourceToken)
    if token.iss != identifier:
        raise ValueError("a resource revokes its own resource tokens, and this is another's")
    recipients = {token.ps: PERSON_DWK}
    if token.aud != token.ps:
        recipients = {token.aud: ACCESS_DWK, **recipients}
    revoker = Revoker(identifier, RESOURCE_DWK, keys, discovery=discovery, outbound=outbound, loopback=loopback)
    return tuple([await revoker.revoke_at(server, dwk, token.jti, token.exp) for server, dwk in recipients.items()])
