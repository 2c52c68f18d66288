"""Two processes of a person server on one PostgreSQL, behind a plain proxy that takes each in turn."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aauthkit.protocol.jose import parse_jwt
from tests.plugins.commands import Commands, own_ports
from tests.plugins.people import AgentParty, Browser, body, claims_of, error_of
from tests.plugins.replicas import SECRET, Replicas, replicated, until
from tests.plugins.stores import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

RULES = """[[rule]]
name = "nowhere new"
kinds = ["identity"]
when = 'true'
then = "never"
"""


@pytest.fixture(scope="module")
async def replicas(
    postgres_server: PostgresServer, ports_lock: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replicas]:
    """The same two for every test here, each with agents and people of its own."""
    url, folder = postgres_server.create(), tmp_path_factory.mktemp("replicas")
    commands = Commands(folder, ports_lock)
    async with replicated(commands, url, folder) as made:
        yield made
    commands.clean()
    postgres_server.drop(url)


async def introduced(replicas: Replicas, name: str) -> tuple[AgentParty, Browser, str]:
    """An agent whose person agreed, all of it through the proxy: each step at another process."""
    world = replicas.world
    agent, browser = world.agent(name), Browser(world)
    resource = replicas.resources[0].iss
    answer = await agent.ask_person_token(resource)
    assert answer.status == 202, answer.body
    await browser.open_interaction(answer)
    await browser.get("/signup")
    page = await browser.sign_up(f"Ada of {name}")
    assert page.answer.status == 200
    await browser.get(next(link for link in (await browser.get("/")).links if link.startswith("/decide/")))
    assert (await browser.decide("approved", memory="kept")).answer.status == 200
    terminal = await agent.poll(answer)
    assert terminal.status == 200, terminal.body
    return agent, browser, body(terminal)["person_token"]


async def published(replicas: Replicas, number: int) -> set[str]:
    """The key identifiers that one process publishes."""
    world = replicas.through(number)
    answer = await Browser(world)._exchange("GET", "/.well-known/jwks.json", ())
    return {key["kid"] for key in json.loads(answer.body)["keys"]}


async def test_sessions_pages_and_decisions_go_across_both(replicas: Replicas) -> None:
    """Sign-up, code, page, decision and poll, each at whichever process the proxy chose."""
    _, _, token = await introduced(replicas, "across")
    assert claims_of(token)["iss"] == replicas.issuer
    keys = await published(replicas, 0)
    assert keys == await published(replicas, 1) and parse_jwt(token).header["kid"] in keys


async def test_a_decision_at_one_wakes_a_long_poll_at_the_other(replicas: Replicas) -> None:
    """The poll asks to be held for far longer than the test may take."""
    agent, browser, _ = await introduced(replicas, "woken")
    first, second = replicas.through(0), replicas.through(1)
    waiting = AgentParty(first, agent.name, agent.key, token=agent.token)
    answer = await waiting.ask_person_token(replicas.resources[1].iss)
    assert answer.status == 202
    poll = asyncio.create_task(waiting.poll(answer, headers=(("prefer", "wait=250"),)))
    browser.world = second
    await browser.open_next()
    assert not poll.done()
    await browser.decide("approved", memory="kept")
    terminal = await poll
    assert terminal.status == 200 and "person_token" in body(terminal)


async def test_both_publish_a_rotated_key_before_either_signs_with_it(replicas: Replicas) -> None:
    """One command rotates; the set is the database's, the secret is not."""
    agent, _, token = await introduced(replicas, "signing")
    signing = parse_jwt(token).header["kid"]
    rotated = await asyncio.to_thread(replicas.operator, "keys", "rotate")
    states = {key["state"]: key["kid"] for key in rotated["keys"]}
    assert states["current"] == signing

    async def both() -> bool:
        return all([await published(replicas, number) == set(states.values()) for number in (0, 1)])

    await until(both)
    for number in (0, 1):
        through = AgentParty(replicas.through(number), agent.name, agent.key, token=agent.token)
        again = await through.ask_person_token(replicas.resources[0].iss)
        assert parse_jwt(body(again)["person_token"]).header["kid"] == signing
    shown = await asyncio.to_thread(replicas.operator, "keys", "show")
    assert {key["kid"] for key in shown["keys"]} == set(states.values())
    again = await asyncio.to_thread(replicas.operator, "keys", "rotate")
    assert {key["kid"] for key in again["keys"]} == set(states.values()), "one next key at a time"


async def test_what_was_revoked_at_one_is_refused_by_the_other(replicas: Replicas) -> None:
    """An agent token, revoked by its provider at the first, presented to the second."""
    agent, _, token = await introduced(replicas, "revoked")
    first, second = replicas.through(0), replicas.through(1)
    revoked = await first.revoke(agent.token)
    assert revoked.status == 200, revoked.body
    there = AgentParty(second, agent.name, agent.key, token=agent.token)

    async def refused() -> bool:
        return (await there.ask_person_token(replicas.resources[0].iss)).status == 401

    await until(refused)
    told = [host for host, jti in replicas.others.told if jti == claims_of(token)["jti"]]
    assert told == [replicas.resources[0].iss.partition("://")[2]]


async def test_rules_set_once_hold_in_both(replicas: Replicas, tmp_path: Path) -> None:
    """With the next request, without a restart."""
    agent, _, _ = await introduced(replicas, "ruled")
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    await asyncio.to_thread(replicas.operator, "rules", "set", str(rules))
    for number in (0, 1):
        through = AgentParty(replicas.through(number), agent.name, agent.key, token=agent.token)
        assert error_of(await through.ask_person_token(replicas.resources[1].iss)) == (403, "denied")
    await asyncio.to_thread(replicas.operator, "rules", "clear")


async def test_one_is_killed_and_the_other_goes_on_with_its_deliveries(replicas: Replicas) -> None:
    """A resource that took no revocation while the first lived hears of it from the second."""
    agent, browser, token = await introduced(replicas, "delivered")
    deaf = replicas.resources[0].iss.partition("://")[2]
    replicas.others.deaf.add(deaf)
    revoked = await replicas.through(0).revoke(agent.token)
    assert revoked.status in (200, 202)
    replicas.kill(0)
    replicas.others.deaf.clear()

    async def told() -> bool:
        return (deaf, claims_of(token)["jti"]) in replicas.others.told

    await until(told)
    another, _, _ = await introduced(replicas, "second")
    assert (await another.ask_person_token(replicas.resources[0].iss)).status == 200
    assert (await browser.get("/")).answer.status == 200, "the session is not the dead one's"
    await asyncio.to_thread(replicas.restart, 0)


async def test_each_says_whether_it_is_ready_and_what_it_did(replicas: Replicas) -> None:
    """`--operations`: alive, ready, measured, on a listener of its own."""
    await introduced(replicas, "measured")

    def fetch(port: int, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return str(answer.read().decode())

    counted = 0.0
    for port in replicas.operations:
        assert await asyncio.to_thread(fetch, port, "/healthz") == "alive\n"
        assert json.loads(await asyncio.to_thread(fetch, port, "/readyz")) == {"ready": True}
        text = await asyncio.to_thread(fetch, port, "/metrics")
        assert "aauthkit_requests_waiting 0.0" in text and "aauthkit_revocations_waiting " in text
        counted += sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("aauthkit_tokens_total")
        )
    assert counted >= 1


def test_a_shared_key_set_is_never_without_its_secret(commands: Commands) -> None:
    """No secret, another secret, another set: each is told, and nothing is made or changed."""
    server = ("--issuer", "https://ps.example", "--database", "person.db")
    serve = ("person", "serve", *server, "--keys", "database", "--listen", str(next(own_ports)))
    trust = ("--agent-provider", "any", "--resource", "any")
    ran = commands.run(*serve, *trust)
    assert ran.code == 1 and "AAUTHKIT_KEYS_PASSPHRASE" in ran.err
    ran = commands.run("person", "keys", "rotate", *server, env=SECRET)
    assert ran.code == 1 and "holds no key set https://ps.example" in ran.err
    running = commands.start(*serve, *trust, "--durable", env=SECRET)
    running.wait_for("Application startup complete")
    ran = commands.run("person", "keys", "rotate", *server, env={"AAUTHKIT_KEYS_PASSPHRASE": "quite another secret"})
    assert ran.code == 1 and "https://ps.example" in ran.err
    shown = commands.run("person", "keys", "show", *server, env=SECRET)
    assert shown.code == 0 and "in the database, sealed" in shown.out and "next" not in shown.out
    assert commands.run("person", "serve", "--durable").code == 2
