"""A request of the agent's user as a value, and what is sent for it. No HTTP library here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..outbound import request_target
from ..protocol.messages import HeaderList, SignedRequest

SIGNATURE_FIELDS: Final = frozenset({"signature", "signature-input", "signature-key"})
"""Fields that this agent alone writes; a caller's are left out, since a second signature would be somebody else's."""
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_ABOUT_THE_INVOCATION: Final = frozenset({"expect", "range", "te", "trailer", "prefer"})


@dataclass(frozen=True, slots=True)
class Original:
    """A request as its user made it, whole and unsigned. `authority` is lower case, without the default port."""

    method: str
    scheme: str
    authority: str
    target: str
    headers: HeaderList = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def url(self) -> str:
        """The absolute URL."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.target.partition("?")[0]

    @property
    def safe(self) -> bool:
        """Whether sending it twice does no harm (RFC 9110 §9.2.1)."""
        return self.method in ("GET", "HEAD", "OPTIONS", "TRACE")

    def unsigned(self) -> SignedRequest:
        """The message before it is signed: with its own length, and without what only an agent writes."""
        dropped = SIGNATURE_FIELDS | _FRAMING
        fields = [(name, value) for name, value in self.headers if name not in dropped]
        if self.body or self.method in ("POST", "PUT", "PATCH", "QUERY"):
            fields.append(("content-length", str(len(self.body))))
        return SignedRequest(self.method, self.scheme, self.authority, self.target, tuple(fields))

    def poll(self, location: str, wait: int) -> SignedRequest:
        """The GET of this invocation's pending URL: its fields, but for those about its body (draft-11 §11.8.3)."""
        dropped = SIGNATURE_FIELDS | _FRAMING | _ABOUT_THE_INVOCATION
        kept = [
            (name, value)
            for name, value in self.headers
            if name not in dropped and not name.startswith(("content-", "if-"))
        ]
        fields = [*kept, *([("prefer", f"wait={wait}")] if wait else [])]
        return SignedRequest("GET", self.scheme, self.authority, request_target(location), tuple(fields))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What goes on the wire, signed. `wait` is for how long, in seconds, a poll may be held by the server."""

    method: str
    url: str
    target: str
    headers: HeaderList = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    poll: bool = False
    wait: int = 0
