"""An agent enrols and is kept: its durable key is on disk before the provider hears of it, and never another's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aauthkit.agent import Agent, AgentHome, AgentTokenUnavailable, AgentUnknown
from aauthkit.asgi import Asgi
from aauthkit.egress import Egress
from aauthkit.keys import FixedKey
from aauthkit.outbound import Pending
from aauthkit.provider import AgentProvider
from aauthkit.store import open_database
from tests.plugins.serving import served
from tests.plugins.simulators import PERSON_SERVER, PROVIDER, Parties, Sleeper
from tests.plugins.tls import Authority, Clock, signing_key

pytestmark = pytest.mark.anyio

PROVIDER_URL = f"https://{PROVIDER}"
PERSON_URL = f"https://{PERSON_SERVER}"


@dataclass
class Office:
    """A real agent provider whose operator admits whoever asks, and the home that agents are kept in."""

    provider: AgentProvider
    egress: Egress
    clock: Clock
    home: Path

    async def admit(self, _pending: Pending) -> None:
        for request in await self.provider.pending():
            await self.provider.approve(request.id)

    async def enroll(self, name: str = "planner", **settings: Any) -> Agent:
        usual = {
            "provider": PROVIDER_URL,
            "person_server": PERSON_URL,
            "home": self.home,
            "on_pending": self.admit,
            "clock": self.clock,
            "sleep": Sleeper(self.clock),
        }
        if "egress_file" not in settings:
            usual["egress"] = self.egress
        return await Agent.enroll(name, **{**usual, **settings})


@pytest.fixture
async def office(authority: Authority, clock: Clock, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Office]:
    """A provider under its own name."""
    database = await open_database("sqlite://:memory:")
    key = signing_key(PROVIDER)
    provider = AgentProvider(
        PROVIDER_URL, keys=FixedKey(key), database=database, person_servers=[PERSON_URL], clock=clock
    )
    app = Asgi(provider, start=provider.start, close=provider.close)
    async with served(app, authority, PROVIDER) as port:
        egress = Egress(names={PROVIDER: ("127.0.0.1", port)}, ca_file=authority.ca_file)
        yield Office(provider, egress, clock, tmp_path / "home")
    await database.close()


async def test_an_enrolled_agent_is_kept_and_can_be_loaded(office: Office) -> None:
    """§5.1, §5.3: what `aauthkit init` does."""
    agent = await office.enroll()
    assert (agent.identifier, agent.person_server) == ("aauth:planner@agents.example", PERSON_URL)
    loaded = Agent.load("planner", home=office.home, egress=office.egress)
    assert repr(loaded) == repr(agent)
    assert loaded.thumbprint != agent.thumbprint


async def test_enrolling_the_same_name_again_joins_it(office: Office) -> None:
    """The same durable key, so it is the same agent, and nobody is asked twice."""
    first, second = await office.enroll(), await office.enroll()
    assert first.identifier == second.identifier
    assert len(await office.provider.agents()) == 1


async def test_f44_a_name_of_another_home_is_taken(office: Office, tmp_path: Path) -> None:
    """F44, §5.2: a name never goes to another durable key."""
    await office.enroll()
    with pytest.raises(AgentTokenUnavailable, match="choose another name"):
        await office.enroll(home=tmp_path / "another")


async def test_a_person_server_that_the_provider_does_not_take_is_refused(office: Office) -> None:
    with pytest.raises(AgentTokenUnavailable):
        await office.enroll(person_server="https://other.example")


async def test_an_enrolment_that_was_cut_off_goes_on_with_its_key(office: Office) -> None:
    """Else the name would be lost to a key that nobody has any more."""

    class CutOff(Exception):
        pass

    async def cut_off(_pending: Pending) -> None:
        raise CutOff

    with pytest.raises(CutOff):
        await office.enroll(on_pending=cut_off)
    kept = AgentHome(office.home).find("planner")
    assert kept is not None
    with pytest.raises(AgentUnknown, match="not enrolled yet"):
        Agent.load("planner", home=office.home, egress=office.egress)
    await office.enroll()
    assert AgentHome(office.home).load("planner").durable == kept.durable


async def test_a_name_that_is_kept_for_one_provider_is_not_enrolled_at_another(
    parties: Parties, tmp_path: Path
) -> None:
    """Its durable key belongs to that one alone (§5.1)."""
    await parties.provider.stop()
    settings = {"home": tmp_path, "egress": parties.egress()}
    with pytest.raises(AgentTokenUnavailable, match=parties.provider.iss):
        await Agent.enroll("planner", provider=parties.provider.iss, **settings)
    with pytest.raises(AgentTokenUnavailable, match="choose another name"):
        await Agent.enroll("planner", provider="https://other.example", **settings)


async def test_the_egress_file_is_remembered_with_the_agent(office: Office, tmp_path: Path) -> None:
    """A loaded agent reaches its own servers without being told how."""
    names = {host: f"{address}:{port}" for host, (address, port) in office.egress.names.items()}
    file = tmp_path / "egress.json"
    file.write_text(json.dumps({"names": names, "ca_file": str(office.egress.ca_file)}))
    await office.enroll(egress_file=file)
    assert Agent.load("planner", home=office.home).egress.names == office.egress.names


async def test_what_is_not_an_agents_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    """§5.2, §11.1.1."""
    with pytest.raises(ValueError, match="https"):
        await Agent.enroll("planner", provider="http://agents.example", egress=Egress(), home=tmp_path)
    with pytest.raises(AgentUnknown):
        await Agent.enroll("a+b", provider="https://agents.example", egress=Egress(), home=tmp_path)
    assert AgentHome(tmp_path).names() == []
