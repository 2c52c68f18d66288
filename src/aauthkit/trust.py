"""Whom a server trusts: the issuers it accepts tokens and signatures from, by role.

A verified token is not a trusted one. There is no default and no empty list that means everybody: `ANY` is written out
(draft-11 §13.7; Signature-Keys §5.4.7).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from .protocol.tokens import (
    ACCESS_DWK,
    AGENT_DWK,
    PERSON_DWK,
    RESOURCE_DWK,
    AuthToken,
    Token,
)


class _Any:
    """Every issuer whose tokens verify. Written out where it is meant."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()

Issuers = Collection[str] | _Any | Callable[[str], bool]
"""A set of server identifiers, `ANY`, or a function that is asked."""

NOBODY: Final[Collection[str]] = frozenset()


def admits(issuers: Issuers, iss: str) -> bool:
    """Whether `iss` is among `issuers`, by exact comparison."""
    if isinstance(issuers, _Any):
        return True
    if callable(issuers):
        return issuers(iss) is True
    if isinstance(issuers, str):
        raise TypeError("issuers is a collection of identifiers, not one string")
    return iss in issuers


@dataclass(frozen=True, slots=True)
class Trust:
    """The issuers accepted in each role; a role that is not named is accepted from nobody."""

    agent_providers: Issuers = NOBODY
    person_servers: Issuers = NOBODY
    access_servers: Issuers = NOBODY
    resources: Issuers = NOBODY
    _by_dwk: Mapping[str, Issuers] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        table = {
            AGENT_DWK: self.agent_providers,
            PERSON_DWK: self.person_servers,
            ACCESS_DWK: self.access_servers,
            RESOURCE_DWK: self.resources,
        }
        if any(isinstance(issuers, str) for issuers in table.values()):
            raise TypeError("issuers is a collection of identifiers, not one string")
        object.__setattr__(self, "_by_dwk", table)

    def admits_server(self, iss: str, dwk: str) -> bool:
        """Whether a party signing or issuing in the role of `dwk` is trusted."""
        return admits(self._by_dwk.get(dwk, NOBODY), iss)

    def admits(self, token: Token) -> bool:
        """Whether the token's issuer is trusted in its role; for an auth token also the person server it names."""
        if not self.admits_server(token.iss, token.dwk):
            return False
        return not isinstance(token, AuthToken) or admits(self.person_servers, token.ps)
