"""Own answers of the kinds `token` and `mint`: tokens in bodies, in challenges and answers, and those that are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..discovery import Discovery
from ..parameters import ParameterVerifier
from ..protocol import minting
from ..protocol.identifiers import NO_LOOPBACK
from ..protocol.jose import JoseError, PublicKey, SigningKey, parse_jwt
from ..protocol.messages import Refusal
from ..protocol.tokens import (
    AGENT_TYP,
    AUTH_TYP,
    PERSON_TYP,
    RESOURCE_TYP,
    AgentToken,
    AuthToken,
    PersonToken,
    ResourceToken,
    read_token,
)
from .documents import Clock
from .pack import Pack
from .requests import discovery_of, refused, revocations, trust_of


def _key_of(pack: Pack, name: str) -> SigningKey:
    return SigningKey.from_jwk(pack.keys[name])


def _public(pack: Pack, thumbprint: str) -> PublicKey:
    return next(key for key in (_key_of(pack, name).public for name in pack.keys) if key.thumbprint == thumbprint)


def facts(token: Any) -> dict[str, Any]:
    """What a vector may ask about a token."""
    names = ("iss", "aud", "sub", "ps", "presented_jti", "account", "tenant", "mission_s256", "login_hint")
    found = {name: getattr(token, name) for name in names if getattr(token, name, None) is not None}
    if isinstance(token, ResourceToken | AuthToken):
        found["scope"] = sorted(token.scope)
    return found


async def verify(given: Mapping[str, Any], pack: Pack) -> dict[str, Any]:
    """The answer to a vector of the kind `token`."""
    clock = Clock(given["time"])
    discovery = await discovery_of(given, clock)
    if given["as"] == "parameters":
        return await _parameters(given, pack, discovery, clock)
    return await _own_token(given, pack, discovery, clock)


async def _parameters(given: Mapping[str, Any], pack: Pack, discovery: Discovery, clock: Clock) -> dict[str, Any]:
    server = given["server"]
    verifier = ParameterVerifier(discovery, trust_of(server.get("trusted")), is_revoked=revocations(given), clock=clock)
    try:
        pair = await verifier.verify_pair(
            given["resource_token"],
            given["presented_token"],
            aud=server["identifier"],
            ps=server["identifier"],
            key=_public(pack, given["key"]),
        )
    except Refusal as refusal:
        return refused(refusal)
    return {"result": facts(pair.resource)}


async def _own_token(given: Mapping[str, Any], pack: Pack, discovery: Discovery, clock: Clock) -> dict[str, Any]:
    """What an agent is handed."""
    from ..agent.caches import Held
    from ..agent.checks import (
        read_auth_token,
        read_person_token,
        read_resource_token,
        verify_challenge,
        verify_issued,
    )
    from ..agent.errors import ChallengeRefused, TokenRefused

    key, now = _key_of(pack, given["key"]), clock()

    def held() -> Held:
        token = read_token(given["held"], {AGENT_TYP, PERSON_TYP, AUTH_TYP})
        assert isinstance(token, AgentToken | PersonToken | AuthToken)
        return Held.of(token, key)

    try:
        if given["as"] == "challenge":
            asked = read_resource_token(
                given["resource_token"],
                resource=given["resource"],
                held=held(),
                person_server=given["person_server"],
                now=now,
                loopback=NO_LOOPBACK,
            )
            await verify_challenge(asked, discovery)
            return {"result": facts(asked)}
        issued: PersonToken | AuthToken
        if given["as"] == "person_token":
            issued = read_person_token(
                given["token"],
                person_server=given["person_server"],
                resource=given["resource"],
                key=key.public,
                latest=given["latest"],
                now=now,
                loopback=NO_LOOPBACK,
            )
        else:
            about = read_token(given["resource_token"], {RESOURCE_TYP})
            assert isinstance(about, ResourceToken)
            issued = read_auth_token(given["token"], resource_token=about, held=held(), now=now, loopback=NO_LOOPBACK)
        await verify_issued(issued, discovery)
    except ChallengeRefused:
        return {"error": {"code": "challenge_refused"}}
    except TokenRefused:
        return {"error": {"code": "token_refused"}}
    return {"result": facts(issued)}


_TAKEN = {
    AGENT_TYP: ("iss", "sub", "jti", "iat", "exp", "ps", "parent_agent"),
    PERSON_TYP: ("iss", "aud", "sub", "jti", "iat", "exp", "mission_s256", "tenant"),
    RESOURCE_TYP: (
        *("iss", "aud", "ps", "sub", "presented_jti", "jti", "iat", "exp"),
        *("account", "login_hint", "mission_s256", "tenant", "interaction"),
    ),
    AUTH_TYP: ("iss", "dwk", "aud", "ps", "sub", "jti", "iat", "exp", "account", "mission_s256", "tenant"),
}


def mint(given: Mapping[str, Any], pack: Pack) -> dict[str, Any]:
    """The answer to a vector of the kind `mint`."""
    typ, claims = given["typ"], dict(given["claims"])
    key, bound = _key_of(pack, given["key"]), _key_of(pack, given["bound"]).public
    taken: dict[str, Any] = {name: claims[name] for name in _TAKEN[typ] if name in claims}
    if typ in (RESOURCE_TYP, AUTH_TYP):
        taken["scope"] = frozenset(claims.get("scope", "").split())
    extra = {name: value for name, value in claims.items() if name not in (*taken, "scope", "dwk")}
    if extra and typ in (AGENT_TYP, AUTH_TYP):
        taken["extra"] = extra
    taken |= {"agent_jkt": bound.thumbprint} if typ == RESOURCE_TYP else {"cnf": bound}
    makers: Mapping[str, Any] = {
        AGENT_TYP: minting.mint_agent_token,
        PERSON_TYP: minting.mint_person_token,
        RESOURCE_TYP: minting.mint_resource_token,
        AUTH_TYP: minting.mint_auth_token,
    }
    try:
        raw = makers[typ](key, **taken)
        made = parse_jwt(raw)
        made.jws.verify(key.public)
    except (JoseError, ValueError):
        return {"error": {"code": "not_made"}}
    return {"result": {"token": raw, "header": dict(made.header), "claims": dict(made.claims)}}
