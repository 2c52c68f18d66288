"""Cases of `response`, `error` and `body`: answers that are read and made, and bodies that come."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from .pack import Pack, accepted, body_text, refused
from .world import API, PS


def responses() -> Pack:
    pack = Pack("response", "Answers as an agent reads them: pending, denied, expired (§11.8, §11.9).")
    _responses_1(pack)
    _responses_2(pack)
    _responses_3(pack)
    return pack


def _responses_add(
    pack: Pack,
    id: str,
    title: str,
    sections: str,
    status: int,
    headers: list[list[str]],
    body: Any,
    outcome: dict[str, Any],
    url: str = f"{PS}/token",
) -> None:
    raw = body if isinstance(body, str) else json.dumps(body)
    given = {"url": url, "response": {"status": status, "headers": headers, "body": body_text(raw.encode())}}
    pack.add(f"response-{id}", title, "response", sections, given, outcome)


def _responses_1(pack: Pack) -> None:
    add = partial(_responses_add, pack)
    kind = ["content-type", "application/json"]
    pending = [["location", "/pending/f7a3"], ["retry-after", "0"], ["cache-control", "no-store"], kind]
    where = f"{PS}/pending/f7a3"
    add(
        "pending",
        "A pending response",
        "11.8.2",
        202,
        pending,
        {"status": "pending"},
        accepted(pending=where, retry_after=0, status="pending"),
    )
    add(
        "interacting",
        "The person has come",
        "11.8.2",
        202,
        pending,
        {"status": "interacting"},
        accepted(pending=where, status="interacting"),
    )
    whole = [["location", where], *pending[1:]]
    add("pending-absolute", "The whole URL", "11.8.2", 202, whole, {"status": "pending"}, accepted(pending=where))
    add(
        "pending-no-retry",
        "No Retry-After: five seconds",
        "11.8.3",
        202,
        [pending[0], kind],
        {"status": "pending"},
        accepted(pending=where, retry_after=5),
    )
    add("pending-no-body", "No body", "11.8.2", 202, pending, "", accepted(pending=where, status="pending"))
    page = [*pending, ["aauth-requirement", 'requirement=interaction;url="https://ps.example/i";code="A1B2-C3D4"']]
    add(
        "pending-interaction",
        "With a page for the person",
        "11.6.3, 11.8.2",
        202,
        page,
        {"status": "pending"},
        accepted(pending=where, requirement="interaction"),
    )


def _responses_2(pack: Pack) -> None:
    add = partial(_responses_add, pack)
    kind = ["content-type", "application/json"]
    pending = [["location", "/pending/f7a3"], ["retry-after", "0"], ["cache-control", "no-store"], kind]
    where = f"{PS}/pending/f7a3"
    unknown = [*pending, ["aauth-requirement", "requirement=telepathy"]]
    add(
        "pending-unknown",
        "An unknown requirement: polling may go on",
        "11.6.2",
        202,
        unknown,
        {"status": "pending"},
        accepted(pending=where, requirement="telepathy"),
    )
    bad = refused("pending_refused")
    for id, location in (
        ("elsewhere", "https://evil.example/pending/f7a3"),
        ("scheme", "http://ps.example/pending/f7a3"),
        ("port", "https://ps.example:8443/pending/f7a3"),
        ("protocol-relative", "//evil.example/pending"),
        ("user", "https://me@ps.example/pending"),
    ):
        add(
            f"pending-{id}",
            "The pending URL is of another origin",
            "11.8.2",
            202,
            [["location", location], *pending[1:]],
            {"status": "pending"},
            bad,
        )
    add("pending-no-location", "No Location", "11.8.2", 202, pending[1:], {"status": "pending"}, bad)
    broken = [*pending, ["aauth-requirement", "requirement=="]]
    add("pending-bad-requirement", "A requirement that is malformed", "11.6.1", 202, broken, {"status": "pending"}, bad)


def _responses_3(pack: Pack) -> None:
    add = partial(_responses_add, pack)
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
        add(
            f"error-{code}",
            f"{status} {code}",
            "11.9.2, 11.9.3, 11.9.4",
            status,
            problem,
            {"error": code, "detail": "why"},
            accepted(error=code, status=status),
        )
    add(
        "error-type-ignored",
        "The type says nothing; error decides",
        "11.9.2",
        403,
        problem,
        {"type": "urn:x:expired", "title": "Expired", "error": "denied"},
        accepted(error="denied"),
    )
    add("error-no-body", "408 without a body is expired", "11.8.4", 408, [], "", accepted(error="expired"))
    add("error-gone", "410 without a body is gone", "11.8.4", 410, [], "", accepted(error="gone"))
    add("error-not-json", "A body that is a page", "11.9.2", 500, problem, "<html>", accepted(error="", status=500))
    add("error-not-string", "error is no string", "11.9.2", 400, problem, {"error": 7}, accepted(error="", status=400))
    _reports(pack)


def _reports(pack: Pack) -> None:
    """What came of a revocation (§11.12.3)."""

    def add(id: str, body: Any, outcome: dict[str, Any], kind: str | None = "application/json") -> None:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        fields = [["content-type", kind]] if kind is not None and raw else []
        given = {
            "to": "revocation",
            "url": f"{API}/revoke",
            "response": {"status": 200, "headers": fields, "body": body_text(raw)},
        }
        pack.add(f"report-{id}", f"A revocation is answered: {id}", "response", "11.12.3", given, outcome)

    bad = refused("revocation_unavailable")
    add("empty", "", accepted(downstream=[]))
    add("object", {}, accepted(downstream=[]))
    one = {"recipient": API, "error": "revocation_unavailable"}
    add("failed", {"downstream": [one]}, accepted(downstream=[one]))
    add("done", {"downstream": [{"recipient": API}], "zz": 1}, accepted(downstream=[{"recipient": API}]))
    add("unknown-error", {"downstream": [{"recipient": API, "error": "moon"}]}, accepted(downstream=[one]))
    add("type", {"downstream": []}, bad, "text/plain")
    add("no-type", {"downstream": []}, bad, None)
    add("array", [], bad)
    add("page", "<html>", bad)
    add("downstream-object", {"downstream": {}}, bad)
    add("recipient", {"downstream": [{"recipient": "http://api.example"}]}, bad)
    add("no-recipient", {"downstream": [{}]}, bad)


def errors() -> Pack:
    pack = Pack("error", "Answers that a server makes (§11.3.4, §11.9, Signature-Keys §5).")
    _errors_1(pack)
    _errors_2(pack)
    return pack


def _errors_1(pack: Pack) -> None:
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
        pack.add(
            f"answer-{code}",
            f"401 {code}",
            "error",
            "11.3.4, 11.9.1, SK 5.1, SK 5.2",
            given,
            accepted(status=401, headers=headers, body=body),
        )


def _errors_2(pack: Pack) -> None:
    problem = "application/problem+json"
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
        pack.add(
            f"answer-body-{code}",
            f"{status} {code}",
            "error",
            f"{sections}, 11.9.2",
            {"where": "body", "code": code},
            accepted(status=status, headers=headers, absent=absent, body={"error": code}),
        )


def bodies() -> Pack:
    pack = Pack("body", "Bodies that come to an endpoint (§7.1, §7.2.1, §7.5.2, §11.12.1).")
    _bodies_1(pack)
    _bodies_2(pack)
    return pack


def _bodies_add(
    pack: Pack, what: str, id: str, body: Any, ok: bool, sections: str, result: dict[str, Any] | None = None
) -> None:
    raw = body if isinstance(body, str) else json.dumps(body)
    given = {"type": what, "body": body_text(raw.encode())}
    pack.add(
        f"body-{what}-{id}",
        f"{what}: {id}",
        "body",
        sections,
        given,
        accepted(**(result or {})) if ok else refused("invalid_request", 400),
    )


def _bodies_1(pack: Pack) -> None:
    add = partial(_bodies_add, pack)
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
    add(
        "person-token-request",
        "good",
        {"resource": API, "capabilities": ["interaction"]},
        True,
        "7.1",
        {"resource": API},
    )
    for id, body in (
        ("no-resource", {}),
        ("resource-http", {"resource": "http://api.example"}),
        ("resource-slash", {"resource": f"{API}/"}),
        ("resource-path", {"resource": f"{API}/v1"}),
        ("resource-number", {"resource": 7}),
        ("mission-bad", {"resource": API, "mission_s256": "abc"}),
        ("mission-number", {"resource": API, "mission_s256": 7}),
        ("mission-stray-bits", {"resource": API, "mission_s256": "A" * 42 + "B"}),
        ("capabilities-string", {"resource": API, "capabilities": "interaction"}),
        ("device-long", {"resource": API, "device": "x" * 65}),
        ("device-control", {"resource": API, "device": "a\u0007b"}),
        ("platform-unknown", {"resource": API, "platform": "toaster"}),
        ("prompt-unknown", {"resource": API, "prompt": "please"}),
    ):
        add("person-token-request", id, body, False, "7.1, 7.2.1, 11.9.3")
    add(
        "person-token-request",
        "device-longest",
        {"resource": API, "device": "x" * 64},
        True,
        "7.2.1",
        {"resource": API},
    )


def _bodies_2(pack: Pack) -> None:
    add = partial(_bodies_add, pack)
    add(
        "person-token-request",
        "unknown",
        {"resource": API, "zz": 1, "capabilities": ["telepathy"]},
        True,
        "7.1, 11.7",
        {"resource": API},
    )
    add("auth-token-request", "good", {"resource_token": "eyJ", "presented_token": "eyJ"}, True, "7.2.1")
    for name in ("resource_token", "presented_token"):
        other = {"resource_token": "eyJ", "presented_token": "eyJ"}
        other.pop(name)
        add("auth-token-request", f"no-{name}", other, False, "7.2.1, 11.9.3")
        add("auth-token-request", f"{name}-number", {**other, name: 7}, False, "7.2.1, 11.9.3")
    add(
        "clarification",
        "response",
        {"action": "clarification_response", "clarification_response": "Because."},
        True,
        "7.5.2.1",
    )
    add(
        "clarification",
        "updated",
        {"action": "updated_request", "resource_token": "e", "presented_token": "e"},
        True,
        "7.5.2.2",
    )
    for id, body in (
        ("no-action", {"clarification_response": "Because."}),
        ("unknown-action", {"action": "shrug"}),
        ("action-number", {"action": 7}),
        ("no-text", {"action": "clarification_response"}),
        ("no-presented", {"action": "updated_request", "resource_token": "e"}),
    ):
        add("clarification", id, body, False, "7.5.2")
