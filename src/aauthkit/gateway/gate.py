"""The decision core: one request as a proxy saw it, to one resource, let through with facts or turned away.

It fails closed: whatever goes wrong while deciding is an answer of 500 or 503, and nothing is let through.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from ..discovery import Discovery
from ..egress import Egress
from ..protocol.messages import Answer, HeaderList, Refusal
from ..protocol.problems import Problem
from ..refusals import REFUSALS
from ..serving import RETRY_STORE, BytesBody, Request
from ..store import StoreError
from .configuration import Configuration
from .guarded import STRIPPED, Guarded
from .verdicts import Judged, Observer, Passed, Turned, Verdict

log = logging.getLogger("aauthkit.gateway")


class Gate:
    """The decision core of a gateway, for every way that a proxy asks it.

    `observers` are told of each decision. `before` is the gate whose place this one takes: what is the same in both
    is taken over, and `close` of that one leaves it alone.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        egress: Egress | None = None,
        discovery: Discovery | None = None,
        observers: Sequence[Observer] = (),
        before: Gate | None = None,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        egress = egress if egress is not None else Egress.from_environment()
        self.configuration = configuration
        self._before = before
        self._successor: Gate | None = None
        self._taken: set[str] = set()
        guarded: dict[str, Guarded] = {}
        for one in configuration.resources:
            earlier = before.guarded.get(one.identifier) if before is not None else None
            if earlier is not None and earlier.configured == one:
                self._taken.add(one.identifier)
                guarded[one.identifier] = earlier
            else:
                guarded[one.identifier] = Guarded(
                    one,
                    egress=egress,
                    discovery=discovery,
                    observers=observers,
                    clock=clock,
                    random_bytes=random_bytes,
                )
        self.guarded: Mapping[str, Guarded] = guarded

    async def start(self) -> None:
        """Make every resource ready; one that was taken over already is. Raises `StoreError`."""
        begun: list[Guarded] = []
        try:
            for identifier, guarded in self.guarded.items():
                if identifier not in self._taken:
                    begun.append(guarded)
                    await guarded.start()
        except BaseException:
            for guarded in begun:
                await guarded.close()
            raise
        if self._before is not None:
            self._before._successor, self._before = self, None

    async def close(self) -> None:
        """Let go of what is held, but for what a successor goes on with."""
        going_on = self._successor.guarded.values() if self._successor is not None else ()
        for guarded in self.guarded.values():
            if not any(guarded is one for one in going_on):
                await guarded.close()

    async def decide(self, identifier: str, request: Request, body: bytes | None = None) -> Verdict:
        """The verdict on `request`, which is for the resource `identifier`: the proxy's configuration says so."""
        guarded = self.guarded.get(identifier)
        if guarded is None:
            log.error("a proxy asked about a resource that is not configured")
            return Turned(Problem("not_found").answer())
        judged, begun = Judged(), time.perf_counter()
        verdict = await self._decide(guarded, request, body, judged)
        guarded.tell(verdict, judged, request.method, request.target, time.perf_counter() - begun)
        return verdict

    async def _decide(self, guarded: Guarded, request: Request, body: bytes | None, judged: Judged) -> Verdict:
        name = guarded.configured.identifier
        try:
            return await guarded.decide(request, body, judged)
        except Refusal as refusal:
            ruling = judged.ruling
            rule = ruling.rule.name if ruling is not None and ruling.rule is not None else None
            return Turned(guarded.resource.answer_to(refusal), rule)
        except StoreError as error:
            log.error("records out of reach while deciding a request of %s: %s", name, error)
            return Turned(Problem("server_error", status=503, retry_after=RETRY_STORE).answer())
        except Exception:
            fault = Problem("server_error")
            log.exception("fault while deciding a request of %s: %s", name, REFUSALS.fault(fault))
            return Turned(fault.answer())

    async def answer(self, identifier: str, request: Request) -> Answer:
        """The answer to a request for one of the own paths of the resource `identifier`."""
        guarded = self.guarded.get(identifier)
        return await guarded.answer(request) if guarded is not None else Problem("not_found").answer()


class _Kept:
    """A body that the proxy kept: nothing comes, however it is asked for."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Nothing."""
        nothing: tuple[bytes, ...] = ()
        for chunk in nothing:
            yield chunk


def request_of(method: str, target: str, headers: HeaderList, body: bytes | None, peer: str | None) -> Request:
    """A request as a proxy saw it."""
    return Request(method, target, headers, BytesBody(body) if body is not None else _Kept(), peer)


__all__ = ["STRIPPED", "Gate", "Guarded", "Passed", "Turned", "Verdict", "request_of"]
