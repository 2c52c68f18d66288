"""Keys in a file: made where there is none, followed while it changes, rotated under a lock."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..protocol.jose import SigningKey
from .documents import Documents
from .keyset import LONGEST_LIFETIME, PUBLISHED_BEFORE, Entry, KeySet, State
from .private_files import Identity, KeyFileError, identity_of, locked, read_identified, write_private
from .sealing import Parameters, Seal

log = logging.getLogger("aauthkit.keys")

Alg = Literal["Ed25519", "ES256"]


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """A key of a file, for its owner to look at. `until` is when it is published no longer; times are in seconds."""

    kid: str
    alg: str
    state: State
    created: int
    signs_from: int
    until: int | None


def standing_of(entry: Entry, lifetime: int) -> KeyStanding:
    """A key as its owner sees it, where tokens live `lifetime` seconds at most."""
    public = entry.public
    return KeyStanding(
        public.thumbprint, public.alg, entry.state, entry.created, entry.signs_from, entry.until(lifetime)
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read: the keys, how they are sealed if they are, and which file that was."""

    keys: KeySet
    sealed: Parameters | None
    identity: Identity


@dataclass(frozen=True, slots=True)
class _View:
    """What the keys are from `since` on, until something changes."""

    present: KeySet
    current: SigningKey
    jwks: Mapping[str, Any]
    since: float
    until: float


class KeyFile:
    """Keys in a file, made with a first key where there is none.

    - `lifetime`: the longest a token lives that these keys sign, in seconds; a previous key stays published for so
      long, and a margin. A day serves every role.
    - `seal`: what the private keys are sealed under, if the file is `protect`ed; by default what the environment holds
      (`AAUTHKIT_KEYS_PASSPHRASE`, `AAUTHKIT_KEYS_KEY`, or either with `_FILE`). A new file is sealed if there is one.

    Every process that uses the file sees a change at its next use. One that cannot be read then leaves the keys in
    force and is logged. The file is JSON: `{"keys": [{"state": "current", "created": 1730217600, "jwk": {…}}]}`,
    times in seconds since the epoch. Raises `KeyFileError`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        lifetime: int = LONGEST_LIFETIME,
        seal: Seal | None = None,
        alg: Alg = "Ed25519",
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.path = Path(path)
        self.lifetime = lifetime
        self._documents = Documents(str(self.path), seal)
        self._clock = clock
        self._random = random_bytes
        try:
            if not self.path.exists():
                with contextlib.suppress(FileExistsError):  # another process was first: its key is the one
                    self._make(alg)
            self._read = self._load()
        except OSError as error:
            raise KeyFileError(f"{self.path}: {error.strerror}") from error
        self._seen: Identity = self._read.identity
        self._view = self._look(self._clock())

    @classmethod
    def create(cls, path: str | Path, **settings: Any) -> KeyFile:
        """A new file with a first key; `settings` as of `KeyFile`. Raises `KeyFileError` where there is one already."""
        if Path(path).exists():
            raise KeyFileError(f"{path} exists already, and is left alone")
        return cls(path, **settings)

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r})"

    # Using it.

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return self._present().current

    def jwks(self) -> Mapping[str, Any]:
        """Next, current and previous keys, public parts only."""
        return self._present().jwks

    @property
    def protected(self) -> bool:
        """Whether the private keys are sealed."""
        self._present()
        return self._read.sealed is not None

    def standing(self) -> Sequence[KeyStanding]:
        """Every key that is published now, the newest first."""
        return [standing_of(entry, self.lifetime) for entry in self._present().present.entries]

    def _present(self) -> _View:
        """The keys as they are now."""
        self._follow()
        now = self._clock()
        if not self._view.since <= now < self._view.until:  # a clock may also step back
            self._view = self._look(now)
        return self._view

    def _follow(self) -> None:
        """Read the file, if it is another one than was seen last. One that cannot be used changes nothing."""
        try:
            identity = identity_of(self.path)
        except OSError:
            identity = ()
        if identity == self._seen:
            return
        self._seen = identity
        try:
            self._read = self._load()
        except OSError as error:
            log.error("%s: %s; the keys that were read before stay in force", self.path, error.strerror)
        except KeyFileError as error:
            log.error("%s; the keys that were read before stay in force", error)
        else:
            self._seen = self._read.identity
            self._view = self._look(self._clock())

    def _look(self, now: float) -> _View:
        present = self._read.keys.at(now, self.lifetime)
        current = present.current.key
        assert current is not None
        return _View(present, current, present.jwks(), now, present.changes_at(self.lifetime))

    # Changing it.

    def rotate(self, *, delay: int = PUBLISHED_BEFORE, alg: Alg | None = None) -> KeyStanding:
        """Publish a next key at once, which signs `delay` seconds from now; the one there is, if one waits already.

        By the algorithm of the current key, unless `alg` names another. Raises `KeyFileError`.
        """
        with self._changing() as read:
            now = int(self._clock())
            fresh = SigningKey.generate(self._random, alg or read.keys.current.public.alg)
            try:
                changed = read.keys.rotated(fresh, now, delay=delay, lifetime=self.lifetime)
            except ValueError as error:
                raise KeyFileError(f"{self.path}: {error}") from error
            self._save(changed, read.sealed)
        assert changed.next is not None
        return standing_of(changed.next, self.lifetime)

    def protect(self, seal: Seal | None) -> None:
        """Seal the private keys under `seal` from now on, or with `None` leave them open. Raises `KeyFileError`.

        A running process needs the new secret at its next start, and goes on with what it has until then.
        """
        with self._changing() as read:
            now = int(self._clock())
            self._documents.reseal(seal)
            self._save(read.keys.at(now, self.lifetime).tidied(now), None if seal is None else seal.fresh(self._random))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Read]:
        """What stands in the file, read anew, while nobody else changes it; what is saved is in force afterwards."""
        try:
            with locked(self.path.parent):
                yield self._load()
                self._read = self._load()
        except OSError as error:
            raise KeyFileError(f"{self.path}: {error.strerror}") from error
        self._seen = self._read.identity
        self._view = self._look(self._clock())

    # The file.

    def _make(self, alg: Alg) -> None:
        seal = self._documents.seal
        keys = KeySet.first(SigningKey.generate(self._random, alg), int(self._clock()))
        document = self._documents.write(keys, None if seal is None else seal.fresh(self._random))
        write_private(self.path, document, exclusive=True)

    def _save(self, keys: KeySet, sealed: Parameters | None) -> None:
        write_private(self.path, self._documents.write(keys, sealed))

    def _load(self) -> _Read:
        content, identity = read_identified(self.path)
        keys, sealed = self._documents.read(content)
        return _Read(keys, sealed, identity)
