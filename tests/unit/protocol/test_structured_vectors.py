"""The HTTP working group's cases for structured fields (RFC 9651): every one is parsed, and written again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aauthkit.protocol.structured import (
    DisplayString,
    FieldError,
    Token,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_dictionary,
    serialize_item,
    serialize_list,
)

CASES = {
    "binary": 15,
    "boolean": 12,
    "date": 17,
    "dictionary": 26,
    "display-string": 22,
    "examples": 21,
    "item": 5,
    "key-generated": 640,
    "large-generated": 11,
    "list": 11,
    "listlist": 12,
    "number-generated": 193,
    "number": 37,
    "param-dict": 14,
    "param-list": 20,
    "param-listlist": 3,
    "string-generated": 256,
    "string": 14,
    "token-generated": 256,
    "token": 6,
}
STRICTER: dict[tuple[str, str], str] = {
    ("date", "syntactic max date - 999,999,999,999,999"): "no date of Python's lies after the year 9999",
    ("date", "syntactic min date - -999,999,999,999,999"): "no date of Python's lies before the year 1",
}
"""Cases that may be parsed and are refused here, with the reason; every entry is checked to be one."""


def load(vectors_dir: Path, name: str) -> list[dict[str, Any]]:
    text = (vectors_dir / "structured-fields" / f"{name}.json").read_text()
    cases = json.loads(text, parse_float=Decimal)
    assert len(cases) == CASES[name]
    return cases


def bare(value: Any) -> Any:
    """A Bare-Item of the vectors as our parser gives it."""
    if not isinstance(value, dict):
        return value
    kind, inner = value["__type"], value["value"]
    if kind == "token":
        return Token(inner)
    if kind == "binary":
        return base64.b32decode(inner)
    if kind == "date":
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=inner)
    assert kind == "displaystring"
    return DisplayString(inner)


def params(pairs: list[Any]) -> dict[str, Any]:
    return {name: bare(value) for name, value in pairs}


def member(value: Any) -> Any:
    """An Item or an Inner List."""
    inner, parameters = value
    if isinstance(inner, list):
        return [(bare(item), params(its)) for item, its in inner], params(parameters)
    return bare(inner), params(parameters)


def expected(case: dict[str, Any]) -> Any:
    if case["header_type"] == "dictionary":
        return {name: member(value) for name, value in case["expected"]}
    if case["header_type"] == "list":
        return [member(value) for value in case["expected"]]
    return member(case["expected"])


def parse(case: dict[str, Any]) -> Any:
    if case["header_type"] == "dictionary":
        return parse_dictionary(case["raw"])
    if case["header_type"] == "list":
        return parse_list(case["raw"])
    return parse_item(", ".join(case["raw"]))


def serialize(case: dict[str, Any], value: Any) -> str:
    if case["header_type"] == "dictionary":
        return serialize_dictionary(value)
    if case["header_type"] == "list":
        return serialize_list(value)
    return serialize_item(*value)


def same(left: Any, right: Any) -> bool:
    """Equal in value and in type: `1` is neither `True` nor `1.0`, and a token is no string."""
    if isinstance(left, tuple | list) and isinstance(right, tuple | list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    return type(left) is type(right) and bool(left == right)


def parsed_or_refused(case: dict[str, Any]) -> Any:
    try:
        return parse(case)
    except FieldError as error:
        return error


def fault(name: str, case: dict[str, Any]) -> str | None:
    """What is wrong with how this case was parsed and written, or None."""
    found = parsed_or_refused(case)
    if isinstance(found, FieldError):
        permitted = case.get("must_fail") or (name, case["name"]) in STRICTER
        return None if permitted else f"{case['name']}: refused, {found}"
    if case.get("must_fail"):
        return f"{case['name']}: parsed"
    if not same(found, expected(case)):
        return f"{case['name']}: {found!r}"
    if case.get("canonical") == []:  # nothing to send: the field is left out (RFC 9651 §4.1)
        with pytest.raises(FieldError):
            serialize(case, found)
        return None
    canonical = ", ".join(case.get("canonical", case["raw"]))
    written = serialize(case, found)
    return None if written == canonical else f"{case['name']}: written as {written!r}"


@pytest.mark.parametrize("name", CASES)
def test_every_published_case_is_parsed_and_written_as_it_must_be(vectors_dir: Path, name: str) -> None:
    faults = [found for case in load(vectors_dir, name) if (found := fault(name, case))]
    assert not faults


def test_each_case_that_we_refuse_though_it_may_be_parsed_is_really_one(vectors_dir: Path) -> None:
    for name, title in STRICTER:
        [case] = [case for case in load(vectors_dir, name) if case["name"] == title]
        assert case.get("can_fail") and not case.get("must_fail")
        assert isinstance(parsed_or_refused(case), FieldError)


def test_every_file_of_the_pack_is_run(vectors_dir: Path) -> None:
    assert {path.stem for path in (vectors_dir / "structured-fields").glob("*.json")} == set(CASES)


def test_published_cases_with_a_duplicate_are_refused_where_duplicates_are(vectors_dir: Path) -> None:
    """RFC 9651 lets the last one win; a field that carries a signature must not."""
    refused = [case for name in CASES for case in load(vectors_dir, name) if _only_refused_without_duplicates(case)]
    assert {case["name"] for case in refused} == {
        "duplicate key dictionary",
        "duplicate parameter with different positions",
        "0x2c in dictionary key",  # the raw value is `a,a=1`
        "0x3b in parameterised list key",  # and here `a;a=1`
    }


def _only_refused_without_duplicates(case: dict[str, Any]) -> bool:
    kinds = {"dictionary": parse_dictionary, "list": parse_list}
    if case["header_type"] not in kinds or isinstance(parsed_or_refused(case), FieldError):
        return False
    try:
        kinds[case["header_type"]](case["raw"], duplicates=False)
    except FieldError:
        return True
    return False
