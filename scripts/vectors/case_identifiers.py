"""Cases of `identifier`: servers, agents, endpoints, scopes and codes (§5.2, §11.1, §11.6.3.1, §11.10)."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from .pack import Pack, accepted, refused

INVALID = refused("invalid")


def identifiers() -> Pack:
    pack = Pack("identifier", "Servers, agents, endpoints, scopes and codes (§5.2, §11.1, §11.6.3.1, §11.10).")
    _identifiers_1(pack)
    _identifiers_2(pack)
    return pack


def _identifiers_add(
    pack: Pack, what: str, id: str, value: Any, ok: bool, sections: str, *, stricter: str | None = None, **more: Any
) -> None:
    given = {"type": what, "value": value, **more}
    title = f"{what} {json.dumps(value)[:60]}"
    pack.add(f"{what}-{id}", title, "identifier", sections, given, accepted() if ok else INVALID, stricter=stricter)


def _identifiers_1(pack: Pack) -> None:
    add = partial(_identifiers_add, pack)
    servers: list[tuple[str, Any, bool]] = [
        ("plain", "https://agent.example", True),
        ("ace", "https://xn--nxasmq6b.example", True),
        ("single-label", "https://intranet", True),
        ("http", "http://agent.example", False),
        ("upper", "https://Agent.Example", False),
        ("upper-scheme", "HTTPS://agent.example", False),
        ("port", "https://agent.example:8443", False),
        ("default-port", "https://agent.example:443", False),
        ("path", "https://agent.example/v1", False),
        ("slash", "https://agent.example/", False),
        ("query", "https://agent.example?x", False),
        ("fragment", "https://agent.example#x", False),
        ("user", "https://user@agent.example", False),
        ("unicode", "https://b\u00fccher.example", False),
        ("space", "https://agent.example ", False),
        ("newline", "https://agent.example\n", False),
        ("no-host", "https://", False),
        ("dot", "https://agent.example.", False),
        ("hyphen", "https://-agent.example", False),
        ("underscore", "https://a_b.example", False),
        ("number", 7, False),
        ("null", None, False),
    ]
    for id, value, ok in servers:
        add("server", id, value, ok, "11.1.1")
    ours = "§11.1.1 speaks of a host; an address is no name, and is refused here"
    for id, value in (
        ("ipv4", "https://127.0.0.1"),
        ("ipv6", "https://[::1]"),
        ("integer-host", "https://2130706433"),
        ("hex-host", "https://0x7f.1"),
    ):
        add("server", id, value, False, "11.1.1", stricter=ours)
    add("server", "long-label", f"https://{'a' * 64}.example", False, "11.1.1")
    add("server", "long", "https://" + "a." * 130 + "example", False, "11.1.1")
    add("server", "very-long", "https://" + "a" * 600, False, "11.1.1", stricter="a bound of ours")


def _identifiers_2(pack: Pack) -> None:
    add = partial(_identifiers_add, pack)
    agents: list[tuple[str, Any, bool]] = [
        ("plain", "aauth:assistant-v2@agent.example", True),
        ("dots", "aauth:planner.7f3c@vendor.example", True),
        ("sub", "aauth:planner.7f3c+search1@vendor.example", True),
        ("upper-local", "aauth:Agent@agent.example", True),
        ("spaces", "aauth:My Agent@agent.example", False),
        ("no-local", "aauth:@agent.example", False),
        ("no-scheme", "assistant@agent.example", False),
        ("with-scheme", "aauth:agent@http://agent.example", False),
        ("two-ats", "aauth:a@b@agent.example", False),
        ("no-domain", "aauth:agent@", False),
        ("no-at", "aauth:agent", False),
        ("port", "aauth:agent@agent.example:1", False),
        ("upper-domain", "aauth:agent@Agent.example", False),
        ("longest", f"aauth:{'a' * 255}@agent.example", True),
        ("too-long", f"aauth:{'a' * 256}@agent.example", False),
        ("colon", "aauth:a:b@agent.example", False),
        ("unicode", "aauth:\u00e4@agent.example", False),
        ("newline", "aauth:agent\n@agent.example", False),
        ("address", "aauth:agent@10.0.0.1", False),
        ("very-long", f"aauth:{'a' * 700}@agent.example", False),
        ("number", 7, False),
    ]
    for id, value, ok in agents:
        add("agent", id, value, ok, "5.2")
    for id, value, ok in (
        ("plain", "planner-2_x.y", True),
        ("plus", "planner+x", False),
        ("empty", "", False),
        ("slash", "a/b", False),
        ("long", "a" * 256, False),
    ):
        add("local", id, value, ok, "5.2")
    _endpoints(add)
    _codes(pack, add)


def _endpoints(add: Any) -> None:
    endpoints: list[tuple[str, Any, bool]] = [
        ("plain", "https://ps.example/token", True),
        ("other-host", "https://login.ps.example/token", True),
        ("port", "https://ps.example:8443/token", True),
        ("http", "http://ps.example/token", False),
        ("query", "https://ps.example/token?x=1", False),
        ("fragment", "https://ps.example/token#x", False),
        ("empty-query", "https://ps.example/token?", False),
        ("user", "https://me@ps.example/token", False),
        ("relative", "/token", False),
        ("no-host", "https:///token", False),
        ("space", "https://ps.example/to ken", False),
        ("control", "https://ps.example/to\x07ken", False),
        ("delete", "https://ps.example/\x7f", False),
        ("unicode", "https://ps.example/t\u00f6ken", False),
        ("bad-port", "https://ps.example:99999/token", False),
        ("zero-port", "https://ps.example:0/token", False),
        ("word-port", "https://ps.example:x/token", False),
        ("javascript", "javascript:alert(1)", False),
        ("bracket", "https://[::1/token", False),
        ("number", 7, False),
    ]
    for id, value, ok in endpoints:
        add("endpoint", id, value, ok, "11.1.2")
    add("endpoint", "long", "https://ps.example/" + "a" * 3000, False, "11.1.2", stricter="a bound of ours")
    add("url", "query", "https://ps.example/jwks?set=1", True, "11.1.2")
    add("url", "http", "http://ps.example/jwks", False, "11.1.2")
    add(
        "url",
        "fragment",
        "https://ps.example/jwks#x",
        False,
        "11.1.2",
        stricter="§11.1.2 forbids a fragment to endpoints only",
    )
    scopes: list[tuple[str, Any, bool]] = [
        ("one", "orders.read", True),
        ("two", "orders.read orders.write", True),
        ("none", "", True),
        ("tab", "a\tb", False),
        ("quote", 'a"b', False),
        ("backslash", "a\\b", False),
        ("unicode", "\u00e4", False),
        ("edge", "a ", False),
        ("list", ["a"], False),
        ("value-long", "a" * 257, False),
    ]
    for id, value, ok in scopes:
        stricter = {"edge": "RFC 6749 §3.3 knows one space between values", "value-long": "a bound of ours"}.get(id)
        add("scope", id, value, ok, "11.10, 9.4.1", stricter=stricter)
    add("scope", "long", "a " * 5000 + "a", False, "11.10", stricter="a bound of ours")


def _codes(pack: Pack, add: Any) -> None:
    for id, entered, same in (
        ("same", "A1B2-C3D4", True),
        ("no-hyphen", "A1B2C3D4", True),
        ("hyphens", "-A-1-B-2-C-3-D-4-", True),
        ("lower", "a1b2-c3d4", True),
        ("alias-l", "AlB2-C3D4", True),
        ("alias-i", "AIB2-C3D4", True),
        ("other", "A1B2-C3D5", False),
        ("shorter", "A1B2-C3D", False),
        ("empty", "", False),
        ("space", "A1B2 C3D4", False),
    ):
        given = {"type": "code", "value": "A1B2-C3D4", "entered": entered}
        pack.add(
            f"code-{id}", f"{entered!r} for A1B2-C3D4", "identifier", "11.6.3.1", given, accepted() if same else INVALID
        )
    given = {"type": "code", "value": "O0O0-1111", "entered": "0oO0-IlL1"}
    pack.add("code-aliases", "O is 0; I and L are 1", "identifier", "11.6.3.1", given, accepted())
