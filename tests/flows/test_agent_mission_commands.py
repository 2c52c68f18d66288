"""`aauthkit mission`, `permission`, `ask` and `fetch --mission` against servers of their own (draft-11 §7.6 to §8)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from aauthkit.demo.visitor import Script
from tests.flows.test_command_line import PASSWORD, Town
from tests.flows.test_command_line import town as town  # noqa: PLC0414 - a fixture
from tests.plugins.commands import Running, play

pytestmark = pytest.mark.timeout(300)

SAYS_YES = Script("alice", PASSWORD, approves=frozenset({"orders.read"}), memory="kept", answers="The window, please.")
SAYS_NO = Script("bob", PASSWORD, denies=frozenset({"mission", "permission"}))


def acted(town: Town, *words: str, script: Script = SAYS_YES) -> Running:
    """A command with somebody at the page."""
    running = town.commands.start(*words, "--show", "terminal")
    play(town.found.egress_file, running, script)
    running.end()
    return running


def proposed(town: Town, agent: str, *words: str) -> dict[str, Any]:
    """A mission that was approved."""
    running = acted(town, "mission", "propose", "# Order lamps\n\nFor the office.", "--json", "--agent", agent, *words)
    assert running.process.returncode == 0, running.err
    found: dict[str, Any] = json.loads(running.out)
    return found


def test_a_mission_is_proposed_listed_and_shown(town: Town) -> None:
    """§8.1, §8.2: tools, resources, limits and an end, as they were approved; listed and shown from what is kept."""
    agent = town.agent("proposer")
    mission = proposed(
        town,
        agent,
        *("--tool", "Search: Compare prices", "--tool", "Read", "--resource", town.api),
        *("--limits", '{"tokens": 5}', "--expires", "2096-01-01T12:00:00+01:00"),
    )
    assert [tool["name"] for tool in mission["tools"]] == ["Search", "Read"]
    assert (mission["resources"], mission["limits"], mission["ended"]) == ([town.api], {"tokens": 5}, None)
    assert mission["expires_at"] == "2096-01-01T11:00:00+00:00"
    listed = town.commands.run("mission", "list", "--agent", agent, "-q")
    assert listed.out == f"{mission['s256']}  active  # Order lamps\n"
    shown = town.commands.run("mission", "show", mission["s256"][:8], "--agent", agent, "-q")
    assert shown.code == 0, shown.err
    assert all(said in shown.out for said in (mission["s256"], "Search, Read", town.api, "For the office."))
    assert json.loads(town.commands.run("mission", "show", mission["s256"], "--agent", agent, "--json").out) == mission


def test_calls_are_made_under_a_mission_which_is_changed_and_completed(town: Town) -> None:
    """AG-33, AG-35, §8.3, §8.4, §8.5: and what is over refuses further calls."""
    agent = town.agent("worker")
    mission = proposed(town, agent, "--resource", town.api)
    under = ("--agent", agent, "--mission", mission["s256"][:10])
    fetched = acted(town, "fetch", *under, f"{town.api}/orders")
    assert fetched.process.returncode == 0, fetched.err
    changed = acted(town, "mission", "update", mission["s256"], "Only two lamps.", "--agent", agent)
    assert re.search(r"^accepted: \S{43}$", changed.out, re.M), changed.err
    done = acted(town, "mission", "complete", mission["s256"], "Ordered.", "--agent", agent)
    assert "the mission is completed" in done.out
    over = town.commands.run("fetch", "-q", *under, f"{town.api}/orders")
    assert over.code == 1
    assert "the mission has ended (completed)" in over.err
    assert "ended: completed" in town.commands.run("mission", "list", "--agent", agent, "-q").out


def test_a_permission_is_an_exit_code_and_a_question_has_an_answer(town: Town) -> None:
    """AG-64, §7.6, §7.7."""
    agent = town.agent("asker")
    asked = acted(town, "ask", "Aisle or window?", "--agent", agent)
    assert asked.out == "The window, please.\n"
    words = ("permission", "SendEmail", "--parameters", '{"to": "pat@example.com"}', "--agent", agent, "--json")
    granted = acted(town, *words)
    assert granted.process.returncode == 0
    assert json.loads(granted.out) == {"permission": "granted", "reason": None, "asked": True}
    other = town.agent("refused")
    denied = acted(town, "permission", "SendEmail", "--agent", other, script=SAYS_NO)
    assert (denied.process.returncode, denied.out) == (1, "denied\n")
    declined = acted(town, "mission", "propose", "Everything.", "--agent", other, script=SAYS_NO)
    assert declined.process.returncode == 1
    assert "declined" in declined.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mission", "show", "abc"), "no mission that is kept here"),
        (("mission", "propose", "x", "--limits", "{"), "--limits is not JSON"),
        (("mission", "propose", "x", "--limits", "[]"), "--limits is an object"),
        (("mission", "propose", "x", "--expires", "tomorrow"), "--expires is not a time"),
        (("mission", "propose", "x", "--expires", "2096-01-01"), "--expires names no zone"),
        (("permission", "x", "--parameters", "1"), "--parameters is an object"),
        (("fetch", "--mission", "abcdefgh", "https://api.example"), "no mission that is kept here"),
        (("fetch", "--mission", "abcdefgh", "--as", "key", "https://api.example"), "--mission say nothing"),
    ],
)
def test_what_makes_no_sense_is_said(town: Town, words: tuple[str, ...], said: str) -> None:
    agent = ("--agent", "nobody") if "--as" not in words else ()
    if agent and not (town.commands.home / "agents" / "nobody.json").exists():
        town.agent("nobody")
    ran = town.commands.run(*words, *agent, "-q")
    assert ran.code == 2
    assert said in ran.err
