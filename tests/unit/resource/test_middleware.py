"""The middleware in front of a plain ASGI application: nothing runs undecided (design: fails closed)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aauthkit.asgi import App
from aauthkit.callers import Agent
from aauthkit.protocol.problems import Problem
from aauthkit.resource import Need, Resource
from aauthkit.resource.asgi import CALLER, AAuthMiddleware, admitted
from aauthkit.serving import Request
from tests.plugins.resources import Wire, World, ask, exchange, requirement, scope_of
from tests.plugins.signing import Signer, with_header, with_target

pytestmark = pytest.mark.anyio

URL = "https://api.example/orders"


class Inner:
    """An application that notes what reached it."""

    def __init__(self, status: int = 200, error: Exception | None = None) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.status = status
        self.error = error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if self.error is not None:
            raise self.error
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-inner", b"1")]})
            await send({"type": "http.response.body", "body": b"inner"})

    @property
    def ran(self) -> bool:
        return bool(self.scopes)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def resource(world: World) -> Resource:
    return world.resource(documentation_uri="https://api.example/docs")


@pytest.fixture
def inner() -> Inner:
    return Inner()


Behind = Callable[..., App]


@pytest.fixture
def behind(resource: Resource, inner: Inner) -> Behind:
    """The application behind a middleware in which `/public` is open, `/none` undeclared, and all else needs `need`."""

    def make(need: Need | None = None, app: Inner = inner) -> App:
        def needs(scope: Any) -> Need | None:
            if scope["path"].startswith("/public") or scope["path"] == "/docs":
                return resource.open()
            return None if scope["path"] == "/none" else need or resource.agent()

        return AAuthMiddleware(app, resource, needs)

    return make


async def test_an_admitted_request_reaches_the_application_with_its_caller(
    world: World, inner: Inner, behind: Behind
) -> None:
    answer = await ask(behind(), world.agent().sign("GET", URL))
    assert (answer.status, answer.body) == (200, b"inner")
    scope = inner.scopes[0]
    assert isinstance(scope[CALLER], Agent)
    decided = admitted(scope)
    assert decided is not None
    assert decided.caller is scope[CALLER]


async def test_an_unsigned_request_runs_no_handler(world: World, inner: Inner, behind: Behind) -> None:
    """F46: there is no mode in which a failed check is only noted."""
    answer = await ask(behind(), world.unsigned())
    assert answer.status == 401
    assert answer.header("signature-error") == "error=invalid_signature"
    assert answer.header("content-type") == "application/problem+json"
    assert not inner.ran


async def test_an_open_and_an_undeclared_path_have_no_caller(inner: Inner, behind: Behind) -> None:
    for target in ("/public", "/none"):
        assert (await ask(behind(), Request("GET", target, ()))).status == 200
    assert all(CALLER not in scope and admitted(scope) is None for scope in inner.scopes)


async def test_a_refusal_goes_out_before_the_body_is_read(world: World, inner: Inner, behind: Behind) -> None:
    for signer, need in ((world.bare(), None), (world.agent(), "grant")):
        app = behind(None if need is None else world.resource().grant("orders.read"))
        wire = await exchange(app, signer.sign("POST", URL, body=b"{}"), chunks=[b"x" * 65536] * 100)
        assert wire.answer.status == 401
        assert wire.read == 0
    assert not inner.ran


@pytest.mark.parametrize("error", [RuntimeError("no such table: people"), KeyError("x")])
async def test_a_fault_while_deciding_is_500_and_runs_nothing(
    world: World, resource: Resource, inner: Inner, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """F46, F91: the caller learns nothing of it."""

    def broken(_scope: Any) -> Need | None:
        raise error

    answer = await ask(AAuthMiddleware(inner, resource, broken), world.agent().sign("GET", URL))
    assert answer.status == 500
    assert b'"error":"server_error"' in answer.body
    assert b"people" not in answer.body
    assert answer.header("content-type") == "application/problem+json"
    assert not inner.ran
    assert "fault while deciding" in caplog.text


async def test_a_fault_of_the_account_hook_is_500_and_runs_nothing(
    world: World, resource: Resource, inner: Inner, behind: Behind
) -> None:
    """F91."""

    async def hook(_caller: Any) -> Any:
        raise LookupError("database")

    answer = await ask(behind(resource.agent(account=hook)), world.agent().sign("GET", URL))
    assert answer.status == 500
    assert not inner.ran


async def test_own_paths_are_answered_by_the_resource(inner: Inner, behind: Behind) -> None:
    for path in ("/.well-known/aauth-resource.json", "/.well-known/jwks.json"):
        answer = await ask(behind(), Request("GET", path, ()))
        assert answer.status == 200
        head = await ask(behind(), Request("HEAD", path, ()))
        assert (head.status, head.body) == (200, b"")
    mounted = await ask(
        behind(), Request("GET", "/shop/.well-known/jwks.json", ()), root_path="/shop", app_root_path=""
    )
    assert mounted.status == 200
    assert not inner.ran


@pytest.mark.parametrize("target", ["/orders#x", "/public#", "https://api.example/orders", "*", "/none?a#b"])
async def test_a_target_not_in_origin_form_is_400(inner: Inner, behind: Behind, world: World, target: str) -> None:
    """Also on open paths: two readers could read it in two ways."""
    answer = await ask(behind(), with_target(world.agent().sign("GET", URL), target))
    assert answer.status == 400
    assert not inner.ran


async def test_head_has_the_need_of_get(world: World, resource: Resource, inner: Inner) -> None:
    def needs(scope: Any) -> Need | None:
        return resource.agent() if scope["method"] == "GET" else None

    app = AAuthMiddleware(inner, resource, needs)
    answer = await ask(app, world.unsigned("HEAD"))
    assert (answer.status, answer.body) == (401, b"")
    assert not inner.ran
    assert (await ask(app, world.agent().sign("HEAD", URL))).status == 200


async def test_a_head_signed_as_a_get_is_refused(world: World, inner: Inner, behind: Behind) -> None:
    signed = world.agent().sign("GET", URL)
    answer = await ask(behind(), Request("HEAD", signed.target, signed.headers))
    assert answer.header("signature-error") == "error=invalid_signature"
    assert not inner.ran


def preflight(method: str = "POST", **headers: str) -> Request:
    fields = {"host": "api.example", "origin": "https://app.example", "access-control-request-method": method}
    return Request("OPTIONS", "/orders", tuple({**fields, **headers}.items()))


async def test_a_preflight_passes_only_where_the_route_names_it(
    resource: Resource, inner: Inner, behind: Behind
) -> None:
    assert (await ask(behind(resource.agent()), preflight())).status == 401
    assert not inner.ran
    assert (await ask(behind(resource.agent(preflight=True)), preflight())).status == 200
    assert CALLER not in inner.scopes[0]


async def test_options_that_is_no_preflight_does_not_pass(resource: Resource, inner: Inner, behind: Behind) -> None:
    app = behind(resource.agent(preflight=True))
    for missing in ("origin", "access-control-request-method"):
        assert (await ask(app, with_header(preflight(), missing, None))).status == 401
    request = preflight()
    assert (await ask(app, Request("POST", request.target, request.headers))).status == 401
    assert not inner.ran


async def test_a_preflight_asks_for_the_route_of_its_method(resource: Resource, inner: Inner) -> None:
    def needs(scope: Any) -> Need | None:
        return {"POST": resource.agent(preflight=True), "DELETE": resource.agent()}.get(scope["method"])

    app = AAuthMiddleware(inner, resource, needs)
    assert (await ask(app, preflight("POST"))).status == 200
    assert (await ask(app, preflight("DELETE"))).status == 401
    assert (await ask(app, preflight("delete"))).status == 401
    assert (await ask(app, preflight("GET"))).status == 200


async def websocket(app: App, path: str, **more: Any) -> list[str]:
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {**scope_of(Request("GET", path, ())), "type": "websocket", "subprotocols": [], **more}
    del scope["method"]
    await app(scope, receive, send)
    return sent


async def test_a_websocket_under_a_protected_route_is_refused(inner: Inner, behind: Behind) -> None:
    assert await websocket(behind(), "/orders") == ["websocket.close"]
    assert not inner.ran
    assert await websocket(behind(), "/public") == []
    assert inner.ran


async def test_a_websocket_is_refused_where_the_route_beside_it_is_protected_or_in_doubt(
    resource: Resource, inner: Inner
) -> None:
    """A handshake is a GET: what GET needs, it needs."""

    def only_http(scope: Any) -> Need | None:
        return resource.agent() if scope["type"] == "http" and scope["method"] == "GET" else None

    def broken(_scope: Any) -> Need | None:
        raise RuntimeError("in doubt")

    for needs in (only_http, broken):
        assert await websocket(AAuthMiddleware(inner, resource, needs), "/orders") == ["websocket.close"]
    assert not inner.ran


@pytest.mark.parametrize(("status", "linked"), [(200, False), (401, True), (402, True), (403, True), (404, False)])
async def test_the_applications_own_refusals_carry_the_link(
    world: World, behind: Behind, status: int, linked: bool
) -> None:
    """§11.2.5."""
    answer = await ask(behind(app=Inner(status)), world.agent().sign("GET", URL))
    assert bool(answer.values("link")) is linked
    assert answer.header("x-inner") == "1"


async def test_the_documentation_carries_the_link(behind: Behind) -> None:
    assert (await ask(behind(), Request("GET", "/docs", ()))).values("link")
    assert not (await ask(behind(), Request("GET", "/public", ()))).values("link")


async def test_a_link_that_is_there_already_is_not_added_twice(
    world: World, resource: Resource, behind: Behind
) -> None:
    class Linking(Inner):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            name, value = resource.resource_link()
            headers = [(name.encode(), value.encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    assert len((await ask(behind(app=Linking()), world.agent().sign("GET", URL))).values("link")) == 1


async def test_a_refusal_of_the_application_becomes_its_answer(
    world: World, resource: Resource, behind: Behind
) -> None:
    """A route may refuse, or ask for more, from inside (§6.5)."""
    denied = await ask(behind(app=Inner(error=Problem("access_denied", "not yours"))), world.agent().sign("GET", URL))
    assert (denied.status, len(denied.values("link"))) == (403, 1)

    class Asking(Inner):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise resource.challenge(scope[CALLER], resource.grant("orders.read"))

    asked = await ask(behind(app=Asking()), world.agent().sign("GET", URL))
    wanted = requirement(asked)
    assert wanted is not None
    assert (asked.status, wanted.value) == (401, "person-token")


async def test_a_refusal_after_the_answer_began_is_a_fault_like_any_other(world: World, behind: Behind) -> None:
    class Late(Inner):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)
            raise Problem("access_denied")

    with pytest.raises(Problem):
        await ask(behind(app=Late()), world.agent().sign("GET", URL))


async def test_any_other_error_of_the_application_passes(world: World, behind: Behind) -> None:
    with pytest.raises(RuntimeError, match="own"):
        await ask(behind(app=Inner(error=RuntimeError("own"))), world.agent().sign("GET", URL))


async def test_a_request_is_verified_once_under_two_middlewares(world: World, resource: Resource, inner: Inner) -> None:
    """The second would take the first one's copy for a replay."""
    need = resource.agent()
    app = AAuthMiddleware(AAuthMiddleware(inner, resource, lambda _: need), resource, lambda _: need)
    assert (await ask(app, world.agent().sign("POST", URL, body=b"{}"))).status == 200


async def test_a_need_of_another_resource_is_decided_by_that_resource(world: World, inner: Inner) -> None:
    here, there = world.resource(), world.resource("https://shop.example")
    need = there.agent()
    app = AAuthMiddleware(AAuthMiddleware(inner, there, lambda _: need), here, lambda _: need)
    assert (await ask(app, world.agent().sign("GET", "https://shop.example/orders"))).status == 200
    assert (await ask(app, world.agent().sign("GET", URL))).status == 401


async def test_a_stripped_prefix_is_part_of_what_was_signed(world: World, inner: Inner) -> None:
    resource = world.resource(path_prefix="/v1")
    app = AAuthMiddleware(inner, resource, lambda _: resource.agent())
    signer = world.agent()
    for path, root in (("/orders", ""), ("/v1/orders", "/v1")):
        request = with_target(signer.sign("GET", "https://api.example/v1/orders"), path)
        assert (await ask(app, request, root_path=root)).status == 200
    assert (await ask(app, signer.sign("GET", URL))).status == 401


async def test_the_resource_is_closed_with_the_application(world: World, inner: Inner) -> None:
    class Watched(Resource):
        closed = 0

        async def close(self) -> None:
            self.closed += 1
            await super().close()

    resource = Watched("https://api.example", person_servers=(), agent_providers=())

    async def living(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            await receive()
            assert not resource.closed
            await send({"type": f"lifespan.{event}.complete"})

    wire = Wire()
    await AAuthMiddleware(living, resource, lambda _: None)({"type": "lifespan"}, wire.receive, wire.send)
    assert resource.closed == 1
    assert [message["type"] for message in wire.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_kind_of_connection_that_is_not_ours_passes(resource: Resource, inner: Inner) -> None:
    await AAuthMiddleware(inner, resource, lambda _: resource.agent())({"type": "mqtt"}, Wire().receive, Wire().send)
    assert inner.ran


async def test_a_signer_of_no_trusted_issuer_runs_nothing(world: World, inner: Inner, behind: Behind) -> None:
    """F20: refused before any fetch."""
    stranger = World()
    stranger.provider.iss = "https://evil.example"
    signer = Signer.token(stranger.key, stranger.provider.agent_token(stranger.key.public))
    answer = await ask(behind(), signer.sign("GET", URL))
    assert answer.header("signature-error") == "error=invalid_key"
    assert not inner.ran
