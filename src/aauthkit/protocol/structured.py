"""Structured field values (RFC 9651), strict: bounded, and without the silent merging of duplicates.

RFC 9651 lets the last of two equal keys win. For a field that decides which signature counts that is a hole, so the
fields that carry signatures are parsed with `duplicates=False`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, cast

import http_sf
from http_sf import DisplayString, Token

__all__ = [
    "Bare",
    "DisplayString",
    "FieldError",
    "InnerList",
    "Item",
    "Member",
    "Params",
    "Token",
    "parse_dictionary",
    "parse_item",
    "parse_list",
    "serialize_dictionary",
    "serialize_inner_list",
    "serialize_item",
    "serialize_list",
    "token_list",
]

MAX_FIELD: Final = 32 * 1024
"""Longest field value that is parsed, in bytes, all its lines joined."""

Bare = int | Decimal | str | bool | bytes | Token | datetime | DisplayString
Params = dict[str, Bare]
Item = tuple[Bare, Params]
InnerList = tuple[list[Item], Params]
Member = Item | InnerList


class FieldError(ValueError):
    """A field value that is not the structured field it should be."""


class _Duplicate(Exception):
    pass


def _refuse_duplicate(key: str, kind: str) -> None:
    raise _Duplicate(f"{kind} {key!r} stands twice")


def _joined(values: Sequence[str]) -> bytes:
    try:
        raw = ", ".join(values).encode("ascii")
    except UnicodeEncodeError as error:
        raise FieldError("a structured field is ASCII") from error
    if len(raw) > MAX_FIELD:
        raise FieldError(f"the field is longer than {MAX_FIELD} bytes")
    return raw


def _parse(values: Sequence[str], kind: str, duplicates: bool) -> object:
    raw = _joined(values)
    try:
        return http_sf.parse(raw, tltype=kind, on_duplicate_key=None if duplicates else _refuse_duplicate)
    except (_Duplicate, http_sf.StructuredFieldError, ValueError, OverflowError) as error:
        raise FieldError(str(error) or "not a structured field") from error


def parse_dictionary(values: Sequence[str], *, duplicates: bool = True) -> dict[str, Member]:
    """All lines of a Dictionary field (RFC 9651 §4.2.2). `duplicates=False` refuses a key or parameter given twice."""
    return cast("dict[str, Member]", _parse(values, "dictionary", duplicates))


def parse_list(values: Sequence[str], *, duplicates: bool = True) -> list[Member]:
    """All lines of a List field (RFC 9651 §4.2.1)."""
    return cast("list[Member]", _parse(values, "list", duplicates))


def parse_item(value: str, *, duplicates: bool = True) -> Item:
    """One Item field (RFC 9651 §4.2.3)."""
    return cast("Item", _parse([value], "item", duplicates))


def token_list(values: Sequence[str]) -> list[str]:
    """The bare tokens of a List field; members of any other kind are ignored, as its recipients must."""
    return [str(member[0]) for member in parse_list(values) if isinstance(member[0], Token)]


def _serialize(value: object) -> str:
    try:
        return http_sf.ser(cast("http_sf.StructuredType", value))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise FieldError(str(error) or "not a structured value") from error


def serialize_dictionary(members: Mapping[str, Member]) -> str:
    """A Dictionary field; the empty one has no serialization (RFC 9651 §4.1)."""
    if members and all(_KEY.match(key) and not isinstance(member[0], list) for key, member in members.items()):
        return ", ".join(_entry(key, *cast("Item", member)) for key, member in members.items())
    return _serialize(dict(members))


def _entry(key: str, value: Bare, params: Params) -> str:
    """An Item as a member of a Dictionary (RFC 9651 §4.1.2)."""
    return f"{key}{_parameters(params)}" if value is True else f"{key}={_bare(value)}{_parameters(params)}"


def serialize_list(members: Sequence[Member]) -> str:
    """A List field; the empty one has no serialization (RFC 9651 §4.1)."""
    return _serialize(list(members))


_PLAIN_STRING = re.compile(r"[ !#-\[\]-~]*\Z")
"""A String that is written as it is: no character in it needs an escape (RFC 9651 §4.1.6)."""
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*\Z")
_TOKEN = re.compile(r"[A-Za-z*][\w!#$%&'*+.^`|~:/-]*\Z", re.ASCII)
_MAX_INTEGER: Final = 10**15


def _bare(value: Bare) -> str:
    """A bare item: Integers, Tokens and plain Strings, of which our fields are full, here; others by the library."""
    if type(value) is str and _PLAIN_STRING.match(value):
        return f'"{value}"'
    if type(value) is int and -_MAX_INTEGER < value < _MAX_INTEGER:
        return str(value)
    if type(value) is Token and _TOKEN.match(value.data):
        return value.data
    return _serialize((value, {}))


def _parameters(params: Mapping[str, Bare]) -> str:
    if not params:
        return ""
    if not all(_KEY.match(name) for name in params):
        raise FieldError("a parameter is named by a lower-case key")
    return "".join(f";{name}" if value is True else f";{name}={_bare(value)}" for name, value in params.items())


def serialize_item(value: Bare, params: Mapping[str, Bare] | None = None) -> str:
    """One Item with its parameters (RFC 9651 §4.1.3)."""
    return _bare(value) + _parameters(params or {})


def serialize_inner_list(inner: InnerList) -> str:
    """An Inner List with its parameters (RFC 9651 §4.1.1.1)."""
    items, params = inner
    return f"({' '.join(serialize_item(*item) for item in items)}){_parameters(params)}"
