"""The items of the checklist for resources that no other test is about, each as what a resource does or does not do."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.callers import Agent, Grant, Person
from aauthkit.protocol.headers import parse_resource_links
from aauthkit.protocol.messages import Answer, Refusal
from aauthkit.resource import Need, Resource
from aauthkit.resource.asgi import AAuthMiddleware
from aauthkit.serving import Request
from tests.plugins.resources import API, World, ask, asked, resource_token
from tests.plugins.signing import NOW, Issuer, Signer, new_key, with_header

pytestmark = pytest.mark.anyio

URL = f"{API}/x"
S256 = "m" * 43


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def resource(world: World) -> Resource:
    return world.resource(documentation_uri=f"{API}/docs")


async def answer_of(resource: Resource, request: Request, need: Need) -> Answer:
    with pytest.raises(Refusal) as refused:
        await resource.decide(request, need)
    return resource.answer_to(refused.value)


async def signature_error(resource: Resource, signer: Signer, need: Need, **knobs: Any) -> str | None:
    answer = await answer_of(resource, signer.sign("GET", URL, **knobs), need)
    assert answer.status == 401
    return answer.header("signature-error")


async def test_rs_02_the_metadata_names_no_login_endpoint(resource: Resource) -> None:
    """RS-02: third-party login is gone."""
    resource.grant("orders.read")
    assert "login_endpoint" not in resource.description.document()
    assert not resource.serves("/login")


async def test_rs_04_algorithms_are_published_and_the_documentation_links_to_the_metadata(resource: Resource) -> None:
    """RS-04, §11.2.5."""
    assert resource.description.document()["accept_signature_algs"] == ["Ed25519", "ES256"]

    async def docs(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<h1>Orders</h1>"})

    app = AAuthMiddleware(docs, resource, lambda _scope: None)
    assert parse_resource_links((await ask(app, Request("GET", "/docs", ()))).values("link")) == (API,)
    assert parse_resource_links((await ask(app, Request("GET", "/other", ()))).values("link")) == ()


async def test_rs_10_a_person_token_is_verified_in_every_point(world: World, resource: Resource) -> None:
    """RS-10, §7.1.4, §11.5.2: type, document, expiry without tolerance, an hour at most, audience, and its own key."""
    need = resource.person()
    admitted = await resource.decide(world.person(sub="p-7", tenant="acme").sign("GET", URL), need)
    assert isinstance(admitted.caller, Person)
    person = admitted.caller
    assert (person.person.iss, person.person.sub, person.tenant) == ("https://ps.example", "p-7", "acme")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"typ": "aa-unknown+jwt"}, "invalid_jwt"),
        ({"dwk": "aauth-agent.json"}, "invalid_jwt"),
        ({"exp": NOW}, "expired_jwt"),
        ({"exp": NOW + 3601}, "invalid_jwt"),
        ({"aud": "https://other.example"}, "invalid_jwt"),
        ({"cnf": None}, "invalid_jwt"),
        ({"cnf": {"jwk": {"kty": "OKP", "alg": "Ed25519"}}}, "invalid_jwt"),
        ({"sub": None}, "invalid_jwt"),
    ]
    for claims, error in wrong:
        assert await signature_error(resource, world.person(**claims), need) == f"error={error}", claims
    stolen = Signer(new_key(), world.person().signature_key)
    assert await signature_error(resource, stolen, need) == "error=invalid_signature"


async def test_rs_10_a_person_of_one_issuer_is_nobody_at_another(world: World) -> None:
    """RS-10, §7.1.4: the same `sub` from two issuers is two people."""
    other = Issuer("https://other-ps.example")
    resource = world.resource(person_servers=[world.ps.iss, other.iss])
    resource.discovery.serve_locally(other.iss, "aauth-person.json", other.jwks)
    signers = [world.person(sub="p-1"), Signer.token(world.key, other.person_token(world.key.public, API, sub="p-1"))]
    people = [(await resource.decide(signer.sign("GET", URL), resource.person())).caller for signer in signers]
    assert all(isinstance(person, Person) for person in people)
    assert len({person.person for person in people if isinstance(person, Person)}) == 2


async def test_rs_12_a_person_token_is_never_an_auth_token(world: World, resource: Resource) -> None:
    """RS-12, §13.11: told apart by `typ`, before anything else; this check fails open where it is missed."""
    need = resource.grant("orders.read")
    challenged = await answer_of(resource, world.person().sign("GET", URL), need)
    assert (challenged.status, asked(challenged), challenged.header("signature-error")) == (401, "auth-token", None)
    assert await signature_error(resource, world.person(scope="orders.read"), need) == "error=invalid_jwt"
    assert await signature_error(resource, world.person(typ="aa-auth+jwt"), need) == "error=invalid_jwt"


async def test_rs_33_the_mission_comes_from_the_token_and_no_field(world: World, resource: Resource) -> None:
    """RS-33, RS-42, §4.5: `AAuth-Mission` says nothing, in no direction."""
    need = resource.grant("orders.read")
    named = with_header(world.person().sign("GET", URL), "aauth-mission", S256)
    assert resource_token(await answer_of(resource, named, need)).mission_s256 is None
    carried = world.person(mission_s256=S256).sign("GET", URL)
    assert resource_token(await answer_of(resource, carried, need)).mission_s256 == S256
    admitted = await resource.decide(world.grant("orders.read", mission_s256=S256).sign("GET", URL), need)
    assert isinstance(admitted.caller, Grant)
    assert admitted.caller.mission_s256 == S256


async def test_rs_35_a_login_hint_is_carried_and_never_relied_on(world: World, resource: Resource) -> None:
    """RS-35, §6.7.1: who comes back is who the auth token says."""
    need = resource.grant("orders.read")
    person = (await resource.decide(world.person().sign("GET", URL), resource.person())).caller
    refusal = resource.challenge(person, need, login_hint="jane@example.com")
    assert resource_token(refusal.answer()).login_hint == "jane@example.com"
    admitted = await resource.decide(world.grant("orders.read", sub="somebody-else").sign("GET", URL), need)
    assert isinstance(admitted.caller, Grant)
    assert admitted.caller.person.sub == "somebody-else"


async def test_rs_40_an_auth_token_names_a_person_and_their_person_server(world: World, resource: Resource) -> None:
    """RS-40, §9.4.3: `sub` is required, `agent` and `act` decide nothing, and the tenant is no part of who it is."""
    need = resource.grant("orders.read")
    assert await signature_error(resource, world.grant("orders.read", sub=None), need) == "error=invalid_jwt"
    signers = [world.grant("orders.read", tenant=tenant) for tenant in ("acme", "other", None)]
    people = {
        caller.person
        for signer in signers
        if isinstance(caller := (await resource.decide(signer.sign("GET", URL), need)).caller, Grant)
    }
    assert [(person.iss, person.ps, person.sub) for person in people] == [
        ("https://ps.example", "https://ps.example", "p-1")
    ]
    unscoped = await answer_of(resource, world.grant(None).sign("GET", URL), need)
    assert asked(unscoped) == "auth-token"
    assert isinstance((await resource.decide(world.grant(None).sign("GET", URL), resource.person())).caller, Grant)


@pytest.mark.parametrize("claim", [{"act": {"sub": "x"}}, {"agent": "aauth:other@agents.example"}, {"mission": "m"}])
async def test_rs_42_claims_of_the_draft_before_change_nothing(
    world: World, resource: Resource, claim: dict[str, Any]
) -> None:
    """RS-42, §9.4.1: no token carries a chain; what is unknown is ignored."""
    admitted = await resource.decide(
        world.grant("orders.read", **claim).sign("GET", URL), resource.grant("orders.read")
    )
    assert isinstance(admitted.caller, Grant)
    assert not hasattr(admitted.caller, "agent")


async def test_rs_41_no_agent_token_stands_behind_an_auth_token(world: World) -> None:
    """RS-41, §7.9: it is served although no provider is trusted, nor its agent token to be seen."""
    resource = world.resource(agent_providers=[])
    admitted = await resource.decide(world.grant("orders.read").sign("GET", URL), resource.grant("orders.read"))
    assert isinstance(admitted.caller, Grant)


async def test_rs_50_each_failure_of_a_signature_has_its_code(world: World, resource: Resource) -> None:
    """RS-50, §11.3.4: missing fields, a clock ahead, a signature too old, a revoked token."""
    need, signer = resource.agent(), world.agent()
    for name in ("signature", "signature-input", "signature-key"):
        answer = await answer_of(resource, with_header(signer.sign("GET", URL), name, None), need)
        assert answer.header("signature-error") == "error=invalid_signature"
    assert await signature_error(resource, signer, need, now=NOW + 61) == "error=clock_skew"
    assert await signature_error(resource, signer, need, now=NOW - 61) == "error=invalid_signature"
    for now in (NOW + 60, NOW - 60):
        assert isinstance((await resource.decide(signer.sign("GET", URL, now=now), need)).caller, Agent)
    barred = world.resource(is_revoked=lambda _iss, jti: jti == "gone")
    assert await signature_error(barred, world.agent(jti="gone"), barred.agent()) == "error=revoked_jwt"


async def test_rs_51_expiry_has_no_tolerance_and_iat_is_none_of_its_tests(world: World, resource: Resource) -> None:
    """RS-51, §11.5.2: a token ends on its second; an `iat` ahead of the window is `clock_skew`, an old one is fine."""
    need = resource.person()
    assert await signature_error(resource, world.person(exp=NOW), need) == "error=expired_jwt"
    assert isinstance((await resource.decide(world.person(exp=NOW + 1).sign("GET", URL), need)).caller, Person)
    assert await signature_error(resource, world.person(iat=NOW + 61), need) == "error=clock_skew"
    old = world.person(iat=NOW - 3500, exp=NOW + 100)
    assert isinstance((await resource.decide(old.sign("GET", URL), need)).caller, Person)
    for signer in (world.person(exp=NOW + 3601), world.grant("orders.read", exp=NOW + 3601)):
        assert await signature_error(resource, signer, need) == "error=invalid_jwt"


async def test_rs_52_agent_identifiers_are_compared_as_they_stand(world: World, resource: Resource) -> None:
    """RS-52, §5.2: upper case is allowed in the local part, and is another name."""
    need = resource.agent()
    names = ["aauth:Planner@agents.example", "aauth:planner@agents.example", "aauth:PLANNER@agents.example"]
    callers = [(await resource.decide(world.agent(sub=name).sign("GET", URL), need)).caller for name in names]
    assert [caller.sub for caller in callers if isinstance(caller, Agent)] == names
    assert await signature_error(resource, world.agent(sub="aauth:p@AGENTS.example"), need) == "error=invalid_jwt"
