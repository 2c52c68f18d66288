"""Cases of `request`: the claims of a token, and where it is presented (§5.3, §7.1, §9.4, §11.5)."""

from __future__ import annotations

from .case_contexts import confirmation, context, level_of
from .messages import NOW
from .pack import Pack, Requests, unsigned
from .world import (
    AGENT,
    API,
    AS,
    DWK,
    MISSION,
    OTHER_API,
    OTHER_PS,
    PS,
    token,
)

BAD = unsigned("invalid_jwt")

EXPIRED = unsigned("expired_jwt")

AHEAD = unsigned("clock_skew")


def claims() -> Pack:
    pack = Pack("claims", "The claims of agent, person and auth tokens (§5.3, §7.1.2, §7.1.4, §9.4, §11.5).")
    requests = Requests(pack)
    for kind, section in (("agent", "5.3.3"), ("person", "7.1.4"), ("auth", "9.4.3.2")):
        _common(requests, kind, section)
    _agent(requests)
    _person(requests)
    _auth(requests)
    confirmation(requests)
    context(requests)
    return pack


def _common(requests: Requests, kind: str, section: str) -> None:
    _common_1(requests, kind, section)
    _common_2(requests, kind, section)
    _common_3(requests, kind, section)


def _common_1(requests: Requests, kind: str, section: str) -> None:
    add = requests.add
    add(f"{kind}-good", f"A {kind} token in order", f"{section}, 11.5.2", by=token(kind), live=True)
    others = {"typ": "at+jwt"}
    add(
        f"{kind}-typ-other",
        "typ is another JWT's",
        f"{section}, 11.5.1, 11.5.2",
        BAD,
        by=token(kind, header=others),
        live=level_of(kind),
    )
    add(
        f"{kind}-typ-missing",
        "No typ",
        f"{section}, 11.5.1",
        BAD,
        by=token(kind, header={"typ": None}),
        live=level_of(kind),
    )
    add(
        f"{kind}-typ-case",
        "typ in capitals",
        f"{section}, 11.5.1",
        BAD,
        by=token(kind, header={"typ": _typ(kind).upper()}),
        stricter="RFC 7515 §4.1.9 compares media types without case; the drafts compare the string",
    )
    add(
        f"{kind}-no-kid", "No kid", f"{section}, 11.5.1", BAD, by=token(kind, header={"kid": None}), live=level_of(kind)
    )
    add(f"{kind}-kid-number", "kid is a number", "11.5.1", BAD, by=token(kind, header={"kid": 7}))
    add(
        f"{kind}-kid-unknown",
        "A kid that is not published",
        "11.3.4, 11.5.2",
        unsigned("unknown_key"),
        by=token(kind, header={"kid": "nobody"}),
        live=level_of(kind),
    )
    for name in ("iss", "dwk", "jti", "iat", "exp", "sub", "cnf", *(("aud",) if kind != "agent" else ())):
        gone = token(kind)
        gone.claims.pop(name)
        add(
            f"{kind}-no-{name}",
            f"No {name}",
            f"{section}, 11.5.1" + (", SK 3.8" if name in ("exp", "cnf") else ""),
            BAD,
            by=gone,
            live=level_of(kind),
        )


def _common_2(requests: Requests, kind: str, section: str) -> None:
    add = requests.add
    add(
        f"{kind}-dwk-other",
        "dwk is another role's",
        "11.5.2",
        BAD,
        by=token(kind, dwk=DWK["resource"]),
        live=level_of(kind),
    )
    add(
        f"{kind}-expired",
        "Expired a second ago",
        "11.5.2, 7.9.1, SK 5.4.12",
        EXPIRED,
        by=token(kind, iat={"now": -600}, exp={"now": -1}),
        live=level_of(kind),
    )
    add(
        f"{kind}-expiring",
        "Expires now: that is expired",
        "11.5.2, 7.9.1",
        EXPIRED,
        by=token(kind, iat={"now": -600}, exp={"now": 0}),
    )
    add(
        f"{kind}-iat-ahead",
        "Issued more than the window ahead",
        "11.5.2, 11.3.4, SK 5.4.14",
        AHEAD,
        by=token(kind, iat={"now": 61}, exp={"now": 600}),
    )
    add(
        f"{kind}-iat-window",
        "Issued within the window ahead",
        "11.5.2",
        by=token(kind, iat={"now": 60}, exp={"now": 600}),
    )
    for name, value in (("string", str(NOW + 60)), ("float", NOW + 60.5), ("true", True), ("huge", 2**60)):
        add(
            f"{kind}-exp-{name}",
            f"exp is {name}",
            "11.5.1",
            BAD,
            by=token(kind, exp=value),
            stricter="RFC 7519 §2 allows fractions" if name == "float" else None,
        )


def _common_3(requests: Requests, kind: str, section: str) -> None:
    add = requests.add
    add(
        f"{kind}-exp-before-iat",
        "Ends before it begins",
        "11.5.2",
        BAD,
        by=token(kind, iat={"now": 50}, exp={"now": 40}),
        stricter="iat is no validity check (§11.5.2); a lifetime that is negative is refused",
    )
    add(f"{kind}-nbf", "nbf is to come", "11.5.2", BAD, by=token(kind, nbf={"now": 30}))
    add(f"{kind}-nbf-string", "nbf is a string", "11.5.2", BAD, by=token(kind, nbf="now"))
    add(f"{kind}-nbf-past", "nbf is past", "11.5.2", by=token(kind, nbf={"now": -30}))
    long = {"agent": 86401, "person": 3601, "auth": 3601}[kind]
    own = "§5.3.1 says SHOULD NOT; here it is refused" if kind == "agent" else None
    add(
        f"{kind}-long-lived",
        "Lives a second too long",
        f"{section}, 11.5.2, 5.3.1, 7.1.2, 9.4.1",
        BAD,
        by=token(kind, exp={"now": long}),
        stricter=own,
        live=level_of(kind),
    )
    for name, value in (("number", 7), ("empty", ""), ("long", "x" * 256), ("control", "a\nb")):
        bound = "a bound of ours" if name in ("long", "control") else None
        add(f"{kind}-jti-{name}", f"jti is {name}", "11.5.1", BAD, by=token(kind, jti=value), stricter=bound)
    for name, value in (
        ("http", "http://ps.example"),
        ("slash", "https://ps.example/"),
        ("port", "https://ps.example:8443"),
    ):
        add(f"{kind}-iss-{name}", f"iss is {value}", "11.5.2, 11.1.1", BAD, by=token(kind, iss=value))


def _typ(kind: str) -> str:
    return str(token(kind).header["typ"])


def _agent(requests: Requests) -> None:
    _agent_1(requests)
    _agent_2(requests)


def _agent_1(requests: Requests) -> None:
    add = requests.add
    add("agent-no-ps", "An agent without a person server", "5.3.1", by=token("agent", ps=None), live=True)
    for name, value in (("http", "http://ps.example"), ("path", "https://ps.example/v1"), ("number", 7), ("empty", "")):
        add(
            f"agent-ps-{name}",
            f"ps is {value!r}",
            "5.3.3",
            BAD,
            by=token("agent", ps=value),
            live=name == "http" and "agent",
        )
    add(
        "agent-parent",
        "A sub-agent",
        "5.3.3, 5.2",
        by=token("agent", sub="aauth:planner+search@agents.example", parent_agent=AGENT),
    )
    add(
        "agent-parent-bad",
        "parent_agent is no agent",
        "5.3.3",
        BAD,
        by=token("agent", parent_agent="planner"),
        live="agent",
    )
    for name, value in (
        ("spaces", "aauth:My Agent@agents.example"),
        ("no-local", "aauth:@agents.example"),
        ("no-scheme", "planner@agents.example"),
        ("upper-scheme", "AAUTH:planner@agents.example"),
        ("with-scheme", "aauth:planner@https://agents.example"),
        ("port", "aauth:planner@agents.example:8443"),
        ("upper-domain", "aauth:planner@Agents.example"),
        ("long", f"aauth:{'a' * 256}@agents.example"),
        ("slash", "aauth:a/b@agents.example"),
        ("umlaut", "aauth:plan\u00e4r@agents.example"),
        ("address", "aauth:planner@127.0.0.1"),
    ):
        add(f"agent-sub-{name}", f"sub is {value[:40]!r}", "5.2, 5.3.1", BAD, by=token("agent", sub=value))
    add(
        "agent-sub-elsewhere",
        "An agent of another provider's domain",
        "5.2",
        BAD,
        by=token("agent", sub="aauth:planner@other.example"),
        live="agent",
    )


def _agent_2(requests: Requests) -> None:
    add = requests.add
    add(
        "agent-sub-case",
        "The local part keeps its case",
        "5.2",
        by=token("agent", sub="aauth:Planner@agents.example"),
        live=True,
    )
    add(
        "agent-sub-longest",
        "A local part of 255 characters",
        "5.2",
        by=token("agent", sub=f"aauth:{'a' * 255}@agents.example"),
    )


def _person(requests: Requests) -> None:
    add = requests.add
    add("person-whole", "With mission and tenant", "7.1.2", by=token("person", mission_s256=MISSION, tenant="acme"))
    add(
        "person-scope",
        "A person token with a scope",
        "7.1.2",
        BAD,
        by=token("person", scope="orders.read"),
        live="person",
    )
    add(
        "person-account", "A person token with an account", "7.1.2", BAD, by=token("person", account="a"), live="person"
    )
    add(
        "person-mission-bad",
        "mission_s256 is no SHA-256",
        "7.1.2",
        BAD,
        by=token("person", mission_s256="abc"),
        live="person",
    )
    add("person-tenant-number", "tenant is a number", "7.1.2", BAD, by=token("person", tenant=7))
    add("person-aud-other", "For another resource", "7.1.4", BAD, by=token("person", aud=OTHER_API), live="person")
    add(
        "person-aud-list",
        "aud is a list that holds this resource",
        "7.1.4",
        BAD,
        by=token("person", aud=[API]),
        stricter="RFC 7519 §4.1.3 allows a list; §7.1.2 says a URL",
    )
    for name, value in (("slash", f"{API}/"), ("upper", "https://API.example")):
        add(
            f"person-aud-{name}",
            "Identifiers are compared byte by byte",
            "11.1.1, 7.1.4",
            BAD,
            by=token("person", aud=value),
        )
    add("person-sub-number", "sub is a number", "7.1.2", BAD, by=token("person", sub=7))
    two = token("person", iss=OTHER_PS, key="ps-2")
    add(
        "person-other-ps",
        "The same sub from another issuer is another person",
        "7.1.4",
        by=two,
        issuers=(OTHER_PS,),
        live=True,
    )


def _auth(requests: Requests) -> None:
    add = requests.add
    add(
        "auth-whole",
        "With account, mission, tenant and identity claims",
        "9.4.1",
        by=token("auth", account="a-1", mission_s256=MISSION, tenant="acme", email="p@example.com"),
    )
    add("auth-scopes", "Several scope values", "9.4.1", by=token("auth", scope="orders.write orders.read"))
    add("auth-no-scope", "No scope: nothing is granted", "9.4.1", by=token("auth", scope=None))
    by_as = token("auth", iss=AS, dwk=DWK["access"], ps=PS, key="as-1")
    add("auth-by-access-server", "Issued by an access server", "9.4.1, 9.4.3.1", by=by_as, issuers=(AS,))
    add(
        "auth-as-person-dwk",
        "An access server's token that says it is a person server's",
        "9.4.1, 9.4.3.1",
        BAD,
        by=token("auth", iss=AS, ps=PS, key="as-1"),
        issuers=(AS,),
    )
    add(
        "auth-ps-other",
        "ps is another person server than the issuer",
        "9.4.1",
        BAD,
        by=token("auth", ps=OTHER_PS),
        live="grant",
    )
    add("auth-ps-missing", "No ps", "9.4.1", BAD, by=token("auth", ps=None), live="grant")
    add("auth-aud-other", "For another resource", "9.4.3.2", BAD, by=token("auth", aud=OTHER_API), live="grant")
    for name, value in (
        ("list", ["orders.read"]),
        ("quote", 'orders"read'),
        ("double-space", "orders.read  orders.write"),
        ("edge", " orders.read"),
    ):
        add(
            f"auth-scope-{name}",
            f"scope is {value!r}",
            "9.4.1, 11.10",
            BAD,
            by=token("auth", scope=value),
            stricter="RFC 6749 §3.3 knows one space between values" if "space" in name else None,
        )
    add(
        "auth-scope-long",
        "A scope of 10 000 characters",
        "9.4.1",
        BAD,
        by=token("auth", scope="a " * 4_500 + "a"),
        stricter="a bound of ours",
    )
    add("auth-account-number", "account is a number", "9.4.1", BAD, by=token("auth", account=7))
