"""An agent as its user holds it: `Agent.load(name)`, and a client whose requests are signed and authorized."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from .. import enrollment
from ..egress import Egress
from ..enrollment import Enrollment, EnrollmentRefused
from ..outbound import OnPending, ignore_pending
from ..protocol.identifiers import check_server_identifier, host_of, parse_agent_identifier
from ..protocol.jose import SigningKey
from ..protocol.tokens import AgentToken
from . import self_hosting
from .answering import Answers
from .choices import AUTOMATIC, Choices, Default, options_of
from .connections import Connections
from .describing import Description, describe
from .errors import AgentTokenUnavailable
from .founding import Folders, Founding, asked_of, exchange_of, record_to_enroll
from .governed import Governed
from .governing import Governance
from .home import AgentHome, AgentRecord
from .mission import Mission
from .origins import resource_of
from .person import PersonChannel
from .person_server import Statement
from .resuming import Resumer
from .standing import SPOOL, Options
from .waiting import Pending
from .watching import Watch, unwatched

if TYPE_CHECKING:
    import httpx2


class Agent(Governed):
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
    - `missions_folder`: where it keeps its missions; `None`: in memory only.
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
        missions_folder: Path | None = None,
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
        exchange = exchange_of(self.egress, clock, sleep, random_bytes, self.provider, self.person_server)
        self._clocks = exchange.clocks
        self._standing = Founding(
            self.identifier, self.provider, self.person_server, exchange, loopback, clock, random_bytes
        ).stand(
            Folders(pending_folder, shared_folder, missions_folder),
            key,
            self._refresh,
            Resumer(lambda: self._standing, self._options, lambda: self._governance),
        )
        self._governance = Governance(self.identifier, self._standing, self._options)

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
        record = record_to_enroll(kept, name, provider, person_server, egress, egress_file, random_bytes)
        exchange = exchange_of(egress, clock, sleep, random_bytes, provider, person_server)
        connections = exchange.enter(kept)
        try:
            enrolled = await asked_of(
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
        mission: Mission | None = None,
        relay: bool = True,
        max_wait: int | None = None,
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
        - `mission`: what all calls are made under (draft-11 §8.3); its tokens are no other mission's.
        - `relay`: whether the person server is asked first to bring the person to a resource's page, and for at most
          `max_wait` seconds (§11.6.3.2).
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
            mission=mission,
            relay=relay,
            max_wait=max_wait,
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
        mission: Mission | None = None,
        relay: bool = True,
        max_wait: int | None = None,
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
            mission=mission,
            relay=relay,
            max_wait=max_wait,
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
            enrolled = await asked_of(self.provider, self._renewal(connections, key))
        except AgentTokenUnavailable as error:
            ahead = isinstance(error.__cause__, EnrollmentRefused) and error.__cause__.code == "clock_skew"
            if not ahead or self._clocks.offset(self.provider) == before:
                raise
            enrolled = await asked_of(self.provider, self._renewal(connections, key))
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
