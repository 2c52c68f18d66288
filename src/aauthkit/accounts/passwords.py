"""Passwords: what a good one is, and argon2id away from the event loop, a few at a time."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import anyio
import anyio.to_thread

from .values import AccountError

T = TypeVar("T")

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 1024
"""Bounds of a password, in characters after NFC."""
MIN_DISTINCT: Final = 5
"""Different characters that a password has at least."""
AT_ONCE: Final = 2
"""Passwords that are hashed at the same time: each takes 64 MiB and more than one core."""
MAX_WAITING: Final = 64
"""Passwords that wait for their turn; the next one is turned away."""

_WORN_OUT: Final = frozenset(
    {
        "password1234",
        "password12345",
        "password123456",
        "passwordpassword",
        "mypassword123",
        "correcthorsebatterystaple",
        "iloveyou1234",
        "letmein12345",
        "welcome12345",
        "changeme1234",
        "administrator",
        "administrator1",
    }
)
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
)


def check_password(value: str, name: str) -> str:
    """`value` as it is hashed: NFC. Raises `AccountError` of kind `weak`; `name` is the account's."""
    password = normalize(value)
    if len(password) < MIN_PASSWORD:
        raise AccountError("weak", f"A password has {MIN_PASSWORD} characters at least; a few words in a row do well.")
    if len(password) > MAX_PASSWORD:
        raise AccountError("weak", f"A password has {MAX_PASSWORD} characters at most.")
    if "\0" in password or any(unicodedata.category(each) == "Cs" for each in password):
        raise AccountError("weak", "This password holds a character that cannot be kept.")
    folded = password.casefold()
    easy = (
        len(set(password)) < MIN_DISTINCT
        or folded.replace(name.casefold(), "") == ""
        or folded in _WORN_OUT
        or any(folded in row or folded[::-1] in row for row in _ROWS)
    )
    if easy:
        raise AccountError("weak", "This password is among the first that somebody would try. Choose another.")
    return password


def normalize(value: str) -> str:
    """A password as it is compared, whichever keyboard typed it: NFC, cut beyond what none can have."""
    return unicodedata.normalize("NFC", value[: MAX_PASSWORD * 4])


class Hasher(Protocol):
    """A slow hash. Called in a worker thread."""

    def hash(self, password: str) -> str:
        """The hash to keep, with its salt and parameters in it."""
        ...

    def matches(self, encoded: str, password: str) -> bool:
        """Whether this is the password that was hashed."""
        ...

    def outdated(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than these."""
        ...

    def decoy(self) -> str:
        """A hash that no password has, and which costs as much to compare as any other."""
        ...


class Argon2id:
    """argon2id by `argon2-cffi`, with RFC 9106's second recommended parameters unless told otherwise.

    Raises `ImportError` naming the extra where the library is not installed.
    """

    def __init__(self, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes, **parameters: Any) -> None:
        try:
            import argon2
        except ImportError as error:
            raise ImportError("passwords need argon2-cffi: install aauthkit[server]") from error
        self._argon2 = argon2
        self._hasher = argon2.PasswordHasher(**parameters)
        self._random = random_bytes

    def hash(self, password: str) -> str:
        """See `Hasher`."""
        return self._hasher.hash(password, salt=self._random(self._hasher.salt_len))

    def matches(self, encoded: str, password: str) -> bool:
        """See `Hasher`. Raises where `encoded` is no hash: that is a fault of the records, not of the password."""
        try:
            return self._hasher.verify(encoded, password)
        except self._argon2.exceptions.VerifyMismatchError:
            return False

    def outdated(self, encoded: str) -> bool:
        """See `Hasher`."""
        return self._hasher.check_needs_rehash(encoded)

    def decoy(self) -> str:
        """See `Hasher`. Salt and result are random, so that making one costs nothing."""
        from base64 import b64encode

        hasher = self._hasher
        cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        salt, digest = (
            b64encode(self._random(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
        )
        return f"$argon2id$v=19${cost}${salt}${digest}"


class Passwords:
    """A hasher in worker threads of its own, so that neither the loop nor the memory suffers under a storm.

    Its methods raise `AccountError` of kind `throttled` while too many wait.
    """

    def __init__(self, hasher: Hasher, *, at_once: int = AT_ONCE, max_waiting: int = MAX_WAITING) -> None:
        self._hasher = hasher
        self._limiter = anyio.CapacityLimiter(at_once)
        self._most = at_once + max_waiting
        self._inside = 0
        self._decoy = hasher.decoy()

    async def hash(self, password: str) -> str:
        """The hash to keep of a password that was checked."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, encoded: str | None, password: str) -> bool:
        """Whether this is the password; without a hash the work is the same and the answer is no."""
        typed = normalize(password)
        same = await self._run(lambda: self._hasher.matches(encoded or self._decoy, typed[:MAX_PASSWORD]))
        return same and encoded is not None and len(typed) <= MAX_PASSWORD

    def outdated(self, encoded: str) -> bool:
        """Whether a hash should be made anew now that the password is at hand."""
        return self._hasher.outdated(encoded)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._inside >= self._most:
            raise AccountError("throttled", "Too many are signing in just now. Try again shortly.", retry_after=5)
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._inside -= 1
