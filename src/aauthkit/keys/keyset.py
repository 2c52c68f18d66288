"""The keys of one party and which one signs now: a plain account of states and times, without a file or a clock.

A key is published before it signs, so that every verifier knows it by then: each may fetch once a minute only (draft-11
§11.4). It stays published after it has signed, until the last token it signed has expired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast, get_args

from ..protocol.jose import JoseError, PublicKey, SigningKey, parse_jwk

State = Literal["next", "current", "previous"]
"""Published and not yet used, signing now, published until its last token has expired."""

PUBLISHED_BEFORE: Final = 120
"""Least seconds between a key's publication and its first signature."""
LONGEST_LIFETIME: Final = 24 * 3600
"""Longest lifetime of any token, in seconds (draft-11 §5.3.1)."""
MARGIN: Final = 300
"""Seconds a previous key stays published beyond that: for signatures on their way, and clocks that differ."""
MAX_PREVIOUS: Final = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a set. `created` is when it was first published, `signs_from` when it signs (or signed) first.

    `key` is `None` where only the public part is kept: of a previous one nothing else is needed. `retired` is when it
    signed last. Times are in seconds since the epoch.
    """

    state: State
    created: int
    signs_from: int
    public: PublicKey
    key: SigningKey | None = field(repr=False)
    retired: int | None = None

    @classmethod
    def of(cls, key: SigningKey, state: State, created: int, signs_from: int) -> Entry:
        """A key with its private part."""
        return cls(state, created, signs_from, key.public, key)

    def document(self) -> dict[str, Any]:
        """As it stands in a key file, but for its JWK."""
        times = {"created": self.created, "signs_from": self.signs_from, "retired": self.retired}
        return {"state": self.state, **{name: value for name, value in times.items() if value is not None}}

    def until(self, lifetime: int) -> int | None:
        """When it is published no longer, where its tokens live `lifetime` seconds at most; `None` if not yet known."""
        return None if self.retired is None else self.retired + lifetime + MARGIN


@dataclass(frozen=True, slots=True)
class KeySet:
    """Exactly one current key, at most one next one, and any number of previous ones."""

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        states = [entry.state for entry in self.entries]
        if states.count("current") != 1:
            raise JoseError("it has not exactly one current key")
        if states.count("next") > 1:
            raise JoseError("it has more than one next key")
        if len({entry.public.thumbprint for entry in self.entries}) != len(self.entries):
            raise JoseError("it holds one key twice")

    @classmethod
    def first(cls, key: SigningKey, now: int) -> KeySet:
        """The set of a new party, whose first key signs at once."""
        return cls((Entry.of(key, "current", now, now),))

    def _of(self, state: State) -> Entry | None:
        return next((entry for entry in self.entries if entry.state == state), None)

    @property
    def current(self) -> Entry:
        """The key that signs, once the set is `at` the present."""
        current = self._of("current")
        assert current is not None
        return current

    @property
    def next(self) -> Entry | None:
        """The key that will sign, if there is one."""
        return self._of("next")

    def at(self, now: float, lifetime: int) -> KeySet:
        """The set as it is at `now`, where its tokens live `lifetime` seconds at most.

        A next key whose time has come is current, and the current one previous; a previous one whose last token has
        expired is gone.
        """
        entries: Sequence[Entry] = self.entries
        due = self.next
        if due is not None and due.signs_from <= now:
            successor = {"next": "current", "current": "previous", "previous": "previous"}
            entries = [
                replace(
                    entry,
                    state=cast("State", successor[entry.state]),
                    retired=due.signs_from if entry.state == "current" else entry.retired,
                )
                for entry in entries
            ]
        return KeySet(tuple(entry for entry in entries if not _lapsed(entry, now, lifetime)))

    def changes_at(self, lifetime: int) -> float:
        """When a set that is `at` the present will be another by the passing of time alone."""
        times: list[float] = [end for entry in self.entries if (end := entry.until(lifetime)) is not None]
        times += [entry.signs_from for entry in self.entries if entry.state == "next"]
        return min(times, default=float("inf"))

    def rotated(self, key: SigningKey, now: int, *, delay: int, lifetime: int) -> KeySet:
        """The set with `key` as its next one, which signs `delay` seconds from now; unchanged if there is a next one.

        The private part of a previous key is let go of. Raises `ValueError`.
        """
        if delay < PUBLISHED_BEFORE:
            raise ValueError(f"a key is published {PUBLISHED_BEFORE} s before it signs, at the least")
        present = self.at(now, lifetime).tidied(now)
        if present.next is not None:
            return present
        if len(present.entries) > MAX_PREVIOUS:
            raise ValueError(f"{MAX_PREVIOUS} previous keys are still published: wait until some have lapsed")
        return KeySet((Entry.of(key, "next", now, now + delay), *present.entries))

    def tidied(self, now: int) -> KeySet:
        """The set without the private parts of previous keys, each with the time it was retired at the latest."""
        return KeySet(
            tuple(
                replace(entry, key=None, retired=now if entry.retired is None else entry.retired)
                if entry.state == "previous"
                else entry
                for entry in self.entries
            )
        )

    def jwks(self) -> Mapping[str, Any]:
        """The public set, each key with `alg` and named by its thumbprint (draft-11 §11.3.1, §11.4)."""
        return {"keys": [{**entry.public.jwk, "use": "sig"} for entry in self.entries]}


def _lapsed(entry: Entry, now: float, lifetime: int) -> bool:
    end = entry.until(lifetime)
    return end is not None and end <= now


def read_entry(document: object, key: SigningKey | None) -> Entry:
    """An entry of a key file; `key` is its private part where that is sealed. Raises `JoseError`."""
    state = document.get("state") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or state not in get_args(State):
        raise JoseError("the state of a key is one of " + ", ".join(get_args(State)))
    jwk = document.get("jwk")
    if key is None and (state != "previous" or (isinstance(jwk, Mapping) and "d" in jwk)):
        key = SigningKey.from_jwk(jwk)
    public = key.public if key is not None else _named(parse_jwk(jwk))
    created = _time(document, "created", 0)
    signs_from = _time(document, "signs_from", created + PUBLISHED_BEFORE if state == "next" else created)
    retired = _time(document, "retired", 0) if "retired" in document else None
    if state != "previous" and retired is not None:
        raise JoseError("a key that was retired is a previous one")
    return Entry(cast("State", state), created, signs_from, public, key, retired)


def _named(key: PublicKey) -> PublicKey:
    """Whatever `kid` stands in the file: every key is named by its thumbprint."""
    return replace(key, kid=key.thumbprint)


def _time(document: Mapping[str, Any], name: str, default: int) -> int:
    value = document.get(name, default)
    if type(value) is not int or value < 0:
        raise JoseError(f"the time {name} of a key is not in whole seconds")
    return value
