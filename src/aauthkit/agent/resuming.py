"""Going on with what was left pending, and withdrawing it (draft-11 §7.5.2.3, §11.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..egress import EgressError
from .errors import Unreachable
from .governing import Governance
from .standing import Options, Standing
from .waits import Wait


@dataclass(frozen=True, slots=True)
class Resumer:
    """What an agent does with its pending requests. `options` are those of a call that waits to the end."""

    standing: Callable[[], Standing] = field(repr=False)
    options: Callable[[], Options] = field(repr=False)
    governance: Callable[[], Governance] = field(repr=False)

    async def resume(self, wait: Wait) -> Any:
        """Wait until it has ended. Raises `AAuthError`.

        Gives the response of a held request, `None` for a token; else what the call gives that asked: a mission, a
        permission, an answer.
        """
        standing = self.standing()
        key = standing.waits.key_of(wait)
        identity, options = standing.identities.of(key), replace(self.options(), key=key)
        mission = wait.tokens.get("mission_s256")
        if mission is not None:
            options = replace(options, mission=standing.missions.get(mission))
        if wait.kind == "call":
            return await self._response(wait, standing, options)
        user = object()
        connections = standing.exchange.enter(user)
        try:
            if wait.kind == "person":
                place = standing.place(identity, wait.resource, mission=mission)
                await standing.person_token(identity, place, connections, options)
            elif wait.kind == "auth":
                await standing.resumed_auth_token(identity, wait, connections, options)
            else:
                return await self.governance().resume(wait, connections, options)
        finally:
            await standing.exchange.leave(user)
        return None

    async def _response(self, wait: Wait, standing: Standing, options: Options) -> Any:
        from .transport import async_client

        standing.waits.hold(wait)
        try:
            async with async_client(standing, options) as http:
                response = await http.get(wait.location)
            standing.waits.drop(wait)
            return response
        finally:
            standing.waits.let_go(wait)

    async def withdraw(self, wait: Wait) -> None:
        """A signed DELETE of the pending URL; it is forgotten here, whatever the server says to that."""
        standing, user = self.standing(), object()
        connections = standing.exchange.enter(user)
        try:
            held = await standing.identities.of(standing.waits.key_of(wait)).held(connections)
            await connections.outbound.call("DELETE", wait.location, held.credential)
        except EgressError as error:
            raise Unreachable(f"{wait.by} could not be reached: {error.reason}; try again") from error
        finally:
            await standing.exchange.leave(user)
        standing.waits.drop(wait)
