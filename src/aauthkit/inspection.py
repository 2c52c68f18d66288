"""What a token, a header field or a metadata document is, whose it is, and what is wrong with it.

For the person at the terminal: `inspect_text` takes whatever was copied, says what it recognised, and checks it as a
verifier would, naming the section of each rule. Signatures are checked where the issuer's keys can be had.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .discovery import Discovery, DiscoveryFailed
from .explaining.wording import plain, relative
from .protocol import headers as fields
from .protocol.httpsig import BASE_COMPONENTS, SignatureSyntaxError, parse_signature_input, parse_signatures
from .protocol.identifiers import NO_LOOPBACK, LoopbackProfile, is_server_identifier
from .protocol.jose import BadSignature, JoseError, Jwt, KeyRejected, parse_json, parse_jwk
from .protocol.metadata import MetadataError, read_metadata
from .protocol.problems import SIGNATURE_ERRORS, SignatureFailure
from .protocol.signature_key import JKT_TYP, JwksUriKey, parse_signature_key, read_member, verify_delegation
from .protocol.structured import FieldError, parse_dictionary, parse_list
from .protocol.tokens import (
    ACCESS_DWK,
    AGENT_DWK,
    AGENT_TYP,
    AUTH_TYP,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_DWK,
    RESOURCE_TYP,
    Token,
    TokenRejected,
    check_lifetime,
    read_jwt,
    read_token,
)

__all__ = ["DOCUMENT_NAMES", "TOKEN_NAMES", "Check", "Inspector", "Report", "plain", "relative"]

TOKEN_NAMES: Final = {
    AGENT_TYP: ("agent token", "§5.3"),
    PERSON_TYP: ("person token", "§7.1.1"),
    RESOURCE_TYP: ("resource token", "§6.7"),
    AUTH_TYP: ("auth token", "§9.4"),
    JKT_TYP: ("key delegation", "Signature-Keys §3.5"),
}
DOCUMENT_NAMES: Final = {
    AGENT_DWK: "agent provider",
    PERSON_DWK: "person server",
    ACCESS_DWK: "access server",
    RESOURCE_DWK: "resource",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `ok` is `None` where it could not be decided here."""

    ok: bool | None
    text: str


@dataclass
class Report:
    """What was recognised, in facts and checks, with what it contains as reports of their own."""

    kind: str
    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    inside: list[Report] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.title = plain(self.title)

    def fact(self, name: str, value: object) -> None:
        """Add a fact, unless it is absent."""
        if value is not None and value != "":
            self.facts.append((plain(name), plain(str(value))))

    def good(self, text: str) -> None:
        """Add a check that passed."""
        self.checks.append(Check(True, plain(text)))

    def bad(self, text: str) -> None:
        """Add a check that failed."""
        self.checks.append(Check(False, plain(text)))

    def open(self, text: str) -> None:
        """Add a check that could not be made."""
        self.checks.append(Check(None, plain(text)))

    @property
    def verdict(self) -> bool | None:
        """`False` if anything failed, `None` if something is open or nothing was checked, else `True`."""
        found = [check.ok for check in self.checks] + [report.verdict for report in self.inside]
        if False in found:
            return False
        return None if None in found or not found else True

    def as_json(self) -> dict[str, Any]:
        """The report for a program."""
        return {
            "kind": self.kind,
            "title": self.title,
            "valid": self.verdict,
            "facts": dict(self.facts),
            "checks": [{"ok": check.ok, "text": check.text} for check in self.checks],
            "inside": [report.as_json() for report in self.inside],
        }


class Inspector:
    """Inspects with or without a network: `discovery` is `None` where nothing may be fetched."""

    def __init__(
        self,
        *,
        discovery: Discovery | None = None,
        loopback: LoopbackProfile = NO_LOOPBACK,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._discovery = discovery
        self._loopback = loopback
        self._clock = clock

    async def inspect(self, text: str) -> Report:
        """What `text` is: a token, `Name: value`, a metadata document, a server identifier or a document's URL."""
        text = text.strip()
        if text.startswith("{"):
            return self._document(text)
        if text.startswith(("https://", "http://")):
            return await self._server(text)
        name, colon, value = text.partition(":")
        if colon and name.strip().lower() in self._readers:
            return await self._readers[name.strip().lower()](self, value.strip())
        if text.count(".") == 2 and " " not in text:
            return await self.token(text)
        report = Report("unknown", "not recognised")
        report.bad("give a token, a header as 'Name: value', a metadata document, or a server's https:// identifier")
        return report

    async def token(self, raw: str) -> Report:
        """A JWT of this protocol, or any other."""
        try:
            jwt = read_jwt(raw)
        except TokenRejected as error:
            report = Report("token", "not a token")
            report.bad(str(error))
            return report
        typ = str(jwt.header.get("typ"))
        name, section = TOKEN_NAMES.get(typ, ("a JWT of no type of this protocol", "§11.5"))
        report = Report("token", f"{name} ({typ}), {section}")
        for claim in ("iss", "sub", "aud", "ps", "parent_agent", "scope", "account", "mission_s256", "tenant"):
            report.fact(claim, jwt.claims.get(claim))
        self._times(report, jwt)
        self._key(report, jwt)
        if typ == JKT_TYP:
            self._delegation(report, jwt)
        elif typ in TOKEN_NAMES:
            await self._known(report, raw, jwt, typ)
        else:
            report.bad(f"typ {typ!r} is none of {', '.join(TOKEN_NAMES)}")
        return report

    def _times(self, report: Report, jwt: Jwt) -> None:
        now = self._clock()
        for claim in ("iat", "exp"):
            value = jwt.claims.get(claim)
            if type(value) is int and 0 < value < 2**40:
                moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))
                report.fact(claim, f"{moment} ({relative(value - now)})")

    def _key(self, report: Report, jwt: Jwt) -> None:
        report.fact("signed with", f"{jwt.header.get('alg')}, kid {jwt.header.get('kid')}")
        report.fact("jti", jwt.claims.get("jti"))
        report.fact("presented_jti", jwt.claims.get("presented_jti"))
        report.fact("agent_jkt", jwt.claims.get("agent_jkt"))
        cnf = jwt.claims.get("cnf")
        jwk = cnf.get("jwk") if isinstance(cnf, Mapping) else None
        if isinstance(jwk, Mapping):
            try:
                key = parse_jwk(jwk)
                report.fact("bound to key", f"{key.alg} {key.thumbprint}")
            except KeyRejected as error:
                report.bad(f"the key in cnf: {error} ({error.code})")

    def _delegation(self, report: Report, jwt: Jwt) -> None:
        try:
            delegated = verify_delegation(jwt)
        except (JoseError, BadSignature) as error:
            report.bad(str(error))
            return
        report.good(f"the durable key {delegated.durable.thumbprint} signed it and delegates to another key")
        if delegated.exp <= self._clock():
            report.bad("it has expired (expired_jwt)")

    async def _known(self, report: Report, raw: str, jwt: Jwt, typ: str) -> None:
        try:
            token = read_token(raw, {typ}, loopback=self._loopback, jwt=jwt)
        except TokenRejected as error:
            report.bad(f"{error} ({error.key_code or 'invalid_jwt'})")
            return
        report.good("the claims are whole and in form")
        try:
            check_lifetime(token, self._clock())
            report.good("it is valid now")
        except TokenRejected as error:
            code = {"expired": "expired_jwt", "skew": "clock_skew"}.get(error.kind, "invalid_jwt")
            report.bad(f"{error} ({code})")
        await self._issuer(report, token)

    async def _issuer(self, report: Report, token: Token) -> None:
        if self._discovery is None:
            report.open(f"the signature of {token.iss} was not checked: offline")
            return
        try:
            key = await self._discovery.key(token.iss, token.dwk, token.kid)
            token.verify_signature(key)
        except DiscoveryFailed as error:
            check = report.open if error.unreachable else report.bad
            check(f"the key {token.kid} of {token.iss} cannot be had: {error.reason} ({error.code})")
        except TokenRejected as error:
            report.bad(f"{error} (invalid_jwt)")
        else:
            report.good(f"the signature verifies under key {token.kid} of {token.iss}")

    # --- header fields -----------------------------------------------------------------------------------------

    async def _signature_input(self, value: str) -> Report:
        report = Report("header", "Signature-Input: what a signature covers (RFC 9421 §4.1)")
        try:
            entries = parse_signature_input([value])
        except SignatureSyntaxError as error:
            report.bad(f"{error} (invalid_signature)")
            return report
        for label, entry in entries.items():
            report.fact(f"{label} covers", " ".join(str(component) for component in entry.components) or "nothing")
            missing = [name for name in BASE_COMPONENTS if name not in entry.bare_names]
            if missing:
                report.bad(f"{label} does not cover {', '.join(missing)} (invalid_input, §11.3.3.1)")
            else:
                report.good(f"{label} covers every base component")
            self._created(report, label, entry.params.get("created"))
            if "alg" in entry.params:
                report.open(f"{label}: alg is ignored; the key's own alg decides (§11.3.3.2)")
        return report

    def _created(self, report: Report, label: str, created: object) -> None:
        if type(created) is not int:
            report.bad(f"{label}: created is missing or not an Integer (invalid_signature, §11.3.3.2)")
            return
        age = self._clock() - created
        report.fact(f"{label} created", relative(-age))
        if abs(age) > 60:
            code = "invalid_signature" if age > 0 else "clock_skew"
            report.bad(f"{label}: created is outside the 60 s window by now ({code}, §11.3.4 step 3)")

    async def _signature(self, value: str) -> Report:
        report = Report("header", "Signature: the signature's bytes (RFC 9421 §4.2)")
        try:
            for label, raw in parse_signatures([value]).items():
                report.fact(label, f"{len(raw)} bytes")
                (report.good if len(raw) == 64 else report.bad)(f"{label}: Ed25519 and ES256 signatures have 64 bytes")
        except SignatureSyntaxError as error:
            report.bad(f"{error} (invalid_signature)")
        return report

    async def _signature_key(self, value: str) -> Report:
        report = Report("header", "Signature-Key: which key verifies the signature (Signature-Keys §3)")
        try:
            members = parse_signature_key([value])
        except SignatureFailure as error:
            report.bad(f"{error.detail} ({error.code})")
            return report
        for label, member in members.items():
            report.fact(label, f"scheme {member.scheme}")
            token = member.params.get("jwt")
            for name in ("id", "dwk", "kid", "kty", "crv", "alg"):
                report.fact(f"{label} {name}", member.params.get(name))
            if isinstance(token, str):
                report.inside.append(await self.token(token))
                continue
            try:
                presented = read_member(member)
            except SignatureFailure as error:
                report.bad(f"{label}: {error.detail} ({error.code})")
                continue
            if isinstance(presented, JwksUriKey) and not is_server_identifier(presented.id, self._loopback):
                report.bad(f"{label}: id is not a server identifier (§11.1.1)")
            else:
                report.good(f"{label}: what {member.scheme} needs is there and in form")
        return report

    async def _requirement(self, value: str) -> Report:
        report = Report("header", "AAuth-Requirement: what the request needs first (§11.6)")
        try:
            requirement = fields.parse_requirement([value])
        except fields.HeaderError as error:
            report.bad(str(error))
            return report
        assert requirement is not None
        report.fact("requirement", requirement.value)
        known = {"agent-token", "person-token", "auth-token", "interaction", "approval", "clarification", "claims"}
        (report.good if requirement.value in known else report.bad)(
            "a requirement of draft-11" if requirement.value in known else "not a requirement of draft-11 (§11.6.2)"
        )
        for name in ("url", "code"):
            report.fact(name, requirement.params.get(name))
        token = requirement.params.get("resource-token")
        if isinstance(token, str):
            report.inside.append(await self.token(token))
        elif requirement.value == "auth-token":
            report.bad("auth-token must come with a resource-token (§6.5)")
        return report

    async def _signature_error(self, value: str) -> Report:
        report = Report("header", "Signature-Error: why a signature was not accepted (Signature-Keys §5)")
        try:
            error = fields.parse_signature_error([value])
        except fields.HeaderError as problem:
            report.bad(str(problem))
            return report
        assert error is not None
        row = SIGNATURE_ERRORS.get(error.error)
        report.fact("error", error.error)
        report.fact("means", row.meaning if row else None)
        report.fact("required_input", " ".join(error.required_input))
        (report.good if row else report.bad)("a registered code" if row else "not a registered code")
        return report

    async def _access(self, value: str) -> Report:
        return _session(value, fields.parse_session_token)

    async def _authorization(self, value: str) -> Report:
        return _session(value, fields.parse_authorization)

    async def _dictionary(self, value: str) -> Report:
        report = Report("header", "a Dictionary (RFC 9651 §3.2)")
        try:
            for name, member in parse_dictionary([value], duplicates=False).items():
                report.fact(name, member[0] if not isinstance(member[0], bytes) else f"{len(member[0])} bytes")
            report.good("well formed")
        except FieldError as error:
            report.bad(str(error))
        return report

    async def _list(self, value: str) -> Report:
        report = Report("header", "a List (RFC 9651 §3.1)")
        try:
            report.fact("members", ", ".join(str(member[0]) for member in parse_list([value])))
            report.good("well formed")
        except FieldError as error:
            report.bad(str(error))
        return report

    _readers: Final = {
        "signature-input": _signature_input,
        "signature": _signature,
        "signature-key": _signature_key,
        "aauth-requirement": _requirement,
        "signature-error": _signature_error,
        "aauth-access": _access,
        "authorization": _authorization,
        "content-digest": _dictionary,
        "accept-signature-scheme": _list,
        "accept-signature-alg": _list,
        "aauth-capabilities": _list,
    }

    # --- documents ---------------------------------------------------------------------------------------------

    def _document(self, text: str) -> Report:
        try:
            document = parse_json(text)
        except JoseError as error:
            report = Report("document", "a JSON document")
            report.bad(str(error))
            return report
        if "keys" in document:
            return self._jwks(document)
        if "kty" in document:
            return self._jwks({"keys": [document]})
        return self._metadata(document, _likely(document))

    def _metadata(self, document: Mapping[str, Any], dwk: str) -> Report:
        report = Report("document", f"metadata of {_article(DOCUMENT_NAMES[dwk])} (§11.2)")
        issuer = document.get("issuer")
        report.fact("issuer", issuer)
        if not is_server_identifier(issuer, self._loopback):
            report.bad("issuer is not a server identifier (§11.1.1)")
        try:
            read_metadata(dwk, str(issuer), document, loopback=self._loopback)
            report.good("required members are there, every URL is in form")
        except MetadataError as error:
            report.bad(f"{error} ({error.code})")
        for name, value in document.items():
            if _holds_private_key(value):
                report.bad(f"{name} holds a private key, which is not shown and belongs in no document")
            elif name != "issuer":
                report.fact(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        return report

    def _jwks(self, document: Mapping[str, Any]) -> Report:
        keys = document["keys"] if isinstance(document["keys"], list) else []
        report = Report("document", "a JWK set (RFC 7517)")
        if not keys:
            report.bad("it holds no list of keys")
        kids: set[str | None] = {None}
        for number, jwk in enumerate(keys, 1):
            try:
                key = parse_jwk(jwk)
            except KeyRejected as error:
                report.bad(f"key {number}: {error} ({error.code})")
                continue
            if key.kid in kids:
                report.bad(f"key {number}: {key.alg} {key.thumbprint}, but without a kid of its own (§11.4)")
            else:
                report.good(f"key {number}: {key.alg}, kid {key.kid}, usable")
            kids.add(key.kid)
        return report

    async def _server(self, text: str) -> Report:
        issuer, _, dwk = text.partition("/.well-known/")
        report = Report("server", f"the server {issuer}")
        if not is_server_identifier(issuer, self._loopback):
            report.bad("not a server identifier: https:// and a lower-case host, nothing more (§11.1.1)")
            return report
        if self._discovery is None:
            report.open("its documents were not fetched: offline")
            return report
        for name in [dwk] if dwk else list(DOCUMENT_NAMES):
            try:
                metadata = await self._discovery.metadata(issuer, name)
            except DiscoveryFailed as error:
                if error.unreachable:
                    report.open(f"{name}: {error.reason}")
                elif dwk:
                    report.bad(f"{name}: {error.reason} ({error.code})")
                continue
            report.inside.append(self._metadata(metadata.document, name))
        if not report.inside and not report.checks:
            report.bad("none of the four metadata documents can be had there (§11.2)")
        return report


def _likely(document: Mapping[str, Any]) -> str:
    if "person_token_endpoint" in document:
        return PERSON_DWK
    if "auth_token_endpoint" in document:
        return ACCESS_DWK
    if {"callback_endpoint", "enrollment_endpoint", "localhost_callback_allowed", "event_endpoint"} & set(document):
        return AGENT_DWK
    return RESOURCE_DWK


def _session(value: str, read: Callable[[Sequence[str]], str | None]) -> Report:
    report = Report("header", "a session token, opaque to all but the resource that made it (§6.3)")
    try:
        token = read([value])
    except fields.HeaderError as error:
        report.bad(str(error))
        return report
    if token is None:
        report.bad("the scheme is not AAuth")
    else:
        report.fact("token", f"{len(token)} characters")
        report.good("it is one token68")
    return report


def _holds_private_key(value: object) -> bool:
    """Whether a JWK with a private part stands anywhere in a member."""
    if isinstance(value, Mapping):
        return ("kty" in value and "d" in value) or any(_holds_private_key(each) for each in value.values())
    return isinstance(value, list) and any(_holds_private_key(each) for each in value)


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
