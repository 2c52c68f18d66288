"""The table of levels: who came, what the route needs, and what the answer is (draft-11 §6, Table 2)."""

from __future__ import annotations

import pytest

from aauthkit.callers import Agent, Grant, Person, Pseudonym, Server
from aauthkit.protocol.messages import Answer, Refusal
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.resource import Need, Resource
from aauthkit.resource.challenges import Challenge
from aauthkit.serving import Request
from tests.plugins.resources import World, requirement, resource_token
from tests.plugins.signing import Signer, with_header

pytestmark = pytest.mark.anyio

URL = "https://api.example/orders"
NEEDS = ("agent", "person", "grant")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def resource(world: World) -> Resource:
    return world.resource()


def need_of(resource: Resource, level: str, schemes: tuple[str, ...] = ()) -> Need:
    if level == "grant":
        return resource.grant("orders.read", schemes=schemes)
    return resource.agent(schemes=schemes) if level == "agent" else resource.person(schemes=schemes)


def signer_of(world: World, credential: str) -> Signer:
    return {
        "agent token": world.agent,
        "person token": world.person,
        "auth token": lambda: world.grant("orders.read"),
        "auth token, too narrow": lambda: world.grant("orders.place"),
        "hwk": world.bare,
        "jwks_uri": world.server,
    }[credential]()


async def refused(resource: Resource, request: Request, need: Need) -> Answer:
    with pytest.raises(Refusal) as caught:
        await resource.decide(request, need)
    with pytest.raises(Refusal) as at_once:
        resource.decide_now(request, need)
    assert type(at_once.value) is type(caught.value)
    return resource.answer_to(caught.value)


SERVED = [
    ("agent token", "agent", Agent),
    ("person token", "person", Person),
    ("auth token", "person", Grant),
    ("auth token, too narrow", "person", Grant),
    ("auth token", "grant", Grant),
]
CHALLENGED = [
    ("agent token", "person", "person-token"),
    ("agent token", "grant", "person-token"),
    ("person token", "agent", "agent-token"),
    ("person token", "grant", "auth-token"),
    ("auth token", "agent", "agent-token"),
    ("auth token, too narrow", "grant", "auth-token"),
]


@pytest.mark.parametrize(("credential", "level", "kind"), SERVED)
async def test_a_caller_with_what_the_route_needs_is_served_as_what_they_proved(
    world: World, resource: Resource, credential: str, level: str, kind: type
) -> None:
    need = need_of(resource, level)
    admitted = await resource.decide(signer_of(world, credential).sign("GET", URL), need)
    assert type(admitted.caller) is kind
    assert admitted.need is need
    assert admitted.account is None
    at_once = resource.decide_now(signer_of(world, credential).sign("GET", URL), need)
    assert type(at_once.caller) is kind


@pytest.mark.parametrize(("credential", "level", "asked"), CHALLENGED)
async def test_a_caller_without_it_is_told_what_is_missing(
    world: World, resource: Resource, credential: str, level: str, asked: str
) -> None:
    """F50, §6: the challenge names what the route needs; after a good signature it carries no Signature-Error."""
    answer = await refused(resource, signer_of(world, credential).sign("GET", URL), need_of(resource, level))
    wanted = requirement(answer)
    assert answer.status == 401
    assert wanted is not None
    assert wanted.value == asked
    assert set(wanted.params) == ({"resource-token"} if asked == "auth-token" else set())
    assert answer.header("signature-error") is None
    assert answer.header("accept-signature-scheme") is None
    assert answer.header("cache-control") == "no-store"
    assert answer.header("link") == '<https://api.example/.well-known/aauth-resource.json>; rel="aauth-resource"'


@pytest.mark.parametrize(
    ("level", "asked"), [("agent", "agent-token"), ("person", "person-token"), ("grant", "person-token")]
)
async def test_an_unsigned_request_is_invalid_signature_with_the_requirement_of_its_column(
    world: World, resource: Resource, level: str, asked: str
) -> None:
    """F14, F49, §11.3.4 step 1: and never with a resource token, since nobody was verified."""
    answer = await refused(resource, world.unsigned(), need_of(resource, level))
    wanted = requirement(answer)
    assert answer.status == 401
    assert answer.header("signature-error") == "error=invalid_signature"
    assert wanted is not None
    assert (wanted.value, dict(wanted.params)) == (asked, {})
    assert answer.header("accept-signature-scheme") is None


@pytest.mark.parametrize("level", NEEDS)
@pytest.mark.parametrize("missing", ["signature", "signature-input", "signature-key"])
async def test_a_request_with_only_some_signature_fields_is_no_stranger(
    world: World, resource: Resource, level: str, missing: str
) -> None:
    """Partial fields are a broken signature, not an unsigned request: 401, with nothing to present instead."""
    request = with_header(world.agent().sign("GET", URL), missing, None)
    answer = await refused(resource, request, need_of(resource, level))
    assert answer.status == 401
    assert answer.header("signature-error") == "error=invalid_signature"
    assert requirement(answer) is None


@pytest.mark.parametrize("level", NEEDS)
@pytest.mark.parametrize("credential", ["hwk", "jwks_uri"])
async def test_a_scheme_the_route_does_not_name_is_unsupported(
    world: World, resource: Resource, level: str, credential: str
) -> None:
    """F16, §11.3.4.1."""
    answer = await refused(resource, signer_of(world, credential).sign("GET", URL), need_of(resource, level))
    assert answer.status == 401
    assert answer.header("signature-error") == "error=unsupported_scheme"
    assert answer.header("accept-signature-scheme") == "jwt"


@pytest.mark.parametrize(
    ("level", "asked"), [("agent", "agent-token"), ("person", "person-token"), ("grant", "person-token")]
)
@pytest.mark.parametrize(("credential", "scheme"), [("hwk", "hwk"), ("jwks_uri", "jwks_uri")])
async def test_a_scheme_the_route_names_and_does_not_serve_gets_the_requirement_of_the_column(
    world: World, resource: Resource, level: str, asked: str, credential: str, scheme: str
) -> None:
    need = need_of(resource, level, (scheme,))
    answer = await refused(resource, signer_of(world, credential).sign("GET", URL), need)
    wanted = requirement(answer)
    assert answer.status == 401
    assert wanted is not None
    assert wanted.value == asked
    assert answer.header("signature-error") is None


async def test_a_named_scheme_is_listed_to_strangers(world: World, resource: Resource) -> None:
    """§11.3.4.1: a resource that accepts further schemes lists all of them."""
    answer = await refused(resource, world.unsigned(), resource.agent(schemes=("hwk",)))
    assert answer.header("accept-signature-scheme") == "jwt, hwk"
    assert requirement(answer) is not None


async def test_a_route_for_keys_serves_a_bare_key(world: World, resource: Resource) -> None:
    admitted = await resource.decide(world.bare().sign("GET", URL), resource.key())
    assert isinstance(admitted.caller, Pseudonym)
    assert admitted.caller.thumbprint == world.key.kid


async def test_a_route_for_keys_tells_strangers_the_scheme_and_asks_agents_for_nothing_they_could_have(
    world: World, resource: Resource
) -> None:
    """§11.3.2: no requirement of the draft asks for a bare key."""
    answer = await refused(resource, world.unsigned(), resource.key())
    assert answer.header("signature-error") == "error=invalid_signature"
    assert answer.header("accept-signature-scheme") == "hwk"
    assert requirement(answer) is None
    answer = await refused(resource, world.agent().sign("GET", URL), resource.key())
    assert answer.header("signature-error") == "error=unsupported_scheme"
    assert answer.header("accept-signature-scheme") == "hwk"


async def test_a_route_for_servers_serves_a_trusted_server_in_its_role(world: World, resource: Resource) -> None:
    admitted = await resource.decide(world.server().sign("GET", URL), resource.server("aauth-resource.json"))
    assert isinstance(admitted.caller, Server)
    assert admitted.caller.iss == "https://shop.example"


async def test_a_server_in_another_role_or_one_that_is_not_trusted_is_refused(world: World, resource: Resource) -> None:
    """F20: `resources` is the list for servers that sign as resources."""
    answer = await refused(resource, world.server().sign("GET", URL), resource.server("aauth-person.json"))
    assert answer.header("signature-error") == "error=invalid_key"
    closed = world.resource(resources=[])
    answer = await refused(closed, world.server().sign("GET", URL), closed.server())
    assert answer.header("signature-error") == "error=invalid_key"


async def test_an_alternative_serves_either_and_asks_for_what_a_challenge_can_ask(
    world: World, resource: Resource
) -> None:
    need = resource.key() | resource.agent()
    assert isinstance((await resource.decide(world.bare().sign("GET", URL), need)).caller, Pseudonym)
    assert isinstance((await resource.decide(world.agent().sign("GET", URL), need)).caller, Agent)
    answer = await refused(resource, world.person().sign("GET", URL), need)
    wanted = requirement(answer)
    assert wanted is not None
    assert wanted.value == "agent-token"


@pytest.mark.parametrize("typ", ["aa-resource+jwt", "JWT", "at+jwt", "aa-agent", None])
@pytest.mark.parametrize("level", NEEDS)
async def test_any_other_typ_is_invalid_jwt(world: World, resource: Resource, typ: str | None, level: str) -> None:
    """F18, §11.5.2 step 1."""
    signer = world.person(typ=typ)
    answer = await refused(resource, signer.sign("GET", URL), need_of(resource, level))
    assert answer.status == 401
    assert answer.header("signature-error") == "error=invalid_jwt"


async def test_a_step_up_asks_for_what_the_agent_has_and_what_the_route_needs(world: World, resource: Resource) -> None:
    """§6.5, RS-34: the resource token names the presented auth token and the union of both scopes."""
    signer = world.grant("orders.place", jti="held-1", account="work", tenant="acme")
    answer = await refused(resource, signer.sign("GET", URL), resource.grant("orders.read", optional=["orders.cancel"]))
    token = resource_token(answer)
    assert token.scope == {"orders.place", "orders.read", "orders.cancel"}
    assert token.presented_jti == "held-1"
    assert (token.account, token.tenant) == ("work", "acme")


async def test_optional_scope_is_asked_for_and_not_needed(world: World, resource: Resource) -> None:
    need = resource.grant("orders.read", optional=["orders.place"])
    answer = await refused(resource, world.person().sign("GET", URL), need)
    assert resource_token(answer).scope == {"orders.read", "orders.place"}
    admitted = await resource.decide(world.grant("orders.read").sign("GET", URL), need)
    assert isinstance(admitted.caller, Grant)
    assert admitted.caller.scope == {"orders.read"}


async def test_scope_is_compared_by_whole_values(world: World, resource: Resource) -> None:
    """F70, §11.10: `orders.readall` is not `orders.read`, and neither is a part of another value."""
    for near in ("orders.readall", "orders", "orders.rea", "orders.Read"):
        answer = await refused(resource, world.grant(near).sign("GET", URL), resource.grant("orders.read"))
        wanted = requirement(answer)
        assert wanted is not None
        assert wanted.value == "auth-token"


async def test_a_scope_of_no_use_here_is_not_asked_for_again(world: World, resource: Resource) -> None:
    """§11.10: a resource token names only the resource's own scopes."""
    signer = world.grant("orders.place elsewhere.read")
    answer = await refused(resource, signer.sign("GET", URL), resource.grant("orders.read"))
    assert resource_token(answer).scope == {"orders.place", "orders.read"}


async def test_a_revoked_auth_token_is_revoked_jwt_and_begins_anew(world: World) -> None:
    """§11.12.5, RS-43: with requirement=person-token, never with a resource token."""
    resource = world.resource(is_revoked=lambda iss, jti: jti == "gone")
    answer = await refused(
        resource, world.grant("orders.read", jti="gone").sign("GET", URL), resource.grant("orders.read")
    )
    wanted = requirement(answer)
    assert answer.header("signature-error") == "error=revoked_jwt"
    assert wanted is not None
    assert wanted.value == "person-token"


@pytest.mark.parametrize("level", NEEDS)
async def test_a_revoked_agent_or_person_token_is_revoked_jwt_alone(world: World, level: str) -> None:
    resource = world.resource(is_revoked=lambda iss, jti: jti == "gone")
    for signer in (world.agent(jti="gone"), world.person(jti="gone")):
        answer = await refused(resource, signer.sign("GET", URL), need_of(resource, level))
        assert answer.header("signature-error") == "error=revoked_jwt"
        assert requirement(answer) is None


async def test_a_route_may_find_inside_that_it_needs_more(world: World, resource: Resource) -> None:
    """§6.5: a step-up at any time."""
    admitted = await resource.decide(world.grant("orders.read").sign("GET", URL), resource.grant("orders.read"))
    refusal = resource.challenge(admitted.caller, resource.grant("orders.cancel"))
    assert isinstance(refusal, Challenge)
    assert resource_token(refusal.answer()).scope == {"orders.read", "orders.cancel"}


async def test_an_open_need_or_one_of_another_resource_is_never_decided(world: World, resource: Resource) -> None:
    """A fault of the application, so no wire error: nothing may mistake it for a verdict."""
    other = world.resource("https://other.example")
    request = world.agent().sign("GET", URL)
    for need in (resource.open(), other.agent()):
        with pytest.raises(ValueError, match=r"open route|one of https://other\.example"):
            await resource.decide(request, need)
        with pytest.raises(ValueError, match=r"open route|one of https://other\.example"):
            resource.decide_now(request, need)


async def test_every_401_of_a_signature_carries_the_link(world: World, resource: Resource) -> None:
    """§11.2.5."""
    answer = resource.answer_to(SignatureFailure("invalid_signature"))
    assert answer.header("link") == resource.resource_link()[1]
