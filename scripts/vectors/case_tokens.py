"""Cases of `request`: the token in Signature-Key, and how its issuer's key is found (§5.3.3, §7.1.4, §9.4.3, §11.5)."""

from __future__ import annotations

from typing import Any

from .keys import KEYS, b64, compact, encode, mac_jws, sign_jws
from .messages import NOW, Message, Signing
from .pack import Pack, Requests, accepted, refused, server, unsigned, who
from .world import (
    AGENT,
    API,
    AS,
    DOCUMENTS,
    DWK,
    MISSION,
    OTHER_API,
    OTHER_PS,
    PERSON,
    PS,
    Spec,
    documents,
    presents,
    relative,
    token,
)

BAD = unsigned("invalid_jwt")
EXPIRED = unsigned("expired_jwt")
AHEAD = unsigned("clock_skew")
KEY = unsigned("invalid_key")
ALGS = unsigned("unsupported_algorithm", accept_signature_alg="Ed25519, ES256")


def jws() -> Pack:
    pack = Pack("jws", "The token as a JWS and a JSON document (§11.5.1, §11.5.2 step 2, Signature-Keys §3.8).")
    add = Requests(pack).add
    made = token("agent").made()
    head, claims, signature = made.split(".")
    header = token("agent").header
    payload = relative(token("agent").claims)
    cases: list[tuple[str, str, str]] = [
        ("empty", "Nothing", ""),
        ("word", "One word", "abc"),
        ("two-parts", "Two parts", f"{head}.{claims}"),
        ("four-parts", "Four parts", f"{made}.{signature}"),
        ("padded", "A padded part", f"{head}=.{claims}.{signature}"),
        ("alphabet", "A part in the other alphabet", f"{head}.{claims}.{signature[:-2]}+/"),
        ("stray-bits", "Stray bits in the last symbol", _stray(made)),
        ("header-array", "The header is an array", sign_jws(KEYS["ap-1"], b"[]", payload)),
        ("header-text", "The header is no JSON", sign_jws(KEYS["ap-1"], b"{", payload)),
        ("payload-array", "The claims are an array", sign_jws(KEYS["ap-1"], header, b"[1]")),
        ("payload-text", "The claims are no JSON", sign_jws(KEYS["ap-1"], header, b"sub=x")),
        ("payload-latin", "The claims are not UTF-8", sign_jws(KEYS["ap-1"], header, b'{"sub":"\xe9"}')),
        ("twice", "A claim stands twice", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"sub":"aauth:other@agents.example"}')),
        ("nan", "A claim is NaN", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":NaN}')),
        ("infinite", "A claim is 1e999", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":1e999}')),
        ("long-number", "A number of fifty digits", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":' + b"9" * 50 + b"}")),
        ("surrogate", "A lone surrogate", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":"\\ud800"}')),
        ("deep", "Forty arrays in one another", sign_jws(KEYS["ap-1"], header, compact(payload)[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}")),
        ("long", "A token of 20 000 characters", sign_jws(KEYS["ap-1"], header, {**payload, "x": "y" * 15_000})),
        ("crit", "An extension is marked critical", token("agent", header={"crit": ["exp"]}).made()),
        ("b64", "The payload is not encoded", token("agent", header={"b64": False}).made()),
        ("no-alg", "No alg", sign_jws(KEYS["ap-1"], {**header, "alg": None}, payload)),
        ("alg-none", "alg none, without a signature", encode({**header, "alg": "none"}, payload).decode() + "."),
        ("alg-eddsa", "alg EdDSA", sign_jws(KEYS["ap-1"], {**header, "alg": "EdDSA"}, payload)),
        ("alg-hs256", "A MAC under the public key", mac_jws(_public("ap-1"), {**header, "alg": "HS256"}, payload)),
        ("alg-other", "alg names another algorithm than the key", sign_jws(KEYS["ap-1"], {**header, "alg": "ES256"}, payload)),
        ("flipped", "One bit of the signature is flipped", _flipped(made)),
        ("claims-changed", "The claims are others", _swapped(made, {**payload, "sub": "aauth:other@agents.example"})),
        ("header-changed", "The header is another", ".".join([b64(compact({**header, "x": 1})), claims, signature])),
        ("no-signature", "No signature", f"{head}.{claims}."),
        ("wrong-key", "Signed by another key than the published", sign_jws(KEYS["ap-2"], header, payload)),
    ]
    ours = "RFC 8259 §4 and §9 leave this to the parser; here it is refused"
    stricter = dict.fromkeys(("twice", "infinite", "long-number", "surrogate", "deep", "long"), ours)
    for name, title, raw in cases:
        sections = "11.5.1, 11.5.2, 11.3.4, SK 3.8, SK 5.4.11" if name.startswith("alg") else "11.5.2, 11.3.4, SK 3.8"
        add(f"jws-{name}", title, sections, BAD, by=presents(raw), stricter=stricter.get(name))
    add("jws-es256", "The issuer signs with ES256", "11.3.1, 11.5.1", by=token("agent", key="ap-es"), live=True)
    add("jws-unknown-header", "An unknown header member is ignored", "11.7", by=token("agent", header={"x": [1]}), live=True)
    add("jws-unknown-claim", "An unknown claim is ignored", "5.3.1", by=token("agent", attestation={"level": 3}), live=True)
    add("jwt-no-parameter", "No parameter jwt", "SK 3.8", BAD, by="jwt", live="agent")
    add("jwt-number", "The parameter jwt is no String", "SK 3.8", BAD, by="jwt;jwt=7")
    add("jwt-cache", "A request for caching is ignored where there is none", "SK 6.2, SK 3.8", accepted(**who(token("agent"))), by=f"{presents(token('agent'))};cache")
    return pack


def _public(name: str) -> bytes:
    return KEYS[name].jwk["x"].encode()


def _stray(raw: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return raw[:-1] + alphabet[alphabet.index(raw[-1]) | 1]


def _flipped(raw: str) -> str:
    head, _, signature = raw.rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def _swapped(raw: str, claims: dict[str, Any]) -> str:
    head, _, signature = raw.split(".")
    return f"{head}.{b64(compact(claims))}.{signature}"


def claims() -> Pack:
    pack = Pack("claims", "The claims of agent, person and auth tokens (§5.3, §7.1.2, §7.1.4, §9.4, §11.5).")
    requests = Requests(pack)
    for kind, section in (("agent", "5.3.3"), ("person", "7.1.4"), ("auth", "9.4.3.2")):
        _common(requests, kind, section)
    _agent(requests)
    _person(requests)
    _auth(requests)
    _confirmation(requests)
    _context(requests)
    return pack


def _common(requests: Requests, kind: str, section: str) -> None:
    add = requests.add
    add(f"{kind}-good", f"A {kind} token in order", f"{section}, 11.5.2", by=token(kind), live=True)
    others = {"typ": "at+jwt"}
    add(f"{kind}-typ-other", "typ is another JWT's", f"{section}, 11.5.1, 11.5.2", BAD, by=token(kind, header=others), live=_level(kind))
    add(f"{kind}-typ-missing", "No typ", f"{section}, 11.5.1", BAD, by=token(kind, header={"typ": None}), live=_level(kind))
    add(f"{kind}-typ-case", "typ in capitals", f"{section}, 11.5.1", BAD, by=token(kind, header={"typ": _typ(kind).upper()}), stricter="RFC 7515 §4.1.9 compares media types without case; the drafts compare the string")
    add(f"{kind}-no-kid", "No kid", f"{section}, 11.5.1", BAD, by=token(kind, header={"kid": None}), live=_level(kind))
    add(f"{kind}-kid-number", "kid is a number", "11.5.1", BAD, by=token(kind, header={"kid": 7}))
    add(f"{kind}-kid-unknown", "A kid that is not published", "11.3.4, 11.5.2", unsigned("unknown_key"), by=token(kind, header={"kid": "nobody"}), live=_level(kind))
    for name in ("iss", "dwk", "jti", "iat", "exp", "sub", "cnf", *(("aud",) if kind != "agent" else ())):
        gone = token(kind)
        gone.claims.pop(name)
        add(f"{kind}-no-{name}", f"No {name}", f"{section}, 11.5.1" + (", SK 3.8" if name in ("exp", "cnf") else ""), BAD, by=gone, live=_level(kind))
    add(f"{kind}-dwk-other", "dwk is another role's", "11.5.2", BAD, by=token(kind, dwk=DWK["resource"]), live=_level(kind))
    add(f"{kind}-expired", "Expired a second ago", "11.5.2, 7.9.1, SK 5.4.12", EXPIRED, by=token(kind, iat={"now": -600}, exp={"now": -1}), live=_level(kind))
    add(f"{kind}-expiring", "Expires now: that is expired", "11.5.2, 7.9.1", EXPIRED, by=token(kind, iat={"now": -600}, exp={"now": 0}))
    add(f"{kind}-iat-ahead", "Issued more than the window ahead", "11.5.2, 11.3.4, SK 5.4.14", AHEAD, by=token(kind, iat={"now": 61}, exp={"now": 600}))
    add(f"{kind}-iat-window", "Issued within the window ahead", "11.5.2", by=token(kind, iat={"now": 60}, exp={"now": 600}))
    for name, value in (("string", str(NOW + 60)), ("float", NOW + 60.5), ("true", True), ("huge", 2**60)):
        add(f"{kind}-exp-{name}", f"exp is {name}", "11.5.1", BAD, by=token(kind, exp=value), stricter="RFC 7519 §2 allows fractions" if name == "float" else None)
    add(f"{kind}-exp-before-iat", "Ends before it begins", "11.5.2", BAD, by=token(kind, iat={"now": 50}, exp={"now": 40}), stricter="iat is no validity check (§11.5.2); a lifetime that is negative is refused")
    add(f"{kind}-nbf", "nbf is to come", "11.5.2", BAD, by=token(kind, nbf={"now": 30}))
    add(f"{kind}-nbf-string", "nbf is a string", "11.5.2", BAD, by=token(kind, nbf="now"))
    add(f"{kind}-nbf-past", "nbf is past", "11.5.2", by=token(kind, nbf={"now": -30}))
    long = {"agent": 86401, "person": 3601, "auth": 3601}[kind]
    own = "§5.3.1 says SHOULD NOT; here it is refused" if kind == "agent" else None
    add(f"{kind}-long-lived", "Lives a second too long", f"{section}, 11.5.2, 5.3.1, 7.1.2, 9.4.1", BAD, by=token(kind, exp={"now": long}), stricter=own, live=_level(kind))
    for name, value in (("number", 7), ("empty", ""), ("long", "x" * 256), ("control", "a\nb")):
        bound = "a bound of ours" if name in ("long", "control") else None
        add(f"{kind}-jti-{name}", f"jti is {name}", "11.5.1", BAD, by=token(kind, jti=value), stricter=bound)
    for name, value in (("http", "http://ps.example"), ("slash", "https://ps.example/"), ("port", "https://ps.example:8443")):
        add(f"{kind}-iss-{name}", f"iss is {value}", "11.5.2, 11.1.1", BAD, by=token(kind, iss=value))


def _typ(kind: str) -> str:
    return str(token(kind).header["typ"])


def _level(kind: str) -> str:
    return {"agent": "agent", "person": "person", "auth": "grant"}[kind]


def _agent(requests: Requests) -> None:
    add = requests.add
    add("agent-no-ps", "An agent without a person server", "5.3.1", by=token("agent", ps=None), live=True)
    for name, value in (("http", "http://ps.example"), ("path", "https://ps.example/v1"), ("number", 7), ("empty", "")):
        add(f"agent-ps-{name}", f"ps is {value!r}", "5.3.3", BAD, by=token("agent", ps=value), live=name == "http" and "agent")
    add("agent-parent", "A sub-agent", "5.3.3, 5.2", by=token("agent", sub="aauth:planner+search@agents.example", parent_agent=AGENT))
    add("agent-parent-bad", "parent_agent is no agent", "5.3.3", BAD, by=token("agent", parent_agent="planner"), live="agent")
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
    add("agent-sub-elsewhere", "An agent of another provider's domain", "5.2", BAD, by=token("agent", sub="aauth:planner@other.example"), live="agent")
    add("agent-sub-case", "The local part keeps its case", "5.2", by=token("agent", sub="aauth:Planner@agents.example"), live=True)
    add("agent-sub-longest", "A local part of 255 characters", "5.2", by=token("agent", sub=f"aauth:{'a' * 255}@agents.example"))


def _person(requests: Requests) -> None:
    add = requests.add
    add("person-whole", "With mission and tenant", "7.1.2", by=token("person", mission_s256=MISSION, tenant="acme"))
    add("person-scope", "A person token with a scope", "7.1.2", BAD, by=token("person", scope="orders.read"), live="person")
    add("person-account", "A person token with an account", "7.1.2", BAD, by=token("person", account="a"), live="person")
    add("person-mission-bad", "mission_s256 is no SHA-256", "7.1.2", BAD, by=token("person", mission_s256="abc"), live="person")
    add("person-tenant-number", "tenant is a number", "7.1.2", BAD, by=token("person", tenant=7))
    add("person-aud-other", "For another resource", "7.1.4", BAD, by=token("person", aud=OTHER_API), live="person")
    add("person-aud-list", "aud is a list that holds this resource", "7.1.4", BAD, by=token("person", aud=[API]), stricter="RFC 7519 §4.1.3 allows a list; §7.1.2 says a URL")
    for name, value in (("slash", f"{API}/"), ("upper", "https://API.example")):
        add(f"person-aud-{name}", "Identifiers are compared byte by byte", "11.1.1, 7.1.4", BAD, by=token("person", aud=value))
    add("person-sub-number", "sub is a number", "7.1.2", BAD, by=token("person", sub=7))
    two = token("person", iss=OTHER_PS, key="ps-2")
    add("person-other-ps", "The same sub from another issuer is another person", "7.1.4", by=two, issuers=(OTHER_PS,), live=True)


def _auth(requests: Requests) -> None:
    add = requests.add
    add("auth-whole", "With account, mission, tenant and identity claims", "9.4.1", by=token("auth", account="a-1", mission_s256=MISSION, tenant="acme", email="p@example.com"))
    add("auth-scopes", "Several scope values", "9.4.1", by=token("auth", scope="orders.write orders.read"))
    add("auth-no-scope", "No scope: nothing is granted", "9.4.1", by=token("auth", scope=None))
    by_as = token("auth", iss=AS, dwk=DWK["access"], ps=PS, key="as-1")
    add("auth-by-access-server", "Issued by an access server", "9.4.1, 9.4.3.1", by=by_as, issuers=(AS,))
    add("auth-as-person-dwk", "An access server's token that says it is a person server's", "9.4.1, 9.4.3.1", BAD, by=token("auth", iss=AS, ps=PS, key="as-1"), issuers=(AS,))
    add("auth-ps-other", "ps is another person server than the issuer", "9.4.1", BAD, by=token("auth", ps=OTHER_PS), live="grant")
    add("auth-ps-missing", "No ps", "9.4.1", BAD, by=token("auth", ps=None), live="grant")
    add("auth-aud-other", "For another resource", "9.4.3.2", BAD, by=token("auth", aud=OTHER_API), live="grant")
    for name, value in (("list", ["orders.read"]), ("quote", 'orders"read'), ("double-space", "orders.read  orders.write"), ("edge", " orders.read")):
        add(f"auth-scope-{name}", f"scope is {value!r}", "9.4.1, 11.10", BAD, by=token("auth", scope=value), stricter="RFC 6749 §3.3 knows one space between values" if "space" in name else None)
    add("auth-scope-long", "A scope of 10 000 characters", "9.4.1", BAD, by=token("auth", scope="a " * 4_500 + "a"), stricter="a bound of ours")
    add("auth-account-number", "account is a number", "9.4.1", BAD, by=token("auth", account=7))


def _confirmation(requests: Requests) -> None:
    """§9.4.3.2 step 3, which §7.1.4 step 2 applies to person tokens as well."""
    add, ed = requests.add, KEYS["agent-1"].bare
    es, both = KEYS["agent-es"].jwk, "7.1.4, 9.4.3.2"
    cases: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("string", "cnf is a string", "key", BAD),
        ("empty", "cnf without a key", {}, BAD),
        ("thumbprint", "cnf with a thumbprint only", {"jkt": KEYS["agent-1"].thumbprint}, BAD),
        ("no-kty", "The key has no kty", {"jwk": {"crv": "Ed25519", "x": ed["x"], "alg": "Ed25519"}}, BAD),
        ("no-x", "The key has no x", {"jwk": {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519"}}, BAD),
        ("no-crv", "The key has no crv", {"jwk": {"kty": "OKP", "x": ed["x"], "alg": "Ed25519"}}, BAD),
        ("no-y", "An EC key has no y", {"jwk": {n: v for n, v in es.items() if n != "y"}}, BAD),
        ("no-n", "An RSA key has no n", {"jwk": {"kty": "RSA", "e": "AQAB", "alg": "PS256"}}, BAD),
        ("no-alg", "The key has no alg", {"jwk": ed}, ALGS),
        ("eddsa", "The key's alg is polymorphic", {"jwk": {**ed, "alg": "EdDSA"}}, ALGS),
        ("oct", "The key is a secret", {"jwk": {"kty": "oct", "k": "AAAA", "alg": "HS256"}}, ALGS),
        ("disagrees", "kty and alg disagree", {"jwk": {**ed, "alg": "ES256"}}, KEY),
        ("not-base64", "x is no base64url", {"jwk": {**ed, "x": "*" * 43, "alg": "Ed25519"}}, KEY),
        ("private", "The private part is in it", {"jwk": {**ed, "alg": "Ed25519", "d": b64(bytes(32))}}, KEY),
        ("use-enc", "The key is for encryption", {"jwk": {**ed, "alg": "Ed25519", "use": "enc"}}, KEY),
        ("ops-sign", "The key's key_ops do not hold verify", {"jwk": {**ed, "alg": "Ed25519", "key_ops": ["deriveKey"]}}, KEY),
        ("kid-number", "The key's kid is a number", {"jwk": {**ed, "alg": "Ed25519", "kid": 7}}, KEY),
        ("off-curve", "A point that is not on the curve", {"jwk": {**es, "y": b64(b"\x05" * 32)}}, KEY),
    ]
    for name, title, cnf, outcome in cases:
        for kind in ("person", "auth") if name in ("empty", "no-x", "no-alg", "disagrees") else ("auth",):
            add(f"{kind}-cnf-{name}", title, f"{both}, 11.5.1, SK 3.3", outcome, by=token(kind, cnf=cnf), live=kind == "auth" and _level(kind))
    for kind in ("agent", "person", "auth"):
        other = token(kind, bound="agent-2")
        add(f"{kind}-cnf-other", "Bound to another key than signed", f"5.3.3, {both}", unsigned("invalid_signature"), by=other, live=_level(kind))


def _context(requests: Requests) -> None:
    """Where a token is presented."""
    add = requests.add
    agents = server(token_types=["aa-agent+jwt"])
    for kind in ("person", "auth", "resource"):
        add(f"place-{kind}", f"A {kind} token where agents are expected", "11.5.2, 7.1.4", BAD, by=token(kind), at=agents, issuers=(PS, API))
    grants = server(token_types=["aa-auth+jwt"])
    add("place-person-for-auth", "A person token where an auth token is required", "7.1.4", BAD, by=token("person"), at=grants)
    add("resource-presented", "A resource token in Signature-Key", "11.5.2, 6.7.1", BAD, by=token("resource"), issuers=(API,), live="agent")
    for kind in ("agent", "person", "auth"):
        spec = token(kind)
        revoked = [[spec.claims["iss"], spec.claims["jti"]]]
        add(f"{kind}-revoked", "Revoked by its issuer", "11.12.5, 11.3.4, SK 5.4.13", unsigned("revoked_jwt"), by=spec, revoked=revoked)
        add(f"{kind}-revoked-elsewhere", "Another issuer revoked a token of the same jti", "11.12.1", by=spec, revoked=[[OTHER_PS, spec.claims["jti"]]])
        seen = Signing(KEYS["agent-1"], presents(spec)).sign(Message())
        known = [{"request": seen.wire(), "time": NOW}]
        add(f"{kind}-revoked-known", "Revoked after it was accepted", "11.12.5", unsigned("revoked_jwt"), by=spec, before=known, revoked=revoked)
        later = (("created", NOW + 3600),)
        add(f"{kind}-known-expired", "Expired since it was accepted", "11.5.2", EXPIRED, by=spec, before=known, params=later, time=NOW + 3600)
        trusted = {role: ["https://trusted.example"] for role in (DWK["agent"], DWK["person"])}
        add(f"{kind}-untrusted", "An issuer that is not trusted here", "SK 5.4.7", KEY, by=spec, at=server(trusted=trusted))
    known = [{"request": Signing(KEYS["agent-1"], presents(token("agent"))).sign(Message()).wire(), "time": NOW}]
    add("known-token-other-place", "A known token where another type is expected", "11.5.2", BAD, by=token("agent"), before=[{**known[0], "server": server()}], at=grants)
    by_as = token("auth", iss=AS, dwk=DWK["access"], ps=OTHER_PS, key="as-1")
    trust = {DWK["access"]: [AS], DWK["person"]: [PS]}
    add("auth-ps-untrusted", "An access server's token for a person server that is not trusted", "9.4.1, SK 5.4.7", KEY, by=by_as, issuers=(AS,), at=server(trusted=trust))


def discovery() -> Pack:
    pack = Pack("discovery", "How the issuer's key is found: metadata document, JWKS, kid (§11.2, §11.4, Signature-Keys §3.6).")
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
    add("rekeyed-within-minute", "The known set is half a minute old: no look", "11.4, SK 7.2", BAD, by=agent, cached=cached(old, NOW - 30))
    add("new-kid-within-minute", "The known set is half a minute old: no look", "11.4, SK 7.2", unsigned("unknown_key"), by=agent, cached=cached(empty, NOW - 30))


def access() -> Pack:
    pack = Pack("access", "What a resource answers a good signature that does not suffice, and a bad one (§6, §11.6, §11.12.5).")
    add = Requests(pack).add
    wants = {name: refused(f"requirement:{name}", 401, aauth_requirement=f"requirement={name}") for name in ("agent-token", "person-token")}
    grant = refused("requirement:auth-token", 401, aauth_requirement="requirement=auth-token;resource-token=*")
    cases: list[tuple[str, str, str, dict[str, Any] | None, str]] = [
        ("agent", "agent", "An agent is served", None, "4.2.1"),
        ("agent", "person", "An agent is asked for its person", wants["person-token"], "6.4"),
        ("agent", "grant", "An agent is asked for its person first, and gets no resource token", wants["person-token"], "6.5, 6.7"),
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
    add("need-whole-scope", "Scope values are whole", "11.10", grant, by=token("auth", scope="orders.read.all"), need={"level": "grant", "scope": ["orders.read"]})
    for level, asked in (("agent", "agent-token"), ("person", "person-token"), ("grant", "person-token")):
        need = {"level": level, "scope": ["orders.read"] if level == "grant" else []}
        drop = [("drop", name) for name in ("signature", "signature-input", "signature-key")]
        outcome = unsigned("invalid_signature", aauth_requirement=f"requirement={asked}")
        add(f"need-{level}-unsigned", f"An unsigned request where {level} is needed", f"{'6.1' if level == 'agent' else '6.4'}, 11.3.4", outcome, by=token("agent"), changes=drop, need=need, live=level)
    spec = token("auth")
    revoked = unsigned("revoked_jwt", aauth_requirement="requirement=person-token")
    need = {"level": "grant", "scope": ["orders.read"]}
    add("need-grant-revoked", "A revoked auth token is answered with person-token, never with a resource token", "11.12.5", revoked, by=spec, need=need, revoked=[[PS, spec.claims["jti"]]])
    bad = unsigned("invalid_request", "invalid_signature")
    session = Message(headers=(("Authorization", "AAuth two words"),))
    from .messages import BASE

    add("need-session-spaces", "A credential with a space in it", "6.3", bad, by=token("agent"), message=session, covered=(*BASE, "authorization"), need={"level": "agent", "scope": []}, live="agent")
    add("need-session-empty", "An empty credential", "6.3", bad, by=token("agent"), message=Message(headers=(("Authorization", "AAuth"),)), covered=(*BASE, "authorization"), need={"level": "agent", "scope": []}, live="agent")
    return pack


__all__ = ["PERSON", "access", "claims", "discovery", "jws"]
