"""`aauthkit provider suspend` beside a running `aauthkit up`: three real processes, one revocation (F57)."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from tests.plugins.commands import PATIENCE, Commands


def suspended(commands: Commands) -> Any:
    ran = commands.run("provider", "suspend", "planner", "--json")
    assert ran.code == 0, ran.err
    return ran.json


def test_f57_the_running_provider_revokes_at_the_running_person_server(commands: Commands) -> None:
    """F57, AP-07: decided by one process, sent by another, recorded by a third."""
    commands.up()
    enrolling = commands.start("init", "planner")
    enrolling.wait_for("until .* admits planner")
    assert commands.run("provider", "approve", "planner").code == 0
    assert enrolling.end().code == 0
    deadline = time.monotonic() + PATIENCE
    (revocation,) = suspended(commands)["revocations"]
    while revocation["state"] != "recorded":
        assert time.monotonic() < deadline, revocation
        time.sleep(0.1)
        (revocation,) = suspended(commands)["revocations"]
    with sqlite3.connect(commands.home / "person.db") as records:
        known = records.execute("SELECT jti FROM revoked_tokens").fetchall()
    records.close()
    assert known == [(revocation["jti"],)]
