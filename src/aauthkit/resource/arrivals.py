"""Where a person arrives with a code: used up by their POST, then over to the application's page (draft-11 §7.3)."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Final, get_args

from ..callbacks import MAX_CALLBACK, CallbackRefused, check_callback, is_callback_of
from ..deferred import PendingRequest
from ..discovery import DiscoveryFailed
from ..protocol.identifiers import fold_code
from ..protocol.messages import Answer
from ..protocol.problems import Problem
from ..protocol.tokens import AGENT_DWK
from ..serving import Request
from ..store import StoreBusy, StoreUnavailable
from .interactions import KIND, Interactions
from .pages import Ending, arrival_page, ending_page, redirect, refused_page

if TYPE_CHECKING:
    from .server import Resource

log = logging.getLogger("aauthkit.resource")

MAX_CODE: Final = 64
_USED: Final = ("This link was used already", "Nothing happened now. If you did not finish, ask the agent again.")
_UNKNOWN: Final = ("There is nothing here", "The link is wrong or too old. Ask the agent for a new one.")
_BAD_CALLBACK: Final = (
    "This link is not as it should be",
    "It asks us to send you on to an address that the agent's provider does not name. You were not sent there.",
)
_UNCHECKED: Final = (
    "We cannot check this link just now",
    "The agent's provider is not answering. Nothing was used up: try the link again in a minute.",
)
_ELSEWHERE: Final = ("That came from another page", "Open the link that your agent shows, and go on from there.")


class Arrivals:
    """The page of an open question, below `/interaction/`."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    async def ended(self, request: Request) -> Answer:
        """GET: where a person ends whom nobody waits for."""
        ending = request.query.get("as", "")
        return ending_page(ending) if ending in get_args(Ending) else refused_page(404, *_UNKNOWN)  # type: ignore[arg-type]

    async def look(self, request: Request, page: str) -> Answer:
        """GET: the button; nothing changes, since programs follow links too (draft-11 §11.6.3.1)."""
        interactions = (await self._resource.remembering()).interactions
        if interactions is None:
            return refused_page(404, *_UNKNOWN)
        pending = await self._pending(interactions, page)
        if isinstance(pending, Answer):
            return pending
        code = fold_code(request.query.get("code", "")[:MAX_CODE])
        callback = request.query.get("callback", "")[:MAX_CALLBACK]
        return arrival_page(self._name, f"{code[:4]}-{code[4:]}" if len(code) == 8 else code, callback)

    @property
    def _name(self) -> str:
        return str(self._resource.description.document().get("name") or self._resource.identifier)

    async def enter(self, request: Request, page: str) -> Answer:
        """POST: the code is used, once, and the browser goes on to the application."""
        if request.header("origin") not in (None, self._resource.identifier):
            return refused_page(403, *_ELSEWHERE)
        interactions = (await self._resource.remembering()).interactions
        if interactions is None:
            return refused_page(404, *_UNKNOWN)
        form = await request.read_form()
        code, callback = form.get("code", "")[:MAX_CODE], form.get("callback") or None
        pending = await interactions.deferred.find_page(interactions.database, page)
        if pending is None or pending.kind != KIND:
            return refused_page(404, *_UNKNOWN)
        if callback is not None:
            refused = await self._check_callback(callback, pending)
            if refused is not None:
                return refused
        try:
            return await self._use(interactions, pending, code, callback)
        except (StoreBusy, StoreUnavailable):
            if callback is None:
                raise
            return redirect(interactions.way_back(callback, "temporarily_unavailable"))

    async def _pending(self, interactions: Interactions, page: str) -> PendingRequest | Answer:
        pending = await interactions.deferred.find_page(interactions.database, page)
        if pending is None or pending.kind != KIND:
            return refused_page(404, *_UNKNOWN)
        if interactions.has_expired(pending):
            return ending_page("expired", 408)
        if pending.state != "open" or pending.code_used:
            return refused_page(410, *_USED)
        return pending

    async def _use(
        self, interactions: Interactions, pending: PendingRequest, code: str, callback: str | None
    ) -> Answer:
        if interactions.has_expired(pending):
            way = interactions.way_back(callback, "interaction_expired")
            return redirect(way) if callback is not None else ending_page("expired", 408)
        try:
            visit = await interactions.arrive(pending, code, callback)
        except Problem as refusal:
            again = await self._pending(interactions, pending.page)
            if isinstance(again, Answer) or refusal.code != "invalid_code":
                return again if isinstance(again, Answer) else refused_page(refusal.status, *_UNKNOWN)
            return arrival_page(self._name, "", callback or "", wrong=True)
        try:
            outcome = interactions.handlers.page(visit)
            outcome = await outcome if inspect.isawaitable(outcome) else outcome
        except Exception:
            log.exception("the application's interaction page of %s failed", self._resource.identifier)
            return redirect(await interactions.decline(visit.id, "server_error"))
        return redirect(outcome) if isinstance(outcome, str) else outcome

    async def _check_callback(self, callback: str, pending: PendingRequest) -> Answer | None:
        """The page for a callback that nobody may be sent to (F79); `None` where it is good.

        Good is what the agent's provider names, and a URL of the person server that stands behind the request (§7.2.3).
        """
        ps, provider = pending.data.get("ps"), pending.data.get("provider")
        loopback = self._resource.egress.loopback
        if ps is not None and is_callback_of(callback, ps, loopback):
            return None
        if provider is None:
            return refused_page(400, *_BAD_CALLBACK)
        try:
            check_callback(callback, await self._resource.discovery.metadata(provider, AGENT_DWK))
        except DiscoveryFailed:
            return refused_page(503, *_UNCHECKED)
        except CallbackRefused:
            return refused_page(400, *_BAD_CALLBACK)
        return None
