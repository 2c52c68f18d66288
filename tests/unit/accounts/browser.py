"""A browser as far as a session sees it: a cookie jar, and the fields a browser adds to a request."""

from __future__ import annotations

from collections.abc import Sequence

from aauthkit.serving import Request


class Browser:
    """Keeps the cookies it is given and sends them back, with the origin it shows on a post."""

    def __init__(self, origin: str | None, peer: str | None = "192.0.2.7") -> None:
        self.origin = origin
        self.peer = peer
        self.cookies: dict[str, str] = {}
        self.given: list[str] = []

    def take(self, fields: Sequence[tuple[str, str]]) -> None:
        """Keep what `Set-Cookie` says; a cookie of age 0 goes."""
        for name, line in fields:
            assert name == "set-cookie"
            self.given.append(line)
            pair, _, attributes = line.partition(";")
            key, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = value

    def request(self, method: str = "GET", target: str = "/", *extra: tuple[str, str]) -> Request:
        """A request with every cookie it has."""
        headers = [("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))]
        if method == "POST" and self.origin is not None:
            headers.append(("origin", self.origin))
        return Request(method, target, (*headers, *extra), peer=self.peer)
