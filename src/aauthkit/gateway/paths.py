"""Paths that two readers could read in two ways, of which one could be a path that is open and the other not.

The gateway compares a path as it was sent; what stands behind it may decode it, join its slashes, follow its dots or
cut its parameters. A path that would change by any of that is refused, and so is never compared at all.
"""

from __future__ import annotations

import re
from typing import Final

from ..protocol.problems import Problem

_AMBIGUOUS: Final = re.compile(
    r"//|[\\;\x00-\x20\x7F-\uFFFF]"  # slashes that may be joined, or are one to somebody; parameters of a segment
    r"|%(?![0-9A-Fa-f]{2})"
    r"|%(?:2[fF]|5[cC]|3[bB]|25|[01][0-9A-Fa-f]|7[fF])"  # the same, encoded, and what a second decoding would change
    r"|%(?:2[dDeE]|3[0-9]|4[1-9A-Fa-f]|5[0-9aAfF]|6[1-9A-Fa-f]|7[0-9aAeE])"  # letters that need no encoding
    r"|/\.{1,2}(?:/|$)"
)


def check_path(path: str) -> None:
    """Return if `path` has one reading. Raises `Problem` 400 otherwise."""
    if not path.startswith("/") or _AMBIGUOUS.search(path):
        raise Problem("invalid_request", "this path can be read in two ways: write it in its plain form")
