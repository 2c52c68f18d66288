"""One question to a person, as it is kept while it waits and shown when they come.

Everything a page shows is a copy taken when the agent asked, so that what was shown is what is decided, and is kept
with the decision. Two voices stay apart from here on: what the resource says, and what the agent claims (draft-11
§7.4).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from ..callers import Agent
from ..protocol.metadata import Metadata
from ..protocol.missions import Mission
from ..protocol.tokens import AuthToken, PersonToken, ResourceToken
from .about import About, Action, MissionCompletion, MissionProposal, MissionUpdate, Query, Relay
from .consent import IDENTITY, Kind
from .conversation import MAX_ROUNDS, Change, Turn
from .records import Issued, Place
from .requests import MAX_HINT, Declared

MAX_NAME: Final = 128
MAX_DESCRIPTION: Final = 2048
MAX_SCOPE_TEXT: Final = 1024
"""Bounds of what is copied from a metadata document, in characters."""
KINDS: Final[Mapping[type[About], Kind]] = {
    MissionProposal: "mission",
    MissionUpdate: "update",
    MissionCompletion: "completion",
    Action: "permission",
    Query: "question",
    Relay: "relay",
}
"""Which sort of decision each takes."""


@dataclass(frozen=True, slots=True)
class Described:
    """Resource-asserted: what the resource's metadata says of itself and of what is asked. Text of a stranger."""

    name: str | None = None
    description: str | None = None
    access_mode: str | None = None
    scopes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def by(cls, metadata: Metadata | None, scope: frozenset[str]) -> Described:
        """From a resource's metadata, scopes in the order it gives them; empty where it publishes none."""
        if metadata is None:
            return cls()
        descriptions = metadata.scope_descriptions
        return cls(
            name=(metadata.text("name") or "")[:MAX_NAME] or None,
            description=(metadata.text("description") or "")[:MAX_DESCRIPTION] or None,
            access_mode=metadata.access_mode[:MAX_NAME],
            scopes={value: words[:MAX_SCOPE_TEXT] for value, words in descriptions.items() if value in scope},
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    """Agent-asserted: the agent's own words about itself and its purpose."""

    justification: str | None = None
    platform: str | None = None
    device: str | None = None
    login_hint: str | None = None
    tenant: str | None = None
    domain_hint: str | None = None

    @property
    def hints(self) -> tuple[str, ...]:
        """Whom and where the agent expects, shown and choosing nothing (draft-11 §7.2.1, §13.14)."""
        return tuple(hint for hint in (self.login_hint, self.tenant, self.domain_hint) if hint is not None)


@dataclass(frozen=True, slots=True)
class Errand:
    """What a resource needs of the person at its own page before they decide here (draft-11 §7.2.3).

    `ticket` is the SHA-256 of what the way back is known by, once the person has set out; `done` that they came back.
    """

    url: str
    code: str | None = field(default=None, repr=False)
    ticket: str | None = field(default=None, repr=False)
    done: bool = False

    def is_same(self, other: Errand | None) -> bool:
        """Whether it is the same errand, however far it has come."""
        return other is not None and (self.url, self.code) == (other.url, other.code)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The tokens an answer rests on: what is issued ends with the first of them (draft-11 §7.1.2, §9.4.1).

    `rests_on`: the decisions that the presented token itself came from. `mission_exp`: when its mission ends.
    """

    agent_jti: str
    agent_exp: int
    presented_jti: str | None = None
    presented_exp: int | None = None
    resource_jti: str | None = None
    resource_exp: int | None = None
    rests_on: tuple[str, ...] = ()
    mission_exp: int | None = None

    @property
    def ends(self) -> int:
        """The latest expiry of a token issued within these bounds, in seconds since the epoch."""
        bounds = (self.agent_exp, self.presented_exp, self.mission_exp)
        return min(bound for bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True)
class Asked:
    """An agent's request that a person may have to answer, all of it verified, as far as their answer needs it.

    For a token it names `resource` and `scope`; anything else is in `about`. `mission` is the one it belongs to, and
    `evidence` names what proves the request.
    `reaches_person` and `answers_questions` are what the agent says it can do (draft-11 §11.7). `sub` is the person as
    the resource knows them, `expects` its hint at them, `errand` what it needs of them first. `changes` counts how
    often the agent replaced its request (§7.5.2.2).
    """

    kind: Kind
    agent_iss: str
    agent_sub: str
    resource: str
    scope: frozenset[str]
    bounds: Bounds
    reaches_person: bool
    account: str | None = None
    tenant: str | None = None
    provider_name: str | None = None
    described: Described = Described()
    claimed: Claimed = Claimed()
    answers_questions: bool = False
    sub: str | None = None
    conversation: tuple[Turn, ...] = ()
    changes: int = 0
    mission: str | None = None
    about: About | None = None
    prompt: frozenset[str] = frozenset()
    evidence: str | None = None
    errand: Errand | None = None
    expects: str | None = None

    def place(self, person: str) -> Place:
        """What an answer by `person` is remembered for."""
        return Place(person, self.agent_iss, self.agent_sub, self.resource, self.kind, self.account, self.mission)

    def joins(self, owner: str) -> str:
        """The name of this question: the same for an equal request by the same owner, whatever tokens it came with.

        The agent's claims are no part of it, so that an open page never changes under the person's eyes.
        """
        about = msgspec.to_builtins(self.about)
        if isinstance(about, dict):
            about.pop("until", None)
        same = [owner, self.kind, self.resource, self.account, sorted(self.scope), self.mission, about]
        if self.errand is not None:
            same += [self.errand.url, self.errand.code]
        return hashlib.sha256(json.dumps(same).encode()).hexdigest()

    @property
    def until(self) -> int | None:
        """When there is nothing left to decide: the end of its mission, or of the time a relay was given (§7.6.1)."""
        relay = self.about.until if isinstance(self.about, Relay) else None
        return min((one for one in (relay, self.bounds.mission_exp) if one is not None), default=None)

    @property
    def values(self) -> frozenset[str]:
        """What a yes or a no is about: the scope values, the name of an action, or the kind of question itself."""
        return frozenset({self.about.action}) if isinstance(self.about, Action) else self.scope

    def at(self, resource: str, mission: Mission) -> Asked:
        """The request for a person token at a resource that was approved with this mission (draft-11 §8.2)."""
        return replace(
            self,
            kind="identity",
            resource=resource,
            scope=IDENTITY,
            bounds=replace(self.bounds, mission_exp=_end_of(mission)),
            mission=mission.s256,
            about=None,
        )

    def renewed_by(self, other: Asked) -> Asked | None:
        """This question resting on the tokens of an equal one, where those live longer, and asked as both want it."""
        bounds = other.bounds if other.bounds.ends > self.bounds.ends else self.bounds
        renewed = replace(self, bounds=bounds, prompt=self.prompt | other.prompt)
        return renewed if renewed != self else None

    @property
    def errand_open(self) -> bool:
        """Whether the person is still to go to the resource's own page first (draft-11 §7.2.3)."""
        return self.errand is not None and not self.errand.done

    def with_errand(self, *, ticket: str | None = None, done: bool = False) -> Asked:
        """After the person set out, or came back."""
        assert self.errand is not None
        return replace(self, errand=replace(self.errand, ticket=ticket, done=done))

    def open_turn(self, now: float) -> Turn | None:
        """The question that waits for the agent's answer."""
        last = self.conversation[-1] if self.conversation else None
        return last if last is not None and last.is_open(now) else None

    def may_be_asked(self, now: float) -> bool:
        """Whether the person may put a question: the agent takes some, none is open, and rounds are left (§7.5.3)."""
        return self.answers_questions and len(self.conversation) < MAX_ROUNDS and self.open_turn(now) is None

    def with_question(self, turn: Turn) -> Asked:
        """After the person asked."""
        return replace(self, conversation=(*self.conversation, turn))

    def with_answer(self, answer: str | None, now: int, change: Change | None = None) -> Asked:
        """After the agent answered the question that was open."""
        answered = replace(self.conversation[-1], answered=now, answer=answer, change=change)
        return replace(self, conversation=(*self.conversation[:-1], answered))

    def replaced_by(self, other: Asked, words: str | None, now: int) -> Asked:
        """The request that the agent put in place of this one, with the conversation so far (draft-11 §7.5.2.2)."""
        change = Change(
            dropped=tuple(text for value, text in self.described.scopes.items() if value not in other.scope),
            added=tuple(text for value, text in other.described.scopes.items() if value not in self.scope),
            account_before=self.account,
            account_now=other.account,
        )
        return replace(
            self.with_answer(words, now, change),
            scope=other.scope,
            account=other.account,
            bounds=other.bounds,
            described=other.described,
            changes=self.changes + 1,
            errand=self.errand if self.errand is not None and self.errand.is_same(other.errand) else other.errand,
        )

    def kept(self) -> dict[str, Any]:
        """As JSON."""
        kept: dict[str, Any] = msgspec.to_builtins(self)
        return kept

    def shown(self) -> dict[str, Any]:
        """As it is kept once it is decided: what was shown, without codes, which open something elsewhere."""
        about = msgspec.structs.replace(self.about, code=None) if isinstance(self.about, Relay) else self.about
        errand = replace(self.errand, code=None, ticket=None) if self.errand is not None else None
        return replace(self, about=about, errand=errand).kept()

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Asked:
        """Inverse of `kept`."""
        return msgspec.convert(dict(kept), cls)


def owner_of(agent: Agent) -> str:
    """Whom a pending request belongs to: the agent, under the key it asked with (draft-11 §13.2)."""
    return f"{agent.iss} {agent.sub} {agent.key.thumbprint}"


def _claimed(declared: Declared) -> Claimed:
    return Claimed(
        declared.justification,
        declared.platform,
        declared.device,
        declared.login_hint,
        declared.tenant,
        declared.domain_hint,
    )


def _provider_name(provider: Metadata | None) -> str | None:
    return ((provider.text("name") if provider else None) or "")[:MAX_NAME] or None


def ask_identity(
    agent: Agent,
    resource: str,
    declared: Declared,
    *,
    metadata: Metadata | None,
    provider: Metadata | None,
    mission: Mission | None = None,
) -> Asked:
    """May this agent act at `resource` as the person (draft-11 §7.1)?"""
    return Asked(
        kind="identity",
        agent_iss=agent.iss,
        agent_sub=agent.sub,
        resource=resource,
        scope=IDENTITY,
        bounds=Bounds(agent.jti, agent.exp, mission_exp=_end_of(mission)),
        reaches_person=declared.reaches_person,
        answers_questions=declared.answers_questions,
        provider_name=_provider_name(provider),
        described=Described.by(metadata, frozenset()),
        claimed=_claimed(declared),
        mission=mission.s256 if mission is not None else None,
        prompt=declared.prompt,
    )


def ask_scope(
    agent: Agent,
    token: ResourceToken,
    presented: PersonToken | AuthToken,
    declared: Declared,
    *,
    record: Issued,
    metadata: Metadata,
    provider: Metadata | None,
    mission: Mission | None = None,
) -> Asked:
    """May this agent do at the resource what its resource token names (draft-11 §7.2)?

    `record` is what is on record of the presented token.
    """
    bounds = Bounds(
        agent.jti,
        agent.exp,
        presented.jti,
        presented.exp,
        token.jti,
        token.exp,
        rests_on=record.decisions,
        mission_exp=_end_of(mission),
    )
    return Asked(
        kind="scope",
        agent_iss=agent.iss,
        agent_sub=agent.sub,
        resource=token.iss,
        scope=token.scope,
        bounds=bounds,
        reaches_person=declared.reaches_person,
        answers_questions=declared.answers_questions,
        sub=token.sub,
        account=token.account,
        tenant=token.tenant,
        provider_name=_provider_name(provider),
        described=Described.by(metadata, token.scope),
        claimed=_claimed(declared),
        mission=mission.s256 if mission is not None else None,
        prompt=declared.prompt,
        errand=Errand(token.interaction["url"], token.interaction["code"]) if token.interaction is not None else None,
        expects=token.login_hint[:MAX_HINT] if token.login_hint is not None else None,
    )


def ask_about(
    agent: Agent, about: About, declared: Declared, *, provider: Metadata | None, mission: Mission | None = None
) -> Asked:
    """What no token is issued for: a mission and its course, an action, a question, a way (draft-11 §7.6, §7.7, §8)."""
    kind = KINDS[type(about)]
    return Asked(
        kind=kind,
        agent_iss=agent.iss,
        agent_sub=agent.sub,
        resource="",
        scope=frozenset({kind}),
        bounds=Bounds(agent.jti, agent.exp, mission_exp=_end_of(mission)),
        reaches_person=declared.reaches_person,
        answers_questions=declared.answers_questions,
        provider_name=_provider_name(provider),
        claimed=_claimed(declared),
        mission=mission.s256 if mission is not None else None,
        about=about,
    )


def _end_of(mission: Mission | None) -> int | None:
    return int(mission.expires_at) if mission is not None and mission.expires_at is not None else None
