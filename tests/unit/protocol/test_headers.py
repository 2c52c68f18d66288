"""The header fields of AAuth: written, read, and refused where they are not in form (draft-11 §6.3, §11.6)."""

from __future__ import annotations

import contextlib
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol import headers
from aauthkit.protocol.headers import (
    AGENT_TOKEN_REQUIRED,
    APPROVAL_PENDING,
    CAPABILITIES,
    DEFAULT_RETRY_AFTER,
    MAX_RETRY_AFTER,
    MAX_WAIT,
    PERSON_TOKEN_REQUIRED,
    HeaderError,
    Requirement,
    SignatureErrorField,
    auth_token_required,
    capabilities_header,
    interaction_required,
    parse_accepted,
    parse_authorization,
    parse_capabilities,
    parse_requirement,
    parse_resource_links,
    parse_retry_after,
    parse_session_token,
    parse_signature_error,
    parse_wait,
    resource_link,
)
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.structured import Token

# AAuth-Requirement (draft-11 §11.6.1)

WRITTEN = [
    (AGENT_TOKEN_REQUIRED, "requirement=agent-token"),
    (PERSON_TOKEN_REQUIRED, "requirement=person-token"),
    (APPROVAL_PENDING, "requirement=approval"),
    (auth_token_required("a.b.c"), 'requirement=auth-token;resource-token="a.b.c"'),
    (
        interaction_required("https://ps.example/i", "A1B2-C3D4"),
        'requirement=interaction;url="https://ps.example/i";code="A1B2-C3D4"',
    ),
]


@pytest.mark.parametrize(("requirement", "value"), WRITTEN, ids=lambda row: str(row)[:40])
def test_each_requirement_is_written_and_read_back(requirement: Requirement, value: str) -> None:
    assert requirement.header() == ("aauth-requirement", value)
    assert parse_requirement([value]) == requirement


def test_white_space_and_folding_of_the_draft_s_examples_are_read() -> None:
    read = parse_requirement(['requirement=interaction; url="https://resource.example/interaction"; code="A1B2-C3D4"'])
    assert read == interaction_required("https://resource.example/interaction", "A1B2-C3D4")


def test_unknown_members_and_parameters_are_ignored() -> None:
    """draft-11 §11.6.1."""
    read = parse_requirement(['other=1, requirement=auth-token;resource-token="t";new=?1;more=7, x=(1)'])
    assert read is not None
    assert (read.value, read.text("resource-token")) == ("auth-token", "t")


def test_f43_a_requirement_that_is_not_known_is_read_as_it_is() -> None:
    """F43: what cannot be satisfied is for the caller to say, and never taken for something known."""
    read = parse_requirement(["requirement=blood-sample"])
    assert read is not None
    assert read.value == "blood-sample"


def test_a_response_without_the_field_requires_nothing() -> None:
    assert parse_requirement([]) is None


NO_REQUIREMENT = [
    "",
    "requirement",
    'requirement="agent-token"',
    "requirement=1",
    "requirement=(agent-token)",
    "Requirement=agent-token",
    "other=agent-token",
    "requirement=agent-token,",
    "requirement=agent-token, requirement=person-token",
    'requirement=auth-token;resource-token="a";resource-token="b"',
    "requirement=\u00e9",
]


@pytest.mark.parametrize("value", NO_REQUIREMENT)
def test_a_field_that_names_no_requirement_or_two_is_malformed(value: str) -> None:
    with pytest.raises(HeaderError):
        parse_requirement([value])


def test_two_lines_with_one_requirement_each_are_malformed() -> None:
    with pytest.raises(HeaderError):
        parse_requirement(["requirement=agent-token", "requirement=person-token"])


@pytest.mark.parametrize("value", ["", ";url", ";url=1", ';url=""', ";url=token", ";url=:AQ==:"])
def test_a_parameter_that_must_be_a_string_is_one(value: str) -> None:
    read = parse_requirement([f"requirement=interaction{value}"])
    assert read is not None
    with pytest.raises(HeaderError, match="lacks its parameter url"):
        read.text("url")


def test_f87_neither_code_nor_token_shows_in_a_repr() -> None:
    """F87."""
    assert "A1B2" not in repr(interaction_required("https://ps.example/i", "A1B2-C3D4"))
    assert "a.b.c" not in repr(auth_token_required("a.b.c"))


# Signature-Error, Accept-Signature-* (Signature-Keys §4, §5.1)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("error=invalid_signature", SignatureErrorField("invalid_signature")),
        (
            'error=invalid_input, required_input=("@method" "@path")',
            SignatureErrorField("invalid_input", ("@method", "@path")),
        ),
        (
            'new=1, error=invalid_input, required_input=("a";x 1 b "c")',
            SignatureErrorField("invalid_input", ("a", "c")),
        ),
        ('error=invalid_input, required_input="@method"', SignatureErrorField("invalid_input")),
        ("error=invalid_input, required_input", SignatureErrorField("invalid_input")),
        ("error=brand_new;x=1", SignatureErrorField("brand_new")),
    ],
)
def test_a_signature_error_is_read_and_what_is_not_known_is_ignored(value: str, read: SignatureErrorField) -> None:
    assert parse_signature_error([value]) == read


@pytest.mark.parametrize("value", ["", "error", 'error="invalid_key"', "error=1", "invalid_key", "error=(a)", "error="])
def test_a_signature_error_that_names_none_is_malformed(value: str) -> None:
    with pytest.raises(HeaderError):
        parse_signature_error([value])


def test_without_the_field_there_is_no_signature_error() -> None:
    assert parse_signature_error([]) is None


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([], None),
        (["hwk, jwks_uri, jwt"], ("hwk", "jwks_uri", "jwt")),
        (["Ed25519, ES256"], ("Ed25519", "ES256")),
        (["jwt", "hwk"], ("jwt", "hwk")),
        (['jwt;q=1, "hwk", 7, new'], ("jwt", "new")),
        ([""], ()),
        (["jwt,"], ()),
        (["\u00e9"], ()),
    ],
)
def test_what_a_server_accepts_is_a_list_of_tokens_in_its_order(values: list[str], read: Any) -> None:
    assert parse_accepted(values) == read


# AAuth-Capabilities (draft-11 §11.7)


def test_capabilities_are_written_and_read_back() -> None:
    assert capabilities_header(CAPABILITIES) == ("aauth-capabilities", "interaction, clarification, payment")
    assert parse_capabilities(["interaction, clarification, payment"]) == set(CAPABILITIES)


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([], set()),
        ([""], set()),
        (["interaction;v=2, brand-new"], {"interaction", "brand-new"}),
        (["interaction", "payment"], {"interaction", "payment"}),
        (['"interaction"'], set()),
        (["interaction,"], set()),
        (["\u00e9"], set()),
    ],
)
def test_unknown_values_are_kept_and_a_broken_field_declares_none(values: list[str], read: set[str]) -> None:
    assert parse_capabilities(values) == read


# AAuth-Access and Authorization: AAuth (draft-11 §6.3)

TOKENS = ["abc", "a", "A-Z_a~z.0+9/x", "YWJj==", "wrapped-session-token-value"]
NO_TOKENS = ["", " ", "a b", "a\tb", "a\n", "a,b", "=", "=a", "a=b", '"a"', "a;b", "\u00e9", "a\x00"]


@pytest.mark.parametrize("value", TOKENS)
def test_one_token68_is_read_from_either_field(value: str) -> None:
    assert parse_session_token([value]) == value
    for scheme in ("AAuth", "aauth", "AAUTH"):
        assert parse_authorization([f"{scheme} {value}"]) == value
    assert parse_authorization([f"AAuth   {value}"]) == value


@pytest.mark.parametrize("value", NO_TOKENS)
def test_anything_else_is_refused(value: str) -> None:
    """draft-11 §6.3: empty values, white space and control characters."""
    with pytest.raises(HeaderError):
        parse_session_token([value])
    with pytest.raises(HeaderError):
        parse_authorization([f"AAuth {value}"])


@pytest.mark.parametrize("values", [["a", "b"], ["a", "a"], ["a, b"]])
def test_more_than_one_credential_is_refused(values: list[str]) -> None:
    """draft-11 §6.3."""
    with pytest.raises(HeaderError):
        parse_session_token(values)
    with pytest.raises(HeaderError):
        parse_authorization([f"AAuth {value}" for value in values])


def test_another_scheme_is_not_ours_unless_ours_stands_beside_it() -> None:
    for values in ([], ["Bearer abc"], ["Basic YTpi"], ["AAuthX abc"], [""]):
        assert parse_authorization(values) is None
    with pytest.raises(HeaderError):
        parse_authorization(["Bearer abc", "AAuth abc"])


def test_the_scheme_alone_is_refused() -> None:
    with pytest.raises(HeaderError):
        parse_authorization(["AAuth"])


# Prefer: wait and Retry-After (draft-11 §11.8)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["wait=45"], 45),
        (["WAIT=45"], 45),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (["wait=0"], 0),
        (["wait=999999"], MAX_WAIT),
        (["wait=9999999"], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait=x"], 0),
        (["wait"], 0),
        (["wait="], 0),
        (["nowait=5"], 0),
        (["await=5"], 0),
        ([""], 0),
        ([], 0),
    ],
)
def test_the_seconds_a_caller_would_wait_are_bounded(values: list[str], seconds: int) -> None:
    assert parse_wait(values) == seconds


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], DEFAULT_RETRY_AFTER),
        (["0"], 0),
        (["30"], 30),
        ([" 30 "], 30),
        (["3600"], MAX_RETRY_AFTER),
        (["99999999999999999999"], MAX_RETRY_AFTER),
        (["-1"], DEFAULT_RETRY_AFTER),
        (["1.5"], DEFAULT_RETRY_AFTER),
        (["soon"], DEFAULT_RETRY_AFTER),
        (["Fri, 31 Dec 1999 23:59:59 GMT"], DEFAULT_RETRY_AFTER),
        ([""], DEFAULT_RETRY_AFTER),
        (["\u00b2"], DEFAULT_RETRY_AFTER),
        (["7", "9"], 7),
    ],
)
def test_f39_the_interval_between_polls_is_five_seconds_where_none_is_named(values: list[str], seconds: int) -> None:
    """F39; draft-11 §11.8.3."""
    assert parse_retry_after(values) == seconds


# Link (draft-11 §11.2.5, RFC 8288)

TARGET = "https://api.example/.well-known/aauth-resource.json"
OTHER = "https://other.example/.well-known/aauth-resource.json"
LINKS: list[tuple[list[str], tuple[str, ...]]] = [
    ([f'<{TARGET}>; rel="aauth-resource"'], ("https://api.example",)),
    ([f"<{TARGET}>;rel=aauth-resource"], ("https://api.example",)),
    ([f'<{TARGET}> ; REL = "next AAuth-Resource"'], ("https://api.example",)),
    ([f'<{TARGET}>; title="a, b; rel=next"; rel="aauth-resource"; type=x'], ("https://api.example",)),
    ([f"<{TARGET}>; crossorigin; data-1=x; rel=aauth-resource"], ("https://api.example",)),
    ([f'</next>; rel=next, <{TARGET}>; rel="aauth-resource"'], ("https://api.example",)),
    (
        [f"<{TARGET}>; rel=aauth-resource, <{OTHER}>; rel=aauth-resource"],
        ("https://api.example", "https://other.example"),
    ),
    ([f"<{TARGET}>; rel=aauth-resource", f"<{TARGET}>; rel=aauth-resource"], ("https://api.example",)),
    ([f"<{TARGET}>; rel=aauth-resource; rel=next"], ("https://api.example",)),
    ([f"<{TARGET}>; rel=next; rel=aauth-resource"], ()),
    ([f'<{TARGET}>; title="; rel=aauth-resource"; rel=next'], ()),
    ([f'<{TARGET}>; title="\\"; rel=aauth-resource"; rel=next'], ()),
    ([f"<{TARGET}>; rel=aauth"], ()),
    ([f"<{TARGET}>; rel=aauth-resources"], ()),
    ([f'<{TARGET}>; rel=""'], ()),
    ([f"<{TARGET}>"], ()),
    ([f"<{TARGET}>; xrel=aauth-resource"], ()),
    (["<https://api.example/aauth-resource.json>; rel=aauth-resource"], ()),
    (["<https://api.example/v1/.well-known/aauth-resource.json>; rel=aauth-resource"], ()),
    ([f"<{TARGET}?x=1>; rel=aauth-resource"], ()),
    (["<http://api.example/.well-known/aauth-resource.json>; rel=aauth-resource"], ()),
    (["<https://127.0.0.1/.well-known/aauth-resource.json>; rel=aauth-resource"], ()),
    (["<https://api.example:8443/.well-known/aauth-resource.json>; rel=aauth-resource"], ()),
    (["<https://user@api.example/.well-known/aauth-resource.json>; rel=aauth-resource"], ()),
    (["</.well-known/aauth-resource.json>; rel=aauth-resource"], ()),
    (["<"], ()),
    ([], ()),
]


@pytest.mark.parametrize(("values", "found"), LINKS)
def test_only_a_resource_s_own_document_is_named_by_a_link(values: list[str], found: tuple[str, ...]) -> None:
    """draft-11 §11.2.5: a target of any other form is not to be fetched."""
    assert parse_resource_links(values) == found


def test_a_link_is_written_and_read_back() -> None:
    name, value = resource_link("https://api.example")
    assert (name, value) == ("link", f'<{TARGET}>; rel="aauth-resource"')
    assert parse_resource_links([value]) == ("https://api.example",)
    listed = LoopbackProfile(frozenset({"http://api.localhost:8703"}))
    _, local = resource_link("http://api.localhost:8703")
    assert parse_resource_links([local]) == ()
    assert parse_resource_links([local], listed) == ("http://api.localhost:8703",)


# Round trips, and nothing but their own error

printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30)
sf_tokens = st.from_regex(r"[A-Za-z*][A-Za-z0-9._-]{0,12}", fullmatch=True)
sf_keys = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


@given(sf_tokens, st.dictionaries(sf_keys, printable, max_size=3))
def test_any_requirement_comes_back(value: str, params: dict[str, str]) -> None:
    requirement = Requirement(value, params)
    assert parse_requirement([requirement.header()[1]]) == requirement


@given(st.lists(sf_tokens, min_size=1, max_size=5))
def test_any_capabilities_come_back(values: list[str]) -> None:
    assert parse_capabilities([capabilities_header(tuple(values))[1]]) == set(values)


MAY_FAIL = [parse_requirement, parse_signature_error, parse_session_token, parse_authorization]
NEVER_FAIL = [parse_accepted, parse_capabilities, parse_wait, parse_retry_after, parse_resource_links]


def test_every_reader_of_the_module_is_in_one_of_the_lists() -> None:
    readers = {value for name, value in vars(headers).items() if name.startswith("parse_")}
    readers -= {value for value in readers if value.__module__ != headers.__name__}
    assert readers == {*MAY_FAIL, *NEVER_FAIL}


@given(st.lists(st.text(max_size=40), max_size=3))
def test_no_text_raises_anything_but_a_header_error(values: list[str]) -> None:
    for parse in NEVER_FAIL:
        parse(values)
    for parse in MAY_FAIL:
        with contextlib.suppress(HeaderError):
            parse(values)


FILLERS = ["<", "<a>", '<a>;a="', '<a>;a="\\"', ";", "; a=b", " ", "a", '"', "wait=", "<a>;a=\\"]


@pytest.mark.parametrize("filler", FILLERS)
def test_a_hostile_field_costs_no_more_than_its_length(filler: str) -> None:
    """Quadratic work would take minutes here, and the run's own time limit ends it."""
    value = f"<{TARGET}>; rel=next" + filler * 100_000
    for parse in NEVER_FAIL:
        parse([value])
    for parse in MAY_FAIL:
        with contextlib.suppress(HeaderError):
            parse([value])


texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


@given(
    st.one_of(
        st.sampled_from([one for one, _ in WRITTEN]),
        st.builds(auth_token_required, texts),
        st.builds(interaction_required, texts, texts),
        st.builds(
            Requirement,
            st.from_regex(r"[a-z][a-z-]{0,12}", fullmatch=True),
            st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True), st.one_of(texts, st.integers(0, 9**9))),
        ),
    )
)
def test_every_requirement_is_written_as_the_serializer_in_full_writes_it(requirement: Requirement) -> None:
    member: Any = (Token(requirement.value), dict(requirement.params))
    assert requirement.header() == ("aauth-requirement", http_sf.ser({"requirement": member}))
