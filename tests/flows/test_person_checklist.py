"""What a person server of draft -11 does that its predecessor did not: one test for each point not shown elsewhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aauthkit.audit import verify
from aauthkit.audit.log import entries
from aauthkit.person.quota import MOST
from aauthkit.protocol.jose import parse_jwt
from aauthkit.protocol.messages import Answer
from aauthkit.serving import Request
from aauthkit.store import Database
from tests.flows.test_missions import approved
from tests.plugins.people import (
    PROVIDER,
    PS,
    RESOURCE,
    Browser,
    World,
    body,
    claims_of,
    error_of,
    granted,
    requirement,
)
from tests.plugins.signing import Issuer, new_key

pytestmark = pytest.mark.anyio


def signature_error(answer: Answer) -> str:
    return (answer.header("signature-error") or "").partition("error=")[2].partition(",")[0]


# Person tokens


async def test_a_person_token_says_what_it_must_and_nothing_else(world: World) -> None:
    """PS-10, PS-11, §7.1.2: with no scope and no account, for an hour at most, and under the published key."""
    agent, _, token = await world.introduced()
    jwt = parse_jwt(token)
    claims = jwt.claims
    assert jwt.header["typ"] == "aa-person+jwt" and jwt.header["kid"] == world.key.public.thumbprint
    assert set(claims) == {"iss", "dwk", "aud", "sub", "cnf", "jti", "iat", "exp"}
    assert (claims["iss"], claims["dwk"], claims["aud"]) == (PS, "aauth-person.json", RESOURCE)
    assert claims["cnf"]["jwk"]["x"] == agent.key.public.jwk["x"]
    assert 0 < claims["exp"] - claims["iat"] <= 3600
    again = body(await agent.ask_person_token())
    assert set(again) == {"person_token", "expires_in"} and again["expires_in"] == 3600


@pytest.mark.parametrize(
    "resource",
    ["http://orders.example", "https://orders.example/", "https://orders.example/x", "orders.example", "", 7, None],
)
async def test_the_resource_is_a_server_identifier(world: World, resource: Any) -> None:
    """PS-10, §7.1, §11.1.1."""
    sent = {"resource": resource, "capabilities": ["interaction"]}
    assert error_of(await world.agent().send("POST", "/person", sent)) == (400, "invalid_request")


async def test_an_agent_names_so_many_resources_and_every_token_is_kept_on_record(world: World) -> None:
    """PS-13, §7.1 Retention: `jti`, `aud` and `exp` of each; and a bound on different resources."""
    agent, _, token = await world.introduced()
    record = next(one for one in await world.server.steward.issued() if one.jti == claims_of(token)["jti"])
    assert (record.aud, record.exp, record.typ) == (RESOURCE, claims_of(token)["exp"], "aa-person+jwt")
    world.clock.pass_(3600 + 60)
    agent.renew()
    await agent.send("POST", "/permission", {"action": "x"})
    assert any(one.jti == record.jti for one in await world.server.steward.issued())
    assert (await agent.ask_person_token(prompt="none")).status == 200
    statuses = {(await agent.ask_person_token(f"https://r{n}.example", prompt="none")).status for n in range(MOST + 1)}
    assert statuses == {403, 429}
    over = await agent.ask_person_token("https://one-more.example", prompt="none")
    assert error_of(over) == (429, "slow_down") and over.header("retry-after") is not None
    assert (await agent.ask_person_token()).status == 200


async def test_the_identifier_at_a_resource_is_one_whatever_the_agent_its_key_or_the_token(world: World) -> None:
    """PS-20, §14.1: person token, auth token, another agent, another key; at another place it is another."""
    agent, browser, token = await world.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    other = world.agent("writer")
    _, _, third = await world.introduced(other, browser)
    other.renew(new_key())
    fourth = body(await other.ask_person_token())["person_token"]
    subs = {claims_of(one)["sub"] for one in (token, auth, third, fourth)}
    assert len(subs) == 1
    answer = await agent.ask_person_token("https://elsewhere.example")
    await browser.open_next()
    await browser.decide("approved", memory="kept")
    assert claims_of(body(await agent.poll(answer))["person_token"])["sub"] not in subs


# Interaction


async def test_a_question_is_answered_out_of_band_and_its_code_is_used_up_by_that(world: World) -> None:
    """PS-96, §7.3, §11.6.3.1: on the person's own page, without the URL; the code is `invalid_code` from then on."""
    agent, browser, token = await world.introduced()
    world.clock.pass_(120)
    answer = await agent.ask_auth_token(agent.challenged(token), token)
    found = requirement(answer)
    assert found is not None and found.value == "interaction"
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    assert (await agent.poll(answer)).status == 200
    stranger = Browser(world)
    path = found.text("url").removeprefix(PS)
    page = await stranger.get(f"{path}?code={found.text('code')}")
    assert page.status == 410 and not page.has_form("/interaction/")


# Signatures and tokens


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
async def test_agents_sign_with_either_algorithm(world: World, alg: Any) -> None:
    """PS-05, PS-100, §11.3.1: `Ed25519` is for everybody; what is issued to either key is bound to it."""
    agent = world.agent()
    agent.renew(new_key(alg))
    _, _, token = await world.introduced(agent)
    assert claims_of(token)["cnf"]["jwk"]["kty"] == {"Ed25519": "OKP", "ES256": "EC"}[alg]
    metadata = body(await world.server.metadata(Request("GET", "/", ())))
    assert set(metadata["accept_signature_algs"]) >= {"Ed25519", "ES256"}
    assert parse_jwt(token).header["alg"] == "Ed25519"


async def test_a_signature_fails_under_the_code_that_says_why(world: World) -> None:
    """PS-102, §11.3.4: none at all, made in the future, made long ago, a revoked token."""
    agent = world.agent()
    now = int(world.clock())
    bare = Request("POST", "/person", (("host", "person.example"), ("content-type", "application/json")))
    assert signature_error(await world.server.answer(bare)) == "invalid_signature"

    async def sent(created: int) -> Answer:
        content = json.dumps({"resource": RESOURCE, "capabilities": ["interaction"]}).encode()
        return await world.server.answer(agent.signer.sign("POST", f"{PS}/person", body=content, now=created))

    assert signature_error(await sent(now + 120)) == "clock_skew"
    assert signature_error(await sent(now - 120)) in ("invalid_signature", "expired_signature")
    assert (await sent(now)).status == 202
    await world.revoke(agent.token)
    refused = await sent(now)
    assert (refused.status, signature_error(refused)) == (401, "revoked_jwt")


async def test_an_agent_token_is_checked_as_draft_11_says(world: World) -> None:
    """PS-103, §11.5.2, §13.11: no tolerance for `exp`, a future `iat` is `clock_skew`, and `typ` before anything."""
    now = int(world.clock())
    for claims, code in (
        ({"exp": now}, "expired_jwt"),
        ({"exp": now - 1}, "expired_jwt"),
        ({"iat": now + 3600, "exp": now + 7200}, "clock_skew"),
        ({"typ": "aa-person+jwt"}, "invalid_jwt"),
        ({"typ": "JWT"}, "invalid_jwt"),
    ):
        agent = world.agent(**claims)
        answer = await agent.ask_person_token()
        assert (answer.status, signature_error(answer)) == (401, code), claims
    assert (await world.agent(exp=now + 1).ask_person_token()).status == 202


async def test_a_token_of_more_than_an_hour_is_none_that_may_be_presented(world: World) -> None:
    """PS-103, §11.5.2: `exp` minus `iat` of a person token; one this server's key signed, but never issued."""
    agent, _, token = await world.introduced()
    claims = dict(claims_of(token))
    ours = Issuer(PS, key=world.key)
    long = ours.mint("aa-person+jwt", {**claims, "iat": int(world.clock()) - 100, "exp": int(world.clock()) + 3600})
    assert error_of(await agent.ask_auth_token(agent.challenged(long), long)) == (400, "invalid_presented_token")
    forged = ours.mint("aa-person+jwt", {**claims, "jti": "never-issued"})
    assert error_of(await agent.ask_auth_token(agent.challenged(forged), forged)) == (400, "invalid_presented_token")


async def test_agents_whose_names_differ_in_case_are_two(world: World) -> None:
    """PS-104, §5.2: `A-Z` is taken, compared exactly, and never folded."""
    upper, lower = world.agent("Planner-X"), world.agent("planner-x")
    await world.introduced(upper)
    assert (await upper.ask_person_token()).status == 200
    answer = await lower.ask_person_token()
    assert answer.status == 202
    names = {one.sub for one in await world.server.steward.agents()}
    assert names == {"aauth:Planner-X@agents.example"}


# Revocation, sent


async def test_what_is_sent_to_a_resource_is_signed_as_a_server_and_says_two_things(world: World) -> None:
    """PS-113, PS-114, §11.12.1, §11.12.2: `{jti, exp}`, under `jwks_uri`, for the person token and the auth token."""
    url = f"{RESOURCE}/revoke"
    world.publish_resource(revocation_endpoint=url)
    world.network.posts[url] = Answer(200, ())
    agent, browser, token = await world.introduced()
    auth = await granted(agent, browser, token, "orders.read", "orders.read")
    await world.server.steward.stop((await world.server.accounts.list())[0].id, PROVIDER, agent.sub)
    await world.server.deliver_revocations()
    sent = {told["jti"]: told for _, told in world.network.sent}
    for one in (token, auth):
        claims = claims_of(one)
        assert sent[claims["jti"]] == {"jti": claims["jti"], "exp": claims["exp"]}


# On record


@pytest.fixture
async def audited(database: Database) -> AsyncIterator[World]:
    world = World(database)
    await world.server.start()
    yield world
    await world.close()


async def test_the_audit_log_says_who_decided_everything_and_verifies(audited: World) -> None:
    """PS-115, §13.15, §13.17: decisions by person, rule and mission, tokens, missions, stops and revocations."""
    from aauthkit.person.rules import read_rules

    world = audited
    agent, browser, mission = await approved(world, resources=[RESOURCE], tools=[{"name": "Search"}])
    named = {"mission_s256": mission["s256"]}
    token = mission["person_tokens"][RESOURCE]
    await agent.send("POST", "/permission", {"action": "Search", **named})
    answer = await agent.ask_auth_token(agent.challenged(token, **named), token)
    await browser.open_next()
    await browser.decide("denied")
    await agent.poll(answer)
    rules = """
[[rule]]
name = "read"
kinds = ["scope"]
scope = ["orders.place"]
then = "may decide"
[[rule]]
name = "no"
kinds = ["permission"]
then = "never"
"""
    await world.server.steward.set_rules(read_rules(rules))
    assert (await agent.ask_auth_token(agent.challenged(token, "orders.place", **named), token)).status == 200
    await agent.send("POST", "/permission", {"action": "Buy", **named})
    person = (await world.server.accounts.list())[0].id
    await world.server.steward.end_mission(person, mission["s256"])
    await world.server.steward.stop(person, PROVIDER, agent.sub)
    await world.server.steward.start(person, PROVIDER, agent.sub)
    await world.revoke(agent.token)
    await world.server.accounts.set_disabled("Ada", True)
    report = await verify(world.database, PS, [])
    assert report.good, report.findings
    told = [one async for one in entries(world.database, PS)]
    made = [one.content for one in told if one.kind == "decision"]
    decisions = [(one["kind"], one["verdict"], one["by"].split()[0]) for one in made]
    assert decisions == [
        ("mission", "approved", "person"),
        ("permission", "approved", "mission"),
        ("scope", "denied", "person"),
        ("scope", "approved", "rule"),
        ("permission", "refused", "rule"),
    ]
    assert [one.content["typ"] for one in told if one.kind == "token"] == ["aa-person+jwt", "aa-auth+jwt"]
    assert [one.content["became"] for one in told if one.kind == "mission"] == ["approved", "ended"]
    assert [one.content["became"] for one in told if one.kind == "agent"] == ["stopped", "started"]
    assert [one.content["became"] for one in told if one.kind == "person"] == ["switched off"]
    assert any("received" in one.content for one in told if one.kind == "revocation")
    ended = {jti for one in told if one.kind == "revocation" for jti in one.content.get("ended", [])}
    assert ended == {one.content["jti"] for one in told if one.kind == "token"}
    text = "\n".join(one.text for one in told)
    assert token not in text and agent.token not in text
    evidence = {one.content.get("evidence") for one in told if one.kind in ("decision", "token")}
    assert None not in evidence
    rows = await world.database.fetch_all("SELECT id FROM audit_evidence")
    assert evidence <= {row["id"] for row in rows}


async def test_who_decided_stands_in_every_list(world: World) -> None:
    """Every decision's record and page says by whom: the person, or the rule with the beginning of its hash."""
    from aauthkit.person.rules import read_rules

    browser = Browser(world)
    await browser.sign_up()
    agent = world.agent()
    await world.server.steward.bind(PROVIDER, agent.sub, (await world.server.accounts.list())[0].id)
    rule = '[[rule]]\nname = "in & out"\nkinds = ["identity"]\nthen = "may decide"\n'
    book = read_rules(rule)
    await world.server.steward.set_rules(book)
    assert (await agent.ask_person_token(capabilities=[])).status == 200
    page = await browser.get("/allowed")
    assert f"by the rule in & out {book.rules[0].sha256[:16]}" in page.text
    recorded = await world.server.steward.recordings()
    assert recorded[0]["by"] == f"rule in & out {book.rules[0].sha256[:16]}"
