"""docs/enrollment.md says what the code does: its JSON is the interface's, its Python runs (F92)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aauthkit.discovery import Discovery
from aauthkit.egress import Http
from aauthkit.outbound import Outbound
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.provider import AgentProvider
from aauthkit.provider.asking import PLATFORMS, read_ask
from aauthkit.serving import Request
from aauthkit.store import Database, open_database
from tests.plugins.enrolling import PERSON_SERVER, Applicant, body_of, serving
from tests.plugins.hosting import host
from tests.plugins.machine import PROJECT
from tests.plugins.signing import new_key
from tests.plugins.tls import Clock, Internet

pytestmark = pytest.mark.anyio

TEXT = (PROJECT / "docs" / "enrollment.md").read_text()


def block(kind: str, name: str) -> str:
    (found,) = re.findall(rf"^```{kind} {name}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def python(name: str) -> dict[str, Any]:
    """What a Python block of the document defines."""
    namespace: dict[str, Any] = {"__name__": "documented"}
    exec(compile(block("python", name), f"docs/enrollment.md: {name}", "exec"), namespace)
    return namespace


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    opened = await open_database("sqlite://:memory:")
    yield opened
    await opened.close()


async def test_the_metadata_is_as_shown(database: Database) -> None:
    async with serving(database, name="Example Agents") as provider:
        answer = await provider.answer(Request("GET", "/.well-known/aauth-agent.json", ()))
    assert body_of(answer) == json.loads(block("json", "metadata"))


async def test_the_ask_is_accepted_as_shown_and_the_answers_have_the_members_shown(
    database: Database, clock: Clock
) -> None:
    shown = json.loads(block("json", "ask"))
    ask = read_ask(shown, new_key().public, NO_LOOPBACK)
    assert (ask.name, ask.ps, ask.evidence_type) == (shown["name"], shown["ps"], "person")
    assert ask.platform in PLATFORMS
    async with serving(database, clock) as provider:
        agent = Applicant(provider, clock)
        nonce = body_of(await agent.send(agent.signed("POST", "/enrollment/nonce")))
        pending = await agent.ask(nonce=nonce["nonce"], **{name: shown[name] for name in ("ps", "platform", "device")})
        await provider.approve("planner")
        token = body_of(await agent.poll(pending))
    assert body_of(pending) == json.loads(block("json", "pending"))
    assert nonce.keys() == json.loads(block("json", "nonce")).keys()
    assert nonce["expires_in"] == json.loads(block("json", "nonce"))["expires_in"]
    documented = json.loads(block("json", "token"))
    assert token.keys() == documented.keys()
    assert {**token, "agent_token": ""} == {**documented, "agent_token": ""}


async def test_the_provider_is_opened_and_its_operator_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    documented = python("provider")
    provider: AgentProvider = await documented["open_provider"]()
    agent = Applicant(provider, provider._clock)
    other = Applicant(provider, provider._clock)
    pending = await agent.ask(ps=PERSON_SERVER)
    declined = await other.ask()
    await documented["decide"](provider, agent.durable.kid)
    assert (await agent.poll(pending)).status == 200
    assert (await other.poll(declined)).status == 409
    await provider.close()
    await provider._db.close()


async def test_evidence_of_ones_own_admits_an_agent(database: Database, clock: Clock) -> None:
    shown = {"type": "ticket", "ticket": "7f3c-11aa"}
    for name, status in (("scout", 403), ("planner", 200)):
        async with serving(database, clock, evidence=python("evidence")["EVIDENCE"]) as provider:
            assert (await Applicant(provider, clock, name=name).ask(evidence=shown)).status == status


async def test_the_agents_side_enrols_and_refreshes(
    database: Database, internet: Internet, capsys: pytest.CaptureFixture[str]
) -> None:
    documented = python("agent")
    durable, key, other = new_key(), new_key(), new_key()
    async with serving(database, time.time, person_servers=[PERSON_SERVER]) as provider:
        await host(internet, "agents.example", provider)
        async with Http(internet.egress()) as http:
            outbound, discovery = Outbound(http), Discovery(http)
            enrolling = asyncio.create_task(documented["begin"](outbound, discovery, durable, key))
            async with database.subscribe("pending") as changes:
                while not await provider.pending():
                    await changes.wait(0.05)
            await provider.approve("planner")
            enrolled = await enrolling
            refreshed = await documented["go_on"](outbound, discovery, durable, other, enrolled)
    assert enrolled.agent == refreshed.agent == "aauth:planner@agents.example"
    assert refreshed.token.cnf.same_key(other.public)
    assert durable.kid in capsys.readouterr().out
