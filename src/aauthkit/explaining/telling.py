"""An explanation as text: the cause first, then the mend, then the evidence."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import count
from typing import Final

from .causes import Cause
from .comparing import Line
from .explanation import Explanation

SURE: Final = {True: "certain", False: "likely"}
WIDTH: Final = 100
_KEPT: Final = "\N{NO-BREAK SPACE}"
"""A space at which no line is folded; it is an ordinary one when it is written."""


def tell(explanation: Explanation) -> str:
    """The whole text, for a person at a terminal."""
    return "\n".join(_lines(explanation))


def tell_briefly(explanation: Explanation) -> str:
    """One line for a log: the causes, each with how sure it is and its mend."""
    if not explanation.causes:
        return "the signature verifies" if explanation.verdict else "nothing wrong was found"
    return " | ".join(f"{each.name} ({SURE[each.certain]}): {each.what} -> {each.mend}" for each in explanation.causes)


def _lines(explanation: Explanation) -> Iterator[str]:
    yield from _verdict(explanation)
    if explanation.comparison:
        yield ""
        yield from _side_by_side(explanation.comparison)
    elif explanation.rows:
        yield ""
        yield from _base(explanation)
    if explanation.facts:
        yield ""
        width = max(len(name) for name, _ in explanation.facts)
        yield from (f"  {name:<{width}}  {value}" for name, value in explanation.facts)
    notes = [
        *(f"note: {each}" for each in explanation.remarks),
        *(f"not told here: {each}" for each in explanation.unchecked),
    ]
    if notes:
        yield ""
        yield from (f"  {note}" for note in notes)


def _verdict(explanation: Explanation) -> Iterator[str]:
    if not explanation.causes:
        yield (
            "✓ The signature verifies."
            if explanation.verdict
            else "? Nothing wrong, as far as it can be told from here."
        )
        return
    several = len(explanation.causes) > 1
    for number, each in zip(count(1), explanation.causes, strict=False):
        yield from _cause(each, f"{number}. " if several else "")


def _cause(each: Cause, number: str) -> Iterator[str]:
    what = each.what[:1].upper() + each.what[1:] if each.what[:1].islower() else each.what
    mark = "✗" if each.certain else "?"
    yield from _folded(f"{what}. [{each.name},{_KEPT}{SURE[each.certain]}]", f"{mark} {number}")
    yield from _folded(each.mend, "  → ")
    where = f", {each.section}" if each.section else ""
    yield f"    ({each.code}{where})"


def _folded(text: str, start: str) -> list[str]:
    """A sentence folded to the width of a page, what follows its first line set under it."""
    folded = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace(_KEPT, " ") for line in folded]


def _base(explanation: Explanation) -> Iterator[str]:
    tried = explanation.tried
    yield "The signature base as the server has it" + (f" ({tried} others tried):" if tried else ":")
    signed = dict(explanation.signed)
    width = max(len(name) for name, _ in explanation.rows)
    for name, value in explanation.rows:
        yield f"  {name:<{width}}  {value}"
        if name in signed:
            yield f"  {'':<{width}}  {signed[name]}   ← as it was signed"


def _side_by_side(lines: tuple[Line, ...]) -> Iterator[str]:
    yield "The signer's base and the server's, line by line:"
    width = max(len(line.component) for line in lines)
    marked = False
    for line in lines:
        if line.same:
            yield f"    {line.component:<{width}}  {line.server}"
            continue
        first = "" if marked else f"   ← the first difference, at character {line.at}"
        marked = True
        yield f"  - {line.component:<{width}}  {_or_none(line.signer)}{first}"
        yield f"  + {'':<{width}}  {_or_none(line.server)}"
        if first and (at := line.shown_at) is not None:
            yield f"    {'':<{width}}  {' ' * at}^"
    yield "  (- the signer's, + the server's)"


def _or_none(value: str | None) -> str:
    return value if value is not None else "(no such line)"
