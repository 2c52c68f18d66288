"""What a refusal tells besides its error: the older draft that its sender speaks, and the id it has in their log."""

from __future__ import annotations

import re
from typing import Final

from ..protocol.messages import Answer, HeaderList
from ..protocol.problems import CORRELATION

OLDER_FIELDS: Final = frozenset({"agent-auth", "aauth"})
"""Fields in which older drafts asked for what AAuth-Requirement asks for."""
_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")


def asks_in_an_older_form(headers: HeaderList) -> bool:
    """Whether a response asks for something in a field that draft-11 no longer has."""
    return any(name in OLDER_FIELDS for name, _ in headers)


def beside(answer: Answer) -> str:
    """In brackets, for the end of a message; empty where there is nothing."""
    from ..explaining.dialects import older_answer

    told = [f"{older.said}; in -11: {older.instead}" for older in older_answer(answer)][:2]
    correlation = answer.header(CORRELATION)
    if correlation is not None and _ID.match(correlation):
        told.append(f"in their log: {correlation}")
    return f" ({'; '.join(told)})" if told else ""
