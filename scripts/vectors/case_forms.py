"""Cases of `identifier`, `metadata`, `field`, `response`, `error`, `body` and `signature-key`: what is in form."""

from __future__ import annotations

import json
from typing import Any

from .keys import KEYS
from .pack import Pack, accepted, body_text, refused
from .world import AP, API, AS, DWK, MISSION, PERSON, PS, hwk, jwks_uri, presents, token

INVALID = refused("invalid")


def identifiers() -> Pack:
    pack = Pack("identifier", "Servers, agents, endpoints, scopes and codes (§5.2, §11.1, §11.6.3.1, §11.10).")

    def add(what: str, id: str, value: Any, ok: bool, sections: str, *, stricter: str | None = None, **more: Any) -> None:
        given = {"type": what, "value": value, **more}
        title = f"{what} {json.dumps(value)[:60]}"
        pack.add(f"{what}-{id}", title, "identifier", sections, given, accepted() if ok else INVALID, stricter=stricter)

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
    for id, value in (("ipv4", "https://127.0.0.1"), ("ipv6", "https://[::1]"), ("integer-host", "https://2130706433"), ("hex-host", "https://0x7f.1")):
        add("server", id, value, False, "11.1.1", stricter=ours)
    add("server", "long-label", f"https://{'a' * 64}.example", False, "11.1.1")
    add("server", "long", "https://" + "a." * 130 + "example", False, "11.1.1")
    add("server", "very-long", "https://" + "a" * 600, False, "11.1.1", stricter="a bound of ours")
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
    for id, value, ok in (("plain", "planner-2_x.y", True), ("plus", "planner+x", False), ("empty", "", False), ("slash", "a/b", False), ("long", "a" * 256, False)):
        add("local", id, value, ok, "5.2")
    _endpoints(add)
    _codes(pack, add)
    return pack


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
    add("url", "fragment", "https://ps.example/jwks#x", False, "11.1.2", stricter="§11.1.2 forbids a fragment to endpoints only")
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
        pack.add(f"code-{id}", f"{entered!r} for A1B2-C3D4", "identifier", "11.6.3.1", given, accepted() if same else INVALID)
    given = {"type": "code", "value": "O0O0-1111", "entered": "0oO0-IlL1"}
    pack.add("code-aliases", "O is 0; I and L are 1", "identifier", "11.6.3.1", given, accepted())


def metadata() -> Pack:
    pack = Pack("metadata", "Metadata documents as whoever fetched them reads them (§11.1.2, §11.2).")
    whole = {
        "agent": {"issuer": AP, "jwks_uri": f"{AP}/jwks.json", "callback_endpoint": f"{AP}/callback"},
        "person": {"issuer": PS, "jwks_uri": f"{PS}/jwks.json", "auth_token_endpoint": f"{PS}/token", "person_token_endpoint": f"{PS}/person"},
        "access": {"issuer": AS, "jwks_uri": f"{AS}/jwks.json", "auth_token_endpoint": f"{AS}/token"},
        "resource": {"issuer": API},
    }

    def add(id: str, role: str, outcome: dict[str, Any] | None, sections: str = "11.2", title: str = "", **changes: Any) -> None:
        document = {name: value for name, value in {**whole[role], **changes}.items() if value is not Ellipsis}
        given = {"document": DWK[role], "issuer": whole[role]["issuer"], "body": json.dumps(document)}
        pack.add(f"metadata-{id}", title or f"{role}: {id}", "metadata", sections, given, outcome or accepted(issuer=whole[role]["issuer"]))

    bad = refused("invalid_metadata")
    missing, mismatch = refused("issuer_missing"), refused("issuer_mismatch")
    sections = {"agent": "11.2.1", "person": "11.2.2", "access": "11.2.3", "resource": "11.2.4"}
    for role, section in sections.items():
        add(role, role, None, f"11.2, {section}", "A document in order")
        add(f"{role}-unknown", role, None, f"11.2, {section}, 11.7", "Unknown members are ignored", zz={"a": [1]})
        add(f"{role}-no-issuer", role, missing, "11.2, SK 5.4.9", issuer=...)
        add(f"{role}-issuer-other", role, mismatch, "11.2, SK 5.4.10", issuer="https://evil.example")
        add(f"{role}-issuer-slash", role, mismatch, "11.2, 11.1.1", issuer=f"{whole[role]['issuer']}/")
        add(f"{role}-issuer-upper", role, mismatch, "11.2, 11.1.1", issuer=str(whole[role]["issuer"]).upper())
    add("issuer-number", "agent", mismatch, issuer=7)
    add("issuer-null", "agent", refused("issuer_missing", None, "issuer_mismatch"), issuer=None)
    for role, names in (("agent", ("jwks_uri",)), ("person", ("jwks_uri", "auth_token_endpoint", "person_token_endpoint")), ("access", ("jwks_uri", "auth_token_endpoint"))):
        for name in names:
            add(f"{role}-no-{name}", role, bad, sections[role], **{name: ...})
    for role, name in (
        ("agent", "callback_endpoint"),
        ("agent", "event_endpoint"),
        ("person", "auth_token_endpoint"),
        ("person", "person_token_endpoint"),
        ("person", "mission_endpoint"),
        ("person", "revocation_endpoint"),
        ("resource", "authorization_endpoint"),
        ("resource", "revocation_endpoint"),
    ):
        add(f"{role}-{name}-http", role, bad, "11.1.2", **{name: "http://x.example/a"})
        add(f"{role}-{name}-query", role, bad, "11.1.2", **{name: "https://x.example/a?b"})
    add("person-endpoint-fragment", "person", bad, "11.1.2", auth_token_endpoint=f"{PS}/token#x")
    for name in ("jwks_uri", "logo_uri", "logo_dark_uri", "documentation_uri", "tos_uri", "policy_uri"):
        add(f"{name}-http", "agent", bad, "11.1.2, 11.2", **{name: "http://agents.example/x"})
        add(f"{name}-query", "agent", None, "11.1.2", **{name: "https://agents.example/x?y=1"})
    add("jwks_uri-number", "agent", bad, jwks_uri=7)
    for id, body in (("text", "<html>"), ("array", "[]"), ("twice", f'{{"issuer":"https://evil.example","issuer":"{AP}"}}')):
        given = {"document": DWK["agent"], "issuer": AP, "body": body}
        stricter = "RFC 8259 §4 leaves it to the parser" if id == "twice" else None
        pack.add(f"metadata-{id}", f"The document is {id}", "metadata", "11.2", given, bad, stricter=stricter)
    return pack


def fields() -> Pack:
    pack = Pack("field", "Header fields as their recipient reads them (§6.3, §11.2.5, §11.6.1, §11.7, §11.8, Signature-Keys §4, §5.1).")

    def add(name: str, id: str, values: list[str], outcome: dict[str, Any], sections: str, stricter: str | None = None) -> None:
        given = {"name": name, "values": values}
        pack.add(f"{name}-{id}", f"{name}: {' | '.join(values)[:60]}", "field", sections, given, outcome, stricter=stricter)

    _requirements(add)
    _credentials(add)
    _signatures(add)
    links = {
        "plain": (f'<{API}/.well-known/aauth-resource.json>; rel="aauth-resource"', [API]),
        "several-rels": (f'<{API}/.well-known/aauth-resource.json>; rel="help aauth-resource"', [API]),
        "bare-rel": (f"<{API}/.well-known/aauth-resource.json>; rel=aauth-resource", [API]),
        "other-path": (f'<{API}/docs>; rel="aauth-resource"', []),
        "http": ('<http://api.example/.well-known/aauth-resource.json>; rel="aauth-resource"', []),
        "port": ('<https://api.example:8443/.well-known/aauth-resource.json>; rel="aauth-resource"', []),
        "under-path": ('<https://api.example/v1/.well-known/aauth-resource.json>; rel="aauth-resource"', []),
        "other-rel": (f'<{API}/.well-known/aauth-resource.json>; rel="help"', []),
        "in-title": (f'<{API}/.well-known/aauth-resource.json>; title="rel=aauth-resource"', []),
        "two": (f'<{API}/.well-known/aauth-resource.json>; rel="aauth-resource", <{AS}/.well-known/aauth-resource.json>; rel="aauth-resource"', [API, AS]),
    }
    for id, (value, found) in links.items():
        add("link", id, [value], accepted(resources=found), "11.2.5")
    for id, value, seconds in (("zero", "0", 0), ("seven", "7", 7), ("date", "Wed, 21 Oct 2026 07:28:00 GMT", 5), ("junk", "soon", 5)):
        add("retry-after", id, [value], accepted(seconds=seconds), "11.8.3")
    add("retry-after", "absent", [], accepted(seconds=5), "11.8.3")
    for id, values, found in (
        ("three", ["interaction, clarification, payment"], ["clarification", "interaction", "payment"]),
        ("absent", [], []),
        ("parameters", ["interaction;v=1"], ["interaction"]),
        ("lines", ["interaction", "payment"], ["interaction", "payment"]),
        ("other-members", ['interaction, "payment", 7'], ["interaction"]),
        ("broken", ["interaction,,"], []),
    ):
        add("aauth-capabilities", id, values, accepted(values=found), "11.7")
    add("aauth-capabilities", "unknown", ["interaction, telepathy"], accepted(values=["interaction"]), "11.7")
    return pack


def _requirements(add: Any) -> None:
    name = "aauth-requirement"
    made = token("resource").made()
    page = 'requirement=interaction; url="https://ps.example/i"; code="A1B2-C3D4"'
    for id, value, result in (
        ("agent-token", "requirement=agent-token", {"requirement": "agent-token"}),
        ("person-token", "requirement=person-token", {"requirement": "person-token"}),
        ("auth-token", f'requirement=auth-token; resource-token="{made}"', {"requirement": "auth-token", "resource-token": made}),
        ("interaction", page, {"requirement": "interaction", "url": "https://ps.example/i", "code": "A1B2-C3D4"}),
        ("approval", "requirement=approval", {"requirement": "approval"}),
        ("unknown-parameter", "requirement=agent-token;zz=7", {"requirement": "agent-token"}),
        ("unknown-member", "x=1, requirement=agent-token", {"requirement": "agent-token"}),
        ("unknown-value", "requirement=telepathy", {"requirement": "telepathy"}),
    ):
        add(name, id, [value], accepted(**result), "11.6.1, 11.6.2")
    bad = refused("malformed")
    for id, values, sections in (
        ("string", ['requirement="agent-token"'], "11.6.1"),
        ("no-member", ["x=agent-token"], "11.6.1"),
        ("item", ["agent-token"], "11.6.1"),
        ("true", ["requirement"], "11.6.1"),
        ("list", ["requirement=(agent-token)"], "11.6.1"),
        ("syntax", ["requirement=="], "11.6.1"),
        ("twice", ["requirement=agent-token", "requirement=person-token"], "11.6.1"),
        ("auth-token-bare", ["requirement=auth-token"], "6.5"),
        ("auth-token-token", ["requirement=auth-token;resource-token=abc"], "6.5"),
        ("auth-token-empty", ['requirement=auth-token;resource-token=""'], "6.5"),
        ("interaction-no-url", ['requirement=interaction;code="A1B2-C3D4"'], "11.6.3"),
        ("interaction-no-code", ['requirement=interaction;url="https://ps.example/i"'], "11.6.3"),
        ("interaction-token", ['requirement=interaction;url="https://ps.example/i";code=A1B2'], "11.6.3, 11.6.3.1"),
        ("interaction-http", ['requirement=interaction;url="http://ps.example/i";code="A1B2-C3D4"'], "11.6.3"),
        ("interaction-query", ['requirement=interaction;url="https://ps.example/i?a";code="A1B2-C3D4"'], "11.6.3"),
        ("interaction-fragment", ['requirement=interaction;url="https://ps.example/i#a";code="A1B2-C3D4"'], "11.6.3"),
    ):
        stricter = "RFC 9651 §4.2.2 lets the last of two equal keys win; here two are refused" if id == "twice" else None
        add(name, id, values, bad, sections, stricter)


def _credentials(add: Any) -> None:
    bad = refused("malformed")
    good = "abcABC123-._~+/=="
    add("aauth-access", "token68", [good], accepted(token=good), "6.3")
    for id, values in (
        ("empty", [""]),
        ("space", ["a b"]),
        ("tab", ["a\tb"]),
        ("control", ["a\x01b"]),
        ("two", ["abc", "def"]),
        ("comma", ["abc, def"]),
        ("quoted", ['"abc"']),
        ("inner-equals", ["a=b"]),
        ("unicode", ["\xe9"]),
        ("newline", ["abc\n"]),
    ):
        add("aauth-access", id, values, bad, "6.3")
    add("authorization", "token68", [f"AAuth {good}"], accepted(token=good), "6.3")
    add("authorization", "lower", [f"aauth {good}"], accepted(token=good), "6.3")
    add("authorization", "other", ["Bearer abc"], accepted(token=None), "6.3")
    for id, values in (
        ("empty", ["AAuth"]),
        ("blank", ["AAuth "]),
        ("space", ["AAuth a b"]),
        ("two", ["AAuth abc", "AAuth def"]),
        ("beside", ["AAuth abc", "Bearer def"]),
        ("comma", ["AAuth abc, def"]),
        ("parameter", ['AAuth token="abc"']),
    ):
        add("authorization", id, values, bad, "6.3")


def _signatures(add: Any) -> None:
    bad = refused("malformed")
    for id, value, result in (
        ("plain", "error=invalid_signature", {"error": "invalid_signature"}),
        ("input", 'error=invalid_input, required_input=("@method" "content-digest")', {"error": "invalid_input", "required_input": ["@method", "content-digest"]}),
        ("unknown-member", "error=expired_jwt, zz=7, yy", {"error": "expired_jwt"}),
        ("unknown-error", "error=moon_phase", {"error": "moon_phase"}),
        ("odd-input", "error=invalid_input, required_input=7", {"error": "invalid_input"}),
    ):
        add("signature-error", id, [value], accepted(**result), "11.9.1, SK 5.1, SK 5.4.5")
    for id, value in (("string", 'error="invalid_signature"'), ("no-error", "zz=1"), ("syntax", "error=="), ("true", "error")):
        add("signature-error", id, [value], bad, "SK 5.1")
    for name in ("accept-signature-scheme", "accept-signature-alg"):
        section = "SK 4.1" if name.endswith("scheme") else "SK 4.2"
        for id, value, found in (
            ("two", "jwt, hwk" if "scheme" in name else "Ed25519, ES256", None),
            ("unknown", "telepathy, jwt", ["telepathy", "jwt"]),
            ("other-members", 'jwt, "hwk", 7', ["jwt"]),
            ("case", "Es256, JWT", ["Es256", "JWT"]),
            ("syntax", "jwt,,", []),
        ):
            add(name, id, [value], accepted(values=found if found is not None else value.split(", ")), f"{section}, SK 4.9")


def responses() -> Pack:
    pack = Pack("response", "Answers as an agent reads them: pending, denied, expired (§11.8, §11.9).")

    def add(id: str, title: str, sections: str, status: int, headers: list[list[str]], body: Any, outcome: dict[str, Any], url: str = f"{PS}/token") -> None:
        raw = body if isinstance(body, str) else json.dumps(body)
        given = {"url": url, "response": {"status": status, "headers": headers, "body": body_text(raw.encode())}}
        pack.add(f"response-{id}", title, "response", sections, given, outcome)

    kind = ["content-type", "application/json"]
    pending = [["location", "/pending/f7a3"], ["retry-after", "0"], ["cache-control", "no-store"], kind]
    where = f"{PS}/pending/f7a3"
    add("pending", "A pending response", "11.8.2", 202, pending, {"status": "pending"}, accepted(pending=where, retry_after=0, status="pending"))
    add("interacting", "The person has come", "11.8.2", 202, pending, {"status": "interacting"}, accepted(pending=where, status="interacting"))
    whole = [["location", where], *pending[1:]]
    add("pending-absolute", "The whole URL", "11.8.2", 202, whole, {"status": "pending"}, accepted(pending=where))
    add("pending-no-retry", "No Retry-After: five seconds", "11.8.3", 202, [pending[0], kind], {"status": "pending"}, accepted(pending=where, retry_after=5))
    add("pending-no-body", "No body", "11.8.2", 202, pending, "", accepted(pending=where, status="pending"))
    page = [*pending, ["aauth-requirement", 'requirement=interaction;url="https://ps.example/i";code="A1B2-C3D4"']]
    add("pending-interaction", "With a page for the person", "11.6.3, 11.8.2", 202, page, {"status": "pending"}, accepted(pending=where, requirement="interaction"))
    unknown = [*pending, ["aauth-requirement", "requirement=telepathy"]]
    add("pending-unknown", "An unknown requirement: polling may go on", "11.6.2", 202, unknown, {"status": "pending"}, accepted(pending=where, requirement="telepathy"))
    bad = refused("pending_refused")
    for id, location in (
        ("elsewhere", "https://evil.example/pending/f7a3"),
        ("scheme", "http://ps.example/pending/f7a3"),
        ("port", "https://ps.example:8443/pending/f7a3"),
        ("protocol-relative", "//evil.example/pending"),
        ("user", "https://me@ps.example/pending"),
    ):
        add(f"pending-{id}", "The pending URL is of another origin", "11.8.2", 202, [["location", location], *pending[1:]], {"status": "pending"}, bad)
    add("pending-no-location", "No Location", "11.8.2", 202, pending[1:], {"status": "pending"}, bad)
    broken = [*pending, ["aauth-requirement", "requirement=="]]
    add("pending-bad-requirement", "A requirement that is malformed", "11.6.1", 202, broken, {"status": "pending"}, bad)
    problem = [["content-type", "application/problem+json"]]
    for code, status in (
        ("denied", 403),
        ("abandoned", 403),
        ("revoked", 403),
        ("expired", 408),
        ("invalid_code", 410),
        ("user_unreachable", 403),
        ("invalid_request", 400),
        ("expired_resource_token", 400),
        ("server_error", 500),
    ):
        add(f"error-{code}", f"{status} {code}", "11.9.2, 11.9.3, 11.9.4", status, problem, {"error": code, "detail": "why"}, accepted(error=code, status=status))
    add("error-type-ignored", "The type says nothing; error decides", "11.9.2", 403, problem, {"type": "urn:x:expired", "title": "Expired", "error": "denied"}, accepted(error="denied"))
    add("error-no-body", "408 without a body is expired", "11.8.4", 408, [], "", accepted(error="expired"))
    add("error-gone", "410 without a body is gone", "11.8.4", 410, [], "", accepted(error="gone"))
    add("error-not-json", "A body that is a page", "11.9.2", 500, problem, "<html>", accepted(error="", status=500))
    add("error-not-string", "error is no string", "11.9.2", 400, problem, {"error": 7}, accepted(error="", status=400))
    return pack


def errors() -> Pack:
    pack = Pack("error", "Answers that a server makes (§11.3.4, §11.9, Signature-Keys §5).")
    problem = "application/problem+json"
    for code in (
        "unsupported_algorithm",
        "unsupported_scheme",
        "invalid_signature",
        "invalid_input",
        "invalid_request",
        "invalid_key",
        "unknown_key",
        "issuer_missing",
        "issuer_mismatch",
        "invalid_jwt",
        "expired_jwt",
        "revoked_jwt",
        "clock_skew",
    ):
        given: dict[str, Any] = {"where": "signature-error", "code": code}
        headers = {"signature-error": f"error={code}", "content-type": problem}
        if code == "invalid_input":
            given["required_input"] = ["@method", "@query"]
            headers["signature-error"] = 'error=invalid_input, required_input=("@method" "@query")'
        if code == "unsupported_scheme":
            given["accept_schemes"], headers["accept-signature-scheme"] = ["jwt"], "jwt"
        if code == "unsupported_algorithm":
            given["accept_algs"], headers["accept-signature-alg"] = ["Ed25519", "ES256"], "Ed25519, ES256"
        body = {"type": f"urn:ietf:params:sig-error:{code}", "error": code}
        pack.add(f"answer-{code}", f"401 {code}", "error", "11.3.4, 11.9.1, SK 5.1, SK 5.2", given, accepted(status=401, headers=headers, body=body))
    for code, status, sections in (
        ("invalid_request", 400, "11.9.3"),
        ("invalid_scope", 400, "6.6.3"),
        ("invalid_account", 400, "6.6.3"),
        ("invalid_resource_token", 400, "11.9.3"),
        ("expired_resource_token", 400, "11.9.3"),
        ("revoked_resource_token", 400, "11.9.3, 11.12.5"),
        ("invalid_presented_token", 400, "11.9.3"),
        ("expired_presented_token", 400, "11.9.3"),
        ("revoked_presented_token", 400, "11.9.3, 11.12.5"),
        ("clock_skew", 400, "11.9.3"),
        ("user_unreachable", 403, "11.9.3"),
        ("denied", 403, "11.9.4, 11.3.4"),
        ("abandoned", 403, "11.9.4, 11.3.4"),
        ("revoked", 403, "11.9.4, 11.3.4"),
        ("expired", 408, "11.9.4"),
        ("invalid_code", 410, "11.9.4"),
        ("slow_down", 429, "11.9.4"),
        ("access_denied", 403, "11.3.4, SK 5.3"),
        ("unsupported_iss", 403, "11.12.3"),
        ("rate_limited", 429, "11.12.3"),
        ("server_error", 500, "11.9.3"),
    ):
        headers = {"content-type": problem}
        if code == "rate_limited":
            headers["retry-after"] = "*"
        absent = ["signature-error", "accept-signature-scheme", "accept-signature-alg"]
        pack.add(f"answer-body-{code}", f"{status} {code}", "error", f"{sections}, 11.9.2", {"where": "body", "code": code}, accepted(status=status, headers=headers, absent=absent, body={"error": code}))
    return pack


def bodies() -> Pack:
    pack = Pack("body", "Bodies that come to an endpoint (§7.1, §7.2.1, §7.5.2, §11.12.1).")

    def add(what: str, id: str, body: Any, ok: bool, sections: str, result: dict[str, Any] | None = None) -> None:
        raw = body if isinstance(body, str) else json.dumps(body)
        given = {"type": what, "body": body_text(raw.encode())}
        pack.add(f"body-{what}-{id}", f"{what}: {id}", "body", sections, given, accepted(**(result or {})) if ok else refused("invalid_request", 400))

    section = "11.12.1, 11.12.3"
    add("revocation", "good", {"jti": "t-1", "exp": 1788727813}, True, section, {"jti": "t-1", "exp": 1788727813})
    add("revocation", "unknown", {"jti": "t-1", "exp": 1, "iss": "https://evil.example"}, True, section, {"jti": "t-1"})
    for id, body in (
        ("no-jti", {"exp": 1}),
        ("no-exp", {"jti": "t-1"}),
        ("jti-number", {"jti": 7, "exp": 1}),
        ("jti-empty", {"jti": "", "exp": 1}),
        ("exp-string", {"jti": "t", "exp": "1"}),
        ("exp-float", {"jti": "t", "exp": 1.5}),
        ("exp-negative", {"jti": "t", "exp": -1}),
        ("exp-true", {"jti": "t", "exp": True}),
        ("array", []),
        ("text", "jti=t"),
        ("twice", '{"jti":"a","jti":"b","exp":1}'),
    ):
        add("revocation", id, body, False, section)
    add("person-token-request", "good", {"resource": API, "capabilities": ["interaction"]}, True, "7.1", {"resource": API})
    for id, body in (
        ("no-resource", {}),
        ("resource-http", {"resource": "http://api.example"}),
        ("resource-slash", {"resource": f"{API}/"}),
        ("resource-path", {"resource": f"{API}/v1"}),
        ("resource-number", {"resource": 7}),
        ("mission-bad", {"resource": API, "mission_s256": "abc"}),
        ("capabilities-string", {"resource": API, "capabilities": "interaction"}),
        ("device-long", {"resource": API, "device": "x" * 65}),
        ("device-control", {"resource": API, "device": "a\u0007b"}),
        ("platform-unknown", {"resource": API, "platform": "toaster"}),
        ("prompt-unknown", {"resource": API, "prompt": "please"}),
    ):
        add("person-token-request", id, body, False, "7.1, 7.2.1, 11.9.3")
    add("person-token-request", "device-longest", {"resource": API, "device": "x" * 64}, True, "7.2.1", {"resource": API})
    add("person-token-request", "unknown", {"resource": API, "zz": 1, "capabilities": ["telepathy"]}, True, "7.1, 11.7", {"resource": API})
    add("auth-token-request", "good", {"resource_token": "eyJ", "presented_token": "eyJ"}, True, "7.2.1")
    for name in ("resource_token", "presented_token"):
        other = {"resource_token": "eyJ", "presented_token": "eyJ"}
        other.pop(name)
        add("auth-token-request", f"no-{name}", other, False, "7.2.1, 11.9.3")
        add("auth-token-request", f"{name}-number", {**other, name: 7}, False, "7.2.1, 11.9.3")
    add("clarification", "response", {"action": "clarification_response", "clarification_response": "Because."}, True, "7.5.2.1")
    add("clarification", "updated", {"action": "updated_request", "resource_token": "e", "presented_token": "e"}, True, "7.5.2.2")
    for id, body in (
        ("no-action", {"clarification_response": "Because."}),
        ("unknown-action", {"action": "shrug"}),
        ("action-number", {"action": 7}),
        ("no-text", {"action": "clarification_response"}),
        ("no-presented", {"action": "updated_request", "resource_token": "e"}),
    ):
        add("clarification", id, body, False, "7.5.2")
    return pack


def signature_keys() -> Pack:
    pack = Pack("signature-key", "Signature-Key alone: which schemes it names, and what they carry (Signature-Keys §3).")

    def add(id: str, title: str, values: list[str], outcome: dict[str, Any], sections: str = "SK 3") -> None:
        pack.add(f"signature-key-{id}", title, "signature-key", sections, {"values": values}, outcome)

    agent = token("agent")
    add("jwt", "A token", [f"sig={presents(agent)}"], accepted(members={"sig": {"scheme": "jwt", "typ": "aa-agent+jwt"}}), "SK 3, SK 3.8")
    add("jwks-uri", "A server", [f"sig={jwks_uri()}"], accepted(members={"sig": {"scheme": "jwks_uri", "id": PS, "dwk": DWK["person"], "kid": "ps-1"}}), "SK 3, SK 3.6")
    add("hwk", "A key", [f"sig={hwk('agent-1')}"], accepted(members={"sig": {"scheme": "hwk", "key": KEYS["agent-1"].thumbprint}}), "SK 3, SK 3.4")
    two = f"a={hwk('agent-1')}, b={jwks_uri()}"
    add("two", "Two members", [two], accepted(members={"a": {"scheme": "hwk"}, "b": {"scheme": "jwks_uri"}}), "SK 3, SK 3.2")
    add("lines", "Two members in two lines", two.split(", "), accepted(members={"a": {"scheme": "hwk"}, "b": {"scheme": "jwks_uri"}}), "SK 3, SK 3.2")
    add("unknown", "An unknown scheme beside a known one", [f"a={hwk('agent-1')}, b=pigeon"], accepted(members={"a": {"scheme": "hwk"}, "b": {"scheme": "pigeon"}}))
    add("syntax", "No Dictionary", ["sig=;"], refused("invalid_signature"))
    add("twice", "A label twice", [f"a={hwk('agent-1')}, a={hwk('agent-2')}"], refused("invalid_signature"))
    add("parameter-twice", "A parameter twice", [f'a={hwk("agent-1")};x="AA"'], refused("invalid_signature"))
    return pack


__all__ = ["MISSION", "PERSON", "bodies", "errors", "fields", "identifiers", "metadata", "responses", "signature_keys"]
