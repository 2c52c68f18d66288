"""One resource behind the gateway: its challenges, rules and limits, the facts for its origin, and the calls it holds.

The gateway *is* the resource for what stands behind it: challenges and resource tokens are made by `aauthkit.resource`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .. import hop
from ..callers import Caller
from ..discovery import Discovery
from ..egress import Egress
from ..keys import KeyFile
from ..protocol.httpsig import DigestMismatch, check_content_digest, content_digest
from ..protocol.jose import JoseError, parse_json
from ..protocol.messages import Answer, HeaderList
from ..protocol.problems import Problem, SignatureFailure
from ..refusals import REFUSALS
from ..resource import Resource
from ..resource.admission import Admitted
from ..resource.challenges import AuthTokenChallenge
from ..resource.endpoints import Routed
from ..resource.held import HeldCall
from ..resource.needs import Need
from ..resource.paths import PathNeeds
from ..serving import RETRY_STORE, Request
from ..store import Database, open_database
from ..verification import Verified
from .configuration import ResourceConfiguration, Route, RouteBody
from .limits import Counters, LimitReached, NoAmount
from .paths import check_path
from .rules import Ruling, facts_of, level_of, rule_on
from .upstream import Upstream
from .verdicts import Judged, Observer, Passed, Turned, Verdict, decided

log = logging.getLogger("aauthkit.gateway")

STRIPPED: Final = ("signature", "signature-input", "signature-key")
"""Fields that the origin never sees, besides every one that begins with `x-aauth-`."""
MAX_JSON: Final = 1024 * 1024
"""Largest body that an amount is read from, in bytes."""


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
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.configured = configured
        self.keys = KeyFile(configured.keys)
        self._observers = tuple(observers)
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
            store=configured.store,
            authorization=configured.authorization,
            clock=clock,
        )
        # Whoever it is, there is no way in; a stranger is asked who they are before they are told so.
        self._closed = Need(configured.identifier, ("agent", "person"), schemes=("jwt",))
        self._routes: Mapping[int, _Path] = {}
        self._needs = self._table()
        self._upstream = Upstream(configured)
        self._database: Database | None = None
        self._counters: Counters | None = None

    async def start(self) -> None:
        """Open its records. Raises `StoreError`."""
        await self.resource.start()
        if self.configured.limits:
            self._database = await open_database(self.configured.store)
            self._counters = Counters(self.configured.identifier, self._database)
            await self._counters.start()

    async def close(self) -> None:
        """Let the calls that run come to their end, and let go of what is held."""
        await self.resource.close()
        await self._upstream.close()
        if self._database is not None:
            await self._database.close()

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
        return self.resource.grant(*route.scope, optional=route.optional, deliver=route.deliver, digest=digest)

    # What the proxy asks.

    async def decide(self, request: Request, body: bytes | None, judged: Judged) -> Verdict:
        """The verdict on a request for this resource; `judged` takes what is found on the way.

        `body` is there only where the proxy sends it along. Raises the `Refusal` to answer with.
        """
        if not request.target.startswith("/") or "#" in request.target:
            raise Problem("invalid_request", "the request target is not in origin form")
        check_path(request.path)
        need = self._needs.of(request.method, request.path)
        if need.is_open:
            judged.route = f"open {request.path}"
            fields = self._facts(None, request.method, request.target, "none", None)
            return Passed(fields, removed_of(request.headers))
        path = self._routes.get(id(need))
        if path is None:
            judged.caller = (await self.resource.decide(request, need)).caller
            judged.level = level_of(judged.caller)
            raise Problem("access_denied", "no route of this gateway leads there")
        judged.route = path.route
        try:
            admission = await self.resource.decide(request, need)
        except AuthTokenChallenge as challenge:
            judged.caller = challenge.asked.caller
            judged.level = level_of(judged.caller)
            if need.deliver != "202":
                raise
            return Turned(await self._hold(request, body, challenge, path))
        kind, digest = body_of(admission, request, path.body, body)
        ruling = await self._judge(admission.caller, request.method, request.target, path, body, judged)
        fields = self._facts(admission.caller, request.method, request.target, kind, digest)
        name = ruling.rule.name if ruling.rule is not None else None
        return Passed(fields, removed_of(request.headers), admission.caller, name)

    async def _judge(
        self, caller: Caller, method: str, target: str, path: _Path, body: bytes | None, judged: Judged
    ) -> Ruling:
        """What rules and limits say. Raises `Problem` where it is a no."""
        configured, now = self.configured, self._clock()
        judged.caller, judged.level = caller, level_of(caller)
        judged.facts = facts_of(caller, method, target, configured.identifier, path.route, now)
        ruling = rule_on(configured.rules, judged.level, judged.facts, shadow=configured.shadow)
        judged.ruling = ruling
        for shadowed in ruling.shadowed:
            log.info("rule %s, in shadow, would refuse %s %s", shadowed, method, path.route)
        if not ruling.allowed:
            refusal = Problem("access_denied", ruling.reason)
            name = ruling.rule.name if ruling.rule is not None else None
            log.warning("refused %s by rule %s", REFUSALS.fault(refusal), name)
            raise refusal
        if self._counters is not None:
            await self._count(self._counters, caller, body, judged, now)
        return ruling

    async def _count(self, counters: Counters, caller: Caller, body: bytes | None, judged: Judged, now: float) -> None:
        facts = judged.facts
        if any(one.amounts is not None and one.applies(judged.level, judged.route) for one in self.configured.limits):
            facts = {**facts, "body": {"json": _json(body)}}
        try:
            await counters.take(self.configured.limits, judged.level, judged.route, caller, facts, now)
        except (LimitReached, NoAmount) as refusal:
            judged.limit = refusal.limit.name
            log.warning("refused %s by limit %s", REFUSALS.fault(refusal), refusal.limit.name)
            raise

    def _facts(
        self, caller: Caller | None, method: str, target: str, kind: hop.Body, digest: str | None
    ) -> tuple[tuple[str, str], ...]:
        """The one field that the origin gets: everything verified, signed, over this very request."""
        token = hop.mint(
            self.keys.current,
            iss=self.configured.identifier,
            aud=self.configured.origin,
            caller=caller,
            method=method,
            target=target,
            body=kind,
            digest=digest,
            now=self._clock(),
            random_bytes=self._random,
        )
        return ((hop.HEADER, token),)

    def tell(self, verdict: Verdict, judged: Judged, method: str, target: str, seconds: float) -> None:
        """Tell every observer of a decision; what goes wrong with that changes no verdict."""
        if not self._observers:
            return
        name, now = self.configured.identifier, self._clock()
        try:
            told = decided(verdict, judged, now=now, resource=name, method=method, target=target, seconds=seconds)
            for observer in self._observers:
                observer(told)
        except Exception:
            log.exception("a decision could not be told of")

    # Its own paths, and the calls it holds.

    async def answer(self, request: Request) -> Answer:
        """The answer to a request for one of the resource's own paths."""
        if not self.resource.serves(request.path):
            return Problem("not_found").answer()
        routed = Routed(
            request.method,
            request.target,
            request.headers,
            request.body,
            request.peer,
            outside=request.target,
            runner=self,
        )
        return await self.resource.answer(routed)

    async def _hold(self, request: Request, body: bytes | None, challenge: AuthTokenChallenge, path: _Path) -> Answer:
        """The 202 for a call that is held. Raises the challenge itself where none can be (draft-11 §6.5.1)."""
        assert challenge.verified is not None
        body_of(challenge.verified, request, path.body, body)
        deliveries = (await self.resource.remembering()).deliveries
        assert deliveries is not None, "every resource of the gateway has a store"
        kept = tuple((n, v) for n, v in request.headers if not _is_family(n) and not n.startswith("x-envoy-"))
        return await deliveries.hold(HeldCall(request.method, request.target, kept, body or b""), challenge)

    def need_of(self, call: HeldCall) -> Need | None:
        """What a held call's route needs now."""
        return self._needs.of(call.method, call.target.partition("?")[0])

    async def run(self, call: HeldCall, admitted: Admitted | None) -> Answer:
        """Run a held call against the upstream, as whoever was admitted. Raises `Problem` where a rule says no."""
        judged, begun = Judged(), time.perf_counter()
        try:
            facts = await self._admitted(call, admitted, judged)
        except Problem as refusal:
            self.tell(Turned(refusal.answer()), judged, call.method, call.target, time.perf_counter() - begun)
            raise
        passed = Passed(facts, (), judged.caller)
        self.tell(passed, judged, call.method, call.target, time.perf_counter() - begun)
        return await self._upstream.send(call, facts)

    async def _admitted(self, call: HeldCall, admitted: Admitted | None, judged: Judged) -> HeaderList:
        """The facts for a held call that may run. Raises `Problem`."""
        need = self.need_of(call)
        path = self._routes.get(id(need))
        if admitted is not None and path is not None:
            judged.route = path.route
            await self._judge(admitted.caller, call.method, call.target, path, call.body, judged)
        elif need is None or not need.is_open:
            raise Problem("not_found", "no route of this gateway leads there any more")
        kind: hop.Body = "buffered" if call.body else "empty"
        digest = content_digest(call.body) if call.body else None
        return self._facts(judged.caller, call.method, call.target, kind, digest)


def _is_family(name: str) -> bool:
    return name.replace("_", "-").startswith(hop.PREFIX)


def removed_of(headers: HeaderList) -> tuple[str, ...]:
    """The fields of a request that its origin must not see."""
    names = {name.lower() for name, _ in headers}
    family = {name for name in names if _is_family(name)}
    return tuple(sorted((family | names.intersection(STRIPPED)) - {hop.HEADER}))  # that one is always set anew


def body_of(verified: Verified, request: Request, wanted: RouteBody, body: bytes | None) -> tuple[hop.Body, str | None]:
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
        if body is None and request.has_body:
            log.error("the proxy sent no body for a route that needs it: its configuration is not the printed one")
            raise Problem("server_error", status=503, retry_after=RETRY_STORE)
        whole = body or b""
        if "content-digest" in verified.covered:
            try:
                check_content_digest(fields, whole)
            except DigestMismatch as error:
                raise SignatureFailure("invalid_signature", str(error)) from error
        return "buffered", content_digest(whole)
    return "none", None


def _json(body: bytes | None) -> Mapping[str, Any]:
    """A body as one JSON object; one that is none has no members."""
    try:
        return parse_json(body or b"", limit=MAX_JSON)
    except JoseError:
        return {}
