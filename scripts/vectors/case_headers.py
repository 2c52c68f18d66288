"""Cases of `field` and `signature-key`: header fields as their recipient reads them."""

from __future__ import annotations

from functools import partial
from typing import Any

from .keys import KEYS
from .pack import Pack, accepted, refused
from .world import API, AS, DWK, PS, hwk, jwks_uri, presents, token


def fields() -> Pack:
    pack = Pack(
        "field",
        "Header fields as their recipient reads them (§6.3, §11.2.5, §11.6.1, §11.7, §11.8, Signature-Keys §4, §5.1).",
    )
    _fields_1(pack)
    return pack


def _fields_add(
    pack: Pack,
    name: str,
    id: str,
    values: list[str],
    outcome: dict[str, Any],
    sections: str,
    stricter: str | None = None,
) -> None:
    given = {"name": name, "values": values}
    pack.add(f"{name}-{id}", f"{name}: {' | '.join(values)[:60]}", "field", sections, given, outcome, stricter=stricter)


def _fields_1(pack: Pack) -> None:
    add = partial(_fields_add, pack)
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
        "two": (
            f'<{API}/.well-known/aauth-resource.json>; rel="aauth-resource", '
            f'<{AS}/.well-known/aauth-resource.json>; rel="aauth-resource"',
            [API, AS],
        ),
    }
    for id, (value, found) in links.items():
        add("link", id, [value], accepted(resources=found), "11.2.5")
    for id, value, seconds in (
        ("zero", "0", 0),
        ("seven", "7", 7),
        ("date", "Wed, 21 Oct 2026 07:28:00 GMT", 5),
        ("junk", "soon", 5),
    ):
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
    for name, result in (
        ("signature-error", {"error": None}),
        ("accept-signature-alg", {"values": None}),
        ("aauth-access", {"token": None}),
        ("aauth-requirement", {"requirement": None}),
        ("authorization", {"token": None}),
        ("link", {"resources": []}),
    ):
        sections = {"accept-signature-alg": "SK 4", "signature-error": "SK 5.1"}.get(
            name, "11.6.1" if "req" in name else "6.3"
        )
        add(name, "absent", [], accepted(**result), sections)
    add("aauth-capabilities", "unknown", ["interaction, telepathy"], accepted(values=["interaction"]), "11.7")


def _requirements(add: Any) -> None:
    name = "aauth-requirement"
    made = token("resource").made()
    page = 'requirement=interaction; url="https://ps.example/i"; code="A1B2-C3D4"'
    for id, value, result in (
        ("agent-token", "requirement=agent-token", {"requirement": "agent-token"}),
        ("person-token", "requirement=person-token", {"requirement": "person-token"}),
        (
            "auth-token",
            f'requirement=auth-token; resource-token="{made}"',
            {"requirement": "auth-token", "resource-token": made},
        ),
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
        stricter = (
            "RFC 9651 §4.2.2 lets the last of two equal keys win; here two are refused" if id == "twice" else None
        )
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
        (
            "input",
            'error=invalid_input, required_input=("@method" "content-digest")',
            {"error": "invalid_input", "required_input": ["@method", "content-digest"]},
        ),
        ("unknown-member", "error=expired_jwt, zz=7, yy", {"error": "expired_jwt"}),
        ("unknown-error", "error=moon_phase", {"error": "moon_phase"}),
        ("odd-input", "error=invalid_input, required_input=7", {"error": "invalid_input"}),
    ):
        add("signature-error", id, [value], accepted(**result), "11.9.1, SK 5.1, SK 5.4.5")
    for id, value in (
        ("string", 'error="invalid_signature"'),
        ("no-error", "zz=1"),
        ("syntax", "error=="),
        ("true", "error"),
    ):
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
            add(
                name,
                id,
                [value],
                accepted(values=found if found is not None else value.split(", ")),
                f"{section}, SK 4.9",
            )


def signature_keys() -> Pack:
    pack = Pack(
        "signature-key", "Signature-Key alone: which schemes it names, and what they carry (Signature-Keys §3)."
    )

    def add(id: str, title: str, values: list[str], outcome: dict[str, Any], sections: str = "SK 3") -> None:
        pack.add(f"signature-key-{id}", title, "signature-key", sections, {"values": values}, outcome)

    agent = token("agent")
    add(
        "jwt",
        "A token",
        [f"sig={presents(agent)}"],
        accepted(members={"sig": {"scheme": "jwt", "typ": "aa-agent+jwt"}}),
        "SK 3, SK 3.8",
    )
    add(
        "jwks-uri",
        "A server",
        [f"sig={jwks_uri()}"],
        accepted(members={"sig": {"scheme": "jwks_uri", "id": PS, "dwk": DWK["person"], "kid": "ps-1"}}),
        "SK 3, SK 3.6",
    )
    add(
        "hwk",
        "A key",
        [f"sig={hwk('agent-1')}"],
        accepted(members={"sig": {"scheme": "hwk", "key": KEYS["agent-1"].thumbprint}}),
        "SK 3, SK 3.4",
    )
    two = f"a={hwk('agent-1')}, b={jwks_uri()}"
    add(
        "two",
        "Two members",
        [two],
        accepted(members={"a": {"scheme": "hwk"}, "b": {"scheme": "jwks_uri"}}),
        "SK 3, SK 3.2",
    )
    add(
        "lines",
        "Two members in two lines",
        two.split(", "),
        accepted(members={"a": {"scheme": "hwk"}, "b": {"scheme": "jwks_uri"}}),
        "SK 3, SK 3.2",
    )
    add(
        "unknown",
        "An unknown scheme beside a known one",
        [f"a={hwk('agent-1')}, b=pigeon"],
        accepted(members={"a": {"scheme": "hwk"}, "b": {"scheme": "pigeon"}}),
    )
    add("syntax", "No Dictionary", ["sig=;"], refused("invalid_signature"))
    add("twice", "A label twice", [f"a={hwk('agent-1')}, a={hwk('agent-2')}"], refused("invalid_signature"))
    add("parameter-twice", "A parameter twice", [f'a={hwk("agent-1")};x="AA"'], refused("invalid_signature"))
    return pack
