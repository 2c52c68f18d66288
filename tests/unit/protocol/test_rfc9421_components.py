"""The values that RFC 9421 §2 gives for each component, line by line."""

from __future__ import annotations

import pytest

from aauthkit.protocol.components import Component, ComponentError, component, component_value
from aauthkit.protocol.messages import HeaderList, SignedRequest

DICTIONARY = "priority"
"""A field known to be a Dictionary; the RFC's Example-Dict is not known to anybody."""
EXAMPLE_DICT = "a=1,    b=2;x=1;y=2,   c=(a   b   c)"
FIELDS: HeaderList = (
    ("host", "www.example.com"),
    ("date", "Tue, 20 Apr 2021 02:07:56 GMT"),
    ("x-ows-header", "   Leading and trailing whitespace.   "),
    ("x-obs-fold-header", "Obsolete\r\n    line folding."),
    ("cache-control", "max-age=60"),
    ("cache-control", "   must-revalidate"),
    ("example-dict", EXAMPLE_DICT),
    (DICTIONARY, EXAMPLE_DICT + ", d"),
    ("x-empty-header", " "),
)
MESSAGE = SignedRequest("POST", "https", "www.example.com", "/path?param=value", FIELDS)


def line(item: Component, request: SignedRequest = MESSAGE) -> str:
    return f"{item}: {component_value(request, item)}"


@pytest.mark.parametrize(
    "expected",
    [
        '"host": www.example.com',
        '"date": Tue, 20 Apr 2021 02:07:56 GMT',
        '"x-ows-header": Leading and trailing whitespace.',
        '"x-obs-fold-header": Obsolete line folding.',
        '"cache-control": max-age=60, must-revalidate',
        '"example-dict": a=1,    b=2;x=1;y=2,   c=(a   b   c)',
        '"x-empty-header": ',
    ],
)
def test_2_1_a_field(expected: str) -> None:
    assert line(component(expected.split('"')[1])) == expected


def test_2_1_1_a_structured_field_in_its_strict_form() -> None:
    request = SignedRequest("GET", "https", "h.example", "/", ((DICTIONARY, EXAMPLE_DICT),))
    assert line(component(DICTIONARY, sf=True), request) == f'"{DICTIONARY}";sf: a=1, b=2;x=1;y=2, c=(a b c)'


def test_2_1_1_a_field_of_unknown_type_has_no_strict_form() -> None:
    with pytest.raises(ComponentError, match="not known"):
        component_value(MESSAGE, component("example-dict", sf=True))


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a", "1"), ("d", "?1"), ("b", "2;x=1;y=2"), ("c", "(a b c)")],
)
def test_2_1_2_one_member_of_a_dictionary(key: str, expected: str) -> None:
    assert line(component(DICTIONARY, key=key)) == f'"{DICTIONARY}";key="{key}": {expected}'


@pytest.mark.parametrize("name", ["example-dict", DICTIONARY])
def test_2_1_2_a_member_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(ComponentError, match="no member"):
        component_value(MESSAGE, component(name, key="z"))


def test_2_1_3_lines_wrapped_as_bytes_stay_apart() -> None:
    two = SignedRequest(
        "GET", "https", "h.example", "/", (("example-header", "value, with, lots"), ("example-header", "of, commas"))
    )
    one = SignedRequest("GET", "https", "h.example", "/", (("example-header", "value, with, lots, of, commas"),))
    plain, wrapped = component("example-header"), component("example-header", bs=True)
    assert line(plain, two) == line(plain, one) == '"example-header": value, with, lots, of, commas'
    assert line(wrapped, two) == '"example-header";bs: :dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:'
    assert line(wrapped, one) == '"example-header";bs: :dmFsdWUsIHdpdGgsIGxvdHMsIG9mLCBjb21tYXM=:'


@pytest.mark.parametrize(
    "expected",
    [
        '"@method": POST',
        '"@target-uri": https://www.example.com/path?param=value',
        '"@authority": www.example.com',
        '"@scheme": https',
        '"@request-target": /path?param=value',
        '"@path": /path',
        '"@query": ?param=value',
    ],
)
def test_2_2_a_derived_component(expected: str) -> None:
    assert line(component(expected.split('"')[1])) == expected


def test_2_2_4_the_scheme_of_a_plain_request() -> None:
    request = SignedRequest("POST", "HTTP", "www.example.com", "/path?param=value", ())
    assert line(component("@scheme"), request) == '"@scheme": http'


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/path?param=value&foo=bar&baz=bat%2Dman", "?param=value&foo=bar&baz=bat%2Dman"),
        ("/path?queryString", "?queryString"),
        ("/path", "?"),
        ("/path?", "?"),
    ],
)
def test_2_2_7_the_query_with_its_question_mark(target: str, expected: str) -> None:
    assert component_value(SignedRequest("GET", "https", "h.example", target, ()), component("@query")) == expected


@pytest.mark.parametrize(("name", "expected"), [("baz", "batman"), ("qux", ""), ("param", "value")])
def test_2_2_8_a_query_parameter(name: str, expected: str) -> None:
    request = SignedRequest("GET", "https", "h.example", "/path?param=value&foo=bar&baz=batman&qux=", ())
    assert line(component("@query-param", name=name), request) == f'"@query-param";name="{name}": {expected}'


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("var", "this%20is%20a%20big%0Amultiline%20value"),
        ("bar", "with%20plus%20whitespace"),
        ("fa%C3%A7ade%22%3A%20", "something"),
    ],
)
def test_2_2_8_a_query_parameter_is_decoded_and_encoded_anew(name: str, expected: str) -> None:
    target = (
        "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace"
        "&fa%C3%A7ade%22%3A%20=something"
    )
    request = SignedRequest("GET", "https", "h.example", target, ())
    assert line(component("@query-param", name=name), request) == f'"@query-param";name="{name}": {expected}'


def test_2_2_9_a_request_has_no_status() -> None:
    with pytest.raises(ComponentError):
        component_value(MESSAGE, component("@status"))


def test_2_3_the_parameters_are_no_component_of_their_own() -> None:
    with pytest.raises(ComponentError):
        component_value(MESSAGE, component("@signature-params"))


@pytest.mark.parametrize(
    "item",
    [
        component("@method", req=True),
        component("date", req=True),
        component("date", tr=True),
        component("@path", tr=True),
    ],
)
def test_2_4_the_parameters_of_responses_and_trailers_are_refused(item: Component) -> None:
    with pytest.raises(ComponentError):
        component_value(MESSAGE, item)
