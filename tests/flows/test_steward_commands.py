"""`aauthkit person agents|missions|rules` beside a running person server: three real processes, rules, and a stop."""

from __future__ import annotations

import json
import signal
import sqlite3

import pytest

from tests.flows.test_command_line import READS, Town, town
from tests.plugins.commands import Commands

pytestmark = pytest.mark.timeout(300)

__all__ = ["town"]
RULES = """
[[rule]]
name = "person tokens"
kinds = ["identity"]
when = 'person.known && agent.name == "planner"'
then = "may decide"
"""


def test_rules_are_set_tested_listed_and_cleared(commands: Commands) -> None:
    commands.up()
    file = commands.root / "rules.toml"
    file.write_text(RULES)
    assert "no rule is in force" in commands.run("person", "rules", "list").out
    done = commands.run("person", "rules", "set", str(file))
    assert (done.code, done.out) == (0, "1 rule in force\n"), done.err
    assert 'name = "person tokens"' in commands.run("person", "rules", "list").out
    (listed,) = commands.run("person", "rules", "list", "--json").json
    assert (listed["name"], listed["then"]) == ("person tokens", "may decide")
    assert commands.run("person", "rules", "test", str(file)).out == "0 of 0 recorded decisions would be others\n"
    file.write_text(RULES.replace("agent.name", "agent.nme"))
    broken = commands.run("person", "rules", "set", str(file))
    assert broken.code == 1 and "undefined field 'nme'" in broken.err
    assert commands.run("person", "rules", "clear").code == 0
    assert "no rule is in force" in commands.run("person", "rules", "list").out


def test_an_agent_is_stopped_started_and_released_by_command(town: Town) -> None:
    """§13.14, F57: beside the running server, which sees it with the next request."""
    name = town.agent("stopped")
    first, _ = town.fetch("--agent", name, f"{town.api}/orders", script=READS)
    assert first.process.returncode == 0, first.err
    run = town.commands.run
    (listed,) = [one for one in run("person", "agents", "list", "--json").json if "stopped@" in one["agent"]]
    agent = listed["agent"]
    assert (listed["person"], listed["stopped"]) == ("alice", None)
    stopped = run("person", "agents", "stop", agent, "--json")
    assert stopped.json == {"agent": agent, "stopped": True, "recipients": [town.api]}, stopped.err
    refused = run("fetch", "--show", "terminal", "--agent", name, "--ask", f"{town.api}/orders")
    assert refused.code == 1 and "the person stopped this agent" in refused.err
    assert "STOPPED" in run("person", "agents", "list").out
    assert run("person", "agents", "start", agent).out == f"{agent} may ask again\n"
    nobody = run("person", "agents", "bind", agent, "nobody")
    assert nobody.code == 1 and "nobody here is called nobody" in nobody.err
    assert run("person", "agents", "release", agent).code == 0
    assert agent not in run("person", "agents", "list").out
    gone = run("person", "agents", "stop", agent)
    assert gone.code == 1 and "no agent here is called" in gone.err


def test_recordings_are_lines_without_secrets_that_rules_are_tried_on(commands: Commands) -> None:
    commands.up()
    shown = commands.run("person", "rules", "record")
    assert (shown.code, shown.out) == (0, "")
    recording = {
        "level": "identity",
        "facts": {
            "request": {"kind": "identity"},
            "agent": {"id": "aauth:planner@a.example", "name": "planner", "provider": "https://a.example"},
            "person": {"id": "x", "known": True},
            "mission": {"named": False},
            "history": {},
            "resource": {"id": "https://r.example"},
            "now": 1,
        },
        "outcome": "approved",
        "by": "person",
        "at": 1,
    }
    lines, rules = commands.root / "recordings.jsonl", commands.root / "rules.toml"
    lines.write_text(json.dumps(recording) + "\n")
    rules.write_text(RULES)
    tried = commands.run("person", "rules", "test", str(rules), "--recordings", str(lines))
    assert tried.code == 0, tried.err
    assert tried.out.splitlines() == [
        "asked    -> approved   by person tokens: aauth:planner@a.example identity https://r.example",
        "1 of 1 recorded decisions would be others",
    ]
    told = commands.run("person", "rules", "test", str(rules), "--recordings", str(lines), "--json").json
    assert told["changes"][0]["rule"] == "person tokens"


def test_the_audit_log_is_checked_exported_and_shortened_by_command(commands: Commands) -> None:
    """§13.17: what was meddled with is found, and by the file outside also what was cut off."""
    up = commands.up()
    rules = commands.root / "rules.toml"
    rules.write_text(RULES)
    assert commands.run("person", "rules", "set", str(rules)).code == 0
    outside = commands.root / "kept.checkpoints"
    assert commands.run("audit", "checkpoint", "--to", str(outside)).code == 0
    assert commands.run("person", "rules", "clear").code == 0
    good = commands.run("audit", "verify", "--checkpoint", str(outside))
    assert good.code == 0 and "as they were written" in good.out, good.out + good.err
    lines = [json.loads(line) for line in commands.run("audit", "export", "--kind", "rules").out.splitlines()]
    assert sorted(line["entry"]["names"] for line in lines) == [[], ["person tokens"]]
    assert json.loads(commands.run("audit", "prune", "--days", "1", "--json").out) == {"discarded": 0}
    nothing = commands.run("audit", "evidence", "none")
    assert nothing.code == 1 and "nothing is kept under this name" in nothing.err
    up.send(signal.SIGTERM)
    up.end()
    assert commands.run("audit", "verify").code == 0
    with sqlite3.connect(commands.home / "person.db") as records:
        records.execute("DELETE FROM audit_entries WHERE kind = 'rules'")
    records.close()
    bad = commands.run("audit", "verify", "--json")
    assert bad.code == 1 and not bad.json["good"] and bad.json["findings"]
