"""The decision: one request as the proxy saw it, to one resource, let through with facts or turned away with an answer.

The gateway *is* the resource for what stands behind it: challenges and resource tokens are made by `aauthkit.resource`.
It fails closed: whatever goes wrong while deciding is an answer of 500 or 503, and nothing is let through.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from .. import hop
from ..callers import Caller
from ..discovery import Discovery
from ..egress import Egress
from ..keys import KeyFile
from ..protocol.httpsig import DigestMismatch, check_content_digest, content_digest
from ..protocol.messages import Answer, HeaderList, Refusal
from ..protocol.problems import Problem, SignatureFailure
from ..refusals import REFUSALS
from ..resource import Resource
from ..resource.needs import Need
from ..resource.paths import PathNeeds
from ..serving import RETRY_STORE, BytesBody, Request
from ..store import StoreBusy, StoreUnavailable
from ..verification import Verified
from .configuration import Configuration, ResourceConfiguration, Route, RouteBody
from .rules import facts_of, level_of, rule_on

log = logging.getLogger("aauthkit.gateway")

STRIPPED: Final = ("signature", "signature-input", "signature-key")
"""Fields that the origin never sees, besides every one that begins with `x-aauth-`."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that is let through: the fields to set, and the names of those to remove."""

    fields: tuple[tuple[str, str], ...]
    removed: tuple[str, ...]
    caller: Caller | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """A request that is turned away, with the answer for its sender."""

    answer: Answer
    rule: str | None = None


Verdict = Passed | Turned


@dataclass(frozen=True, slots=True)
class _Path:
    """What a path needs, and what is done with its body."""

    need: Need
    route: str
    body: RouteBody


class Guarded:
    """One resource behind the gateway."""

    def __init__(
        self,
        configured: ResourceConfiguration,
        *,
        egress: Egress,
        discovery: Discovery | None,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.configured = configured
        self.keys = KeyFile(configured.keys)
        self._clock = clock
        self._random = random_bytes
        self.resource = Resource(
            configured.identifier,
            person_servers=configured.person_servers,
            agent_providers=configured.agent_providers,
            keys=self.keys,
            scopes=configured.scopes,
            egress=egress,
            discovery=discovery,
            clock=clock,
        )
        self._closed = self.resource.agent()
        self._routes: Mapping[int, _Path] = {}
        self._needs = self._table()

    def _table(self) -> PathNeeds:
        """Every path by its line in the file; what no line names is refused to everybody."""
        table: dict[str, Need] = {}
        paths: dict[int, _Path] = {}
        for line in self.configured.open:
            table[line] = self.resource.open()
        for route in self.configured.routes:
            need = self._need(route)
            table[route.match] = need
            paths[id(need)] = _Path(need, route.match, route.body)
        self._routes = paths
        return PathNeeds(table, default=self._closed)

    def _need(self, route: Route) -> Need:
        digest = route.body == "signed"
        if route.level == "key":
            return self.resource.key(digest=digest)
        if route.level == "agent":
            return self.resource.agent(digest=digest)
        if route.level == "person":
            return self.resource.person(digest=digest)
        return self.resource.grant(*route.scope, optional=route.optional, digest=digest)

    async def decide(self, request: Request, body: bytes | None) -> Verdict:
        """The verdict on a request for this resource. `body` is there only where the proxy sends it along."""
        if not request.target.startswith("/") or "#" in request.target:
            raise Problem("invalid_request", "the request target is not in origin form")
        need = self._needs.of(request.method, request.path)
        if need.is_open:
            fields = self._facts(None, request, "none", None, self._clock())
            return Passed(fields, self._removed(request.headers))
        path = self._routes.get(id(need))
        if path is None:
            raise Problem("not_found", "no route of this gateway leads there")
        admission = await self.resource.decide(request, need)
        kind, digest = _body(admission, request, path.body, body)
        now = self._clock()
        level = level_of(admission.caller)
        facts = facts_of(admission.caller, request.method, request.target, self.configured.identifier, path.route, now)
        ruling = rule_on(self.configured.rules, level, facts)
        for shadowed in ruling.shadowed:
            log.info("rule %s, in shadow, would refuse %s %s", shadowed, request.method, path.route)
        name = ruling.rule.name if ruling.rule is not None else None
        if not ruling.allowed:
            refusal = Problem("access_denied", ruling.reason)
            log.warning("refused %s by rule %s", REFUSALS.fault(refusal), name)
            return Turned(self.resource.answer_to(refusal), name)
        fields = self._facts(admission.caller, request, kind, digest, now)
        return Passed(fields, self._removed(request.headers), admission.caller, name)

    def _facts(
        self, caller: Caller | None, request: Request, kind: hop.Body, digest: str | None, now: float
    ) -> tuple[tuple[str, str], ...]:
        """The one field that the origin gets: everything verified, signed, over this very request."""
        token = hop.mint(
            self.keys.current,
            iss=self.configured.identifier,
            aud=self.configured.origin,
            caller=caller,
            method=request.method,
            target=request.target,
            body=kind,
            digest=digest,
            now=now,
            random_bytes=self._random,
        )
        return ((hop.HEADER, token),)

    def _removed(self, headers: HeaderList) -> tuple[str, ...]:
        names = {name.lower() for name, _ in headers}
        family = {name for name in names if name.replace("_", "-").startswith(hop.PREFIX)}
        return tuple(sorted((family | names.intersection(STRIPPED)) - {hop.HEADER}))  # that one is always set anew


def _body(verified: Verified, request: Request, wanted: RouteBody, body: bytes | None) -> tuple[hop.Body, str | None]:
    """What the origin is told of the body. Raises `SignatureFailure`, `Problem`."""
    fields = request.values("content-digest")
    if wanted == "signed":
        if "content-digest" in verified.covered:
            return "signed", ", ".join(fields)
        # A proxy that keeps the body does not tell whether there is one: of these methods there may be.
        if request.has_body or request.method in ("POST", "PUT", "PATCH"):
            raise SignatureFailure("invalid_input", required_input=["content-digest"])
        return "empty", None
    if wanted == "buffer":
        if body is None:
            raise Problem("server_error", status=503, retry_after=RETRY_STORE)
        if "content-digest" in verified.covered:
            try:
                check_content_digest(fields, body)
            except DigestMismatch as error:
                raise SignatureFailure("invalid_signature", str(error)) from error
        return "buffered", content_digest(body)
    return "none", None


class Gate:
    """The decision core of a gateway, for every way that a proxy asks it."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        egress: Egress | None = None,
        discovery: Discovery | None = None,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        egress = egress if egress is not None else Egress.from_environment()
        self.configuration = configuration
        self.guarded: Mapping[str, Guarded] = {
            one.identifier: Guarded(one, egress=egress, discovery=discovery, clock=clock, random_bytes=random_bytes)
            for one in configuration.resources
        }

    async def start(self) -> None:
        """Make every resource ready. Raises `StoreError`."""
        for guarded in self.guarded.values():
            await guarded.resource.start()

    async def close(self) -> None:
        """Let go of what is held."""
        for guarded in self.guarded.values():
            await guarded.resource.close()

    async def decide(self, identifier: str, request: Request, body: bytes | None = None) -> Verdict:
        """The verdict on `request`, which is for the resource `identifier`: the proxy's configuration says so."""
        guarded = self.guarded.get(identifier)
        if guarded is None:
            return Turned(Problem("not_found").answer())
        try:
            return await guarded.decide(request, body)
        except Refusal as refusal:
            return Turned(guarded.resource.answer_to(refusal))
        except (StoreBusy, StoreUnavailable) as error:
            log.error("records out of reach while deciding a request of %s: %s", identifier, error)
            return Turned(Problem("server_error", status=503, retry_after=RETRY_STORE).answer())
        except Exception:
            fault = Problem("server_error")
            log.exception("fault while deciding a request of %s: %s", identifier, REFUSALS.fault(fault))
            return Turned(fault.answer())


class _Kept:
    """A body that the proxy kept: nothing comes, however it is asked for."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Nothing."""
        nothing: tuple[bytes, ...] = ()
        for chunk in nothing:
            yield chunk


def request_of(method: str, target: str, headers: HeaderList, body: bytes | None, peer: str | None) -> Request:
    """A request as a proxy saw it."""
    return Request(method, target, headers, BytesBody(body) if body is not None else _Kept(), peer)
