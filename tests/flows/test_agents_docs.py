"""The examples of docs/agents.md run as they stand."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

from aauthkit.agent import Agent
from tests.plugins.machine import PROJECT
from tests.plugins.simulators import Parties

pytestmark = pytest.mark.anyio

EXAMPLES = re.findall(r"^```python\n(.*?)^```", (PROJECT / "docs" / "agents.md").read_text(), re.S | re.M)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_an_example_of_the_agents_page_runs(
    parties: Parties, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    agent = parties.agent()
    monkeypatch.setattr(Agent, "load", lambda _name: agent)
    names: dict[str, Any] = {"agent": agent}
    code = compile(EXAMPLES[number], f"example {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, names)
    if inspect.isawaitable(outcome):
        await outcome
    if "response" in names:
        assert names["response"].status_code == 200
