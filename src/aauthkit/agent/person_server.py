"""The agent at its person server: person tokens and auth tokens, and the waiting for a person in between.

draft-11 §7.1, §7.2, §11.8, §11.9.3. Every request is signed with the agent token; a poll with the one that is current
then, since a person may take longer than an agent token lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..discovery import DiscoveryFailed
from ..egress import EgressError
from ..outbound import DEFAULT_WAIT, LOST_PAUSES, Credential, OutboundError, Pending
from ..protocol.headers import HeaderError, Requirement, parse_requirement, parse_retry_after, parse_signature_error
from ..protocol.identifiers import LoopbackProfile
from ..protocol.jose import JoseError, SigningKey, parse_json
from ..protocol.messages import Answer
from ..protocol.tokens import (
    AUTH_TYP,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_TYP,
    AuthToken,
    PersonToken,
    ResourceToken,
    TokenRejected,
    read_token,
)
from .besides import beside
from .caches import Held
from .checks import read_auth_token, read_person_token, verify_issued
from .connections import Connections
from .errors import (
    ClockSkew,
    Expired,
    NotOffered,
    PendingRefused,
    RequestRefused,
    SignatureRefused,
    TokenRefused,
    Unreachable,
    Withdrawn,
    refusal,
)
from .escort import Escort
from .identity import Identity
from .waiting import Pending as OutOfPatience
from .waiting import Resumes
from .waits import Wait, Waits, name_of, shown_with
from .watching import Answered, Carried, Obtained, Sent, Watch

MAX_PAUSE: Final = 60
"""Longest wait, in seconds, before a request that met 429 or 503 is made again."""
FIRST_WAIT: Final = 5
"""Seconds that the first answer may take: an answer that a page in front of a person gives, and no more, since what has
no pending URL yet is lost with its connection, and a server that holds back where to go holds the person back."""
TRIES: Final = 3
"""How often a request is made that meets 429 or 503, or is lost on its way."""


Updates = Callable[[frozenset[str]], Awaitable[tuple[ResourceToken, Held]]]
"""Obtains a resource token for another scope, and says what was presented for it (draft-11 §7.5.2.2)."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What an agent says of itself in a token request, for the person to read (draft-11 §7.2.1). All optional.

    `justification` is Markdown; `platform` a value of §15.10; `device` at most 64 printable characters; `prompt` may be
    `consent`.
    """

    justification: str | None = None
    platform: str | None = None
    device: str | None = None
    prompt: str | None = None

    def members(self) -> dict[str, str]:
        """As members of a request body."""
        named = {
            "justification": self.justification,
            "platform": self.platform,
            "device": self.device,
            "prompt": self.prompt,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PersonServer:
    """One call's dealings with the agent's person server, `identifier`."""

    identifier: str
    identity: Identity = field(repr=False)
    connections: Connections = field(repr=False)
    escort: Escort = field(repr=False)
    statement: Statement = field(repr=False)
    capabilities: tuple[str, ...]
    watch: Watch = field(repr=False)
    clock: Callable[[], float] = field(repr=False)
    loopback: LoopbackProfile = field(repr=False)
    waits: Waits = field(repr=False)
    resumer: Resumes = field(repr=False)
    patience: float | None = None
    update: Updates | None = field(default=None, repr=False)

    async def person_token(self, resource: str, mission: str | None = None) -> Held:
        """A person token for `resource`, in a mission if one is named (draft-11 §7.1, §8.3). Raises `AAuthError`."""
        named = {"mission_s256": mission} if mission is not None else {}
        body = {"resource": resource, **named, **self._common()}
        errand = Request("person", person_name(resource, mission), resource, named)
        raw, latest, _ = await self._request("person_token_endpoint", body, "person_token", errand)
        return await self.accept(raw, resource, latest, mission)

    async def accept(self, raw: str, resource: str, latest: int, mission: str | None) -> Held:
        """A person token that was issued, verified; `latest` is when the agent token expires. Raises `TokenRefused`."""
        token = read_person_token(
            raw,
            person_server=self.identifier,
            resource=resource,
            key=self.identity.key.public,
            latest=latest,
            now=self.clock(),
            loopback=self.loopback,
            mission=mission,
        )
        await verify_issued(token, self.connections.discovery)
        self._obtained(PERSON_TYP, token)
        return Held.of(token, self.identity.key)

    async def auth_token(self, resource_token: ResourceToken, held: Held) -> Held:
        """An auth token against a verified resource token; `held` was presented to the resource (draft-11 §7.2).

        Raises `AAuthError`.
        """
        body = {"resource_token": resource_token.raw, "presented_token": held.token.raw, **self._common()}
        if resource_token.login_hint is not None:
            body["login_hint"] = resource_token.login_hint
        self.watch(Carried(self.identifier, resource_token.claims))
        tokens = {"resource_token": resource_token.raw, "presented_token": held.token.raw}
        errand = Request("auth", auth_name(resource_token), resource_token.iss, tokens)
        raw, _, resumed = await self._request("auth_token_endpoint", body, "auth_token", errand)
        now = self.clock()
        if resumed is not None:
            resource_token, held = redeemed(resumed, self.identity.key, self.loopback)
        token = read_auth_token(raw, resource_token=resource_token, held=held, now=now, loopback=self.loopback)
        await verify_issued(token, self.connections.discovery)
        self._obtained(AUTH_TYP, token)
        return Held.of(token, self.identity.key, resource_token.scope)

    def _common(self) -> dict[str, Any]:
        return {**self.declaration(), **self.statement.members()}

    def declaration(self) -> dict[str, Any]:
        """What the agent itself can do, as a member of a request body (draft-11 §11.7)."""
        return {"capabilities": list(self.capabilities)} if self.capabilities else {}

    def _obtained(self, typ: str, token: PersonToken | AuthToken) -> None:
        self.watch(Obtained(typ, token.iss, token.claims))

    async def _request(
        self, endpoint: str, body: Mapping[str, Any], member: str, errand: Request
    ) -> tuple[str, int, Wait | None]:
        """The token of a 200, when the agent token it was last asked with expires, and what was resumed for it."""
        answer, latest, changed = await self.request(await self.endpoint(endpoint), body, errand)
        return _member(answer, member, self.identifier), latest, changed

    async def request(self, url: str, body: Mapping[str, Any], errand: Request) -> tuple[Answer, int, Wait | None]:
        """The 200 of a request, when the agent token it was last asked with expires, and what was resumed for it.

        A wait that outlived the agent token ends with `expired`, an answer lost on its way with `gone`. The decision is
        kept in both cases, so the request is made once more from the top.
        """
        agent = await self.identity.held(self.connections)
        polls = _Polls(self, errand)
        try:
            answer = await self._exchange(url, agent, body, polls)
        except RequestRefused as error:
            if error.at_callback:
                raise
            lapsed = isinstance(error, Expired) and not agent.alive(self.clock())
            stale = polls.resumed is not None and (error.status in (404, 410) or isinstance(error, Expired))
            if not lapsed and not stale and not (error.code == "gone" and polls.lost):
                raise
            polls = _Polls(self, errand)
            answer = await self._exchange(url, await self.identity.held(self.connections), body, polls)
        latest = await self.identity.held(self.connections)
        return answer, max(latest.token.exp, agent.token.exp), polls.changed

    async def record(self, url: str, body: Mapping[str, Any]) -> None:
        """Something that is taken and not answered (draft-11 §7.8.2). Raises `AAuthError`."""
        try:
            answer = await self.post(url, await self.identity.held(self.connections), body)
        except EgressError as error:
            raise Unreachable(f"{self.identifier} could not be reached: {error.reason}") from error
        self._answered(answer)
        if not 200 <= answer.status < 300:
            raise self.refused(answer)

    async def endpoint(self, name: str) -> str:
        """Where the person server takes requests of a kind (draft-11 §11.2.2). Raises `NotOffered`, `Unreachable`."""
        try:
            metadata = await self.connections.discovery.metadata(self.identifier, PERSON_DWK)
        except DiscoveryFailed as error:
            reason = f"{error.reason}{error.older}"
            raise Unreachable(f"the metadata of {self.identifier} cannot be used: {reason}") from error
        url = metadata.endpoint(name)
        if url is None:
            raise NotOffered(self.identifier, name)
        return url

    async def _exchange(self, url: str, agent: Held, body: Mapping[str, Any], polls: _Polls) -> Answer:
        """The answer to one request, followed to its end, if it is a 200."""
        try:
            answer = polls.joined() or await self.post(url, agent, body, polls.first)
            answer = await self.escort.attend(
                self.connections.outbound.follow(
                    answer, url, polls.credential, on_pending=polls.meet, wait=polls.prefer
                )
            )
        except EgressError as error:
            raise Unreachable(f"{self.identifier} could not be reached: {error.reason}; try again") from error
        except OutboundError as error:
            polls.ended()
            raise PendingRefused(f"{self.identifier}: {error}") from error
        except (Withdrawn, RequestRefused):
            polls.ended()
            raise
        polls.ended()
        self._answered(answer)
        if answer.status != 200:
            raise self.refused(answer)
        return answer

    async def post(self, url: str, agent: Held, body: Mapping[str, Any], wait: int = 0) -> Answer:
        """The first answer; a lapsed agent token is renewed once, a pause is kept (§11.8.4), a lost request made again.

        Raises `EgressError`.
        """
        renewed = False
        for attempt in range(1, TRIES + 1):
            self.watch(Sent("POST", url, "agent", self.identifier))
            try:
                answer = await self.connections.outbound.call("POST", url, agent.credential, json_body=body, wait=wait)
            except EgressError as error:
                if attempt == TRIES or not error.passing:
                    raise
                await self.connections.outbound.sleep(LOST_PAUSES[attempt - 1])
                continue  # a server that has taken it already is asked for the same once more
            if answer.status == 202:
                self._answered(answer)
            if answer.status == 401 and not renewed and _signature_error(answer) in ("expired_jwt", "revoked_jwt"):
                renewed = True
                agent = await self.identity.renew(agent, self.connections)
            elif answer.status in (429, 503) and attempt < TRIES:
                pause = min(parse_retry_after(answer.values("retry-after")), MAX_PAUSE)
                await self.connections.outbound.sleep(pause)
            else:
                break
        return answer

    def _answered(self, answer: Answer) -> None:
        requirement = _requirement(answer)
        error = _signature_error(answer) or refusal(self.identifier, answer).code if answer.status >= 400 else None
        self.watch(Answered(answer.status, self.identifier, requirement.value if requirement else None, error or None))

    def refused(self, answer: Answer) -> RequestRefused | SignatureRefused:
        """The error that an answer stands for."""
        code = _signature_error(answer) if answer.status == 401 else None
        if code == "clock_skew":
            hint = "this machine's clock is ahead; set it and try again"
            return ClockSkew(code, self.identifier, f"{hint}{beside(answer)}")
        if code is not None:
            hint = "check this machine's clock, and that the agent is enrolled"
            return SignatureRefused(code, self.identifier, f"{hint}{beside(answer)}")
        return refusal(self.identifier, answer)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the person server, told from other requests by `name`; `tokens` go with it."""

    kind: str
    name: str
    resource: str
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)


def person_name(resource: str, mission: str | None) -> str:
    """The name of a request for a person token."""
    return name_of("person", resource, *([mission] if mission is not None else []))


def auth_name(token: ResourceToken) -> str:
    """The name of a request for an auth token: two that ask for the same are equal, whatever challenge they are of."""
    return name_of("auth", token.iss, token.aud, token.scope, token.account, token.login_hint, token.mission_s256)


def redeemed(wait: Wait, key: SigningKey, loopback: LoopbackProfile) -> tuple[ResourceToken, Held]:
    """The tokens that a pending request was made with. Raises `TokenRefused`."""
    try:
        asked = read_token(wait.tokens.get("resource_token", ""), {RESOURCE_TYP}, loopback=loopback)
        shown = read_token(wait.tokens.get("presented_token", ""), {PERSON_TYP, AUTH_TYP}, loopback=loopback)
    except TokenRejected as error:
        raise TokenRefused(f"the pending request at {wait.by} is kept without its tokens: {error}") from error
    assert isinstance(asked, ResourceToken) and isinstance(shown, PersonToken | AuthToken)
    return asked, Held.of(shown, key)


class _Polls:
    """The polls of one pending request: signed with what is current, and whether one was ever lost on its way."""

    def __init__(self, server: PersonServer, errand: Request) -> None:
        self._server = server
        self._under_way = False
        self._started = server.clock()
        self._wait = self.resumed = server.waits.find(errand.name, server.identity.key.kid)
        for page in self.resumed.shown if self.resumed is not None else ():
            server.escort.was_shown(*page)
        self._joining = False
        self._updated: Mapping[str, str] | None = None
        self.errand = errand
        self.lost = False

    @property
    def prefer(self) -> int:
        """For how many seconds a poll may be held by the server."""
        limit = self._server.patience
        return DEFAULT_WAIT if limit is None else min(DEFAULT_WAIT, max(int(limit), 1))

    @property
    def first(self) -> int:
        """For how many seconds the server may look for an answer before there is a pending URL (draft-11 §11.8.1)."""
        limit = self._server.patience
        return FIRST_WAIT if limit is None else min(FIRST_WAIT, int(limit / 2))

    def joined(self) -> Answer | None:
        """What an equal request was answered that is pending since; `None` where there was none."""
        if self.resumed is None:
            return None
        self._joining = True
        return Answer(202, (("location", self.resumed.location), ("retry-after", "0")))

    @property
    def changed(self) -> Wait | None:
        """The pending request, where it is for other tokens than this call's: an earlier call's, or updated ones."""
        return self._wait if self.resumed is not None or self._updated is not None else None

    async def _update(self, scope: frozenset[str]) -> Mapping[str, str]:
        assert self._server.update is not None
        asked, shown = await self._server.update(scope)
        self._updated = {"resource_token": asked.raw, "presented_token": shown.token.raw}
        return self._updated

    def ended(self) -> None:
        """There is nothing to wait for any more."""
        if self._wait is not None:
            self._server.waits.drop(self._wait)

    async def credential(self) -> Credential:
        self.lost = self.lost or self._under_way
        self._under_way = True
        return (await self._server.identity.held(self._server.connections)).credential

    async def meet(self, pending: Pending) -> None:
        self._under_way = False
        if self._joining:
            self._joining = False
            self._server.escort.rejoin(self.resumed.shown if self.resumed is not None else ())
            return
        update = self._update if self._server.update is not None else None
        await self._server.escort.meet(pending, self._reply, update)
        self._keep(pending)

    def _keep(self, pending: Pending) -> None:
        """Remember it, with the key it is bound to. Raises `Pending` of this room once the caller waits no longer."""
        server, before, now = self._server, self._wait, self._server.clock()
        self._wait = Wait(
            self.errand.kind,
            server.identifier,
            self.errand.name,
            self.errand.resource,
            pending.location,
            before.since if before is not None else int(now),
            pending.requirement.value if pending.requirement is not None else None,
            self._updated or (before.tokens if before is not None else self.errand.tokens),
            shown_with(before.shown if before is not None else (), pending),
            jkt=server.identity.key.kid,
        )
        server.waits.keep(self._wait, server.identity.key)
        if server.patience is not None and now - self._started >= server.patience:
            raise OutOfPatience(self._wait, server.resumer)

    async def _reply(self, method: str, location: str, body: Mapping[str, Any] | None) -> Answer:
        credential = await self.credential()
        self._under_way = False
        return await self._server.connections.outbound.call(method, location, credential, json_body=body)


def _signature_error(answer: Answer) -> str | None:
    try:
        found = parse_signature_error(answer.values("signature-error"))
    except HeaderError:
        return None
    return found.error if found is not None else None


def _requirement(answer: Answer) -> Requirement | None:
    try:
        return parse_requirement(answer.values("aauth-requirement"))
    except HeaderError:
        return None


def _member(answer: Answer, name: str, by: str) -> str:
    try:
        value = parse_json(answer.body).get(name)
    except JoseError as error:
        raise TokenRefused(f"the answer of {by} is not a JSON document: {error}") from error
    if not isinstance(value, str):
        raise TokenRefused(f"the answer of {by} holds no {name}")
    return value
