# No postponed annotations here: the routes below are made inside functions, where FastAPI could not evaluate them.
"""The FastAPI glue: a handler gets the caller its route needs, as the type it names."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from aauthkit.callers import Agent, Caller, Grant, Person, Pseudonym
from aauthkit.protocol.problems import Problem
from aauthkit.resource import NeedsConflict, Resource
from aauthkit.resource.fastapi import RouteFault, account, install, protect
from tests.plugins.resources import API, Wire, World, ask, asked, exchange, get

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


class Order(BaseModel):
    n: int


async def test_a_handler_gets_the_caller_its_route_needs(world: World, resource: Resource, app: FastAPI) -> None:
    @app.get("/orders")
    async def orders(
        grant: Annotated[Grant, protect(resource.grant("orders.read", optional=["orders.place"]))],
    ) -> dict[str, Any]:
        return {"person": grant.person.sub, "scope": sorted(grant.scope)}

    answer = await get(app, world.grant("orders.read"), "/orders")
    assert (answer.status, answer.body) == (200, b'{"person":"p-1","scope":["orders.read"]}')
    assert asked(await get(app, world.person(), "/orders")) == "auth-token"
    assert asked(await get(app, world.agent(), "/orders")) == "person-token"
    assert (await get(app, None, "/orders")).header("signature-error") == "error=invalid_signature"


async def test_a_plain_handler_works_as_well(world: World, resource: Resource, app: FastAPI) -> None:
    @app.get("/me")
    def me(agent: Annotated[Agent, protect(resource.agent())]) -> str:
        return agent.sub

    assert (await get(app, world.agent(), "/me")).body == b'"aauth:planner@agents.example"'


async def test_a_need_without_a_parameter_protects_too(world: World, resource: Resource, app: FastAPI) -> None:
    @app.get("/orders", dependencies=[protect(resource.person())])
    async def orders() -> str:
        return "ok"

    assert (await get(app, world.person(), "/orders")).status == 200
    assert asked(await get(app, world.agent(), "/orders")) == "person-token"


async def test_a_need_inside_another_dependency_protects_too(world: World, resource: Resource, app: FastAPI) -> None:
    def name(person: Annotated[Person | Grant, protect(resource.person())]) -> str:
        return person.person.sub

    @app.get("/me")
    async def me(who: Annotated[str, Depends(name)]) -> str:
        return who

    assert (await get(app, world.person(), "/me")).body == b'"p-1"'
    assert asked(await get(app, world.agent(), "/me")) == "person-token"


async def test_the_default_form_of_a_dependency_protects_too(world: World, resource: Resource, app: FastAPI) -> None:
    @app.get("/me")
    async def me(agent: Agent = protect(resource.agent())) -> str:  # noqa: B008
        return agent.sub

    assert (await get(app, world.agent(), "/me")).status == 200
    assert asked(await get(app, world.person(), "/me")) == "agent-token"


async def test_no_body_is_read_of_a_request_that_is_refused(world: World, resource: Resource, app: FastAPI) -> None:
    ran: list[Order] = []

    @app.post("/orders")
    async def place(order: Order, agent: Annotated[Agent, protect(resource.agent(digest=True))]) -> int:
        ran.append(order)
        return order.n

    for request in (
        world.unsigned("POST"),
        world.person().sign("POST", f"{API}/orders", body=b'{"n":1}'),
        world.agent().sign("POST", f"{API}/orders", body=b'{"n":1}', drop=["content-digest"]),
    ):
        wire = await exchange(app, request, chunks=[b'{"n":1}'])
        assert wire.answer.status == 401
        assert wire.read == 0
    changed = world.agent().sign("POST", f"{API}/orders", body=b'{"n":1}')
    assert (await ask(app, changed, chunks=[b'{"n":2}'])).status == 401
    assert not ran
    good = world.agent().sign("POST", f"{API}/orders", body=b'{"n":1}')
    assert (await ask(app, good)).body == b"1"


async def test_a_large_changed_body_is_401_and_not_what_the_framework_makes_of_it(
    world: World, resource: Resource, app: FastAPI
) -> None:
    """FastAPI calls a body it cannot read 400."""
    ran: list[Any] = []

    @app.post("/orders")
    async def place(order: dict[str, str], agent: Annotated[Agent, protect(resource.agent())]) -> int:
        ran.append(order)
        return 1

    body = b'{"a":"' + b"x" * 1_200_000 + b'"}'
    request = world.agent().sign("POST", f"{API}/orders", body=body)
    answer = await ask(app, request, chunks=[body.replace(b"x", b"z", 1)])
    assert answer.header("signature-error") == "error=invalid_signature"
    assert not ran


async def test_a_route_that_states_nothing_is_public(app: FastAPI) -> None:
    @app.get("/public")
    async def public() -> str:
        return "ok"

    for path in ("/public", "/openapi.json", "/docs", "/.well-known/aauth-resource.json"):
        assert (await get(app, None, path)).status == 200


async def test_the_dependency_is_no_parameter_of_the_api(resource: Resource, app: FastAPI) -> None:
    @app.get("/orders")
    async def orders(agent: Annotated[Agent, protect(resource.agent())], q: str = "") -> str:
        return q

    operation = app.openapi()["paths"]["/orders"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["q"]
    assert "security" not in operation


async def test_a_handler_gets_the_account_of_the_hook(world: World) -> None:
    async def hook(caller: Caller) -> str:
        assert isinstance(caller, Person | Grant)
        return f"account of {caller.person.sub}"

    app, resource = FastAPI(), world.resource(account=hook)
    install(app, resource)

    @app.get("/me")
    async def me(who: Annotated[Person | Grant, protect(resource.person())], mine: Annotated[str, account()]) -> str:
        return mine

    @app.get("/nobody")
    async def nobody(mine: Annotated[str, account()]) -> str:
        return mine

    assert (await get(app, world.person(), "/me")).body == b'"account of p-1"'
    assert (await get(app, world.person(), "/nobody")).status == 500


async def test_a_route_may_refuse_from_inside(world: World, resource: Resource, app: FastAPI) -> None:
    @app.get("/orders")
    async def orders(grant: Annotated[Grant, protect(resource.grant("orders.read"))]) -> str:
        if "orders.cancel" not in grant.scope:
            raise resource.challenge(grant, resource.grant("orders.cancel"))
        raise Problem("access_denied", "this order is not yours")

    assert asked(await get(app, world.grant("orders.read"), "/orders")) == "auth-token"
    denied = await get(app, world.grant("orders.read orders.cancel"), "/orders")
    assert (denied.status, denied.header("content-type")) == (403, "application/problem+json")


WRONG: list[tuple[Any, Callable[[Resource], Any], str]] = [
    (Grant, lambda r: r.agent(), "Agent"),
    (Agent, lambda r: r.grant("orders.read"), "Grant"),
    (Person, lambda r: r.person(), "Grant"),
    (Grant, lambda r: r.person(), "Person"),
    (Pseudonym, lambda r: r.key() | r.agent(), "Agent"),
    (dict, lambda r: r.agent(), "Agent"),
]


@pytest.mark.parametrize(("annotation", "need", "missing"), WRONG)
async def test_a_type_that_the_need_does_not_give_is_found_at_install_and_at_start(
    world: World, resource: Resource, annotation: Any, need: Callable[[Resource], Any], missing: str
) -> None:
    def add(app: FastAPI) -> None:
        @app.get("/x")
        async def handler(caller: Annotated[annotation, protect(need(resource))]) -> None:
            raise AssertionError

    early = FastAPI()
    add(early)
    with pytest.raises(RouteFault, match=f"handler, parameter 'caller'.*must take {missing}"):
        install(early, resource)
    late = FastAPI()
    install(late, resource)
    add(late)
    wire = Wire()
    with pytest.raises(RouteFault, match="must take"):
        await late({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, wire.receive, wire.send)
    assert wire.sent[0]["type"] == "lifespan.startup.failed"
    assert "must take" in wire.sent[0]["message"]
    for signer in (world.agent(), world.grant("orders.read"), None):
        assert (await get(late, signer, "/x")).status == 500


async def test_a_type_that_takes_more_is_fine(world: World, resource: Resource, app: FastAPI) -> None:
    @app.get("/x")
    async def x(caller: Annotated[Caller, protect(resource.person())]) -> str:
        return type(caller).__name__

    @app.get("/y")
    async def y(caller: Annotated[Any, protect(resource.person())]) -> str:
        return type(caller).__name__

    assert (await get(app, world.person(), "/x")).body == b'"Person"'
    assert (await get(app, world.grant("orders.read"), "/y")).body == b'"Grant"'


async def test_needs_that_nobody_meets_together_are_found_at_install(resource: Resource) -> None:
    app = FastAPI(dependencies=[protect(resource.agent())])

    @app.get("/x", dependencies=[protect(resource.person())])
    async def x() -> None: ...

    with pytest.raises(NeedsConflict, match="no caller is both"):
        install(app, resource)
