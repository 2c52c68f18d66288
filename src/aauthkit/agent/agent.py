"""An agent as its user holds it: `Agent.load(name)`, and a client whose requests are signed and authorized."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from .. import enrollment
from ..egress import Egress, EgressError
from ..enrollment import Enrollment, EnrollmentError, EnrollmentRefused
from ..outbound import OnPending, OutboundError, ignore_pending
from ..protocol.identifiers import check_server_identifier, fold_code, host_of, parse_agent_identifier
from ..protocol.jose import SigningKey, b64url_encode
from ..protocol.tokens import AgentToken
from . import self_hosting
from .answering import Answers
from .caches import Wallet
from .choices import AUTOMATIC, Choices, Default, options_of
from .connections import Connections, Exchange
from .describing import Description, describe
from .errors import AgentTokenUnavailable
from .flights import Flights
from .home import AgentHome, AgentRecord
from .identity import Identities, Identity
from .origins import resource_of
from .person import PersonChannel
from .person_server import Statement
from .resuming import Resumer
from .shared import Shared
from .standing import SPOOL, Options, Standing
from .waiting import Pending
from .waits import Waits
from .watching import Watch, unwatched

if TYPE_CHECKING:
    import httpx2


class Agent:
    """One agent: its key, its provider and its person server.

    - `agent`: its identifier, `aauth:name@host`. `provider`, `person_server`: server identifiers; `person_server` is
      `None` for an agent that acts for nobody.
    - `durable`: the key that only the provider sees. `key`: the one that signs requests at first; by default a fresh
      one. It changes with the agent token, unless something is bound to it.
    - `issue`: instead of `durable`, what gives agent tokens to an agent that is its own provider.
    - `egress`: what may be connected to and how; the environment says so by default (`AAUTHKIT_EGRESS`).
    - `person`: the way to the person; `None` for an agent that nobody watches.
    - `pending_folder`: where it keeps what it waits for, with the key that is bound to it; `None`: in memory only.
    - `shared_folder`: where its processes share key and tokens; `None`, or a `key` of its own: it shares nothing.
    - `justification`, `platform`, `device`: what the agent says of itself where a person decides (draft-11 §7.2.1).

    It may be used from several threads and event loops. Making one opens and sends nothing.
    """

    def __init__(
        self,
        agent: str,
        *,
        provider: str,
        person_server: str | None,
        durable: SigningKey | None = None,
        key: SigningKey | None = None,
        issue: self_hosting.Issue | None = None,
        egress: Egress | None = None,
        person: PersonChannel | Default | None = AUTOMATIC,
        justification: str | None = None,
        platform: str | None = None,
        device: str | None = None,
        pending_folder: Path | None = None,
        shared_folder: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.egress = egress if egress is not None else Egress.from_environment()
        loopback = self.egress.loopback
        self.identifier = str(parse_agent_identifier(agent))
        self.provider = check_server_identifier(provider, loopback)
        self.person_server = None if person_server is None else check_server_identifier(person_server, loopback)
        if (durable is None) is (issue is None):
            raise ValueError("an agent has a durable key, or it issues its tokens itself")
        self._durable = durable
        self._issue = issue
        self._person = person
        self._statement = Statement(justification, platform, device)
        exchange = _exchange(self.egress, clock, sleep, random_bytes, self.provider, self.person_server)
        self._clocks = exchange.clocks
        self._standing = self._stand(exchange, key, pending_folder, shared_folder, clock, random_bytes)
        for wait in self._standing.waits.all():
            for url, code in wait.shown:
                self._standing.shown.first(url, fold_code(code))

    def _stand(
        self,
        exchange: Exchange,
        key: SigningKey | None,
        pending_folder: Path | None,
        shared_folder: Path | None,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> Standing:
        """What all calls share, with what is kept in the folders."""
        loopback, fresh_by, flights = self.egress.loopback, self._clocks.of(self.provider), Flights()
        shared = None
        if shared_folder is not None and key is None:
            shared = Shared(shared_folder, self.identifier, self.provider, self.person_server, loopback, fresh_by)
        only = key.kid if key is not None else None
        waits = Waits(pending_folder, shared.locks if shared is not None else None, only)
        identities = Identities(
            waits.load(clock()) or key or SigningKey.generate(random_bytes),
            lambda one: Identity(one, self._refresh, flights, fresh_by, shared),
            lambda: SigningKey.generate(random_bytes),
            waits,
            flights,
            shared,
        )
        return Standing(
            self.person_server,
            identities,
            exchange,
            loopback,
            self._clocks,
            fresh_by,
            random_bytes,
            waits,
            Resumer(lambda: self._standing, self._options),
            Wallet(forget=shared.forget) if shared is not None else Wallet(),
            flights=flights,
            shared=shared,
        )

    @property
    def name(self) -> str:
        """The agent's name at its provider."""
        return parse_agent_identifier(self.identifier).local

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the key that signs this object's next requests."""
        return self._standing.identity.key.kid

    def __repr__(self) -> str:
        return f"Agent({self.identifier}, person_server={self.person_server})"

    @classmethod
    def load(cls, name: str, *, home: Path | str | None = None, egress: Egress | None = None, **settings: Any) -> Agent:
        """The agent that `aauthkit init NAME` made on this machine; `settings` as for `Agent`. Raises `AgentUnknown`.

        `home` is the folder it is kept in (by default `AAUTHKIT_HOME`, else the platform's place for such data).
        """
        kept = AgentHome(home)
        settings = {**kept.folders(name), **settings}
        hosted = kept.hosted(name)
        if hosted is not None:
            return cls(hosted.agent, **self_hosting.settings_of(hosted, egress, settings))
        return cls._of(kept.load(name), egress, settings)

    @classmethod
    def _of(cls, record: AgentRecord, egress: Egress | None, settings: dict[str, Any]) -> Agent:
        assert record.agent is not None
        if egress is None and record.egress is not None:
            egress = Egress.from_file(Path(record.egress))
        return cls(
            record.agent,
            provider=record.provider,
            person_server=record.person_server,
            durable=record.durable,
            egress=egress,
            **settings,
        )

    @classmethod
    async def enroll(
        cls,
        name: str,
        *,
        provider: str,
        person_server: str | None = None,
        home: Path | str | None = None,
        egress: Egress | None = None,
        egress_file: Path | str | None = None,
        on_pending: OnPending = ignore_pending,
        platform: str | None = None,
        device: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        **settings: Any,
    ) -> Agent:
        """Enrol the agent `name` at `provider`, wait until it is admitted, and keep it in the agent home.

        Its durable key is kept before the provider is asked, so that an enrolment cut off in the middle goes on where
        it was. `on_pending` sees every 202. `egress_file` is remembered with the agent, and used where there is no
        `egress`. Raises `AgentTokenUnavailable`, `AgentUnknown`.
        """
        if egress is None:
            egress = Egress.from_file(Path(egress_file)) if egress_file is not None else Egress.from_environment()
        kept = AgentHome(home)
        record = _to_enroll(kept, name, provider, person_server, egress, egress_file, random_bytes)
        exchange = _exchange(egress, clock, sleep, random_bytes, provider, person_server)
        connections = exchange.enter(kept)
        try:
            enrolled = await _asked(
                provider,
                enrollment.enroll(
                    connections.outbound,
                    connections.discovery,
                    provider,
                    record.durable,
                    SigningKey.generate(random_bytes),
                    name=name,
                    ps=person_server,
                    platform=platform,
                    device=device,
                    on_pending=on_pending,
                    loopback=egress.loopback,
                    clock=clock,
                ),
            )
        finally:
            await exchange.leave(kept)
        settings = {**kept.folders(name), **settings}
        record = AgentRecord(name, provider, enrolled.ps, record.durable, enrolled.agent, record.egress)
        kept.save(record)
        settings |= {"clock": clock, "sleep": sleep, "random_bytes": random_bytes}
        return cls._of(record, egress, {"platform": platform, "device": device, **settings})

    def client(
        self,
        *,
        nonce: bool = True,
        person: PersonChannel | Default | None = AUTOMATIC,
        justification: str | None = None,
        prompt: str | None = None,
        spool: int = SPOOL,
        watch: Watch = unwatched,
        answer: Answers | None = None,
        origins: Iterable[str] | None = None,
        wait: float | None = None,
        **settings: Any,
    ) -> httpx2.AsyncClient:
        """An `httpx2.AsyncClient` whose requests are signed; it meets the challenges they get. Never sends unsigned.

        - `nonce`: off for a resource that cannot take one in a signature.
        - `person`: another way to the person than the agent's. `justification`: why, in Markdown, for that person.
          `prompt`: `consent` has them asked even where they agreed before.
        - `answer`: answers the questions of a person who is to decide (draft-11 §7.5), see `Question`; without it, and
          without a person at a terminal (`Terminal`), the agent says that it takes none.
        - `origins`: the only resources that may be called; any other is `OutsideOrigins`, and nothing is sent.
        - `wait`: for how many seconds a call waits for somebody's decision; then it is `Pending`. Without: to the end.
        - `spool`: how much is kept of a body that can be read only once, in bytes.
        - `watch` is called with what happens on the way. It must not block.
        - `settings`: those of `httpx2.AsyncClient`, such as `timeout`, `headers`, `base_url` or `follow_redirects`.

        A response's `extensions["aauth"]` says with what it was had. Requests raise `AAuthError` beside httpx2's own.
        """
        from .transport import async_client

        options = self._options(
            nonce=nonce,
            person=person,
            justification=justification,
            prompt=prompt,
            spool=spool,
            watch=watch,
            answer=answer,
            origins=origins,
            wait=wait,
        )
        return async_client(self._standing, options, **settings)

    def sync_client(
        self,
        *,
        nonce: bool = True,
        person: PersonChannel | Default | None = AUTOMATIC,
        justification: str | None = None,
        prompt: str | None = None,
        spool: int = SPOOL,
        watch: Watch = unwatched,
        answer: Answers | None = None,
        origins: Iterable[str] | None = None,
        wait: float | None = None,
        **settings: Any,
    ) -> httpx2.Client:
        """The same as `client`, as an `httpx2.Client`, usable from several threads."""
        from .transport import sync_client

        options = self._options(
            nonce=nonce,
            person=person,
            justification=justification,
            prompt=prompt,
            spool=spool,
            watch=watch,
            answer=answer,
            origins=origins,
            wait=wait,
        )
        return sync_client(self._standing, options, **settings)

    def transport(self, inner: Any = None, **choices: Unpack[Choices]) -> Any:
        """The transport for an `AsyncClient` of the user's own, of `httpx2` or of `httpx`; `choices` as for `client`.

        `inner` sends what was signed: a transport of either library, by default the agent's own way out (`egress`).
        """
        from .either import async_transport

        return async_transport(self._standing, self._options(**choices), inner)

    def sync_transport(self, inner: Any = None, **choices: Unpack[Choices]) -> Any:
        """The same as `transport`, for a synchronous `Client` of either library."""
        from .either import sync_transport

        return sync_transport(self._standing, self._options(**choices), inner)

    def pending(self) -> list[Pending]:
        """What this agent waits for, the oldest first, also from before it was restarted. Each can be awaited."""
        return [Pending(wait, self._standing.resumer) for wait in self._standing.waits.all()]

    async def describe(self, url: str) -> Description:
        """What the resource at `url` offers, in its own words, and what this agent lacks for it. Signs nothing.

        Where `url` is only a page that links to a resource, that resource is described (draft-11 §11.2.4, §11.2.5).
        Raises `NoResourceIdentifier`, `Unreachable`.
        """
        exchange = self._standing.exchange
        exchange.choose(host_of(resource_of(url, self.egress.loopback)))
        user = object()
        try:
            return await describe(url, self._standing, exchange.enter(user))
        finally:
            await exchange.leave(user)

    def _options(self, **choices: Unpack[Choices]) -> Options:
        return options_of(choices, self._person, self._statement, self.egress.loopback)

    async def _refresh(self, connections: Connections, key: SigningKey) -> AgentToken:
        """An agent token for `key`. The delegation to it carries times too, so a clock set right begins once more."""
        before = self._clocks.offset(self.provider)
        try:
            enrolled = await _asked(self.provider, self._renewal(connections, key))
        except AgentTokenUnavailable as error:
            ahead = isinstance(error.__cause__, EnrollmentRefused) and error.__cause__.code == "clock_skew"
            if not ahead or self._clocks.offset(self.provider) == before:
                raise
            enrolled = await _asked(self.provider, self._renewal(connections, key))
        return enrolled.token

    def _renewal(self, connections: Connections, key: SigningKey) -> Awaitable[Enrollment]:
        if self._issue is not None:
            return self._issue(connections.discovery, key)
        assert self._durable is not None
        return enrollment.refresh(
            connections.outbound,
            connections.discovery,
            self.provider,
            self._durable,
            key,
            agent=self.identifier,
            ps=self.person_server,
            loopback=self.egress.loopback,
            clock=self._clocks.of(self.provider),
        )


def _exchange(
    egress: Egress,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    random_bytes: Callable[[int], bytes],
    *servers: str | None,
) -> Exchange:
    exchange = Exchange(egress, clock=clock, sleep=sleep, nonce=lambda: b64url_encode(random_bytes(12)))
    for server in servers:
        if server is not None:
            exchange.choose(host_of(server))
    return exchange


def _to_enroll(
    home: AgentHome,
    name: str,
    provider: str,
    person_server: str | None,
    egress: Egress,
    egress_file: Path | str | None,
    random_bytes: Callable[[int], bytes],
) -> AgentRecord:
    """The record to enrol under: the one that is kept, if it is for the same provider, else a new one, kept now."""
    check_server_identifier(provider, egress.loopback)
    known = home.find(name)
    remembered = str(Path(egress_file).absolute()) if egress_file is not None else None
    if known is not None and known.provider != provider:
        raise AgentTokenUnavailable(
            f"{home.path(name)} is an agent of {known.provider}; choose another name, or move that file away"
        )
    durable = known.durable if known is not None else SigningKey.generate(random_bytes)
    agent = known.agent if known is not None else None
    record = AgentRecord(name, provider, person_server, durable, agent, remembered)
    home.save(record)
    return record


async def _asked(provider: str, enrolling: Awaitable[Enrollment]) -> Enrollment:
    """What the provider gives, its failures as this agent's."""
    try:
        return await enrolling
    except (EnrollmentError, OutboundError) as error:
        raise AgentTokenUnavailable(f"no agent token from {provider}: {error}") from error
    except EgressError as error:
        raise AgentTokenUnavailable(f"{provider} could not be reached: {error.reason}; try again") from error
