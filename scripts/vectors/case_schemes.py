"""Cases of `request`: schemes of Signature-Key, their keys and algorithms (§11.3.1, §11.3.2, Signature-Keys §3)."""

from __future__ import annotations

from typing import Any

from .keys import KEYS, RSA_MODULUS, b64, sign_jws
from .messages import NOW
from .pack import Pack, Requests, accepted, server, unsigned
from .world import API, DWK, MIXED, PS, hwk, jwks_uri, presents, token

ALL = ["jwt", "jwks_uri", "hwk", "jkt-jwt"]
ALGS = "Ed25519, ES256"
UNSUPPORTED = unsigned("unsupported_algorithm", accept_signature_alg=ALGS)
INVALID_KEY = unsigned("invalid_key")
KEY_OR_JWT = unsigned("invalid_key", "invalid_jwt")


def wide(**more: Any) -> dict[str, Any]:
    """A server that takes every scheme of the pack."""
    return server(schemes=ALL, documents=[DWK["person"], DWK["agent"]], **more)


def schemes() -> Pack:
    pack = Pack("schemes", "Steps 4 to 6 of §11.3.4: the scheme, the key it gives, and the key's own algorithm.")
    add = Requests(pack).add
    only_jwt = unsigned("unsupported_scheme", accept_signature_scheme="jwt")
    add(
        "hwk-refused", "AAuth takes no bare keys", "11.3.2, 11.3.4, 11.3.4.1", only_jwt, by=hwk("agent-1"), live="agent"
    )
    add(
        "jwks-uri-refused",
        "An agent does not sign as a server",
        "11.3.2, 11.3.4.1",
        only_jwt,
        by=jwks_uri(),
        key="ps-1",
        live="agent",
    )
    for name, value in (
        ("jwks", 'jwks;url="https://agents.example/jwks.json";kid="ap-1"'),
        ("self-jwt", presents(token("agent"), "self-jwt")),
        ("x509", 'x509;x5u="https://agents.example/cert.pem";x5t=:bWcoon4QTVn8Q6xiY0ekMD6L8bNLMkuDV2KtvsFc1nM=:'),
        ("cached", 'cached;cid="2f9c8a1e-a7b3"'),
        ("unregistered", "carrier-pigeon;ring=7"),
        ("token-odd", "jwt:x;jwt"),
    ):
        section = {"cached": "SK 6.2, SK 3.11", "unregistered": "SK 3, SK 4.9"}.get(name, "SK 3")
        add(
            f"scheme-{name}",
            f"The scheme {name} is not served",
            f"11.3.4, {section}, SK 5.4.2",
            only_jwt,
            by=value,
            live=name != "token-odd" and "agent",
        )
    taken = unsigned("unsupported_scheme", accept_signature_scheme="jwks_uri, jwt")
    at = server(schemes=["jwks_uri", "jwt"])
    add(
        "scheme-list",
        "All accepted schemes are named, in order",
        "11.3.4.1, SK 4.1, SK 5.4.2",
        taken,
        by=hwk("agent-1"),
        at=at,
    )
    servers = server(schemes=["jwks_uri"], documents=[DWK["person"]])
    only_servers = unsigned("unsupported_scheme", accept_signature_scheme="jwks_uri")
    add(
        "jwt-refused",
        "An agent where only servers come",
        "11.3.4, 11.12.1",
        only_servers,
        by=token("agent"),
        at=servers,
    )
    _hwk(Requests(pack))
    _jwks_uri(Requests(pack))
    _delegation(Requests(pack))
    return pack


def _hwk(requests: Requests) -> None:
    _hwk_1(requests)
    _hwk_2(requests)


def _hwk_1(requests: Requests) -> None:
    add, at = requests.add, wide()
    for name in ("agent-1", "agent-es"):
        found = accepted(level="key", key=KEYS[name].thumbprint)
        add(f"hwk-{name}", f"A bare {KEYS[name].alg} key", "SK 3.4", found, by=hwk(name), key=name, at=at)
    add(
        "hwk-unknown-member",
        "An unknown member is ignored",
        "SK 3.3",
        accepted(level="key"),
        by=hwk("agent-1") + ';use2="x";ext',
        at=at,
    )
    add("hwk-kid", "kid beside an inline key", "SK 3.4", INVALID_KEY, by=hwk("agent-1", kid="agent-1"), at=at)
    cases: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        ("no-alg", "alg is missing", {"alg": None}, UNSUPPORTED),
        ("eddsa", "alg is polymorphic", {"alg": "EdDSA"}, UNSUPPORTED),
        ("none", "alg is none", {"alg": "none"}, UNSUPPORTED),
        ("hs256", "alg is a MAC", {"alg": "HS256"}, UNSUPPORTED),
        ("ed448", "alg is one that is not served", {"alg": "Ed448", "crv": "Ed448"}, UNSUPPORTED),
        ("alg-case", "alg in another case is another name", {"alg": "ed25519"}, UNSUPPORTED),
        ("disagrees", "alg ES256, kty OKP", {"alg": "ES256"}, INVALID_KEY),
        ("curve", "alg Ed25519, crv X25519", {"crv": "X25519"}, INVALID_KEY),
        ("no-kty", "kty is missing", {"kty": None}, INVALID_KEY),
        ("no-crv", "crv is missing", {"crv": None}, INVALID_KEY),
        ("no-x", "x is missing", {"x": None}, INVALID_KEY),
        ("short-x", "x has 31 bytes", {"x": b64(b"\x09" * 31)}, INVALID_KEY),
        ("padded-x", "x is padded", {"x": KEYS["agent-1"].jwk["x"] + "="}, INVALID_KEY),
        ("private", "The private part is sent as well", {"d": b64(b"\x01" * 32)}, INVALID_KEY),
    ]
    for name, title, changes, outcome in cases:
        add(
            f"hwk-{name}", title, "11.3.1, 11.3.4, SK 3.3, SK 3.4, SK 7.4", outcome, by=hwk("agent-1", **changes), at=at
        )
    oct_key = f'hwk;kty="oct";k="{b64(b"k" * 32)}";alg="HS256"'
    add("hwk-oct", "A shared secret", "SK 3.3, SK 7.5", UNSUPPORTED, by=oct_key, at=at)
    rsa = f'hwk;kty="RSA";n="{RSA_MODULUS.rstrip("=")}";e="AQAB"'
    add(
        "hwk-rsa",
        "RSA, with padding and hash named, is not served here",
        "SK 3.3",
        UNSUPPORTED,
        by=f'{rsa};alg="PS256"',
        at=at,
    )
    add("hwk-rsa-no-alg", "RSA without alg", "SK 3.3", UNSUPPORTED, by=rsa, at=at)
    add("hwk-rsa-es256", "RSA that says ES256", "SK 3.3", INVALID_KEY, by=f'{rsa};alg="ES256"', at=at)
    akp = f'hwk;kty="AKP";pub="{b64(b"p" * 40)}";alg="ML-DSA-44"'
    add("hwk-akp", "A key type that is not implemented", "SK 3.3", UNSUPPORTED, by=akp, at=at)
    off = hwk("agent-es", y=b64(b"\x05" * 32))
    add("hwk-off-curve", "A point that is not on the curve", "SK 7.1", INVALID_KEY, by=off, key="agent-es", at=at)
    p384 = hwk("agent-es", crv="P-384")
    add("hwk-p384", "alg ES256, crv P-384", "SK 3.3, 11.3.1", INVALID_KEY, by=p384, key="agent-es", at=at)


def _hwk_2(requests: Requests) -> None:
    add, at = requests.add, wide()
    small = hwk("agent-1", x=b64(b"\x01" + bytes(31)))
    add(
        "hwk-small-order",
        "A public key of small order verifies nothing",
        "SK 7.1, 11.3.4",
        unsigned("invalid_signature", "invalid_key"),
        by=small,
        at=at,
    )


def _jwks_uri(requests: Requests) -> None:
    _jwks_uri_1(requests)
    _jwks_uri_2(requests)


def _jwks_uri_1(requests: Requests) -> None:
    add, at = requests.add, wide()
    found = accepted(level="server", iss=PS, dwk=DWK["person"], key=KEYS["ps-1"].thumbprint)
    add("jwks-uri", "A person server signs in its own name", "11.3.2, SK 3.6", found, by=jwks_uri(), key="ps-1", at=at)
    add(
        "jwks-uri-no-key",
        "Its set has no key of that kid",
        "11.3.4, SK 3.6, SK 5.4.8",
        unsigned("unknown_key"),
        by=jwks_uri(kid="nobody"),
        key="ps-1",
        at=at,
    )
    for name in ("id", "dwk", "kid"):
        value = jwks_uri().replace(f";{name}=", ";was-")
        add(
            f"jwks-uri-no-{name}",
            f"{name} is missing",
            "SK 3.6",
            INVALID_KEY,
            by=value.replace("was-", "was="),
            key="ps-1",
            at=at,
        )
        number = jwks_uri()
        start = number.index(f";{name}=")
        end = number.index('"', number.index('"', start) + 1) + 1
        add(
            f"jwks-uri-number-{name}",
            f"{name} is no String",
            "SK 3.6",
            INVALID_KEY,
            by=f"{number[:start]};{name}=7{number[end:]}",
            key="ps-1",
            at=at,
        )
    for name, iss in (
        ("http", "http://ps.example"),
        ("slash", "https://ps.example/"),
        ("port", "https://ps.example:8443"),
        ("upper", "https://PS.example"),
    ):
        add(f"jwks-uri-id-{name}", f"id is {iss}", "11.1.1, 11.3.2", INVALID_KEY, by=jwks_uri(iss), key="ps-1", at=at)
    add(
        "jwks-uri-role",
        "A role that has no business here",
        "11.3.2",
        INVALID_KEY,
        by=jwks_uri(API, DWK["resource"], "api-1"),
        key="api-1",
        issuers=(API,),
        at=at,
    )


def _jwks_uri_2(requests: Requests) -> None:
    add, at = requests.add, wide()
    trusted = wide(trusted={DWK["person"]: ["https://ps2.example"]})
    add(
        "jwks-uri-untrusted",
        "A server that is not trusted here",
        "SK 5.4.7, SK 7.3",
        INVALID_KEY,
        by=jwks_uri(),
        key="ps-1",
        at=trusted,
    )
    add(
        "jwks-uri-wrong-key",
        "Signed by another key",
        "11.3.4",
        unsigned("invalid_signature", "invalid_jwt"),
        by=jwks_uri(),
        key="ps-2",
        at=at,
    )
    _sets(requests)


def _sets(requests: Requests) -> None:
    """What stands in a set under the selected kid, and beside it."""
    add, at = requests.add, wide()

    def named(kid: str) -> str:
        return jwks_uri(MIXED, DWK["agent"], kid)

    found = accepted(level="server", iss=MIXED, key=KEYS["ap-es"].thumbprint)
    add(
        "set-decoys",
        "Other members of the set are not looked into",
        "11.4, SK 3.3",
        found,
        by=named("ap-es"),
        key="ap-es",
        at=at,
        issuers=(MIXED,),
    )
    for kid, outcome, title in (
        ("no-alg", UNSUPPORTED, "The selected key has no alg"),
        ("eddsa", UNSUPPORTED, "The selected key's alg is polymorphic"),
        ("oct", UNSUPPORTED, "The selected key is a secret"),
        ("ml-dsa", UNSUPPORTED, "The selected key's type is not implemented"),
        ("es384", UNSUPPORTED, "The selected key's algorithm is not served"),
        ("rsa-unused", UNSUPPORTED, "The selected RSA key has no alg"),
        ("disagrees", INVALID_KEY, "The selected key's kty disagrees with its alg"),
        ("short", INVALID_KEY, "The selected key is too short"),
        ("twice", INVALID_KEY, "The kid names two keys"),
    ):
        stricter = "RFC 7517 §4.5 says that distinct keys should have distinct kids" if kid == "twice" else None
        add(
            f"set-{kid}",
            title,
            "11.4, 11.3.1, 11.3.4, SK 3.3",
            outcome,
            by=named(kid),
            key="ap-2",
            at=at,
            issuers=(MIXED,),
            stricter=stricter,
        )


def delegation(
    durable: str = "durable-1", to: str = "agent-1", *, header: Any = None, signer: str | None = None, **claims: Any
) -> str:
    key = KEYS[durable]
    iss = f"urn:jkt:sha-256:{key.thumbprint}"
    whole = {"iss": iss, "iat": NOW, "exp": NOW + 600, "cnf": {"jwk": KEYS[to].jwk}, **claims}
    fields = {"alg": key.alg, "typ": "jkt-s256+jwt", "jwk": key.jwk, **(header or {})}
    kept = [{name: value for name, value in part.items() if value is not None} for part in (fields, whole)]
    return f'jkt-jwt;jwt="{sign_jws(KEYS[signer or durable], kept[0], kept[1])}"'


def _delegation(requests: Requests) -> None:
    _delegation_1(requests)
    _delegation_2(requests)


def _delegation_1(requests: Requests) -> None:
    add, at = requests.add, wide()
    bad = unsigned("invalid_jwt")
    for durable in ("durable-1", "durable-es"):
        found = accepted(level="delegate", durable=KEYS[durable].thumbprint, key=KEYS["agent-1"].thumbprint)
        add(
            f"jkt-{durable}",
            f"A durable {KEYS[durable].alg} key delegates",
            "SK 3.5",
            found,
            by=delegation(durable),
            at=at,
        )
    other = f"urn:jkt:sha-256:{KEYS['agent-2'].thumbprint}"
    cases: list[tuple[str, str, str, dict[str, Any]]] = [
        ("typ", "Another typ", delegation(header={"typ": "jkt-s512+jwt"}), bad),
        ("typ-missing", "No typ", delegation(header={"typ": None}), bad),
        ("iss", "iss is another key's", delegation(iss=other), bad),
        ("iss-missing", "No iss", delegation(iss=None), bad),
        (
            "iss-hash",
            "iss names another hash than typ",
            delegation(iss=f"urn:jkt:sha-512:{KEYS['durable-1'].thumbprint}"),
            bad,
        ),
        ("signer", "Signed by another key than the header's", delegation(signer="agent-2"), bad),
        ("alg", "The header names another alg than the key", delegation(header={"alg": "ES256"}), bad),
        ("jwk-missing", "No jwk in the header", delegation(header={"jwk": None}), KEY_OR_JWT),
        ("jwk-no-alg", "The header's key has no alg", delegation(header={"jwk": KEYS["durable-1"].bare}), UNSUPPORTED),
        ("cnf-missing", "No cnf", delegation(cnf=None), bad),
        ("cnf-no-alg", "The delegated key has no alg", delegation(cnf={"jwk": KEYS["agent-1"].bare}), UNSUPPORTED),
        ("cnf-no-jwk", "cnf without a key", delegation(cnf={"jkt": "x"}), KEY_OR_JWT),
        ("iat-missing", "No iat", delegation(iat=None), bad),
        ("exp-missing", "No exp", delegation(exp=None), bad),
        ("exp-string", "exp is a string", delegation(exp=str(NOW + 600)), bad),
        ("expired", "Expired", delegation(iat=NOW - 700, exp=NOW - 1), unsigned("expired_jwt")),
        ("ahead", "Issued an hour ahead", delegation(iat=NOW + 3600, exp=NOW + 4200), unsigned("clock_skew")),
        ("malformed", "No JWT", 'jkt-jwt;jwt="abc"', bad),
        ("no-jwt", "No parameter jwt", "jkt-jwt", bad),
    ]
    for name, title, value, outcome in cases:
        add(f"jkt-{name}", title, "SK 3.5, 11.3.4", outcome, by=value, at=at)
    add(
        "jkt-wrong-key",
        "Signed by the durable key itself",
        "SK 3.5",
        unsigned("invalid_signature"),
        by=delegation(),
        key="durable-1",
        at=at,
    )


def _delegation_2(requests: Requests) -> None:
    add, at = requests.add, wide()
    bad = unsigned("invalid_jwt")
    long = delegation(exp=NOW + 40 * 86400)
    add(
        "jkt-long",
        "A delegation of forty days",
        "SK 7.3",
        bad,
        by=long,
        at=at,
        stricter="Signature-Keys §7.3 says that the lifetime should be short; here a day at most",
    )
