"""Identifiers: servers, endpoints, origins, agents, scopes, and the loopback profile (draft-11 §5.2, §11.1, §11.10)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.identifiers import (
    AgentIdentifier,
    InvalidIdentifier,
    LoopbackProfile,
    authority_of,
    check_endpoint,
    check_server_identifier,
    check_top_level_local,
    format_scope,
    host_of,
    is_server_identifier,
    origin_of,
    parse_agent_identifier,
    parse_scope,
    scheme_of,
)

ISSUER = "https://agent.example"
LISTED = LoopbackProfile(frozenset({"http://person.localhost:8701", "http://agents.localhost:8702"}))

# Servers

SERVERS = [
    "https://agent.example",
    "https://xn--nxasmq6b.example",
    "https://a.b.c.d.example",
    "https://agent-1.example",
    "https://1agent.example",
    "https://localhost",
    "https://x",
    "https://" + "a" * 63 + ".example",
    "https://0xg.example",
    "https://1.2.3.4.example",
    "https://a.b1",
]
NO_SERVERS: list[Any] = [
    "http://agent.example",
    "https://Agent.Example",
    "https://agent.example:8443",
    "https://agent.example:443",
    "https://agent.example:",
    "https://agent.example/v1",
    "https://agent.example/",
    "https://agent.example?",
    "https://agent.example?x=1",
    "https://agent.example#",
    "https://agent.example#x",
    "https://user@agent.example",
    "https://user:pw@agent.example",
    "https://agent.example.",
    "https://.agent.example",
    "https://agent..example",
    "https://-agent.example",
    "https://agent-.example",
    "https://agent_1.example",
    "https://" + "a" * 64 + ".example",
    "https://" + "a." * 127 + "example",
    "https://b\u00fccher.example",
    "https://agent.example\n",
    "https://agent.example ",
    " https://agent.example",
    "https://agent.example%2f",
    "https://agent.example\\x",
    "https://agent.example,evil.example",
    "https://*.example",
    "HTTPS://agent.example",
    "https:agent.example",
    "https:/agent.example",
    "https:///agent.example",
    "//agent.example",
    "agent.example",
    "wss://agent.example",
    "https://",
    "",
    "https://127.0.0.1",
    "https://10.1",
    "https://2130706433",
    "https://0x7f000001",
    "https://0x7f.1",
    "https://a.0x7f",
    "https://0x",
    "https://017700000001",
    "https://[::1]",
    "https://[2001:db8::1]",
    "x" * 600,
    None,
    1,
    b"https://agent.example",
    ["https://agent.example"],
    {"https://agent.example": 1},
]


@pytest.mark.parametrize("value", SERVERS)
def test_a_server_identifier_is_https_and_a_lower_case_host(value: str) -> None:
    """draft-11 §11.1.1, its two valid examples first."""
    assert check_server_identifier(value) == value
    assert is_server_identifier(value)
    assert (scheme_of(value), authority_of(value), host_of(value)) == ("https", value[8:], value[8:])


@pytest.mark.parametrize("value", NO_SERVERS, ids=repr)
def test_f30_anything_else_is_none(value: Any) -> None:
    """F30; draft-11 §11.1.1, its five invalid examples first. An address is no name in any spelling."""
    with pytest.raises(InvalidIdentifier):
        check_server_identifier(value)
    assert not is_server_identifier(value)


# The loopback profile


def test_an_origin_of_the_profile_is_a_server_where_the_profile_is_on() -> None:
    for origin in LISTED.origins:
        assert check_server_identifier(origin, LISTED) == origin
        assert not is_server_identifier(origin)
    assert is_server_identifier("https://agent.example", LISTED)
    assert host_of("http://person.localhost:8701") == "person.localhost"
    assert authority_of("http://person.localhost:8701") == "person.localhost:8701"
    assert scheme_of("http://person.localhost:8701") == "http"


@pytest.mark.parametrize(
    "value",
    [
        "http://person.localhost:8703",
        "http://person.localhost",
        "http://other.localhost:8701",
        "http://person.localhost:8701/",
        "http://PERSON.localhost:8701",
        "http://person.localhost:08701",
        "https://person.localhost:8701",
        "http://evil.example:8701",
    ],
)
def test_f30_what_the_profile_does_not_list_is_none(value: str) -> None:
    """F30."""
    assert not is_server_identifier(value, LISTED)


@pytest.mark.parametrize(
    "origin",
    [
        "https://person.localhost:8701",
        "http://person.localhost",
        "http://person.localhost:0",
        "http://person.localhost:08701",
        "http://person.localhost:65536",
        "http://person.localhost:99999",
        "http://person.localhost:8701/",
        "http://person.example:8701",
        "http://localhost.example:8701",
        "http://127.0.0.1:8701",
        "http://personlocalhost:8701",
        "http://Person.localhost:8701",
        "http://person.localhost:8701\n",
        "http://user@person.localhost:8701",
        "",
    ],
)
def test_a_profile_lists_names_below_localhost_with_a_port_only(origin: str) -> None:
    with pytest.raises(InvalidIdentifier):
        LoopbackProfile(frozenset({origin}))


def test_a_profile_lists_localhost_itself_and_the_highest_port() -> None:
    assert LoopbackProfile(frozenset({"http://localhost:65535", "http://a.b.localhost:1"})).origins


def test_two_origins_that_differ_in_their_port_only_are_refused() -> None:
    """An agent identifier holds the host without the port, so that both would own the same names."""
    with pytest.raises(InvalidIdentifier, match="share the host"):
        LoopbackProfile(frozenset({"http://person.localhost:8701", "http://person.localhost:8702"}))


# Endpoints

ENDPOINTS = [
    "https://agent.example/token",
    "https://agent.example",
    "https://agent.example/",
    "https://other.example/a/b;c=1/%2F",
    "https://agent.example:8443/token",
    "https://AGENT.example/token",
    "https://xn--nxasmq6b.example/~u/!$&'()*+,=:@",
]
NO_ENDPOINTS: list[Any] = [
    "http://agent.example/token",
    "https://agent.example/token#x",
    "https://agent.example/token#",
    "https://user@agent.example/token",
    "https://user:pw@agent.example/token",
    "https://@agent.example/",
    "https:///token",
    "https:token",
    "/token",
    "token",
    "//agent.example/token",
    "https://agent.example:0/",
    "https://agent.example:65536/",
    "https://agent.example:port/",
    "https://[::1/",
    "https://[x]/",
    "https://agent.example/to ken",
    "https://agent.example/\ntoken",
    "https://agent.example/\t",
    "https://agent.example\\@evil.example/",
    "https://agent.example/\x7f",
    'https://agent.example/"',
    "https://agent.example/<script>",
    "https://agent.example/{x}",
    "https://agent.example/`",
    "https://b\u00fccher.example/",
    "https://agent.example/" + "x" * 2048,
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://agent.example/",
    "",
    None,
    1,
    ["https://agent.example/token"],
]


@pytest.mark.parametrize("value", ENDPOINTS)
def test_an_endpoint_is_an_https_url(value: str) -> None:
    """draft-11 §11.1.2."""
    assert check_endpoint(value, ISSUER) == value


@pytest.mark.parametrize("value", NO_ENDPOINTS, ids=repr)
def test_anything_else_is_no_endpoint(value: Any) -> None:
    for query in (False, True):
        with pytest.raises(InvalidIdentifier):
            check_endpoint(value, ISSUER, query=query)


def test_a_query_is_for_those_urls_that_may_have_one() -> None:
    """draft-11 §11.1.2: endpoints may not, `jwks_uri` and `logo_uri` may."""
    for value in ("https://agent.example/keys?v=1", "https://agent.example/keys?"):
        assert check_endpoint(value, ISSUER, query=True) == value
        with pytest.raises(InvalidIdentifier):
            check_endpoint(value, ISSUER)


def test_an_endpoint_of_a_listed_issuer_may_stand_on_any_listed_origin() -> None:
    mine, other = "http://person.localhost:8701", "http://agents.localhost:8702"
    for value in (f"{mine}/token", f"{other}/token", mine):
        assert check_endpoint(value, mine, LISTED) == value
    for value, issuer in (
        (f"{mine}/token", ISSUER),
        ("http://other.localhost:8703/token", mine),
        ("http://evil.example/token", mine),
        ("http://person.localhost:8701@evil.example/", mine),
        ("http://PERSON.localhost:8701/token", mine),
    ):
        with pytest.raises(InvalidIdentifier):
            check_endpoint(value, issuer, LISTED)
    with pytest.raises(InvalidIdentifier):
        check_endpoint(f"{mine}/token", mine)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://HOST.example:443/x?y#z", "https://host.example"),
        ("HTTPS://host.example", "https://host.example"),
        ("https://host.example:8443/", "https://host.example:8443"),
        ("http://host.example:80/", "http://host.example"),
        ("http://host.example:443/", "http://host.example:443"),
        ("https://user:pw@host.example/", "https://host.example"),
        ("https://good.example@evil.example/", "https://evil.example"),
        ("http://person.localhost:8701/p", "http://person.localhost:8701"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]"),
    ],
)
def test_the_origin_of_a_url_has_one_form(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_what_is_no_url_has_no_origin() -> None:
    for url in ("https://[::1/", "http://[x]y/", "https://a]b/"):
        with pytest.raises(InvalidIdentifier):
            origin_of(url)


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_an_invalid_identifier(text: str) -> None:
    for value in (text, f"https://{text}", f"https://h.example{text}", f"aauth:{text}", f"aauth:a@{text}"):
        assert is_server_identifier(value) in (True, False)
        with contextlib.suppress(InvalidIdentifier):
            check_endpoint(value, ISSUER, query=True)
        with contextlib.suppress(InvalidIdentifier):
            origin_of(value)
        with contextlib.suppress(InvalidIdentifier):
            assert str(parse_agent_identifier(value)) == value
        with contextlib.suppress(InvalidIdentifier):
            parse_scope(value)
        with contextlib.suppress(InvalidIdentifier):
            check_top_level_local(value)


# Agents

AGENTS = [
    ("aauth:assistant-v2@agent.example", "assistant-v2", "agent.example"),
    ("aauth:planner.7f3c@vendor.example", "planner.7f3c", "vendor.example"),
    ("aauth:planner.7f3c+search1@vendor.example", "planner.7f3c+search1", "vendor.example"),
    ("aauth:A_b-C.1+2@x", "A_b-C.1+2", "x"),
    ("aauth:planner@agents.localhost", "planner", "agents.localhost"),
    ("aauth:" + "x" * 255 + "@agent.example", "x" * 255, "agent.example"),
]
NO_AGENTS: list[Any] = [
    "My Agent@agent.example",
    "@agent.example",
    "agent@http://agent.example",
    "aauth:My Agent@agent.example",
    "aauth:@agent.example",
    "aauth:agent@http://agent.example",
    "aauth:agent@agent.example:8443",
    "aauth:agent@agent.example/",
    "aauth:agent@Agent.example",
    "aauth:agent@",
    "aauth:agent",
    "aauth:",
    "aauth",
    "aauth:a@b@c.example",
    "aauth:a@127.0.0.1",
    "aauth:a@[::1]",
    "AAuth:agent@agent.example",
    "aauth://agent@agent.example",
    "mailto:agent@agent.example",
    "aauth:ag\u00e9nt@agent.example",
    "aauth:agent%40x@agent.example",
    "aauth:agent@agent.example\n",
    "aauth:agent\n@agent.example",
    " aauth:agent@agent.example",
    "aauth:" + "x" * 256 + "@agent.example",
    "aauth:a@" + "x" * 800,
    "",
    None,
    1,
    ["aauth:a@b"],
]


@pytest.mark.parametrize(("value", "local", "domain"), AGENTS)
def test_an_agent_identifier_is_read_and_written_as_it_is(value: str, local: str, domain: str) -> None:
    """draft-11 §5.2, its three valid examples first."""
    found = parse_agent_identifier(value)
    assert found == AgentIdentifier(local, domain)
    assert str(found) == value


@pytest.mark.parametrize("value", NO_AGENTS, ids=repr)
def test_anything_else_is_no_agent(value: Any) -> None:
    """draft-11 §5.2, its three invalid examples first, with and without the scheme."""
    with pytest.raises(InvalidIdentifier):
        parse_agent_identifier(value)


def test_agents_are_compared_case_and_all() -> None:
    """draft-11 §5.2."""
    upper, lower = map(parse_agent_identifier, ("aauth:Agent@agent.example", "aauth:agent@agent.example"))
    assert upper != lower


def test_a_top_level_agent_has_no_plus_in_its_name() -> None:
    """draft-11 §5.2: it marks sub-agents."""
    assert check_top_level_local("planner.7f3c-A_1") == "planner.7f3c-A_1"
    for local in ("planner+x", "+", "", "a b", "a@b", "x" * 256, "a\n"):
        with pytest.raises(InvalidIdentifier):
            check_top_level_local(local)


# Scopes


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", set()),
        ("data.read", {"data.read"}),
        ("data.read data.write", {"data.read", "data.write"}),
        ("b a b", {"a", "b"}),
        ("!#[]~:/", {"!#[]~:/"}),
        ("Data data", {"Data", "data"}),
    ],
)
def test_a_scope_is_a_set_of_whole_values(text: str, values: set[str]) -> None:
    """draft-11 §11.10, RFC 6749 §3.3."""
    assert parse_scope(text) == values
    assert parse_scope(format_scope(values)) == values


NO_SCOPES: list[Any] = [
    " ",
    "a ",
    " a",
    "a  b",
    "a\tb",
    "a\nb",
    'a"',
    "a\\b",
    "\u00e9",
    "a\x7f",
    "x" * 257,
    "a " * 5000,
    None,
    1,
    ["a"],
]


@pytest.mark.parametrize("text", NO_SCOPES)
def test_what_is_no_scope_is_refused(text: Any) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_scope(text)


def test_a_scope_is_written_in_one_order_and_each_value_once() -> None:
    assert format_scope(["b", "a", "b"]) == format_scope(("a", "b")) == format_scope({"b", "a"}) == "a b"
    assert format_scope(frozenset()) == ""
