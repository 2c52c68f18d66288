"""Covered components at their edges: what stays as it was sent, what is made one form, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.components import (
    Component,
    ComponentError,
    component,
    component_value,
    field_value,
    normal_authority,
)
from aauthkit.protocol.messages import HeaderList, SignedRequest


def get(target: str = "/", *headers: tuple[str, str], authority: str = "api.example", scheme: str = "https") -> Any:
    return SignedRequest("GET", scheme, authority, target, headers)


def refused(request: SignedRequest, item: Component) -> bool:
    try:
        component_value(request, item)
    except ComponentError:
        return True
    return False


# The target, as it was received

AS_SENT = [
    ("/data;role=user", "/data;role=user", "?"),
    ("/data;role=user;x=1/more;y=2", "/data;role=user;x=1/more;y=2", "?"),
    ("/a%2Fb", "/a%2Fb", "?"),
    ("/a%2fb", "/a%2fb", "?"),
    ("/%7Euser", "/%7Euser", "?"),
    ("/~user", "/~user", "?"),
    ("//double//slash/", "//double//slash/", "?"),
    ("/a/./b/../c", "/a/./b/../c", "?"),
    ("/..", "/..", "?"),
    ("/a%2e%2e/b", "/a%2e%2e/b", "?"),
    ("/p??", "/p", "??"),
    ("/p?a=1?b=2", "/p", "?a=1?b=2"),
    ("/p?a=%20&b=+&c=%2B", "/p", "?a=%20&b=+&c=%2B"),
    ("/p?", "/p", "?"),
    ("/p?;x=1", "/p", "?;x=1"),
    ("", "/", "?"),
    ("?x=1", "/", "?x=1"),
]


@pytest.mark.parametrize(("target", "path", "query"), AS_SENT)
def test_f05_path_and_query_are_used_as_they_were_sent(target: str, path: str, query: str) -> None:
    """F05, F07: parameters stay in the path, the query has its question mark, and nothing is decoded or resolved."""
    assert component_value(get(target), component("@path")) == path
    assert component_value(get(target), component("@query")) == query


@pytest.mark.parametrize(
    ("target", "whole"),
    [("/p?a=1", "/p?a=1"), ("/p", "/p"), ("/p?", "/p?"), ("", "/"), ("?x=1", "/?x=1"), ("/p??", "/p??")],
)
def test_an_empty_path_is_a_slash_in_the_whole_target_too(target: str, whole: str) -> None:
    assert component_value(get(target), component("@request-target")) == whole
    assert component_value(get(target), component("@target-uri")) == f"https://api.example{whole}"


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=40))
def test_path_and_query_together_are_the_target(text: str) -> None:
    request = get(f"/{text}")
    query = component_value(request, component("@query"))
    path = component_value(request, component("@path"))
    assert path + (query if "?" in text else "") == f"/{text}"


# The authority


@pytest.mark.parametrize(
    ("scheme", "sent", "signed"),
    [
        ("https", "HOST.Example", "host.example"),
        ("https", "HOST.example:443", "host.example"),
        ("https", "host.example:80", "host.example:80"),
        ("https", "host.example:8443", "host.example:8443"),
        ("HTTPS", "host.example:443", "host.example"),
        ("http", "host.example:80", "host.example"),
        ("http", "host.example:443", "host.example:443"),
        ("http", "person.localhost:8701", "person.localhost:8701"),
        ("https", "host443", "host443"),
        ("https", "[2001:DB8::443]", "[2001:db8::443]"),
        ("https", "[2001:db8::1]:443", "[2001:db8::1]"),
    ],
)
def test_f06_the_authority_is_lower_case_and_without_its_default_port(scheme: str, sent: str, signed: str) -> None:
    """F06; RFC 9421 §2.2.3."""
    assert normal_authority(scheme, sent) == signed
    assert component_value(get(authority=sent, scheme=scheme), component("@authority")) == signed
    assert component_value(get(authority=sent, scheme=scheme), component("@target-uri")).endswith(f"://{signed}/")


def test_the_method_keeps_its_case() -> None:
    """RFC 9421 §2.2.1."""
    assert component_value(SignedRequest("pAtCh", "https", "h", "/", ()), component("@method")) == "pAtCh"


# Fields

FOLDS = [
    ("a\r\n b", "a b"),
    ("a\n b", "a b"),
    ("a \t\r\n \t b", "a b"),
    ("a\r\n b\r\n\tc", "a b c"),
    ("\r\n a", "a"),
    ("a\r\n ", "a"),
    ("a  b", "a  b"),
    ("a\tb", "a\tb"),
]


@pytest.mark.parametrize(("sent", "signed"), FOLDS)
def test_an_obsolete_fold_is_one_space(sent: str, signed: str) -> None:
    """RFC 9421 §2.1, step 3."""
    assert field_value(get("/", ("x", sent)), "x") == signed


INJECTIONS = [
    "a\nb",
    "a\r\nb",
    'a\n"@method": DELETE',
    "a\r\n\r\n b",
    "a\rb",
    "\n",
    "a\n",
    "a\x00b",
    "a\x0bb",
    "a\x85b",
]


@pytest.mark.parametrize("value", INJECTIONS)
def test_a_value_that_would_begin_a_line_of_its_own_is_refused(value: str) -> None:
    """RFC 9421 §7.5.5: a line end in a value would let its sender write lines of the base."""
    assert refused(get("/", ("x", value)), component("x"))


@pytest.mark.parametrize("broken", ["a\nb", "a\r\nb", "a\u00e9", "a\x00", "a\x7f"])
def test_nor_does_a_target_break_the_line(broken: str) -> None:
    for name in ("@path", "@request-target", "@target-uri"):
        assert refused(get(f"/{broken}"), component(name))
    for name in ("@query", "@request-target", "@target-uri"):
        assert refused(get(f"/?{broken}"), component(name))


@pytest.mark.parametrize("value", ["Zo\u00eb", "\u00ff", "a\u2028b"])
def test_a_value_outside_ascii_is_refused_unless_it_is_wrapped(value: str) -> None:
    """RFC 9421 §2.5 step 4; §2.1.3 is the way out, for what is made of bytes."""
    request = get("/", ("x", value))
    assert refused(request, component("x"))
    if max(map(ord, value)) < 256:
        assert component_value(request, component("x", bs=True)).startswith(":")
    else:
        assert refused(request, component("x", bs=True))


@given(st.text(st.characters(max_codepoint=0xFF), max_size=30))
def test_no_value_of_a_field_ever_puts_a_line_end_into_the_base(value: str) -> None:
    request = get("/", ("priority", value))
    for item in (
        component("priority"),
        component("priority", sf=True),
        component("priority", bs=True),
        component("priority", key="u"),
    ):
        try:
            signed = component_value(request, item)
        except ComponentError:
            continue
        assert signed.isascii()
        assert not {"\n", "\r", "\0"} & set(signed)


def test_a_field_that_is_not_there_is_refused_and_an_empty_one_is_not() -> None:
    for item in (component("x"), component("x", bs=True), component("x", key="a"), component("priority", sf=True)):
        assert refused(get(), item)
    assert component_value(get("/", ("x", "")), component("x")) == ""


@pytest.mark.parametrize("name", ["X-Upper", "", "a b", "a:b", "a\n", "caf\u00e9", "(x)"])
def test_a_name_that_is_no_lower_case_field_name_is_refused(name: str) -> None:
    assert refused(get("/", (name, "v")), component(name))


@pytest.mark.parametrize("name", ["@unknown", "@status", "@signature-params", "@", "@Method", "@query-params"])
def test_an_unknown_derived_component_is_refused(name: str) -> None:
    assert refused(get(), component(name))


# Parameters of components

BAD_PARAMETERS: list[dict[str, Any]] = [
    {"req": True},
    {"tr": True},
    {"bs": True, "sf": True},
    {"bs": True, "key": "u"},
    {"sf": False},
    {"bs": False},
    {"sf": "yes"},
    {"bs": 1},
    {"key": 1},
    {"key": True},
    {"name": "u"},
    {"unknown": True},
]


@pytest.mark.parametrize("params", BAD_PARAMETERS)
def test_a_parameter_that_is_unknown_ill_typed_or_in_conflict_is_refused(params: dict[str, Any]) -> None:
    """RFC 9421 §2.5, step 2."""
    assert refused(get("/", ("priority", "u=1")), component("priority", **params))


@pytest.mark.parametrize(
    "name", ["@method", "@authority", "@path", "@query", "@target-uri", "@scheme", "@request-target"]
)
@pytest.mark.parametrize("params", [{"req": True}, {"sf": True}, {"name": "x"}, {"key": "x"}])
def test_a_derived_component_takes_no_parameter(name: str, params: dict[str, Any]) -> None:
    assert refused(get("/?x=1"), component(name, **params))


def test_a_member_with_strict_form_is_the_same_member() -> None:
    request = get("/", ("priority", "u=1;x=2,   i"))
    assert component_value(request, component("priority", key="u", sf=True)) == "1;x=2"


STRICT = [
    ("priority", ["u=1,   i"], "u=1, i"),
    ("priority", ["u=1", "i=?1"], "u=1, i"),
    ("accept", ["text/html;q=0.50 ,  */*"], "text/html;q=0.5, */*"),
    ("content-type", ["application/json;charset=utf-8"], "application/json;charset=utf-8"),
    ("content-digest", ["sha-256=:AAA=:,sha-512=:AA==:"], "sha-256=:AAA=:, sha-512=:AA==:"),
    ("aauth-capabilities", ["interaction,payment"], "interaction, payment"),
    ("retry-after", ["5 "], "5"),
]


@pytest.mark.parametrize(("name", "lines", "strict"), STRICT)
def test_a_field_of_known_type_has_one_strict_form(name: str, lines: list[str], strict: str) -> None:
    headers: HeaderList = tuple((name, line) for line in lines)
    assert component_value(get("/", *headers), component(name, sf=True)) == strict


@pytest.mark.parametrize(
    ("name", "value"), [("priority", "=u"), ("accept", "("), ("retry-after", "5, 6"), ("priority", "")]
)
def test_a_field_that_is_not_of_its_type_has_no_strict_form(name: str, value: str) -> None:
    assert refused(get("/", (name, value)), component(name, sf=True))


@pytest.mark.parametrize("name", ["accept", "retry-after", "aauth-capabilities"])
def test_a_member_of_a_field_that_is_known_to_be_no_dictionary_is_refused(name: str) -> None:
    """RFC 9421 §2.1.2, §2.5: a List such as `en, fr` would parse as a Dictionary."""
    assert refused(get("/", (name, "en")), component(name, key="en"))


# Query parameters


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("a=1&b=2", "b", "2"),
        ("a=", "a", ""),
        ("a", "a", ""),
        ("=v", "", "v"),
        ("a=%7E~", "a", "%7E%7E"),
        ("~=1", "%7E", "1"),
        ("a=*-._", "a", "*-._"),
        ("a=x+y%20z", "a", "x%20y%20z"),
        ("a=%2B", "a", "%2B"),
        ("a=1=2", "a", "1%3D2"),
        ("&&a=1&&", "a", "1"),
        ("a;b=1", "a%3Bb", "1"),
        ("a=%E2%82%AC", "a", "%E2%82%AC"),
    ],
)
def test_a_query_parameter_is_encoded_as_forms_encode(query: str, name: str, value: str) -> None:
    """RFC 9421 §2.2.8; `~` is one that URL quoting would leave alone."""
    assert component_value(get(f"/?{query}"), component("@query-param", name=name)) == value


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("a=1&a=2", {"name": "a"}),
        ("a=1&%61=2", {"name": "a"}),
        ("b=1", {"name": "a"}),
        ("", {"name": "a"}),
        ("a=1", {}),
        ("a=1", {"name": 1}),
        ("a=1", {"name": "a", "req": True}),
        ("a=1", {"key": "a"}),
        ("~=1", {"name": "~"}),
        ("a=%FF", {"name": "a"}),
        ("a=%C3", {"name": "a"}),
        ("&".join("abc"[i % 3] for i in range(400)), {"name": "z"}),
    ],
)
def test_a_query_parameter_that_is_missing_repeated_or_no_text_is_refused(query: str, params: dict[str, Any]) -> None:
    assert refused(get(f"/?{query}"), component("@query-param", **params))


# Identity


def test_two_identifiers_are_one_whatever_the_order_of_their_parameters() -> None:
    """RFC 9421 §2."""
    one, two = component("x", sf=True, key="a"), component("x", key="a", sf=True)
    assert one.identity == two.identity
    assert str(one) == '"x";sf;key="a"'
    assert str(two) == '"x";key="a";sf'
    assert component("x", a=1).identity != component("x", a=True).identity
    assert component("x").identity != component("y").identity


def test_only_an_identifier_without_parameters_is_bare() -> None:
    assert component("x").bare
    assert not component("x", sf=True).bare


# Time: a hostile value costs no more than its length


@pytest.mark.parametrize("filler", [" ", "\t", " \t", "\n ", "\r\n ", "a ", "\r"])
def test_long_runs_of_white_space_are_read_once(filler: str) -> None:
    """Quadratic work would take minutes here, and the run's own time limit ends it."""
    value = "a" + filler * 200_000 + "b"
    request = get("/", ("x", value))
    try:
        assert len(component_value(request, component("x"))) <= len(value)
    except ComponentError:
        assert "\r" in filler
