"""What an agent waits for, kept so that a restarted one goes on: where to poll, and the key that is bound to it.

draft-11 §11.8, §13.2. One file for each, which only its owner can read: a pending URL is known to nobody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from ..keys import KeyFileError, read_private, write_private
from ..outbound import Pending
from ..protocol.jose import JoseError, SigningKey, parse_json
from .locks import Lock, Locks

LONGEST: Final = 7 * 24 * 3600
"""Seconds after which a pending request is no longer looked for."""
MAX_WAITS: Final = 1024
SETTLED: Final = 50_000_000
"""Nanoseconds after which two changes of a folder do not carry the same time."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One pending request.

    `kind`: `person` or `auth` for a token at the person server, `call` for a request that `by`, a resource, holds.
    `name` tells equal requests. `tokens` are the ones that were sent with it; `shown` where the person was sent;
    `level` the kind of token a held request was made with. `jkt` is the thumbprint of the key that it is bound to.
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
    jkt: str = ""

    @property
    def id(self) -> str:
        """Names this pending request, without saying anything of it."""
        return hashlib.sha256(f"{self.jkt} {self.name}".encode()).hexdigest()[:32]


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
    """The pending requests of one agent; on disk where there is a `folder`, else in memory only.

    Those on disk are seen by every process of the agent. `locks` tell which of them a process looks after now. `only`
    is the thumbprint of the one key that is of interest: what is bound to another is left where it is, since nobody can
    go on with it under this one (draft-11 §13.2).
    """

    def __init__(self, folder: Path | None = None, locks: Locks | None = None, only: str | None = None) -> None:
        self._folder = folder
        self._locks = locks
        self._only = only
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Wait] = {}
        self._keys: dict[str, SigningKey] = {}
        self._taken: dict[tuple[str, str], Lock | None] = {}
        self._seen = -1

    def load(self, now: float) -> SigningKey | None:
        """Read what is kept on disk, and remove what is too old; gives the key that the latest is bound to."""
        for wait in self.all():
            if wait.since + LONGEST < now:
                self.drop(wait)
        latest = max(self._known.values(), key=lambda one: one.since, default=None)
        return self._keys[latest.jkt] if latest is not None else None

    def _follow(self) -> None:
        """Read the folder, if it has changed since."""
        if self._folder is None:
            return
        try:
            changed = os.stat(self._folder).st_mtime_ns
        except OSError:
            return  # there is none yet
        if changed == self._seen:
            return
        with self._lock:
            # A change in the same tick of the clock could not be told from this one: then it is read once more.
            self._seen = changed if time.time_ns() - changed > SETTLED else -1
            found = [one for path in sorted(self._folder.glob("*.json")) if (one := _read(path)) is not None]
            mine = [(wait, key) for wait, key in found if self._only in (None, wait.jkt)]
            self._keys |= {wait.jkt: key for wait, key in mine}
            self._known = {(wait.name, wait.jkt): wait for wait, _ in mine}

    @property
    def are_kept(self) -> bool:
        """Whether another process of this agent, or a restarted one, finds them."""
        return self._folder is not None

    def all(self) -> list[Wait]:
        """Every pending request, the oldest first."""
        self._follow()
        return sorted(self._known.values(), key=lambda one: one.since)

    def find(self, name: str, jkt: str) -> Wait | None:
        """The pending request of that name under the key of that thumbprint."""
        self._follow()
        return self._known.get((name, jkt))

    def at(self, resource: str) -> Wait | None:
        """The latest pending request at, or for, a resource."""
        self._follow()
        found = [wait for wait in self._known.values() if wait.resource == resource] if self._known else []
        return max(found, key=lambda one: one.since, default=None)

    def binds(self, jkt: str) -> bool:
        """Whether any pending request is bound to the key of that thumbprint."""
        self._follow()
        return any(bound == jkt for _, bound in self._known)

    def key_of(self, wait: Wait) -> SigningKey:
        """The key that a pending request is bound to."""
        return self._keys[wait.jkt]

    def keep(self, wait: Wait, key: SigningKey) -> None:
        """Remember a pending request, and the key it is bound to, from before it is waited for."""
        with self._lock:
            if self._known.get((wait.name, wait.jkt)) == wait:
                return
            self._known[wait.name, wait.jkt] = wait
            self._keys[wait.jkt] = key
            while len(self._known) > MAX_WAITS:
                self._forget(next(iter(self._known)))
        if self._folder is not None:
            document = {**asdict(wait), "key": key.to_jwk()}
            write_private(self._folder / f"{wait.id}.json", json.dumps(document).encode())

    def drop(self, wait: Wait) -> None:
        """Forget a pending request that has ended."""
        with self._lock:
            self._forget((wait.name, wait.jkt))

    def _forget(self, name: tuple[str, str]) -> None:
        wait = self._known.pop(name, None)
        if wait is not None and self._folder is not None:
            (self._folder / f"{wait.id}.json").unlink(missing_ok=True)

    def take_over(self, name: str) -> Wait | None:
        """A pending request that no call looks after now, in any process; from now on the caller does."""
        self._follow()
        for wait in [wait for (known, _), wait in self._known.items() if known == name]:
            if self.hold(wait):
                return wait
        return None

    def hold(self, wait: Wait) -> bool:
        """Have a call look after this one. False: another does already."""
        with self._lock:
            if (wait.name, wait.jkt) in self._taken:
                return False
            lock = None
            with contextlib.suppress(OSError):
                lock = self._locks.attempt("wait", wait.id) if self._locks is not None else None
                if lock is None and self._locks is not None:
                    return False
            self._taken[wait.name, wait.jkt] = lock
            return True

    def let_go(self, wait: Wait) -> None:
        """The call that looked after it has ended; an equal one may go on."""
        with self._lock:
            lock = self._taken.pop((wait.name, wait.jkt), None)
        if lock is not None:
            lock.release()

    def __repr__(self) -> str:
        return f"Waits({len(self._known)})"


def _read(path: Path) -> tuple[Wait, SigningKey] | None:
    """A pending request and the key it is bound to; `None`: not one of ours, or half of one, and nothing to resume."""
    try:
        document = parse_json(read_private(path))
        bound = SigningKey.from_jwk(document.pop("key"))
        shown = tuple((str(url), str(code)) for url, code in document.pop("shown"))
        wait = Wait(**{**document, "jkt": bound.kid}, shown=shown)
        return (wait, bound) if path.stem == wait.id else None
    except (OSError, KeyFileError, JoseError, KeyError, TypeError, ValueError):
        return None
