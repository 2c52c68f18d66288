"""Where agents are kept: one private file for each."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from aauthkit.agent import Agent, AgentHome, AgentRecord, AgentUnknown, home_folder
from aauthkit.egress import Egress
from tests.plugins.signing import new_key

PROVIDER = "https://agents.example"


def record(name: str = "planner", agent: str | None = "aauth:planner@agents.example") -> AgentRecord:
    return AgentRecord(name, PROVIDER, "https://person.example", new_key(), agent)


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    home, kept = AgentHome(tmp_path), record()
    home.save(kept)
    assert home.load("planner") == kept
    assert home.names() == ["planner"]


def test_an_agent_is_loaded_by_its_name(tmp_path: Path) -> None:
    AgentHome(tmp_path).save(record())
    agent = Agent.load("planner", home=tmp_path, egress=Egress())
    assert (agent.identifier, agent.provider) == ("aauth:planner@agents.example", PROVIDER)
    assert (agent.name, agent.person_server) == ("planner", "https://person.example")


def test_the_home_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAUTHKIT_HOME", str(tmp_path))
    AgentHome(tmp_path).save(record())
    assert Agent.load("planner", egress=Egress()).name == "planner"


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"AAUTHKIT_HOME": "/x"}, "linux", "/x"),
        ({"XDG_DATA_HOME": "/data"}, "linux", "/data/aauthkit"),
        ({}, "linux", "~/.local/share/aauthkit"),
        ({}, "darwin", "~/Library/Application Support/aauthkit"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/aauthkit"),
    ],
)
def test_each_platform_has_its_place(environ: dict[str, str], platform: str, expected: str) -> None:
    assert home_folder(environ, platform) == Path(expected).expanduser()


def test_f88_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """F88: 0600 from the moment it exists; a wider mode is refused."""
    home = AgentHome(tmp_path)
    home.save(record())
    path = home.path("planner")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.chmod(path, 0o644)
    with pytest.raises(AgentUnknown, match="chmod 600"):
        home.load("planner")


def test_an_agent_that_is_not_there_is_named_with_the_way_to_make_it(tmp_path: Path) -> None:
    home = AgentHome(tmp_path)
    home.save(record("other"))
    with pytest.raises(AgentUnknown, match=r"there: other.*aauthkit init planner"):
        home.load("planner")


def test_an_agent_that_is_not_enrolled_yet_is_not_loaded(tmp_path: Path) -> None:
    home = AgentHome(tmp_path)
    home.save(record(agent=None))
    with pytest.raises(AgentUnknown, match="not enrolled yet"):
        home.load("planner")
    found = home.find("planner")
    assert found is not None
    assert found.agent is None


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "a+b", "a b", "é", "a\0b"])
def test_what_cannot_be_a_name_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(AgentUnknown, match="cannot be the name"):
        AgentHome(tmp_path).load(name)


@pytest.mark.parametrize(
    "change",
    [
        {"durable_key": None},
        {"durable_key": {"kty": "OKP"}},
        {"provider": ""},
        {"name": 7},
        {"agent": 7},
        {"name": "x"},
    ],
)
def test_a_file_that_is_not_an_agent_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    home = AgentHome(tmp_path)
    home.save(record())
    path = home.path("planner")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(AgentUnknown):
        home.load("planner")
    path.write_text("{")
    with pytest.raises(AgentUnknown):
        home.load("planner")


def test_f87_a_record_shows_no_key() -> None:
    """F87."""
    kept = record()
    assert kept.durable.to_jwk()["d"] not in repr(kept)
