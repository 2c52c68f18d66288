"""The metadata documents: agent provider, person server, access server, resource (draft-11 §11.2).

Read strictly where a rule hangs on it (issuer, endpoints, keys), and otherwise kept as it came. Text in them is a
stranger's: bounded here, made harmless where it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .identifiers import NO_LOOPBACK, InvalidIdentifier, LoopbackProfile, check_endpoint
from .tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK

WELL_KNOWN: Final = "/.well-known/"
ACCESS_MODES: Final = ("agent-token", "person-token", "session-token", "auth-token")
MAX_TEXT: Final = 8192
MAX_SCOPES: Final = 512

_ENDPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    AGENT_DWK: ("callback_endpoint", "event_endpoint"),
    PERSON_DWK: (
        "auth_token_endpoint",
        "person_token_endpoint",
        "mission_endpoint",
        "permission_endpoint",
        "audit_endpoint",
        "interaction_endpoint",
        "mission_control_endpoint",
        "revocation_endpoint",
    ),
    ACCESS_DWK: ("auth_token_endpoint", "revocation_endpoint"),
    RESOURCE_DWK: ("authorization_endpoint", "revocation_endpoint"),
}
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    AGENT_DWK: ("jwks_uri",),
    PERSON_DWK: ("jwks_uri", "auth_token_endpoint", "person_token_endpoint"),
    ACCESS_DWK: ("jwks_uri", "auth_token_endpoint"),
    RESOURCE_DWK: (),
}
_URLS: Final = ("jwks_uri", "logo_uri", "logo_dark_uri", "documentation_uri", "tos_uri", "policy_uri")


class MetadataError(ValueError):
    """A document that is refused. `code` is the Signature-Error for it (draft-11 §11.2)."""

    def __init__(self, code: Literal["issuer_missing", "issuer_mismatch", "unknown_key"], reason: str) -> None:
        super().__init__(reason)
        self.code: Literal["issuer_missing", "issuer_mismatch", "unknown_key"] = code


@dataclass(frozen=True, slots=True)
class Metadata:
    """A document that passed: its issuer is who was asked, its URLs are in form."""

    dwk: str
    issuer: str
    document: Mapping[str, Any] = field(repr=False)

    def text(self, name: str) -> str | None:
        """A string member of at most 8192 characters, or `None`. Untrusted text."""
        value = self.document.get(name)
        return value[:MAX_TEXT] if isinstance(value, str) and value else None

    def endpoint(self, name: str) -> str | None:
        """An endpoint or other URL of the document, checked when it was read."""
        value = self.document.get(name)
        return value if isinstance(value, str) else None

    @property
    def jwks_uri(self) -> str | None:
        """Where the keys are."""
        return self.endpoint("jwks_uri")

    @property
    def access_mode(self) -> str:
        """What a resource expects first; the default is `agent-token` (draft-11 §11.2.4)."""
        return self.text("access_mode") or "agent-token"

    @property
    def scope_descriptions(self) -> dict[str, str]:
        """A resource's scopes with its own words for each (draft-11 §11.10)."""
        value = self.document.get("scope_descriptions")
        if not isinstance(value, Mapping):
            return {}
        pairs = [(k, v[:MAX_TEXT]) for k, v in value.items() if isinstance(v, str)]
        return dict(pairs[:MAX_SCOPES])

    def strings(self, name: str) -> tuple[str, ...]:
        """An array of strings, such as `scopes_supported`; empty where absent."""
        value = self.document.get(name)
        return tuple(v for v in value[:MAX_SCOPES] if isinstance(v, str)) if isinstance(value, list) else ()

    def flag(self, name: str) -> bool:
        """A boolean member; only `true` is true."""
        return self.document.get(name) is True

    def integer(self, name: str, default: int) -> int:
        """A whole number, or `default` where it is absent or none."""
        value = self.document.get(name)
        return value if type(value) is int and value > 0 else default


def read_metadata(
    dwk: str, issuer: str, document: Mapping[str, Any], *, loopback: LoopbackProfile = NO_LOOPBACK
) -> Metadata:
    """`document`, fetched for `issuer` under `dwk`, if it is that issuer's and in form. Raises `MetadataError`.

    The issuer is compared byte for byte (draft-11 §11.2).
    """
    named = document.get("issuer")
    if named is None:
        raise MetadataError("issuer_missing", "the metadata document names no issuer")
    if named != issuer:
        raise MetadataError("issuer_mismatch", "the metadata document names another issuer than it was fetched for")
    for name in _REQUIRED.get(dwk, ()):
        if name not in document:
            raise MetadataError("unknown_key", f"the metadata document has no {name}")
    for name in (*_ENDPOINTS.get(dwk, ()), *_URLS):
        if name in document:
            try:
                check_endpoint(document[name], issuer, loopback, query=name in _URLS)
            except InvalidIdentifier as error:
                raise MetadataError("unknown_key", f"{name}: {error}") from error
    return Metadata(dwk, issuer, document)


def well_known(issuer: str, dwk: str) -> str:
    """Where an issuer's document stands: `{iss}/.well-known/{dwk}` (draft-11 §11.4)."""
    return f"{issuer}{WELL_KNOWN}{dwk}"
