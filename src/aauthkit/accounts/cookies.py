"""The one cookie: its name, how it is read, how it is set."""

from __future__ import annotations

import re
from typing import Final

from ..protocol.identifiers import authority_of, scheme_of
from ..serving import Request

_VALUE: Final = re.compile(r"[A-Za-z0-9_.-]{32,160}\Z")


def cookie_name(issuer: str, *, loopback: bool) -> str:
    """`__Host-aauthkit`; in the loopback profile a name with the port, since cookies know no ports.

    Raises `ValueError` where `issuer` is not https and the profile is off.
    """
    if loopback and scheme_of(issuer) == "http":
        return f"aauthkit-{authority_of(issuer).rpartition(':')[2]}"
    if scheme_of(issuer) != "https":
        raise ValueError(f"{issuer} is not https, and the loopback profile is off: no session could be kept secret")
    return "__Host-aauthkit"


def read_cookie(request: Request, name: str) -> str | None:
    """The cookie's value, if the request carries it once and it could be ours; of one that stands twice, none."""
    found = []
    for line in request.values("cookie"):
        for pair in line.split(";"):
            key, equals, value = pair.strip().partition("=")
            if equals and key == name:
                found.append(value)
    return found[0] if len(found) == 1 and _VALUE.match(found[0]) else None


def set_cookie(name: str, value: str, seconds: int) -> tuple[str, str]:
    """A `Set-Cookie` field (RFC 6265 §4.1) that lasts for `seconds`; 0 removes the cookie."""
    secure = "; Secure" if name.startswith("__Host-") else ""
    return "set-cookie", f"{name}={value}; Path=/; Max-Age={seconds}{secure}; HttpOnly; SameSite=Lax"
