# No postponed annotations here: the routes below are made inside functions, where FastAPI could not evaluate them.
"""The FastAPI glue: whatever leads to a route, it is the route's own need that is decided."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import Host, Mount, Route, Router

from aauthkit.callers import Agent, Grant, Person
from aauthkit.protocol.problems import Problem
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
from aauthkit.serving import Request
from tests.plugins.resources import World, ask, asked, get
from tests.unit.resource.test_middleware import preflight, websocket

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def resource(world: World) -> Resource:
    return world.resource()


@pytest.fixture
def app(resource: Resource) -> FastAPI:
    app = FastAPI()
    install(app, resource)
    return app


async def test_a_default_need_covers_whatever_states_nothing(world: World, resource: Resource) -> None:
    """F71: also what leads nowhere; public paths are named one by one."""
    app = FastAPI()
    install(app, resource, default=resource.agent())

    @app.get("/silent")
    async def silent() -> str:
        return "ok"

    @app.get("/public", dependencies=[protect(resource.open())])
    async def public() -> str:
        return "ok"

    for path in ("/silent", "/openapi.json", "/nowhere"):
        assert asked(await get(app, None, path)) == "agent-token"
    assert (await get(app, None, "/public")).status == 200
    assert (await get(app, world.agent(), "/silent")).status == 200
    assert (await get(app, world.agent(), "/nowhere")).status == 404
    assert (await get(app, None, "/.well-known/aauth-resource.json")).status == 200


async def test_a_route_reached_undecided_is_500(
    world: World, resource: Resource, caplog: pytest.LogCaptureFixture
) -> None:
    """F46: `protect` itself fails closed, without the middleware and under that of another resource."""
    ran: list[int] = []

    def make(installed: Resource | None) -> FastAPI:
        app = FastAPI()

        @app.exception_handler(Problem)
        async def shown(_request: Any, problem: Problem) -> Any:
            from starlette.responses import Response

            return Response(status_code=problem.status)

        @app.get("/orders", dependencies=[protect(resource.agent())])
        async def orders() -> None:
            ran.append(1)

        if installed is not None:
            install(app, installed)
        return app

    for installed in (None, world.resource("https://other.example")):
        assert (await get(make(installed), world.agent(), "/orders")).status == 500
        assert "is install() missing" in caplog.text
    assert not ran


async def test_a_request_rewritten_after_the_decision_is_500(world: World, resource: Resource) -> None:
    """Middleware inside ours leads to another route than the one that was decided."""
    ran: list[int] = []
    app = FastAPI()

    class Rewrites:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, "path": "/orders"}, receive, send)

    app.add_middleware(Rewrites)
    install(app, resource)

    @app.get("/me", dependencies=[protect(resource.agent())])
    async def me() -> None:
        ran.append(1)

    @app.get("/orders", dependencies=[protect(resource.grant("orders.read"))])
    async def orders() -> None:
        ran.append(2)

    answer = await get(app, world.agent(), "/me")
    assert (answer.status, answer.header("content-type")) == (500, "application/problem+json")
    assert not ran


async def test_routers_and_mounts_added_after_install_are_covered(
    world: World, resource: Resource, app: FastAPI
) -> None:
    inner = APIRouter(prefix="/inner")

    @inner.get("/a")
    async def a(agent: Annotated[Agent, protect(resource.agent())]) -> str:
        return "a"

    @inner.get("/b")
    async def b() -> str:
        return "b"

    outer = APIRouter(prefix="/outer", dependencies=[protect(resource.person())])
    outer_plain = APIRouter(prefix="/plain")
    sub = FastAPI(dependencies=[protect(resource.grant("orders.read"))])

    @sub.get("/c/{name}")
    async def c(name: str) -> str:
        return name

    outer_plain.include_router(inner)
    app.include_router(outer_plain, prefix="/v1")
    app.mount("/sub", sub)

    @outer.get("/d")
    async def d() -> str:
        return "d"

    app.include_router(outer)

    for path, want in (
        ("/v1/plain/inner/a", "agent-token"),
        ("/outer/d", "person-token"),
        ("/sub/c/x", "person-token"),
    ):
        assert asked(await get(app, None, path)) == want, path
    assert (await get(app, None, "/v1/plain/inner/b")).status == 200
    assert (await get(app, world.agent(), "/v1/plain/inner/a")).body == b'"a"'
    assert (await get(app, world.person(), "/outer/d")).body == b'"d"'
    assert (await get(app, world.grant("orders.read"), "/sub/c/x")).body == b'"x"'


async def test_a_route_added_to_a_router_that_is_included_already_is_covered_or_not_there(
    world: World, resource: Resource, app: FastAPI
) -> None:
    """Versions of FastAPI differ in whether it is there, as they do for what is mounted on one; none has it open."""
    router = APIRouter()
    sub = FastAPI(dependencies=[protect(resource.person())])
    router.mount("/sub", sub)
    app.include_router(router, prefix="/v1")
    assert (await get(app, None, "/v1/late")).status == 404

    @sub.get("/c")
    async def c() -> str:
        return "c"

    assert (await get(app, None, "/v1/sub/c")).status in (401, 404)
    assert (await get(app, world.person(), "/v1/sub/c")).status in (200, 404)

    @router.get("/late")
    async def late(agent: Annotated[Agent, protect(resource.agent())]) -> str:
        return "late"

    assert (await get(app, None, "/v1/late")).status in (401, 404)


async def test_needs_given_where_a_router_is_included_count(world: World, resource: Resource, app: FastAPI) -> None:
    router = APIRouter()

    @router.get("/x")
    async def x() -> str:
        return "x"

    app.include_router(router, prefix="/closed", dependencies=[protect(resource.agent())])
    app.include_router(router, prefix="/open")
    assert asked(await get(app, None, "/closed/x")) == "agent-token"
    assert (await get(app, world.agent(), "/closed/x")).status == 200
    assert (await get(app, None, "/open/x")).status == 200


async def test_a_routers_and_a_routes_needs_are_both_required(world: World, resource: Resource, app: FastAPI) -> None:
    router = APIRouter(dependencies=[protect(resource.grant("orders.read"))])

    @router.get("/x")
    async def x(grant: Annotated[Grant, protect(resource.grant("orders.place"))]) -> str:
        return "x"

    @router.get("/y")
    async def y(who: Annotated[Grant, protect(resource.person())]) -> str:
        return "y"

    app.include_router(router)
    assert asked(await get(app, world.grant("orders.place"), "/x")) == "auth-token"
    assert (await get(app, world.grant("orders.place orders.read"), "/x")).status == 200
    assert asked(await get(app, world.person(), "/y")) == "auth-token"
    assert (await get(app, world.grant("orders.read"), "/y")).status == 200


async def test_the_route_that_fastapi_will_run_is_the_one_that_is_decided(
    world: World, resource: Resource, app: FastAPI
) -> None:
    """The first full match, whatever else matches by its path or under a mount."""

    @app.get("/orders/mine")
    async def mine() -> str:
        return "open"

    @app.post("/orders/{n}")
    async def post(n: str, agent: Annotated[Agent, protect(resource.agent())]) -> str:
        return n

    @app.get("/orders/{n}")
    async def one(n: str, who: Annotated[Person | Grant, protect(resource.person())]) -> str:
        return n

    @app.api_route("/{path:path}", methods=["GET", "DELETE"])
    async def rest(path: str, grant: Annotated[Grant, protect(resource.grant("orders.read"))]) -> str:
        return path

    assert (await get(app, None, "/orders/mine")).status == 200
    assert asked(await get(app, None, "/orders/7", "POST")) == "agent-token"
    assert asked(await get(app, world.agent(), "/orders/7")) == "person-token"
    assert (await get(app, world.person(), "/orders/7")).body == b'"7"'
    assert asked(await get(app, world.person(), "/orders/7", "DELETE")) == "auth-token"
    assert asked(await get(app, world.person(), "/orders/7/8")) == "auth-token"
    assert (await get(app, None, "/orders/7", "PATCH")).status == 405


async def test_starlette_routers_and_hosts_are_looked_through(world: World, resource: Resource, app: FastAPI) -> None:
    deep = FastAPI()

    @deep.get("/x", dependencies=[protect(resource.agent())])
    async def x() -> str:
        return "x"

    async def plain(_request: Any) -> Any:
        raise AssertionError

    app.router.routes.append(Mount("/m", routes=[Route("/p", plain), Mount("/n", app=deep)]))
    app.router.routes.append(Host("api.example", app=Router(routes=[Mount("/h", app=deep)])))
    assert asked(await get(app, None, "/m/n/x")) == "agent-token"
    assert (await get(app, world.agent(), "/m/n/x")).status == 200
    assert (await get(app, world.agent(), "/h/x")).status == 200
    assert (await get(app, world.bare(), "/h/x")).status == 401


async def test_head_and_options_have_the_need_of_their_route(world: World, resource: Resource, app: FastAPI) -> None:
    ran: list[str] = []

    @app.get("/orders")
    async def orders(agent: Annotated[Agent, protect(resource.agent())]) -> str:
        return "ok"

    @app.head("/orders")
    async def head() -> None:
        ran.append("head")

    assert (await get(app, None, "/orders", "HEAD")).status == 401
    assert not ran
    assert (await get(app, world.agent(), "/orders", "HEAD")).status == 200


async def test_a_websocket_under_a_protected_route_is_refused(world: World, resource: Resource, app: FastAPI) -> None:
    ran: list[str] = []
    router = APIRouter(dependencies=[protect(resource.agent())])

    @router.websocket("/closed")
    async def closed(socket: WebSocket) -> None:
        ran.append("closed")

    @app.websocket("/open")
    async def open_(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    app.include_router(router, prefix="/ws")
    assert await websocket(app, "/ws/closed") == ["websocket.close"]
    assert not ran
    assert await websocket(app, "/open") == ["websocket.accept", "websocket.close"]


async def test_cors_outside_answers_preflights_and_marks_refusals(world: World, resource: Resource) -> None:
    app = FastAPI()

    @app.post("/orders", dependencies=[protect(resource.agent())])
    async def orders() -> str:
        return "ok"

    install(app, resource)
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_methods=["*"])
    answer = await ask(app, preflight())
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "https://app.example")
    refused = await ask(app, Request("POST", "/orders", (("origin", "https://app.example"),)))
    assert (refused.status, refused.header("access-control-allow-origin")) == (401, "https://app.example")


@pytest.mark.parametrize(("named", "status"), [(False, 401), (True, 200)])
async def test_cors_inside_sees_a_preflight_only_where_the_route_names_it(
    resource: Resource, named: bool, status: int
) -> None:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_methods=["*"])
    install(app, resource)

    @app.post("/orders", dependencies=[protect(resource.agent(preflight=named))])
    async def orders() -> str:
        return "ok"

    assert (await ask(app, preflight())).status == status
    assert (await ask(app, Request("POST", "/orders", (("origin", "https://app.example"),)))).status == 401
