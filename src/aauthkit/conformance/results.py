"""What came of a vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .pack import Vector

Outcome = Literal["passed", "failed", "broken", "skipped"]
"""`broken`: no answer at all, or one that is none."""


@dataclass(frozen=True, slots=True)
class Result:
    """One vector, and how it went. `reason` says why where it did not pass."""

    vector: Vector
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0
    answer: Mapping[str, Any] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "id": self.vector.id,
            "kind": self.vector.kind,
            "sections": list(self.vector.sections),
            "title": self.vector.title,
            "outcome": self.outcome,
            "reason": self.reason,
            "seconds": round(self.seconds, 6),
            "expected": dict(self.vector.expected),
            "answer": dict(self.answer) if self.answer is not None else None,
        }


def counts(results: Sequence[Result]) -> dict[str, int]:
    """How many had which outcome."""
    found = Counter(result.outcome for result in results)
    return {outcome: found[outcome] for outcome in ("passed", "failed", "broken", "skipped")}
