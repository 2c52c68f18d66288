"""How many resources one agent may name: each is looked up and gets an identifier that is kept (draft-11 §7.1)."""

from __future__ import annotations

from typing import Final

from ..protocol.problems import Problem

MOST: Final = 200
"""Different resources that one agent may name within `PERIOD`."""
PERIOD: Final = 3600
"""Seconds."""
MAX_AGENTS: Final = 10_000


class ResourceQuota:
    """Counts what each agent names. In memory: a second process has its own."""

    def __init__(self, *, most: int = MOST, period: int = PERIOD) -> None:
        self._most = most
        self._period = period
        self._named: dict[str, dict[str, float]] = {}

    def admit(self, agent: str, resource: str, now: float) -> None:
        """Return if the agent may name this resource now; raise `Problem` 429 otherwise."""
        named = self._named.setdefault(agent, {})
        for old in [name for name, since in named.items() if since <= now - self._period]:
            del named[old]
        if resource not in named and len(named) >= self._most:
            raise Problem("slow_down", "this agent names too many different resources", retry_after=self._period)
        named[resource] = now
        if len(self._named) > MAX_AGENTS:
            del self._named[next(iter(self._named))]
