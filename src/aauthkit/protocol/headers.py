"""The header fields of AAuth and those it leans on: written in one place, read in one place.

`AAuth-Requirement` (draft-11 §11.6), `AAuth-Access` and `Authorization: AAuth` (§6.3), `AAuth-Capabilities` (§11.7),
`Signature-Error` and `Accept-Signature-*` (Signature-Keys §4, §5), `Prefer`, `Retry-After`, `Link` (§11.2.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from .identifiers import NO_LOOPBACK, InvalidIdentifier, LoopbackProfile, check_server_identifier
from .structured import (
    Bare,
    FieldError,
    Token,
    parse_dictionary,
    serialize_dictionary,
    serialize_list,
    token_list,
)

CAPABILITIES: Final = ("interaction", "clarification", "payment")
"""The capability values of draft-11 §11.7."""
MAX_RETRY_AFTER: Final = 3600
DEFAULT_RETRY_AFTER: Final = 5
"""Seconds between polls where the server names none (draft-11 §11.8.3)."""
MAX_WAIT: Final = 300

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
_WAIT = re.compile(r"(?:\A|[,;\s])wait=([0-9]{1,6})(?:\Z|[,;\s])", re.IGNORECASE)


class HeaderError(ValueError):
    """A header field that is not in the form its document gives it."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a response asks for: the value of `requirement` and its parameters (draft-11 §11.6.1)."""

    value: str
    params: Mapping[str, Bare] = field(default_factory=dict, repr=False)

    def text(self, name: str) -> str:
        """A parameter that must be a string. Raises `HeaderError`."""
        value = self.params.get(name)
        if type(value) is not str or not value:
            raise HeaderError(f"requirement={self.value} lacks its parameter {name}")
        return value

    def header(self) -> tuple[str, str]:
        """As a header field."""
        member = (Token(self.value), dict(self.params))
        return ("aauth-requirement", serialize_dictionary({"requirement": member}))


AGENT_TOKEN_REQUIRED: Final = Requirement("agent-token")
PERSON_TOKEN_REQUIRED: Final = Requirement("person-token")
APPROVAL_PENDING: Final = Requirement("approval")


def auth_token_required(resource_token: str) -> Requirement:
    """`requirement=auth-token` with the resource token to take to the person server (draft-11 §6.5)."""
    return Requirement("auth-token", {"resource-token": resource_token})


def interaction_required(url: str, code: str) -> Requirement:
    """`requirement=interaction` with the page and its code (draft-11 §11.6.3)."""
    return Requirement("interaction", {"url": url, "code": code})


def parse_requirement(values: Sequence[str]) -> Requirement | None:
    """`AAuth-Requirement`, or `None` where the response has none. Raises `HeaderError` if it is malformed."""
    if not values:
        return None
    try:
        members = parse_dictionary(values, duplicates=False)
    except FieldError as error:
        raise HeaderError(f"AAuth-Requirement: {error}") from error
    value, params = members.get("requirement", (None, {}))
    if not isinstance(value, Token):
        raise HeaderError("AAuth-Requirement names no requirement")
    return Requirement(str(value), params)


@dataclass(frozen=True, slots=True)
class SignatureErrorField:
    """`Signature-Error` as a client reads it (Signature-Keys §5.1)."""

    error: str
    required_input: tuple[str, ...] = ()


def parse_signature_error(values: Sequence[str]) -> SignatureErrorField | None:
    """`Signature-Error`, or `None`. Unknown members are ignored. Raises `HeaderError`."""
    if not values:
        return None
    try:
        members = parse_dictionary(values)
    except FieldError as error:
        raise HeaderError(f"Signature-Error: {error}") from error
    value = members.get("error", (None, {}))[0]
    if not isinstance(value, Token):
        raise HeaderError("Signature-Error names no error")
    listed = members.get("required_input", ([], {}))[0]
    names = tuple(item for item, _ in listed if isinstance(item, str)) if isinstance(listed, list) else ()
    return SignatureErrorField(str(value), names)


def parse_accepted(values: Sequence[str]) -> tuple[str, ...] | None:
    """`Accept-Signature-Scheme` or `Accept-Signature-Alg`: tokens in order of preference, or `None` where absent."""
    if not values:
        return None
    try:
        return tuple(token_list(values))
    except FieldError:
        return ()


@lru_cache(maxsize=64)
def capabilities_header(values: tuple[str, ...]) -> tuple[str, str]:
    """`AAuth-Capabilities` (draft-11 §11.7); `values` is not empty."""
    return ("aauth-capabilities", serialize_list([(Token(value), {}) for value in values]))


def parse_capabilities(values: Sequence[str]) -> frozenset[str]:
    """The capabilities a request declares; unknown ones are kept, an absent or broken field declares none."""
    try:
        return frozenset(token_list(values))
    except FieldError:
        return frozenset()


def parse_session_token(values: Sequence[str]) -> str | None:
    """The one token68 of `AAuth-Access`, or `None` where absent (draft-11 §6.3). Raises `HeaderError`."""
    if not values:
        return None
    if len(values) > 1 or not _TOKEN68.match(values[0]):
        raise HeaderError("AAuth-Access is not exactly one token68")
    return values[0]


def parse_authorization(values: Sequence[str]) -> str | None:
    """The session token of `Authorization: AAuth`, or `None` if that scheme is not used. Raises `HeaderError`."""
    mine = [value for value in values if value.split(" ", 1)[0].lower() == "aauth"]
    if not mine:
        return None
    token = mine[0][len("aauth") :].lstrip(" ")
    if len(values) > 1 or not _TOKEN68.match(token):
        raise HeaderError("Authorization: AAuth does not carry exactly one token68")
    return token


def parse_wait(values: Sequence[str]) -> int:
    """The seconds of `Prefer: wait=N` (RFC 7240 §4.3), at most `MAX_WAIT`; 0 where it is absent."""
    match = _WAIT.search(",".join(values)[:1024])
    return min(int(match.group(1)), MAX_WAIT) if match else 0


def parse_retry_after(values: Sequence[str]) -> int:
    """The seconds of `Retry-After`, at most an hour; 5 where it is absent or a date (draft-11 §11.8.3)."""
    if not values or not values[0].strip().isdecimal():
        return DEFAULT_RETRY_AFTER
    return min(int(values[0].strip()[:9]), MAX_RETRY_AFTER)


# RFC 8288 §3: a parameter's value is optional, and what stands in a quoted one is no parameter.
_LINK_NAME, _LINK_QUOTED, _LINK_BARE = r"[\w!#$%&'*+.^`|~-]+", r'(?:[^"\\]++|\\.)*+', r'[^\s;,"]*'
_LINK_PARAM = re.compile(rf'\s*;\s*({_LINK_NAME})(?:\s*=\s*(?:"({_LINK_QUOTED})"|({_LINK_BARE})))?', re.ASCII)
_LINK_PARAMS = rf'(?:\s*;\s*{_LINK_NAME}(?:\s*=\s*(?:"{_LINK_QUOTED}"|{_LINK_BARE}))?)*'
_LINK = re.compile(rf"<([^<>\s]{{1,1024}})>({_LINK_PARAMS})", re.ASCII)
RESOURCE_WELL_KNOWN: Final = "/.well-known/aauth-resource.json"


def resource_link(issuer: str) -> tuple[str, str]:
    """The `Link` field that names a resource's metadata (draft-11 §11.2.5)."""
    return ("link", f'<{issuer}{RESOURCE_WELL_KNOWN}>; rel="aauth-resource"')


def parse_resource_links(values: Sequence[str], loopback: LoopbackProfile = NO_LOOPBACK) -> tuple[str, ...]:
    """The resource identifiers that `Link` fields name; a target of any other form is left out (draft-11 §11.2.5)."""
    found: list[str] = []
    for target, params in _LINK.findall(", ".join(values)[:16384]):
        rels = (quoted or bare for name, quoted, bare in _LINK_PARAM.findall(params) if name.lower() == "rel")
        relations = next(rels, "").lower().split()  # of several `rel` the first counts
        if "aauth-resource" not in relations or not target.endswith(RESOURCE_WELL_KNOWN):
            continue
        try:
            issuer = check_server_identifier(target.removesuffix(RESOURCE_WELL_KNOWN), loopback)
        except InvalidIdentifier:
            continue
        if issuer not in found:
            found.append(issuer)
    return tuple(found)
