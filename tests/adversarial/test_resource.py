"""What an API must not do, whoever asks: each attempt reaches no handler and is refused with its reason."""

from __future__ import annotations

import base64
import sys
from types import ModuleType

import pytest

from aauthkit.protocol.httpsig import parse_signature_input, signature_base
from aauthkit.resource.fastapi import RouteFault, install
from aauthkit.serving import Request
from tests.plugins.resources import API, World, ask
from tests.plugins.shop import Shop
from tests.plugins.signing import (
    NOW,
    Signer,
    new_key,
    sign,
    signature_twin,
    with_header,
    with_target,
)

pytestmark = pytest.mark.anyio

SIGNATURE_FIELDS = ("signature", "signature-input", "signature-key")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


# What was signed is what is run.


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("/agent/data;role=user", "/agent/data;role=admin"),
        ("/agent/data;role=user", "/agent/data"),
        ("/agent/a%2Fb", "/agent/a/b"),
        ("/agent/a/b", "/agent/a%2Fb"),
        ("/agent/a%2fb", "/agent/a%2Fb"),
        ("/agent/a", "/agent/%61"),
        ("/agent/a/b", "/agent/a//b"),
        ("/agent/a//b", "/agent/a/b"),
        ("/agent/a/../b", "/agent/b"),
        ("/agent/b", "/agent/a/../b"),
        ("/agent/a/./b", "/agent/a/b"),
        ("/agent/a", "/agent/a/"),
        ("/agent/a", "/agent/A"),
        ("/agent/a", "//agent/a"),
        ("/agent/a b".replace(" ", "%20"), "/agent/a+b"),
    ],
)
async def test_a_path_that_was_changed_does_not_verify(world: World, shop: Shop, signed: str, sent: str) -> None:
    """F05, RFC 9421 §2.2.6: the path is used as it was sent; the unchanged one is served."""
    request = world.agent().sign("GET", API + signed)
    if sent.startswith("/agent/"):
        await shop.refuse(with_target(request, sent), "invalid_signature")
    else:
        answer = await ask(shop.app, with_target(request, sent))
        assert (answer.status, shop.ran) == (404, [])
    await shop.serve(world.agent().sign("GET", API + signed))


@pytest.mark.parametrize(
    ("signed", "sent", "error"),
    [
        ("/agent/a", "/agent/a?admin=1", "invalid_input"),
        ("/agent/a?x=1", "/agent/a", "invalid_signature"),
        ("/agent/a?x=1", "/agent/a?x=2", "invalid_signature"),
        ("/agent/a?x=1", "/agent/a?x=1&x=2", "invalid_signature"),
        ("/agent/a?x=1&y=2", "/agent/a?y=2&x=1", "invalid_signature"),
        ("/agent/a?x=%20", "/agent/a?x=+", "invalid_signature"),
        ("/agent/a?x=1", "/agent/a??x=1", "invalid_signature"),
    ],
)
async def test_a_query_that_was_added_removed_or_changed_does_not_verify(
    world: World, shop: Shop, signed: str, sent: str, error: str
) -> None:
    """F08: a query that is present must be covered."""
    answer = await shop.refuse(with_target(world.agent().sign("GET", API + signed), sent), error)
    if error == "invalid_input":
        assert '"@query"' in str(answer.header("signature-error"))
    await shop.serve(world.agent().sign("GET", API + signed))


async def test_a_query_that_is_not_covered_is_refused_unless_a_switch_says_otherwise(world: World, shop: Shop) -> None:
    """F08: `invalid_input` with `@query` in `required_input`."""
    request = world.agent().sign("GET", f"{API}/agent/a?x=1", drop=["@query"])
    answer = await shop.refuse(request, "invalid_input")
    assert answer.header("signature-error") == (
        'error=invalid_input, required_input=("@method" "@authority" "@path" "signature-key" "@query")'
    )
    lenient = world.resource(require_query=False)
    await lenient.decide(request, lenient.agent())


@pytest.mark.parametrize(
    ("right", "wrong", "cause"),
    [
        ('"@query": ?x=1', '"@query": x=1', b"question mark"),
        ('"@path": /agent/a', '"@path": /agent/a?x=1', b"query in it"),
    ],
)
async def test_a_query_signed_in_a_known_wrong_form_is_refused_by_name(
    world: World, shop: Shop, right: str, wrong: str, cause: bytes
) -> None:
    """F07, RFC 9421 §2.2.6, §2.2.7."""
    request = world.agent().sign("GET", f"{API}/agent/a?x=1")
    entry = parse_signature_input([request.header("signature-input") or ""])["sig"]
    base = signature_base(request.as_signed(API), entry).decode()
    assert right in base
    signature = base64.b64encode(world.key.sign(base.replace(right, wrong).encode())).decode()
    answer = await shop.refuse(with_header(request, "signature", f"sig=:{signature}:"), "invalid_signature")
    assert cause in answer.body
    await shop.serve(request)


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "get"])
async def test_a_signature_for_one_method_opens_no_other(world: World, shop: Shop, method: str) -> None:
    """F01."""
    signed = world.grant("orders.read orders.place orders.cancel").sign("GET", f"{API}/orders")
    answer = await ask(shop.app, Request(method, signed.target, signed.headers))
    assert answer.status in (401, 405)
    assert not shop.ran


@pytest.mark.parametrize("dropped", ["@method", "@authority", "@path", "signature-key"])
async def test_each_required_component_must_be_covered(world: World, shop: Shop, dropped: str) -> None:
    """F01, §11.3.3.1: each alone; a missing `signature-key` would let any key in."""
    request = world.agent().sign("GET", f"{API}/agent/a", drop=[dropped])
    if dropped == "signature-key":
        value = request.header("signature-input") or ""
        request = with_header(request, "signature-input", value.replace(' "signature-key"', ""))
    answer = await shop.refuse(request, "invalid_input")
    assert f'"{dropped}"' in str(answer.header("signature-error"))


async def test_a_signature_over_nothing_opens_nothing(world: World, shop: Shop) -> None:
    """F01: an empty list of components."""
    request = world.agent().sign("GET", f"{API}/agent/a")
    value = request.header("signature-input") or ""
    emptied = f"sig=(){value[value.index(')') + 1 :]}"
    await shop.refuse(with_header(request, "signature-input", emptied), "invalid_input")


async def test_a_body_that_was_changed_runs_nothing(world: World, shop: Shop) -> None:
    """F13."""
    request = world.grant("orders.place").sign("POST", f"{API}/orders", body=b'{"n":1}')
    await shop.refuse(request, "invalid_signature", chunks=[b'{"n":2}'])
    typed = with_header(request, "content-type", "text/plain")
    await shop.refuse(typed, "invalid_signature")


async def test_a_request_for_another_host_is_not_taken_under_its_name_or_ours(world: World, shop: Shop) -> None:
    """An agent token names no audience: the configured authority is what keeps a host from relaying a request."""
    relayed = world.agent().sign("GET", "https://evil.example/agent/a")
    await shop.refuse(relayed, "invalid_signature")
    await shop.refuse(with_header(relayed, "host", "api.example"), "invalid_signature")
    await shop.refuse(with_header(relayed, "host", "api.example:443"), "invalid_signature")


async def test_host_is_not_what_is_verified(world: World, shop: Shop) -> None:
    """Behind a proxy that rewrites it: the configured value counts, and F06: case and default port do not."""
    for host in ("upstream.internal:8080", "API.example:443"):
        await shop.serve(with_header(world.agent().sign("GET", f"{API}/agent/a"), "host", host))
    for authority in ("https://API.Example", "https://api.example:443"):
        await shop.serve(world.agent().sign("GET", f"{authority}/agent/a"))
    await shop.refuse(world.agent().sign("GET", "https://api.example:8443/agent/a"), "invalid_signature")
    await shop.refuse(world.agent().sign("GET", "http://api.example/agent/a", components=COVERED), "invalid_signature")


COVERED = ["@method", "@authority", "@path", "@scheme"]


# Freshness and replay.


@pytest.mark.parametrize(
    ("offset", "error"), [(-61, "invalid_signature"), (61, "clock_skew"), (-(10**6), "invalid_signature")]
)
async def test_a_signature_of_another_time_is_refused(world: World, shop: Shop, offset: int, error: str) -> None:
    """F02, §11.3.4 step 3."""
    await shop.refuse(world.agent().sign("GET", f"{API}/agent/a", now=NOW + offset), error)


@pytest.mark.parametrize("params", [";created", '";created="1"', ";created=1.5", ";expires=1", ""])
async def test_created_is_an_integer_and_expires_is_honoured(world: World, shop: Shop, params: str) -> None:
    """F02."""
    request = world.agent().sign("GET", f"{API}/agent/a")
    value = request.header("signature-input") or ""
    broken = f"{value[: value.index(')') + 1]}{params}"
    await shop.refuse(with_header(request, "signature-input", broken), "invalid_signature")
    await shop.refuse(world.agent().sign("GET", f"{API}/agent/a", expires=NOW - 1), "invalid_signature")


async def test_the_second_copy_of_an_unsafe_request_is_refused(world: World, shop: Shop) -> None:
    """F17, §11.3.4.2; two equal requests that were signed apart are both served."""
    first, second = (world.grant("orders.place").sign("POST", f"{API}/orders", body=b"{}") for _ in range(2))
    await shop.serve(first)
    await shop.refuse(first, "invalid_signature")
    await shop.serve(second)


async def test_the_twin_of_an_es256_signature_is_a_replay_too(world: World) -> None:
    """F17: r, n-s verifies over the same base."""
    world.key = new_key("ES256")
    shop = Shop(world)
    request = world.grant("orders.place").sign("POST", f"{API}/orders", body=b"{}")
    twin = signature_twin(request)
    assert twin.header("signature") != request.header("signature")
    await shop.serve(request)
    await shop.refuse(twin, "invalid_signature")


async def test_a_replay_under_another_label_or_with_more_fields_is_a_replay(world: World, shop: Shop) -> None:
    request = world.grant("orders.place").sign("POST", f"{API}/orders", body=b"{}")
    await shop.serve(request)
    renamed = request
    for name in SIGNATURE_FIELDS:
        value = renamed.header(name) or ""
        renamed = with_header(renamed, name, "other" + value.removeprefix("sig"))
    await shop.refuse(renamed, "invalid_signature")
    await shop.refuse(with_header(request, "x-extra", "1"), "invalid_signature")


# Fields that could be read in two ways.


@pytest.mark.parametrize("name", ["host", "content-type", "content-length"])
async def test_a_field_that_stands_twice_is_400(world: World, shop: Shop, name: str) -> None:
    request = world.grant("orders.place").sign("POST", f"{API}/orders", body=b"{}")
    doubled = Request("POST", request.target, (*request.headers, (name, "7")), request.body)
    await shop.refuse(doubled, "", 400)


async def test_authorization_twice_is_refused(world: World, shop: Shop) -> None:
    fields = [("authorization", "AAuth abc"), ("authorization", "Bearer def")]
    await shop.refuse(world.agent().sign("GET", f"{API}/agent/a", headers=fields), "invalid_signature")


async def test_a_session_token_that_is_not_covered_is_refused(world: World, shop: Shop) -> None:
    """F47, §6.3: `invalid_input` with `authorization` in `required_input`; alone it opens nothing."""
    request = world.agent().sign("GET", f"{API}/agent/a")
    bearer = Request("GET", request.target, (*request.headers, ("authorization", "AAuth abc")))
    answer = await shop.refuse(bearer, "invalid_input")
    assert '"authorization"' in str(answer.header("signature-error"))
    await shop.refuse(Request("GET", "/agent/a", (("authorization", "AAuth abc"),)), "invalid_signature")


@pytest.mark.parametrize("name", SIGNATURE_FIELDS)
async def test_duplicate_signature_fields_are_refused(world: World, shop: Shop, name: str) -> None:
    request = world.agent().sign("GET", f"{API}/agent/a")
    again = Request("GET", request.target, (*request.headers, (name, request.header(name) or "")))
    await shop.refuse(again, "invalid_signature")


@pytest.mark.parametrize("missing", SIGNATURE_FIELDS)
async def test_partial_signature_fields_are_never_anonymous(world: World, shop: Shop, missing: str) -> None:
    await shop.refuse(with_header(world.agent().sign("GET", f"{API}/agent/a"), missing, None), "invalid_signature")


@pytest.mark.parametrize("name", SIGNATURE_FIELDS)
@pytest.mark.parametrize("value", ["", "sig", "sig=", "\x00", "sig=::", "sig=()", "sig=?1", "é", "sig=jwt", "," * 100])
async def test_garbage_in_a_signature_field_is_401_never_500(world: World, shop: Shop, name: str, value: str) -> None:
    """F91."""
    request = with_header(world.agent().sign("GET", f"{API}/agent/a"), name, value)
    answer = await ask(shop.app, request)
    assert answer.status == 401
    assert (answer.header("signature-error") or "").startswith("error=invalid_")
    assert not shop.ran


async def test_fields_that_are_too_long_or_too_many_are_400(world: World, shop: Shop) -> None:
    request = world.agent().sign("GET", f"{API}/agent/a")
    long = Request("GET", request.target, (*request.headers, ("x-long", "x" * 40_000)))
    await shop.refuse(long, "", 400)
    many = Request("GET", request.target, (*request.headers, *((f"x-{n}", "1") for n in range(200))))
    await shop.refuse(many, "", 400)
    await shop.refuse(with_target(request, "/agent/" + "a" * 9000), "", 400)


async def test_a_token_that_is_too_long_is_invalid_jwt(world: World, shop: Shop) -> None:
    await shop.refuse(world.agent(padding="x" * 20_000).sign("GET", f"{API}/agent/a"), "invalid_jwt")


# The glue.


async def test_a_protect_that_fastapi_would_overlook_keeps_the_application_from_starting(world: World) -> None:
    """Postponed annotations and a local name: FastAPI makes a query parameter of it, and the route would be open."""
    source = """
from __future__ import annotations
from typing import Annotated
from fastapi import FastAPI
from aauthkit.callers import Agent
from aauthkit.resource.fastapi import install, protect

def build(resource, ran):
    app = FastAPI()
    install(app, resource)
    need = resource.agent()

    @app.get("/secret")
    async def secret(agent: Annotated[Agent, protect(need)]):
        ran.append("secret")

    @app.get("/written-well")
    async def well(agent: Agent = protect(need)):
        return agent.sub

    return app
"""
    module = ModuleType("a_factory")
    sys.modules["a_factory"] = module
    try:
        exec(compile(source, "a_factory", "exec"), module.__dict__)
        ran: list[str] = []
        app = module.build(world.resource(), ran)
        answer = await ask(app, Request("GET", "/secret?agent=x", ()))
        assert (answer.status, ran) == (500, [])
        assert (await ask(app, Request("GET", "/written-well", ()))).status == 401
        assert (await ask(app, world.agent().sign("GET", f"{API}/written-well"))).status == 200
        with pytest.raises(RouteFault, match="secret, parameter 'agent'"):
            install(app, world.resource())
    finally:
        del sys.modules["a_factory"]


async def test_no_answer_holds_a_key_or_a_token_and_no_log_does(
    world: World, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """F87."""
    caplog.set_level("DEBUG")
    token = world.ps.auth_token(world.key.public, API, "orders.place")
    signer = Signer.token(world.key, token)
    for request in (
        signer.sign("GET", f"{API}/orders"),
        with_target(signer.sign("GET", f"{API}/orders"), "/orders?x=1"),
        sign("GET", f"{API}/orders", new_key(), signer.signature_key),
    ):
        answer = await ask(shop.app, request)
        said = repr(answer.headers) + answer.body.decode() + caplog.text
        assert token not in said
        assert token.split(".")[1] not in said


async def test_a_caller_cannot_put_itself_into_the_scope(world: World, shop: Shop) -> None:
    """F89: no header gives an identity."""
    for name in ("aauthkit.caller", "aauthkit.admitted", "x-aauth-agent", "x-aauth-scope", "x-forwarded-user"):
        request = Request("GET", "/agent/a", (("host", "api.example"), (name, "aauth:ceo@agents.example")))
        await shop.refuse(request, "invalid_signature")
