"""What a person asks an agent before they decide, and what it answers (draft-11 §7.5).

Pure: a conversation is part of the question it is about, and is kept with the decision as evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MAX_ROUNDS: Final = 5
"""Questions that a person may put to an agent about one request (draft-11 §7.5.3)."""
MAX_QUESTION: Final = 1000
MAX_ANSWER: Final = 4096
"""Longest question and answer, in characters."""
ANSWER_WITHIN: Final = 300
"""Seconds an agent has to answer: a person may sit at its terminal."""


@dataclass(frozen=True, slots=True)
class Change:
    """How an agent changed its request instead of, or beside, answering; scopes in the resource's words."""

    dropped: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    account_before: str | None = None
    account_now: str | None = None

    @property
    def is_none(self) -> bool:
        """Whether it asks for just what it asked for before."""
        return not self.dropped and not self.added and self.account_before == self.account_now


@dataclass(frozen=True, slots=True)
class Turn:
    """One question, by the account `by`, and what came of it. Times are seconds since the epoch.

    `answer` is agent-asserted Markdown (draft-11 §7.5.2.1). After `until` there will be none.
    """

    by: str
    question: str = field(repr=False)
    asked: int
    until: int
    answered: int | None = None
    answer: str | None = field(default=None, repr=False)
    change: Change | None = None

    def is_open(self, now: float) -> bool:
        """Whether it is the agent's turn: there is no answer, and still time for one."""
        return self.answered is None and now < self.until
