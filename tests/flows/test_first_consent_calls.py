"""Calls of every kind with everybody real: levels, bodies, redirects, other keys, resources of few words, a crowd."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aauthkit.agent import (
    Agent,
    AgentHome,
    AgentRecord,
    BodyTooLarge,
    ChallengeRefused,
    Denied,
    NoResourceIdentifier,
    UserUnreachable,
)
from aauthkit.protocol.httpsig import content_digest
from aauthkit.store import open_database
from tests.plugins.recording import Seen
from tests.plugins.signing import new_key
from tests.plugins.simulators import Pieces
from tests.plugins.tls import Authority, Clock
from tests.plugins.visiting import Someone
from tests.plugins.world import (
    API,
    ELSEWHERE,
    OTHER,
    PLAIN,
    PROVIDER,
    PS,
    Traveller,
    World,
    a_site,
    open_world,
    without_metadata,
)

pytestmark = pytest.mark.anyio

AGENT, PERSON, GRANT = "aa-agent+jwt", "aa-person+jwt", "aa-auth+jwt"
LAMP = {"item": "lamp", "quantity": 2}


def asked(world: World, path: str, host: str = API) -> list[tuple[str, int]]:
    """What was presented for a path, and what came back, one request after another."""
    return [(one.level, one.status) for one in world.servers[host].seen if one.path == path]


def field(seen: Seen, name: str) -> str | None:
    return next((value for key, value in seen.headers if key == name), None)


@pytest.fixture
async def ada(quick_real_world: World) -> Someone:
    return await quick_real_world.person("Ada")


@pytest.fixture(params=[False, True], ids=["async", "sync"])
async def planner(request: pytest.FixtureRequest, quick_real_world: World, ada: Someone) -> Traveller:
    """An agent that may read and place orders, and follows redirects."""
    planner = await quick_real_world.enrol("planner", sync=request.param, follow_redirects=True)
    await quick_real_world.acquainted(planner, ada, "orders.read", "orders.place")
    return planner


# Levels


async def test_each_route_gets_what_it_needs_and_the_next_call_begins_with_it(
    planner: Traveller, quick_real_world: World
) -> None:
    """§6.1, §6.4, §12.1.1: agent, person and grant on one resource; a path that wants the agent is remembered."""
    assert (await planner.get("/agent")).json() == {"agent": "aauth:planner@agents.example"}
    assert (await planner.get("/agent")).status == 200
    assert asked(quick_real_world, "/agent") == [(GRANT, 401), (AGENT, 200), (AGENT, 200)]
    me, orders = (await planner.get("/me")).json(), (await planner.get("/orders")).json()
    assert me["for"] == orders["for"]
    assert asked(quick_real_world, "/me") == [(GRANT, 200)]


async def test_a_resource_without_metadata_knows_agents_and_people_and_grants_nothing(
    quick_real_world: World, ada: Someone
) -> None:
    """§11.2.4, §11.10: absence is fine, until a resource token has to be verified."""
    world = quick_real_world
    await world.serve(PLAIN, without_metadata(world.orders(PLAIN)))
    planner = await world.enrol("planner")
    assert (await planner.get(f"{PLAIN}/agent")).status == 200
    assert planner.opened == 0
    call = planner.get(f"{PLAIN}/me")
    page = await ada.comes(await planner.errand())
    assert "It says nothing about itself" in page.text
    await ada.approves()
    assert (await call).status == 200
    assert asked(world, "/me", PLAIN) == [(AGENT, 401), (PERSON, 200)]
    with pytest.raises(ChallengeRefused):
        await planner.get(f"{PLAIN}/orders")
    assert world.issuing() == (1, 0)


async def test_an_agent_with_no_way_to_a_person_is_told_so(quick_real_world: World, ada: Someone) -> None:
    """§11.7: without the capability nobody is asked, and the agent is not left waiting; what was kept serves it."""
    unwatched = await quick_real_world.enrol("planner", person=None)
    with pytest.raises(UserUnreachable):
        await unwatched.get("/orders")
    watched = quick_real_world.travels(unwatched.agent)
    await quick_real_world.acquainted(watched, ada, "orders.read")
    restarted = quick_real_world.restarted("planner", person=None)
    assert (await restarted.get("/orders")).status == 200


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_es256_keys_all_the_way(authority: Authority, clock: Clock, tmp_path: Path, sync: bool) -> None:
    """§11.3.1: agent, durable key and person server on ES256, beside a resource and a provider on Ed25519."""
    database = await open_database("sqlite://:memory:")
    async with open_world(authority, tmp_path, database, clock=clock, key=new_key("ES256")) as world:
        AgentHome(world.home).save(AgentRecord("planner", PROVIDER, PS, new_key("ES256")))
        agent = await world.admit("planner", key=new_key("ES256"))
        planner, ada = world.travels(agent, sync=sync), await world.person("Ada")
        await world.acquainted(planner, ada, "orders.read", "orders.place")
        assert (await planner.call("POST", "/orders", json=LAMP)).status == 201
        keys = {one.presented.jwt.claims["cnf"]["jwk"]["alg"] for one in world.api.seen if one.signed}
        issued = {one.presented.jwt.header["alg"] for one in world.api.seen if one.signed}
        assert (keys, issued) == ({"ES256"}, {"ES256"})
        again = world.restarted("planner", key=new_key("ES256"), sync=sync)
        assert (await again.get("/orders")).status == 200
    await database.close()


# Bodies


async def test_f13_a_body_is_digested_covered_and_sent_with_every_try(quick_real_world: World, ada: Someone) -> None:
    """F13, §11.3.3.1: challenged twice, the same body each time, and the handler reads it once."""
    planner = await quick_real_world.enrol("planner")
    call = planner.call("POST", "/orders", json=LAMP)
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.place")
    response = await call
    assert (response.status, response.json()["ordered"]) == (201, LAMP)
    assert asked(quick_real_world, "/orders") == [(PERSON, 401), (GRANT, 201)]
    tries = [one for one in quick_real_world.api.seen if one.path == "/orders"]
    assert len({field(one, "content-digest") for one in tries}) == 1
    for one in tries:
        assert '"content-digest" "content-type"' in str(field(one, "signature-input"))
    assert len({field(one, "signature") for one in tries}) == 2


async def test_a_body_that_streams_is_whole_on_the_other_side(planner: Traveller, quick_real_world: World) -> None:
    """Spooled, digested, and checked as it streams in: pieces in, the same bytes out."""
    pieces = [bytes([number]) * 50_000 for number in range(12)]
    response = await planner.call("PUT", "/notes", content=Pieces(*pieces))
    assert response.json() == {"length": 600_000, "sha256": hashlib.sha256(b"".join(pieces)).hexdigest()}
    large = b"\x00\xff" * 1_500_000
    response = await planner.call("PUT", "/notes", content=large)
    assert response.json() == {"length": len(large), "sha256": hashlib.sha256(large).hexdigest()}
    assert field(quick_real_world.api.seen[-1], "content-digest") == content_digest(large)


async def test_a_stream_beyond_the_bound_is_refused_before_anything_is_sent(
    planner: Traveller, quick_real_world: World
) -> None:
    before = len(quick_real_world.api.seen)
    with pytest.raises(BodyTooLarge):
        await planner.call("PUT", "/notes", content=Pieces(*[b"x" * 300_000] * 4))
    assert len(quick_real_world.api.seen) == before


async def test_f05_f08_the_target_arrives_as_it_was_signed(planner: Traveller, quick_real_world: World) -> None:
    """F05, F08: percent-encoding, empty parameters and repeated ones survive on every hop of the wire."""
    for target in ("/orders?year=2026&month=", "/orders?q=a%2Fb+c&q=%C3%A4", "/orders?a=1?b", "/%6Frders"):
        assert (await planner.get(target)).status == 200
        assert quick_real_world.api.seen[-1].target == target


# Redirects


async def test_a_redirect_within_the_origin_is_signed_anew(planner: Traveller, quick_real_world: World) -> None:
    """Each hop for itself: its own target, its own signature, once; also with a body."""
    response = await planner.get("/moved", params={"to": "/orders"})
    assert (response.status, response.json()["may"]) == (200, ["orders.place", "orders.read"])
    response = await planner.call("POST", "/moved", params={"to": "/orders"}, json=LAMP)
    assert (response.status, response.json()["ordered"]) == (201, LAMP)
    moved, arrived = quick_real_world.api.seen[-2:]
    assert (moved.status, arrived.status) == (307, 201)
    for name in ("signature", "signature-input", "signature-key", "content-digest"):
        assert sum(1 for key, _ in arrived.headers if key == name) == 1
    assert field(moved, "signature") != field(arrived, "signature")
    assert field(moved, "content-digest") == field(arrived, "content-digest")


async def test_f45_a_redirect_to_another_origin_takes_nothing_signed_along(
    planner: Traveller, quick_real_world: World
) -> None:
    """A new call to whoever that is: under the agent token alone, with a signature for that origin and no other."""
    elsewhere = await quick_real_world.serve(ELSEWHERE, a_site())
    secret = {"authorization": "Bearer for-the-api"}
    response = await planner.get("/moved", params={"to": f"{ELSEWHERE}/page?x=1"}, headers=secret)
    assert response.content == b"hello"
    (arrived,) = [one for one in elsewhere.seen if one.path == "/page"]
    assert arrived.level == AGENT
    assert field(arrived, "authorization") is None
    assert field(arrived, "host") == "elsewhere.example"
    at_the_api = {one.presented.raw for one in quick_real_world.api.seen if one.signed and one.level != AGENT}
    signatures = {field(one, "signature") for one in quick_real_world.api.seen}
    everything = "\n".join(value for one in elsewhere.seen for _, value in one.headers)
    assert not any(token in everything for token in at_the_api)
    assert field(arrived, "signature") not in signatures


async def test_a_redirect_to_another_resource_asks_the_person_first(
    planner: Traveller, quick_real_world: World, ada: Someone
) -> None:
    """A resource cannot hand its caller on to another one unseen: until she agrees nothing signed arrives there."""
    other = await quick_real_world.serve(OTHER)
    call = planner.get("/moved", params={"to": f"{OTHER}/me"})
    page = await ada.finds()
    assert "Orders at other.example" in page.text
    await ada.denies()
    with pytest.raises(Denied):
        await call
    assert not any(one.signed for one in other.seen)


async def test_a_redirect_to_what_is_no_resource_goes_nowhere(planner: Traveller) -> None:
    """§11.1.1: plain http, and a port."""
    for target in ("http://api.example/orders", "https://api.example:8443/orders"):
        with pytest.raises(NoResourceIdentifier):
            await planner.get("/moved", params={"to": target})


async def test_without_follow_redirects_the_caller_gets_the_redirect(quick_real_world: World, ada: Someone) -> None:
    planner = await quick_real_world.enrol("planner")
    await quick_real_world.acquainted(planner, ada, "orders.read")
    response = await planner.get("/moved", params={"to": "/orders", "status": 302})
    assert (response.status, response.headers["location"]) == (302, "/orders")


# A crowd


async def test_a_hundred_calls_at_once_on_one_client(planner: Traveller, quick_real_world: World) -> None:
    """Warm: a hundred requests and nothing more; each with a signature of its own."""
    before, issued, fetched = len(quick_real_world.api.seen), quick_real_world.issuing(), quick_real_world.fetches()
    responses = await asyncio.gather(*(planner.get(f"/orders?page={number}") for number in range(100)))
    assert {response.status for response in responses} == {200}
    arrived = quick_real_world.api.seen[before:]
    assert {one.target for one in arrived} == {f"/orders?page={number}" for number in range(100)}
    assert len(arrived) == len({field(one, "signature") for one in arrived}) == 100
    assert (quick_real_world.issuing(), quick_real_world.fetches()) == (issued, fetched)


async def test_a_hundred_first_calls_at_once_are_one_question(quick_real_world: World, ada: Someone) -> None:
    """Cold: one page, one token of each kind, whatever the crowd."""
    planner = await quick_real_world.enrol("planner")
    calls = [planner.get("/orders") for _ in range(100)]
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    assert {response.status for response in await asyncio.gather(*calls)} == {200}
    assert (quick_real_world.issuing(), planner.opened) == ((1, 1), 1)


async def test_an_agent_serves_several_clients_and_loops_with_one_set_of_tokens(
    quick_real_world: World, ada: Someone
) -> None:
    """Tokens are the agent's: what one client was granted, another one and a synchronous one use."""
    agent: Agent = await quick_real_world.admit("planner")
    first = quick_real_world.travels(agent)
    await quick_real_world.acquainted(first, ada, "orders.read")
    for sync in (False, True):
        assert (await quick_real_world.travels(agent, sync=sync).get("/orders")).status == 200
    assert quick_real_world.issuing() == (1, 1)


async def test_an_iterator_that_can_be_read_once_survives_the_first_consent(
    quick_real_world: World, ada: Someone
) -> None:
    """The body is kept while the person thinks, and arrives when they have agreed."""
    planner = await quick_real_world.enrol("planner")

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"item": '
        yield b'"desk"}'

    call = planner.call("POST", "/orders", content=pieces(), headers={"content-type": "application/json"})
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.place")
    assert (await call).json()["ordered"] == {"item": "desk", "quantity": 1}
