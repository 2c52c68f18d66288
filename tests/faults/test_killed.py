"""A person server killed with -9 at random moments loses nothing, and leaves nothing half done (issue of every store)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aauthkit.audit import verify
from aauthkit.audit.log import entries
from aauthkit.store import Database, open_database
from tests.plugins.people import PS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

LIVES = 100
"""For each engine: two hundred in all."""
ROOT = Path(__file__).parents[2]


async def test_f86_killed_two_hundred_times_it_loses_nothing(database_url: str, tmp_path: Path) -> None:
    """No decision lost, none half done, no token out that is not on record, the audit chain whole."""
    journal = tmp_path / "journal"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.nursery", database_url, str(LIVES), "7", str(journal)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert sum("issued" in line for line in told) > LIVES / 4, "the lives were too short for anything to happen"
    database = await open_database(database_url)
    try:
        await nothing_lost(database, told)
        await nothing_half_done(database)
        report = await verify(database, PS, [])
        assert report.good, report.findings[:3]
        assert report.chains > LIVES / 4
    finally:
        await database.close()


async def nothing_lost(database: Database, told: list[dict[str, str]]) -> None:
    """What anybody was answered is on record."""
    for line in told:
        if "issued" in line:
            assert await database.fetch_one("SELECT 1 AS one FROM person_issued WHERE jti = :jti", jti=line["issued"])
        if "decided" in line:
            rows = await database.fetch_all(
                "SELECT verdict FROM questions WHERE agent_sub = :sub AND verdict IS NOT NULL", sub=line["agent"]
            )
            assert line["decided"] in {json.loads(row["verdict"])["verdict"] for row in rows}, line
        if "revoked" in line:
            alive = await database.fetch_all(
                "SELECT jti FROM person_issued WHERE agent_sub = :sub AND revoked IS NULL", sub=line["revoked"]
            )
            assert alive == [], line


async def nothing_half_done(database: Database) -> None:
    """Of each decision, token and revocation every part is there, or none."""
    decided, issued = set(), set()
    async for entry in entries(database, PS):
        content = entry.content
        if entry.kind == "decision" and "id" in content:
            decided.add(content["id"])
        if entry.kind == "token":
            issued.add(content["jti"])
    on_record = {row["id"] for row in await database.fetch_all("SELECT id FROM person_decisions")}
    assert on_record == decided
    tokens = {row["jti"] for row in await database.fetch_all("SELECT jti FROM person_issued")}
    assert tokens == issued
    revoked = {row["jti"] for row in await database.fetch_all("SELECT jti FROM person_issued WHERE revoked > 0")}
    sent = {row["jti"] for row in await database.fetch_all("SELECT jti FROM revocation_outbox")}
    assert revoked == sent
    half = await database.fetch_all(
        """SELECT r.pending FROM questions r JOIN pending p ON p.id = r.pending
           WHERE r.verdict IS NOT NULL AND p.state = 'open'"""
    )
    assert half == []
    unbound = await database.fetch_all(
        """SELECT i.jti FROM person_issued i LEFT JOIN person_agents a
           ON a.agent_iss = i.agent_iss AND a.agent_sub = i.agent_sub WHERE a.person IS NULL"""
    )
    assert unbound == []
