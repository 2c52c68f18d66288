"""Characters that change how text looks without being seen themselves."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co"})
"""Controls, format characters (direction, zero width, tags), half surrogates, private use."""

_HIDDEN_LETTERS: Final = re.compile(
    # Default_Ignorable_Code_Point outside the categories above: joiners, fillers, variation selectors.
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufffc\ufdd0-\ufdef"
    "\U000e0000-\U000e0fff]"
)
BLANK: Final = "\u2800"
"""The empty Braille pattern, a symbol that shows as a space."""


def is_hidden(character: str) -> bool:
    """Whether the character is a control, turns the direction of text, or has no width."""
    if character.isascii():
        return not " " <= character <= "~"
    if ord(character) & 0xFFFE == 0xFFFE:  # never a character, in any plane
        return True
    return unicodedata.category(character) in _HIDDEN_CATEGORIES or bool(_HIDDEN_LETTERS.match(character))


def is_space(character: str) -> bool:
    """Whether the character shows as empty space, line and paragraph separators and line ends included."""
    return character.isspace() or character == BLANK


def is_mark(character: str) -> bool:
    """Whether the character is drawn onto the one before it."""
    return not character.isascii() and unicodedata.category(character) in {"Mn", "Me"}
