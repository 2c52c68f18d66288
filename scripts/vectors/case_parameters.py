"""Cases of `token`: tokens in bodies, in challenges and in answers (§6.7.2, §6.7.3, §7.1.2, §9.4.4), and of `mint`."""

from __future__ import annotations

from functools import partial
from typing import Any

from .keys import KEYS
from .messages import NOW
from .pack import Pack, accepted, refused
from .world import API, AS, DWK, MISSION, OTHER_API, OTHER_PS, PERSON, PS, Spec, documents, relative, token

INVALID, PRESENTED = "invalid_resource_token", "invalid_presented_token"


def parameters() -> Pack:
    pack = Pack(
        "parameters", "A resource token and the token that was presented, as a person server verifies them (§6.7.2)."
    )
    _parameters_1(pack)
    _parameters_2(pack)
    _parameters_3(pack)
    return pack


def _parameters_add(
    pack: Pack,
    id: str,
    title: str,
    sections: str,
    outcome: dict[str, Any] | None = None,
    *,
    resource: Spec | str | None = None,
    presented: Spec | str | None = None,
    revoked: Any = (),
    **more: Any,
) -> None:
    resource = resource or token("resource")
    presented = presented or token("person")
    given = {
        "as": "parameters",
        "time": NOW,
        "server": {"identifier": PS, "trusted": None},
        "key": KEYS["agent-1"].thumbprint,
        "resource_token": resource if isinstance(resource, str) else resource.made(),
        "presented_token": presented if isinstance(presented, str) else presented.made(),
        "documents": documents(API, PS, AS, OTHER_PS),
        "revoked": [list(each) for each in revoked],
        **more,
    }
    pack.add(
        f"pair-{id}",
        title,
        "token",
        sections,
        given,
        outcome or accepted(iss=API, sub=PERSON, scope=["orders.read"], presented_jti="person-1"),
    )


def _parameters_bad(code: str, *also: str) -> dict[str, Any]:
    return refused(code, 400, *also)


def _parameters_1(pack: Pack) -> None:
    add = partial(_parameters_add, pack)
    bad = _parameters_bad
    add("person", "A resource token with the person token it was made for", "6.7.2, 7.2.1")
    shown = token("auth", jti="auth-1")
    add(
        "auth",
        "A step-up: with the auth token it was made for",
        "6.7.2, 7.2.1",
        accepted(presented_jti="auth-1"),
        resource=token("resource", presented_jti="auth-1"),
        presented=shown,
    )
    whole = {"mission_s256": MISSION, "tenant": "acme"}
    add(
        "whole",
        "Mission and tenant are copied",
        "6.7.1, 6.7.2",
        resource=token("resource", **whole),
        presented=token("person", **whole),
    )
    for name, claims, sections in (
        ("aud", {"aud": OTHER_PS}, "6.7.2"),
        ("key", {"agent_jkt": KEYS["agent-2"].thumbprint}, "6.7.2"),
        ("ps", {"ps": OTHER_PS}, "6.7.2"),
        ("no-aud", {"aud": None}, "6.7.1"),
        ("no-ps", {"ps": None}, "6.7.1"),
        ("no-sub", {"sub": None}, "6.7.1"),
        ("no-presented", {"presented_jti": None}, "6.7.1"),
        ("no-key", {"agent_jkt": None}, "6.7.1"),
        ("short-key", {"agent_jkt": "abc"}, "6.7.1"),
        ("sub", {"sub": "somebody-else"}, "6.7.2"),
        ("presented", {"presented_jti": "another"}, "6.7.2"),
        ("mission-added", {"mission_s256": MISSION}, "6.7.2"),
        ("tenant-added", {"tenant": "acme"}, "6.7.2"),
        ("dwk", {"dwk": DWK["person"]}, "11.5.2"),
        ("scope", {"scope": 'a"b'}, "6.7.1, 11.10"),
        ("interaction", {"interaction": {"url": "http://api.example/i", "code": "A1B2-C3D4"}}, "6.7.1, 7.2.3"),
        ("interaction-code-long", {"interaction": {"url": "https://api.example/i", "code": "A" * 65}}, "6.7.1"),
        ("interaction-code-control", {"interaction": {"url": "https://api.example/i", "code": "A\n"}}, "6.7.1"),
        ("interaction-no-code", {"interaction": {"url": "https://api.example/i"}}, "6.7.1"),
        ("interaction-string", {"interaction": "https://api.example/i"}, "6.7.1"),
        ("long-lived", {"exp": {"now": 301}}, "6.7.1, 11.5.2"),
    ):
        add(
            name,
            f"The resource token: {name}",
            f"{sections}, 11.9.3",
            bad(INVALID),
            resource=token("resource", **claims),
        )


def _parameters_2(pack: Pack) -> None:
    add = partial(_parameters_add, pack)
    bad = _parameters_bad
    whole = {"mission_s256": MISSION, "tenant": "acme"}
    add(
        "interaction-good",
        "With the resource's own page",
        "6.7.1",
        accepted(iss=API),
        resource=token("resource", interaction={"url": "https://api.example/i", "code": "A1B2-C3D4"}),
    )
    add(
        "mission-lost",
        "The mission of the presented token is left out",
        "6.7.1, 6.7.2",
        bad(INVALID),
        presented=token("person", **whole),
        resource=token("resource", tenant="acme"),
    )
    add(
        "tenant-lost",
        "The tenant of the presented token is left out",
        "6.7.1, 6.7.2",
        bad(INVALID),
        presented=token("person", **whole),
        resource=token("resource", mission_s256=MISSION),
    )
    add("typ", "A person token for a resource token", "6.7.2, 11.5.2, 11.9.3", bad(INVALID), resource=token("person"))
    add("malformed", "No JWT", "11.9.3", bad(INVALID), resource="abc")
    add(
        "signature",
        "The resource's signature does not verify",
        "11.9.3, 11.5.2",
        bad(INVALID),
        resource=token("resource", key="stranger", header={"kid": "api-1"}),
    )
    add(
        "kid",
        "A kid that the resource does not publish",
        "11.5.2",
        bad(INVALID),
        resource=token("resource", header={"kid": "nobody"}),
    )
    add(
        "expired",
        "The resource token has expired",
        "11.9.3, 11.5.2",
        bad("expired_resource_token"),
        resource=token("resource", iat={"now": -400}, exp={"now": -100}),
    )


def _parameters_3(pack: Pack) -> None:
    add = partial(_parameters_add, pack)
    bad = _parameters_bad
    add(
        "ahead",
        "The resource token was issued ahead of the clock",
        "11.5.2, 11.9.3",
        bad("clock_skew"),
        resource=token("resource", iat={"now": 100}, exp={"now": 300}),
    )
    add(
        "revoked",
        "The resource withdrew it",
        "11.12.4, 11.12.5, 11.9.3",
        bad("revoked_resource_token"),
        revoked=[(API, "resource-1")],
    )
    add(
        "untrusted",
        "A resource that is not trusted here",
        "11.9.3",
        bad(INVALID),
        server={"identifier": PS, "trusted": {DWK["resource"]: ["https://trusted.example"], DWK["person"]: [PS]}},
    )
    _presented(add, bad)
    _challenges(pack)
    _issued(pack)


def _presented(add: Any, bad: Any) -> None:
    for name, spec, code in (
        ("agent", token("agent"), PRESENTED),
        ("resource", token("resource"), PRESENTED),
        ("aud", token("person", aud=OTHER_API), PRESENTED),
        ("cnf", token("person", bound="agent-2"), PRESENTED),
        ("scope", token("person", scope="orders.read"), PRESENTED),
        ("signature", token("person", key="stranger", header={"kid": "ps-1"}), PRESENTED),
        ("expired", token("person", iat={"now": -3600}, exp={"now": -1}), "expired_presented_token"),
        ("ahead", token("person", iat={"now": 100}, exp={"now": 600}), "clock_skew"),
        ("other-ps", token("person", iss=OTHER_PS, key="ps-2"), INVALID),
    ):
        add(f"presented-{name}", f"The presented token: {name}", "6.7.2, 11.9.3", bad(code), presented=spec)
    add("presented-malformed", "The presented token is no JWT", "6.7.2, 11.9.3", bad(PRESENTED), presented="abc")
    add(
        "presented-revoked",
        "The presented token was revoked",
        "11.12.4, 11.12.5",
        bad("revoked_presented_token"),
        revoked=[(PS, "person-1")],
    )


def _challenges(pack: Pack) -> None:
    def add(
        id: str,
        title: str,
        outcome: dict[str, Any] | None = None,
        *,
        held: Spec | None = None,
        resource: str = API,
        **claims: Any,
    ) -> None:
        given = {
            "as": "challenge",
            "time": NOW,
            "resource": resource,
            "person_server": PS,
            "key": "agent-1",
            "held": (held or token("person")).made(),
            "resource_token": token("resource", **claims).made(),
            "documents": documents(API, PS, OTHER_PS),
        }
        pack.add(
            f"challenge-{id}",
            title,
            "token",
            "6.7.3",
            given,
            outcome or accepted(iss=API, aud=PS, scope=["orders.read"]),
        )

    bad = refused("challenge_refused")
    add("good", "A challenge in order")
    add("iss", "Issued by another resource than was called", bad, resource=OTHER_API)
    for name, claims in (
        ("key", {"agent_jkt": KEYS["agent-2"].thumbprint}),
        ("ps", {"ps": OTHER_PS, "aud": OTHER_PS}),
        ("sub", {"sub": "somebody-else"}),
        ("presented", {"presented_jti": "another"}),
        ("mission", {"mission_s256": MISSION}),
        ("tenant", {"tenant": "acme"}),
        ("expired", {"iat": {"now": -400}, "exp": {"now": 0}}),
        ("signature", {"key": "stranger", "header": {"kid": "api-1"}}),
        ("typ", {"header": {"typ": "aa-auth+jwt"}}),
    ):
        add(name, f"The resource token: {name}", bad, **claims)
    add("no-person", "A challenge before any person token was seen", bad, held=token("agent"))


def _issued(pack: Pack) -> None:
    _issued_1(pack)


def _issued_auth(pack: Pack, id: str, title: str, ok: bool = False, *, by: str | None = None, **claims: Any) -> None:
    spec = token("auth", key=by, **claims)
    resource_token = token("resource").made()
    given = {
        "as": "auth_token",
        "time": NOW,
        "key": "agent-1",
        "held": token("person").made(),
        "resource_token": resource_token,
        "token": spec.made(),
        "documents": documents(PS, OTHER_PS, AS, API),
    }
    pack.add(
        f"issued-auth-{id}",
        title,
        "token",
        "9.4.4, 9.4.1, 11.10",
        given,
        accepted(iss=PS, sub=PERSON, scope=["orders.read"]) if ok else refused("token_refused"),
    )


def _issued_person(
    pack: Pack, id: str, title: str, ok: bool = False, *, by: str | None = None, latest: int = 7200, **claims: Any
) -> None:
    given = {
        "as": "person_token",
        "time": NOW,
        "key": "agent-1",
        "person_server": PS,
        "resource": API,
        "latest": NOW + latest,
        "token": token("person", key=by, **claims).made(),
        "documents": documents(PS, OTHER_PS),
    }
    pack.add(
        f"issued-person-{id}",
        title,
        "token",
        "7.1.2",
        given,
        accepted(iss=PS, sub=PERSON, aud=API) if ok else refused("token_refused"),
    )


def _issued_1(pack: Pack) -> None:
    auth = partial(_issued_auth, pack)
    auth("good", "An auth token as asked for", True)
    for name, claims in (
        ("iss", {"iss": OTHER_PS, "by": "ps-2"}),
        ("aud", {"aud": OTHER_API}),
        ("sub", {"sub": "somebody-else"}),
        ("cnf", {"bound": "agent-2"}),
        ("scope", {"scope": "orders.read orders.write"}),
        ("account", {"account": "a-1"}),
        ("mission", {"mission_s256": MISSION}),
        ("tenant", {"tenant": "acme"}),
        ("outlives", {"iat": {"now": 30}, "exp": {"now": 3630}}),
        ("long-lived", {"iat": {"now": -600}, "exp": {"now": 3600}}),
        ("signature", {"by": "stranger", "header": {"kid": "ps-1"}}),
        ("typ", {"header": {"typ": "aa-person+jwt"}}),
        ("expired", {"iat": {"now": -600}, "exp": {"now": 0}}),
    ):
        auth(name, f"The auth token: {name}", **claims)
    person = partial(_issued_person, pack)
    person("good", "A person token as asked for", True)
    person("iss", "By another person server", iss=OTHER_PS, by="ps-2")
    person("aud", "For another resource", aud=OTHER_API)
    person("cnf", "Bound to another key", bound="agent-2")
    person("outlives", "Outlives the agent token", latest=1800)
    person("signature", "The signature does not verify", by="stranger", header={"kid": "ps-1"})
    person("long-lived", "Lives longer than an hour", exp={"now": 3601})


def minting() -> Pack:
    pack = Pack(
        "mint",
        "Tokens that a party makes: what must stand in them, and what is not made (§5.3.1, §6.7.1, §7.1.2, §9.4.1).",
    )
    _minting_1(pack)
    return pack


def _minting_add(pack: Pack, id: str, title: str, sections: str, kind: str, ok: bool = True, **changes: Any) -> None:
    spec = token(kind)
    claims = {**relative(spec.claims), **relative(changes)}
    asked = {name: value for name, value in claims.items() if name not in ("cnf", "agent_jkt") and value is not None}
    given = {"typ": spec.header["typ"], "key": spec.key, "bound": "agent-1", "claims": asked}
    present = {name: value for name, value in claims.items() if value is not None}
    header = {"typ": spec.header["typ"], "alg": KEYS[spec.key].alg}
    pack.add(
        f"mint-{id}",
        title,
        "mint",
        sections,
        given,
        accepted(header=header, claims=present) if ok else refused("not_made"),
    )


def _minting_1(pack: Pack) -> None:
    add = partial(_minting_add, pack)
    for kind, sections in (("agent", "5.3.1"), ("person", "7.1.2"), ("auth", "9.4.1"), ("resource", "6.7.1")):
        add(kind, f"A {kind} token", f"{sections}, 11.5.1", kind)
        longest = {"agent": 86400, "resource": 300}.get(kind, 3600)
        add(f"{kind}-longest", "As long-lived as it may be", sections, kind, exp={"now": longest})
        add(f"{kind}-too-long", "A second longer", sections, kind, False, exp={"now": longest + 1})
        add(f"{kind}-no-life", "Ends when it begins", sections, kind, False, exp={"now": 0})
        add(f"{kind}-negative", "Ends before it begins", sections, kind, False, exp={"now": -1})
    add(
        "auth-whole",
        "With account, mission and tenant",
        "9.4.1",
        "auth",
        account="a-1",
        mission_s256=MISSION,
        tenant="acme",
    )
    add("auth-other-ps", "ps is another than the person server that issues", "9.4.1", "auth", False, ps=OTHER_PS)
    add("auth-dwk-agent", "By an agent provider", "9.4.1", "auth", False, dwk=DWK["agent"])
    add(
        "auth-agent",
        "An agent identifier in an auth token",
        "9.4.1",
        "auth",
        False,
        agent="aauth:planner@agents.example",
    )
    add("auth-act", "A delegation chain in an auth token", "9.4.1", "auth", False, act={"sub": "x"})
    add("auth-email", "An identity claim", "9.4.1", "auth", email="p@example.com")
    add("person-whole", "With mission and tenant", "7.1.2", "person", mission_s256=MISSION, tenant="acme")
    add(
        "resource-whole",
        "With everything",
        "6.7.1, 11.11",
        "resource",
        account="a-1",
        login_hint="p",
        mission_s256=MISSION,
        tenant="acme",
        interaction={"url": f"{API}/i", "code": "A1B2-C3D4"},
    )
