"""How a stranger's text and a secret are shown: nothing a terminal would obey, nothing that opens a door.

Every value of a signature base that is printed or logged passes through `shown`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

MAX_SHOWN: Final = 160
"""Longest value that is shown whole, in characters."""
HARMLESS: Final = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "digest",
        "host",
        "origin",
        "user-agent",
        "want-content-digest",
    ]
)
"""Fields whose values are shown; of any other only the beginning is."""
SECRET: Final = frozenset({"authorization", "proxy-authorization", "cookie", "aauth-access", "dpop"})
"""Fields of whose values nothing is shown but the scheme and the length."""

_TOKENLIKE = re.compile(r"[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]*)*")
_SEGMENT = re.compile(r"(?<=[/=])[A-Za-z0-9_.~%-]{20,}")
_SECRET_PARAMETER = re.compile(
    r"((?:^|[?&;])[^=&]*(?:code|token|secret|password|key|signature|assertion|state|ticket|session)[^=&]*=)[^&]+",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """A stranger's text with what a terminal would obey, or a reader not see, written out as `\\x1b` and the like."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def relative(seconds: float) -> str:
    """A difference of time in words: `in 5 min`, `3 s ago`."""
    text = lasting(seconds)
    return f"in {text}" if seconds > 0 else f"{text} ago"


def lasting(seconds: float) -> str:
    """A length of time in words: `5 min`, `3 s`."""
    size = abs(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if size >= 2 * length:
            return f"{int(size // length)} {unit}"
    return f"{int(size)} s"


def moment(seconds: float) -> str:
    """A time since the epoch as people write it."""
    if not 0 <= seconds < 2**37:
        return str(int(seconds))
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def shortened(text: str, keep: int = MAX_SHOWN) -> str:
    """The first characters, and how many there are."""
    return text if len(text) <= keep else f"{text[:keep]}… ({len(text)} characters)"


def shown(name: str, value: str) -> str:
    """The value of a component as it may be printed or logged: `name` is the component's, such as `@path`."""
    if name == "signature-key":
        hidden = _TOKENLIKE.sub(lambda found: f"{found.group()[:8]}…", value)
        return plain(hidden[:MAX_SHOWN]) + (f" ({len(value)} characters)" if hidden != value else "")
    if name in SECRET:
        scheme, space, rest = value.partition(" ")
        kept = scheme if space and len(scheme) <= 16 and rest else ""
        return plain(f"{kept} … ({len(value)} characters)".lstrip())
    if name == "@query-param":
        return plain(shortened(value, 16))
    if name.startswith("@"):
        return plain(shortened(_derived(value)))
    if name in HARMLESS:
        return plain(shortened(value))
    return plain(shortened(value, 16))


def _derived(value: str) -> str:
    """A part of the request line, or the parameters, without what may be a code or a name that opens something."""
    path, mark, query = value.partition("?")
    path = _SEGMENT.sub(lambda found: "…" if _random(found.group()) else found.group(), path)
    query = _SECRET_PARAMETER.sub(r"\1…", query)
    return path + mark + _SEGMENT.sub(lambda found: "…" if _random(found.group()) else found.group(), query)


def _random(text: str) -> bool:
    """Whether it looks made by a machine: a digit, or both cases, in a long run of letters."""
    return any(each.isdigit() for each in text) or (text != text.lower() and text != text.upper())
