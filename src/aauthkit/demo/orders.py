"""The protected API of the demonstration: a shop whose answer grows with what it knows of the caller.

`python -m aauthkit.demo.orders IDENTIFIER PERSON_SERVER KEYS` runs it, in the loopback profile of its environment.
"""

# Annotations are evaluated as they stand: the routes below name needs that are local to `build`.

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from ..callers import Agent, Grant, Person, Pseudonym
from ..egress import Egress
from ..keys import KeyFile
from ..resource import Resource
from ..resource.fastapi import install, protect
from ..running import Listen, log_to, run_app
from ..trust import ANY

SCOPES: Final = {
    "orders.read": "See your orders",
    "orders.place": "Place orders for you, **up to 500 €** each",
}
CATALOGUE: Final = {"chair": 120, "desk": 480, "lamp": 45}
HISTORY: Final = ({"id": "A-1001", "item": "lamp", "price": 45}, {"id": "A-1002", "item": "chair", "price": 120})


class NewOrder(BaseModel):
    """What is ordered."""

    model_config = ConfigDict(extra="forbid")
    item: str = Field(max_length=64)
    quantity: int = Field(default=1, ge=1, le=99)


def build(identifier: str, person_server: str, keys: KeyFile, egress: Egress) -> FastAPI:
    """The API under `identifier`, for the people of one person server and the agents of any provider."""
    app = FastAPI(title="Corner Shop", docs_url=None, redoc_url=None, openapi_url=None)
    resource = Resource(
        identifier,
        keys=keys,
        name="Corner Shop",
        description="Furniture for small rooms. *Orders are delivered within a week.*",
        scopes=SCOPES,
        person_servers=[person_server],
        agent_providers=ANY,
        access_mode="auth-token",
        egress=egress,
    )
    install(app, resource)
    anyone = resource.agent() | resource.key() | resource.person()
    reading = resource.grant("orders.read", optional=["orders.place"])
    placing = resource.grant("orders.place", digest=True)

    @app.get("/shop")
    async def shop(caller: Annotated[Pseudonym | Agent | Person | Grant, protect(anyone)]) -> dict[str, Any]:
        answer: dict[str, Any] = {"catalogue": sorted(CATALOGUE)}
        if isinstance(caller, Pseudonym):
            return {"you are": f"the holder of key {caller.thumbprint[:8]}…", **answer}
        answer["prices"] = CATALOGUE
        if isinstance(caller, Agent):
            return {"you are": caller.sub, **answer}
        answer["delivered to"] = f"the customer we know as {caller.person.sub[:8]}…"
        if isinstance(caller, Person):
            return {"you are": "somebody's agent", **answer}
        return {"you are": "an authorized agent", **answer, "you may": sorted(caller.scope)}

    @app.get("/orders")
    async def orders(grant: Annotated[Grant, protect(reading)], year: int | None = None) -> dict[str, Any]:
        return {"orders": HISTORY, "customer": grant.person.sub, "you may": sorted(grant.scope)}

    @app.post("/orders", status_code=201)
    async def place(order: NewOrder, grant: Annotated[Grant, protect(placing)]) -> dict[str, Any]:
        return {"ordered": order.model_dump(), "customer": grant.person.sub}

    return app


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> None:
    """Run the API until its parent is gone."""
    identifier, person_server, keys = arguments
    log_to()
    egress = Egress.from_environment()
    app = build(identifier, person_server, KeyFile(keys), egress)
    listen = Listen.parse(identifier.rpartition(":")[2])
    run_app(app, listen, loopback=egress.loopback, watch_parent=True)


if __name__ == "__main__":
    main()
