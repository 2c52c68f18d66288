"""The search for the cause: every change alone, then in pairs, until a base verifies under the key that was presented.

A signature verifies over one base only, so what is found is no guess. Bounded: `budget` verifications, each of them
some 60 microseconds, and never more bases than ten times as many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..protocol.jose import BadSignature, PublicKey
from .fields import field_changes
from .forms import form_changes
from .places import place_changes
from .queries import query_changes
from .scene import Change, Scene

BUDGET: Final = 3000
"""Verifications of one explanation: a fifth of a second."""
MEAN_BASE: Final = 4096
"""Bytes of a base on an average; longer ones use up the budget sooner, so that long fields cost no more time."""


@dataclass(frozen=True, slots=True)
class Found:
    """The changes under which the signature verifies, none if none does, and how many bases were tried."""

    changes: tuple[Change, ...]
    tried: int
    exhausted: bool
    """Whether every candidate was tried."""


def search(scene: Scene, key: PublicKey, budget: int = BUDGET) -> Found:
    """The one or two changes that make the signature verify under `key`."""
    tried, built, length = 0, 0, 0
    seen: set[tuple[bytes, bytes]] = set()
    for changes in _candidates(scene, key):
        built += 1
        if tried >= budget or built > 10 * budget or length > MEAN_BASE * budget:
            return Found((), tried, False)
        base = scene.base(changes)
        if base is None:
            continue
        signature = scene.signature_under(changes)
        if (base, signature) in seen:
            continue
        seen.add((base, signature))
        tried, length = tried + 1, length + len(base)
        if verifies(key, base, signature):
            return Found(changes, tried, False)
    return Found((), tried, True)


def verifies(key: PublicKey, base: bytes, signature: bytes) -> bool:
    """Whether `signature` is one of `key` over `base`."""
    try:
        key.verify(base, signature)
    except BadSignature:
        return False
    return True


def _candidates(scene: Scene, key: PublicKey) -> Iterator[tuple[Change, ...]]:
    singles = [*place_changes(scene), *query_changes(scene), *field_changes(scene), *form_changes(scene, key)]
    for change in singles:
        yield (change,)
    yield from _pairs(singles)


def _pairs(singles: list[Change]) -> Iterator[tuple[Change, Change]]:
    """Two changes of different axes, the likeliest of each first."""
    axes: dict[str, list[Change]] = {}
    for change in singles:
        axes.setdefault(change.axis, []).append(change)
    lanes = list(axes.values())
    deepest = max((len(lane) for lane in lanes), default=0)
    for depth in range(2 * deepest):
        for number, first in enumerate(lanes):
            for second in lanes[number + 1 :]:
                for index in range(max(0, depth - len(second) + 1), min(depth + 1, len(first))):
                    yield first[index], second[depth - index]
