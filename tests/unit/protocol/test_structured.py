"""Structured fields as this project reads them: no duplicates where a signature hangs on it, bounds, one error."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.structured import (
    MAX_FIELD,
    DisplayString,
    FieldError,
    Token,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_dictionary,
    serialize_inner_list,
    serialize_item,
    serialize_list,
    token_list,
)

DUPLICATES = [
    "sig=1, sig=2",
    "sig=1, other=2, sig",
    "sig=1;created=1;created=2",
    "sig=1;created;created",
    'sig=("a" "b");x=1;x=2',
    'sig=("a";key="x";key="y")',
    'sig=("a" "b";sf;sf)',
]


@pytest.mark.parametrize("value", DUPLICATES)
def test_a_key_or_parameter_that_stands_twice_is_refused_at_every_level(value: str) -> None:
    assert parse_dictionary([value])  # RFC 9651 §4.2.2: the last one wins, elsewhere
    with pytest.raises(FieldError, match="stands twice"):
        parse_dictionary([value], duplicates=False)


def test_a_duplicate_across_two_field_lines_is_refused_too() -> None:
    with pytest.raises(FieldError, match="stands twice"):
        parse_dictionary(["sig=1", "sig=2"], duplicates=False)


def test_equal_values_and_equal_names_at_different_places_are_no_duplicates() -> None:
    value = 'a=("x" "x");p=1, b=("x");p=1, c;p=1'
    assert parse_dictionary([value], duplicates=False) == parse_dictionary([value])


@pytest.mark.parametrize("value", ["a;x;x", "(a;x;x)", "(a);x;x"])
def test_lists_and_items_refuse_duplicate_parameters_where_asked(value: str) -> None:
    with pytest.raises(FieldError, match="stands twice"):
        parse_list([value], duplicates=False)


def test_an_item_refuses_a_duplicate_parameter_where_asked() -> None:
    assert parse_item("1;x=1;x=2") == (1, {"x": 2})
    with pytest.raises(FieldError, match="stands twice"):
        parse_item("1;x=1;x=2", duplicates=False)


def test_lines_are_joined_before_they_are_parsed() -> None:
    """RFC 9651 §4.2."""
    assert parse_list(["a", "b, c"]) == [(Token("a"), {}), (Token("b"), {}), (Token("c"), {})]
    assert parse_dictionary(["a=1", "b"]) == {"a": (1, {}), "b": (True, {})}


def test_a_field_beyond_the_bound_is_refused_and_one_at_the_bound_is_not() -> None:
    value = f'a="{"x" * (MAX_FIELD - 4)}"'
    assert len(value) == MAX_FIELD
    assert parse_dictionary([value])
    with pytest.raises(FieldError, match="longer than"):
        parse_dictionary([value + " "])
    with pytest.raises(FieldError, match="longer than"):
        parse_dictionary(["a"] * MAX_FIELD)


@pytest.mark.parametrize("value", ["sig=\u00e9", "a=\u2028", 'a="\ud800"', "a=\x80"])
def test_a_field_with_other_than_ascii_is_refused(value: str) -> None:
    with pytest.raises(FieldError):
        parse_dictionary([value])


@pytest.mark.parametrize("value", ["", "   ", "a=1,", ",", "a=", "a=1;", "A=1", "a==1", 'a="', "a=:::", "a=(", "a=1 2"])
def test_what_is_no_dictionary_is_refused_or_empty(value: str) -> None:
    if not value.strip():
        assert parse_dictionary([value]) == {}
    else:
        with pytest.raises(FieldError):
            parse_dictionary([value])


def test_byte_sequences_are_written_with_padding_and_read_without_it() -> None:
    """RFC 9651 §4.1.8, §4.2.7."""
    assert serialize_item(b"\xff\xfe\xfd\xfc") == "://79/A==:"
    assert parse_item(":3q2+7w==:") == parse_item(":3q2+7w:") == (b"\xde\xad\xbe\xef", {})


@pytest.mark.parametrize("value", [":3q2-7w==:", ":3q2_7w:", ":=:", ":A:", ":3q2+7w===:", ":3q=2:"])
def test_another_alphabet_or_wrong_padding_is_refused(value: str) -> None:
    with pytest.raises(FieldError):
        parse_item(value)


def test_the_tokens_of_a_list_are_read_and_everything_else_in_it_is_ignored() -> None:
    """draft-11 §11.7: recipients ignore values and parameters they do not know."""
    assert token_list(['interaction, "quoted", 7, (inner), clarification;v=1, payment']) == [
        "interaction",
        "clarification",
        "payment",
    ]
    assert token_list([]) == []


@pytest.mark.parametrize(
    "value",
    [10**15, Decimal(10) ** 12, "a\n", "\u00e9", Token(""), Token("1a"), Token("a b"), Decimal("NaN"), None],
)
def test_what_has_no_serialization_is_a_field_error(value: Any) -> None:
    with pytest.raises(FieldError):
        serialize_item(value)


def test_a_key_that_has_no_serialization_is_a_field_error() -> None:
    for key in ("", "A", "1", "a b"):
        with pytest.raises(FieldError):
            serialize_dictionary({key: (1, {})})
        with pytest.raises(FieldError):
            serialize_item(1, {key: 1})


def test_an_empty_dictionary_or_list_has_no_serialization() -> None:
    """RFC 9651 §4.1: the field is not sent at all."""
    with pytest.raises(FieldError):
        serialize_dictionary({})
    with pytest.raises(FieldError):
        serialize_list([])


keys = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
bare_items = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.decimals(-(10**11), 10**11, places=3),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    st.booleans(),
    st.binary(max_size=40),
    st.from_regex(r"[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]{0,12}", fullmatch=True).map(Token),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12).map(DisplayString),
)
parameters = st.dictionaries(keys, bare_items, max_size=4)
items = st.tuples(bare_items, parameters)
inner_lists = st.tuples(st.lists(items, max_size=5), parameters)


@given(st.dictionaries(keys, st.one_of(items, inner_lists), min_size=1, max_size=6))
def test_any_dictionary_comes_back_as_it_was_written(members: Any) -> None:
    assert parse_dictionary([serialize_dictionary(members)], duplicates=False) == members


@given(st.lists(st.one_of(items, inner_lists), min_size=1, max_size=6))
def test_any_list_comes_back_as_it_was_written(members: Any) -> None:
    assert parse_list([serialize_list(members)], duplicates=False) == members


@given(inner_lists)
def test_an_inner_list_is_written_as_the_list_that_holds_it(inner: Any) -> None:
    assert parse_list([serialize_inner_list(inner)]) == [inner]


@given(items)
def test_any_item_comes_back_as_it_was_written(item: Any) -> None:
    assert parse_item(serialize_item(*item), duplicates=False) == item


@given(st.text(max_size=60), st.booleans())
def test_no_text_makes_the_parsers_raise_anything_but_their_own_error(text: str, duplicates: bool) -> None:
    for parse in (parse_dictionary, parse_list):
        with contextlib.suppress(FieldError):
            parse([text], duplicates=duplicates)
    with contextlib.suppress(FieldError):
        parse_item(text, duplicates=duplicates)


ALPHABET = st.sampled_from([*list('ab=,;()": :?%@-._*019\\\t'), "c3", ":aGk=:", "@1", "?1", '%"'])


@given(st.lists(ALPHABET, max_size=24).map("".join), st.booleans())
def test_nor_does_any_text_of_a_field_s_own_alphabet(text: str, duplicates: bool) -> None:
    for parse in (parse_dictionary, parse_list):
        with contextlib.suppress(FieldError):
            parse([text], duplicates=duplicates)


@given(st.dictionaries(keys, st.one_of(items, inner_lists), min_size=1, max_size=6))
def test_what_is_written_without_the_library_is_what_the_library_writes(members: Any) -> None:
    assert serialize_dictionary(members) == http_sf.ser(dict(members))


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.tuples(
            st.one_of(bare_items, st.text(max_size=4), st.text(max_size=3).map(Token), st.integers(), st.floats()),
            st.dictionaries(st.text(max_size=3), st.one_of(bare_items, st.text(max_size=3)), max_size=2),
        ),
        max_size=3,
    )
)
def test_what_the_library_refuses_to_write_is_refused(members: Any) -> None:
    try:
        expected = http_sf.ser(dict(members))
    except (ValueError, TypeError, ArithmeticError):
        with pytest.raises(FieldError):
            serialize_dictionary(members)
    else:
        assert serialize_dictionary(members) == expected
