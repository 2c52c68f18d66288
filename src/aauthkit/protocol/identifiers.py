"""Identifiers: servers (draft-11 §11.1.1), endpoints (§11.1.2), agents (§5.2), scopes (§11.10), codes (§11.6.3.1)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Final
from urllib.parse import urlsplit

MAX_IDENTIFIER: Final = 512
"""Longest server identifier that is looked at, in characters."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_LOOPBACK_ORIGIN = re.compile(rf"http://(?:{_LABEL}\.)*localhost:[1-9][0-9]{{0,4}}\Z")
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z")  # what a URL parser reads as an IPv4 address
_LOCAL_PART = re.compile(r"[A-Za-z0-9._+-]{1,255}\Z")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,256}\Z")  # RFC 6749 §3.3


class InvalidIdentifier(ValueError):
    """A string that is not the identifier it was given as; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class LoopbackProfile:
    """The origins that may be server identifiers although they are `http` and carry a port.

    For one machine only: names are `localhost` or below it, and each origin is listed. Two origins that differ only in
    their port are refused, since an agent identifier holds the host without the port.
    """

    origins: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        hosts: set[str] = set()
        for origin in self.origins:
            if not _LOOPBACK_ORIGIN.match(origin):
                raise InvalidIdentifier(f"{origin!r} is not of the form http://NAME.localhost:PORT")
            host, _, port = origin.removeprefix("http://").rpartition(":")
            if int(port) > 65535:
                raise InvalidIdentifier(f"{origin!r} names no port")
            if host in hosts:
                raise InvalidIdentifier(f"two origins of the loopback profile share the host {host!r}")
            hosts.add(host)


NO_LOOPBACK: Final = LoopbackProfile()


def check_server_identifier(value: object, loopback: LoopbackProfile = NO_LOOPBACK) -> str:
    """`value`, if it is a server identifier: `https://host` and nothing more (draft-11 §11.1.1).

    Origins listed in `loopback` are accepted as well. Raises `InvalidIdentifier`.
    """
    if not isinstance(value, str) or len(value) > MAX_IDENTIFIER:
        raise InvalidIdentifier("a server identifier is a string of bounded length")
    if value not in loopback.origins:
        _check_named(value)
    return value


@lru_cache(maxsize=1024)
def _check_named(value: str) -> None:
    """Return if `value` is `https://host`. Remembered: the same few parties are named in every token."""
    host = value.removeprefix("https://")
    if host == value:
        raise InvalidIdentifier(f"{value!r} does not use the https scheme")
    if not _HOST.match(host):
        raise InvalidIdentifier(f"{value!r} is not https:// and a lower-case host, without port, path or slash")
    if _NUMERIC_END.match(host):
        raise InvalidIdentifier(f"{value!r} is an address, not a name")


def is_server_identifier(value: object, loopback: LoopbackProfile = NO_LOOPBACK) -> bool:
    """Whether `check_server_identifier` accepts `value`."""
    try:
        check_server_identifier(value, loopback)
    except InvalidIdentifier:
        return False
    return True


def authority_of(identifier: str) -> str:
    """The authority a request to this server carries: its host, with a port only in the loopback profile."""
    return identifier.partition("://")[2]


def scheme_of(identifier: str) -> str:
    """`https`, or `http` in the loopback profile."""
    return identifier.partition("://")[0]


def host_of(identifier: str) -> str:
    """The host of a server identifier, without port: the domain of the agents it provides."""
    return authority_of(identifier).partition(":")[0]


def check_endpoint(value: object, issuer: str, loopback: LoopbackProfile = NO_LOOPBACK, *, query: bool = False) -> str:
    """`value`, if it is an `https` URL fit to be an endpoint: no user, no fragment, no query unless `query` (§11.1.2).

    An endpoint of an issuer in the loopback profile may stand on any listed origin.
    """
    if not isinstance(value, str) or len(value) > 2048 or not value.isascii():
        raise InvalidIdentifier("an endpoint is an ASCII URL of bounded length")
    if any(character <= " " or character in '"<>\\^`{|}' or character == "\x7f" for character in value):
        raise InvalidIdentifier("the URL holds a character that no URL may hold")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise InvalidIdentifier(f"{value!r} is not a URL") from error
    origin = f"{parts.scheme}://{parts.netloc}"
    listed = issuer in loopback.origins and origin in loopback.origins
    if parts.scheme != "https" and not listed:
        raise InvalidIdentifier(f"{value!r} does not use the https scheme")
    if not parts.hostname or "@" in parts.netloc or (port is not None and not 0 < port < 65536):
        raise InvalidIdentifier(f"{value!r} has no proper authority")
    if "#" in value or ("?" in value and not query):
        raise InvalidIdentifier(f"{value!r} carries a query or a fragment")
    return value


def origin_of(url: str) -> str:
    """Scheme and authority of an absolute URL, lower case, without the scheme's default port.

    Raises `InvalidIdentifier` where `url` is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidIdentifier("not a URL") from error
    authority = parts.netloc.rpartition("@")[2].lower()
    default = {"https": ":443", "http": ":80"}.get(parts.scheme.lower(), "")
    return f"{parts.scheme.lower()}://{authority.removesuffix(default) if default else authority}"


@dataclass(frozen=True, slots=True)
class AgentIdentifier:
    """`aauth:local@domain`, compared as an exact string (draft-11 §5.2)."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"aauth:{self.local}@{self.domain}"


def parse_agent_identifier(value: object) -> AgentIdentifier:
    """Read `aauth:local@domain` (draft-11 §5.2). Raises `InvalidIdentifier`."""
    if not isinstance(value, str) or len(value) > MAX_IDENTIFIER + 256:
        raise InvalidIdentifier("an agent identifier is a string of bounded length")
    scheme, colon, rest = value.partition(":")
    local, at, domain = rest.partition("@")
    if scheme != "aauth" or not colon or not at:
        raise InvalidIdentifier(f"{value!r} is not of the form aauth:local@domain")
    if not _LOCAL_PART.match(local):
        raise InvalidIdentifier("the local part holds 1 to 255 of A-Z a-z 0-9 - _ + .")
    if not _HOST.match(domain) or _NUMERIC_END.match(domain):
        raise InvalidIdentifier("the domain of an agent identifier is a lower-case host name")
    return AgentIdentifier(local, domain)


def check_top_level_local(local: str) -> str:
    """`local`, if a top-level agent may have it: `+` is reserved for sub-agents (draft-11 §5.2)."""
    if not _LOCAL_PART.match(local) or "+" in local:
        raise InvalidIdentifier("an agent name holds 1 to 255 of A-Z a-z 0-9 - _ . and no +")
    return local


def parse_scope(value: object) -> frozenset[str]:
    """A space-separated scope string as a set; the empty string is the empty set. Raises `InvalidIdentifier`."""
    if not isinstance(value, str) or len(value) > 8192:
        raise InvalidIdentifier("a scope is a string of bounded length")
    return _scope_values(value) if len(value) <= 256 else _scope_values.__wrapped__(value)


@lru_cache(maxsize=1024)
def _scope_values(value: str) -> frozenset[str]:
    """The values of a scope string. Short ones are remembered: a resource has few scopes and grants them every time."""
    if value == "":
        return frozenset()
    tokens = value.split(" ")
    for token in tokens:
        if not _SCOPE_TOKEN.match(token):
            raise InvalidIdentifier(f"{token!r} is not a scope value")
    return frozenset(tokens)


def format_scope(values: frozenset[str] | set[str] | list[str] | tuple[str, ...]) -> str:
    """Scope values as one string, in a stable order."""
    return " ".join(sorted(set(values)))


CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_SYMBOLS: Final = 8
"""Symbols of an interaction code: 40 bits, the least that draft-11 §11.6.3.1 allows."""


_CODE_FOLD: Final = str.maketrans(ascii_lowercase + "ILO" + "ilo", ascii_uppercase + "110" + "110", "-")


def new_code(choose: Callable[[str], str]) -> str:
    """A fresh interaction code such as `A1B2-C3D4`; `choose` picks a symbol from a secure random source."""
    symbols = "".join(choose(CROCKFORD) for _ in range(CODE_SYMBOLS))
    return f"{symbols[:4]}-{symbols[4:]}"


def fold_code(value: str) -> str:
    """A code as it is compared: without hyphens, upper case, `I`/`L` as 1 and `O` as 0 (draft-11 §11.6.3.1)."""
    return value.translate(_CODE_FOLD)[:64]


def same_code(left: str, right: str) -> bool:
    """Whether two codes are the same, in constant time."""
    return hmac.compare_digest(fold_code(left).encode("utf-8", "replace"), fold_code(right).encode("utf-8", "replace"))
