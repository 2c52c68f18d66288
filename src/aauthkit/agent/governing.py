"""What an agent asks of its person beside tokens: missions, permissions, questions, and pages to go to.

draft-11 §7.6, §7.7, §7.8, §8. Each is a request to the person server that a person may have to decide on, waited for
like every other: pending, resumable, its page shown once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ..protocol.messages import Answer
from .approval import digest_in, document_of, person_tokens_in, read_approval, text_in
from .connections import Connections
from .errors import AnswerRefused, Denied, MissionTerminated, NoPersonServer, TokenRefused, detail_of
from .identity import Identity
from .kept import KeptMission, Update
from .mission import Mission, Permission
from .person_server import PersonServer, Request
from .standing import Options, Standing
from .waits import Wait, name_of

log = logging.getLogger("aauthkit.agent")

Kind = Literal["mission", "update", "completion", "permission", "question", "relay"]
ENDPOINTS: Final[Mapping[str, str]] = {
    "mission": "mission_endpoint",
    "update": "mission_endpoint",
    "completion": "mission_endpoint",
    "permission": "permission_endpoint",
    "question": "interaction_endpoint",
    "relay": "interaction_endpoint",
}
"""Where each is asked, by its name in the person server's metadata (draft-11 §11.2.2)."""
COVERED: Final = frozenset({"tools", "hours", "permissions", "amounts"})
"""Limits of a mission that its person server checks where a permission is asked for, also of an approved tool."""


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing that is asked. `body` is what the request says; `mission` the mission's own URL it goes to, if any."""

    kind: Kind
    body: Mapping[str, Any] = field(repr=False)
    mission: str | None = None

    @property
    def name(self) -> str:
        """What tells it from others: two that ask the same are equal."""
        return name_of(self.kind, self.mission, self.body)

    def errand(self, by: str) -> Request:
        """As a request to the person server `by`, with what a restarted agent needs to go on."""
        kept = {"body": json.dumps(self.body)} | ({"mission_s256": self.mission} if self.mission else {})
        return Request(self.kind, self.name, by, kept)


@dataclass(frozen=True, slots=True)
class Governance:
    """One agent under its person's eyes. `agent` is its identifier; `options` makes those of one call."""

    agent: str
    standing: Standing = field(repr=False)
    options: Callable[..., Options] = field(repr=False)

    # What is asked.

    async def propose(self, body: Mapping[str, Any], options: Options) -> Mission:
        """A mission, as it was approved (draft-11 §8.1, §8.2). Raises `AAuthError`."""
        mission: Mission = await self._ask(Matter("mission", body), options)
        return mission

    async def update(self, mission: KeptMission, description: str, options: Options) -> Update:
        """An accepted change of the work (draft-11 §8.4). Raises `AAuthError`."""
        body = {"action": "update", "description": description}
        update: Update = await self._ask(Matter("update", body, mission.s256), replace(options, mission=mission))
        return update

    async def complete(self, mission: KeptMission, summary: str, options: Options) -> None:
        """The end of a mission, accepted by the person (draft-11 §8.5). Raises `AAuthError`."""
        body = {"action": "completion", "summary": summary}
        await self._ask(Matter("completion", body, mission.s256), replace(options, mission=mission))

    async def permission(self, body: Mapping[str, Any], mission: KeptMission | None, options: Options) -> Permission:
        """Whether an action may be done (draft-11 §7.7). Raises `AAuthError`, but no `Denied`."""
        self.standing.missions.check(mission, self.standing.clock())
        action = str(body["action"])
        if mission is not None and mission.terms.approves_tool(action) and not _is_limited(mission):
            return Permission(action, True, asked=False)
        matter = Matter("permission", _within(body, mission))
        try:
            permission: Permission = await self._ask(matter, replace(options, mission=mission))
        except Denied as error:
            return Permission(action, False, error.detail or None)
        return permission

    async def question(self, body: Mapping[str, Any], mission: KeptMission | None, options: Options) -> str:
        """What the person answers (draft-11 §7.6.2). Raises `AAuthError`."""
        matter = Matter("question", _within({"type": "question", **body}, mission))
        answer: str = await self._ask(matter, replace(options, mission=mission))
        return answer

    async def bring(self, body: Mapping[str, Any], mission: KeptMission | None, options: Options) -> None:
        """The person brought to another page by the person server (draft-11 §7.6). Raises `AAuthError`."""
        await self._ask(Matter("relay", _within(body, mission)), replace(options, mission=mission))

    def audit(self, body: Mapping[str, Any], mission: KeptMission, options: Options) -> bool:
        """A record of what was done, sent without waiting (draft-11 §7.8). False: too many wait, it is dropped.

        Raises `MissionTerminated` for a mission that is known to be over.
        """
        standing = self.standing
        standing.missions.check(mission, standing.clock())
        options = replace(options, mission=mission)

        async def send(connections: Connections) -> None:
            identity = await standing.identities.begin(connections)
            server = self._server(identity, connections, options)
            endpoint = await server.endpoint("audit_endpoint")
            try:
                await server.record(endpoint, _within(body, mission))
            except MissionTerminated as error:
                standing.ended(mission.s256, error.reason)
                raise

        taken = standing.background.put(send)
        if not taken:
            log.warning("a record of %s was dropped: too many wait to be sent", self.agent)
        return taken

    # How it is asked.

    async def _ask(self, matter: Matter, options: Options) -> Any:
        """What a matter ends with, however long that takes or for as long as the caller waits. Raises `Pending`."""
        standing, user = self.standing, object()
        standing.missions.check(options.mission, standing.clock())
        if standing.person_server is None:
            raise NoPersonServer
        connections = standing.exchange.enter(user)
        try:
            identity = await self._identity(matter, connections)
            return await self._settle(matter, identity, connections, options)
        finally:
            await standing.exchange.leave(user)

    async def _identity(self, matter: Matter, connections: Connections) -> Identity:
        """The agent under the key that an equal request waits with, else under the one that signs now."""
        waits = self.standing.waits
        known = next((wait for wait in waits.all() if wait.name == matter.name), None)
        if known is not None:
            return self.standing.identities.of(waits.key_of(known))
        return await self.standing.identities.begin(connections)

    async def resume(self, wait: Wait, connections: Connections, options: Options) -> Any:
        """What a pending request of an earlier call, or process, ends with. Raises `AAuthError`."""
        body = json.loads(wait.tokens["body"])
        matter = Matter(wait.kind, body, wait.tokens.get("mission_s256"))  # type: ignore[arg-type]
        identity = self.standing.identities.of(self.standing.waits.key_of(wait))
        return await self._settle(matter, identity, connections, options)

    async def _settle(self, matter: Matter, identity: Identity, connections: Connections, options: Options) -> Any:
        standing = self.standing
        server = self._server(identity, connections, options)

        async def run() -> Any:
            url = await server.endpoint(ENDPOINTS[matter.kind])
            url = f"{url.rstrip('/')}/{matter.mission}" if matter.mission is not None else url
            said = replace(server.statement, prompt=None).members()  # a prompt is of token requests alone (§7.2.1)
            body = {**matter.body, **server.declaration(), **said}
            answer, latest, _ = await server.request(url, body, matter.errand(server.identifier))
            return await self._outcome(matter, answer, latest, server, identity)

        # Two permissions are two: what is granted once is not done twice.
        name = (matter.name, id(run)) if matter.kind == "permission" else (matter.name,)
        identity.bind(run)
        try:
            return await standing.patiently(name, matter.name, identity.key.kid, run, options)
        finally:
            identity.release(run)

    def _server(self, identity: Identity, connections: Connections, options: Options) -> PersonServer:
        return self.standing.at_person_server(identity, "", connections, options)

    async def _outcome(
        self, matter: Matter, answer: Answer, latest: int, server: PersonServer, identity: Identity
    ) -> Any:
        """What an answer gives, once it was looked at. Raises `AnswerRefused`."""
        document, by = document_of(answer, server.identifier), server.identifier
        match matter.kind:
            case "mission":
                return await self._approved(document, latest, server, identity)
            case "update":
                update = Update(str(matter.body["description"]), digest_in(document, by))
                kept = self.standing.missions.get(str(matter.mission))
                self.standing.missions.keep(replace(kept, updates=(*kept.updates, update)))
                return update
            case "completion":
                self.standing.ended(matter.mission, "completed")
                return None
            case "permission":
                return _permission(str(matter.body["action"]), document, by)
            case "question":
                return text_in(document, "answer", by)
        return None

    async def _approved(
        self, document: Mapping[str, Any], latest: int, server: PersonServer, identity: Identity
    ) -> Mission:
        """The mission kept, and the person tokens that came with it in their places (draft-11 §8.2)."""
        standing, loopback = self.standing, self.standing.loopback
        kept = read_approval(document, by=server.identifier, agent=self.agent, loopback=loopback)
        standing.missions.keep(kept)
        for resource, raw in person_tokens_in(document):
            try:
                held = await server.accept(raw, resource, latest, kept.s256)
            except TokenRefused as error:
                log.warning("a person token that came with a mission is not used: %s", error)
                continue  # one is asked for when it is needed
            standing.keep(standing.place(identity, resource, mission=kept.s256), held)
        return Mission(kept.s256, self)


def _within(body: Mapping[str, Any], mission: KeptMission | None) -> dict[str, Any]:
    """`body`, naming its mission (draft-11 §7.6.1, §7.7.1, §7.8.1)."""
    return {**body, **({"mission_s256": mission.s256} if mission is not None else {})}


def _is_limited(mission: KeptMission) -> bool:
    limits = mission.terms.members.get("limits")
    return isinstance(limits, Mapping) and bool(COVERED & limits.keys())


def _permission(action: str, document: Mapping[str, Any], by: str) -> Permission:
    said, reason = document.get("permission"), document.get("reason")
    if said not in ("granted", "denied"):
        raise AnswerRefused(f"{by} neither grants nor denies the permission (draft-11 §7.7.2)")
    return Permission(action, said == "granted", detail_of(reason) or None)
