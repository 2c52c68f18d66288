"""How an agent comes to stand: its keys, its folders, and what it enrols under.

draft-11 §5.1, §13.2. Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ..egress import Egress, EgressError
from ..enrollment import Enrollment, EnrollmentError
from ..outbound import OutboundError
from ..protocol.identifiers import LoopbackProfile, check_server_identifier, fold_code, host_of
from ..protocol.jose import SigningKey, b64url_encode
from .background import Background
from .caches import Wallet
from .connections import Exchange
from .errors import AgentTokenUnavailable
from .flights import Flights
from .home import AgentHome, AgentRecord
from .identity import Identities, Identity, Refresh
from .kept import Missions
from .shared import Shared
from .standing import Standing
from .waiting import Resumes
from .waits import Waits


@dataclass(frozen=True, slots=True)
class Folders:
    """Where an agent keeps what it waits for, what its processes share, and its missions; `None`: nowhere."""

    pending: Path | None = None
    shared: Path | None = None
    missions: Path | None = None


@dataclass(frozen=True, slots=True)
class Founding:
    """Who an agent is, and how it reaches others."""

    agent: str
    provider: str
    person_server: str | None
    exchange: Exchange
    loopback: LoopbackProfile
    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]

    def stand(self, folders: Folders, key: SigningKey | None, refresh: Refresh, resumer: Resumes) -> Standing:
        """What all calls share, with what is kept in the folders. `key`: the one to sign with, and no other."""
        fresh_by, flights = self.exchange.clocks.of(self.provider), Flights()
        shared = None
        if folders.shared is not None and key is None:
            shared = Shared(folders.shared, self.agent, self.provider, self.person_server, self.loopback, fresh_by)
        waits = Waits(
            folders.pending, shared.locks if shared is not None else None, key.kid if key is not None else None
        )
        identities = Identities(
            waits.load(self.clock()) or key or SigningKey.generate(self.random_bytes),
            lambda one: Identity(one, refresh, flights, fresh_by, shared),
            lambda: SigningKey.generate(self.random_bytes),
            waits,
            flights,
            shared,
        )
        standing = Standing(
            self.person_server,
            identities,
            self.exchange,
            self.loopback,
            self.exchange.clocks,
            fresh_by,
            self.random_bytes,
            waits,
            resumer,
            Missions(folders.missions, agent=self.agent, person_server=self.person_server, loopback=self.loopback),
            Background(self.exchange),
            Wallet(forget=shared.forget) if shared is not None else Wallet(),
            flights=flights,
            shared=shared,
        )
        for wait in waits.all():
            for url, code in wait.shown:
                standing.shown.first(url, fold_code(code))
        return standing


def exchange_of(
    egress: Egress,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    random_bytes: Callable[[int], bytes],
    *servers: str | None,
) -> Exchange:
    """The ways out of an agent, which chose these servers."""
    exchange = Exchange(egress, clock=clock, sleep=sleep, nonce=lambda: b64url_encode(random_bytes(12)))
    for server in servers:
        if server is not None:
            exchange.choose(host_of(server))
    return exchange


def record_to_enroll(
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


async def asked_of(provider: str, enrolling: Awaitable[Enrollment]) -> Enrollment:
    """What the provider gives, its failures as this agent's."""
    try:
        return await enrolling
    except (EnrollmentError, OutboundError) as error:
        raise AgentTokenUnavailable(f"no agent token from {provider}: {error}") from error
    except EgressError as error:
        raise AgentTokenUnavailable(f"{provider} could not be reached: {error.reason}; try again") from error
