"""Cases of `metadata`: documents as whoever fetched them reads them (§11.1.2, §11.2)."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from .pack import Pack, accepted, refused
from .world import AP, API, AS, DWK, PS


def metadata() -> Pack:
    pack = Pack("metadata", "Metadata documents as whoever fetched them reads them (§11.1.2, §11.2).")
    _metadata_1(pack)
    _metadata_2(pack)
    return pack


def _metadata_add(
    pack: Pack,
    whole: Any,
    id: str,
    role: str,
    outcome: dict[str, Any] | None,
    sections: str = "11.2",
    title: str = "",
    **changes: Any,
) -> None:
    document = {name: value for name, value in {**whole[role], **changes}.items() if value is not Ellipsis}
    given = {"document": DWK[role], "issuer": whole[role]["issuer"], "body": json.dumps(document)}
    pack.add(
        f"metadata-{id}",
        title or f"{role}: {id}",
        "metadata",
        sections,
        given,
        outcome or accepted(issuer=whole[role]["issuer"]),
    )


def _metadata_1(pack: Pack) -> None:
    whole = {
        "agent": {"issuer": AP, "jwks_uri": f"{AP}/jwks.json", "callback_endpoint": f"{AP}/callback"},
        "person": {
            "issuer": PS,
            "jwks_uri": f"{PS}/jwks.json",
            "auth_token_endpoint": f"{PS}/token",
            "person_token_endpoint": f"{PS}/person",
        },
        "access": {"issuer": AS, "jwks_uri": f"{AS}/jwks.json", "auth_token_endpoint": f"{AS}/token"},
        "resource": {"issuer": API},
    }
    add = partial(_metadata_add, pack, whole)
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
    for id, changes, result in (
        ("defaults", {}, {"access_mode": "agent-token", "signature_window": 60}),
        ("mode", {"access_mode": "auth-token"}, {"access_mode": "auth-token"}),
        ("mode-unknown", {"access_mode": "telepathy"}, {"access_mode": "telepathy"}),
        ("window", {"signature_window": 300}, {"signature_window": 300}),
        ("window-string", {"signature_window": "300"}, {"signature_window": 60}),
        ("window-negative", {"signature_window": -1}, {"signature_window": 60}),
        ("components", {"additional_signature_components": ["x-a", 7]}, {"additional_signature_components": ["x-a"]}),
        ("scopes", {"scope_descriptions": {"a": "A", "b": 7}}, {"scope_descriptions": {"a": "A"}}),
        ("scopes-list", {"scope_descriptions": ["a"]}, {"scope_descriptions": {}}),
    ):
        add(f"read-{id}", "resource", accepted(**result), "11.2.4", **changes)
    for id, flag, found in (("true", True, True), ("absent", ..., False), ("one", 1, False), ("string", "true", False)):
        add(
            f"read-localhost-{id}",
            "agent",
            accepted(localhost_callback_allowed=found),
            "11.1.2, 11.2.1",
            localhost_callback_allowed=flag,
        )
    add("issuer-number", "agent", mismatch, issuer=7)
    add("issuer-null", "agent", refused("issuer_missing", None, "issuer_mismatch"), issuer=None)
    for role, names in (
        ("agent", ("jwks_uri",)),
        ("person", ("jwks_uri", "auth_token_endpoint", "person_token_endpoint")),
        ("access", ("jwks_uri", "auth_token_endpoint")),
    ):
        for name in names:
            add(f"{role}-no-{name}", role, bad, sections[role], **{name: ...})


def _metadata_2(pack: Pack) -> None:
    whole = {
        "agent": {"issuer": AP, "jwks_uri": f"{AP}/jwks.json", "callback_endpoint": f"{AP}/callback"},
        "person": {
            "issuer": PS,
            "jwks_uri": f"{PS}/jwks.json",
            "auth_token_endpoint": f"{PS}/token",
            "person_token_endpoint": f"{PS}/person",
        },
        "access": {"issuer": AS, "jwks_uri": f"{AS}/jwks.json", "auth_token_endpoint": f"{AS}/token"},
        "resource": {"issuer": API},
    }
    add = partial(_metadata_add, pack, whole)
    bad = refused("invalid_metadata")
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
    for id, body in (
        ("text", "<html>"),
        ("array", "[]"),
        ("twice", f'{{"issuer":"https://evil.example","issuer":"{AP}"}}'),
    ):
        given = {"document": DWK["agent"], "issuer": AP, "body": body}
        stricter = "RFC 8259 §4 leaves it to the parser" if id == "twice" else None
        pack.add(f"metadata-{id}", f"The document is {id}", "metadata", "11.2", given, bad, stricter=stricter)
