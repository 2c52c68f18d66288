"""What an agent does under its person's eyes beside asking for tokens (draft-11 §7.6, §7.7, §7.8, §8).

Missions are proposed, updated and completed; actions are permitted or not; records are taken; questions and relays are
brought to the person. Each comes in as a signed request of an agent and leaves as one `Asked`, or is answered at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..callers import Agent
from ..discovery import Discovery
from ..protocol.identifiers import LoopbackProfile
from ..protocol.messages import Answer
from ..protocol.missions import is_mission_s256
from ..protocol.problems import Problem
from ..protocol.tokens import RESOURCE_DWK
from ..store import Database
from ..trust import Trust
from . import missions, records
from .about import About, MissionProposal, ResourceLine, ToolLine
from .asked import MAX_DESCRIPTION, MAX_NAME, Asked, ask_about
from .intake import Intake, within
from .missions import OwnMission
from .proposals import read_audit, read_interaction, read_mission_action, read_permission, read_proposal
from .requests import Declared


class Governing:
    """Reads what agents bring to one person server outside its token endpoints."""

    def __init__(
        self,
        issuer: str,
        database: Database,
        *,
        intake: Intake,
        discovery: Discovery,
        trust: Trust,
        loopback: LoopbackProfile,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._database = database
        self._intake = intake
        self._discovery = discovery
        self._trust = trust
        self._loopback = loopback
        self._clock = clock

    async def proposal(self, agent: Agent, body: Mapping[str, Any]) -> Asked:
        """A mission to be approved (draft-11 §8.1). Raises `Problem`."""
        wanted = read_proposal(body, self._loopback, self._clock())
        for resource in wanted.resources:
            if not self._trust.admits_server(resource, RESOURCE_DWK):
                raise Problem("denied", f"this server takes no agent to {resource}")
        about = MissionProposal(
            description=wanted.description,
            tools=tuple(ToolLine(tool.name, tool.description) for tool in wanted.tools),
            resources=tuple([await self._line(resource) for resource in wanted.resources]),
            limits=wanted.limits,
            expires=wanted.expires,
        )
        return await self._ask(agent, about, wanted.declared, None)

    async def _line(self, resource: str) -> ResourceLine:
        metadata = await self._intake.resource_if_published(resource)
        if metadata is None:
            return ResourceLine(resource)
        name, words = metadata.text("name"), metadata.text("description")
        return ResourceLine(resource, (name or "")[:MAX_NAME] or None, (words or "")[:MAX_DESCRIPTION] or None)

    async def change(self, agent: Agent, s256: str, body: Mapping[str, Any]) -> Asked:
        """An update or the completion of a mission (draft-11 §8.4, §8.5). Raises `Problem`.

        Form comes first and says nothing of the mission; then whose it is, and only then its state (§8.7).
        """
        if not is_mission_s256(s256):
            raise Problem("invalid_request", "the path names no mission: it is the base64url of a SHA-256, unpadded")
        about, declared = read_mission_action(body)
        return await self._ask(agent, about, declared, await self._intake.mission(agent, s256))

    async def permission(self, agent: Agent, body: Mapping[str, Any]) -> Asked:
        """An action to be permitted (draft-11 §7.7). Raises `Problem`."""
        action, mission, declared = read_permission(body)
        return await self._ask(agent, action, declared, await self._intake.mission(agent, mission))

    async def interaction(self, agent: Agent, body: Mapping[str, Any]) -> Asked:
        """A question, or a page somewhere else, for the person (draft-11 §7.6). Raises `Problem`."""
        about, mission, declared = read_interaction(body, self._loopback, self._issuer, self._clock())
        return await self._ask(agent, about, declared, await self._intake.mission(agent, mission))

    async def _ask(self, agent: Agent, about: About, declared: Declared, mission: OwnMission | None) -> Asked:
        return ask_about(
            agent,
            about,
            within(declared, mission),
            provider=await self._intake.provider(agent.iss),
            mission=mission.read() if mission is not None else None,
        )

    async def audit(self, agent: Agent, body: Mapping[str, Any]) -> Answer:
        """Take a record of what was done into the mission's log (draft-11 §7.8): 201, or a `Problem`."""
        s256, entry = read_audit(body)
        now = int(self._clock())
        async with self._database.transaction() as tx:
            person = await records.person_of(tx, agent.iss, agent.sub)
            mission = await missions.require_active(tx, s256, agent.iss, agent.sub, person, now)
            await missions.log(tx, mission.s256, "audit", entry, now)
        return Answer(201, (("cache-control", "no-store"),))
