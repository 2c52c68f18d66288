"""The paths a resource serves itself, as one table: metadata and keys, and what lies below its `endpoints` path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..keys import Keys
from ..protocol.identifiers import authority_of, scheme_of
from ..protocol.messages import Answer, SignedRequest
from ..protocol.problems import Problem
from ..serving import Request, Route, Routes
from ..verification import Verified
from .admission import Admitted
from .arrivals import Arrivals
from .authorizing import AUTHORIZE, Authorization
from .delivery import Deliveries, Runner
from .interactions import Interactions
from .memory import REVOKE
from .needs import Need
from .routes import document_routes

if TYPE_CHECKING:
    from .server import Resource

_POLLING: Final = ("agent", "person")
"""Who follows an open question: whoever may have begun it."""


@dataclass(frozen=True, slots=True)
class Routed(Request):
    """A request for one of the resource's own paths. `outside` is its target as its sender wrote it and signed it."""

    outside: str = ""
    runner: Runner | None = field(default=None, repr=False)
    """What runs a held call: the adapter that this request came through."""

    def as_signed(self, identifier: str, *, prefix: str = "") -> SignedRequest:
        """What its signature was made over; the target outside has every prefix already."""
        return SignedRequest(self.method, scheme_of(identifier), authority_of(identifier), self.outside, self.headers)


class OwnPaths:
    """The own paths of `resource`, its endpoints below `path`."""

    def __init__(self, resource: Resource, path: str, keys: Keys | None, authorization: Authorization | None) -> None:
        self._resource = resource
        self._polls = Need(resource.identifier, _POLLING, schemes=("jwt",))
        self._presents = Need(resource.identifier, ("person",), schemes=("jwt",))
        arrivals = Arrivals(resource)
        routes = [
            *document_routes(resource.description.document, keys.jwks if keys is not None else None),
            Route("POST", f"{path}{REVOKE}", self._revoke),
            Route("GET", f"{path}/pending/{{pending_id}}", self._poll),
            Route("DELETE", f"{path}/pending/{{pending_id}}", self._cancel),
            Route("GET", f"{path}/held/{{held_id}}", self._present),
            Route("DELETE", f"{path}/held/{{held_id}}", self._withdraw),
            Route("GET", f"{path}/interaction/ended", arrivals.ended),
            Route("GET", f"{path}/interaction/{{page}}", arrivals.look),
            Route("POST", f"{path}/interaction/{{page}}", arrivals.enter),
        ]
        if authorization is not None:
            routes.append(Route("POST", f"{path}{AUTHORIZE}", authorization.answer))
        self._routes = Routes(*routes)

    def serves(self, path: str) -> bool:
        """Whether the table knows this path."""
        return self._routes.serves(path)

    async def answer(self, request: Request) -> Answer:
        """Answer a request for one of them. A refusal carries the link to the metadata."""
        return self._resource.description.with_link(await self._routes.answer(request))

    async def _revoke(self, request: Request) -> Answer:
        return await (await self._resource.remembering()).the_revocations.answer(request)

    async def _interactions(self) -> Interactions:
        interactions = (await self._resource.remembering()).interactions
        if interactions is None:
            raise Problem("not_found")
        return interactions

    async def _poll(self, request: Request, pending_id: str) -> Answer:
        interactions = await self._interactions()
        verified = await self._resource.verify(request, self._polls)
        return await interactions.poll(request, pending_id, verified.caller)

    async def _cancel(self, request: Request, pending_id: str) -> Answer:
        interactions = await self._interactions()
        verified = await self._resource.verify(request, self._polls)
        return await interactions.cancel(pending_id, verified.caller)

    async def _deliveries(self) -> Deliveries:
        deliveries = (await self._resource.remembering()).deliveries
        if deliveries is None:
            raise Problem("not_found")
        return deliveries

    async def _present(self, request: Request, held_id: str) -> Answer:
        deliveries = await self._deliveries()
        verified = await self._resource.verify(request, self._presents)
        runner = request.runner if isinstance(request, Routed) else None
        if runner is None:
            raise Problem("not_found")
        return await deliveries.poll(held_id, verified.caller, runner, self._admitting(verified))

    def _admitting(self, verified: Verified) -> Callable[[Need], Awaitable[Admitted]]:
        async def admit(need: Need) -> Admitted:
            return await self._resource.admit(verified, need)

        return admit

    async def _withdraw(self, request: Request, held_id: str) -> Answer:
        deliveries = await self._deliveries()
        verified = await self._resource.verify(request, self._presents)
        return await deliveries.cancel(held_id, verified.caller)
