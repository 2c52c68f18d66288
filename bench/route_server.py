"""A bare and a protected FastAPI application under one uvicorn: `python -m bench.route_server PORT`, a JWKS on stdin.

`/bare/orders` belongs to an application that knows nothing of AAuth, `/orders` to one behind a resource; what answers
is the same function. `/spent` says how much processor time this process has used.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import uvicorn
from fastapi import FastAPI

from aauthkit.asgi import App
from aauthkit.callers import Grant
from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, Http
from aauthkit.keys import FixedKey
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
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


def protected(jwks: dict[str, Any]) -> FastAPI:
    discovery = Discovery(Http(Egress()))
    discovery.serve_locally(ISSUER, "aauth-person.json", lambda: jwks)
    resource = Resource(
        API,
        keys=FixedKey(new_key()),
        scopes={"orders.read": "See your orders"},
        person_servers=[ISSUER],
        agent_providers=[],
        egress=Egress(),
        discovery=discovery,
    )
    app = FastAPI()
    install(app, resource)
    reading = protect(resource.grant("orders.read"))

    @app.get("/orders")
    async def orders(caller: Grant = reading) -> dict[str, Any]:
        return {"orders": ["chair", "lamp"]}

    return app


def either(one: App, other: App) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (one if scope["path"] == "/orders" else other)(scope, receive, send)

    return app


if __name__ == "__main__":
    app = either(protected(json.load(sys.stdin)), bare())
    port = int(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=port, http="h11", lifespan="off", log_level="error", access_log=False)
