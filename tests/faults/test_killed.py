"""A person server killed with -9 at random moments loses nothing, and leaves nothing half done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aauthkit.audit import verify
from aauthkit.audit.log import entries
from aauthkit.store import Database, open_database
from tests.faults.nursery import BETWEEN, audit_key, key_of, make_world
from tests.plugins.people import PS, AgentParty, World

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

LIVES = 100
"""For each engine: two hundred in all."""
ROOT = Path(__file__).parents[2]
Told = list[dict[str, Any]]


async def test_f86_killed_two_hundred_times_it_loses_nothing(database_url: str, tmp_path: Path) -> None:
    """No decision lost, none half done, no token out that is not on record, the audit chain whole."""
    journal = tmp_path / "journal"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.nursery", database_url, str(LIVES), "7", str(journal)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-9000:]
    told: Told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line for line in told if "trouble" in line] == [], "somebody was answered with what the story has not"
    for happening in ("decided", "issued", "revoked", "stopped", "mission", "ended"):
        assert any(happening in line for line in told), f"the lives were too short: nothing was {happening}"
    assert sum("issued" in line for line in told) > LIVES
    database = await open_database(database_url)
    try:
        await nothing_lost(database, told)
        await nothing_half_done(database)
        outside = [line["checkpoint"] for line in told if "checkpoint" in line]
        assert outside
        report = await verify(database, PS, [audit_key().current.public], outside=outside)
        assert report.good, report.findings[:3]
        assert report.chains > LIVES / 4
        await still_served(database, told)
    finally:
        await database.close()


async def nothing_lost(database: Database, told: Told) -> None:
    """What anybody was answered is on record."""
    for line in told:
        if "issued" in line:
            assert await database.fetch_one("SELECT 1 AS one FROM person_issued WHERE jti = :jti", jti=line["issued"])
        if "decided" in line:
            pending = line["pending"].rpartition("/")[2]
            row = await database.fetch_one("SELECT verdict FROM questions WHERE pending = :id", id=pending)
            assert row is not None and json.loads(row["verdict"])["verdict"] == line["decided"], line
        if "revoked" in line:
            alive = await database.fetch_all(
                "SELECT jti FROM person_issued WHERE agent_sub = :sub AND revoked IS NULL", sub=line["revoked"]
            )
            assert alive == [], line
        if "stopped" in line:
            sub = line["stopped"]
            assert await database.fetch_one("SELECT since FROM person_stops WHERE agent_sub = :sub", sub=sub)
        for happening in ("mission", "ended"):
            if happening in line:
                row = await database.fetch_one(
                    "SELECT ended FROM person_missions WHERE s256 = :s256", s256=line[happening]
                )
                assert row is not None and (happening == "mission" or row["ended"] is not None), line


async def nothing_half_done(database: Database) -> None:
    """Of each decision, token, mission and revocation every part is there, or none."""
    noted: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    async for entry in entries(database, PS):
        noted[entry.kind].append(entry.content)
    await tokens_are_whole(database, noted)
    await decisions_are_whole(database, noted)
    await missions_are_whole(database, noted)


async def tokens_are_whole(database: Database, noted: Mapping[str, list[Mapping[str, Any]]]) -> None:
    """A token's record and its audit entry; its revocation, the word to its resource, and the audit entry of that."""
    issued = {row["jti"]: row for row in await database.fetch_all("SELECT * FROM person_issued")}
    assert issued.keys() == {entry["jti"] for entry in noted["token"]}
    revoked = {(row["jti"], row["aud"]) for row in issued.values() if row["revoked"] is not None}
    outbox = await database.fetch_all("SELECT jti, recipient FROM revocation_outbox")
    assert revoked == {(row["jti"], row["recipient"]) for row in outbox}
    assert {jti for jti, _ in revoked} == {jti for entry in noted["revocation"] for jti in entry.get("ended", ())}
    unbound = await database.fetch_all(
        """SELECT i.jti FROM person_issued i LEFT JOIN person_agents a
           ON a.agent_iss = i.agent_iss AND a.agent_sub = i.agent_sub WHERE a.person IS NULL"""
    )
    assert unbound == []
    decisions = {row["id"] for row in await database.fetch_all("SELECT id FROM person_decisions")}
    assert {one for row in issued.values() for one in row["decisions"].split()} <= decisions


async def decisions_are_whole(database: Database, noted: Mapping[str, list[Mapping[str, Any]]]) -> None:
    """A decision's record, its question, its pending request and its audit entry."""
    rows = await database.fetch_all("SELECT id, mission, kind FROM person_decisions")
    by_people = {row["id"] for row in rows if not (row["mission"] and row["kind"] == "identity")}
    assert by_people == {entry["id"] for entry in noted["decision"] if "id" in entry}
    settled = await database.fetch_all("SELECT pending FROM questions WHERE verdict IS NOT NULL")
    assert len(settled) == len(by_people)
    half = await database.fetch_all(
        """SELECT r.pending FROM questions r LEFT JOIN pending p ON p.id = r.pending
           WHERE p.id IS NULL OR (r.verdict IS NOT NULL AND p.state = 'open')
              OR (r.verdict IS NULL AND p.state = 'decided')"""
    )
    assert half == []
    waiting_under_a_stop = await database.fetch_all(
        """SELECT r.pending FROM questions r JOIN pending p ON p.id = r.pending
           JOIN person_stops s ON s.agent_iss = r.agent_iss AND s.agent_sub = r.agent_sub WHERE p.state = 'open'"""
    )
    assert waiting_under_a_stop == []
    stops = await database.fetch_all("SELECT agent_sub FROM person_stops")
    assert {row["agent_sub"] for row in stops} == {e["agent"] for e in noted["agent"] if e["became"] == "stopped"}


async def missions_are_whole(database: Database, noted: Mapping[str, list[Mapping[str, Any]]]) -> None:
    """A mission, its log, what it opened, what was counted under it, and that all of it ended with it."""
    missions = {row["s256"]: row for row in await database.fetch_all("SELECT * FROM person_missions")}
    became = {
        word: {entry["mission"] for entry in noted["mission"] if entry["became"] == word}
        for word in ("approved", "ended")
    }
    assert missions.keys() == became["approved"]
    assert {name for name, row in missions.items() if row["ended"] is not None} == became["ended"]
    counted = await database.fetch_all("SELECT mission, name, used FROM person_mission_counts")
    counts = {(row["mission"], row["name"]): row["used"] for row in counted}
    for name, row in missions.items():
        log = await database.fetch_all(
            "SELECT number, kind, entry FROM person_mission_log WHERE mission = :name ORDER BY number", name=name
        )
        assert [one["number"] for one in log] == list(range(1, len(log) + 1))
        assert (log[-1]["kind"] == "ended") == (row["ended"] is not None)
        tokens = await database.fetch_all("SELECT revoked FROM person_issued WHERE mission = :name", name=name)
        opened = await database.fetch_all("SELECT over FROM person_decisions WHERE mission = :name", name=name)
        if row["ended"] is not None:
            assert all(one["revoked"] is not None for one in tokens)
            assert all(one["over"] is not None for one in opened)
        unit = counts.get((name, "tokens"), 0) // (len(tokens) or 1)
        assert counts.get((name, "tokens"), 0) == unit * len(tokens), "a token that was not counted, or counted twice"


async def still_served(database: Database, told: Told) -> None:
    """Whoever was decided about and was not answered before the kill is answered by the next life."""
    world = make_world(database, LIVES)
    await world.server.start()
    try:
        ended = {line["revoked"] for line in told if "revoked" in line}
        served = 0
        for line in told:
            if "decided" in line and line["agent"] not in ended:
                served += await answered(world, line)
        assert served > LIVES / 10, "hardly anybody was left without an answer"
    finally:
        await world.close()


async def answered(world: World, line: Mapping[str, Any]) -> int:
    """Whether the agent learns now what was decided; who learnt it before finds nothing there any more."""
    agent = AgentParty(world, line["name"], key_of(line["name"]))
    answer = await agent.send("GET", line["pending"])
    if answer.status in (404, 410):
        row = await world.database.fetch_one(
            "SELECT ended_as FROM pending WHERE id = :id", id=line["pending"].rpartition("/")[2]
        )
        assert row is None or row["ended_as"] is not None, line
        return 0
    kind = json.loads(answer.body)
    if line["decided"] == "denied":
        assert kind.get("error") == "denied" or kind.get("permission") == "denied", kind
    else:
        assert answer.status == 200 or kind.get("error") in ("mission_terminated", "revoked"), kind
    return 1


assert BETWEEN * LIVES < 1800, "what waits must not expire before the last life"
