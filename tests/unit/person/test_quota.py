"""How many resources one agent may name (draft-11 §7.1)."""

from __future__ import annotations

import pytest

from aauthkit.person.quota import ResourceQuota
from aauthkit.protocol.problems import Problem


def test_one_agent_names_so_many_resources_in_a_while_and_others_are_not_hindered() -> None:
    quota = ResourceQuota(most=3, period=100)
    for number in range(3):
        quota.admit("planner", f"https://r{number}.example", now=0)
    quota.admit("planner", "https://r1.example", now=1)
    with pytest.raises(Problem) as caught:
        quota.admit("planner", "https://r3.example", now=1)
    assert (caught.value.code, caught.value.status, caught.value.retry_after) == ("slow_down", 429, 100)
    quota.admit("buyer", "https://r3.example", now=1)
    quota.admit("planner", "https://r3.example", now=100)
