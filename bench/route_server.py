"""Two FastAPI applications under one uvicorn: `python -m bench.route_server PORT FILE`, the issuer's JWKS on stdin.

`/bare/orders` belongs to an application that knows nothing of AAuth, `/orders` to one behind a resource; what answers
is the same. A POST to `/orders` is held where its caller may not place one yet, in a database at FILE. `/spent` says
how much processor time this process has used.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from aauthkit.asgi import App
from aauthkit.callers import Grant
from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, Http
from aauthkit.keys import FixedKey
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
from aauthkit.store import Database, open_database
from tests.plugins.signing import new_key

API = "https://api.example"
ISSUER = "https://ps.example"


def bare() -> FastAPI:
    app = FastAPI()

    @app.get("/bare/orders")
    async def orders() -> dict[str, Any]:
        return {"orders": ["chair", "lamp"]}

    @app.get("/spent")
    async def spent() -> float:
        return time.process_time()

    return app


def protected(jwks: dict[str, Any], database: Database) -> FastAPI:
    discovery = Discovery(Http(Egress()))
    discovery.serve_locally(ISSUER, "aauth-person.json", lambda: jwks)
    resource = Resource(
        API,
        keys=FixedKey(new_key()),
        scopes={"orders.read": "See your orders", "orders.place": "Place orders for you"},
        person_servers=[ISSUER],
        agent_providers=[],
        egress=Egress(),
        discovery=discovery,
        store=database,
    )
    app = FastAPI()
    install(app, resource)
    reading = protect(resource.grant("orders.read"))
    placing = protect(resource.grant("orders.place", deliver="202"))

    @app.get("/orders")
    async def orders(caller: Grant = reading) -> dict[str, Any]:
        return {"orders": ["chair", "lamp"]}

    @app.post("/orders", status_code=201)
    async def place(request: Request, caller: Grant = placing) -> dict[str, Any]:
        return {"ordered": await request.json()}

    return app


def either(one: App, other: App) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        bare = scope["path"] in ("/bare/orders", "/spent")
        await (other if bare else one)(scope, receive, send)

    return app


async def serve(port: int, file: str) -> None:
    app = either(protected(json.load(sys.stdin), await open_database(file)), bare())
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, http="h11", lifespan="off", log_level="error", access_log=False
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
