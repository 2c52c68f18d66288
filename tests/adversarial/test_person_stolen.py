"""A stolen database: what is in it, and what whoever has it can do with that (draft-11 §13.15, §13.17)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator

import pytest

from aauthkit.accounts import Accounts
from aauthkit.protocol.jose import b64url_encode, parse_jwt
from aauthkit.serving import BytesBody, Request
from aauthkit.store import Database
from tests.flows.test_missions import approved
from tests.plugins.people import PASSWORD, PS, RESOURCE, AgentParty, Browser, World, body, error_of, granted
from tests.plugins.signing import Signer, new_key

pytestmark = pytest.mark.anyio

JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
RELAYED = "Q7K2M9P4"


@pytest.fixture
async def hashed(database: Database) -> AsyncIterator[World]:
    """A person server that hashes passwords as it does in earnest."""
    world = World(database)
    accounts = Accounts(database, issuer=world.ps_issuer, open_sign_up=True, clock=world.clock)
    world.options["accounts"] = accounts
    world.server = world.make_server(database)
    await world.server.start()
    yield world
    await world.close()


async def dump(world: World) -> str:
    """Every value of every table, as text."""
    database = world.database
    if "sqlite" in type(database).__module__:
        names = await database.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        names = await database.fetch_all("SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()")
    lines = []
    for name in names:
        for row in await database.fetch_all(f"SELECT * FROM {name['name']}"):
            lines.append(json.dumps({key: str(row[key]) for key in row}))
    return "\n".join(lines)


async def story(world: World) -> tuple[AgentParty, Browser, list[str]]:
    """Everything that leaves something behind: an agent, its person, and every token that was about."""
    agent, browser, mission = await approved(world, resources=[RESOURCE], tools=[{"name": "Search"}])
    token = mission["person_tokens"][RESOURCE]
    asked = agent.challenged(token, mission_s256=mission["s256"])
    answer = await agent.ask_auth_token(asked, token)
    await browser.open_next()
    await browser.decide("approved", "orders.read", memory="kept")
    auth = body(await agent.poll(answer))["auth_token"]
    named = {"mission_s256": mission["s256"]}
    sent = {"type": "payment", "url": "https://pay.example/x", "code": RELAYED, **named}
    relay = await agent.send("POST", "/interaction", sent)
    await browser.open_next()
    await browser.submit("/decide/", "approved")
    assert (await agent.poll(relay)).status == 200
    await agent.send("POST", "/permission", {"action": "SendEmail", **named})
    invitation = await world.server.accounts.invite()
    return agent, browser, [token, auth, asked, invitation]


async def test_a_stolen_database_holds_no_key_password_session_or_token(hashed: World) -> None:
    """§13.15: no private key, no password, no cookie, no invitation, no person, auth or resource token."""
    agent, browser, tokens = await story(hashed)
    text = await dump(hashed)
    for secret in (*tokens, PASSWORD, *browser.cookies.values()):
        assert secret not in text
    for key in (hashed.key, agent.key, hashed.provider.key, hashed.resource.key):
        for written in (b64url_encode(key.secret), key.secret.hex(), base64.b64encode(key.secret).decode()):
            assert written not in text
    assert '"d"' not in text and "PRIVATE KEY" not in text
    assert "$argon2id$" in text
    assert RELAYED not in text, "the code of another party's page is gone once it was used"


async def test_the_tokens_in_the_evidence_open_nothing_without_the_agents_key(hashed: World) -> None:
    """§13.17: what proves a request is kept with its agent token, which is no bearer token (§5.2, `cnf`)."""
    agent, _, _ = await story(hashed)
    text = await dump(hashed)
    found = {one for one in JWT.findall(text)}
    assert found and {parse_jwt(one).header["typ"] for one in found} == {"aa-agent+jwt"}
    stolen = found.pop()
    assert stolen == agent.token
    thief = Signer.token(new_key(), stolen)
    content = json.dumps({"resource": RESOURCE}).encode()
    request = thief.sign("POST", f"{PS}/person", body=content, now=int(hashed.clock()))
    answer = await hashed.server.answer(request)
    assert answer.status == 401
    rows = await hashed.database.fetch_all("SELECT request FROM audit_evidence")
    kept = json.loads(rows[0]["request"])
    fields = [("host", "person.example"), ("content-type", "application/json")]
    fields += [(name, kept[name.replace("-", "_")]) for name in ("signature-input", "signature")]
    covered = re.search('"signature-key": (.*)', kept["signature_base"])
    assert covered is not None
    fields += [("signature-key", covered[1])]
    fields += [("content-digest", kept["content_digest"])]
    path = kept["url"].removeprefix(PS)
    again = Request(kept["method"], path, tuple(fields), BytesBody(content))
    assert (await hashed.server.answer(again)).status in (400, 401)
    hashed.clock.pass_(3600)
    assert (await hashed.server.answer(again)).status == 401


async def test_a_pending_url_and_a_code_out_of_the_database_decide_nothing(hashed: World) -> None:
    """§11.6.3.1, §13.2: a pending URL is its agent's, and a code opens a question to its person alone."""
    agent, browser, token = await hashed.introduced()
    await granted(agent, browser, token, "orders.read", "orders.read")
    hashed.clock.pass_(120)
    waiting = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token)
    row = (await hashed.database.fetch_all("SELECT id, page, code FROM pending WHERE state = 'open'"))[0]
    thief, bob = hashed.agent("thief"), Browser(hashed)
    assert error_of(await thief.send("GET", f"/pending/{row['id']}")) == (404, "not_found")
    await bob.sign_up("Bob")
    await bob.get(f"/interaction/{row['page']}?code={row['code']}")
    page = await bob.submit("/interaction/")
    assert page.status == 404 and "Orders" not in page.text
    assert (await agent.poll(waiting)).status == 202
