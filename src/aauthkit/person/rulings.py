"""What rules say before a person is asked: the seam between a person server and whoever writes its rules.

Three levels, from the most to the least: the server *may decide* by itself, it *must ask* the person, it *never* says
yes. Completions, questions and relays are for people alone: no rule decides them (draft-11 §8.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from .asked import Asked
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


class Rules(Protocol):
    """The rules of one person server."""

    async def ruling(self, asked: Asked, person: str | None, now: int) -> Ruling | None:
        """What is said of a request; `None` where no rule speaks about it, which means that the person is asked."""


class NoRules:
    """A person server whose people are asked about everything."""

    async def ruling(self, asked: Asked, person: str | None, now: int) -> Ruling | None:
        """None speaks about anything."""
        return None
