"""JSON as it is read here: one object, no member twice, no constant that JSON does not have, bounded in every way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.jose import MAX_DEPTH, MAX_JSON, JoseError, parse_json

REFUSED: dict[str, bytes] = {
    "a member twice": b'{"a":1,"a":2}',
    "a member twice, deeper": b'{"x":[{"a":1,"b":2,"a":1}]}',
    "a member twice, once escaped": b'{"a":1,"\\u0061":2}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":-Infinity}',
    "a float that is infinite": b'{"a":1e400}',
    "an integer too long": b'{"a":' + b"1" * 21 + b"}",
    "a lone surrogate": b'{"a":"\\ud800"}',
    "a lone surrogate as name": b'{"\\udc00":1}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "not UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "a control character": b'{"a":"\x01"}',
    "a line end in a string": b'{"a":"\n"}',
    "an array": b"[1]",
    "a string": b'"a"',
    "a number": b"1",
    "null": b"null",
    "nothing": b"",
    "two objects": b"{}{}",
    "trailing junk": b"{}x",
    "a trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "a comment": b'{"a":1/**/}',
    "a name without quotes": b"{a:1}",
    "an octal number": b'{"a":01}',
    "a hexadecimal number": b'{"a":0x1}',
    "a bad escape": b'{"a":"\\x41"}',
    "unclosed": b'{"a":"',
    "a lone backslash at the end": b'{"a":"\\',
    "closed before it is opened": b"}" * 40 + b"{" * 40,
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_is_not_one_plain_object_is_refused(raw: bytes) -> None:
    with pytest.raises(JoseError):
        parse_json(raw)


ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "white space around": (b' \r\n\t{ "a" : 1 } \n', {"a": 1}),
    "unicode": ('{"é":"𝄞"}'.encode(), {"é": "𝄞"}),
    "an escaped pair of surrogates": (b'{"a":"\\ud834\\udd1e"}', {"a": "𝄞"}),
    "an escaped backslash before u": (b'{"a":"\\\\ud800"}', {"a": "\\ud800"}),
    "brackets in strings": (
        b'{"a":"[[[[[[[[[[[[[[[[[[[[[[[[","b":"\\"{{{{{{{{{{{{{{{{{{{{"}',
        {"a": "[" * 24, "b": '"' + "{" * 20},
    ),
    "numbers": (
        b'{"a":-0,"b":1.5,"c":1e3,"d":12345678901234567890}',
        {"a": 0, "b": 1.5, "c": 1000.0, "d": 12345678901234567890},
    ),
    "the same name in two objects": (b'{"a":{"x":1},"b":{"x":1}}', {"a": {"x": 1}, "b": {"x": 1}}),
}


@pytest.mark.parametrize(("raw", "value"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_one_is_read(raw: bytes, value: dict[str, Any]) -> None:
    assert parse_json(raw) == parse_json(raw.decode()) == value


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_is_bounded() -> None:
    assert parse_json(nested(MAX_DEPTH))
    with pytest.raises(JoseError, match="deeper"):
        parse_json(nested(MAX_DEPTH + 1))
    with pytest.raises(JoseError, match="deeper"):
        parse_json(b'{"a":' * 50_000)
    with pytest.raises(JoseError, match="deeper"):
        parse_json(b'{"a":"\\"",' + b'"b":[' * 20)


def test_size_is_bounded_and_an_endpoint_may_bound_it_lower() -> None:
    raw = b'{"a":"' + b"x" * (MAX_JSON - 8) + b'"}'
    assert len(raw) == MAX_JSON
    assert parse_json(raw)
    with pytest.raises(JoseError, match="longer"):
        parse_json(raw + b" ")
    with pytest.raises(JoseError, match="longer"):
        parse_json(b'{"a":1}', limit=6)


@pytest.mark.parametrize("filler", [b'\\"', b'"', b"\\", b"[", b"{}", b'"a",', b"\\u", b" ", b"1"])
def test_a_hostile_document_costs_no_more_than_its_length(filler: bytes) -> None:
    """Quadratic work would take minutes here, and the run's own time limit ends it."""
    raw = (b'{"a":"' + filler * MAX_JSON)[:MAX_JSON]
    with pytest.raises(JoseError):
        parse_json(raw)


documents = st.dictionaries(
    st.text(max_size=6),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**18), 10**18)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(documents, st.booleans())
def test_any_object_comes_back(document: dict[str, Any], ascii_only: bool) -> None:
    assert parse_json(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_jose_error(raw: bytes) -> None:
    try:
        assert isinstance(parse_json(raw), dict)
    except JoseError:
        return


@given(
    st.lists(
        st.sampled_from(['{"a":', '"', "\\", "[", "]", "}", ",", "1", "é", "\ud800", "\\ud800", ":"]), max_size=12
    ).map("".join)
)
def test_nor_does_any_text_of_json_s_own_alphabet(raw: str) -> None:
    try:
        assert isinstance(parse_json(raw), dict)
    except JoseError:
        return
