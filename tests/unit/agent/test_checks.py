"""What decides before any key is fetched: tokens whose signature would hold, from an issuer that was not asked."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.agent import TokenRefused
from aauthkit.agent.caches import Held
from aauthkit.agent.checks import read_auth_token, read_person_token, read_resource_token
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.tokens import AuthToken, PersonToken, ResourceToken, read_token
from tests.plugins.signing import NOW, Issuer, new_key

PS, AS, OTHER = Issuer("https://person.example"), Issuer("https://access.example"), Issuer("https://other.example")
API = Issuer("https://api.example")
KEY = new_key()


def presented() -> Held:
    token = read_token(PS.person_token(KEY.public, API.iss), {"aa-person+jwt"})
    assert isinstance(token, PersonToken)
    return Held.of(token, KEY)


def challenge(held: Held, aud: str = PS.iss) -> ResourceToken:
    raw = API.resource_token(
        aud=aud, ps=PS.iss, sub="p-1", presented_jti=held.token.jti, agent_jkt=KEY.kid, scope="orders.read"
    )
    return read_resource_token(raw, resource=API.iss, held=held, person_server=PS.iss, now=NOW, loopback=NO_LOOPBACK)


def granted(by: Issuer, aud: str = PS.iss, **claims: Any) -> AuthToken:
    held = presented()
    token = challenge(held, aud)
    raw = by.auth_token(KEY.public, API.iss, "orders.read", **{"exp": held.token.exp, **claims})
    return read_auth_token(raw, resource_token=token, held=held, now=NOW, loopback=NO_LOOPBACK)


def test_f36_the_issuer_is_the_server_that_the_resource_named() -> None:
    """F36, §9.4.4 step 2: also where another's signature would hold."""
    assert granted(PS).iss == PS.iss
    with pytest.raises(TokenRefused, match="not the server that the resource named"):
        granted(OTHER)


def test_f36_the_issuer_speaks_in_the_role_that_was_asked() -> None:
    """F36, §9.4.1: a person server does not issue as an access server, nor the other way round."""
    with pytest.raises(TokenRefused, match="role"):
        granted(PS, dwk="aauth-access.json")
    assert granted(AS, AS.iss, dwk="aauth-access.json", ps=PS.iss).iss == AS.iss
    with pytest.raises(TokenRefused, match="role"):
        granted(AS, AS.iss, ps=AS.iss)


def test_f36_the_person_server_is_the_agents_own() -> None:
    """F36, §9.4.1: an access server names the person server of the presented token."""
    with pytest.raises(TokenRefused, match="another person server"):
        granted(AS, AS.iss, dwk="aauth-access.json", ps=OTHER.iss)


def test_f36_a_person_token_is_of_the_person_server_that_was_asked() -> None:
    """F36, §7.1.2."""

    def read(by: Issuer) -> PersonToken:
        return read_person_token(
            by.person_token(KEY.public, API.iss),
            person_server=PS.iss,
            resource=API.iss,
            key=KEY.public,
            latest=NOW + 3600,
            now=NOW,
            loopback=NO_LOOPBACK,
        )

    assert read(PS).iss == PS.iss
    with pytest.raises(TokenRefused, match="not the person server that was asked"):
        read(OTHER)
