"""A figure: what was compared with what, how often, and whether the goal was reached."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

ROUNDS = 7
"""Rounds of a figure unless it says otherwise; never fewer than five, but for one that says how few."""


class Unavailable(Exception):
    """A figure cannot be measured here, for want of something that is not a Python package."""


@dataclass(frozen=True)
class Figure:
    """One row: the ratio of each round, and the goal its median is held against; `None` for one that is reported.

    `least`: how few rounds are enough; one that takes minutes may be measured once, and says so.
    """

    key: str
    what: str
    goal: float | None
    better: Literal["lower", "higher"]
    rounds: Sequence[float]
    detail: str = ""
    least: int = 5
    median: float = field(init=False)
    reached: bool = field(init=False)

    def __post_init__(self) -> None:
        if len(self.rounds) < self.least:
            raise ValueError(f"{self.key} was measured {len(self.rounds)} times, and {self.least} are the least")
        median = statistics.median(self.rounds)
        object.__setattr__(self, "median", median)
        object.__setattr__(self, "reached", self.goal is None or _reaches(median, self.goal, self.better))


def _reaches(median: float, goal: float, better: str) -> bool:
    return median <= goal if better == "lower" else median >= goal


def table(figures: Sequence[Figure]) -> str:
    """The figures for a person; a goal that was missed is said to be missed."""
    lines = [f"{'figure':<36} {'median':>8} {'least':>8} {'most':>8}   goal"]
    for one in figures:
        spread = f"{min(one.rounds):>8.3f} {max(one.rounds):>8.3f}"
        lines.append(f"{one.key:<36} {one.median:>8.3f} {spread}   {_goal(one)}")
        lines.append(f"    {one.what}" + (f"; {one.detail}" if one.detail else ""))
    return "\n".join(lines)


def _goal(one: Figure) -> str:
    if one.goal is None:
        return "reported"
    return f"{'≤' if one.better == 'lower' else '≥'} {one.goal:g} {'reached' if one.reached else 'MISSED'}"


def write(figures: Sequence[Figure], path: Path) -> None:
    """The figures for a program, with the machine they were taken on."""
    document = {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "figures": [asdict(one) for one in figures],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
