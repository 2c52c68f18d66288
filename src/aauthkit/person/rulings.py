"""What rules may say before a person is asked.

Three levels, from the most to the least: the server *may decide* by itself, it *must ask* the person, it *never* says
yes. Completions, questions and relays are for people alone: no rule decides them (draft-11 §8.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from .consent import Kind

Level = Literal["may decide", "must ask", "never"]
DECIDABLE: Final[frozenset[Kind]] = frozenset({"identity", "scope", "mission", "update", "permission"})
"""The kinds for which a rule may say yes."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say of one request: by which rule, and the SHA-256 of its text.

    `reason` is what the agent may read of a refusal.
    """

    level: Level
    rule: str
    sha256: str
    reason: str | None = None

    @property
    def by(self) -> str:
        """Who decided, as every record of a decision says it."""
        return f"rule {self.rule} {self.sha256[:16]}"
