"""How much one agent may name: resources, each looked up and kept (draft-11 §7.1), and missions not its own (§8.7).

In memory: a second process counts for itself.
"""

from __future__ import annotations

from typing import Final

from ..protocol.problems import Problem

MOST: Final = 200
"""Different resources that one agent may name within `PERIOD`."""
PERIOD: Final = 3600
"""Seconds."""
MAX_AGENTS: Final = 10_000


class ResourceQuota:
    """Counts the resources that each agent names."""

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


class Misses:
    """Counts how often each agent named a mission that is not there or not its own (draft-11 §8.7).

    Nothing of what it named is kept.
    """

    def __init__(self, *, most: int = 60, period: int = PERIOD) -> None:
        self._most = most
        self._period = period
        self._missed: dict[str, tuple[float, int]] = {}

    def check(self, agent: str, now: float) -> None:
        """Return if the agent may name a mission; raise `Problem` 429 after too many that were none of its own."""
        since, count = self._missed.get(agent, (now, 0))
        if count >= self._most and now < since + self._period:
            wait = max(1, int(since + self._period - now))
            raise Problem("slow_down", "this agent named too many missions that are not its own", retry_after=wait)

    def count(self, agent: str, now: float) -> None:
        """It named another one."""
        since, count = self._missed.pop(agent, (now, 0))
        self._missed[agent] = (since, count + 1) if now < since + self._period else (now, 1)
        if len(self._missed) > MAX_AGENTS:
            del self._missed[next(iter(self._missed))]
