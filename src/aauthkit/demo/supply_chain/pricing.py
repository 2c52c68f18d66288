"""The pricing tool: an MCP server in front of the data set, for any agent of this installation's provider."""

from __future__ import annotations

import dataclasses
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from msgspec import to_builtins

from ...asgi import App
from ...protocol.identifiers import authority_of
from ...resource.asgi import CALLER, AAuthMiddleware
from .market import ITEMS, Market
from .places import Place
from .speaking import hop_of

NAME = "Pricing tool"


def build(place: Place, market: Market | None = None) -> App:
    """The tool behind its resource."""
    data = market or Market()
    server = MCPServer(NAME)

    @server.tool()
    def catalogue(context: Context[Any, Any]) -> dict[str, Any]:
        """What is traded."""
        return {"items": sorted(ITEMS), "hop": _hop(context)}

    @server.tool()
    def offers(item: str, context: Context[Any, Any]) -> dict[str, Any]:
        """Every supplier's offer for an item, and its price week by week; money in cents."""
        if item not in ITEMS:
            raise ToolError(f"{item!r} is not traded")
        asked = [dataclasses.asdict(offer) for offer in data.offers(item)]
        return {"item": item, "offers": asked, "weekly": list(data.weekly(item)), "hop": _hop(context)}

    resource = place.resource("pricing", name=NAME, description="What suppliers ask for office equipment.")
    looking = resource.agent(digest=True)
    named = TransportSecuritySettings(allowed_hosts=[authority_of(resource.identifier)])
    app = server.streamable_http_app(stateless_http=True, transport_security=named)
    return AAuthMiddleware(app, resource, lambda scope: looking)


def _hop(context: Context[Any, Any]) -> Any:
    """The call as this tool has verified it."""
    request = context.request_context.request
    assert request is not None
    return to_builtins(hop_of(request.scope[CALLER], NAME, "MCP"))
