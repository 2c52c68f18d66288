"""Tokens carried as request parameters: verified by whom they are given to, and answered with the parameter's own code.

A token in Signature-Key fails as a signature does (`verification`); one in a body gets `invalid_`, `expired_` or
`clock_skew` with 400 (draft-11 §11.5.2, §11.9.3). A person server and an access server read the same pair of tokens
(§6.7.2), so the walk stands here once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Literal

from .discovery import Discovery, DiscoveryFailed
from .protocol.identifiers import NO_LOOPBACK, LoopbackProfile
from .protocol.jose import PublicKey
from .protocol.problems import Problem, ProblemCode
from .protocol.tokens import (
    AUTH_TYP,
    DEFAULT_CEILINGS,
    PERSON_TYP,
    RESOURCE_TYP,
    SIGNATURE_WINDOW,
    AuthToken,
    Ceilings,
    PersonToken,
    ResourceToken,
    Token,
    TokenRejected,
    check_lifetime,
    read_token,
)
from .trust import Trust
from .verification import never_revoked

log = logging.getLogger("aauthkit.parameters")

Name = Literal["resource", "presented"]
"""The parameter, without its `_token`."""

_CODES: Final[dict[Name, tuple[ProblemCode, ProblemCode]]] = {
    "resource": ("invalid_resource_token", "expired_resource_token"),
    "presented": ("invalid_presented_token", "expired_presented_token"),
}
_REVOKED: Final[dict[Name, ProblemCode]] = {
    "resource": "revoked_resource_token",
    "presented": "revoked_presented_token",
}
RETRY_UNREACHABLE: Final = 60
"""Seconds after which an issuer out of reach may be tried again, where discovery names none."""

Check = Callable[[Token], None]
"""Settles from the token alone whether it belongs in this request; raises `TokenRejected` where it does not."""


def no_check(_token: Token) -> None:
    """For a parameter whose place is settled by something else."""


def _refusal(name: Name, error: TokenRejected) -> Problem:
    invalid, expired = _CODES[name]
    detail = f"{name}_token: {error}"
    if error.kind == "skew":
        return Problem("clock_skew", detail)
    return Problem(expired if error.kind == "expired" else invalid, detail)


@dataclass(frozen=True, slots=True)
class ParameterVerifier:
    """Verifies tokens in the bodies of requests to one server, which trusts `trust` and finds keys with `discovery`.

    Nothing is fetched for an issuer outside `trust`. No tolerance on `exp`; an `iat` may lie `window` seconds ahead.
    `is_revoked` is asked with `(iss, jti)` of every token whose signature holds.
    """

    discovery: Discovery
    trust: Trust
    loopback: LoopbackProfile = NO_LOOPBACK
    window: int = SIGNATURE_WINDOW
    ceilings: Ceilings = DEFAULT_CEILINGS
    is_revoked: Callable[[str, str], bool] = never_revoked
    clock: Callable[[], float] = time.time

    async def verify(self, raw: str, name: Name, *, types: Collection[str], check: Check = no_check) -> Token:
        """The token that parameter `name` carries, if it is of one of `types` and passes `check`.

        Raises `Problem`: `invalid_*` for whatever is wrong with it; `revoked_*` whether or not it has expired (draft-11
        §11.12.5); only if nothing else is wrong `expired_*`, then `clock_skew`; 503 where its issuer cannot be reached,
        so that nothing can be said of it.
        """
        try:
            token = read_token(raw, types, loopback=self.loopback)
            check(token)
            if not self.trust.admits(token):
                raise TokenRejected("its issuer is not one that this server trusts")
            await self._verify_signature(token)
            if self.is_revoked(token.iss, token.jti):
                raise Problem(_REVOKED[name], f"{name}_token: its issuer revoked it")
            check_lifetime(token, self.clock(), ceilings=self.ceilings, window=self.window)
        except TokenRejected as error:
            raise _refusal(name, error) from error
        except DiscoveryFailed as error:
            if error.unreachable:
                raise Problem(
                    "server_error",
                    f"the issuer of the {name}_token cannot be reached",
                    status=503,
                    retry_after=error.retry_after or RETRY_UNREACHABLE,
                ) from error
            raise Problem(_CODES[name][0], f"{name}_token: {error.reason}") from error
        return token

    async def _verify_signature(self, token: Token) -> None:
        """draft-11 §11.5.2 step 2; where a cached key fails, once more under what is published now (§11.4)."""
        key = await self._key(token)
        try:
            token.verify_signature(key)
        except TokenRejected:
            token.verify_signature(await self._key(token, failed=key))

    async def _key(self, token: Token, failed: PublicKey | None = None) -> PublicKey:
        return await self.discovery.key(token.iss, token.dwk, token.kid, failed=failed)

    async def verify_pair(
        self, resource_token: str, presented_token: str, *, aud: str, ps: str, key: PublicKey, admit: Check = no_check
    ) -> TokenPair:
        """Resource token and presented token, verified each and against each other (draft-11 §6.7.2 steps 1 to 3).

        `aud` is who redeems, `ps` the person server the pair must name, `key` the agent's; `admit` refuses a resource
        token that this server does not serve. Step 4, the mission, is the caller's. Raises `Problem`.
        """

        def addressed(token: Token) -> None:
            assert isinstance(token, ResourceToken)
            _check_addressed(token, aud, ps, key)
            admit(token)

        asked = await self.verify(resource_token, "resource", types={RESOURCE_TYP}, check=addressed)
        assert isinstance(asked, ResourceToken)

        def bound(token: Token) -> None:
            assert isinstance(token, PersonToken | AuthToken)
            _check_bound(token, asked)

        shown = await self.verify(presented_token, "presented", types={PERSON_TYP, AUTH_TYP}, check=bound)
        assert isinstance(shown, PersonToken | AuthToken)
        _check_match(asked, shown)
        return TokenPair(asked, shown)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a resource asks for, and the token it was shown when it asked (draft-11 §6.7.2)."""

    resource: ResourceToken
    presented: PersonToken | AuthToken


def _check_addressed(token: ResourceToken, aud: str, ps: str, key: PublicKey) -> None:
    """draft-11 §6.7.2 steps 1 and 2, and what step 3 says of `ps`."""
    if token.aud != aud:
        raise TokenRejected("aud is another server than this one")
    if token.agent_jkt != key.thumbprint:
        raise TokenRejected("agent_jkt is not the key that signed the request")
    if token.ps != ps:
        raise TokenRejected("ps is another person server")


def _check_bound(token: PersonToken | AuthToken, asked: ResourceToken) -> None:
    """draft-11 §6.7.2 step 3, the two substitutions."""
    if token.aud != asked.iss:
        raise TokenRejected("aud is not the resource that issued the resource token")
    if token.cnf.thumbprint != asked.agent_jkt:
        raise TokenRejected("cnf is not the key that the resource token names")


def _check_match(asked: ResourceToken, shown: PersonToken | AuthToken) -> None:
    """draft-11 §6.7.2 step 3, the comparison: what the resource copied is what the token it was shown says.

    A mismatch between two tokens that both verify is evidence of tampering, so operators are told.
    """
    pairs = {
        "presented_jti": (asked.presented_jti, shown.jti),
        "ps": (asked.ps, shown.ps),
        "sub": (asked.sub, shown.sub),
        "mission_s256": (asked.mission_s256, shown.mission_s256),
        "tenant": (asked.tenant, shown.tenant),
    }
    different = [name for name, (copied, original) in pairs.items() if copied != original]
    if different:
        names = ", ".join(different)
        log.warning("tampering: a resource token of %s does not match the presented token in: %s", asked.iss, names)
        raise Problem("invalid_resource_token", f"it does not match the presented token in: {names}")


__all__ = ["Check", "Name", "ParameterVerifier", "TokenPair", "no_check"]
