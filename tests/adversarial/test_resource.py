"""What an API must not do, whoever asks: each attempt reaches no handler and is refused with its reason."""

from __future__ import annotations

import base64
import sys
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI

from aauthkit.keys import FixedKey
from aauthkit.protocol.httpsig import parse_signature_input, signature_base
from aauthkit.protocol.messages import Answer
from aauthkit.resource.fastapi import RouteFault, install
from aauthkit.serving import Request
from tests.plugins.resources import World, ask, requirement
from tests.plugins.signing import (
    NOW,
    Issuer,
    Signer,
    new_key,
    sign,
    signature_twin,
    with_header,
    with_target,
)

pytestmark = pytest.mark.anyio

BASE = "https://api.example"
SIGNATURE_FIELDS = ("signature", "signature-input", "signature-key")


class Shop:
    """A FastAPI application in which every handler notes that it ran."""

    def __init__(self, world: World) -> None:
        self.ran: list[str] = []
        self.app = FastAPI()
        self.resource = resource = world.resource()
        install(self.app, resource)

        from aauthkit.resource.fastapi import protect

        @self.app.get("/agent/{path:path}", dependencies=[protect(resource.agent())])
        async def agent(path: str) -> str:
            return self.note("agent")

        @self.app.get("/me", dependencies=[protect(resource.person())])
        async def me() -> str:
            return self.note("me")

        @self.app.get("/orders", dependencies=[protect(resource.grant("orders.read"))])
        async def orders() -> str:
            return self.note("orders")

        @self.app.post("/orders", dependencies=[protect(resource.grant("orders.place"))])
        async def place() -> str:
            return self.note("place")

        @self.app.delete("/orders", dependencies=[protect(resource.grant("orders.cancel"))])
        async def cancel() -> str:
            return self.note("cancel")

    def note(self, name: str) -> str:
        self.ran.append(name)
        return name

    async def refuse(self, request: Request, error: str, status: int = 401, **more: Any) -> Answer:
        """Send what must be refused; nothing may run."""
        before = len(self.ran)
        answer = await ask(self.app, request, **more)
        assert len(self.ran) == before, "a handler ran"
        assert answer.status == status, (answer.status, answer.body)
        if status == 401:
            value = answer.header("signature-error") or ""
            assert value.split(",")[0] == f"error={error}", (value, answer.body)
            assert answer.header("content-type") == "application/problem+json"
        asked = requirement(answer)
        assert asked is None or asked.value != "auth-token"
        return answer

    async def serve(self, request: Request) -> Answer:
        answer = await ask(self.app, request)
        assert answer.status == 200, (answer.status, answer.headers, answer.body)
        return answer


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
    request = world.agent().sign("GET", BASE + signed)
    if sent.startswith("/agent/"):
        await shop.refuse(with_target(request, sent), "invalid_signature")
    else:
        answer = await ask(shop.app, with_target(request, sent))
        assert (answer.status, shop.ran) == (404, [])
    await shop.serve(world.agent().sign("GET", BASE + signed))


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
    answer = await shop.refuse(with_target(world.agent().sign("GET", BASE + signed), sent), error)
    if error == "invalid_input":
        assert '"@query"' in str(answer.header("signature-error"))
    await shop.serve(world.agent().sign("GET", BASE + signed))


async def test_a_query_that_is_not_covered_is_refused_unless_a_switch_says_otherwise(world: World, shop: Shop) -> None:
    """F08: `invalid_input` with `@query` in `required_input`."""
    request = world.agent().sign("GET", f"{BASE}/agent/a?x=1", drop=["@query"])
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
    request = world.agent().sign("GET", f"{BASE}/agent/a?x=1")
    entry = parse_signature_input([request.header("signature-input") or ""])["sig"]
    base = signature_base(request.as_signed(BASE), entry).decode()
    assert right in base
    signature = base64.b64encode(world.key.sign(base.replace(right, wrong).encode())).decode()
    answer = await shop.refuse(with_header(request, "signature", f"sig=:{signature}:"), "invalid_signature")
    assert cause in answer.body
    await shop.serve(request)


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "get"])
async def test_a_signature_for_one_method_opens_no_other(world: World, shop: Shop, method: str) -> None:
    """F01."""
    signed = world.grant("orders.read orders.place orders.cancel").sign("GET", f"{BASE}/orders")
    answer = await ask(shop.app, Request(method, signed.target, signed.headers))
    assert answer.status in (401, 405)
    assert not shop.ran


@pytest.mark.parametrize("dropped", ["@method", "@authority", "@path", "signature-key"])
async def test_each_required_component_must_be_covered(world: World, shop: Shop, dropped: str) -> None:
    """F01, §11.3.3.1: each alone; a missing `signature-key` would let any key in."""
    request = world.agent().sign("GET", f"{BASE}/agent/a", drop=[dropped])
    if dropped == "signature-key":
        value = request.header("signature-input") or ""
        request = with_header(request, "signature-input", value.replace(' "signature-key"', ""))
    answer = await shop.refuse(request, "invalid_input")
    assert f'"{dropped}"' in str(answer.header("signature-error"))


async def test_a_signature_over_nothing_opens_nothing(world: World, shop: Shop) -> None:
    """F01: an empty list of components."""
    request = world.agent().sign("GET", f"{BASE}/agent/a")
    value = request.header("signature-input") or ""
    emptied = f"sig=(){value[value.index(')') + 1 :]}"
    await shop.refuse(with_header(request, "signature-input", emptied), "invalid_input")


async def test_a_body_that_was_changed_runs_nothing(world: World, shop: Shop) -> None:
    """F13."""
    request = world.grant("orders.place").sign("POST", f"{BASE}/orders", body=b'{"n":1}')
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
        await shop.serve(with_header(world.agent().sign("GET", f"{BASE}/agent/a"), "host", host))
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
    await shop.refuse(world.agent().sign("GET", f"{BASE}/agent/a", now=NOW + offset), error)


@pytest.mark.parametrize("params", [";created", '";created="1"', ";created=1.5", ";expires=1", ""])
async def test_created_is_an_integer_and_expires_is_honoured(world: World, shop: Shop, params: str) -> None:
    """F02."""
    request = world.agent().sign("GET", f"{BASE}/agent/a")
    value = request.header("signature-input") or ""
    broken = f"{value[: value.index(')') + 1]}{params}"
    await shop.refuse(with_header(request, "signature-input", broken), "invalid_signature")
    await shop.refuse(world.agent().sign("GET", f"{BASE}/agent/a", expires=NOW - 1), "invalid_signature")


async def test_the_second_copy_of_an_unsafe_request_is_refused(world: World, shop: Shop) -> None:
    """F17, §11.3.4.2; two equal requests that were signed apart are both served."""
    first, second = (world.grant("orders.place").sign("POST", f"{BASE}/orders", body=b"{}") for _ in range(2))
    await shop.serve(first)
    await shop.refuse(first, "invalid_signature")
    await shop.serve(second)


async def test_the_twin_of_an_es256_signature_is_a_replay_too(world: World) -> None:
    """F17: r, n-s verifies over the same base."""
    world.key = new_key("ES256")
    shop = Shop(world)
    request = world.grant("orders.place").sign("POST", f"{BASE}/orders", body=b"{}")
    twin = signature_twin(request)
    assert twin.header("signature") != request.header("signature")
    await shop.serve(request)
    await shop.refuse(twin, "invalid_signature")


async def test_a_replay_under_another_label_or_with_more_fields_is_a_replay(world: World, shop: Shop) -> None:
    request = world.grant("orders.place").sign("POST", f"{BASE}/orders", body=b"{}")
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
    request = world.grant("orders.place").sign("POST", f"{BASE}/orders", body=b"{}")
    doubled = Request("POST", request.target, (*request.headers, (name, "7")), request.body)
    await shop.refuse(doubled, "", 400)


async def test_authorization_twice_is_refused(world: World, shop: Shop) -> None:
    fields = [("authorization", "AAuth abc"), ("authorization", "Bearer def")]
    await shop.refuse(world.agent().sign("GET", f"{BASE}/agent/a", headers=fields), "invalid_signature")


async def test_a_session_token_that_is_not_covered_is_refused(world: World, shop: Shop) -> None:
    """F47, §6.3: `invalid_input` with `authorization` in `required_input`; alone it opens nothing."""
    request = world.agent().sign("GET", f"{BASE}/agent/a")
    bearer = Request("GET", request.target, (*request.headers, ("authorization", "AAuth abc")))
    answer = await shop.refuse(bearer, "invalid_input")
    assert '"authorization"' in str(answer.header("signature-error"))
    await shop.refuse(Request("GET", "/agent/a", (("authorization", "AAuth abc"),)), "invalid_signature")


@pytest.mark.parametrize("name", SIGNATURE_FIELDS)
async def test_duplicate_signature_fields_are_refused(world: World, shop: Shop, name: str) -> None:
    request = world.agent().sign("GET", f"{BASE}/agent/a")
    again = Request("GET", request.target, (*request.headers, (name, request.header(name) or "")))
    await shop.refuse(again, "invalid_signature")


@pytest.mark.parametrize("missing", SIGNATURE_FIELDS)
async def test_partial_signature_fields_are_never_anonymous(world: World, shop: Shop, missing: str) -> None:
    await shop.refuse(with_header(world.agent().sign("GET", f"{BASE}/agent/a"), missing, None), "invalid_signature")


@pytest.mark.parametrize("name", SIGNATURE_FIELDS)
@pytest.mark.parametrize("value", ["", "sig", "sig=", "\x00", "sig=::", "sig=()", "sig=?1", "é", "sig=jwt", "," * 100])
async def test_garbage_in_a_signature_field_is_401_never_500(world: World, shop: Shop, name: str, value: str) -> None:
    """F91."""
    request = with_header(world.agent().sign("GET", f"{BASE}/agent/a"), name, value)
    answer = await ask(shop.app, request)
    assert answer.status == 401
    assert (answer.header("signature-error") or "").startswith("error=invalid_")
    assert not shop.ran


async def test_fields_that_are_too_long_or_too_many_are_400(world: World, shop: Shop) -> None:
    request = world.agent().sign("GET", f"{BASE}/agent/a")
    long = Request("GET", request.target, (*request.headers, ("x-long", "x" * 40_000)))
    await shop.refuse(long, "", 400)
    many = Request("GET", request.target, (*request.headers, *((f"x-{n}", "1") for n in range(200))))
    await shop.refuse(many, "", 400)
    await shop.refuse(with_target(request, "/agent/" + "a" * 9000), "", 400)


async def test_a_token_that_is_too_long_is_invalid_jwt(world: World, shop: Shop) -> None:
    await shop.refuse(world.agent(padding="x" * 20_000).sign("GET", f"{BASE}/agent/a"), "invalid_jwt")


# Tokens of others, tokens of another kind.


async def test_a_stolen_token_without_its_key_opens_nothing(world: World, shop: Shop) -> None:
    """F45, §9.4.3.2 step 3, §13.1: signed with another key, or not at all."""
    stolen = Signer(new_key(), world.grant("orders.read").signature_key)
    await shop.refuse(stolen.sign("GET", f"{BASE}/orders"), "invalid_signature")
    token = world.ps.auth_token(world.key.public, BASE, "orders.read")
    for scheme in ("Bearer", "AAuth", "DPoP"):
        bearer = Request("GET", "/orders", (("host", "api.example"), ("authorization", f"{scheme} {token}")))
        await shop.refuse(bearer, "invalid_signature")


async def test_a_stolen_signature_over_another_token_opens_nothing(world: World, shop: Shop) -> None:
    """§11.3.3.1: `signature-key` is covered, so a signature cannot be moved to another token of the same key."""
    request = world.grant("orders.place").sign("GET", f"{BASE}/orders")
    better = with_header(request, "signature-key", world.grant("orders.read").signature_key)
    await shop.refuse(better, "invalid_signature")


async def test_a_person_token_never_serves_as_an_auth_token(world: World, shop: Shop) -> None:
    """F18, §7.1.4, §13.11: challenged, never served; also where it claims a scope or another typ."""
    answer = await ask(shop.app, world.person().sign("GET", f"{BASE}/orders"))
    asked = requirement(answer)
    assert asked is not None
    assert (answer.status, asked.value, answer.header("signature-error")) == (401, "auth-token", None)
    await shop.refuse(world.person(scope="orders.read").sign("GET", f"{BASE}/orders"), "invalid_jwt")
    await shop.refuse(world.person(typ="aa-auth+jwt", scope="orders.read").sign("GET", f"{BASE}/orders"), "invalid_jwt")
    assert not shop.ran


async def test_an_agent_token_never_serves_as_a_person(world: World, shop: Shop) -> None:
    """F18, F49: and no resource token is made for somebody whose person nobody vouched for."""
    for path in ("/me", "/orders"):
        answer = await ask(shop.app, world.agent().sign("GET", BASE + path))
        asked = requirement(answer)
        assert asked is not None
        assert (answer.status, asked.value, dict(asked.params)) == (401, "person-token", {})
    assert not shop.ran


@pytest.mark.parametrize("aud", ["https://shop.example", "https://ps.example", "https://api.example.evil.example"])
async def test_a_token_for_another_resource_is_invalid_jwt(world: World, shop: Shop, aud: str) -> None:
    """F19, §7.1.4 step 1, §9.4.3.2 step 2."""
    await shop.refuse(world.person(aud).sign("GET", f"{BASE}/me"), "invalid_jwt")
    await shop.refuse(world.grant("orders.read", aud).sign("GET", f"{BASE}/orders"), "invalid_jwt")


async def test_a_token_of_an_untrusted_issuer_is_invalid_key_and_nothing_is_fetched(world: World, shop: Shop) -> None:
    """F20, Signature-Keys §5.4.7: the issuer would answer, and is not asked."""
    for issuer in (Issuer("https://evil.example"), Issuer("https://ps.example.evil.example")):
        person = Signer.token(world.key, issuer.person_token(world.key.public, BASE))
        grant = Signer.token(world.key, issuer.auth_token(world.key.public, BASE, "orders.read"))
        agent = Signer.token(world.key, issuer.agent_token(world.key.public))
        await shop.refuse(person.sign("GET", f"{BASE}/me"), "invalid_key")
        await shop.refuse(grant.sign("GET", f"{BASE}/orders"), "invalid_key")
        await shop.refuse(agent.sign("GET", f"{BASE}/agent/a"), "invalid_key")


async def test_an_issuer_counts_only_in_its_role(world: World, shop: Shop) -> None:
    """F20: the agent provider vouches for no person, and the person server for no agent."""
    person = Signer.token(world.key, world.provider.person_token(world.key.public, BASE))
    await shop.refuse(person.sign("GET", f"{BASE}/me"), "invalid_key")
    agent = Signer.token(world.key, world.ps.agent_token(world.key.public))
    await shop.refuse(agent.sign("GET", f"{BASE}/agent/a"), "invalid_key")


async def test_an_auth_token_of_one_person_server_for_the_people_of_another_is_refused(
    world: World, shop: Shop
) -> None:
    """§9.4.1: a person server speaks for its own people; an access server is not served here."""
    foreign = world.grant("orders.read", ps="https://other-ps.example")
    await shop.refuse(foreign.sign("GET", f"{BASE}/orders"), "invalid_jwt")
    access = world.grant("orders.read", dwk="aauth-access.json")
    await shop.refuse(access.sign("GET", f"{BASE}/orders"), "invalid_key")


async def test_an_agent_identifier_of_another_providers_domain_is_invalid_jwt(world: World, shop: Shop) -> None:
    """F21, §5.2."""
    for sub in ("aauth:ceo@bank.example", "aauth:x@agents.example.evil.example", "aauth:x@evil-agents.example"):
        await shop.refuse(world.agent(sub=sub).sign("GET", f"{BASE}/agent/a"), "invalid_jwt")


@pytest.mark.parametrize("claim", ["iss", "dwk", "sub", "jti", "iat", "exp", "cnf"])
async def test_a_token_without_a_required_claim_is_invalid_jwt(world: World, shop: Shop, claim: str) -> None:
    """F23, §9.4.3.2 step 4."""
    await shop.refuse(world.agent(**{claim: None}).sign("GET", f"{BASE}/agent/a"), "invalid_jwt")
    await shop.refuse(world.grant("orders.read", **{claim: None}).sign("GET", f"{BASE}/orders"), "invalid_jwt")


async def test_a_forged_token_is_invalid_jwt(world: World, shop: Shop) -> None:
    """F22: its issuer's key signed it, or it is nothing."""
    forger = Issuer(world.ps.iss, new_key())
    token = forger.auth_token(world.key.public, BASE, "orders.read", header={"kid": world.ps.key.kid})
    await shop.refuse(Signer.token(world.key, token).sign("GET", f"{BASE}/orders"), "invalid_jwt")


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"exp": NOW}, "expired_jwt"),
        ({"exp": NOW - 1, "iat": NOW - 100}, "expired_jwt"),
        ({"iat": NOW + 61}, "clock_skew"),
        ({"exp": NOW + 3601}, "invalid_jwt"),
        ({"nbf": NOW + 10}, "invalid_jwt"),
    ],
)
async def test_a_token_lives_an_hour_at_most_and_not_a_second_longer(
    world: World, shop: Shop, claims: dict[str, int], error: str
) -> None:
    """§11.5.2: no tolerance on `exp`."""
    await shop.refuse(world.grant("orders.read", **claims).sign("GET", f"{BASE}/orders"), error)
    await shop.refuse(world.person(**claims).sign("GET", f"{BASE}/me"), error)


async def test_an_inline_key_is_no_way_in(world: World, shop: Shop) -> None:
    """F16: also beside a token under the label that is signed."""
    await shop.refuse(world.bare().sign("GET", f"{BASE}/agent/a"), "unsupported_scheme")
    stranger = Signer.bare(new_key()).sign("GET", f"{BASE}/agent/a", label="own")
    mine = with_header(stranger, "signature-key", f"{world.agent().signature_key}, {stranger.header('signature-key')}")
    answer = await ask(shop.app, mine)
    assert answer.status == 401
    assert not shop.ran


async def test_a_grant_of_one_scope_opens_no_route_of_another(world: World, shop: Shop) -> None:
    """F48, F70: whole values; the challenge asks for what is missing."""
    for scope in ("orders.readall", "orders", "ORDERS.READ", None):
        answer = await ask(shop.app, world.grant(scope).sign("GET", f"{BASE}/orders"))
        asked = requirement(answer)
        assert asked is not None
        assert (answer.status, asked.value) == (401, "auth-token")
    assert not shop.ran


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
        assert (await ask(app, world.agent().sign("GET", f"{BASE}/written-well"))).status == 200
        with pytest.raises(RouteFault, match="secret, parameter 'agent'"):
            install(app, world.resource())
    finally:
        del sys.modules["a_factory"]


async def test_no_answer_holds_a_key_or_a_token_and_no_log_does(
    world: World, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """F87."""
    caplog.set_level("DEBUG")
    token = world.ps.auth_token(world.key.public, BASE, "orders.place")
    signer = Signer.token(world.key, token)
    for request in (
        signer.sign("GET", f"{BASE}/orders"),
        with_target(signer.sign("GET", f"{BASE}/orders"), "/orders?x=1"),
        sign("GET", f"{BASE}/orders", new_key(), signer.signature_key),
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


async def test_the_keys_of_the_resource_open_nothing(world: World, shop: Shop) -> None:
    """A resource token is no credential, and its signer no caller."""
    mine = Issuer(BASE, world.resource_key)
    token = mine.resource_token(aud=world.ps.iss, sub="p-1", presented_jti="x", agent_jkt=world.key.kid)
    await shop.refuse(Signer.token(world.key, token).sign("GET", f"{BASE}/orders"), "invalid_jwt")
    assert FixedKey(world.resource_key).jwks()["keys"][0].keys() == {"kty", "crv", "x", "alg", "kid", "use"}
