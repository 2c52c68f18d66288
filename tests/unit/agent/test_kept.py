"""Missions as they are kept: verified when read, joined where two processes know of the same, ended for good."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from aauthkit.agent import MissionTerminated, MissionUnknown, Update
from aauthkit.agent.caches import Place, SessionPlace, Wallet
from aauthkit.agent.kept import KeptMission, Missions
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.missions import read_blob, write_blob

AGENT = "aauth:planner@agents.example"
PS = "https://ps.example"


def mission(number: int = 1, **members: object) -> KeptMission:
    blob = write_blob(agent=AGENT, approved_at=number, description=f"Trip {number}.", **members)  # type: ignore[arg-type]
    return KeptMission(PS, blob, read_blob(blob), ("interaction",))


def kept_in(folder: Path | None, agent: str = AGENT, person_server: str = PS) -> Missions:
    return Missions(folder, agent=agent, person_server=person_server, loopback=NO_LOOPBACK)


def test_missions_are_found_again_the_oldest_first(tmp_path: Path) -> None:
    missions = kept_in(tmp_path / "m")
    for number in (2, 1, 3):
        missions.keep(mission(number))
    again = kept_in(tmp_path / "m")
    assert again.all() == missions.all() == [mission(1), mission(2), mission(3)]
    assert again.get(mission(2).s256) == mission(2)


def test_another_agents_and_another_person_servers_missions_are_not_there(tmp_path: Path) -> None:
    kept_in(tmp_path / "m").keep(mission())
    for other in (
        kept_in(tmp_path / "m", agent="aauth:writer@agents.example"),
        kept_in(tmp_path / "m", person_server="https://other.example"),
    ):
        assert other.all() == []
        with pytest.raises(MissionUnknown):
            other.get(mission().s256)


@pytest.mark.parametrize("name", ["", "../x", "x" * 43, "/etc/passwd"])
def test_what_is_no_identifier_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissionUnknown):
        kept_in(tmp_path).get(name)


@pytest.mark.parametrize("member", ["mission", "person_server", "capabilities", "updates", "ended"])
def test_a_file_that_is_broken_or_open_to_others_counts_as_not_there(
    tmp_path: Path, member: str, caplog: pytest.LogCaptureFixture
) -> None:
    """F88, §8.2: bytes that are not those of the name, above all; the log names the file and nothing in it."""
    kept_in(tmp_path / "m").keep(mission())
    path = tmp_path / "m" / f"{mission().s256}.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "mission": mission(2).document()["mission"]}))
    with caplog.at_level(logging.WARNING):
        assert kept_in(tmp_path / "m").all() == []
    assert str(path) in caplog.text
    path.write_text(json.dumps({name: value for name, value in document.items() if name != member}))
    assert kept_in(tmp_path / "m").all() == []
    path.write_text(json.dumps(document))
    path.chmod(0o644)
    assert kept_in(tmp_path / "m").all() == []
    path.chmod(0o600)
    assert kept_in(tmp_path / "m").all() == [mission()]


def test_what_two_processes_know_comes_together(tmp_path: Path) -> None:
    """§8.4, §8.6: no accepted update is lost, and what one saw end goes on for neither."""
    one, other = kept_in(tmp_path / "m"), kept_in(tmp_path / "m")
    one.keep(mission())
    s256 = mission().s256
    other.keep(replace(other.get(s256), updates=(Update("a", "1"),)))
    one.end(s256, "revoked")
    other.keep(replace(other.get(s256), updates=(Update("a", "1"), Update("b", "2"))))
    for missions in (one, other, kept_in(tmp_path / "m")):
        found = missions.get(s256)
        assert (found.ended, found.updates) == ("revoked", (Update("a", "1"), Update("b", "2")))


def test_a_mission_that_ended_is_not_begun_again() -> None:
    """§8.6: final; a reason that is told later is taken, one that was told stays."""
    missions = kept_in(None)
    missions.keep(mission())
    missions.check(mission(), 5)
    missions.end(mission().s256, "")
    missions.keep(mission())
    with pytest.raises(MissionTerminated):
        missions.check(mission(), 5)
    missions.end(mission().s256, "revoked")
    missions.end(mission().s256, "completed")
    assert missions.get(mission().s256).ended == "revoked"


def test_the_end_that_was_approved_is_the_end() -> None:
    """§8.2: at that very second."""
    missions, ending = kept_in(None), mission(expires_at=100)
    missions.keep(ending)
    missions.check(ending, 99.9)
    with pytest.raises(MissionTerminated) as over:
        missions.check(ending, 100)
    assert over.value.reason == "expired"
    missions.check(None, 100)


def test_a_folder_that_cannot_be_written_keeps_them_in_memory(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    missions = kept_in(tmp_path / "m")
    missions.keep(mission())
    assert missions.get(mission().s256) == mission()
    assert kept_in(None).all() == []


def test_session_tokens_are_kept_apart_by_mission() -> None:
    """§6.3, §8.3: what was had under a mission is not presented under another."""
    place = Place("k", PS, None, "https://api.example", None, "m")
    assert SessionPlace.of(place) == SessionPlace.of(replace(place, key="other"))
    assert SessionPlace.of(place) != SessionPlace.of(replace(place, mission=None))
    Wallet().end_mission("m")
