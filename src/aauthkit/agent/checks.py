"""What an agent looks at before it carries a resource token anywhere or presents what it was given.

draft-11 §6.7.3 (resource token), §7.1.2 (person token), §9.4.4 (auth token). Plain functions over bytes and a clock;
the issuer's signature comes last, so that nobody's keys are fetched for a token that is not in order anyway.
"""

from __future__ import annotations

from typing import NoReturn

from ..discovery import Discovery, DiscoveryFailed
from ..protocol.identifiers import LoopbackProfile
from ..protocol.jose import PublicKey
from ..protocol.tokens import (
    ACCESS_DWK,
    AUTH_TYP,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_TYP,
    AgentToken,
    AuthToken,
    PersonToken,
    ResourceToken,
    Token,
    TokenRejected,
    check_lifetime,
    read_token,
)
from .caches import Held
from .errors import ChallengeRefused, TokenRefused


def read_resource_token(
    raw: str, *, resource: str, held: Held, person_server: str | None, now: float, loopback: LoopbackProfile
) -> ResourceToken:
    """The resource token of a challenge, if it may be carried to the person server (draft-11 §6.7.3 steps 2 to 6).

    `held` is the token that the challenged request presented. Its signature is not yet verified.
    Raises `ChallengeRefused`.
    """
    presented = held.token
    if isinstance(presented, AgentToken):
        raise ChallengeRefused(f"{resource} sent a resource token before it had seen a person token (draft-11 §6.7)")
    try:
        token = read_token(raw, {RESOURCE_TYP}, loopback=loopback)
    except TokenRejected as error:
        raise ChallengeRefused(f"the resource token of {resource} is not one: {error}") from error
    assert isinstance(token, ResourceToken)

    def refuse(reason: str) -> NoReturn:
        raise ChallengeRefused(f"the resource token of {resource} was carried nowhere: {reason} (draft-11 §6.7.3)")

    if token.iss != resource:
        refuse("it was issued by another resource than the one that was called")
    if token.agent_jkt != held.key.kid:
        refuse("it is for another key than this agent's")
    if token.ps != person_server or token.ps != presented.ps:
        refuse("it is for another person server than this agent's")
    if token.sub != presented.sub:
        refuse("it is for another person than the presented token")
    if token.presented_jti != presented.jti:
        refuse("it names another token than the one that was presented")
    if (token.mission_s256, token.tenant) != (presented.mission_s256, presented.tenant):
        refuse("its mission or tenant is not the presented token's")
    if token.exp <= now:
        refuse("it has expired")
    return token


def read_person_token(
    raw: str,
    *,
    person_server: str,
    resource: str,
    key: PublicKey,
    latest: int,
    now: float,
    loopback: LoopbackProfile,
    mission: str | None = None,
) -> PersonToken:
    """The person token that the person server issued for `resource`, if it is what was asked for (draft-11 §7.1.2).

    `latest` is when the agent token expires, which no person token outlives; `mission` the one it was asked for under,
    which it must name, and no other. Raises `TokenRefused`.
    """
    try:
        token = read_token(raw, {PERSON_TYP}, loopback=loopback)
        assert isinstance(token, PersonToken)
        _expect(token.iss == person_server, "iss is not the person server that was asked")
        _expect(token.aud == resource, "aud is another resource")
        _expect(token.cnf.same_key(key), "cnf is another key than this agent's")
        _expect(token.mission_s256 == mission, "mission_s256 is not the mission it was asked for under (draft-11 §8.3)")
        _expect(token.exp <= latest, "it outlives the agent token (draft-11 §7.1.2)")
        check_lifetime(token, now)
    except TokenRejected as error:
        raise TokenRefused(f"the person token from {person_server} is not used: {error}") from error
    return token


def read_auth_token(
    raw: str, *, resource_token: ResourceToken, held: Held, now: float, loopback: LoopbackProfile
) -> AuthToken:
    """The auth token issued against `resource_token`, if it is what was asked for (draft-11 §9.4.4, §9.1.3).

    `held` is the token that was presented to the resource. Raises `TokenRefused`.
    """
    try:
        token = read_token(raw, {AUTH_TYP}, loopback=loopback)
        assert isinstance(token, AuthToken)
        by_person_server = resource_token.aud == resource_token.ps
        _expect(token.iss == resource_token.aud, "iss is not the server that the resource named")
        _expect(token.dwk == (PERSON_DWK if by_person_server else ACCESS_DWK), "dwk is not the issuer's role")
        _expect(token.aud == resource_token.iss, "aud is another resource")
        _expect(token.ps == resource_token.ps, "ps is another person server")
        _expect(token.cnf.same_key(held.key.public), "cnf is another key than this agent's")
        _expect(token.sub == resource_token.sub, "sub is another person")
        _expect(token.scope <= resource_token.scope, "scope is wider than what the resource asked for")
        _expect(token.account == resource_token.account, "account is not the one that was asked for")
        _expect(token.mission_s256 == resource_token.mission_s256, "mission_s256 is another mission")
        _expect(token.tenant == resource_token.tenant, "tenant is another organization")
        _expect(token.exp <= held.token.exp, "it outlives the presented token (draft-11 §9.4.1)")
        check_lifetime(token, now)
    except TokenRejected as error:
        raise TokenRefused(f"the auth token from {resource_token.aud} is not used: {error}") from error
    return token


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise TokenRejected(otherwise)


async def verify_issuer(token: Token, discovery: Discovery) -> None:
    """Return if the issuer's published key signed `token` (draft-11 §11.5.2 step 2).

    Where a remembered key fails, once more under what is published now (§11.4). Raises `TokenRejected`, and
    `DiscoveryFailed` where the keys cannot be had.
    """
    key = discovery.cached_key(token.iss, token.dwk, token.kid) or await discovery.key(token.iss, token.dwk, token.kid)
    try:
        token.verify_signature(key)
    except TokenRejected:
        token.verify_signature(await discovery.key(token.iss, token.dwk, token.kid, failed=key))


async def verify_challenge(token: ResourceToken, discovery: Discovery) -> None:
    """`verify_issuer` for a resource token. Raises `ChallengeRefused` (draft-11 §6.7.3 step 2)."""
    try:
        await verify_issuer(token, discovery)
    except TokenRejected as error:
        raise ChallengeRefused(f"the resource token of {token.iss} was carried nowhere: {error}") from error
    except DiscoveryFailed as error:
        raise ChallengeRefused(
            f"the resource token of {token.iss} was carried nowhere: its keys cannot be used ({error.reason})"
        ) from error


async def verify_issued(token: PersonToken | AuthToken, discovery: Discovery) -> None:
    """`verify_issuer` for a token that was issued to this agent. Raises `TokenRefused` (draft-11 §9.4.4 step 1)."""
    try:
        await verify_issuer(token, discovery)
    except TokenRejected as error:
        raise TokenRefused(f"the token from {token.iss} is not used: {error}") from error
    except DiscoveryFailed as error:
        raise TokenRefused(
            f"the token from {token.iss} is not used: its keys cannot be had ({error.reason})"
        ) from error
