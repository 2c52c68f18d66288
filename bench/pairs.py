"""Two ways of doing one thing, timed side by side, so that what else the machine does falls on both alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from .measuring import ROUNDS

A = TypeVar("A")
B = TypeVar("B")

BATCH = 20
"""Calls timed at once: about a millisecond, so that the two batches of a pair see the same machine."""


def ratios(
    ours: Callable[[A], object],
    floor: Callable[[B], object],
    inputs: Callable[[], tuple[Sequence[A], Sequence[B]]],
    *,
    rounds: int = ROUNDS,
) -> list[float]:
    """For each round the median of `ours` over `floor`, batch by batch in turn, in processor time.

    `inputs` makes the arguments of a round anew and is not timed: no call finds a string whose hash is known already.
    """
    found = []
    for number in range(rounds + 1):
        mine, theirs = inputs()
        gc.collect()
        gc.freeze()  # what was made for the measurement is not looked through while it runs; the collector stays on
        pairs = [
            _cost(ours, mine[start : start + BATCH]) / _cost(floor, theirs[start : start + BATCH])
            for start in range(0, min(len(mine), len(theirs)) - BATCH + 1, BATCH)
        ]
        gc.unfreeze()
        if number:  # the first round warms up
            found.append(statistics.median(pairs))
    return found


def microseconds(call: Callable[[A], object], inputs: Sequence[A]) -> float:
    """What one call costs, in microseconds of processor time: the median of batches."""
    costs = [_cost(call, inputs[start : start + BATCH]) for start in range(0, len(inputs) - BATCH + 1, BATCH)]
    return statistics.median(costs) / BATCH * 1e6


def _cost(call: Callable[[A], object], batch: Sequence[A]) -> float:
    begun = time.process_time()
    for item in batch:
        call(item)
    return time.process_time() - begun
