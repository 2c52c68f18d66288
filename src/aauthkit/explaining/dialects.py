"""How older drafts speak, so that a peer that was not brought up to date is told so by name.

Nothing here makes an older form acceptable. What is read in an older form is read to explain it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.jose import JoseError, KeyRejected, PublicKey, parse_json, parse_jwk
from ..protocol.messages import Answer, HeaderList, header_values

EARLY: Final = "a draft of 2025"
SPRING: Final = "an early draft (-00, or before)"
TEN: Final = "-10 of the protocol"
KEYS_SEVEN: Final = "-07 of Signature-Keys, or before"


@dataclass(frozen=True, slots=True)
class Older:
    """Something said as an older draft has it: `draft` says which, `instead` what -11 has in its place.

    `fatal`: a verifier of -11 refuses the request for it. `code` is the Signature-Error it does so with.
    """

    draft: str
    sign: str
    instead: str
    fatal: bool = True
    code: str = "invalid_signature"

    @property
    def said(self) -> str:
        """`this speaks -10: ...`."""
        return f"this speaks {self.draft}: {self.sign}"


_INNER = re.compile(r"([a-z*][a-z0-9_.*-]*)=\(\s*scheme=(\"?)([a-z0-9_-]+)\2\s*([^()]*)\)")
_OLD_TYP: Final[Mapping[str, str]] = {
    "agent+jwt": "aa-agent+jwt",
    "auth+jwt": "aa-auth+jwt",
    "resource+jwt": "aa-resource+jwt",
    "person+jwt": "aa-person+jwt",
}


def older_request(headers: HeaderList) -> Iterator[Older]:
    """What the header fields of a request say in an older form."""
    keys = ", ".join(header_values(headers, "signature-key"))
    if _INNER.search(keys):
        yield Older(EARLY, "Signature-Key holds (scheme=… …)", 'write sig=jwt;jwt="…" (Signature-Keys §3)')
    if re.search(r"(?:^|[,\s])[\w.*-]+=jwks\s*;", keys):
        yield Older(
            EARLY,
            "Signature-Key names the scheme jwks",
            'write sig=jwks_uri;id="…";dwk="…";kid="…" (draft-11 §11.3.2)',
            code="unsupported_scheme",
        )
    elif re.search(r"=jwks_uri\s*;(?![^,]*;\s*dwk=)", keys) and "well-known=" in keys:
        yield Older(
            EARLY, "Signature-Key has well-known in place of dwk", 'write dwk="aauth-….json"', code="invalid_key"
        )
    for member in re.findall(r"=hwk\s*;[^,]*", keys):
        if not re.search(r";\s*alg=", member):
            yield Older(
                KEYS_SEVEN,
                "an hwk key without alg",
                'add alg="Ed25519" (Signature-Keys §3.4)',
                code="unsupported_algorithm",
            )
    if header_values(headers, "aauth-mission"):
        yield Older(
            TEN,
            "the field AAuth-Mission",
            "name the mission by mission_s256 when asking for a person token (draft-11 §7.1, §8.3)",
            fatal=False,
        )
    for name in ("agent-auth", "aauth"):
        if header_values(headers, name):
            yield Older(
                EARLY if name == "agent-auth" else SPRING, f"the field {name}", "it has no meaning in -11", fatal=False
            )
    if any("sigkey=" in value for value in header_values(headers, "accept-signature")):
        yield Older(KEYS_SEVEN, "Accept-Signature with sigkey", "use Accept-Signature-Scheme and -Alg", fatal=False)


def older_token(header: Mapping[str, Any], claims: Mapping[str, Any]) -> Iterator[Older]:
    """What a token says in an older form."""
    typ, alg = header.get("typ"), header.get("alg")
    if isinstance(typ, str) and typ in _OLD_TYP:
        yield Older(SPRING, f"a token of typ {typ}", f"its typ is {_OLD_TYP[typ]} (draft-11 §11.5)", code="invalid_jwt")
    if alg == "EdDSA":
        yield Older(
            KEYS_SEVEN, "a token with alg EdDSA", "its alg is Ed25519 (draft-11 §11.3.1, RFC 9864)", code="invalid_jwt"
        )
    jwk = cnf.get("jwk") if isinstance(cnf := claims.get("cnf"), Mapping) else None
    if isinstance(jwk, Mapping) and jwk.get("alg") in (None, "EdDSA"):
        how = "with alg EdDSA" if jwk.get("alg") else "without alg"
        yield Older(
            KEYS_SEVEN,
            f"a key in cnf {how}",
            'the key says alg "Ed25519" or "ES256" (draft-11 §11.5.1)',
            code="unsupported_algorithm",
        )
    if typ in ("aa-auth+jwt", "auth+jwt", "aa-resource+jwt", "resource+jwt"):
        named = [name for name in ("agent", "act", "mission") if name in claims]
        if named:
            yield Older(
                TEN,
                f"a token with the claims {', '.join(named)}",
                "in -11 it carries none of them (draft-11 §6.7.1, §9.4.1)",
                fatal=False,
                code="invalid_jwt",
            )


def translated(values: Sequence[str]) -> list[str]:
    """Signature-Key in today's form where an older one is recognised, so that the key in it can be read."""

    def today(found: re.Match[str]) -> str:
        pairs = re.findall(r'([a-z][a-z0-9_-]*)=("[^"]*"|[^\s"]+)', found[4])
        return f"{found[1]}={found[3]}" + "".join(f";{name}={value}" for name, value in pairs)

    renamed = [_INNER.sub(today, value) for value in values]
    renamed = [re.sub(r"([\w.*-]+)=jwks(\s*;)", r"\1=jwks_uri\2", value) for value in renamed]
    return [re.sub(r";\s*well-known=", ";dwk=", value) for value in renamed]


def lenient_key(jwk: object) -> PublicKey | None:
    """The key in a JWK that lacks its `alg` or has an older one; `None` where there is none to be had."""
    if not isinstance(jwk, Mapping):
        return None
    guessed = {"Ed25519": "Ed25519", "P-256": "ES256"}.get(str(jwk.get("crv")))
    kept = {name: value for name, value in jwk.items() if name in ("kty", "crv", "x", "y") and isinstance(value, str)}
    try:
        return parse_jwk({**kept, "alg": guessed})
    except KeyRejected:
        return None


def older_answer(answer: Answer) -> Iterator[Older]:
    """What a server's answer says in an older form: for an agent that met one."""
    if answer.header("agent-auth") is not None:
        yield Older(EARLY, "it answers with Agent-Auth", "AAuth-Requirement (draft-11 §11.6)")
    if answer.header("aauth") is not None:
        yield Older(SPRING, "it answers with AAuth: require=…", "AAuth-Requirement: requirement=… (draft-11 §11.6)")
    requirement = ", ".join(answer.values("aauth-requirement"))
    if "auth-server=" in requirement:
        yield Older(
            SPRING, "AAuth-Requirement names an auth-server", "the resource token's aud is who redeems it (§6.7)"
        )
    if "supported_algorithms" in (answer.header("signature-error") or ""):
        yield Older(KEYS_SEVEN, "Signature-Error with supported_algorithms", "Accept-Signature-Alg (Signature-Keys §4)")
    if any("sigkey=" in value for value in answer.values("accept-signature")):
        yield Older(KEYS_SEVEN, "Accept-Signature with sigkey", "Accept-Signature-Scheme (Signature-Keys §4)")
    yield from _older_body(answer)


def _older_body(answer: Answer) -> Iterator[Older]:
    try:
        body = parse_json(answer.body) if 0 < len(answer.body) <= 64 * 1024 else {}
    except JoseError:
        return
    error = body.get("error")
    if error in ("invalid_agent_token", "expired_agent_token") and answer.status < 500:
        yield Older(TEN, f"the error {error}", "a bad agent token is 401 with Signature-Error (draft-11 §11.3.4)")
    if answer.status in (400, 401) and error == "invalid_request" and _speaks_of_signature(body):
        yield Older(TEN, "invalid_request for a signature", "missing signature fields are invalid_signature (§11.3.4)")
    if answer.status == 200 and isinstance(body.get("mission"), Mapping) and "approver" in body["mission"]:
        yield Older(TEN, "a mission with an approver", "mission_s256 (draft-11 §8.2)")


def _speaks_of_signature(body: Mapping[str, Any]) -> bool:
    said = f"{body.get('detail', '')} {body.get('error_description', '')}".lower()
    return "signature" in said


def older_metadata(document: Mapping[str, Any]) -> Iterator[Older]:
    """What a metadata document says in an older form."""
    if "auth_token_endpoint" not in document and "token_endpoint" in document:
        yield Older(TEN, "its metadata has token_endpoint", "auth_token_endpoint and person_token_endpoint (§11.2.2)")
    if document.get("access_mode") == "aauth-access-token":
        yield Older(TEN, "its access_mode is aauth-access-token", "session-token (draft-11 §11.2.4)")
    if "login_endpoint" in document:
        yield Older(TEN, "its metadata has login_endpoint", "third-party login is gone", fatal=False)
    if "agent_token_endpoint" in document or "agent_auth_endpoint" in document:
        yield Older(EARLY, "its metadata has agent_token_endpoint", "person_token_endpoint, auth_token_endpoint")
