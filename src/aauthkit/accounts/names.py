"""What a person may be called, and when two names are one."""

from __future__ import annotations

import unicodedata
from typing import Final

from .characters import is_hidden, is_space
from .values import AccountError

MAX_NAME: Final = 64
"""Longest account name, in characters."""


def check_name(value: str) -> str:
    """`value` as it is kept and shown: NFC, without space around it. Raises `AccountError` of kind `name`."""
    name = unicodedata.normalize("NFC", value[: MAX_NAME * 4].strip())
    if not name:
        raise AccountError("name", "Choose a name.")
    if len(name) > MAX_NAME or len(value) > MAX_NAME * 4:
        raise AccountError("name", f"A name has {MAX_NAME} characters at most.")
    if any(is_hidden(each) or (is_space(each) and each != " ") for each in name) or "  " in name:
        raise AccountError("name", "A name holds letters, digits, signs and single spaces, and nothing else.")
    return name


def fold_name(name: str) -> str:
    """What must be unique: the name whatever its case and width (NFKC case folding, Unicode §3.13)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def name_key(value: str) -> str:
    """The folded name to look for; empty, which no account has, where nobody can be called `value`."""
    try:
        return fold_name(check_name(value))
    except AccountError:
        return ""
