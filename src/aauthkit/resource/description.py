"""What a resource says of itself: its metadata document and the link to it (draft-11 §11.2.4, §11.2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..keys import Keys
from ..protocol.components import Component, ComponentError, component_value
from ..protocol.headers import resource_link
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile, parse_scope
from ..protocol.jose import ALGORITHMS
from ..protocol.messages import Answer, SignedRequest
from ..protocol.metadata import read_metadata
from ..protocol.tokens import RESOURCE_DWK, SIGNATURE_WINDOW
from .needs import TOKEN_LEVELS, Level
from .routes import JWKS_PATH

_ACCESS_MODES: Final[Mapping[Level, str]] = {
    "agent": "agent-token",
    "session": "session-token",
    "person": "person-token",
    "grant": "auth-token",
}
_PERSONS: Final[frozenset[Level]] = frozenset({"person", "grant"})
_LINKED: Final = frozenset({401, 402, 403})
_COMPUTED: Final = (
    "issuer",
    "jwks_uri",
    "access_mode",
    "accept_signature_algs",
    "scope_descriptions",
    "signature_window",
    "additional_signature_components",
    "authorization_endpoint",
    "revocation_endpoint",
)


class Description:
    """The description of one resource. Raises `ValueError` where agents could not read it.

    `named` are the members that are taken as they are: name, description, URLs, and those of extensions.
    """

    def __init__(
        self,
        identifier: str,
        *,
        keys: Keys | None,
        scopes: Mapping[str, str],
        window: int,
        components: Sequence[str],
        named: Mapping[str, Any],
        access_mode: str | None,
        loopback: LoopbackProfile = NO_LOOPBACK,
        authorization_endpoint: str | None = None,
        revocation_endpoint: str | None = None,
    ) -> None:
        self._identifier = identifier
        self._keys = keys
        self._scopes = _checked_scopes(scopes)
        self._window = window
        self._components = checked_components(components)
        self._named = {member: value for member, value in named.items() if value is not None}
        self._access_mode = access_mode
        self._authorization = authorization_endpoint
        self._revocation = revocation_endpoint
        self._levels: set[Level] = set()
        taken = [member for member in _COMPUTED if member in self._named]
        if taken:
            raise ValueError(f"the resource itself states {', '.join(taken)} in its metadata")
        read_metadata(RESOURCE_DWK, identifier, self.document(), loopback=loopback)

    def add_level(self, level: Level) -> None:
        """Take note that some route needs this."""
        self._levels.add(level)

    def document(self) -> dict[str, Any]:
        """The metadata, as it is now."""
        document: dict[str, Any] = {"issuer": self._identifier}
        if self._keys is not None:
            document["jwks_uri"] = f"{self._identifier}{JWKS_PATH}"
        document |= {"access_mode": self.access_mode, "accept_signature_algs": list(ALGORITHMS)}
        if self._scopes:
            document["scope_descriptions"] = self._scopes
        if self._window != SIGNATURE_WINDOW:
            document["signature_window"] = self._window
        if self._components:
            document["additional_signature_components"] = list(self._components)
        if self._authorization is not None:
            document["authorization_endpoint"] = self._authorization
        if self._revocation is not None and self._takes_persons:
            document["revocation_endpoint"] = self._revocation
        return {**document, **self._named}

    @property
    def _takes_persons(self) -> bool:
        """Whether a token may come that its issuer can revoke here (draft-11 §11.2.4, §11.12)."""
        return self._authorization is not None or bool(_PERSONS & self._levels)

    @property
    def access_mode(self) -> str:
        """The credential to begin with: what was configured, or the most that any route needs."""
        if self._access_mode is not None:
            return self._access_mode
        needed = [level for level in TOKEN_LEVELS if level in self._levels]
        return _ACCESS_MODES[needed[-1]] if needed else "agent-token"

    @property
    def link(self) -> tuple[str, str]:
        """The `Link` field that names the metadata."""
        return resource_link(self._identifier)

    def is_documentation(self, target: str) -> bool:
        """Whether the page at this request target is the one at `documentation_uri`."""
        return bool(self._named.get("documentation_uri") == f"{self._identifier}{target}")

    def carries_link(self, status: int, target: str) -> bool:
        """Whether a response carries the link: one that asks or refuses, and the documentation."""
        return status in _LINKED or self.is_documentation(target)

    def with_link(self, answer: Answer) -> Answer:
        """`answer`, with the link where it asks or refuses."""
        return answer.with_headers(self.link) if answer.status in _LINKED else answer


def _checked_scopes(scopes: Mapping[str, str]) -> dict[str, str]:
    for value, words in scopes.items():
        if parse_scope(value) != {value}:
            raise ValueError(f"{value!r} is not one scope value")
        if not words.strip():
            raise ValueError(f"the scope {value!r} has no words for the person who is asked (draft-11 §11.10)")
    return dict(scopes)


def checked_components(components: Sequence[str]) -> tuple[str, ...]:
    """draft-11 §11.2.4: each is a name that any request can cover, without parameters."""
    for name in components:
        try:
            component_value(SignedRequest("GET", "https", "host", "/", ((name, "1"),)), Component(name))
        except ComponentError as error:
            raise ValueError(f"a signature cannot be asked to cover {name!r}: {error}") from error
    return tuple(dict.fromkeys(components))
