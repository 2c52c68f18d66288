"""The four tokens: agent, person, resource and auth token. Reading, checking and minting them.

draft-11 §5.3, §7.1.1, §6.7, §9.4 and what they share, §11.5. Reading settles everything the bytes alone decide; the
signature, the clock and the context (audience, key) are separate steps, so that a caller can refuse before it fetches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .identifiers import (
    NO_LOOPBACK,
    InvalidIdentifier,
    LoopbackProfile,
    check_endpoint,
    check_server_identifier,
    host_of,
    parse_agent_identifier,
    parse_scope,
)
from .jose import BadSignature, JoseError, Jwt, KeyRejected, PublicKey, parse_jwk, parse_jwt

AGENT_TYP: Final = "aa-agent+jwt"
PERSON_TYP: Final = "aa-person+jwt"
RESOURCE_TYP: Final = "aa-resource+jwt"
AUTH_TYP: Final = "aa-auth+jwt"

AGENT_DWK: Final = "aauth-agent.json"
PERSON_DWK: Final = "aauth-person.json"
RESOURCE_DWK: Final = "aauth-resource.json"
ACCESS_DWK: Final = "aauth-access.json"

HOUR: Final = 3600
MAX_AGENT_LIFETIME: Final = 24 * HOUR
"""Recommended ceiling of an agent token, in seconds (draft-11 §5.3.1)."""
MAX_RESOURCE_LIFETIME: Final = 300
"""Recommended ceiling of a resource token, in seconds (draft-11 §6.7.1)."""
SIGNATURE_WINDOW: Final = 60
"""Seconds a signature or an `iat` may lie off the verifier's clock (draft-11 §11.3.4)."""

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}\Z")
MAX_TIME: Final = 2**53

Kind = Literal["invalid", "expired", "skew"]


class TokenRejected(ValueError):
    """A token that is not accepted. `kind` tells expiry and a clock ahead from everything else.

    `key_code` is set where the confirmation key is at fault; it is then the Signature-Error (draft-11 §11.3.4 step 6).
    """

    def __init__(
        self,
        reason: str,
        kind: Kind = "invalid",
        key_code: Literal["invalid_key", "unsupported_algorithm"] | None = None,
    ) -> None:
        super().__init__(reason)
        self.kind: Kind = kind
        self.key_code = key_code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """What all four share (draft-11 §11.5.1). `raw` is the exact token and never shown."""

    iss: str
    dwk: str
    jti: str
    iat: int
    exp: int
    kid: str
    raw: str = field(repr=False)
    jwt: Jwt = field(repr=False, compare=False)

    @property
    def claims(self) -> Mapping[str, Any]:
        """Every claim, also those this version does not know."""
        return self.jwt.claims

    def verify_signature(self, key: PublicKey) -> None:
        """Return if the issuer's `key` signed this token; raise `TokenRejected` otherwise (draft-11 §11.5.2 step 2)."""
        try:
            self.jwt.jws.verify(key)
        except BadSignature as error:
            raise TokenRejected(f"the issuer's signature does not verify: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentToken(_Common):
    """Which agent this is (draft-11 §5.3)."""

    sub: str
    cnf: PublicKey
    ps: str | None = None
    parent_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonToken(_Common):
    """Whom an agent acts for, at one resource (draft-11 §7.1.2). No authorization."""

    aud: str
    sub: str
    cnf: PublicKey
    mission_s256: str | None = None
    tenant: str | None = None

    @property
    def ps(self) -> str:
        """The person server: the issuer itself."""
        return self.iss


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceToken(_Common):
    """What a resource asks for, carried by the agent to its person server (draft-11 §6.7.1)."""

    aud: str
    ps: str
    sub: str
    presented_jti: str
    agent_jkt: str
    scope: frozenset[str] = frozenset()
    account: str | None = None
    login_hint: str | None = None
    mission_s256: str | None = None
    tenant: str | None = None
    interaction: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthToken(_Common):
    """What a person or an access server authorized (draft-11 §9.4.1)."""

    aud: str
    ps: str
    sub: str
    cnf: PublicKey
    scope: frozenset[str] = frozenset()
    account: str | None = None
    mission_s256: str | None = None
    tenant: str | None = None


Token = AgentToken | PersonToken | ResourceToken | AuthToken


_NEEDED: Final = {"OKP": frozenset({"crv", "x"}), "EC": frozenset({"crv", "x", "y"}), "RSA": frozenset({"n", "e"})}
_NOTHING: Final[frozenset[str]] = frozenset()


class _Claims:
    """Typed access to claims; any fault is a `TokenRejected`."""

    def __init__(self, jwt: Jwt, loopback: LoopbackProfile) -> None:
        self.claims = jwt.claims
        self.header = jwt.header
        self.loopback = loopback

    def text(self, name: str, limit: int = 255) -> str:
        value = self.claims.get(name)
        if type(value) is not str or not value or len(value) > limit or not value.isprintable():
            raise TokenRejected(f"the claim {name} is missing or not a string of 1 to {limit} printable characters")
        return value

    def optional_text(self, name: str, limit: int = 255) -> str | None:
        return self.text(name, limit) if name in self.claims else None

    def time(self, name: str) -> int:
        value = self.claims.get(name)
        if type(value) is not int or not 0 <= value < MAX_TIME:
            raise TokenRejected(f"the claim {name} is missing or not a time in whole seconds")
        return value

    def server(self, name: str) -> str:
        try:
            return check_server_identifier(self.claims.get(name), self.loopback)
        except InvalidIdentifier as error:
            raise TokenRejected(f"the claim {name} is not a server identifier: {error}") from error

    def agent(self, name: str) -> str:
        try:
            return str(parse_agent_identifier(self.claims.get(name)))
        except InvalidIdentifier as error:
            raise TokenRejected(f"the claim {name} is not an agent identifier: {error}") from error

    def scope(self) -> frozenset[str]:
        try:
            return parse_scope(self.claims.get("scope", ""))
        except InvalidIdentifier as error:
            raise TokenRejected(f"the claim scope: {error}") from error

    def digest(self, name: str) -> str:
        value = self.claims.get(name)
        if type(value) is not str or not _THUMBPRINT.match(value):
            raise TokenRejected(f"the claim {name} is missing or not a SHA-256 in base64url")
        return value

    def optional_digest(self, name: str) -> str | None:
        return self.digest(name) if name in self.claims else None

    def cnf(self) -> PublicKey:
        """draft-11 §9.4.3.2 step 3: what is incomplete is the token's fault, what cannot be used is the key's."""
        cnf = self.claims.get("cnf")
        jwk = cnf.get("jwk") if isinstance(cnf, dict) else None
        if not isinstance(jwk, dict):
            raise TokenRejected("the claim cnf carries no jwk")
        if "kty" not in jwk or not jwk.keys() >= _NEEDED.get(str(jwk["kty"]), _NOTHING):
            raise TokenRejected("the key in cnf is incomplete")
        try:
            return parse_jwk(jwk)
        except KeyRejected as error:
            raise TokenRejected(f"the key in cnf: {error}", key_code=error.code) from error

    def common(self, raw: str, jwt: Jwt, dwks: Collection[str]) -> dict[str, Any]:
        dwk = self.text("dwk")
        if dwk not in dwks:
            raise TokenRejected(f"dwk is {dwk[:64]!r}, expected {' or '.join(sorted(dwks))}")
        kid = self.header.get("kid")
        if type(kid) is not str or not kid or len(kid) > 255:
            raise TokenRejected("the header names no kid")
        return {
            "iss": self.server("iss"),
            "dwk": dwk,
            "jti": self.text("jti"),
            "iat": self.time("iat"),
            "exp": self.time("exp"),
            "kid": kid,
            "raw": raw,
            "jwt": jwt,
        }


def _agent(raw: str, jwt: Jwt, claims: _Claims) -> AgentToken:
    common = claims.common(raw, jwt, {AGENT_DWK})
    sub = claims.agent("sub")
    if parse_agent_identifier(sub).domain != host_of(common["iss"]):
        # draft-11 §5.2, §11.2.1: the domain of an agent identifier is its provider's.
        raise TokenRejected(f"sub is of another domain than the provider {common['iss']}")
    return AgentToken(
        **common,
        sub=sub,
        cnf=claims.cnf(),
        ps=claims.server("ps") if "ps" in claims.claims else None,
        parent_agent=claims.agent("parent_agent") if "parent_agent" in claims.claims else None,
    )


def _person(raw: str, jwt: Jwt, claims: _Claims) -> PersonToken:
    if "scope" in claims.claims or "account" in claims.claims:
        raise TokenRejected("a person token carries neither scope nor account (draft-11 §7.1.2)")
    return PersonToken(
        **claims.common(raw, jwt, {PERSON_DWK}),
        aud=claims.server("aud"),
        sub=claims.text("sub"),
        cnf=claims.cnf(),
        mission_s256=claims.optional_digest("mission_s256"),
        tenant=claims.optional_text("tenant"),
    )


def _interaction(claims: _Claims, iss: str) -> Mapping[str, str] | None:
    """The resource's own page and the code for it (draft-11 §6.7.1); the URL is one that §11.6.3 allows."""
    value = claims.claims.get("interaction")
    if "interaction" not in claims.claims:
        return None
    code = value.get("code") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or type(code) is not str or not 0 < len(code) <= 64 or not code.isprintable():
        raise TokenRejected("the claim interaction holds no url and code")
    try:
        return {"url": check_endpoint(value.get("url"), iss, claims.loopback), "code": code}
    except InvalidIdentifier as error:
        raise TokenRejected(f"the url of the claim interaction: {error}") from error


def _resource(raw: str, jwt: Jwt, claims: _Claims) -> ResourceToken:
    common = claims.common(raw, jwt, {RESOURCE_DWK})
    return ResourceToken(
        **common,
        aud=claims.server("aud"),
        ps=claims.server("ps"),
        sub=claims.text("sub"),
        presented_jti=claims.text("presented_jti"),
        agent_jkt=claims.digest("agent_jkt"),
        scope=claims.scope(),
        account=claims.optional_text("account"),
        login_hint=claims.optional_text("login_hint"),
        mission_s256=claims.optional_digest("mission_s256"),
        tenant=claims.optional_text("tenant"),
        interaction=_interaction(claims, common["iss"]),
    )


def _auth(raw: str, jwt: Jwt, claims: _Claims) -> AuthToken:
    common = claims.common(raw, jwt, {PERSON_DWK, ACCESS_DWK})
    ps = claims.server("ps")
    if common["dwk"] == PERSON_DWK and ps != common["iss"]:
        raise TokenRejected("ps is not the person server that issued the token (draft-11 §9.4.1)")
    return AuthToken(
        **common,
        aud=claims.server("aud"),
        ps=ps,
        sub=claims.text("sub"),
        cnf=claims.cnf(),
        scope=claims.scope(),
        account=claims.optional_text("account"),
        mission_s256=claims.optional_digest("mission_s256"),
        tenant=claims.optional_text("tenant"),
    )


_READERS: Final[Mapping[str, Callable[[str, Jwt, _Claims], Token]]] = {
    AGENT_TYP: _agent,
    PERSON_TYP: _person,
    RESOURCE_TYP: _resource,
    AUTH_TYP: _auth,
}


def read_jwt(raw: object) -> Jwt:
    """Take a token apart; raises `TokenRejected`."""
    try:
        return parse_jwt(raw)
    except JoseError as error:
        raise TokenRejected(str(error)) from error


def read_token(
    raw: str, expected: Collection[str], *, loopback: LoopbackProfile = NO_LOOPBACK, jwt: Jwt | None = None
) -> Token:
    """A token of one of the `expected` types, its claims whole and in form; not yet verified. Raises `TokenRejected`.

    `typ` is looked at before anything else (draft-11 §11.5.2 step 1, §13.11).
    """
    parsed = jwt or read_jwt(raw)
    typ = parsed.header.get("typ")
    if not isinstance(typ, str) or typ not in expected or typ not in _READERS:
        raise TokenRejected(f"typ is {str(typ)[:32]!r}, expected {' or '.join(sorted(expected))}")
    return _READERS[typ](raw, parsed, _Claims(parsed, loopback))


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The longest lifetimes accepted, in seconds. Person and auth tokens have theirs from the draft."""

    agent: int = MAX_AGENT_LIFETIME
    resource: int = MAX_RESOURCE_LIFETIME

    def of(self, token: Token) -> int:
        """The ceiling for this token."""
        if isinstance(token, AgentToken):
            return self.agent
        return self.resource if isinstance(token, ResourceToken) else HOUR


DEFAULT_CEILINGS: Final = Ceilings()


def check_lifetime(token: Token, now: float, *, ceilings: Ceilings = DEFAULT_CEILINGS, window: int = 60) -> None:
    """Return if the token lives now and was not made to live too long; raise `TokenRejected` (draft-11 §11.5.2).

    No tolerance on `exp`; `iat` may lie `window` seconds ahead.
    """
    if token.exp - token.iat > ceilings.of(token):
        raise TokenRejected(f"the lifetime of {token.exp - token.iat} s exceeds {ceilings.of(token)} s")
    nbf = token.claims.get("nbf")
    if nbf is not None and (type(nbf) not in (int, float) or nbf > now):
        raise TokenRejected("the token is not valid yet")
    if token.exp <= now:
        raise TokenRejected("the token has expired", "expired")
    if token.exp <= token.iat:
        raise TokenRejected("the token ended before it was issued")
    if token.iat > now + window:
        raise TokenRejected("the token was issued ahead of this clock", "skew")
