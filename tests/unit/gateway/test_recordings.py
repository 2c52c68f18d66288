"""A decision log: what it holds, what it never holds, and rules run on it again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aauthkit.cli import main
from aauthkit.gateway.recordings import RecordingError, read_recordings, split
from aauthkit.gateway.telling import DecisionLog
from tests.plugins.gateways import FILE, RULES, gate_of
from tests.plugins.resources import API, World

pytestmark = pytest.mark.anyio
SHADOW = RULES + "        shadow: true\n"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Path]:
    """The log of a few decisions."""
    world, path = World(), tmp_path / "decisions.jsonl"
    written = DecisionLog(path)
    gate = gate_of(world, tmp_path, observers=[written])
    await gate.start()
    for signer, target in (
        (world.agent(), "/agents?token=hidden"),
        (world.agent(name="writer"), "/agents"),
        (world.person(), "/orders"),
        (world.grant("orders.read", account="work", tenant="acme"), "/orders"),
    ):
        await gate.decide(API, signer.sign("GET", API + target))
    await gate.close()
    written.close()
    yield path


async def test_each_decision_has_every_verified_field_and_no_secret(log: Path) -> None:
    first, second, third, fourth = [json.loads(line) for line in log.read_text().splitlines()]
    assert (first["outcome"], first["level"], first["route"]) == ("passed", "agent", "GET /agents")
    assert first["caller"]["sub"] == "aauth:planner@agents.example" and first["caller"]["jkt"]
    assert (second["outcome"], second["status"], second["rule"]) == ("refused", 403, "no writers")
    assert len(second["rule_sha256"]) == 64 and second["correlation"].startswith("urn:uuid:")
    assert (third["outcome"], third["asks"]) == ("challenged", "auth-token")
    assert (fourth["caller"]["account"], fourth["caller"]["tenant"]) == ("work", "acme")
    text = log.read_text()
    for secret in ("hidden", "eyJ", "resource-token", "sig=", ":@"):
        assert secret not in text


async def test_test_says_which_decisions_would_change(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE.format(rules=RULES, port=8000, more=""))
    assert main(["policy", "test", "--config", str(file), str(log)]) == 0
    assert "3 decisions, 0 would change" in capsys.readouterr().out
    stricter = "\n      - {name: only work, require: 'grant.account == \"work2\"'}\n"
    file.write_text(FILE.format(rules=stricter, port=8000, more=""))
    assert main(["policy", "test", "--config", str(file), str(log)]) == 1
    told = capsys.readouterr().out
    assert "line 2: GET /agents was refused, would be allowed" in told
    assert "line 4: GET /orders was allowed, would be refused by only work" in told


async def test_explain_shows_which_part_said_no(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = (
        "\n      - name: both\n        require: >-\n"
        '          agent.provider == "https://agents.example" && (agent.id != "aauth:writer@agents.example")\n'
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE.format(rules=rules, port=8000, more=""))
    assert main(["policy", "explain", "--config", str(file), "--line", "2", str(log)]) == 0
    told = capsys.readouterr().out
    assert "line 2: refused, decided by both" in told and "> require both" in told
    assert 'true   agent.provider == "https://agents.example"' in told
    assert 'false  agent.id != "aauth:writer@agents.example"' in told


async def test_in_shadow_a_rule_is_logged_and_blocks_nothing(tmp_path: Path) -> None:
    world = World()
    for rules, more in ((SHADOW, ""), (RULES, "    shadow: true")):
        told: list[object] = []
        gate = gate_of(world, tmp_path, rules=rules, more=more, observers=[told.append])
        await gate.start()
        verdict = await gate.decide(API, world.agent(name="writer").sign("GET", f"{API}/agents"))
        await gate.close()
        assert type(verdict).__name__ == "Passed"
        assert told[0].shadowed == ("no writers",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a && b || c", ["a", "b", "c"]),
        ('(x == "a && b") && y', ['x == "a && b"', "y"]),
        ("((a)) ", ["a"]),
        ("(a) && (b)", ["a", "b"]),
        ("a && b ? c : d", ["a && b ? c : d"]),
        ('all(x, x && y) && "it\\"s && "', ["all(x, x && y)", '"it\\"s && "']),
    ],
)
def test_a_condition_is_cut_at_its_outermost_joints(text: str, parts: list[str]) -> None:
    assert split(text) == parts


def test_a_line_that_is_no_decision_is_named() -> None:
    with pytest.raises(RecordingError, match="line 2"):
        list(read_recordings(['{"outcome": "open"}', "nonsense"]))
