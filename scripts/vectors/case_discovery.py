"""Cases of `request`: how the issuer's key is found, and what a resource answers (§11.4, §6)."""

from __future__ import annotations

from typing import Any

from .keys import KEYS, compact
from .messages import NOW, Message
from .pack import Pack, Requests, refused, unsigned
from .world import (
    DOCUMENTS,
    DWK,
    PS,
    Spec,
    documents,
    token,
)

BAD = unsigned("invalid_jwt")


def discovery() -> Pack:
    pack = Pack(
        "discovery", "How the issuer's key is found: metadata document, JWKS, kid (§11.2, §11.4, Signature-Keys §3.6)."
    )
    add = Requests(pack).add

    def named(name: str) -> Spec:
        return token("agent", iss=f"https://{name}.example", sub=f"aauth:planner@{name}.example")

    unknown = unsigned("unknown_key")
    cases: list[tuple[str, str, str, dict[str, Any]]] = [
        ("mismatch", "The document's issuer is another", "11.2, SK 3.6, SK 5.4.10", unsigned("issuer_mismatch")),
        ("slash", "The document's issuer has a slash more", "11.2, 11.1.1", unsigned("issuer_mismatch")),
        ("noissuer", "The document names no issuer", "11.2, SK 3.6, SK 5.4.9", unsigned("issuer_missing")),
        ("nojwks", "The document has no jwks_uri", "SK 3.6, 11.2.1", unknown),
        ("plainjwks", "jwks_uri is http", "11.1.2, SK 7.3", unknown),
        ("elsewhere", "jwks_uri is of another origin, which was not admitted", "SK 7.3", unknown),
        ("notjson", "The document is a page", "11.2", unknown),
        ("array", "The document is an array", "11.2", unknown),
        ("absent", "There is no document", "11.3.4", unknown),
        ("moved", "The document has moved: no redirect is followed", "SK 7.3", unknown),
        ("nokeys", "The set has no keys", "SK 7.1", unsigned("unknown_key", "invalid_key")),
        ("badset", "The set is no JSON", "SK 7.1", unknown),
        ("emptyset", "The set is empty", "SK 3.6, SK 5.4.8", unknown),
    ]
    for name, title, sections, outcome in cases:
        issuers = (f"https://{name}.example", "https://agents.example")
        live = False if name in ("absent", "moved") else "agent"
        add(f"issuer-{name}", title, sections, outcome, by=named(name), issuers=issuers, live=live)
    _renewed(Requests(pack))
    return pack


def _renewed(requests: Requests) -> None:
    """The set as it was known, and as it is."""
    agent = token("agent")
    url = "https://agents.example/jwks.json"
    old = {
        **documents("https://agents.example"),
        url: {**DOCUMENTS[url], "body": compact({"keys": [KEYS["ap-2"].published("ap-1")]}).decode()},
    }
    empty = {**old, url: {**DOCUMENTS[url], "body": '{"keys": []}'}}
    known = ["https://agents.example", DWK["agent"], "ap-1"]
    ago = NOW - 600

    def cached(what: dict[str, Any], when: int = ago) -> dict[str, Any]:
        return {"documents": what, "time": when, "keys": [known]}

    add = requests.add
    add("rekeyed", "The key under a known kid was replaced: one more look", "11.4", by=agent, cached=cached(old))
    add("new-kid", "A kid that the known set lacks: one more look", "11.4", by=agent, cached=cached(empty))
    add(
        "rekeyed-within-minute",
        "The known set is half a minute old: no look",
        "11.4, SK 7.2",
        BAD,
        by=agent,
        cached=cached(old, NOW - 30),
    )
    add(
        "new-kid-within-minute",
        "The known set is half a minute old: no look",
        "11.4, SK 7.2",
        unsigned("unknown_key"),
        by=agent,
        cached=cached(empty, NOW - 30),
    )


def access() -> Pack:
    pack = Pack(
        "access", "What a resource answers a good signature that does not suffice, and a bad one (§6, §11.6, §11.12.5)."
    )
    _access_1(pack)
    _access_2(pack)
    return pack


def _access_1(pack: Pack) -> None:
    add = Requests(pack).add
    wants = {
        name: refused(f"requirement:{name}", 401, aauth_requirement=f"requirement={name}")
        for name in ("agent-token", "person-token")
    }
    grant = refused("requirement:auth-token", 401, aauth_requirement="requirement=auth-token;resource-token=*")
    cases: list[tuple[str, str, str, dict[str, Any] | None, str]] = [
        ("agent", "agent", "An agent is served", None, "4.2.1"),
        ("agent", "person", "An agent is asked for its person", wants["person-token"], "6.4"),
        (
            "agent",
            "grant",
            "An agent is asked for its person first, and gets no resource token",
            wants["person-token"],
            "6.5, 6.7",
        ),
        ("person", "agent", "A person token says nothing of the agent", wants["agent-token"], "6.1"),
        ("person", "person", "A person is served", None, "6.4"),
        ("person", "grant", "A person is asked for an auth token, with a resource token", grant, "6.5, 6.7"),
        ("auth", "agent", "An auth token says nothing of the agent", wants["agent-token"], "6.1"),
        ("auth", "person", "Whoever is authorized is known", None, "6.4"),
        ("auth", "grant", "A grant is served", None, "6.5, 9.4.3"),
    ]
    for kind, level, title, outcome, sections in cases:
        need = {"level": level, "scope": ["orders.read"] if level == "grant" else []}
        add(f"need-{level}-has-{kind}", title, sections, outcome, by=token(kind), need=need, live=level)
    more = {"level": "grant", "scope": ["orders.write"]}
    add("need-more-scope", "A grant of less is asked to step up", "6.5", grant, by=token("auth"), need=more)
    add(
        "need-whole-scope",
        "Scope values are whole",
        "11.10",
        grant,
        by=token("auth", scope="orders.read.all"),
        need={"level": "grant", "scope": ["orders.read"]},
    )
    for level, asked in (("agent", "agent-token"), ("person", "person-token"), ("grant", "person-token")):
        need = {"level": level, "scope": ["orders.read"] if level == "grant" else []}
        drop = [("drop", name) for name in ("signature", "signature-input", "signature-key")]
        outcome = unsigned("invalid_signature", aauth_requirement=f"requirement={asked}")
        add(
            f"need-{level}-unsigned",
            f"An unsigned request where {level} is needed",
            f"{'6.1' if level == 'agent' else '6.4'}, 11.3.4",
            outcome,
            by=token("agent"),
            changes=drop,
            need=need,
            live=level,
        )


def _access_2(pack: Pack) -> None:
    add = Requests(pack).add
    spec = token("auth")
    revoked = unsigned("revoked_jwt", aauth_requirement="requirement=person-token")
    need = {"level": "grant", "scope": ["orders.read"]}
    add(
        "need-grant-revoked",
        "A revoked auth token is answered with person-token, never with a resource token",
        "11.12.5",
        revoked,
        by=spec,
        need=need,
        revoked=[[PS, spec.claims["jti"]]],
    )
    bad = unsigned("invalid_request", "invalid_signature")
    session = Message(headers=(("Authorization", "AAuth two words"),))
    from .messages import BASE

    add(
        "need-session-spaces",
        "A credential with a space in it",
        "6.3",
        bad,
        by=token("agent"),
        message=session,
        covered=(*BASE, "authorization"),
        need={"level": "agent", "scope": []},
        live="agent",
    )
    add(
        "need-session-empty",
        "An empty credential",
        "6.3",
        bad,
        by=token("agent"),
        message=Message(headers=(("Authorization", "AAuth"),)),
        covered=(*BASE, "authorization"),
        need={"level": "agent", "scope": []},
        live="agent",
    )
