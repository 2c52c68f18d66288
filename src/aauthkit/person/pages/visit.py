"""What a browser session remembers between pages: with which code it came, and where it goes on to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...accounts import Session

MAX_VISITS: Final = 5
"""Questions of which one session remembers how it came to them; the callback of each may be long."""
_NEXT: Final = re.compile(r"/(?:decide/[A-Za-z0-9_-]{1,64}|allowed|missions|agents)?\Z")


@dataclass(frozen=True, slots=True)
class Visit:
    """How the browser came to a question: the code to compare, and the agent's callback, checked, if it gave one.

    `chosen`: the account that the person said they decide as, where they were to choose (`prompt=select_account`).
    """

    code: str | None = field(default=None, repr=False)
    callback: str | None = field(default=None, repr=False)
    chosen: str | None = None


def visit_to(session: Session, page: str) -> Visit:
    """How this session came to a question; nothing is known of one found on the home page."""
    kept = session.data.get("visits", {}).get(page, {})
    return Visit(kept.get("code"), kept.get("callback"), kept.get("chosen"))


def with_visit(data: Mapping[str, Any], page: str, visit: Visit) -> dict[str, Any]:
    """Session data that remembers this visit, and lets the oldest go."""
    visits = {name: kept for name, kept in data.get("visits", {}).items() if name != page}
    visits[page] = {"code": visit.code, "callback": visit.callback, "chosen": visit.chosen}
    latest = dict(list(visits.items())[-MAX_VISITS:])
    return {**data, "visits": latest}


def with_next(data: Mapping[str, Any], path: str, *, afresh: bool = False) -> dict[str, Any]:
    """Session data that remembers where to go after signing in; `afresh` if whoever is signed in does so again."""
    return {**data, "next": path, **({"afresh": True} if afresh else {})}


def is_afresh(session: Session) -> bool:
    """Whether the person is to sign in again although they have."""
    return session.data.get("afresh") is True


def signed_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """Session data after somebody signed in."""
    return {name: value for name, value in data.items() if name not in ("next", "afresh")}


def next_of(session: Session) -> str:
    """Where to go after signing in: a page of ours, `/` unless one was left."""
    path = session.data.get("next", "/")
    return path if isinstance(path, str) and _NEXT.match(path) else "/"
