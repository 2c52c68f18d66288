"""What a person governs: their agents and their missions, with the ways to stop, start, release and end them (F83).

draft-11 §8.3, §8.6, §11.12.3, §13.14.
"""

from __future__ import annotations

from typing import Any, Final

from ...accounts import Account
from ...protocol.messages import Answer
from ...protocol.missions import is_mission_s256
from ...protocol.problems import Problem
from ...serving import Request
from ..missions import OwnMission, counts, one_of_person
from ..records import BoundAgent
from ..steward import Steward
from .desk import BEATING, Desk, as_page
from .naming import agent_name
from .signing import to_sign_in

MAX_SHOWN: Final = 500
"""Entries of a log that one page shows, the newest."""


class Governed:
    """/agents and /missions."""

    def __init__(self, desk: Desk, steward: Steward) -> None:
        self.desk = desk
        self._steward = steward

    @as_page
    async def agents(self, request: Request) -> Answer:
        """GET /agents: who acts for this person, what was stopped, and what each place said to it."""
        session = await self.desk.accounts.session(request)
        if session.account is None:
            return await to_sign_in(self.desk, session, "/agents")
        found = await self._steward.agents(session.account.id)
        return await self.desk.show(
            "agents.html", session, open_for=BEATING, agents=[await self._agent(one) for one in found]
        )

    async def _agent(self, agent: BoundAgent) -> dict[str, Any]:
        told = await self._steward.deliveries(agent.iss, agent.sub)
        return {"agent": agent, "name": agent_name(agent.sub), "told": told}

    @as_page
    async def govern_agent(self, request: Request, act: str) -> Answer:
        """POST /agents/{act}: stop, start or release one of this person's agents; 404 for anybody else's."""
        session = await self.desk.accounts.session(request)
        form = await request.read_form()
        self.desk.accounts.check_post(request, session, form)
        if session.account is None:
            return await to_sign_in(self.desk, session, "/agents")
        acts = {"stop": self._steward.stop, "start": self._steward.start, "release": self._steward.release}
        if act not in acts:
            raise Problem("not_found")
        await acts[act](session.account.id, form.get("provider", ""), form.get("agent", ""))
        return self.desk.go("/agents", session)

    @as_page
    async def missions(self, request: Request) -> Answer:
        """GET /missions: this person's missions, newest first."""
        session = await self.desk.accounts.session(request)
        if session.account is None:
            return await to_sign_in(self.desk, session, "/missions")
        found = await self._steward.missions(session.account.id)
        return await self.desk.show(
            "missions.html", session, open_for=BEATING, missions=[self._line(one) for one in found]
        )

    @as_page
    async def mission(self, request: Request, s256: str) -> Answer:
        """GET /missions/{s256}: one of them, with all that happened in it, in order."""
        session = await self.desk.accounts.session(request)
        if session.account is None:
            return await to_sign_in(self.desk, session, "/missions")
        own = await self._own(session.account, s256)
        entries = await self._steward.mission_log(s256)
        updates = [one for one in entries if one.kind == "update"]
        return await self.desk.show(
            "one_mission.html",
            session,
            open_for=BEATING,
            log=entries[-MAX_SHOWN:],
            updates=updates,
            limits=own.read_limits().document(),
            counts=await counts(self.desk.database, s256),
            **self._line(own),
        )

    @as_page
    async def end(self, request: Request, s256: str) -> Answer:
        """POST /missions/{s256}: the person ends it, with all that was issued under it."""
        session = await self.desk.accounts.session(request)
        self.desk.accounts.check_post(request, session, await request.read_form())
        if session.account is None:
            return await to_sign_in(self.desk, session, "/missions")
        await self._own(session.account, s256)
        await self._steward.end_mission(session.account.id, s256)
        return self.desk.go("/missions", session)

    async def _own(self, account: Account, s256: str) -> OwnMission:
        found = await one_of_person(self.desk.database, account.id, s256) if is_mission_s256(s256) else None
        if found is None:
            raise Problem("not_found")
        return found

    def _line(self, own: OwnMission) -> dict[str, Any]:
        return {
            "own": own,
            "read": own.read(),
            "name": agent_name(own.agent_sub),
            "ended": own.ended_as(self.desk.clock()),
        }
