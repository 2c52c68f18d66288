"""One call's way from its user's request to a response: begin, send, read what is asked for, satisfy it, send again.

draft-11 §6, §11.6, §11.8. Written once for asynchronous and synchronous callers: `ready`, `sign`, `concerns` and `take`
are plain and never wait, so that a warm call is signed and sent and nothing else; what must wait is in `prepare`. Who
sends is the transport's business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from .. import telemetry
from ..outbound import Pending
from ..protocol.headers import (
    HeaderError,
    Requirement,
    SignatureErrorField,
    capabilities_header,
    parse_requirement,
    parse_retry_after,
    parse_signature_error,
)
from ..protocol.httpsig import BASE_COMPONENTS
from ..protocol.identifiers import host_of
from ..protocol.messages import Answer, HeaderList, SignedRequest, header_values
from ..protocol.tokens import RESOURCE_TYP, ResourceToken, TokenRejected, read_token
from .besides import asks_in_an_older_form, beside
from .caches import Held, Place, Session, covers
from .connections import Connections
from .deferral import in_whole_form, is_notice, pending_at, status_of
from .errors import (
    ChallengeLoop,
    ChallengeRefused,
    NoPersonServer,
    PaymentRequired,
    RequestRefused,
    SignatureRefused,
    UnsupportedRequirement,
    signature_refusal,
)
from .escort import Reply
from .holding import Holding
from .messages import Original, Outgoing
from .origins import resource_of
from .presenting import Presenter
from .redeeming import Ask
from .relaying import Relaying
from .sessions import keep_session
from .signing import signature_fields
from .standing import Options, Standing
from .watching import Answered, Sent

MAX_STEPS: Final = 4
"""Most requirements satisfied in one call."""
LOST_PAUSES: Final = (1, 2, 5, 10, 30)
"""Seconds before a poll that was lost on its way is made again, each time it is lost again."""
SLOWER: Final = 5
"""Seconds added to the polling interval by each 429 (draft-11 §11.8.3)."""

_LAPSED: Final = frozenset({"expired_jwt", "revoked_jwt"})
_MEETS: Final = {"agent": "agent-token", "person": "person-token", "grant": "auth-token"}
_BAD_SIGNATURE: Final = frozenset({"invalid_signature", "invalid_request"})
_START_AGAIN: Final = frozenset(
    {
        "expired_resource_token",
        "revoked_resource_token",
        "expired_presented_token",
        "revoked_presented_token",
        "expired",
    }
)

Task = Callable[[Connections], Awaitable[None]]


class Call:
    """One request of the agent's user. Raises `NoResourceIdentifier` if no resource is meant, `MissionTerminated`."""

    def __init__(self, standing: Standing, options: Options, request: Original, ask: Ask | None = None) -> None:
        self._ask = ask or Ask()
        options = options.explained(self._ask.justification)
        self.resource = resource_of(request.url, standing.loopback, options.origins)
        standing.missions.check(options.mission, standing.clock())
        standing.exchange.choose(host_of(self.resource))
        self._standing = standing
        self._options = options
        self._request = request
        self._escort = standing.escort(self.resource, options)
        self._presenting: Held | None = None
        self._prepared = False
        self._session: Session | None = None
        self._tasks: list[Task] = [self._authorize] if self._ask.scope else []
        self._components: tuple[str, ...] = ()
        self._holding = Holding(standing, options, self.resource, request, self._ask.account)
        self._location: str | None = self._holding.resumed()
        self._tokens = Presenter(standing, options, self.resource, request.path, self._ask.account, self._holding)
        self._delay = 0
        self._slower = 0
        self._lost = 0
        self._steps = 0
        self._done: set[object] = set()
        self._redeemed: Held | None = None
        self._relay: Relaying | None = None

    # What never waits.

    def ready(self) -> bool:
        """Whether `sign` may be called now; else `prepare` is awaited first."""
        if self._tasks or not self._tokens.has_begun():
            return False
        if self._presenting is None:
            self._presenting = self._tokens.at_hand()
        held = self._presenting
        return held is not None and (self._prepared or held.fresh(self._standing.clock()))

    @property
    def polling(self) -> bool:
        """Whether the resource holds the request, so that the next one is a poll."""
        return self._location is not None

    @property
    def _held(self) -> Held:
        assert self._presenting is not None, "ready() comes first"
        return self._presenting

    @property
    def _place(self) -> Place:
        return self._tokens.place

    def sign(self) -> Outgoing:
        """The next request, signed. Raises `Unsignable`; then nothing is sent (draft-11 §11.3.3, F35)."""
        held = self._held
        location = self._location
        wait = self._holding.prefer if location is not None else 0
        message = self._request.poll(location, wait) if location is not None else self._request.unsigned()
        body = self._request.body if location is None else b""
        message = message.with_headers(self._own_fields(message, held))
        signed = signature_fields(self._standing, self._options, self.resource, message, body, held, self._components)
        self._prepared = False
        url = location or self._request.url
        self._options.watch(Sent(message.method, url, held.level, self.resource))
        return Outgoing(
            message.method,
            url,
            message.target,
            (*message.headers, *signed),
            body,
            poll=location is not None,
            wait=wait,
        )

    def _own_fields(self, message: SignedRequest, held: Held) -> HeaderList:
        """What the agent adds: its trace, its capabilities, and the session token that goes with what is presented."""
        fields: list[tuple[str, str]] = [*telemetry.onward(message.headers)]
        declared = self._options.declared
        if declared and not message.values("aauth-capabilities"):
            fields.append(capabilities_header(declared))
        session = self._standing.wallet.session(self._place)
        self._session = None
        if session is not None and session.level == held.level and not message.values("authorization"):
            self._session = session
            fields.append(("authorization", f"AAuth {session.token}"))
        return tuple(fields)

    def concerns(self, status: int, headers: HeaderList) -> bool:
        """Whether a response is for `take` to read; any other is the caller's, untouched."""
        polling = self._location is not None
        asks = bool(header_values(headers, "aauth-requirement"))
        if status == 401:
            refused = bool(header_values(headers, "signature-error")) or asks_in_an_older_form(headers)
            return asks or refused or self._session is not None
        if status == 402:
            return asks or polling
        if status == 202:
            return polling or asks or in_whole_form(headers)
        if status == 200:
            return polling and self._redeemed is None and is_notice(headers)
        return polling and status in (429, 503)

    def take(self, answer: Answer) -> bool:
        """Read what a response asks for and plan the next step. True: it is the caller's after all.

        Raises `AAuthError` where the call ends here.
        """
        self._tokens.bind()
        try:
            requirement = parse_requirement(answer.values("aauth-requirement"))
            error = parse_signature_error(answer.values("signature-error")) if answer.status == 401 else None
        except HeaderError as fault:
            raise ChallengeRefused(f"{self.resource} asks for something that cannot be read: {fault}") from fault
        self._tell(answer.status, requirement, error)
        keep_session(self._standing.wallet, self._place, self._held, answer.headers)
        if answer.status == 200:
            return self._noticed(answer)
        if answer.status == 402:
            raise PaymentRequired(f"{self.resource} wants to be paid (402), which this agent does not do")
        if answer.status == 202:
            return self._deferred(answer, requirement)
        if answer.status != 401:
            self._held_off(answer)
        elif not self._without_session(requirement, error):
            if requirement is None and error is None:
                if asks_in_an_older_form(answer.headers):
                    raise ChallengeRefused(f"{self.resource} asks in a way that is not answered{beside(answer)}")
                return True
            self._challenged(requirement, error, answer)
        return False

    def finish(self, status: int, headers: HeaderList) -> Mapping[str, Any]:
        """What the response's extensions say: the token it was had with, the scope asked for and granted.

        Raises `TokenRefused` for a response with a session token that is not one (draft-11 §6.3).
        """
        held = self._held
        self._holding.over()
        if self._relay is not None:
            self._relay.done()
        keep_session(self._standing.wallet, self._place, held, headers)
        if self._components:
            self._standing.profiles.learn(self.resource, self._components)  # it was enough, so it is done at once now
        self._options.watch(Answered(status, self.resource))
        return {
            "resource": self.resource,
            "level": held.level,
            "session": self._session is not None,
            "asked": held.asked,
            "granted": held.granted,
            "reduced": not held.asked <= held.granted,
        }

    def ended(self) -> None:
        """The call is over, in whatever way."""
        if self._relay is not None:
            self._relay.over()
        self._holding.ended()
        self._tokens.release()

    def lost(self) -> bool:
        """A request got no answer. True: it was a poll, and is made again (draft-11 §6.5.1); else the error stands."""
        if self._location is None or self._lost >= len(LOST_PAUSES):
            return False
        self._delay = LOST_PAUSES[self._lost]
        self._lost += 1
        self._tasks.append(self._pause)
        return True

    def _tell(self, status: int, requirement: Requirement | None, error: SignatureErrorField | None) -> None:
        self._options.watch(
            Answered(
                status,
                self.resource,
                requirement.value if requirement is not None else None,
                error.error if error is not None else None,
            )
        )

    # Session tokens (draft-11 §6.3).

    def _without_session(self, requirement: Requirement | None, error: SignatureErrorField | None) -> bool:
        """Whether it was the session token that was refused; the request is then made once more without it."""
        if self._session is None or error is not None:
            return False
        self._standing.wallet.drop_session(self._place, self._session)
        return requirement is None and self._location is None and self._once("without session")

    def _noticed(self, answer: Answer) -> bool:
        """Whether a poll's 200 is the caller's: one that says `authorized` is not, and the request is made again."""
        if status_of(answer) != "authorized" or not self._once("authorized"):
            return True
        if self._request.path == self._standing.profiles.authorization_path(self.resource):
            return True
        self._location = None
        self._holding.over()
        return False

    # Challenges: 401.

    def _challenged(self, requirement: Requirement | None, error: SignatureErrorField | None, answer: Answer) -> None:
        if error is not None:
            if self._repaired(error, answer):
                return
            if requirement is None or not self._says_what_to_present(requirement, error):
                raise self._signature_refused(error, answer)
        assert requirement is not None, "concerns() let it through"
        self._required(requirement, 401)

    def _says_what_to_present(self, requirement: Requirement, error: SignatureErrorField) -> bool:
        """Whether a requirement beside a refused signature asks for something else than was presented.

        An unsafe request is never sent again after `invalid_signature`: the first may have been taken for a replay of
        itself.
        """
        held = self._held
        unsafe = not self._request.safe and self._location is None
        if error.error == "clock_skew" or (error.error in _BAD_SIGNATURE and unsafe):
            return False
        return requirement.value != _MEETS[held.level]

    def _repaired(self, error: SignatureErrorField, answer: Answer) -> bool:
        """Whether the signature can be made good by signing once more, which is then planned."""
        held = self._held
        safe = self._request.safe or self._location is not None
        if ("clock",) in self._done and error.error in ("clock_skew", "invalid_signature"):
            self._standing.clocks.forget(self.resource)
        elif self._standing.clocks.learn(answer, self._request.url, safe=safe) and self._once("clock"):
            return True
        if error.error == "invalid_input" and error.required_input and self._once("input"):
            return self._cover(error.required_input)
        if error.error in _LAPSED and self._once(error.error, held.level):
            self._standing.wallet.drop(self._place, held)
            self._presenting = None
            if held.level == "agent":
                self._tasks.append(lambda connections: self._renew_agent(held, connections))
            else:
                self._tasks.append(self._fetch_person)
            return True
        return False

    def _cover(self, required: tuple[str, ...]) -> bool:
        """Cover what an `invalid_input` names (draft-11 §11.3.3.1): the request was refused before it was processed."""
        names = tuple(name.lower() for name in required if name.lower() not in BASE_COMPONENTS)
        if not names:
            return False
        self._components = names
        return True

    def _once(self, *name: object) -> bool:
        if name in self._done:
            return False
        self._done.add(name)
        return True

    def _signature_refused(self, error: SignatureErrorField, answer: Answer) -> SignatureRefused:
        if self._presenting is not None and error.error not in _BAD_SIGNATURE:
            self._standing.wallet.drop(self._place, self._presenting)  # the next call begins anew
        window = self._standing.profiles.window(self.resource)
        return signature_refusal(error.error, self.resource, window, answer)

    def _required(self, requirement: Requirement, status: int) -> None:
        """Plan how a requirement is met, by its value (draft-11 §6, Table 2)."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise ChallengeLoop(
                f"{self.resource} asked for more after {MAX_STEPS} requirements were met; the call ended"
            )
        if requirement.value == "agent-token":
            self._requires_agent()
        elif requirement.value == "person-token":
            self._requires_person()
        elif requirement.value == "auth-token":
            self._requires_grant(requirement)
        else:
            raise UnsupportedRequirement(requirement.value, status, self.resource)

    def _requires_agent(self) -> None:
        held = self._presenting
        if (held is not None and held.level == "agent") or not self._once("agent-token"):
            raise ChallengeLoop(f"{self.resource} asks for an agent token although it was presented; the call ended")
        self._standing.profiles.note_path(self.resource, self._request.path, agent=True)
        self._presenting = None
        self._tasks.append(self._fetch_agent)

    def _requires_person(self) -> None:
        held = self._presenting
        if self._standing.person_server is None:
            raise NoPersonServer(self.resource)
        if (held is not None and held.level == "person") or not self._once("person-token"):
            raise ChallengeLoop(f"{self.resource} asks for a person token although it was presented; the call ended")
        if held is not None and held.level == "grant":
            self._standing.wallet.drop(self._place, held)
        self._standing.profiles.note_path(self.resource, self._request.path, agent=False)
        self._presenting = None
        self._tasks.append(self._fetch_person)

    def _requires_grant(self, requirement: Requirement) -> None:
        try:
            raw = requirement.text("resource-token")
        except HeaderError as error:
            raise ChallengeRefused(f"{self.resource} asks for an auth token without a resource token") from error
        self._tasks.append(lambda connections: self._redeem(raw, connections))

    # Deferred responses: 202, and what else a poll may get.

    def _deferred(self, answer: Answer, requirement: Requirement | None) -> bool:
        if requirement is None and self._location is None and status_of(answer) is None:
            return True
        settled = self._location is not None and requirement is not None and self._is_settled(requirement)
        pending = pending_at(answer, self._location or self._request.url, self.resource, self._standing.loopback)
        self._location, self._delay, self._lost = pending.location, pending.retry_after, 0
        self._holding.keep(pending, self._held.level, self._held.key)
        if requirement is None or requirement.value != "auth-token":
            self._tasks.append(lambda connections: self._meet(pending, connections))
            self._tasks.append(self._pause)
        elif settled:
            self._tasks.append(self._pause)
        else:
            self._required(requirement, 202)
        return False

    def _is_settled(self, requirement: Requirement) -> bool:
        """Whether a poll presented an auth token that covers what this 202 still names: the resource is at work."""
        held = self._presenting
        if held is None or held is not self._redeemed:
            return False
        try:
            token = read_token(requirement.text("resource-token"), {RESOURCE_TYP}, loopback=self._standing.loopback)
        except (HeaderError, TokenRejected):
            return False
        return isinstance(token, ResourceToken) and covers(held, token.scope, token.account)

    def _held_off(self, answer: Answer) -> None:
        """429 and 503 while polling (draft-11 §11.8.4)."""
        retry_after = answer.values("retry-after")
        if answer.status == 429:
            self._slower += SLOWER
            self._delay = parse_retry_after(retry_after) if retry_after else self._delay
        else:
            self._delay = max(parse_retry_after(retry_after), 1)
        self._tasks.append(self._pause)

    # What waits.

    async def prepare(self, connections: Connections) -> None:
        """Do what was planned, and get the token to present next. Raises `AAuthError`."""
        await self._tokens.begin(connections)
        before = self._presenting
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await task(connections)
        held = self._presenting
        if held is None:
            self._presenting = await self._tokens.first(connections)
        elif held is before and not held.fresh(self._standing.clock()):
            # It came to its end while a pending URL was polled; the pending request goes on under the same key.
            await (self._fetch_agent if held.level == "agent" else self._fetch_person)(connections)
        self._prepared = True

    async def _meet(self, pending: Pending, connections: Connections) -> None:
        """Do what a pending request asks for; the person server is asked first to bring the person (§11.6.3.2)."""
        if self._relay is None:
            self._relay = Relaying(self._standing, self._options, self.resource, self._tokens.identity, connections)
        await self._holding.meet(self._escort, pending, self._reply(connections), self._relay)

    async def _fetch_agent(self, connections: Connections) -> None:
        self._presenting = await self._tokens.agent(connections)

    async def _renew_agent(self, refused: Held, connections: Connections) -> None:
        self._presenting = await self._tokens.another_agent(refused, connections)

    async def _fetch_person(self, connections: Connections) -> None:
        self._presenting = await self._tokens.person(connections)

    def _reply(self, connections: Connections) -> Reply:
        """How a question that comes with a pending request at the resource is answered (draft-11 §7.5.2)."""

        async def send(method: str, location: str, body: Mapping[str, Any] | None) -> Answer:
            return await connections.outbound.call(method, location, self._held.credential, json_body=body)

        return send

    async def _pause(self, connections: Connections) -> None:
        self._holding.check_patience()
        await connections.outbound.sleep(self._delay + self._slower)

    async def _redeem(self, raw: str, connections: Connections) -> None:
        held = self._held
        try:
            self._redeemed = self._presenting = await self._tokens.redeemer.redeem(raw, held, connections)
        except RequestRefused as error:
            await self._start_again(error, held, connections)

    async def _authorize(self, connections: Connections) -> None:
        """What this call asks for by itself, had before the call is made, where the resource says how (§6.6)."""
        held = self._standing.wallet.grant(self._place, self._standing.clock())
        if held is None or not covers(held, self._ask.scopes, self._ask.account):
            await self._tokens.profile(connections)
            await self._tokens.redeemer.authorize(self._ask.scopes, connections)

    async def _start_again(self, error: RequestRefused, held: Held, connections: Connections) -> None:
        """From the top of the chain, once: what lapsed on the way is renewed and the resource asked anew (§11.9.3)."""
        lapsed = error.code != "expired" or not held.alive(self._standing.clock())
        if error.code not in _START_AGAIN or not lapsed or not self._once("start again"):
            raise error
        if error.code.endswith("_presented_token") or error.code == "expired":
            self._standing.wallet.drop(self._place, held)
        await self._fetch_person(connections)
