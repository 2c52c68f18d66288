"""What an agent asks for and answers, read from the bodies of its requests (draft-11 §7.1, §7.2.1, §7.5.2).

Unknown parameters are ignored, known ones are typed and bounded. What this server does not serve is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_server_identifier
from ..protocol.jose import MAX_TOKEN
from ..protocol.missions import is_mission_s256
from ..protocol.problems import Problem
from .conversation import MAX_ANSWER

PLATFORMS: Final = ("web", "mobile", "desktop", "workload", "self-hosted")
"""The AAuth Platform Value Registry (draft-11 §15.10)."""
MAX_DEVICE: Final = 64
"""Longest `device`, in characters (draft-11 §7.2.1)."""
MAX_JUSTIFICATION: Final = 4096
MAX_HINT: Final = 512
MAX_CAPABILITIES: Final = 32
MAX_CAPABILITY: Final = 64
PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})
"""Values of `prompt` (draft-11 §7.2.1)."""
_UNSERVED: Final = ("upstream_token", "subagent_token")


@dataclass(frozen=True, slots=True)
class Declared:
    """What the agent says of itself and of this request: its own claims, shown as such (draft-11 §7.4).

    `prompt` says how the person is to be met, the hints whom the agent expects; neither chooses a person (§13.14).
    `capabilities` is `None` where the request names none: within a mission those captured at its approval hold
    (draft-11 §7.2.1).
    """

    capabilities: frozenset[str] | None = None
    justification: str | None = field(default=None, repr=False)
    platform: str | None = None
    device: str | None = None
    prompt: frozenset[str] = frozenset()
    login_hint: str | None = field(default=None, repr=False)
    tenant: str | None = None
    domain_hint: str | None = None

    @property
    def ask_anyway(self) -> bool:
        """Whether the person is asked although an earlier answer would do."""
        return bool(self.prompt & {"login", "consent", "select_account"})

    @property
    def never_ask(self) -> bool:
        """Whether the agent rather has no token than has its person disturbed."""
        return "none" in self.prompt

    @property
    def reaches_person(self) -> bool:
        """Whether the agent can get a person to a page (draft-11 §11.7)."""
        return "interaction" in (self.capabilities or ())

    @property
    def answers_questions(self) -> bool:
        """Whether the agent answers what a person asks before they decide (draft-11 §7.5)."""
        return "clarification" in (self.capabilities or ())

    def within(self, captured: frozenset[str]) -> Declared:
        """As it is within a mission, whose agent could do what was `captured` at its approval."""
        return self if self.capabilities is not None else replace(self, capabilities=captured)


@dataclass(frozen=True, slots=True)
class PersonTokenRequest:
    """A request for a person token for `resource` (draft-11 §7.1)."""

    resource: str
    declared: Declared
    mission: str | None = None


@dataclass(frozen=True, slots=True)
class AuthTokenRequest:
    """A request for an auth token against a resource token (draft-11 §7.2.1)."""

    resource_token: str = field(repr=False)
    presented_token: str = field(repr=False)
    declared: Declared


@dataclass(frozen=True, slots=True)
class ClarificationResponse:
    """An agent's answer to a question (draft-11 §7.5.2.1)."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UpdatedRequest:
    """Another request in place of the one that waits, as an answer to a question (draft-11 §7.5.2.2)."""

    resource_token: str = field(repr=False)
    presented_token: str = field(repr=False)
    justification: str | None = field(default=None, repr=False)


def text_of(body: Mapping[str, Any], name: str, limit: int) -> str | None:
    """A string parameter of 1 to `limit` characters, `None` where it is not there. Raises `Problem`."""
    if name not in body:
        return None
    value = body[name]
    if not isinstance(value, str) or not value or len(value) > limit or "\0" in value:
        raise Problem("invalid_request", f"{name} is a string of 1 to {limit} characters")
    return value


def required_text(body: Mapping[str, Any], name: str, limit: int) -> str:
    """As `text_of`, for a parameter that has to be there. Raises `Problem`."""
    value = text_of(body, name, limit)
    if value is None:
        raise Problem("invalid_request", f"{name} is missing")
    return value


def _device(body: Mapping[str, Any]) -> str | None:
    value = text_of(body, "device", MAX_DEVICE)
    if value is not None and any(
        unicodedata.category(character)[0] in "CZ" and character != " " for character in value
    ):
        raise Problem("invalid_request", "device holds a character that is not printable")
    return value


def _platform(body: Mapping[str, Any]) -> str | None:
    value = text_of(body, "platform", MAX_DEVICE)
    if value is not None and value not in PLATFORMS:
        raise Problem("invalid_request", f"platform is one of {', '.join(PLATFORMS)}")
    return value


def _capabilities(body: Mapping[str, Any]) -> frozenset[str] | None:
    """Unrecognized values are ignored (draft-11 §11.7)."""
    if "capabilities" not in body:
        return None
    values = body["capabilities"]
    if not isinstance(values, list) or len(values) > MAX_CAPABILITIES:
        raise Problem("invalid_request", f"capabilities is an array of at most {MAX_CAPABILITIES} strings")
    if any(not isinstance(value, str) or len(value) > MAX_CAPABILITY for value in values):
        raise Problem("invalid_request", "a capability is a short string")
    return frozenset(values)


def _prompt(body: Mapping[str, Any]) -> frozenset[str]:
    value = text_of(body, "prompt", MAX_HINT)
    values = frozenset(value.split(" ")) if value is not None else frozenset()
    if not values <= PROMPTS:
        raise Problem("invalid_request", f"of prompt there are the values {', '.join(sorted(PROMPTS))}")
    if "none" in values and len(values) > 1:
        raise Problem("invalid_request", "prompt=none stands alone: nobody is asked, or somebody is")
    return values


def read_mission(body: Mapping[str, Any], *, required: bool = False) -> str | None:
    """The parameter `mission_s256`, in form (draft-11 §8.2.1). Raises `Problem` `invalid_request`."""
    if "mission_s256" not in body and not required:
        return None
    value = body.get("mission_s256")
    if not is_mission_s256(value):
        raise Problem("invalid_request", "mission_s256 is the base64url of a SHA-256, unpadded")
    return str(value)


def _check_served(body: Mapping[str, Any]) -> None:
    for name in _UNSERVED:
        if name in body:
            raise Problem("invalid_request", f"{name} is not served here")


def read_declared(body: Mapping[str, Any]) -> Declared:
    """What the agent says of itself. Raises `Problem` `invalid_request`."""
    _check_served(body)
    return Declared(
        capabilities=_capabilities(body),
        justification=text_of(body, "justification", MAX_JUSTIFICATION),
        platform=_platform(body),
        device=_device(body),
        prompt=_prompt(body),
        login_hint=text_of(body, "login_hint", MAX_HINT),
        tenant=text_of(body, "tenant", MAX_HINT),
        domain_hint=text_of(body, "domain_hint", MAX_HINT),
    )


def read_person_token_request(body: Mapping[str, Any], loopback: LoopbackProfile) -> PersonTokenRequest:
    """The body of a request to the person token endpoint. Raises `Problem` `invalid_request`."""
    declared = read_declared(body)
    try:
        resource = check_server_identifier(required_text(body, "resource", MAX_HINT), loopback)
    except InvalidIdentifier as error:
        raise Problem("invalid_request", f"resource: {error}") from error
    return PersonTokenRequest(resource, declared, read_mission(body))


def read_auth_token_request(body: Mapping[str, Any]) -> AuthTokenRequest:
    """The body of a request to the auth token endpoint. Raises `Problem` `invalid_request`."""
    declared = read_declared(body)
    return AuthTokenRequest(
        resource_token=required_text(body, "resource_token", MAX_TOKEN),
        presented_token=required_text(body, "presented_token", MAX_TOKEN),
        declared=declared,
    )


def read_action(body: Mapping[str, Any]) -> ClarificationResponse | UpdatedRequest:
    """The body of a POST to a pending URL. Raises `Problem` `invalid_request`, also for an unknown action (F38)."""
    action = body.get("action")
    if action == "clarification_response":
        return ClarificationResponse(required_text(body, "clarification_response", MAX_ANSWER))
    if action == "updated_request":
        _check_served(body)
        return UpdatedRequest(
            resource_token=required_text(body, "resource_token", MAX_TOKEN),
            presented_token=required_text(body, "presented_token", MAX_TOKEN),
            justification=text_of(body, "justification", MAX_ANSWER),
        )
    raise Problem("invalid_request", "action is missing, or neither clarification_response nor updated_request")
