"""What the processes of one agent share on this machine: the key that signs, its agent token, and tokens bound to it.

draft-11 §7.1 (caching), §7.9.1. One file for each, of mode 0600 in a folder of mode 0700, written whole. What cannot be
read, is another's, or is not what was looked for counts as not there: it is asked for anew, and replaced.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..keys import write_private
from ..protocol.identifiers import LoopbackProfile
from ..protocol.jose import JoseError, SigningKey, parse_json
from ..protocol.tokens import AGENT_TYP, AUTH_TYP, PERSON_TYP, AgentToken, AuthToken, PersonToken, TokenRejected
from ..protocol.tokens import read_token as read
from .caches import Held, Level, Place
from .locks import Locks, digest_of, is_own, own_folder

log = logging.getLogger("aauthkit.agent")

MAX_ENTRIES: Final = 2048
"""Most tokens that are kept; those that end first make room."""
LONGEST: Final = 64 * 1024
"""Most bytes that are read of one file."""
PROVIDER_PATIENCE: Final = 60.0
"""Seconds for which one process waits while another asks the provider."""
CURRENT: Final = "current.key"

_TYPES: Final = {"agent": AGENT_TYP, "person": PERSON_TYP, "grant": AUTH_TYP}
_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Shared:
    """The folder that the processes of one agent share.

    A token is found under its key only, for the agent, provider and person server it was had from and for.
    """

    folder: Path
    agent: str
    provider: str
    person_server: str | None
    loopback: LoopbackProfile
    clock: Callable[[], float] = field(repr=False)

    @property
    def locks(self) -> Locks:
        """Its locks."""
        return Locks(self.folder)

    @contextlib.asynccontextmanager
    async def alone(self, *name: object, limit: float | None = None) -> AsyncIterator[None]:
        """Keep every other process out that wants the same; without a lock where the folder cannot have one."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.locks.held(*name, limit=limit))
            except OSError as error:
                log.warning("nothing is shared with other processes of %s: %s", self.agent, error)
            yield

    # The key.

    def current(self) -> SigningKey | None:
        """The key that signs, if it is known here."""
        try:
            return SigningKey.from_jwk(self._read(self.folder / CURRENT).get("key"))
        except (OSError, JoseError, ValueError):
            return None

    def make_current(self, key: SigningKey) -> None:
        """Have `key` sign from now on, in every process that is not bound to another."""
        self._write(self.folder / CURRENT, {"key": key.to_jwk()})
        self.sweep()

    # Tokens.

    def find_agent(self, key: SigningKey) -> Held | None:
        """The agent token for `key`, if there is one that may be presented."""
        return self._find("agent", key)

    def find(self, level: Level, place: Place, key: SigningKey) -> Held | None:
        """The person token or auth token of `place`, if there is one that may be presented."""
        return self._find(level, key, *_parts(level, place))

    def keep(self, held: Held, place: Place | None = None) -> None:
        """Put a token in its place, instead of the one that was there; an agent token has none."""
        parts = _parts(held.level, place) if place is not None else ()
        document = {
            "jkt": held.key.kid,
            "exp": held.token.exp,
            "token": held.token.raw,
            "asked": sorted(held.asked),
        }
        self._write(self._path(held.level, held.key.kid, parts), document)

    def forget(self, place: Place, held: Held) -> None:
        """Drop a token that a server refused, if it is still the one that is kept."""
        path = self._path(held.level, held.key.kid, _parts(held.level, place))
        with contextlib.suppress(OSError, JoseError, ValueError):
            if self._read(path).get("token") == held.token.raw:
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what has ended, and as much besides as there is too much."""
        now, ends = self.clock(), []
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*.token"):
                end = self._end_of(path)
                if end <= now:
                    path.unlink(missing_ok=True)
                else:
                    ends.append((end, path))
            for _, path in sorted(ends)[: max(len(ends) - MAX_ENTRIES, 0)]:
                path.unlink(missing_ok=True)

    def _end_of(self, path: Path) -> float:
        try:
            end = self._read(path).get("exp")
        except (OSError, JoseError, ValueError):
            return 0.0
        return float(end) if isinstance(end, int) else 0.0

    def _find(self, level: Level, key: SigningKey, *parts: str | None) -> Held | None:
        path = self._path(level, key.kid, parts)
        try:
            document = self._read(path)
            token = read(document["token"], {_TYPES[level]}, loopback=self.loopback)
            assert isinstance(token, AgentToken | PersonToken | AuthToken)
            held = Held.of(token, key, frozenset(str(scope) for scope in document["asked"]))
            sound = (document["jkt"], document["exp"]) == (key.kid, token.exp) and token.cnf.same_key(key.public)
        except (OSError, JoseError, TokenRejected, LookupError, TypeError, ValueError):
            return None
        return held if sound and self._is_ours(token, parts) and held.fresh(self.clock()) else None

    def _is_ours(self, token: AgentToken | PersonToken | AuthToken, parts: tuple[str | None, ...]) -> bool:
        """Whether a token is this agent's, and from and for whom it was looked for."""
        if isinstance(token, AgentToken):
            return (token.sub, token.iss, token.ps) == (self.agent, self.provider, self.person_server)
        if (token.ps, token.aud, token.mission_s256) != (self.person_server, parts[1], parts[2]):
            return False
        return isinstance(token, PersonToken) or token.account == parts[4]

    # Files.

    def _path(self, level: Level, kid: str, parts: tuple[str | None, ...]) -> Path:
        return self.folder / f"{digest_of(self.agent, level, kid, *parts)}.token"

    def _read(self, path: Path) -> Mapping[str, Any]:
        """Raises `OSError`, `JoseError`; `ValueError` for a file that others can read or that is another's (F88)."""
        handle = os.open(path, _READ)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or not is_own(found) or found.st_size > LONGEST:
                raise ValueError("it is another's, or open to others")
            return parse_json(file.read(LONGEST))

    def _write(self, path: Path, document: Mapping[str, Any]) -> None:
        """A folder that cannot be written to shares nothing; the token serves this process all the same."""
        try:
            own_folder(self.folder)
            write_private(path, json.dumps(document).encode())
        except OSError as error:
            log.warning("nothing is shared with other processes of %s: %s", self.agent, error)


def _parts(level: Level, place: Place) -> tuple[str | None, ...]:
    parts = (place.person_server, place.resource, place.mission, place.upstream)
    return (*parts, place.account) if level == "grant" else parts
