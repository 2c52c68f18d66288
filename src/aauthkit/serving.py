"""What every role server speaks: a request, an answer, and a table of paths. No framework.

A role is a class with `async def answer(request) -> Answer`; ASGI, WSGI and others are adapters around that. A table of
paths (`Routes`) turns method and path into one function, and turns refusals into answers in one place.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from . import telemetry
from .protocol.headers import HeaderError, parse_requirement
from .protocol.httpsig import DigestCheck, DigestMismatch
from .protocol.identifiers import authority_of, scheme_of
from .protocol.jose import JoseError, parse_json
from .protocol.messages import Answer, HeaderList, Refusal, SignedRequest, header_values
from .protocol.problems import Problem, SignatureFailure, WireError
from .refusals import REFUSALS
from .store import StoreBusy, StoreUnavailable

log = logging.getLogger("aauthkit.serving")

MAX_BODY: Final = 64 * 1024
"""Largest body a role endpoint reads, in bytes."""
MAX_TARGET: Final = 8192
MAX_FIELD: Final = 32 * 1024
MAX_FIELDS: Final = 128
"""Bounds on what is looked at; beyond them the answer is 400."""
RETRY_STORE: Final = 5
"""Seconds after which a request that met a busy or absent database may be made again."""

_FORBIDDEN_IN_TARGET = re.compile(r"[^\x21-\x7E]|#")


class Body(Protocol):
    """Where a request's body comes from; read at most once."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces."""
        ...


@dataclass(frozen=True, slots=True)
class BytesBody:
    """A body that is here already."""

    data: bytes = field(default=b"", repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in one piece."""
        if self.data:
            yield self.data


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in: `target` raw and in origin form, header names lower case, `peer` an address."""

    method: str
    target: str
    headers: HeaderList = field(repr=False)
    body: Body = field(default_factory=BytesBody, repr=False)
    peer: str | None = None

    def values(self, name: str) -> list[str]:
        """Every value of the field `name` (lower case)."""
        return header_values(self.headers, name)

    def header(self, name: str) -> str | None:
        """The first value of the field `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def path(self) -> str:
        """The raw path."""
        return self.target.split("?", 1)[0] or "/"

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; of one that stands twice, none."""
        raw = self.target.partition("?")[2]
        return _unique(raw)

    @property
    def has_body(self) -> bool:
        """Whether the message says that a body follows (RFC 9112 §6)."""
        return bool(self.values("transfer-encoding")) or any(v.strip() != "0" for v in self.values("content-length"))

    def as_signed(self, identifier: str, *, prefix: str = "") -> SignedRequest:
        """What its signature was made over, for the server `identifier`; `prefix` is a path a proxy stripped."""
        target = f"{prefix}{self.target}" if prefix else self.target
        return SignedRequest(self.method, scheme_of(identifier), authority_of(identifier), target, self.headers)

    async def read(self, limit: int = MAX_BODY) -> bytes:
        """The whole body. Raises `Problem` 413 beyond `limit` bytes."""
        declared = self.header("content-length")
        if declared is not None and declared.isdecimal() and int(declared[:12]) > limit:
            raise Problem("payload_too_large", f"the body is larger than {limit} bytes")
        pieces: list[bytes] = []
        size = 0
        async for chunk in self.body.chunks():
            size += len(chunk)
            if size > limit:
                raise Problem("payload_too_large", f"the body is larger than {limit} bytes")
            pieces.append(chunk)
        return b"".join(pieces)

    async def read_json(self, digest: DigestCheck | None = None, limit: int = MAX_BODY) -> dict[str, Any]:
        """The body as one JSON object, compared with its digest first (RFC 9530).

        Raises `Problem` 400, 413 or 415, and `SignatureFailure` where the digest does not match.
        """
        kind = (self.header("content-type") or "").split(";", 1)[0].strip().lower()
        if kind != "application/json":
            raise Problem("unsupported_media_type", "the body must be application/json")
        raw = await self.read(limit)
        verify_digest(digest, raw)
        try:
            return parse_json(raw, limit=limit)
        except JoseError as error:
            raise Problem("invalid_request", f"the body: {error}") from error

    async def read_form(self, limit: int = MAX_BODY) -> dict[str, str]:
        """The body as an HTML form; of a field that stands twice, none. Raises `Problem`."""
        kind = (self.header("content-type") or "").split(";", 1)[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Problem("unsupported_media_type", "the body must be a form")
        return _unique((await self.read(limit)).decode("utf-8", "replace"))

    async def read_form_lists(self, limit: int = MAX_BODY) -> dict[str, list[str]]:
        """The body as an HTML form in which a field may stand several times. Raises `Problem`."""
        kind = (self.header("content-type") or "").split(";", 1)[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Problem("unsupported_media_type", "the body must be a form")
        found: dict[str, list[str]] = {}
        for name, value in _pairs((await self.read(limit)).decode("utf-8", "replace")):
            found.setdefault(name, []).append(value)
        return found


def verify_digest(digest: DigestCheck | None, body: bytes) -> None:
    """Return if `body` is the one the covered Content-Digest speaks of; raise 401 otherwise (draft-11 §11.3.3.1)."""
    if digest is None:
        return
    digest.update(body)
    try:
        digest.finish()
    except DigestMismatch as error:
        raise SignatureFailure("invalid_signature", str(error)) from error


def _pairs(raw: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw, keep_blank_values=True, max_num_fields=256)
    except ValueError:
        return []


def _unique(raw: str) -> dict[str, str]:
    seen: dict[str, list[str]] = {}
    for name, value in _pairs(raw):
        seen.setdefault(name, []).append(value)
    return {name: values[0] for name, values in seen.items() if len(values) == 1}


def check_message(request: Request) -> None:
    """Return if the message is one we look at at all; raise `Problem` 400 otherwise.

    A `#`, an absolute or asterisk form, a byte outside ASCII in the target, a second Host: none has one meaning.
    """
    target = request.target
    if len(target) > MAX_TARGET or not target.startswith("/") or _FORBIDDEN_IN_TARGET.search(target):
        raise Problem("invalid_request", "the request target is not in origin form, or too long")
    if len(request.headers) > MAX_FIELDS or any(len(value) > MAX_FIELD for _, value in request.headers):
        raise Problem("invalid_request", "too many or too long header fields")
    for name in ("host", "content-length", "content-type"):
        if len(request.values(name)) > 1:
            raise Problem("invalid_request", f"the field {name} stands twice")


class Server(Protocol):
    """A role, or several: takes a request and always answers."""

    async def answer(self, request: Request) -> Answer:
        """The answer to `request`, also where it is a refusal."""
        ...


Handler = Callable[..., Awaitable[Answer]]
"""Takes the request and, by keyword, what the path's `{names}` matched."""


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table: a method, a path with `{name}` segments, and what answers."""

    method: str
    path: str
    handler: Handler


def _pattern_of(path: str) -> re.Pattern[str]:
    """What a path with `{name}` segments matches: everything outside the braces to the letter."""
    literal = re.split(r"\{\w+\}", path)
    names = [f"(?P<{name}>[A-Za-z0-9._~-]{{1,128}})" for name in re.findall(r"\{(\w+)\}", path)]
    rest = "".join(name + re.escape(text) for name, text in zip(names, literal[1:], strict=True))
    return re.compile(re.escape(literal[0]) + rest + r"\Z")


Observe = Callable[[str, str, int, float], None]
"""Told of every answer: the template of its path, method, status, and the seconds it took."""


class Routes:
    """The table of a role's paths. HEAD is answered as GET; the adapter leaves the body out."""

    def __init__(self, *routes: Route, headers: Mapping[str, str] | None = None) -> None:
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        self._headers = tuple((headers or {}).items())
        self.routes = routes
        self.observe: Observe | None = None
        self._by_path: dict[str, dict[str, Handler]] = {}
        for route in routes:
            self._by_path.setdefault(route.path, {})[route.method] = route.handler
        self._patterns = [(_pattern_of(path), path) for path in self._by_path if "{" in path]

    def find(self, path: str) -> tuple[dict[str, Handler], dict[str, str]] | None:
        """The handlers of a path by method, and what its `{names}` matched."""
        matched = self._match(path)
        return None if matched is None else (self._by_path[matched[0]], matched[1])

    def _match(self, path: str) -> tuple[str, dict[str, str]] | None:
        """The path of the table that this one is, and what its `{names}` matched."""
        if path in self._by_path and "{" not in path:
            return path, {}
        for pattern, template in self._patterns:
            match = pattern.match(path)
            if match:
                return template, match.groupdict()
        return None

    def serves(self, path: str) -> bool:
        """Whether this table knows the path."""
        return self.find(path) is not None

    async def answer(self, request: Request) -> Answer:
        """The answer to `request`: a refusal becomes its answer, a fault of our own a bare 500.

        Records that are out of reach for the moment are 503, which a poll survives (draft-11 §11.8.4).
        """
        begun = time.perf_counter()
        with telemetry.serving(request.method, request.headers) as told:
            answer = await self._answer(request, told)
            told.answered(answer.status, _requirement_of(answer) if told.heard else None)
        if self.observe is not None:
            matched = self._match(request.path)
            route = matched[0] if matched is not None else ""
            self.observe(route, telemetry.method_of(request.method), answer.status, time.perf_counter() - begun)
        if not self._headers:
            return answer
        present = {name for name, _ in answer.headers}
        return answer.with_headers(*((n, v) for n, v in self._headers if n not in present))

    async def _answer(self, request: Request, told: telemetry.Serving) -> Answer:
        try:
            check_message(request)
            found = self._match(request.path)
            if found is None:
                raise Problem("not_found")
            template, names = found
            told.routed(template)
            methods = self._by_path[template]
            method = "GET" if request.method == "HEAD" and "HEAD" not in methods else request.method
            if method not in methods:
                served = {*methods, "HEAD"} if "GET" in methods else set(methods)
                raise Problem("method_not_allowed", headers=[("allow", ", ".join(sorted(served)))])
            return await methods[method](request, **names)
        except Refusal as refusal:
            if isinstance(refusal, WireError):
                told.refused(refusal.code)
            REFUSALS.note(refusal)
            return refusal.answer()
        except (StoreBusy, StoreUnavailable) as error:
            log.error("records out of reach while answering %s %s: %s", request.method, _loggable(request.path), error)
            return Problem("server_error", status=503, retry_after=RETRY_STORE).answer()
        except Exception:
            # Never the error's text: it may hold what a caller must not see (draft-11 §11.9.2).
            fault = Problem("server_error")
            correlation = REFUSALS.fault(fault)
            log.exception("fault while answering %s %s: %s", request.method, _loggable(request.path), correlation)
            return fault.answer()


def _requirement_of(answer: Answer) -> str | None:
    try:
        requirement = parse_requirement(answer.values("aauth-requirement"))
    except HeaderError:
        return None
    return requirement.value if requirement is not None else None


def _loggable(path: str) -> str:
    """A path without what may be a secret: a segment of a pending or interaction URL."""
    return re.sub(r"/[A-Za-z0-9_-]{20,}", "/…", path)
