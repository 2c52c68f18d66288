"""An agent that calls and follows, and the server it calls, which answers from a script and may lose what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aauthkit.egress import EgressError
from aauthkit.outbound import Credential, Outbound, Pending, request_target
from aauthkit.protocol.httpsig import parse_signature_input, parse_signatures, signature_base
from aauthkit.protocol.jose import PublicKey
from aauthkit.protocol.messages import Answer, SignedRequest, json_answer
from tests.plugins.signing import NOW, Issuer, new_key

PS = "https://ps.example"
TOKEN_URL = f"{PS}/token"
PENDING_URL = f"{PS}/pending/p1"
KEY = new_key()
CREDENTIAL = Credential.from_token(KEY, Issuer("https://agents.example").agent_token(KEY.public))


@dataclass
class Sent:
    """A request as it went out."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout: float

    def value(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def verified(self, key: PublicKey) -> tuple[list[str], dict[str, Any]]:
        """What the signature covers, and its parameters, after it verified under `key`."""
        parts = urlsplit(self.url)
        request = SignedRequest(self.method, parts.scheme, parts.netloc, request_target(self.url), self.headers)
        (entry,) = parse_signature_input(request.values("signature-input")).values()
        (signature,) = parse_signatures(request.values("signature")).values()
        key.verify(signature_base(request, entry), signature)
        return [str(item).strip('"') for item in entry.components], entry.params


@dataclass
class Script:
    """A server that answers what it is told to, in order, and lets a request be lost where it is told that."""

    answers: list[Answer | EgressError] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    guarded: list[bool] = field(default_factory=list)

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeout: float = 10.0,
        limit: int = 0,
        guarded: bool = True,
    ) -> Answer:
        self.sent.append(Sent(method, url, tuple(headers), body, timeout))
        self.guarded.append(guarded)
        answer = self.answers.pop(0)
        if isinstance(answer, EgressError):
            raise answer
        return answer


class World:
    """An agent, its script of a server, its clock, and how long it slept."""

    def __init__(self, *answers: Answer | EgressError, **knobs: Any) -> None:
        self.http = Script(list(answers))
        self.slept: list[float] = []
        self.met: list[Pending] = []
        self.now = float(NOW)
        knobs = {"clock": lambda: self.now, "sleep": self.sleep, **knobs}
        self.outbound = Outbound(self.http, **knobs)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def meet(self, pending: Pending) -> None:
        self.met.append(pending)

    async def follow(self, first: Answer, url: str = TOKEN_URL, credential: Any = CREDENTIAL, **more: Any) -> Answer:
        return await self.outbound.follow(first, url, credential, on_pending=self.meet, **more)

    @property
    def polled(self) -> list[str]:
        return [sent.url for sent in self.http.sent]


def pending(location: str | None = "/pending/p1", *headers: tuple[str, str], retry: str | None = "0") -> Answer:
    fields = [*([("location", location)] if location is not None else []), *headers]
    return json_answer(202, {"status": "pending"}, *fields, *([("retry-after", retry)] if retry is not None else []))


DONE = json_answer(200, {"auth_token": "t"})
