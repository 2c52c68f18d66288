"""Asking the person server to bring the person to a resource's page, before the agent does so itself.

draft-11 §7.6, §11.6.3.2. The person server may have the better channel. Where it has none, or anything goes wrong on
this way, the agent sends the person there itself. What the relay says is that the person was reached: whether they are
done says the resource's own pending URL alone, which is polled meanwhile and afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ..egress import EgressError
from ..outbound import Credential, OutboundError, read_pending
from ..outbound import Pending as Deferral
from ..protocol.messages import Answer
from .connections import Connections
from .errors import AAuthError, Denied, InteractionUnavailable, MissionTerminated, Unreachable
from .identity import Identity
from .person_server import PersonServer
from .standing import Options, Standing

log = logging.getLogger("aauthkit.agent")


class _SentAway(Exception):
    """The person server has nobody in front of a page of its own any more."""


class Relaying:
    """One call's relay. `resource` is whose page it is."""

    def __init__(
        self, standing: Standing, options: Options, resource: str, identity: Identity, connections: Connections
    ) -> None:
        self._standing = standing
        self._connections = connections
        self._options = options
        self._resource = resource
        self._identity = identity
        self._following: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._location: str | None = None
        self._outcome: AAuthError | None = None

    async def begin(self, url: str, code: str) -> bool:
        """Whether the person server brings the person to this page; else the agent does. Raises `MissionTerminated`,
        and `Denied` where the person does not go there."""
        options, standing, connections = self._options, self._standing, self._connections
        own_way = getattr(options.person, "trips", None) is not None  # the browser is to come back to the application
        if not options.relay or own_way or standing.person_server is None:
            return False
        server = standing.at_person_server(self._identity, self._resource, connections, options)
        try:
            endpoint = await server.endpoint("interaction_endpoint")
            held = await self._identity.held(connections)
            answer = await server.post(endpoint, held, self._body(server, url, code))
            return await self._taken(answer, server, endpoint)
        except MissionTerminated as error:
            standing.ended(options.mission_s256, error.reason)
            raise
        except Denied:
            raise
        except (AAuthError, EgressError, OutboundError) as error:
            log.info("the person server does not bring anybody to %s: %s", self._resource, error)
            return False

    def _body(self, server: PersonServer, url: str, code: str) -> Mapping[str, Any]:
        options = self._options
        patience = options.max_wait if options.max_wait is not None else options.wait
        limit = {"max_wait": max(int(patience), 0)} if patience is not None else {}
        named = {"mission_s256": options.mission_s256} if options.mission_s256 is not None else {}
        return {"type": "interaction", "url": url, "code": code, **limit, **named, **server.declaration()}

    async def _taken(self, answer: Answer, server: PersonServer, endpoint: str) -> bool:
        """Whether an answer says that the person is brought there; it is followed then, until it has ended."""
        if answer.status == 200:
            return True
        if answer.status != 202:
            raise server.refused(answer)
        pending = read_pending(answer, endpoint)
        self._location = pending.location
        if _sends_away(pending):
            self._withdraw()
            return False
        self._loop = asyncio.get_running_loop()
        self._following = self._loop.create_task(self._follow(answer, server, endpoint))
        return True

    async def _follow(self, answer: Answer, server: PersonServer, endpoint: str) -> None:
        """Poll the relay to its end, and note what it ended with (draft-11 §7.6.2)."""
        user = object()
        connections = self._standing.exchange.enter(user)

        async def meet(pending: Deferral) -> None:
            if _sends_away(pending):
                raise _SentAway

        async def credential() -> Credential:
            return (await self._identity.held(connections)).credential

        try:
            answer = await connections.outbound.follow(answer, endpoint, credential, on_pending=meet)
            if answer.status != 200:
                self._outcome = server.refused(answer)
            self._location = None
        except _SentAway:
            self._withdraw()
            self._outcome = InteractionUnavailable(server.identifier, 424, "interaction_unavailable", "")
        except (AAuthError, EgressError, OutboundError) as error:
            log.info("the person server does not bring anybody to %s any more: %s", self._resource, error)
            self._outcome = Unreachable(f"{server.identifier} does not say whether anybody was reached")
        finally:
            await self._standing.exchange.leave(user)

    def look(self) -> bool:
        """Whether the relay still holds, or has done all it can; False, once, where the agent is to go on itself.

        Raises `Denied` where the person does not go there, `MissionTerminated`.
        """
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, MissionTerminated):
            self._standing.ended(self._options.mission_s256, outcome.reason)
        if isinstance(outcome, MissionTerminated | Denied):
            raise outcome
        return outcome is None

    def over(self) -> None:
        """The call has ended, in whatever way. Plain, from any thread.

        The relay itself goes on, unless `done` was before: a call that was given up may be gone on with, and then the
        person still has to go there.
        """
        following, self._following = self._following, None
        if following is None or self._loop is None or self._loop.is_closed() or following.done():
            return
        self._loop.call_soon_threadsafe(following.cancel)

    def done(self) -> None:
        """The resource has what it wanted: nobody needs to go there any more, so the relay is withdrawn."""
        self._withdraw()

    def _withdraw(self) -> None:
        location, self._location = self._location, None
        if location is not None:
            self._standing.background.put(lambda connections: self._delete(location, connections))

    async def _delete(self, location: str, connections: Connections) -> None:
        """A signed DELETE of the relay (draft-11 §7.5.2.3); one that does not arrive ends by itself in time."""
        try:
            held = await self._identity.held(connections)
            await connections.outbound.call("DELETE", location, held.credential)
        except EgressError as error:
            raise Unreachable(f"a relay was not withdrawn: {error.reason}") from error


def _sends_away(pending: Deferral) -> bool:
    """Whether the agent is to bring the person to a page of the person server, and could as well bring them there."""
    return pending.requirement is not None and pending.requirement.value not in ("approval",)
