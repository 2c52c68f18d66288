"""The same resource in front of plain Starlette, Flask, Django and Litestar: each the way its users write it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import litestar
import pytest
from flask import Flask
from flask import jsonify as flask_json
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from aauthkit.callers import Agent, Grant
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem
from aauthkit.resource import PathNeeds, Resource
from aauthkit.resource import flask as flask_glue
from aauthkit.resource import starlette as starlette_glue
from aauthkit.resource.asgi import CALLER, AAuthMiddleware
from aauthkit.resource.wsgi import AAuthWsgi
from aauthkit.serving import Request
from tests.plugins.resources import API, World, ask, asked, resource_token
from tests.plugins.serving import raw_exchange, served
from tests.plugins.signing import with_target
from tests.unit.resource.test_wsgi import call

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def resource(world: World) -> Resource:
    return world.resource()


# Needs by path.


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/orders/7", "grant"),
        ("POST", "/orders/7", "person"),
        ("GET", "/orders/7/lines", "agent"),
        ("GET", "/orders/", "agent"),
        ("GET", "/files/a/b/c", "person"),
        ("GET", "/public", "open"),
        ("DELETE", "/public", "open"),
        ("GET", "/public/", "agent"),
        ("GET", "/Public", "agent"),
        ("GET", "/public\n", "agent"),
        ("GET", "/nowhere", "agent"),
    ],
)
def test_the_first_line_counts_and_what_none_names_has_the_default(
    resource: Resource, method: str, path: str, found: str
) -> None:
    """F71: a path that is read more loosely elsewhere is never open by that."""
    needs = PathNeeds(
        {
            "GET /orders/{id}": resource.grant("orders.read"),
            "/orders/{id}": resource.person(),
            "/files/{rest:path}": resource.person(),
            "/public": resource.open(),
        },
        default=resource.agent(),
    )
    need = needs.of(method, path)
    assert (need.levels or ("open",)) == (found,)


@pytest.mark.parametrize("line", ["orders", "get /orders", "GET", "GET orders", "GET  /x y"])
def test_a_line_is_a_path_with_or_without_a_method(resource: Resource, line: str) -> None:
    with pytest.raises(ValueError, match="METHOD /path"):
        PathNeeds({line: resource.open()}, default=resource.agent())


# Starlette.


@pytest.fixture
def starlette(resource: Resource) -> Starlette:
    protect, caller = starlette_glue.protect, starlette_glue.caller

    @protect(resource.agent())
    async def who(request: Any) -> JSONResponse:
        agent = caller(request)
        assert isinstance(agent, Agent)
        return JSONResponse({"sub": agent.sub})

    @protect(resource.grant("orders.read"))
    def orders(request: Any) -> JSONResponse:
        grant = caller(request)
        assert isinstance(grant, Grant)
        return JSONResponse(sorted(grant.scope))

    async def public(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def asks(request: Any) -> PlainTextResponse:
        return PlainTextResponse(repr(caller(request)))

    @protect(resource.agent())
    async def refuses(_request: Any) -> PlainTextResponse:
        raise Problem("access_denied", "not yours")

    app = Starlette(
        routes=[
            Route("/who", who),
            Route("/orders", orders, methods=["GET"]),
            Route("/public", public),
            Route("/asks", asks),
            Route("/refuses", refuses),
            Mount("/shop", routes=[Route("/{id}", who)]),
            WebSocketRoute("/ws", who),
        ]
    )
    starlette_glue.install(app, resource)
    return app


async def test_starlette(world: World, starlette: Starlette) -> None:
    answer = await ask(starlette, world.agent().sign("GET", f"{API}/who"))
    assert json.loads(answer.body) == {"sub": "aauth:planner@agents.example"}
    assert (await ask(starlette, world.unsigned(target="/who"))).status == 401
    assert (await ask(starlette, world.unsigned(target="/public"))).body == b"hello"
    challenged = await ask(starlette, world.person().sign("GET", f"{API}/orders"))
    assert resource_token(challenged).scope == {"orders.read"}
    served = await ask(starlette, world.grant("orders.read").sign("GET", f"{API}/orders"))
    assert json.loads(served.body) == ["orders.read"]
    refused = await ask(starlette, world.agent().sign("GET", f"{API}/refuses"))
    assert (refused.status, json.loads(refused.body)["error"]) == (403, "access_denied")


async def test_starlette_mounts_and_methods(world: World, starlette: Starlette) -> None:
    assert (await ask(starlette, world.unsigned(target="/shop/7"))).status == 401
    assert (await ask(starlette, world.agent().sign("GET", f"{API}/shop/7"))).status == 200
    assert (await ask(starlette, world.unsigned("HEAD", "/orders"))).status == 401
    assert (await ask(starlette, world.unsigned("POST", "/orders"))).status == 405
    assert (await ask(starlette, world.unsigned(target="/nowhere"))).status == 404


async def test_starlette_answers_500_where_nothing_was_decided(resource: Resource, starlette: Starlette) -> None:
    """It fails closed: a protected endpoint without install(), and a caller where nobody was asked."""
    assert (await ask(starlette, Request("GET", "/asks", ()))).status == 500

    @starlette_glue.protect(resource.agent())
    async def bare(_request: Any) -> PlainTextResponse:
        raise AssertionError("it must not run")

    with pytest.raises(Problem):
        await ask(Starlette(routes=[Route("/", bare)]), Request("GET", "/", ()))


def test_a_class_is_not_protected_by_half(resource: Resource) -> None:
    class Orders(HTTPEndpoint):
        pass

    with pytest.raises(TypeError, match="function"):
        starlette_glue.protect(resource.agent())(Orders)


async def test_a_default_covers_what_declares_nothing(world: World, resource: Resource) -> None:
    """F71."""

    async def silent(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/silent", silent)])
    starlette_glue.install(app, resource, default=resource.agent())
    for target in ("/silent", "/nowhere"):
        assert (await ask(app, world.unsigned(target=target))).status == 401


# Flask.


@pytest.fixture
def flask(resource: Resource) -> Iterator[Flask]:
    app = Flask("shop")
    protect, caller = flask_glue.protect, flask_glue.caller

    @app.get("/who/<name>")
    @protect(resource.agent())
    def who(name: str) -> Any:
        agent = caller()
        assert isinstance(agent, Agent)
        return flask_json({"sub": agent.sub, "name": name})

    @app.get("/orders")
    @protect(resource.grant("orders.read"))
    def orders() -> Any:
        grant = caller()
        assert isinstance(grant, Grant)
        return flask_json(sorted(grant.scope))

    @app.get("/public")
    def public() -> str:
        return "hello"

    @app.get("/asks")
    def asks() -> str:
        return repr(caller())

    @app.get("/refuses")
    @protect(resource.agent())
    def refuses() -> str:
        raise Problem("access_denied", "not yours")

    @app.post("/echo")
    @protect(resource.agent(digest=True))
    def echo() -> Any:
        from flask import request

        return flask_json(request.get_json())

    middleware = flask_glue.install(app, resource)
    assert isinstance(middleware, AAuthWsgi)
    yield app
    middleware.close()


def test_flask(world: World, flask: Flask) -> None:
    answer = call(flask, world.agent().sign("GET", f"{API}/who/me"))
    assert json.loads(answer.body) == {"sub": "aauth:planner@agents.example", "name": "me"}
    assert call(flask, world.unsigned(target="/who/me")).status == 401
    assert call(flask, world.unsigned(target="/public")).body == b"hello"
    challenged = call(flask, world.person().sign("GET", f"{API}/orders"))
    assert resource_token(challenged).scope == {"orders.read"}
    served = call(flask, world.grant("orders.read").sign("GET", f"{API}/orders"))
    assert json.loads(served.body) == ["orders.read"]
    refused = call(flask, world.agent().sign("GET", f"{API}/refuses"))
    assert (refused.status, json.loads(refused.body)["error"]) == (403, "access_denied")
    assert refused.values("link")
    echoed = call(flask, world.agent().sign("POST", f"{API}/echo", body=b'{"a": 1}'))
    assert json.loads(echoed.body) == {"a": 1}


def test_flask_methods_and_unknown_paths(world: World, flask: Flask) -> None:
    assert call(flask, world.unsigned("HEAD", "/orders")).status == 401
    assert call(flask, world.unsigned("POST", "/public")).status == 405
    assert call(flask, world.unsigned(target="/nowhere")).status == 404
    assert call(flask, world.unsigned(target="/who/me/")).status == 404


def test_flask_answers_500_where_nothing_was_decided(resource: Resource, flask: Flask) -> None:
    assert call(flask, Request("GET", "/asks", ())).status == 500
    bare = Flask("bare")

    @bare.get("/")
    @flask_glue.protect(resource.agent())
    def never() -> str:
        raise AssertionError("it must not run")

    assert call(bare, Request("GET", "/", ())).status == 500


def test_flask_with_a_default(world: World, resource: Resource) -> None:
    """F71."""
    app = Flask("shop")

    @app.get("/silent")
    def silent() -> str:
        return "x"

    flask_glue.install(app, resource, default=resource.agent())
    for target in ("/silent", "/nowhere"):
        assert call(app, world.unsigned(target=target)).status == 401
    assert call(app, world.agent().sign("GET", f"{API}/silent")).status == 200


# Any ASGI application, by the middleware alone.


@pytest.fixture(scope="module")
def django() -> Any:
    """A Django application: its own settings, two views, its real ASGI handler."""
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    async def who(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"sub": request.scope[CALLER].sub})  # type: ignore[attr-defined]

    def place(request: HttpRequest, item: str) -> JsonResponse:
        grant = request.scope[CALLER]  # type: ignore[attr-defined]
        return JsonResponse({"item": item, "body": request.body.decode(), "for": grant.person.sub})

    async def public(_request: HttpRequest) -> JsonResponse:
        return JsonResponse({"hello": True})

    urls = type(
        "urls", (), {"urlpatterns": [path("who", who), path("place/<str:item>", place), path("public", public)]}
    )
    settings.configure(
        SECRET_KEY="not secret: a test", ROOT_URLCONF=urls, ALLOWED_HOSTS=["api.example"], MIDDLEWARE=[], USE_TZ=True
    )
    import django as package
    from django.core.asgi import get_asgi_application

    package.setup()
    return get_asgi_application()


async def over(port: int, request: Request) -> Answer:
    """The answer of a real server to these very fields."""
    body = await request.read(2**20)
    lines = [f"{request.method} {request.target} HTTP/1.0"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in request.headers), "", ""])
    raw = await raw_exchange(port, head.encode("latin-1") + body)
    first, _, content = raw.partition(b"\r\n\r\n")
    status, *fields = first.decode("latin-1").split("\r\n")
    headers = tuple((name.lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields))
    return Answer(int(status.split(" ")[1]), headers, content)


async def test_django(world: World, resource: Resource, django: Any) -> None:
    table = {
        "/who": resource.agent(),
        "POST /place/{item}": resource.grant("orders.place", digest=True),
        "/public": resource.open(),
    }
    app = AAuthMiddleware(django, resource, PathNeeds(table, default=resource.agent()))
    async with served(app, lifespan="off") as port:
        answer = await over(port, world.agent().sign("GET", f"{API}/who"))
        assert json.loads(answer.body) == {"sub": "aauth:planner@agents.example"}
        assert (await over(port, world.unsigned(target="/who"))).status == 401
        public = await over(port, Request("GET", "/public", (("host", "api.example"),)))
        assert json.loads(public.body) == {"hello": True}
        placed = await over(port, world.grant("orders.place").sign("POST", f"{API}/place/lamp", body=b'{"n":1}'))
        assert json.loads(placed.body) == {"item": "lamp", "body": '{"n":1}', "for": "p-1"}
        signed = world.grant("orders.place").sign("POST", f"{API}/place/lamp", body=b'{"n":1}')
        changed = await over(port, with_target(signed, "/place/desk"))
        assert changed.header("signature-error") == "error=invalid_signature"
        assert (await over(port, world.unsigned(target="/nowhere"))).status == 401


async def test_litestar(world: World, resource: Resource) -> None:
    @litestar.get("/who")
    async def who(request: litestar.Request[Any, Any, Any]) -> dict[str, str]:
        return {"sub": request.scope[CALLER].sub}  # type: ignore[typeddict-item]

    @litestar.post("/place/{item:str}")
    async def place(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
        grant: Grant = request.scope[CALLER]  # type: ignore[typeddict-item]
        return {"item": request.path_params["item"], "data": await request.json(), "for": grant.person.sub}

    table = {"/who": resource.agent(), "POST /place/{item}": resource.grant("orders.place", digest=True)}
    inner: Any = litestar.Litestar([who, place], openapi_config=None, logging_config=None)
    app = AAuthMiddleware(inner, resource, PathNeeds(table, default=resource.agent()))
    async with served(app) as port:
        answer = await over(port, world.agent().sign("GET", f"{API}/who"))
        assert json.loads(answer.body) == {"sub": "aauth:planner@agents.example"}
        assert (await over(port, world.unsigned(target="/who"))).status == 401
        placed = await over(port, world.grant("orders.place").sign("POST", f"{API}/place/lamp", body=b'{"n":1}'))
        assert json.loads(placed.body) == {"item": "lamp", "data": {"n": 1}, "for": "p-1"}
        assert asked(await over(port, world.person().sign("POST", f"{API}/place/lamp", body=b"{}"))) == "auth-token"
