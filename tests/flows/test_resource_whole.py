"""A real agent, a real person server and a real resource: sessions, held calls and the authorization endpoint."""

# Annotations are evaluated as they stand: the routes below name needs that are local to `shop`.

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse

from aauthkit.agent.errors import Denied
from aauthkit.callers import Grant, Session
from aauthkit.keys import FixedKey
from aauthkit.resource import Resource, SessionGrant, Visit
from aauthkit.resource.fastapi import install, protect
from tests.plugins.tls import signing_key
from tests.plugins.visiting import Someone
from tests.plugins.world import OTHER, PROVIDER, PS, World

pytestmark = pytest.mark.anyio


@dataclass
class Shop:
    """An application with a page of its own, where a person agrees by pressing a button."""

    world: World
    options: dict[str, Any] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    async def serve(self, **options: Any) -> None:
        self.resource = Resource(
            OTHER,
            keys=FixedKey(signing_key(OTHER)),
            scopes={"orders.place": "Place orders for you"},
            name="Corner shop",
            person_servers=[PS],
            agent_providers=[PROVIDER],
            egress=self.world.egress,
            clock=self.world.clock,
            store="sqlite://:memory:",
            **options,
        )
        self.resource.interaction(self.page)
        self.recorder = await self.world.serve(OTHER, self.application())

    def page(self, visit: Visit) -> str:
        self.visits.append(visit)
        return f"/connect/{len(self.visits) - 1}"

    def application(self) -> FastAPI:
        app, resource = FastAPI(), self.resource
        install(app, resource)
        session, placing = resource.session(), resource.grant("orders.place", deliver="202", digest=True)

        @app.get("/mine")
        async def mine(who: Annotated[Session, protect(session)]) -> dict[str, Any]:
            return {"you": who.subject, "agent": who.agent.sub if who.agent is not None else None}

        @app.post("/orders")
        async def place(order: dict[str, Any], grant: Annotated[Grant, protect(placing)]) -> dict[str, Any]:
            self.orders.append(order)
            return {"number": len(self.orders), "for": grant.person.sub, **order}

        @app.get("/connect/{number}")
        async def connect(number: int) -> HTMLResponse:
            asks = self.visits[number].agent
            form = f'<form method="post" action="/connect/{number}"><button>Yes</button></form>'
            return HTMLResponse(f"<title>Connect</title><p>{asks} wants in</p>{form}")

        @app.post("/connect/{number}")
        async def agree(number: int) -> RedirectResponse:
            end = await resource.complete(self.visits[number].id, SessionGrant("user-7"))
            return RedirectResponse(end, 303)

        return app


async def test_an_agent_is_sent_to_the_shops_own_page_and_comes_back_with_a_session(quick_real_world: World) -> None:
    """§4.2.2: no person server is in it; the second call goes through with the session token."""
    shop = Shop(quick_real_world)
    await shop.serve(access_mode="session-token")
    planner = await quick_real_world.enrol("planner")
    call = planner.get(f"{OTHER}/mine")
    errand = await planner.errand()
    assert errand.url.startswith(f"{OTHER}/aauth/interaction/")
    someone = Someone(OTHER, quick_real_world.egress, "Ada")
    page = await someone.opens(errand.url_with_code)
    assert errand.code in page.text
    connect = await someone.presses(page.forms[0])
    assert "wants in" in connect.text
    ended = await someone.presses(connect.form("/connect/"))
    assert "close this page" in ended.text
    response = await call
    assert response.status == 200
    assert response.json()["you"] == "user-7"
    again = await planner.get(f"{OTHER}/mine")
    assert again.status == 200
    assert planner.opened == 1
    await someone.close()


async def test_a_held_order_is_placed_once_after_the_person_agreed(quick_real_world: World) -> None:
    """§6.5.1: the agent's one POST is answered with the order's own result."""
    shop = Shop(quick_real_world)
    await shop.serve()
    planner = await quick_real_world.enrol("planner")
    ada = await quick_real_world.person("Ada")
    call = planner.call("POST", f"{OTHER}/orders", json={"item": "lamp"})
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    assert not shop.orders
    await ada.approves("orders.place")
    response = await call
    assert response.status == 200
    assert response.json()["item"] == "lamp"
    assert shop.orders == [{"item": "lamp"}]
    assert shop.recorder.statuses("POST", "/orders") == [202]
    assert shop.recorder.statuses("GET", "/aauth/held/")[-1] == 200


async def test_a_person_who_declines_leaves_the_order_unplaced(quick_real_world: World) -> None:
    shop = Shop(quick_real_world)
    await shop.serve()
    planner = await quick_real_world.enrol("planner")
    ada = await quick_real_world.person("Ada")
    call = planner.call("POST", f"{OTHER}/orders", json={"item": "lamp"})
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.denies()
    with pytest.raises(Denied):
        await call
    assert not shop.orders
