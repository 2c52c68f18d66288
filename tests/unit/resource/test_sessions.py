"""Session tokens: bound, opaque, replaced, and never a bearer (draft-11 §6.3, §4.2.2)."""

from __future__ import annotations

import json
import re

import pytest

from aauthkit.callers import Agent, Pseudonym
from aauthkit.protocol.jose import b64url_decode, b64url_encode
from aauthkit.protocol.messages import Refusal
from aauthkit.resource import MustWait, NeedsConflict, SessionGrant
from aauthkit.serving import Request
from aauthkit.store import Database
from tests.plugins.remembering import Office
from tests.plugins.resources import API, World, ask, asked, requirement
from tests.plugins.signing import Issuer, Signer, new_key

pytestmark = pytest.mark.anyio


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


async def test_an_agent_with_its_session_token_is_served_as_a_session(office: Office) -> None:
    signer = office.world.agent()
    token = await office.session(
        signer, "user-7", scope=frozenset({"orders.read"}), account="work", claims={"plan": "pro"}
    )
    assert (await office.get(signer, "/s", token)).status == 200
    caller = office.caller
    assert (caller.subject, caller.scope, caller.account) == ("user-7", {"orders.read"}, "work")
    assert caller.claims == {"plan": "pro"}
    assert isinstance(caller.agent, Agent)
    assert caller.agent.sub == "aauth:planner@agents.example"


async def test_a_session_token_is_a_token68_that_shows_nothing(office: Office) -> None:
    """§6.3; F87: nothing of what it holds is in it, nor in the caller's repr."""
    signer = office.world.agent()
    token = await office.session(signer, "user-secret")
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token)
    assert b"user-secret" not in b64url_decode(token)
    await office.get(signer, "/s", token)
    assert token not in repr(office.caller)


async def test_two_tokens_of_one_session_differ(office: Office) -> None:
    signer = office.world.agent()
    assert await office.session(signer) != await office.session(signer)


async def test_a_session_token_is_no_bearer_token(office: Office) -> None:
    """Must be refused: without a signature it is nothing (§6.3)."""
    token = await office.session(office.world.agent())
    answer = await office.get(None, "/s", token)
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")
    assert asked(answer) == "agent-token"
    assert not office.seen


async def test_an_uncovered_session_token_is_invalid_input(office: Office) -> None:
    """Must be refused; F47: `authorization` is among what must be covered."""
    signer = office.world.agent()
    token = await office.session(signer)
    request = signer.sign("GET", f"{API}/s", headers=[("authorization", f"AAuth {token}")], drop=("authorization",))

    answer = await ask(office.app, request)
    assert answer.status == 401
    assert "authorization" in (answer.header("signature-error") or "")
    assert (answer.header("signature-error") or "").startswith("error=invalid_input")
    assert not office.seen


async def test_another_agents_session_token_opens_nothing(office: Office) -> None:
    """Must be refused: by another agent of the same provider, and by one under another key."""
    token = await office.session(office.world.agent())
    for thief in (
        office.world.agent(sub="aauth:thief@agents.example"),
        Signer.token(key := new_key(), office.world.provider.agent_token(key.public, name="thief")),
    ):
        answer = await office.get(thief, "/s", token)
        assert answer.status == 202
        assert asked(answer) == "interaction"
    assert not office.seen


async def test_the_same_agent_keeps_its_session_under_a_new_key(office: Office) -> None:
    """It is bound to the agent's (iss, sub): a key refresh loses nothing."""
    token = await office.session(office.world.agent())
    renewed = new_key()
    signer = Signer.token(renewed, office.world.provider.agent_token(renewed.public))
    assert (await office.get(signer, "/s", token)).status == 200
    assert office.caller.key.thumbprint == renewed.kid


async def test_an_agent_of_that_name_at_another_provider_is_another_agent(database: Database) -> None:

    world = World()
    other = Issuer("https://other-agents.example")
    office = Office(database, world, options={"agent_providers": [world.provider.iss, other.iss]})
    office.resource.discovery.serve_locally(other.iss, "aauth-agent.json", other.jwks)
    token = await office.session(world.agent())
    stranger = Signer.token(world.key, other.agent_token(world.key.public))
    assert (await office.get(stranger, "/s", token)).status == 202
    assert not office.seen


async def test_a_session_asked_for_under_a_person_token_belongs_to_that_key(office: Office) -> None:
    """Where no agent token was shown it is bound to what asked: the key, and the person it spoke for."""
    world = office.world
    token = await office.session(world.person())
    assert (await office.get(world.person(), "/s", token)).status == 200
    assert (await office.get(world.grant("orders.read"), "/s", token)).status == 200
    other_key = new_key()
    refused = [
        Signer.token(other_key, world.ps.person_token(other_key.public, API)),
        world.person(sub="p-2"),
    ]
    for signer in refused:
        answer = await office.get(signer, "/s", token)
        assert (answer.status, asked(answer)) == (401, "agent-token")
        assert answer.header("signature-error") is None


async def test_the_session_column_of_the_table(office: Office) -> None:
    """design: unsigned, agent, person and auth token, each without a session."""
    world = office.world
    unsigned = await office.get(None, "/s")
    assert (unsigned.status, unsigned.header("signature-error"), asked(unsigned)) == (
        401,
        "error=invalid_signature",
        "agent-token",
    )
    agent = await office.get(world.agent(), "/s")
    assert (agent.status, asked(agent), agent.header("signature-error")) == (202, "interaction", None)
    for signer in (world.person(), world.grant("orders.read")):
        answer = await office.get(signer, "/s")
        assert (answer.status, asked(answer), answer.header("signature-error")) == (401, "agent-token", None)
    assert not office.seen


async def test_a_bare_key_where_the_route_names_it(office: Office) -> None:
    """With a session bound to it, its level is served; else the column's requirement, without Signature-Error."""
    bare = office.world.bare()
    answer = await office.get(bare, "/key")
    assert (answer.status, asked(answer), answer.header("signature-error")) == (401, "agent-token", None)
    token = await office.session(bare)
    assert (await office.get(bare, "/key", token)).status == 200
    assert isinstance(office.caller.proof, Pseudonym)
    assert office.caller.agent is None
    assert (await office.get(bare, "/s", token)).header("signature-error") == "error=unsupported_scheme"


async def test_a_session_opens_no_route_of_another_level(office: Office) -> None:
    signer = office.world.agent()
    token = await office.session(signer, scope=frozenset({"orders.read"}))
    for path, wanted in (("/g", "person-token"), ("/p", "person-token")):
        answer = await office.get(signer, path, token)
        assert (answer.status, asked(answer)) == (401, wanted)
    assert (await office.get(signer, "/a", token)).status == 200
    assert isinstance(office.seen[-1], Agent)


async def test_a_session_without_the_scope_sends_the_person_again(office: Office) -> None:
    """F70: whole values."""
    signer = office.world.agent()
    near = await office.session(signer, scope=frozenset({"orders.readall"}))
    assert (await office.get(signer, "/read", near)).status == 202
    good = await office.session(signer, scope=frozenset({"orders.read"}))
    assert (await office.get(signer, "/read", good)).status == 200


async def test_a_replaced_value_is_good_for_a_minute(office: Office) -> None:
    """§6.3: requests may be under way with the old one."""
    signer = office.world.agent()
    first = await office.session(signer)
    await office.get(signer, "/s", first)
    second = await office.resource.replace_session(office.caller, SessionGrant("user-1", claims={"v": 2}))
    office.clock.now += 59
    for token in (first, second):
        assert (await office.get(signer, "/s", token)).status == 200
        assert office.caller.claims == {"v": 2}
    office.clock.now += 1
    assert (await office.get(signer, "/s", first)).status == 202
    assert (await office.get(signer, "/s", second)).status == 200


async def test_a_value_replaced_twice_is_gone_at_once(office: Office) -> None:
    signer = office.world.agent()
    first = await office.session(signer)
    await office.get(signer, "/s", first)
    for _ in range(2):
        await office.resource.replace_session(office.caller, SessionGrant("user-1"))
    assert (await office.get(signer, "/s", first)).status == 202


async def test_the_old_value_brings_the_new_one_along(office: Office) -> None:
    """The response that carried the new one may have been lost."""
    signer = office.world.agent()
    first = await office.session(signer)
    await office.get(signer, "/s", first)
    await office.resource.replace_session(office.caller, SessionGrant("user-1"))
    answer = await office.get(signer, "/s", first)
    again = answer.header("aauth-access")
    assert again is not None
    office.clock.now += 61
    assert (await office.get(signer, "/s", again)).status == 200


async def test_a_token_under_an_old_secret_is_replaced_on_its_way(office: Office) -> None:
    """The secret rotates each day; what it sealed opens for as long as a session lasts."""
    signer = office.world.agent()
    token = await office.session(signer)
    assert (await office.get(signer, "/s", token)).header("aauth-access") is None
    office.clock.now += 24 * 3600
    renewed = Signer.token(
        office.world.key, office.world.provider.agent_token(office.world.key.public, now=int(office.clock.now))
    )
    answer = await office.get(renewed, "/s", token)
    assert answer.status == 200
    replaced = answer.header("aauth-access")
    assert replaced is not None
    assert replaced != token
    assert (await office.get(renewed, "/s", replaced)).header("aauth-access") is None
    secrets = await office.database.fetch_all("SELECT id FROM resource_secrets")
    assert len(secrets) == 2


async def test_a_session_ends(office: Office) -> None:
    signer = office.world.agent()
    token = await office.session(signer)
    await office.get(signer, "/s", token)
    await office.resource.end_session(office.caller.id)
    assert (await office.get(signer, "/s", token)).status == 202


async def test_a_session_lasts_as_long_as_the_resource_says(database: Database) -> None:
    office = Office(database, options={"session_lifetime": 100})
    signer = office.world.agent()
    token = await office.session(signer)
    office.clock.now += 99
    assert (await office.get(signer, "/s", token)).status == 200
    office.clock.now += 1
    assert (await office.get(signer, "/s", token)).status == 202


async def test_another_replica_and_a_restart_open_what_was_sealed(office: Office) -> None:
    """F85: the secret and the session are on record."""
    signer = office.world.agent()
    second = office.middleware(office.build())
    await office.get(signer, "/a")
    token = await office.session(signer)
    office.app = second
    assert (await office.get(signer, "/s", token)).status == 200


async def test_a_token_of_another_resource_with_the_same_store_opens_nothing(office: Office) -> None:
    signer = office.world.agent()
    token = await office.session(signer)
    other = Office(office.database, office.world)
    other.resource = office.world.resource("https://shop.example", store=office.database)
    await other.resource.start()
    request = signer.sign("GET", "https://shop.example/s", headers=[("authorization", f"AAuth {token}")])

    with pytest.raises(Refusal) as refused:
        await other.resource.decide(request, other.resource.session())
    assert refused.value.answer().status == 403


@pytest.mark.parametrize("spoil", [0, 1, 9, 21, -1])
async def test_a_changed_token_opens_nothing(office: Office, spoil: int) -> None:
    """Every part is authenticated: version, secret, nonce, content, tag."""
    signer = office.world.agent()
    raw = bytearray(b64url_decode(await office.session(signer)))
    raw[spoil] ^= 1
    assert (await office.get(signer, "/s", b64url_encode(bytes(raw)))).status == 202
    assert not office.seen


@pytest.mark.parametrize("value", ["AAuth", "AAuth ", "AAuth a b", "AAuth a,b", "AAuth =", "aauth !", "AAuth a\tb"])
async def test_what_is_no_token68_is_refused(office: Office, value: str) -> None:
    """§6.3: empty, with whitespace or control characters, or more than one."""

    request = office.world.agent().sign("GET", f"{API}/a", headers=[("authorization", value)])
    answer = await ask(office.app, request)
    assert answer.status == 401
    assert not office.seen


async def test_two_credentials_are_refused(office: Office) -> None:

    headers = [("authorization", "AAuth a"), ("authorization", "AAuth b")]
    answer = await ask(office.app, office.world.agent().sign("GET", f"{API}/s", headers=headers[:1]))
    assert answer.status == 202
    both = office.world.agent().sign("GET", f"{API}/s", headers=headers[:1])

    answer = await ask(office.app, Request(both.method, both.target, (*both.headers, headers[1])))
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")


@pytest.mark.parametrize("token", ["x", "AAAA", "a" * 9000, b64url_encode(b"\x01" + b"k" * 8 + b"n" * 12 + b"x" * 40)])
async def test_what_this_resource_never_sealed_is_as_good_as_none(office: Office, token: str) -> None:
    assert (await office.get(office.world.agent(), "/s", token)).status == 202


async def test_an_agent_without_a_session_is_refused_where_no_page_is_named(database: Database) -> None:
    world = World()
    resource = world.resource(store=database)

    with pytest.raises(Refusal) as refused:
        await resource.decide(world.agent().sign("GET", f"{API}/s"), resource.session())
    answer = resource.answer_to(refused.value)
    assert (answer.status, json.loads(answer.body)["error"]) == (403, "access_denied")
    assert answer.header("signature-error") is None
    await resource.close()


async def test_a_session_needs_a_store() -> None:
    resource = World().resource()
    with pytest.raises(ValueError, match="store"):
        resource.session()
    with pytest.raises(ValueError, match="store"):
        resource.interaction(lambda _visit: "/")


async def test_a_session_is_not_decided_without_waiting(office: Office) -> None:
    request = office.world.agent().sign("GET", f"{API}/s")
    with pytest.raises(MustWait):
        office.resource.decide_now(request, office.needs["/s"])


async def test_sessions_and_grants_are_alternatives(office: Office) -> None:
    need = office.resource.session("orders.read") | office.resource.grant("orders.read")
    assert need.asks == "session"
    with pytest.raises(NeedsConflict):
        _ = office.resource.session("orders.read") | office.resource.session("orders.place")
    with pytest.raises(NeedsConflict):
        _ = office.resource.session() & office.resource.grant("orders.read")


async def test_the_metadata_says_session_token(database: Database) -> None:
    """RS-01: the values are agent-token, person-token, session-token and auth-token."""
    resource = World().resource(store=database)
    resource.agent()
    resource.session()
    assert resource.description.document()["access_mode"] == "session-token"
    resource.person()
    assert resource.description.document()["access_mode"] == "person-token"


async def test_a_scope_that_is_not_the_resources_is_never_granted(office: Office) -> None:
    with pytest.raises(ValueError, match="not among the scopes"):
        await office.session(office.world.agent(), scope=frozenset({"elsewhere"}))
    assert requirement(await office.get(office.world.agent(), "/s")) is not None
