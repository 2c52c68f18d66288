"""An API for the whole world of a test: a route for each level, a body read whole and one read as it streams."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from aauthkit.callers import Agent, Grant, Person
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect

SCOPES = {
    "orders.read": "See your orders",
    "orders.place": "Place orders for you",
    "orders.cancel": "Cancel your orders",
}


class Order(BaseModel):
    """What is ordered."""

    item: str
    quantity: int = 1


def orders_api(resource: Resource) -> FastAPI:
    """`resource` with its routes; each says who came, as far as it knows."""
    app = FastAPI()
    install(app, resource)
    by_agent = protect(resource.agent())
    for_person = protect(resource.person())
    reading = protect(resource.grant("orders.read", optional=["orders.place"]))
    placing = protect(resource.grant("orders.place", digest=True))
    cancelling = protect(resource.grant("orders.cancel"))

    @app.get("/agent")
    async def agent(caller: Agent = by_agent) -> dict[str, Any]:
        return {"agent": caller.sub}

    @app.get("/me")
    async def me(caller: Person | Grant = for_person) -> dict[str, Any]:
        return {"for": caller.person.sub}

    @app.get("/orders")
    async def orders(caller: Grant = reading) -> dict[str, Any]:
        return {"for": caller.person.sub, "may": sorted(caller.scope)}

    @app.post("/orders", status_code=201)
    async def place(order: Order, caller: Grant = placing) -> dict[str, Any]:
        return {"for": caller.person.sub, "ordered": order.model_dump()}

    @app.delete("/orders/{number}", status_code=204)
    async def cancel(number: int, caller: Grant = cancelling) -> Response:
        return Response(status_code=204)

    @app.put("/notes")
    async def notes(request: Request, caller: Grant = reading) -> dict[str, Any]:
        digest, length = hashlib.sha256(), 0
        async for piece in request.stream():
            digest.update(piece)
            length += len(piece)
        return {"length": length, "sha256": digest.hexdigest()}

    @app.api_route("/moved", methods=["GET", "POST"])
    async def moved(to: str, status: int = 307, caller: Grant = reading) -> RedirectResponse:
        return RedirectResponse(to, status)

    return app
