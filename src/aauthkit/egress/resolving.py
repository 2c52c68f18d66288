"""From a name to its addresses. Apart from everything else so that a test can answer in its place."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

Resolver = Callable[[str, int], Sequence[str]]
"""Takes a host and a port and gives addresses as text, best first; may block, and raises `OSError` if there is none."""


def system_resolver(host: str, port: int) -> list[str]:
    """What this machine's resolver answers, in its own order of preference. Blocks; raises `OSError`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the name cannot be looked up") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
