"""What all calls of one agent share: who it is, what it holds, and how it reaches others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from ..protocol.identifiers import LoopbackProfile
from ..protocol.jose import SigningKey
from ..protocol.tokens import ResourceToken
from .answering import Answers
from .background import Background
from .caches import Held, Place, Wallet, covers
from .clocks import Clocks
from .connections import Connections, Exchange
from .errors import MissionTerminated, NoPersonServer
from .escort import Escort, Shown
from .flights import Flights
from .identity import Identities, Identity
from .kept import KeptMission, Missions
from .person import PersonChannel
from .person_server import PersonServer, Statement, Updates, auth_name, person_name, redeemed
from .profiles import Profiles
from .shared import Shared
from .spans import token_request
from .waiting import Pending, Resumes
from .waits import Wait, Waits
from .watching import Watch, unwatched
from .withdrawing import GivenUp

T = TypeVar("T")

SPOOL: Final = 1024 * 1024
"""Bytes kept of a body that can be read only once."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the calls of one client are made.

    `nonce`: whether each signature carries one (RFC 9421 §2.3). `person`: the way to the person, `None` where there is
    none. `spool`: how much is kept of a body that can be read only once, in bytes. `answers`: who answers a person's
    questions. `origins`: the only resources that may be called, if there is a limit. `wait`: for how many seconds a
    call waits for somebody's decision, `None` for as long as it takes. `key`: the only one to go on with, where what is
    gone on with is bound to it. `mission`: what is done under it. `relay`: whether the person server is asked to bring
    the person to a resource's page, and for at most `max_wait` seconds (draft-11 §11.6.3.2).
    """

    person: PersonChannel | None
    nonce: bool = True
    statement: Statement = field(default_factory=Statement)
    spool: int = SPOOL
    watch: Watch = field(default=unwatched, repr=False)
    answers: Answers | None = field(default=None, repr=False)
    origins: frozenset[str] | None = None
    wait: float | None = None
    key: SigningKey | None = field(default=None, repr=False)
    mission: KeptMission | None = None
    relay: bool = True
    max_wait: int | None = None

    def explained(self, justification: str | None) -> Options:
        """The same, with another reason for the person to read; `None` leaves it."""
        if justification is None:
            return self
        return replace(self, statement=replace(self.statement, justification=justification))

    @property
    def asks_anew(self) -> bool:
        """Whether the person is asked even where they agreed before (draft-11 §7.2.1)."""
        return self.statement.prompt is not None

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What this agent itself can do when a server asks (draft-11 §11.7)."""
        interaction = ("interaction",) if self.person is not None else ()
        return (*interaction, "clarification") if self.answers is not None else interaction

    @property
    def declared(self) -> tuple[str, ...]:
        """What a resource is told: with what the person server can do for the person in this mission (§8.2, §11.7)."""
        own = self.capabilities
        return own if self.mission is None else tuple(dict.fromkeys((*own, *self.mission.capabilities)))

    @property
    def mission_s256(self) -> str | None:
        """The mission's identifier."""
        return self.mission.s256 if self.mission is not None else None


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent, for the calls it makes. `person_server` is `None` for an agent that acts for nobody.

    `clocks` says what time it is where; `clock` is the time by which tokens are fresh or not. `shared` is what other
    processes of the agent have in common with this one, if anything.
    """

    person_server: str | None
    identities: Identities
    exchange: Exchange
    loopback: LoopbackProfile
    clocks: Clocks
    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    waits: Waits
    resumer: Resumes
    missions: Missions
    background: Background
    wallet: Wallet = field(default_factory=Wallet)
    profiles: Profiles = field(default_factory=Profiles)
    flights: Flights = field(default_factory=Flights)
    shown: Shown = field(default_factory=Shown)
    given_up: GivenUp = field(default_factory=GivenUp)
    shared: Shared | None = None

    @property
    def identity(self) -> Identity:
        """The agent under the key that signs now."""
        return self.identities.current

    def place(self, identity: Identity, resource: str, account: str | None = None, mission: str | None = None) -> Place:
        """Where this agent's tokens for `resource` are under one key, or for one account there, in one mission."""
        return Place(identity.key.kid, self.person_server or "", None, resource, account, mission)

    def recall(self, identity: Identity, place: Place, options: Options | None = None) -> None:
        """Take up the tokens of `place` that other processes, or an earlier one, had; none where all is asked anew."""
        if self.shared is None or (options is not None and options.asks_anew):
            return
        if self.wallet.person(place, self.clock()) is None:
            person = self.shared.find("person", place, identity.key)
            if person is not None:
                self.wallet.keep(place, person)
        if self.wallet.grant(place, self.clock()) is None:
            granted = self.shared.find("grant", place, identity.key)
            if granted is not None:
                self.wallet.keep(place, granted)

    def keep(self, place: Place, held: Held) -> Held:
        """Put a token that was verified in its place, for every process."""
        self.wallet.keep(place, held)
        if self.shared is not None:
            self.shared.keep(held, place)
        return held

    def alone(self, *name: object) -> AbstractAsyncContextManager[Any]:
        """Around a token request: no other process makes the same one meanwhile, nor polls for it."""
        return self.shared.alone(*name) if self.shared is not None else nullcontext()

    def escort(self, by: str, options: Options) -> Escort:
        """Who looks after the person while a request at `by` is pending."""
        return Escort(by, options.person, self.shown, options.watch, self.loopback, options.answers)

    def at_person_server(
        self, identity: Identity, resource: str, connections: Connections, options: Options
    ) -> PersonServer:
        """The dealings with the person server. Raises `NoPersonServer`."""
        if self.person_server is None:
            raise NoPersonServer(resource)
        return PersonServer(
            self.person_server,
            identity,
            connections,
            self.escort(self.person_server, options),
            options.statement,
            options.capabilities,
            options.watch,
            self.clocks.of(self.person_server),
            self.loopback,
            self.waits,
            self.resumer,
            options.wait,
        )

    async def person_token(self, identity: Identity, place: Place, connections: Connections, options: Options) -> Held:
        """The person token of `place`, obtained once for all who need it (draft-11 §7.1)."""
        held = self.wallet.person(place, self.clock())
        if held is not None:
            return held
        server = self.at_person_server(identity, place.resource, connections, options)
        name = person_name(place.resource, place.mission)

        async def run() -> Held:
            async with self.alone("person", place.key, name):
                self.recall(identity, place, options)
                known = self.wallet.person(place, self.clock())
                return known or self.keep(place, await server.person_token(place.resource, place.mission))

        with token_request("person", server.identifier, place.resource):
            return await self.patiently(("person", place.person), name, place.key, run, options)

    async def auth_token(
        self,
        identity: Identity,
        place: Place,
        token: ResourceToken,
        presented: Held,
        connections: Connections,
        options: Options,
        update: Updates | None = None,
    ) -> Held:
        """An auth token against `token`; one exchange for all that ask for the same at the same time (F40).

        Each call redeems its own resource token with the token it presented itself; calls whose resource tokens ask
        for exactly the same with the same presented token share one.
        """
        server = replace(self.at_person_server(identity, place.resource, connections, options), update=update)
        before = self.wallet.grant(place, self.clock())

        async def run() -> Held:
            async with self.alone("grant", place.key, auth_name(token)):
                if self.shared is not None and not options.asks_anew:
                    found = self.shared.find("grant", place, identity.key)
                    known = {one.token.raw for one in (before, presented) if one is not None}
                    if found is not None and found.token.raw not in known and covers(found, token.scope, token.account):
                        self.wallet.keep(place, found)
                        return found
                return self.keep(place, await server.auth_token(token, presented))

        name = ("grant", place, token.aud, token.scope, token.account, token.login_hint, token.presented_jti)
        with token_request("auth", server.identifier, place.resource):
            return await self.patiently(name, auth_name(token), place.key, run, options)

    async def resumed_auth_token(
        self, identity: Identity, wait: Wait, connections: Connections, options: Options
    ) -> Held:
        """The auth token of a pending request that an earlier call left behind."""
        token, presented = redeemed(wait, identity.key, self.loopback)
        place = self.place(identity, wait.resource, token.account, token.mission_s256)
        return await self.auth_token(identity, place, token, presented, connections, options)

    async def closed(self, client: object) -> None:
        """A client has ended, and with the last one what was given up and is kept nowhere; records are sent before."""
        await self.background.flush()
        try:
            await self.given_up.close(client, self.waits, self.resumer)
        finally:
            await self.exchange.leave(client)

    def ended(self, mission: str | None, reason: str) -> None:
        """The person server said that a mission is over: nothing is done under it any more (draft-11 §8.8)."""
        if mission is not None:
            self.missions.end(mission, reason)
            self.wallet.end_mission(mission)

    async def patiently(
        self, name: Hashable, waiting: str, key: str, run: Callable[[], Awaitable[T]], options: Options
    ) -> T:
        """One run for all; each waits for as long as it wants to. Raises `Pending`.

        `waiting` and `key` tell its pending request. A mission that has ended is known as such from then on.
        """
        limit = options.wait
        self.given_up.joined(waiting, key)
        while True:
            try:
                async with asyncio.timeout(limit):
                    return await self.flights.share(name, run)
            except asyncio.CancelledError:
                if name not in self.flights:
                    self.given_up.note(self.waits.find(waiting, key), self.waits)
                raise
            except TimeoutError:
                known = self.waits.find(waiting, key)
                if known is not None:
                    raise Pending(known, self.resumer) from None
                limit = None  # nobody is asked yet; it is not a decision that takes so long
            except MissionTerminated as error:
                self.ended(options.mission_s256, error.reason)
                raise
            except Pending:
                if options.wait is not None:
                    raise  # else it was the patience of another that came to its end
