"""What a resource asks for, and the resource token it asks with (draft-11 §6, §6.7, §11.6).

The table of levels is here and nowhere else: who came, what the route needs, and so which requirement says what is
missing. A challenge answers a good signature and carries no Signature-Error.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..callers import Agent, Caller, Grant, Person, Session
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
from ..protocol.problems import Problem, SignatureFailure
from ..protocol.tokens import MAX_RESOURCE_LIFETIME
from ..verification import Verified
from .needs import Level, Need

_WORDS: Final[Mapping[str, str]] = {
    "agent-token": "This needs an agent token (draft-11 §6.1).",
    "person-token": "This needs a person token for this resource (draft-11 §6.4).",
    "auth-token": "This needs an auth token: take the resource token to the person server (draft-11 §6.5).",
}
_FOR_STRANGERS: Final[Mapping[Level, Requirement]] = {
    "agent": AGENT_TOKEN_REQUIRED,
    "session": AGENT_TOKEN_REQUIRED,
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


@dataclass(frozen=True, slots=True)
class Asked:
    """A resource token as it was made: for whom, for what, and until when, in seconds since the epoch."""

    caller: Person | Grant
    raw: str = field(repr=False)
    jti: str
    aud: str
    account: str | None
    exp: int


class AuthTokenChallenge(Challenge):
    """401 that asks for an auth token; a route may have the call held instead (draft-11 §6.5, §6.5.1)."""

    def __init__(self, asked: Asked, need: Need) -> None:
        super().__init__(auth_token_required(asked.raw))
        self.asked = asked
        self.need = need
        self.verified: Verified | None = None
        """The request that is challenged."""


class Deferral(Refusal):
    """202: the answer comes at a pending URL (draft-11 §11.8.2)."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("202")
        self._answer = answer

    def answer(self) -> Answer:
        """The 202."""
        return self._answer


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

    def for_caller(self, caller: Caller, need: Need, *, login_hint: str | None = None) -> Refusal:
        """What `caller`, who is verified and not served, lacks for `need`."""
        asks = need.asks
        if asks is None:
            raise ValueError("this need takes callers for whom there is no challenge")
        if asks == "grant" and isinstance(caller, Person | Grant):
            account = caller.account if isinstance(caller, Grant) else None
            return AuthTokenChallenge(
                self.resource_token(caller, self.scope_for(caller, need), account, login_hint), need
            )
        if asks == "session" and isinstance(caller, Agent | Session):
            # Where the resource has a page of its own, it sends the person there instead (§6.2).
            return Problem("access_denied", "this needs a session token of this resource's own")
        return Challenge(_FOR_STRANGERS[asks])

    def scope_for(self, caller: Person | Grant, need: Need) -> frozenset[str]:
        """What to ask for: a step-up keeps what the agent has. Only scopes of this resource are named (§11.10)."""
        held = caller.scope if isinstance(caller, Grant) else frozenset[str]()
        return need.scope | need.optional | (held & self._scopes)

    def resource_token(
        self, caller: Person | Grant, scope: frozenset[str], account: str | None, login_hint: str | None = None
    ) -> Asked:
        """A resource token for whoever `caller` is (draft-11 §6.7.1).

        Person, mission and organization are those of the token that was presented.
        """
        if self._keys is None:
            raise ValueError("a resource without keys issues no resource tokens")
        now = int(self._clock())
        jti, ps = b64url_encode(self._random(16)), caller.person.ps
        raw = mint_resource_token(
            self._keys.current,
            iss=self._identifier,
            aud=ps,  # three-party: the person server that vouched for the person redeems it (§6.7)
            ps=ps,
            sub=caller.person.sub,
            presented_jti=caller.jti,
            agent_jkt=caller.key.thumbprint,
            jti=jti,
            iat=now,
            exp=now + self._lifetime,
            scope=scope,
            account=account,
            login_hint=login_hint,
            mission_s256=caller.mission_s256,
            tenant=caller.tenant,
        )
        return Asked(caller, raw, jti, ps, account, now + self._lifetime)
