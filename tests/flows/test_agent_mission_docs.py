"""The examples of docs/missions.md run as they stand, one after another, with the same mission."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

from aauthkit.agent import Agent
from aauthkit.person.limits import _KNOWN
from aauthkit.protocol.jose import parse_json
from aauthkit.protocol.missions import Tool, mission_s256, write_blob
from tests.flows.test_agent_mission_refusals import AGENT, Approving, approval
from tests.plugins.machine import PROJECT
from tests.plugins.simulators import Parties, json_body
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

PAGE = (PROJECT / "docs" / "missions.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)


def approves(approving: Approving, parties: Parties) -> None:
    """A person server that approves what is proposed, and whose resource copies the mission."""
    numbers = iter(range(1, 100))

    def proposed(request: Received) -> Reply:
        caller = parties.ps.verify(request)
        body = parse_json(request.body)
        approving.blob = write_blob(
            agent=AGENT,
            approved_at=parties.clock() + next(numbers),
            description=body["description"],
            approved_tools=[Tool(one["name"], one.get("description", "")) for one in body.get("tools", [])],
            approved_resources=body.get("resources", []),
        )
        named = mission_s256(approving.blob)
        for claims in (parties.ps.person_claims, parties.resource.resource_claims, parties.ps.auth_claims):
            claims["mission_s256"] = named
        tokens = {one: approving.token(caller, one) for one in body.get("resources", [])}  # type: ignore[arg-type]
        own = f"/mission_endpoint/{named}"
        parties.ps.script[own] = [json_body({"s256": mission_s256(b"update")}), json_body({"status": "completed"})]
        return json_body(approval(approving.blob, person_tokens=tokens))

    parties.ps.script["/mission_endpoint"] = [proposed] * 9
    approving.script("/permission_endpoint", json_body({"permission": "granted"}))
    approving.script("/audit_endpoint", Reply(201, (), b""))
    approving.script("/interaction_endpoint", json_body({"answer": "Yes."}))


async def test_the_examples_of_the_missions_page_run(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    approves(Approving(parties), parties)
    agent = parties.agent()
    monkeypatch.setattr(Agent, "load", lambda _name: agent)
    names: dict[str, Any] = {}
    for number, example in enumerate(EXAMPLES):
        code = compile(example, f"example {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, names)
        if inspect.isawaitable(outcome):
            await outcome
        if names.get("response") is not None:
            assert names["response"].status_code == 200
    assert names["response"] is None
    assert await agent.flush()
    assert parties.ps.count("/audit_endpoint") == 1


def test_every_limit_that_is_checked_is_explained() -> None:
    table = PAGE.partition("| limit |")[2].partition("\n\n")[0]
    first = " ".join(line.split("|")[1] for line in table.splitlines()[2:])
    assert set(re.findall(r"`(\w+)`", first)) == set(_KNOWN)
