"""Metadata documents: whose they are, what must stand in them, and URLs that are in form (draft-11 §11.2)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.jose import parse_json
from aauthkit.protocol.metadata import MAX_SCOPES, MAX_TEXT, Metadata, MetadataError, read_metadata, well_known
from aauthkit.protocol.tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK


def document(issuer: str, **members: Any) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "name": "Example",
        "description": "**Example** of the draft.",
        "logo_uri": f"{issuer}/logo.png",
        "logo_dark_uri": f"{issuer}/logo-dark.png",
        "documentation_uri": f"{issuer}/docs",
        "tos_uri": f"{issuer}/tos",
        "policy_uri": f"{issuer}/privacy",
        **members,
    }


PROVIDER, PERSON, ACCESS, RESOURCE = (
    "https://agent.example",
    "https://ps.example",
    "https://as.resource.example",
    "https://resource.example",
)
DOCUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    AGENT_DWK: (
        PROVIDER,
        document(
            PROVIDER,
            callback_endpoint=f"{PROVIDER}/callback",
            event_endpoint=f"{PROVIDER}/events",
            localhost_callback_allowed=True,
        ),
    ),
    PERSON_DWK: (
        PERSON,
        document(
            PERSON,
            auth_token_endpoint=f"{PERSON}/token",
            person_token_endpoint=f"{PERSON}/person",
            mission_endpoint=f"{PERSON}/mission",
            permission_endpoint=f"{PERSON}/permission",
            audit_endpoint=f"{PERSON}/audit",
            interaction_endpoint=f"{PERSON}/interaction",
            mission_control_endpoint=f"{PERSON}/mission-control",
            revocation_endpoint=f"{PERSON}/revoke",
            scopes_supported=["openid", "email"],
            claims_supported=["sub", "email"],
        ),
    ),
    ACCESS_DWK: (
        ACCESS,
        document(ACCESS, auth_token_endpoint=f"{ACCESS}/token", revocation_endpoint=f"{ACCESS}/revoke"),
    ),
    RESOURCE_DWK: (
        RESOURCE,
        document(
            RESOURCE,
            access_mode="auth-token",
            authorization_endpoint=f"{RESOURCE}/authorize",
            revocation_endpoint=f"{RESOURCE}/revoke",
            scope_descriptions={"data.read": "Read access", "data.write": "Write access"},
            additional_signature_components=["content-type", "content-digest"],
            signature_window=90,
        ),
    ),
}
"""The draft's own examples of §11.2.1 to §11.2.4, with every endpoint that a role may name."""

REQUIRED = {
    AGENT_DWK: ["jwks_uri"],
    PERSON_DWK: ["jwks_uri", "auth_token_endpoint", "person_token_endpoint"],
    ACCESS_DWK: ["jwks_uri", "auth_token_endpoint"],
    RESOURCE_DWK: [],
}
ENDPOINTS = [
    (dwk, name) for dwk, (_, whole) in DOCUMENTS.items() for name in whole if name.endswith(("_endpoint", "_uri"))
]
roles = pytest.mark.parametrize("dwk", DOCUMENTS)


def read(dwk: str, **changes: Any) -> Metadata:
    issuer, whole = DOCUMENTS[dwk]
    return read_metadata(dwk, issuer, {n: v for n, v in {**whole, **changes}.items() if v is not ...})


def refused(dwk: str, **changes: Any) -> str:
    with pytest.raises(MetadataError) as found:
        read(dwk, **changes)
    return found.value.code


@roles
def test_the_draft_s_example_is_read_with_every_member(dwk: str) -> None:
    issuer, whole = DOCUMENTS[dwk]
    found = read_metadata(dwk, issuer, parse_json(json.dumps(whole).encode()))
    assert (found.dwk, found.issuer, found.document) == (dwk, issuer, whole)
    assert found.jwks_uri == f"{issuer}/.well-known/jwks.json"
    for name, value in whole.items():
        if isinstance(value, str):
            assert found.text(name) == found.endpoint(name) == value


def test_a_document_stands_under_its_well_known_name() -> None:
    """draft-11 §11.4."""
    assert well_known(PERSON, PERSON_DWK) == "https://ps.example/.well-known/aauth-person.json"


# The issuer (draft-11 §11.2)


@roles
@pytest.mark.parametrize("named", [..., None])
def test_f26_a_document_without_an_issuer_is_issuer_missing(dwk: str, named: Any) -> None:
    """F26."""
    assert refused(dwk, issuer=named) == "issuer_missing"


@roles
@pytest.mark.parametrize("change", ["/", " ", "\n", "/.well-known", ".", ":443", "#", "?"])
def test_f26_an_issuer_that_differs_in_one_byte_is_issuer_mismatch(dwk: str, change: str) -> None:
    """F26: byte equality."""
    assert refused(dwk, issuer=DOCUMENTS[dwk][0] + change) == "issuer_mismatch"


@roles
@pytest.mark.parametrize("named", ["https://evil.test", "", 1, True, [], {}])
def test_f26_another_issuer_is_issuer_mismatch(dwk: str, named: Any) -> None:
    """F26."""
    assert refused(dwk, issuer=named) == "issuer_mismatch"
    assert refused(dwk, issuer=DOCUMENTS[dwk][0].upper()) == "issuer_mismatch"
    assert refused(dwk, issuer=[DOCUMENTS[dwk][0]]) == "issuer_mismatch"


# Members that must stand there, and URLs


@pytest.mark.parametrize(("dwk", "name"), [(dwk, name) for dwk, names in REQUIRED.items() for name in names])
def test_a_required_member_must_be_there(dwk: str, name: str) -> None:
    assert refused(dwk, **{name: ...}) == "unknown_key"


@pytest.mark.parametrize(("dwk", "name"), [pair for pair in ENDPOINTS if pair[1] not in REQUIRED[pair[0]]])
def test_an_optional_one_may_be_absent(dwk: str, name: str) -> None:
    found = read(dwk, **{name: ...})
    assert found.endpoint(name) is None
    assert found.text(name) is None


BAD_URLS: list[Any] = [
    None,
    "",
    1,
    [],
    {},
    "/token",
    "http://ps.example/token",
    "https://user@ps.example/token",
    "https://ps.example/token#x",
    "https://ps.example/to ken",
    "javascript:alert(1)",
    "https://",
]


@pytest.mark.parametrize(("dwk", "name"), ENDPOINTS)
def test_a_url_that_is_not_in_form_spoils_the_document(dwk: str, name: str) -> None:
    """draft-11 §11.1.2."""
    assert {refused(dwk, **{name: value}) for value in BAD_URLS} == {"unknown_key"}


@pytest.mark.parametrize(("dwk", "name"), ENDPOINTS)
def test_an_endpoint_has_no_query_and_any_other_url_may_have_one(dwk: str, name: str) -> None:
    """draft-11 §11.1.2."""
    url = f"https://cdn.example/{name}?v=1"
    if name.endswith("_endpoint"):
        assert refused(dwk, **{name: url}) == "unknown_key"
    else:
        assert read(dwk, **{name: url}).endpoint(name) == url


def test_urls_of_the_loopback_profile_are_read_where_it_is_on() -> None:
    issuer = "http://person.localhost:8701"
    whole = document(issuer, auth_token_endpoint=f"{issuer}/token", person_token_endpoint=f"{issuer}/person")
    listed = LoopbackProfile(frozenset({issuer}))
    assert (
        read_metadata(PERSON_DWK, issuer, whole, loopback=listed).endpoint("auth_token_endpoint") == f"{issuer}/token"
    )
    with pytest.raises(MetadataError):
        read_metadata(PERSON_DWK, issuer, whole)
    with pytest.raises(MetadataError):
        read_metadata(PERSON_DWK, issuer, {**whole, "jwks_uri": "http://evil.example/keys"}, loopback=listed)


@roles
def test_members_that_are_not_known_are_ignored_and_kept(dwk: str) -> None:
    found = read(dwk, brand_new={"a": 1}, unknown_endpoint="http://not.checked")
    assert found.document["brand_new"] == {"a": 1}


# What is read out of a document


def test_the_access_mode_is_agent_token_unless_it_is_said() -> None:
    """draft-11 §11.2.4."""
    assert read(RESOURCE_DWK).access_mode == "auth-token"
    assert read(RESOURCE_DWK, access_mode="per-call").access_mode == "per-call"
    for value in (..., None, "", 1, ["auth-token"]):
        assert read(RESOURCE_DWK, access_mode=value).access_mode == "agent-token"


def test_scopes_are_those_with_words_of_their_own() -> None:
    assert read(RESOURCE_DWK).scope_descriptions == {"data.read": "Read access", "data.write": "Write access"}
    assert read(RESOURCE_DWK, scope_descriptions={"a": "A", "b": 1, "c": None}).scope_descriptions == {"a": "A"}
    for value in (..., None, [], "x", 1):
        assert read(RESOURCE_DWK, scope_descriptions=value).scope_descriptions == {}


def test_arrays_flags_and_numbers_of_another_type_are_as_good_as_absent() -> None:
    found = read(
        PERSON_DWK, scopes_supported=["openid", 1, None, "email"], claims_supported="sub", flag="true", window=-1
    )
    assert found.strings("scopes_supported") == ("openid", "email")
    assert found.strings("claims_supported") == ()
    assert not found.flag("flag")
    assert found.integer("window", 60) == 60
    assert read(AGENT_DWK).flag("localhost_callback_allowed")
    assert not read(AGENT_DWK, localhost_callback_allowed=1).flag("localhost_callback_allowed")
    assert read(RESOURCE_DWK).integer("signature_window", 60) == 90
    for value in (..., None, "90", 90.0, True, 0):
        assert read(RESOURCE_DWK, signature_window=value).integer("signature_window", 60) == 60


def test_a_stranger_s_text_is_bounded() -> None:
    long = "x" * (MAX_TEXT + 10)
    many = {f"s{number}": long for number in range(MAX_SCOPES + 10)}
    found = read(RESOURCE_DWK, name=long, scope_descriptions=many, tags=["t"] * (MAX_SCOPES + 10))
    assert len(found.text("name") or "") == MAX_TEXT
    assert len(found.scope_descriptions) == MAX_SCOPES
    assert {len(text) for text in found.scope_descriptions.values()} == {MAX_TEXT}
    assert len(found.strings("tags")) == MAX_SCOPES


def test_a_text_of_another_type_is_none() -> None:
    for value in (1, None, [], {}, ""):
        assert read(RESOURCE_DWK, name=value).text("name") is None


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=12), st.lists, max_leaves=3)
members = st.sampled_from(sorted({name for _, whole in DOCUMENTS.values() for name in whole}))


@given(st.sampled_from(sorted(DOCUMENTS)), st.dictionaries(members, values, max_size=4))
def test_no_document_raises_anything_but_its_own_error(dwk: str, changes: dict[str, Any]) -> None:
    with contextlib.suppress(MetadataError):
        found = read(dwk, **changes)
        assert found.issuer == DOCUMENTS[dwk][0]
        for name in found.document:
            found.text(name), found.strings(name), found.flag(name), found.integer(name, 1)
        assert isinstance(found.access_mode, str)
        assert isinstance(found.scope_descriptions, dict)
