"""Home: what waits for the person, and what they allowed, with a way to take it back (F81, F83)."""

from __future__ import annotations

from typing import Any

from ...protocol.messages import Answer
from ...protocol.problems import Problem
from ...serving import Request
from .. import consents
from ..asked import Asked
from ..consents import Decision
from ..revoking import Revoking
from .decision import REFRESH
from .desk import BEATING, Desk, as_page
from .naming import names_of, waiting_line
from .signing import to_sign_in


class Home:
    """/ and /allowed."""

    def __init__(self, desk: Desk, revoking: Revoking) -> None:
        self.desk = desk
        self._revoking = revoking

    @as_page
    async def look(self, request: Request) -> Answer:
        """GET /: everything that waits for whoever is signed in, oldest first, kept up to date."""
        session = await self.desk.accounts.session(request)
        if session.account is None:
            return await to_sign_in(self.desk, session, "/")
        waiting = await self.desk.questions.waiting_for(
            self.desk.database, session.account.id, session.handle, self.desk.now
        )
        return await self.desk.show(
            "home.html", session, open_for=BEATING, refresh=REFRESH, waiting=[waiting_line(one) for one in waiting]
        )

    @as_page
    async def allowed(self, request: Request) -> Answer:
        """GET /allowed: what agents may do, by this person's word."""
        session = await self.desk.accounts.session(request)
        if session.account is None:
            return await to_sign_in(self.desk, session, "/allowed")
        decisions = await consents.allowed(self.desk.database, session.account.id, self.desk.now)
        held = [_line(one) for one in decisions if not one.standing.is_over(self.desk.now)]
        return await self.desk.show("allowed.html", session, open_for=BEATING, allowed=held)

    @as_page
    async def take_back(self, request: Request, decision: str) -> Answer:
        """POST /allowed/{decision}: from now on the person is asked again, and what rests on it is refused here.

        404 for anybody else's.
        """
        session = await self.desk.accounts.session(request)
        self.desk.accounts.check_post(request, session, await request.read_form())
        if session.account is None:
            return await to_sign_in(self.desk, session, "/allowed")
        async with self.desk.database.transaction() as tx:
            found = await self._revoking.take_back(tx, session.account.id, decision, self.desk.now)
        if found is None:
            raise Problem("not_found")
        return self.desk.go("/allowed", session)


def _line(decision: Decision) -> dict[str, Any]:
    """A decision as one card of the list, in the words it was shown in."""
    kept = {name: value for name, value in decision.shown.items() if name not in ("verdict", "new_agent")}
    asked = Asked.read(kept)
    words = [asked.described.scopes.get(value, value) for value in sorted(decision.standing.granted)]
    return {"decision": decision, "words": words, **names_of(asked)}
