"""The one way out: a request signed in a party's own name, and a pending URL followed to its end.

Agents and servers both send through here. A request that cannot be signed is not sent (draft-11 §11.3.3).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import urldefrag, urljoin, urlsplit

from opentelemetry.trace import SpanKind

from . import telemetry
from .egress import EgressError
from .protocol.headers import HeaderError, Requirement, parse_requirement, parse_retry_after
from .protocol.httpsig import BASE_COMPONENTS, content_digest, sign_request
from .protocol.identifiers import origin_of
from .protocol.jose import JoseError, SigningKey, parse_json
from .protocol.messages import Answer, SignedRequest
from .protocol.plain_form import is_plain_value, sign_plain
from .protocol.signature_key import jwks_uri_header, jwt_header

DEFAULT_WAIT: Final = 45
"""Seconds a poll asks the server to hold it (`Prefer: wait`)."""
MAX_ANSWER: Final = 256 * 1024
"""Largest body read from a protocol endpoint, in bytes."""
SLOWER: Final = 5
"""Seconds that each 429 adds to the interval between polls (draft-11 §11.8.3)."""
LOST_PAUSES: Final = (1, 2, 5, 10, 30)
"""Seconds before a poll that was lost on the way is repeated, each time it is lost again."""


class OutboundError(Exception):
    """A call in a party's own name that did not come to its end; the message says why."""


class PendingElsewhere(OutboundError):
    """A pending `Location` on another origin: nothing is sent there (draft-11 §11.8.2, §13.2)."""


class Http(Protocol):
    """What sends a request; `aauthkit.egress.Http` is one."""

    async def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeout: float,
        limit: int,
        guarded: bool = True,
    ) -> Answer:
        """One exchange, bounded in time and size; redirects are not followed."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request is signed with: the private key, and the Signature-Key that says whose it is."""

    key: SigningKey = field(repr=False)
    signature_key: str = field(repr=False)
    plain: bool = field(init=False, repr=False, compare=False)
    """Whether `signature_key` is signed just as it is; looked at once, for it is long."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "plain", is_plain_value(self.signature_key))

    @classmethod
    def from_token(cls, key: SigningKey, token: str) -> Credential:
        """An agent's: `token` carries this key in `cnf`."""
        return cls(key, jwt_header(token))

    @classmethod
    def from_server(cls, key: SigningKey, issuer: str, dwk: str) -> Credential:
        """A server's, in its own name (draft-11 §11.3.2)."""
        return cls(key, jwks_uri_header(issuer, dwk, key.kid))


def request_target(url: str) -> str:
    """The target of an absolute URL as it goes on the wire: path, and query if there is a `?`."""
    parts = urlsplit(url)
    rest = url.split("#", 1)[0].partition("://")[2]
    return rest[len(parts.netloc) :] if rest[len(parts.netloc) :].startswith("/") else f"/{rest[len(parts.netloc) :]}"


def sign_outgoing(
    request: SignedRequest,
    credential: Credential,
    *,
    now: float,
    body: bytes | None = None,
    nonce: str | None = None,
    components: Iterable[str] = (),
) -> tuple[tuple[str, str], ...]:
    """The fields to add to `request`: Content-Digest where there is a body, then the three that sign it.

    Covered are the base components (draft-11 §11.3.3.1), a query if there is one, the digest and type of a body, a
    session token in `Authorization` (§6.3), and whatever `components` names.
    """
    fields = dict(request.headers)
    extra: tuple[tuple[str, str], ...] = ()
    if body and "content-digest" not in fields:
        extra = (("content-digest", content_digest(body)),)
        fields |= extra
    names = _covered(
        "?" in request.target, bool(body), "content-type" in fields, "authorization" in fields, tuple(components)
    )
    signed = None
    if credential.plain and len(fields) == len(request.headers) + len(extra):
        signed = sign_plain(
            request,
            fields,
            credential.key,
            signature_key=credential.signature_key,
            names=names,
            created=int(now),
            nonce=nonce,
        )
    if signed is None:
        signed = sign_request(
            request.with_headers(extra),
            credential.key,
            signature_key=credential.signature_key,
            components=names,
            created=int(now),
            nonce=nonce,
        )
    return (*extra, *signed)


@lru_cache(maxsize=64)
def _covered(
    query: bool, body: bool, content_type: bool, authorization: bool, components: tuple[str, ...]
) -> tuple[str, ...]:
    """What a signature covers besides `signature-key`, each once: see `sign_outgoing`."""
    covered = [*BASE_COMPONENTS[:3]]
    if query:
        covered.append("@query")
    if body:
        covered.append("content-digest")
    if body and content_type:
        covered.append("content-type")
    if authorization:
        covered.append("authorization")
    more = (name for name in components if name not in covered and name != "signature-key")
    return tuple(dict.fromkeys((*covered, *more)))


@dataclass(frozen=True, slots=True)
class Pending:
    """A 202 as it was answered last (draft-11 §11.8.2). `location` is absolute, and known to nobody else (§13.2)."""

    location: str = field(repr=False)
    retry_after: int
    requirement: Requirement | None
    status: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_pending(answer: Answer, url: str) -> Pending:
    """The pending state that a 202 from `url` describes. Raises `PendingElsewhere`, `OutboundError`."""
    location = answer.header("location")
    if location is None:
        raise OutboundError("a 202 without Location cannot be followed (draft-11 §11.8.2)")
    try:
        absolute = urldefrag(urljoin(url, location)).url
        elsewhere = origin_of(absolute) != origin_of(url) or "@" in urlsplit(absolute).netloc
    except ValueError as error:
        raise OutboundError("the Location of a 202 is not a URL (draft-11 §11.8.2)") from error
    if elsewhere:
        raise PendingElsewhere("the pending URL is on another origin; it is not followed (draft-11 §11.8.2)")
    try:
        requirement = parse_requirement(answer.values("aauth-requirement"))
    except HeaderError as error:
        raise OutboundError(str(error)) from error
    body = _json_or_nothing(answer)
    status = body.get("status")
    return Pending(
        absolute,
        parse_retry_after(answer.values("retry-after")),
        requirement,
        status if isinstance(status, str) else "pending",
        body,
    )


def _named_pause(answer: Answer) -> int:
    """The seconds that an answer names in Retry-After, 0 if it names none."""
    values = answer.values("retry-after")
    return parse_retry_after(values) if values else 0


def _json_or_nothing(answer: Answer) -> Mapping[str, Any]:
    try:
        return parse_json(answer.body) if answer.body else {}
    except JoseError:
        return {}


OnPending = Callable[[Pending], Awaitable[None]]
CurrentCredential = Callable[[], Awaitable[Credential]]
"""Asked before every poll, where what a party signs with may be renewed while it waits."""


async def ignore_pending(_pending: Pending) -> None:
    """For a caller that has nothing to do while it waits."""


class Outbound:
    """Sends signed requests and follows deferred responses (draft-11 §11.8)."""

    def __init__(
        self,
        http: Http,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        nonce: Callable[[], str] | None = lambda: secrets.token_urlsafe(12),
        guarded: bool = True,
    ) -> None:
        self._http = http
        self._clock = clock
        self._sleep = sleep
        self._nonce = nonce
        self._guarded = guarded

    async def call(
        self,
        method: str,
        url: str,
        credential: Credential,
        *,
        json_body: Mapping[str, Any] | None = None,
        wait: int = 0,
        headers: Sequence[tuple[str, str]] = (),
        timeout: float = 15.0,
    ) -> Answer:
        """One signed request; `wait` seconds are asked for with `Prefer` and added to the time limit."""
        body = json.dumps(json_body, ensure_ascii=False, allow_nan=False).encode() if json_body is not None else b""
        fields = [*headers, *telemetry.onward(tuple(headers))]
        if body:
            fields.append(("content-type", "application/json"))
        if wait:
            fields.append(("prefer", f"wait={wait}"))
        parts = urlsplit(url)
        request = SignedRequest(method, parts.scheme, parts.netloc, request_target(url), tuple(fields))
        nonce = self._nonce() if self._nonce else None
        fields += sign_outgoing(request, credential, now=self.time_at(url), body=body, nonce=nonce)
        return await self._http.send(
            method, url, fields, body, timeout=timeout + wait, limit=MAX_ANSWER, guarded=self._guarded
        )

    async def follow(
        self,
        answer: Answer,
        url: str,
        credential: Credential | CurrentCredential,
        *,
        on_pending: OnPending = ignore_pending,
        wait: int = DEFAULT_WAIT,
    ) -> Answer:
        """`answer`, or where it is a 202 the terminal response that its pending URL gives in the end.

        Polls with signed GETs at `Retry-After`, slower by five seconds after each 429, and backs off on 503 (draft-11
        §11.8.3, §11.8.4); `on_pending` sees every 202, so that a requirement that appears late is acted on. A wait that
        was interrupted goes on where `answer` is that of a poll and `url` its pending URL. Raises `OutboundError`,
        `EgressError`.
        """
        if answer.status != 202:
            return answer
        with telemetry.span("outbound", "aauth.wait", {"aauth.on": origin_of(url)}) as told:

            async def meet(pending: Pending) -> None:
                if pending.requirement is not None:
                    told.set_attribute("aauth.requirement", telemetry.requirement_of(pending.requirement.value))
                await on_pending(pending)

            answer = await self._follow(answer, url, credential, meet, wait)
            told.set_attribute("http.response.status_code", answer.status)
            return answer

    async def _follow(
        self, answer: Answer, url: str, credential: Credential | CurrentCredential, on_pending: OnPending, wait: int
    ) -> Answer:
        interval, slower, location = 0, 0, None
        while True:
            if answer.status == 202:
                if location is not None and answer.header("location") is None:
                    answer = answer.with_headers(("location", location))  # a poll's answer may take it as known
                pending = read_pending(answer, location or url)
                location = pending.location
                await on_pending(pending)
                interval = delay = pending.retry_after
            elif location is not None and answer.status == 429:
                slower += SLOWER
                delay = max(interval, _named_pause(answer))
            elif location is not None and answer.status == 503:
                delay = max(parse_retry_after(answer.values("retry-after")), 1)
            else:
                return answer
            await self.sleep(delay + slower)
            answer = await self._poll(location, credential, wait)

    async def _poll(self, location: str, credential: Credential | CurrentCredential, wait: int) -> Answer:
        """One poll; one that is lost on the way is made again, a few times. Raises `EgressError`."""
        for pause in (*LOST_PAUSES, None):
            current = credential if isinstance(credential, Credential) else await credential()
            try:
                with telemetry.span(
                    "outbound", "aauth.poll", {"aauth.on": origin_of(location)}, kind=SpanKind.CLIENT
                ) as told:
                    answer = await self.call("GET", location, current, wait=wait)
                    told.set_attribute("http.response.status_code", answer.status)
                    return answer
            except EgressError as error:
                if pause is None or not error.passing:
                    raise
            await self.sleep(pause)
        raise AssertionError("the last try either returned or raised")

    def time_at(self, url: str) -> float:
        """The time a request to `url` is signed at: this party's own clock, unless one knows better."""
        return self._clock()

    async def sleep(self, seconds: float) -> None:
        """Wait, by this party's own clock."""
        await self._sleep(seconds)
