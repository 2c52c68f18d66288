"""What a resource asks for, and the resource token it asks with (draft-11 §6, §6.7, §11.6).

The table of levels is here and nowhere else: who came, what the route needs, and so which requirement says what is
missing. A challenge answers a good signature and carries no Signature-Error.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..callers import Caller, Grant, Person
from ..keys import Keys
from ..protocol.headers import (
    AGENT_TOKEN_REQUIRED,
    PERSON_TOKEN_REQUIRED,
    Requirement,
    auth_token_required,
)
from ..protocol.jose import b64url_encode
from ..protocol.messages import Answer, Refusal
from ..protocol.minting import mint_resource_token
from ..protocol.problems import SignatureFailure
from ..protocol.tokens import MAX_RESOURCE_LIFETIME
from .needs import Level, Need

_WORDS: Final[Mapping[str, str]] = {
    "agent-token": "This needs an agent token (draft-11 §6.1).",
    "person-token": "This needs a person token for this resource (draft-11 §6.4).",
    "auth-token": "This needs an auth token: take the resource token to the person server (draft-11 §6.5).",
}
_FOR_STRANGERS: Final[Mapping[Level, Requirement]] = {
    "agent": AGENT_TOKEN_REQUIRED,
    "person": PERSON_TOKEN_REQUIRED,
    "grant": PERSON_TOKEN_REQUIRED,
}


class Challenge(Refusal):
    """401 that names what is missing (draft-11 §6, Table 2). The signature, if there was one, is good."""

    def __init__(self, requirement: Requirement) -> None:
        super().__init__(requirement.value)
        self.requirement = requirement

    def answer(self) -> Answer:
        """The header says it to the agent, the body to a developer who looks."""
        headers = (self.requirement.header(), ("content-type", "text/plain; charset=utf-8"))
        body = f"{_WORDS[self.requirement.value]}\n".encode()
        return Answer(401, (*headers, ("cache-control", "no-store")), body)


def requirement_of_strangers(need: Need) -> Requirement | None:
    """What a request that proved nobody is told: never a resource token, which needs a verified person (§6.7)."""
    return _FOR_STRANGERS[need.asks] if need.asks is not None else None


def unsigned(failure: SignatureFailure, need: Need) -> SignatureFailure:
    """The refusal of a request without any signature: `invalid_signature`, and what to present instead."""
    requirement = requirement_of_strangers(need)
    return SignatureFailure(
        "invalid_signature",
        failure.detail,
        # Where only AAuth agents are served, the requirement says it all (draft-11 §11.3.4.1).
        accept_schemes=need.schemes if need.schemes != ("jwt",) else None,
        headers=[requirement.header()] if requirement is not None else (),
    )


def revoked_auth_token(failure: SignatureFailure) -> SignatureFailure:
    """The refusal of a revoked auth token: to begin anew is all that helps (draft-11 §11.12.5)."""
    return SignatureFailure("revoked_jwt", failure.detail, headers=[PERSON_TOKEN_REQUIRED.header()])


class Challenges:
    """The challenges of one resource, which signs its resource tokens with `keys`; times are in seconds."""

    def __init__(
        self,
        identifier: str,
        keys: Keys | None,
        scopes: Mapping[str, str],
        *,
        lifetime: int = MAX_RESOURCE_LIFETIME,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._identifier = identifier
        self._keys = keys
        self._scopes = frozenset(scopes)
        self._lifetime = lifetime
        self._clock = clock
        self._random = random_bytes

    def for_caller(self, caller: Caller, need: Need) -> Challenge:
        """What `caller`, who is verified and not served, lacks for `need`."""
        asks = need.asks
        if asks is None:
            raise ValueError("this need takes callers for whom there is no challenge")
        if asks == "grant" and isinstance(caller, Person | Grant):
            return Challenge(auth_token_required(self._resource_token(caller, need)))
        return Challenge(_FOR_STRANGERS[asks])

    def _resource_token(self, caller: Person | Grant, need: Need) -> str:
        """draft-11 §6.7.1: person, mission and organization are those of the token that was presented."""
        if self._keys is None:
            raise ValueError("a resource without keys issues no resource tokens")
        now = int(self._clock())
        held = caller.scope if isinstance(caller, Grant) else frozenset[str]()
        return mint_resource_token(
            self._keys.current,
            iss=self._identifier,
            aud=caller.person.ps,  # three-party: the person server that vouched for the person redeems it (§6.7)
            ps=caller.person.ps,
            sub=caller.person.sub,
            presented_jti=caller.jti,
            agent_jkt=caller.key.thumbprint,
            jti=b64url_encode(self._random(16)),
            iat=now,
            exp=now + self._lifetime,
            # A step-up keeps what the agent has; only scopes of this resource are named (§11.10).
            scope=need.scope | need.optional | (held & self._scopes),
            account=caller.account if isinstance(caller, Grant) else None,
            mission_s256=caller.mission_s256,
            tenant=caller.tenant,
        )
