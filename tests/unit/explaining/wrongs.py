"""The captured requests, each with one thing wrong (two, where the name says so), and what it must be explained as."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any

from aauthkit.protocol.signature_key import jkt_jwt_header
from tests.plugins.signing import cnf
from tests.unit.explaining.recording import (
    AGENT_KEY,
    API,
    BASE,
    DURABLE,
    EC_KEY,
    NOW,
    OTHER_KEY,
    PERSON_SERVER,
    PROVIDER,
    Case,
    Sent,
    agent_token,
    as_json,
    curl,
    der,
    har,
    hwk,
    presenting,
    raw,
    replaced,
    without,
)

HERE: dict[str, Any] = {"identifier": API, "now": NOW}
QUERY = ("@method", "@authority", "@path", "@query", "signature-key")
BODY = (*BASE, "content-digest", "content-type")
REFUSED = (("date", "Wed, 18 Nov 2026 11:06:40 GMT"), ("signature-error", "error=invalid_signature"))
"""NOW is 2026-11-18 11:06:40 UTC."""


def seen(target: str | None = None, **more: Any) -> dict[str, Any]:
    return {**HERE, **({"target": target} if target else {}), **more}


def covering(name: str) -> tuple[str, ...]:
    return (*BASE, name)


# In order

plain = Sent()
order = Sent(method="POST", target="/orders?draft=1", body=b'{"item": "tea"}', covered=(*QUERY, *BODY[4:]))
VALID = [
    Case("verifies.http", raw(plain), (), HERE),
    Case("verifies-post.http", raw(order), (), HERE),
    Case(
        "verifies-es256.http", raw(replace(plain, key=EC_KEY, signature_key=presenting(agent_token(EC_KEY)))), (), HERE
    ),
    Case(
        "mission-header-of-10.http",
        raw(replace(plain, headers=[("aauth-mission", 'approver="x"')])),
        (),
        HERE,
        says="this speaks -10 of the protocol: the field AAuth-Mission",
    ),
]

# What is not there, or not in form

FORM = [
    Case("unsigned.http", b"GET /orders HTTP/1.1\r\nHost: api.example\r\nAccept: */*\r\n\r\n", ("unsigned",), HERE),
    Case(
        "signature-key-dropped.http",
        raw(plain, headers=without("signature-key", plain.signed())),
        ("incomplete",),
        HERE,
    ),
    Case(
        "base64url.http",
        raw(replace(plain, encode=lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="))),
        ("base64url",),
        HERE,
    ),
    Case(
        "other-label.http", raw(plain, headers=replaced("signature", "sig1=:AAAA:", plain.signed())), ("label",), HERE
    ),
    Case(
        "torn-input.http",
        raw(plain, headers=replaced("signature-input", 'sig=("@method";created=1', plain.signed())),
        ("syntax",),
        HERE,
    ),
    Case(
        "unknown-scheme.http",
        raw(plain, headers=replaced("signature-key", 'sig=x509;x5u="https://a.example"', plain.signed())),
        ("scheme",),
        HERE,
    ),
    Case(
        "path-not-covered.http",
        raw(replace(plain, covered=("@method", "@authority", "signature-key"))),
        ("coverage",),
        HERE,
    ),
    Case(
        "query-not-covered.http",
        raw(replace(plain, target="/orders?page=2")),
        ("coverage",),
        HERE,
        says="does not cover @query",
    ),
    Case(
        "no-created.http",
        raw(
            replace(
                plain,
                params='("@method" "@authority" "@path" "signature-key")',
                written='("@method" "@authority" "@path" "signature-key")',
            )
        ),
        ("created.missing",),
        HERE,
    ),
]

# Where it went

PLACE = [
    Case(
        "another-authority.http",
        raw(plain),
        ("authority",),
        {**HERE, "identifier": "https://orders.internal"},
        says="signed for api.example; this server is orders.internal",
    ),
    Case("port-signed.http", raw(replace(plain, authority="api.example:8443")), ("authority.port",), HERE),
    Case("authority-as-written.http", raw(replace(plain, authority="API.Example")), ("authority.form",), HERE),
    Case("default-port-signed.http", raw(replace(plain, authority="api.example:443")), ("authority.form",), HERE),
    Case(
        "behind-a-proxy.http",
        raw(plain, headers=[*replaced("host", "app:8000", plain.signed()), ("x-forwarded-host", "api.example")]),
        ("authority",),
        {**HERE, "identifier": "http://app:8000"},
    ),
    Case(
        "prefix-stripped.http",
        raw(replace(plain, target="/api/v1/orders"), target="/orders"),
        ("path.prefix",),
        HERE,
        says="@path was signed as /api/v1/orders; the server saw /orders",
    ),
    Case(
        "prefix-told.http",
        raw(
            replace(plain, target="/shop/eu/orders"),
            target="/orders",
            headers=[*replace(plain, target="/shop/eu/orders").signed(), ("x-forwarded-prefix", "/shop/eu")],
        ),
        ("path.prefix",),
        HERE,
    ),
    Case("trailing-slash.http", raw(replace(plain, target="/orders/"), target="/orders"), ("path.normalised",), HERE),
    Case(
        "double-slash.http",
        raw(replace(plain, target="//orders/7"), target="/orders/7"),
        ("path.normalised",),
        seen("/orders/7"),
    ),
    Case("percent-case.http", raw(replace(plain, target="/caf%c3%a9"), target="/caf%C3%A9"), ("path.encoding",), HERE),
    Case("path-decoded.http", raw(replace(plain, target="/a%7Eb"), target="/a~b"), ("path.encoding",), HERE),
    Case(
        "query-in-path.http",
        raw(replace(plain, target="/orders?page=2", covered=QUERY, lines={"@path": "/orders?page=2"})),
        ("path.query",),
        HERE,
    ),
    Case(
        "parameters-cut.http",
        raw(replace(plain, target="/data;role=user", lines={"@path": "/data"})),
        ("path.parameters",),
        HERE,
    ),
    Case("method-changed.http", raw(replace(plain, lines={"@method": "get"})), ("method",), HERE),
]

# The query

asked = Sent(target="/orders?page=2&size=10&q=green+tea", covered=QUERY)
QUERIES = [
    Case(
        "query-without-mark.http",
        raw(replace(asked, lines={"@query": "page=2&size=10&q=green+tea"})),
        ("query.mark",),
        HERE,
    ),
    Case("query-sorted.http", raw(asked, target="/orders?page=2&q=green+tea&size=10"), ("query.order",), HERE),
    Case(
        "query-dropped.curl.txt",
        curl(asked, 401, REFUSED),
        ("query.dropped",),
        {"identifier": API, "target": "/orders?page=2&size=10"},
    ),
    Case("tracking-added.http", raw(asked, target=f"{asked.target}&utm_source=mail"), ("query.added",), HERE),
    Case("space-rewritten.http", raw(asked, target="/orders?page=2&size=10&q=green%20tea"), ("query.encoding",), HERE),
]

# Header fields

tenant = Sent(headers=[("x-tenant", "blue")], covered=covering("x-tenant"))
accepting = Sent(headers=[("accept-language", "de")], covered=covering("accept-language"))
created_order = Sent(method="POST", body=b'{"item": "tea"}', covered=BODY)
FIELDS = [
    Case("field-dropped.http", raw(tenant, headers=without("x-tenant", tenant.signed())), ("field.missing",), HERE),
    Case(
        "field-joined.http",
        raw(accepting, headers=[*accepting.signed(), ("accept-language", "en")]),
        ("field.joined",),
        HERE,
    ),
    Case(
        "charset-added.http",
        raw(created_order, headers=replaced("content-type", "application/json; charset=utf-8", created_order.signed())),
        ("field.changed",),
        HERE,
    ),
    Case("body-reformatted.http", raw(created_order, body=b'{"item":"tea"}'), ("digest",), HERE),
    Case("another-body.json", as_json(created_order, body='{"item": "gold"}'), ("digest",), HERE),
    Case(
        "key-joined.http",
        raw(
            plain, headers=replaced("signature-key", f"{plain.signature_key}, hop={hwk(OTHER_KEY)[4:]}", plain.signed())
        ),
        ("field.joined",),
        HERE,
    ),
]

whole = Sent(target="/orders?page=2", covered=("@method", "@authority", "@path", "@target-uri", "signature-key"))
zipped = Sent(headers=[("accept-encoding", "gzip, deflate, br")], covered=covering("accept-encoding"))
asking = Sent(target="/orders?page=2", covered=("@method", "@authority", "@path", "@query", "signature-key"))
FIELDS += [
    Case("tls-ended-before.http", raw(whole), ("target.scheme",), {**HERE, "identifier": "http://api.example"}),
    Case(
        "encoding-replaced.http",
        raw(zipped, headers=replaced("accept-encoding", "gzip", zipped.signed())),
        ("field.changed",),
        HERE,
    ),
    Case(
        "digest-dropped.http",
        raw(created_order, headers=without("content-digest", created_order.signed())),
        ("field.missing",),
        HERE,
    ),
    Case("query-cut-off.http", raw(asking, target="/orders"), ("query.dropped",), HERE, certain=False),
    Case(
        "key-of-another-label.http",
        raw(replace(plain, key=OTHER_KEY, signature_key=f"{plain.signature_key}, other={hwk(OTHER_KEY)[4:]}")),
        ("key.other",),
        HERE,
        says="that of the label other",
    ),
]

# Clocks and tokens

PERSON = PERSON_SERVER.person_token(AGENT_KEY.public, "https://other.example", now=NOW, jti="j-2")
RESOURCE = PROVIDER.mint("aa-resource+jwt", {"iss": API, "jti": "j-3", "cnf": cnf(AGENT_KEY.public)})
TIMES = [
    Case("clock-behind.http", raw(replace(plain, created=NOW - 95)), ("clock.behind",), HERE, says="95 s behind"),
    Case(
        "clock-ahead.har",
        har(replace(plain, created=NOW + 190), 401, REFUSED, "2026-11-18T11:06:40.000Z", whole=True),
        ("clock.ahead",),
        {"identifier": API},
        says="3 min ahead",
    ),
    Case("expires-passed.http", raw(replace(plain, created=NOW - 20, more=f";expires={NOW - 5}")), ("expired",), HERE),
    Case(
        "token-expired.curl.txt",
        curl(replace(plain, signature_key=presenting(agent_token(iat=NOW - 4000, exp=NOW - 400))), 401, REFUSED),
        ("token.expired",),
        {"identifier": API},
    ),
    Case(
        "token-from-the-future.http",
        raw(replace(plain, signature_key=presenting(agent_token(iat=NOW + 600, exp=NOW + 1200)))),
        ("token.ahead",),
        HERE,
    ),
    Case("token-for-another.http", raw(replace(plain, signature_key=presenting(PERSON))), ("token.audience",), HERE),
    Case(
        "resource-token-presented.http", raw(replace(plain, signature_key=presenting(RESOURCE))), ("token.type",), HERE
    ),
    Case(
        "token-cut-off.http",
        raw(replace(plain, signature_key=presenting(agent_token()[:-90]))),
        ("token.malformed",),
        HERE,
    ),
]

# Keys and forms of signing

rotated = replace(plain, key=OTHER_KEY)
delegated = jkt_jwt_header(DURABLE, AGENT_KEY.public, iat=NOW, exp=NOW + 600)
es256 = replace(plain, key=EC_KEY, signature_key=presenting(agent_token(EC_KEY)))
KEYS = [
    Case("another-key.http", raw(rotated), ("key.other",), HERE, certain=False),
    Case("another-key-known.http", raw(rotated), ("key.other",), HERE, keys=(OTHER_KEY.public.jwk["x"],)),
    Case("durable-key-signed.http", raw(replace(plain, key=DURABLE, signature_key=delegated)), ("key.other",), HERE),
    Case("keyid-of-another.http", raw(replace(plain, more=f';keyid="{OTHER_KEY.kid}"')), ("keyid",), HERE),
    Case("der.http", raw(replace(es256, encode=der)), ("signature.form",), HERE, says="DER"),
    Case(
        "hashed-before.http",
        raw(replace(plain, message=lambda base: hashlib.sha256(base).digest())),
        ("signature.form",),
        HERE,
    ),
    Case(
        "hexadecimal.http",
        raw(replace(plain, encode=lambda raw: base64.b64encode(raw.hex().encode()).decode())),
        ("signature.form",),
        HERE,
    ),
    Case("line-feed-at-the-end.http", raw(replace(plain, message=lambda base: base + b"\n")), ("base.form",), HERE),
    Case(
        "names-unquoted.http",
        raw(
            replace(
                plain,
                form=lambda rows, _params: "\n".join(
                    f"{name.strip(chr(34))}: {value}" for name, value in rows
                ).encode(),
            )
        ),
        ("base.form",),
        HERE,
    ),
    Case(
        "spaces-signed.http",
        raw(
            replace(
                plain,
                params=f'("@method" "@authority"  "@path" "signature-key"); created={NOW}',
                written=f'("@method" "@authority"  "@path" "signature-key"); created={NOW}',
            )
        ),
        ("base.parameters",),
        HERE,
    ),
]

# Older drafts

inline = hwk(alg=None)
inner = f'sig=(scheme=hwk kty="OKP" crv="Ed25519" x="{AGENT_KEY.public.jwk["x"]}")'
eddsa = {"jwk": {**AGENT_KEY.public.jwk, "alg": "EdDSA"}}
OLDER = [
    Case(
        "inner-list-of-2025.http",
        raw(replace(plain, signature_key=inner)),
        ("dialect",),
        HERE,
        says="this speaks a draft of 2025: Signature-Key holds (scheme=… …)",
    ),
    Case(
        "jwks-scheme.http",
        raw(replace(plain, signature_key='sig=jwks;id="https://agents.example";well-known="aauth-agent";kid="k"')),
        ("dialect",),
        HERE,
        says="names the scheme jwks",
    ),
    Case(
        "hwk-without-alg.http",
        raw(replace(plain, signature_key=inline)),
        ("dialect",),
        HERE,
        says="this speaks -07 of Signature-Keys, or before: an hwk key without alg",
    ),
    Case("cnf-eddsa.http", raw(replace(plain, signature_key=presenting(agent_token(cnf=eddsa)))), ("dialect",), HERE),
    Case(
        "typ-agent-jwt.http",
        raw(replace(plain, signature_key=presenting(agent_token(typ="agent+jwt")))),
        ("dialect",),
        HERE,
        says="a token of typ agent+jwt",
    ),
]

# Two at once, and the signer's own base

away = replace(plain, target="/api/orders", authority="gateway.example")
sorted_away = Sent(target="/orders?b=2&a=1", covered=QUERY, authority="api.example:8443")
SEVERAL = [
    Case(
        "two-authority-and-prefix.http",
        raw(away, target="/orders", headers=[*replaced("host", "gateway.example", away.signed())]),
        ("authority", "path.prefix"),
        HERE,
    ),
    Case(
        "two-query-and-port.http", raw(sorted_away, target="/orders?a=1&b=2"), ("authority.port", "query.order"), HERE
    ),
    Case(
        "old-clock-and-prefix.http",
        raw(replace(plain, target="/api/orders", created=NOW - 300), target="/orders"),
        ("clock.behind", "path.prefix"),
        HERE,
    ),
    Case(
        "signers-base.http",
        raw(replace(plain, target="/tenant-7/orders", lines={"@authority": "edge.example"}), target="/orders"),
        ("authority", "path.prefix"),
        HERE,
        signer_base=replace(plain, target="/tenant-7/orders", lines={"@authority": "edge.example"}).base().decode(),
    ),
    Case("signers-base-alike.http", raw(rotated), ("key.other",), HERE, signer_base=rotated.base().decode()),
]

# What the server said, where the request shows nothing wrong, or more than it shows


def answered(error: str) -> bytes:
    return curl(plain, 401, (REFUSED[0], ("signature-error", f"error={error}"), ("x-correlation-id", "0f8fad5b-d9cb")))


WANTED = ("signature-error", 'error=invalid_input, required_input=("@method" "@authority" "@path" "x-tenant")')
SAID = [
    Case(
        "token-revoked.curl.txt",
        answered("revoked_jwt"),
        ("revoked",),
        {"identifier": API},
        certain=False,
        verdict=True,
    ),
    Case(
        "seen-otherwise.curl.txt",
        answered("invalid_signature"),
        ("another.view",),
        {"identifier": API},
        certain=False,
        verdict=True,
        says="0f8fad5b-d9cb",
    ),
    Case(
        "asked-for-more.curl.txt",
        curl(plain, 401, (REFUSED[0], WANTED)),
        ("coverage",),
        {"identifier": API},
        says="does not cover x-tenant",
    ),
]

CASES = [*VALID, *FORM, *PLACE, *QUERIES, *FIELDS, *TIMES, *KEYS, *OLDER, *SEVERAL, *SAID]
