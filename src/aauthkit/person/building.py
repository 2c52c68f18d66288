"""How the rooms of a person server are joined: each is made once, on one ground, and given what it works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..accounts import Accounts
from ..audit import AuditLog, Keeping
from ..audit.evidence import KEPT as EVIDENCE_KEPT
from ..compatibility import OlderForm
from ..deferred import Deferred
from ..discovery import Discovery
from ..keys import Keys
from ..outbound import Outbound
from ..protocol.identifiers import LoopbackProfile
from ..protocol.tokens import AGENT_DWK, PERSON_DWK, RESOURCE_DWK, Ceilings
from ..replay import ReplayCache
from ..revocation import RevocationLimits, RevocationOutbox, Revocations, Revoker
from ..store import Database
from ..trust import Trust
from ..web import Pages
from . import consents
from .accepted import Accepted
from .clarifying import Clarifying
from .conversation import ANSWER_WITHIN
from .deciding import Deciding
from .errands import Errands
from .governing import Governing
from .granting import Granting
from .intake import Intake
from .issuing import Issuing
from .judging import Judging
from .pages.desk import Desk
from .questions import LIFETIME, Questions
from .revoking import Revoking
from .rules import FixedRules, RuleBook, StoredRules
from .steward import Steward
from .waiting import Room


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a person server waits and remembers, in seconds, and how much it takes."""

    question: int = LIFETIME
    """A request waits for its person."""
    answer: int = ANSWER_WITHIN
    """An agent has to answer what its person asks."""
    decisions_kept: int = consents.KEPT
    """A decision that is over is kept as evidence."""
    evidence_kept: int = EVIDENCE_KEPT
    """What proves a request, its signature and token, is kept."""
    revocations: RevocationLimits = field(default_factory=RevocationLimits)
    """Revocations taken from one issuer."""


DEFAULT_TERMS: Final = Terms()


@dataclass(frozen=True, slots=True)
class Ground:
    """What every room of a person server stands on. `trust` names the server itself as the one person server."""

    issuer: str
    keys: Keys
    database: Database
    discovery: Discovery
    accounts: Accounts
    tenant: str | None
    trust: Trust
    loopback: LoopbackProfile
    terms: Terms
    ceilings: Ceilings
    older_forms: frozenset[OlderForm]
    path_prefix: str
    clock: Callable[[], float]
    random_bytes: Callable[[int], bytes]


class Built:
    """The rooms of one person server, joined."""

    def __init__(self, ground: Ground, rules: RuleBook | None, outbound: Outbound, replay: ReplayCache | None) -> None:
        self._ground = ground
        issuer, database, clock = ground.issuer, ground.database, ground.clock
        self.deferred = Deferred(issuer, database, clock=clock, random_bytes=ground.random_bytes)
        self.questions = Questions(database, self.deferred, lifetime=ground.terms.question)
        self.audit = AuditLog(issuer, database, clock=clock)
        revoker = Revoker(
            issuer, PERSON_DWK, ground.keys, discovery=ground.discovery, outbound=outbound, loopback=ground.loopback
        )
        self.outbox = RevocationOutbox(issuer, database, revoker=revoker, clock=clock)
        self.revoking = Revoking(database, self.questions, self.outbox, self.audit, clock=clock)
        self.steward = Steward(
            issuer, database, outbox=self.outbox, revoking=self.revoking, audit=self.audit, clock=clock
        )
        self.revocations = self._make_revocations()
        self.accepted = Accepted(database)
        self.intake = self._make_intake(replay)
        self.granting = Granting(self.revoking, self.audit, random_bytes=ground.random_bytes)
        self.governing = Governing(
            issuer,
            database,
            intake=self.intake,
            discovery=ground.discovery,
            trust=ground.trust,
            loopback=ground.loopback,
            clock=clock,
        )
        self.room = self._make_room(rules)
        self.clarifying = Clarifying(
            database, deferred=self.deferred, questions=self.questions, within=ground.terms.answer, clock=clock
        )
        self.deciding = self._make_deciding()
        self.errands = Errands(
            issuer,
            database,
            deferred=self.deferred,
            questions=self.questions,
            clock=clock,
            random_bytes=ground.random_bytes,
        )

    def _make_revocations(self) -> Revocations:
        """Agent providers revoke agent tokens here, resources their resource tokens (draft-11 §11.12.2)."""
        ground = self._ground
        return Revocations(
            ground.issuer,
            ground.database,
            dwks=(AGENT_DWK, RESOURCE_DWK),
            trust=ground.trust,
            discovery=ground.discovery,
            longest=max(ground.ceilings.agent, ground.ceilings.resource),
            effect=self.revoking.revoked,
            cascade=self.revoking.cascade,
            path_prefix=ground.path_prefix,
            limits=ground.terms.revocations,
            loopback=ground.loopback,
            accept_base64url=OlderForm.BASE64URL_SIGNATURE in ground.older_forms,
            clock=ground.clock,
            random_bytes=ground.random_bytes,
        )

    def _make_intake(self, replay: ReplayCache | None) -> Intake:
        ground = self._ground
        return Intake(
            ground.issuer,
            ground.database,
            accepted=self.accepted,
            discovery=ground.discovery,
            trust=ground.trust,
            loopback=ground.loopback,
            ceilings=ground.ceilings,
            older_forms=ground.older_forms,
            replay=replay,
            is_revoked=self.revocations.is_revoked,
            path_prefix=ground.path_prefix,
            decisions_kept=ground.terms.decisions_kept,
            clock=ground.clock,
        )

    def _make_room(self, rules: RuleBook | None) -> Room:
        ground = self._ground
        judging = Judging(
            granting=self.granting,
            audit=self.audit,
            rules=FixedRules(rules) if rules is not None else StoredRules(),
            for_update=ground.database.for_update,
            clock=ground.clock,
            random_bytes=ground.random_bytes,
        )
        issuing = Issuing(
            ground.issuer,
            ground.keys,
            for_update=ground.database.for_update,
            audit=self.audit,
            tenant=ground.tenant,
            is_revoked=self.revocations.is_revoked,
            clock=ground.clock,
            random_bytes=ground.random_bytes,
        )
        return Room(
            ground.issuer,
            ground.database,
            deferred=self.deferred,
            questions=self.questions,
            issuing=issuing,
            accounts=ground.accounts,
            evidence=Keeping(ground.issuer, ground.database, kept=ground.terms.evidence_kept, clock=ground.clock),
            judging=judging,
            accepted=self.accepted,
            clock=ground.clock,
        )

    def _make_deciding(self) -> Deciding:
        ground = self._ground
        return Deciding(
            ground.database,
            deferred=self.deferred,
            questions=self.questions,
            revoking=self.revoking,
            granting=self.granting,
            audit=self.audit,
            clock=ground.clock,
            random_bytes=ground.random_bytes,
        )

    def desk(self, name: str) -> Desk:
        """What the pages work with; `name` is what the server calls itself on them."""
        ground = self._ground
        in_profile = ground.issuer in ground.loopback.origins
        return Desk(
            issuer=ground.issuer,
            database=ground.database,
            deferred=self.deferred,
            questions=self.questions,
            accounts=ground.accounts,
            discovery=ground.discovery,
            pages=Pages("aauthkit.person", name, loopback=in_profile, clock=ground.clock),
            clock=ground.clock,
        )
