"""From an ask to an agent: what is open, who joins or replaces it, and the decision that settles it.

Nothing is reserved by asking: until one of them is approved, several durable keys may ask for one name. From then on
the name is that key's for good. No signing key is needed here, so that a command line can decide beside a running
server. Rows are locked in one order, agents, open enrolments, pending requests, so that no two decisions wait for each
other.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..deferred import Deferred, PendingRequest
from ..protocol.jose import PublicKey, parse_jwk
from ..protocol.problems import Problem
from ..protocol.tokens import PERSON_DWK
from ..revocation import Delivery, RevocationOutbox
from ..store import Database, Transaction
from .asking import EnrollmentAsk
from .limits import Limits, network_of
from .records import AgentRecord, AgentState, IssuedToken, OpenEnrollment, Records, Taken

log = logging.getLogger("aauthkit.provider")

KIND: Final = "enrollment"
REQUEST_LIFETIME: Final = 3600
"""Seconds an enrolment waits for a person."""
PENDING_PATH: Final = "/enrollment/pending"

_ADMITTED: Final = {"admitted": True}
_DECLINED: Final = {"error": "denied"}
_TAKEN: Final = {"error": "name_taken"}


class AdministrationError(Exception):
    """A decision that cannot be carried out; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """An enrolment that waits for a person. `id` names it to `approve` and `deny`.

    All but `thumbprint` is what the agent says of itself: compare the thumbprint of its durable key with the one that
    the agent shows. `network` is where it came from; times are seconds since the epoch.
    """

    id: str
    name: str
    thumbprint: str
    ps: str | None
    evidence: str
    platform: str | None
    device: str | None
    network: str
    created: int
    expires: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What a pending request came to: an agent and the key its token is for, or the error that ends it."""

    agent: AgentRecord | None
    key: PublicKey = field(repr=False)
    error: str | None


def _data(ask: EnrollmentAsk, durable: PublicKey, network: str) -> dict[str, Any]:
    return {**_terms(ask), "key": ask.key.jwk, "durable": durable.jwk, "network": network}


def _terms(ask: EnrollmentAsk) -> dict[str, Any]:
    """What a person decides on; another key for the token is not among it."""
    return {
        "name": ask.name,
        "ps": ask.ps,
        "evidence": ask.evidence_type,
        "platform": ask.platform,
        "device": ask.device,
    }


class Enrollments:
    """The enrolments and agents of the provider `issuer`."""

    def __init__(
        self,
        issuer: str,
        database: Database,
        *,
        limits: Limits,
        lifetime: int = REQUEST_LIFETIME,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.records = Records(issuer, database)
        self.deferred = Deferred(issuer, database, path=PENDING_PATH, clock=clock, random_bytes=random_bytes)
        self._outbox = RevocationOutbox(issuer, database, clock=clock)
        self._db = database
        self._limits = limits
        self._lifetime = lifetime
        self._clock = clock

    # Asking.

    async def standing(self, ask: EnrollmentAsk, durable: PublicKey) -> AgentRecord | None:
        """The agent that `durable` has, if it is the one asked for; `None` where it may become one.

        Raises `Problem`: 409 where the name is another key's, 400 where the agent differs from what was approved.
        """
        mine = await self.records.agent_of_key(self._db, durable.thumbprint)
        if mine is None:
            if await self.records.agent(self._db, ask.name) is not None:
                raise Problem("name_taken")
            return None
        if mine.name != ask.name:
            raise Problem("invalid_request", f"this durable key has an agent already, named {mine.name}")
        if ask.ps not in (None, mine.ps):
            raise Problem("invalid_request", "this agent was approved with another person server")
        return mine

    async def open(self, ask: EnrollmentAsk, durable: PublicKey, peer: str | None) -> PendingRequest:
        """The pending request of this ask: the one that is open already where its terms are equal, else a new one.

        A durable key has one open request; one with other terms replaces it. Raises `Problem` 429.
        """
        network = network_of(peer)
        owner = durable.thumbprint
        async with self._db.transaction() as tx:
            expires = int(self._clock()) + self._lifetime
            before = await self.records.claim_open(tx, owner, ask.name, network, expires)
            joined = await self._join(tx, before, ask) if before else None
            if joined is not None:
                return joined
            await self._check_room(tx, owner, network)
            data = _data(ask, durable, network)
            pending = await self.deferred.open(tx, kind=KIND, owner=owner, data=data, lifetime=self._lifetime)
            entry = OpenEnrollment(owner, pending.id, ask.name)
            await self.records.put_open(tx, entry, network, pending.expires)
        return pending

    async def _join(self, tx: Transaction, before: str, ask: EnrollmentAsk) -> PendingRequest | None:
        pending = await self.deferred.lock(tx, before)
        if pending is None or pending.state != "open":
            return None
        terms = _terms(ask)
        if pending.expires > self._clock() and {name: pending.data[name] for name in terms} == terms:
            await self.deferred.update(tx, pending, {**pending.data, "key": ask.key.jwk})
            return pending
        await self.deferred.end(tx, pending, "superseded")
        return None

    async def _check_room(self, tx: Transaction, thumbprint: str, network: str) -> None:
        total, near = await self.records.count_others(tx, thumbprint, network, int(self._clock()))
        if total >= self._limits.open_requests or near >= self._limits.open_per_network:
            raise Problem("rate_limited", "too many enrolments wait for a person", retry_after=60)

    async def admit(self, ask: EnrollmentAsk, durable: PublicKey) -> AgentRecord:
        """Make an agent of what needs no person. Raises `Problem` 409."""
        now = int(self._clock())
        record = AgentRecord(
            **_columns(_terms(ask)),
            thumbprint=durable.thumbprint,
            state="active",
            created=now,
            approved=now,
            changed=now,
        )
        async with self._db.transaction() as tx:
            try:
                await self.records.add_agent(tx, durable, record)
            except Taken:
                raise Problem("name_taken") from None
            woken = await self._settle_rivals(tx, record, None)
        await self._wake(woken)
        return record

    # Deciding.

    async def pending(self) -> list[EnrollmentRequest]:
        """What waits for a person, oldest first."""
        return [_request(pending) for pending in await self.deferred.open_requests(self._db, KIND)]

    async def approve(self, reference: str) -> AgentRecord:
        """Make an agent of the open request that `reference` names, by its `id`, or by a name nobody else asks for.

        Raises `AdministrationError`.
        """
        pending = await self._one_open(reference)
        durable = parse_jwk(pending.data["durable"])
        now = int(self._clock())
        record = AgentRecord(
            **_columns(pending.data),
            thumbprint=durable.thumbprint,
            state="active",
            created=pending.created,
            approved=now,
            changed=now,
        )
        try:
            async with self._db.transaction() as tx:
                await self.records.add_agent(tx, durable, record)
                woken = await self._settle_rivals(tx, record, pending)
        except Taken:
            with contextlib.suppress(Problem):  # whoever took the name has settled it already
                await self._settle(pending, _TAKEN)
            raise AdministrationError(
                f"the name {record.name} belongs to another durable key; the request ended"
            ) from None
        except Problem as gone:
            raise AdministrationError("that request was decided, withdrawn or replaced meanwhile") from gone
        await self._wake(woken)
        log.info("enrolment of %s approved, durable key %s", record.name, record.thumbprint)
        return record

    async def deny(self, reference: str) -> EnrollmentRequest:
        """Decline the open request that `reference` names, as in `approve`. Raises `AdministrationError`."""
        pending = await self._one_open(reference)
        try:
            await self._settle(pending, _DECLINED)
        except Problem as gone:
            raise AdministrationError("that request was decided, withdrawn or replaced meanwhile") from gone
        log.info("enrolment of %s declined, durable key %s", pending.data["name"], pending.owner)
        return _request(pending)

    async def agents(self) -> list[AgentRecord]:
        """Every agent there is or was, oldest first."""
        return await self.records.agents()

    async def issued(self, name: str) -> list[IssuedToken]:
        """The agent tokens of an agent that have not expired, newest first."""
        return await self.records.live_tokens(self._db, name, int(self._clock()))

    async def suspend(self, name: str) -> AgentRecord:
        """Give an agent no token until it is resumed, and revoke those it has. Raises `AdministrationError`."""
        return await self._put_in(name, "suspended")

    async def resume(self, name: str) -> AgentRecord:
        """Let a suspended agent have tokens again; those that were revoked stay so. Raises `AdministrationError`."""
        return await self._put_in(name, "active")

    async def end(self, name: str) -> AgentRecord:
        """End an agent for good, and revoke its tokens; nobody gets its name. Raises `AdministrationError`."""
        return await self._put_in(name, "ended")

    async def _put_in(self, name: str, state: AgentState) -> AgentRecord:
        """Put an agent in `state`, and its unexpired tokens on their way to be revoked where it may have none.

        Both commit together. A token being issued meanwhile waits for this, or this for it (draft-11 §5.1, §11.12.2).
        """
        now = int(self._clock())
        async with self._db.transaction() as tx:
            before = await self.records.lock_agent(tx, name)
            if before is None:
                raise AdministrationError(f"there is no agent named {name!r}")
            if before.state == "ended" and state != "ended":
                raise AdministrationError(f"{name} has ended, which is for good; enrol another agent")
            agent = before if before.state == state else await self.records.set_state(tx, name, state, now)
            if state != "active" and agent.ps is not None:
                for token in await self.records.live_tokens(tx, name, now):
                    await self._outbox.put(tx, agent.ps, PERSON_DWK, token.jti, token.exp)
        log.info("agent %s is %s", agent.name, agent.state)
        return agent

    async def revocations(self, name: str) -> list[Delivery]:
        """What became of the revocations of an agent's tokens that have not expired, oldest first."""
        live = {token.jti for token in await self.issued(name)}
        return [delivery for delivery in await self._outbox.deliveries() if delivery.jti in live]

    async def _one_open(self, reference: str) -> PendingRequest:
        found = [
            pending
            for pending in await self.deferred.open_requests(self._db, KIND)
            if reference in (pending.page, pending.data["name"])
        ]
        if not found:
            raise AdministrationError(f"no enrolment named {reference!r} waits; list what does")
        if len(found) > 1:
            ids = ", ".join(f"{pending.page} (durable key {pending.owner})" for pending in found)
            raise AdministrationError(f"several durable keys ask for {reference!r}; choose one by its id: {ids}")
        return found[0]

    async def _settle(self, pending: PendingRequest, outcome: Mapping[str, Any]) -> None:
        async with self._db.transaction() as tx:
            await self.records.close_open(tx, pending.id, pending.owner)
            await self.deferred.decide(tx, pending.id, outcome)
        await self.deferred.wake(pending)

    async def _settle_rivals(
        self, tx: Transaction, agent: AgentRecord, chosen: PendingRequest | None
    ) -> list[PendingRequest]:
        """Decide the request that was chosen, and with it whatever else is open under the same name."""
        woken: list[PendingRequest] = []
        rivals = await self.records.close_named(tx, agent.name)
        if chosen is not None:
            woken.append(await self.deferred.decide(tx, chosen.id, _ADMITTED))
        for rival in rivals:
            if chosen is None or rival.pending_id != chosen.id:
                outcome = _ADMITTED if rival.durable_jkt == agent.thumbprint else _TAKEN
                with contextlib.suppress(Problem):  # it ended by itself meanwhile
                    woken.append(await self.deferred.decide(tx, rival.pending_id, outcome))
        return woken

    async def _wake(self, pending: list[PendingRequest]) -> None:
        for one in pending:
            await self.deferred.wake(one)

    async def withdraw(self, pending_id: str, thumbprint: str) -> None:
        """End a request that its durable key takes back. Raises `Problem` 404 or 410."""
        await self.deferred.cancel(pending_id, thumbprint)
        await self.records.close_open(self._db, pending_id, thumbprint)

    async def settled(self, pending: PendingRequest, tx: Transaction) -> Settled:
        """What a decided request came to, its agent's record held until the transaction ends."""
        assert pending.outcome is not None
        key = parse_jwk(pending.data["key"])
        if "error" in pending.outcome:
            return Settled(None, key, pending.outcome["error"])
        return Settled(await self.records.lock_agent_of_key(tx, pending.owner), key, None)


def _columns(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: terms[name] for name in ("name", "ps", "evidence", "platform", "device")}


def _request(pending: PendingRequest) -> EnrollmentRequest:
    return EnrollmentRequest(
        id=pending.page,
        **_columns(pending.data),
        thumbprint=pending.owner,
        network=pending.data["network"],
        created=pending.created,
        expires=pending.expires,
    )
