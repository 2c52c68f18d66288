"""The resources' own paths as an HTTP origin: metadata, keys, endpoints and pending URLs, routed here by the proxy.

As in the check over HTTP, the proxy puts a resource's path prefix in front of the path, and it is taken off here byte
for byte; so `Host` decides nothing. This listener is for the proxy alone.
"""

from __future__ import annotations

from dataclasses import replace

from ..protocol.messages import Answer
from ..protocol.problems import Problem
from ..serving import Request
from .gate import Gate


class OwnPaths:
    """A server of every resource's own paths. `gate` has them; another may take its place while this serves."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def answer(self, request: Request) -> Answer:
        """The answer to one request."""
        found = self.gate.configuration.by_prefix(request.target)
        if found is None:
            return Problem("not_found", "no resource is configured under this path").answer()
        within = replace(request, target=request.target[len(found.path_prefix) :])
        return await self.gate.answer(found.identifier, within)
