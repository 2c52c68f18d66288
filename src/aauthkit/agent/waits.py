"""What an agent waits for, kept so that a restarted one goes on: where to poll, and the key that is bound to it.

draft-11 §11.8, §13.2. One file for each, which only its owner can read: a pending URL is known to nobody else.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from ..keys import KeyFileError, read_private, write_private
from ..outbound import Pending
from ..protocol.jose import JoseError, SigningKey, parse_json

LONGEST: Final = 7 * 24 * 3600
"""Seconds after which a pending request is no longer looked for."""
MAX_WAITS: Final = 1024


@dataclass(frozen=True, slots=True)
class Wait:
    """One pending request.

    `kind`: `person` or `auth` for a token at the person server, `call` for a request that `by`, a resource, holds.
    `name` tells equal requests. `tokens` are the ones that were sent with it; `shown` where the person was sent;
    `level` the kind of token a held request was made with.
    """

    kind: str
    by: str
    name: str
    resource: str
    location: str = field(repr=False)
    since: int
    requirement: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    shown: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    level: str = "agent"

    @property
    def id(self) -> str:
        """Names this pending request, without saying anything of it."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:32]


def shown_with(shown: tuple[tuple[str, str], ...], pending: Pending) -> tuple[tuple[str, str], ...]:
    """Where the person was sent, with what a 202 says now."""
    requirement = pending.requirement
    if requirement is None or requirement.value != "interaction":
        return shown
    page = (requirement.text("url"), requirement.text("code"))
    return shown if page in shown else (*shown, page)


def name_of(*parts: object) -> str:
    """The name of a request, made of what tells it from others."""
    return json.dumps([sorted(part) if isinstance(part, frozenset) else part for part in parts])


class Waits:
    """The pending requests of one agent; on disk where there is a `folder`, else in memory only."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, Wait] = {}
        self._taken: set[str] = set()

    def load(self, now: float, key: SigningKey | None = None) -> SigningKey | None:
        """Read what is kept on disk for `key`, by default for the one that the latest is bound to; gives that key.

        What is bound to another key is left where it is: nobody can go on with it under this one (draft-11 §13.2).
        """
        found: list[tuple[Wait, SigningKey]] = []
        for path in sorted(self._folder.glob("*.json")) if self._folder is not None else []:
            try:
                document = parse_json(read_private(path))
                bound = SigningKey.from_jwk(document.pop("key"))
                shown = tuple((str(url), str(code)) for url, code in document.pop("shown"))
                wait = Wait(**document, shown=shown)
                if wait.since + LONGEST < now:
                    path.unlink(missing_ok=True)
                    continue
            except (OSError, KeyFileError, JoseError, KeyError, TypeError, ValueError):
                continue  # not one of ours, or half of one: there is nothing to resume
            found.append((wait, bound))
        if found and key is None:
            key = max(found, key=lambda one: one[0].since)[1]
        self._known = {wait.name: wait for wait, bound in found if key is not None and bound.kid == key.kid}
        return key

    @property
    def holds_calls(self) -> bool:
        """Whether a resource holds any request of this agent."""
        return any(wait.kind == "call" for wait in self._known.values())

    def all(self) -> list[Wait]:
        """Every pending request, the oldest first."""
        return sorted(self._known.values(), key=lambda one: one.since)

    def find(self, name: str) -> Wait | None:
        """The pending request of that name."""
        return self._known.get(name)

    def keep(self, wait: Wait, key: SigningKey) -> None:
        """Remember a pending request, and the key it is bound to, from before it is waited for."""
        with self._lock:
            if self._known.get(wait.name) == wait:
                return
            self._known[wait.name] = wait
            while len(self._known) > MAX_WAITS:
                self._forget(next(iter(self._known)))
        if self._folder is not None:
            document = {**asdict(wait), "key": key.to_jwk()}
            write_private(self._folder / f"{wait.id}.json", json.dumps(document).encode())

    def drop(self, name: str) -> None:
        """Forget a pending request that has ended."""
        with self._lock:
            self._forget(name)

    def _forget(self, name: str) -> None:
        wait = self._known.pop(name, None)
        self._taken.discard(name)
        if wait is not None and self._folder is not None:
            (self._folder / f"{wait.id}.json").unlink(missing_ok=True)

    def take_over(self, name: str) -> Wait | None:
        """A pending request that nobody here looks after now; from now on the caller does."""
        with self._lock:
            if name in self._taken or name not in self._known:
                return None
            self._taken.add(name)
            return self._known[name]

    def hold(self, name: str) -> None:
        """Note that a call looks after this one."""
        with self._lock:
            self._taken.add(name)

    def let_go(self, name: str) -> None:
        """The call that looked after it has ended; an equal one may go on."""
        with self._lock:
            self._taken.discard(name)

    def __repr__(self) -> str:
        return f"Waits({len(self._known)})"
