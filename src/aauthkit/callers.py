"""Who sent a request: one type per level, so that one can never be mistaken for another.

These are the steps of the progressive scale, but a table and not an order: a person or auth token carries no agent
identifier (draft-11 §4.2.1, §C.1.6). Each keeps the exact token it was proved by, never shown, since call chaining
passes that very token on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .protocol.jose import PublicKey
from .protocol.tokens import AgentToken, AuthToken, PersonToken


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """Proved by a bare key (`hwk`): the same thumbprint is the same key holder, and nothing more is known."""

    key: PublicKey

    @property
    def thumbprint(self) -> str:
        """RFC 7638, SHA-256."""
        return self.key.thumbprint


@dataclass(frozen=True, slots=True)
class Server:
    """Proved by `jwks_uri`: a server under its own name, as the role its metadata document has."""

    iss: str
    dwk: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Delegate:
    """Proved by `jkt-jwt`: a key to which a durable key delegated."""

    durable: PublicKey
    key: PublicKey


class _ByToken:
    """What every token that proves a caller has in common."""

    __slots__ = ()
    proof: AgentToken | PersonToken | AuthToken

    @property
    def key(self) -> PublicKey:
        """The key the token is bound to."""
        return self.proof.cnf

    @property
    def jti(self) -> str:
        """The token's identifier."""
        return self.proof.jti

    @property
    def exp(self) -> int:
        """When the token expires, in seconds since the epoch."""
        return self.proof.exp

    @property
    def claims(self) -> Mapping[str, Any]:
        """Every claim of the token."""
        return self.proof.claims


@dataclass(frozen=True, slots=True)
class Agent(_ByToken):
    """Proved by an agent token: which agent this is, of which provider, and with which person server if any."""

    proof: AgentToken = field(repr=False)

    @property
    def iss(self) -> str:
        """The agent provider."""
        return self.proof.iss

    @property
    def sub(self) -> str:
        """The agent identifier, `aauth:local@domain`."""
        return self.proof.sub

    @property
    def ps(self) -> str | None:
        """The agent's person server, as its provider says."""
        return self.proof.ps

    @property
    def parent_agent(self) -> str | None:
        """The parent, where this is a sub-agent."""
        return self.proof.parent_agent

    def __repr__(self) -> str:
        return f"Agent({self.sub}, provider={self.iss})"


@dataclass(frozen=True, slots=True)
class PersonId:
    """A person as a resource knows them: unique only as a whole (draft-11 §7.1.4, §13.7)."""

    iss: str
    ps: str
    sub: str


class _ForPerson(_ByToken):
    """What a person token and an auth token have in common."""

    __slots__ = ()
    proof: PersonToken | AuthToken

    @property
    def person(self) -> PersonId:
        """`(iss, ps, sub)`; for a person token `ps` is `iss`."""
        return PersonId(self.proof.iss, self.proof.ps, self.proof.sub)

    @property
    def tenant(self) -> str | None:
        """The person's organization, if stated; no part of the identifier (draft-11 §13.10)."""
        return self.proof.tenant

    @property
    def mission_s256(self) -> str | None:
        """The mission the agent works under, if any."""
        return self.proof.mission_s256


@dataclass(frozen=True, slots=True)
class Person(_ForPerson):
    """Proved by a person token: whom the agent acts for, and no authorization (draft-11 §13.11)."""

    proof: PersonToken = field(repr=False)

    def __repr__(self) -> str:
        return f"Person({self.person.sub}, ps={self.person.ps})"


@dataclass(frozen=True, slots=True)
class Grant(_ForPerson):
    """Proved by an auth token: what this person's agent may do here."""

    proof: AuthToken = field(repr=False)

    @property
    def scope(self) -> frozenset[str]:
        """The scope values granted, compared as whole values."""
        return self.proof.scope

    @property
    def account(self) -> str | None:
        """The account this grant is for (draft-11 §11.11)."""
        return self.proof.account

    def __repr__(self) -> str:
        return f"Grant({self.person.sub}, ps={self.person.ps}, scope={sorted(self.scope)})"


Holder = Pseudonym | Server | Agent | Person | Grant
"""Who may hold a session token: it says nothing without the one it was bound to."""


@dataclass(frozen=True, slots=True)
class Session:
    """Proved by a session token, and by the agent, token or key that it was bound to (draft-11 §6.3).

    `subject`, `scope`, `account` and `claims` are what the resource itself keeps of it; `exp` is when it ends, in
    seconds since the epoch.
    """

    id: str
    subject: str
    proof: Holder = field(repr=False)
    token: str = field(repr=False)
    exp: int
    scope: frozenset[str] = frozenset()
    account: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def agent(self) -> Agent | None:
        """Which agent this is, where it showed its agent token."""
        return self.proof if isinstance(self.proof, Agent) else None

    @property
    def key(self) -> PublicKey:
        """The key that signed."""
        return self.proof.key

    def __repr__(self) -> str:
        return f"Session({self.subject}, {self.proof!r})"


Caller = Pseudonym | Server | Delegate | Agent | Session | Person | Grant
