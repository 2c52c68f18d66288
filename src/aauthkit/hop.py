"""The hop behind a gateway: what it verified of a caller, as a short-lived JWT over this very request.

The gateway signs it, the origin checks it, and gets the same typed caller as if it had verified the request itself. It
says nothing that was not verified, and it is good for one method, one target and one body.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_args

from .callers import Agent, Caller, Grant, Person, Pseudonym, Server
from .protocol.identifiers import format_scope, parse_scope
from .protocol.jose import JoseError, Jws, Jwt, PublicKey, SigningKey, b64url_encode, parse_jwk, parse_jwt, sign_jwt
from .protocol.tokens import AgentToken, AuthToken, PersonToken

TYP: Final = "aauth-hop+jwt"
HEADER: Final = "x-aauth-hop"
"""The header field it travels in."""
PREFIX: Final = "x-aauth-"
"""Fields of the gateway's own family: every one that a client sends is removed."""
LIFETIME: Final = 60
"""Seconds it is good for."""
TOLERANCE: Final = 5
"""Seconds that the clocks of gateway and origin may lie apart."""

Body = Literal["none", "empty", "signed", "buffered"]
"""`signed`: the sender's Content-Digest was covered and is in here. `buffered`: the gateway read the body and made the
digest. `empty`: there is to be no body, since none was signed. `none`: nothing is said of a body."""


class HopRejected(ValueError):
    """A JWT that does not prove this request; the message says why."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What the gateway says of one request. `caller` is `None` on a path that is open; `digest` a Content-Digest."""

    caller: Caller | None
    body: Body
    digest: str | None = field(default=None, repr=False)
    issuer: str = ""


def request_hash(method: str, target: str, digest: str | None) -> str:
    """What binds it to a request: method, target as the origin sees it, and the body's digest."""
    bound = json.dumps([method, target, digest], ensure_ascii=False, separators=(",", ":"))
    return b64url_encode(hashlib.sha256(bound.encode()).digest())


def mint(
    key: SigningKey,
    *,
    iss: str,
    aud: str,
    caller: Caller | None,
    method: str,
    target: str,
    body: Body,
    digest: str | None,
    now: float,
    random_bytes: Callable[[int], bytes],
) -> str:
    """The JWT for one request to `aud`, by the gateway `iss`."""
    claims: dict[str, Any] = {
        "iss": iss,
        "aud": aud,
        "iat": int(now),
        "exp": int(now) + LIFETIME,
        "jti": b64url_encode(random_bytes(9)),
        "request": request_hash(method, target, digest),
        "body": body,
        "caller": facts_of(caller),
    }
    if digest is not None:
        claims["digest"] = digest
    return sign_jwt(key, {"typ": TYP, "kid": key.public.thumbprint}, claims)


def check(
    token: str | None,
    key_of: Callable[[str], PublicKey | None],
    *,
    iss: str,
    aud: str,
    method: str,
    target: str,
    now: float,
) -> Hop:
    """What `token` says of this request, if it is one of `iss`'s for `aud`. Raises `HopRejected`."""
    if token is None:
        raise HopRejected("it did not come through the gateway")
    try:
        jwt = parse_jwt(token)
        kid = jwt.header.get("kid")
        key = key_of(kid) if isinstance(kid, str) else None
        if jwt.header.get("typ") != TYP or key is None:
            raise HopRejected("it is not signed by the gateway")
        jwt.jws.verify(key)
    except JoseError as error:
        raise HopRejected("it does not verify") from error
    claims = jwt.claims
    if claims.get("iss") != iss or claims.get("aud") != aud:
        raise HopRejected("it is another gateway's, or for another origin")
    begun, ends = claims.get("iat"), claims.get("exp")
    if type(begun) is not int or type(ends) is not int or not begun - TOLERANCE <= now < ends + TOLERANCE:
        raise HopRejected("its time is over")
    digest = claims.get("digest")
    if claims.get("request") != request_hash(method, target, digest):
        raise HopRejected("it is about another request")
    body = claims.get("body")
    if body not in get_args(Body) or (body in ("none", "empty")) != (digest is None):
        raise HopRejected("it says nothing sensible of the body")
    try:
        return Hop(caller_of(claims["caller"]), cast("Body", body), digest, iss)
    except (KeyError, TypeError, ValueError) as error:
        raise HopRejected("it names no caller") from error


def facts_of(caller: Caller | None) -> dict[str, Any]:
    """A caller as JSON: everything verified of it, and not its token."""
    match caller:
        case None:
            return {"level": "nobody"}
        case Pseudonym():
            return {"level": "key", "jwk": caller.key.jwk}
        case Server():
            return {"level": "server", "iss": caller.iss, "dwk": caller.dwk, "jwk": caller.key.jwk}
        case Agent():
            token: AgentToken | PersonToken | AuthToken = caller.proof
            more: dict[str, Any] = {"ps": caller.ps, "parent_agent": caller.parent_agent}
            return {"level": "agent", **_common(token), **{k: v for k, v in more.items() if v is not None}}
        case Person() | Grant():
            token = caller.proof
            kept = {
                "level": "grant" if isinstance(caller, Grant) else "person",
                **_common(token),
                "aud": token.aud,
                "ps": token.ps,
                "mission_s256": token.mission_s256,
                "tenant": token.tenant,
            }
            if isinstance(caller, Grant):
                kept |= {"scope": format_scope(caller.scope), "account": caller.account}
            return {name: value for name, value in kept.items() if value is not None}
    raise TypeError(f"a {type(caller).__name__} is not passed on")


def _common(token: AgentToken | PersonToken | AuthToken) -> dict[str, Any]:
    return {
        "iss": token.iss,
        "dwk": token.dwk,
        "sub": token.sub,
        "jti": token.jti,
        "iat": token.iat,
        "exp": token.exp,
        "kid": token.kid,
        "jwk": token.cnf.jwk,
    }


def caller_of(facts: Mapping[str, Any]) -> Caller | None:
    """The inverse of `facts_of`. Raises `KeyError`, `TypeError`, `ValueError` for what it never made."""
    level = facts["level"]
    if level == "nobody":
        return None
    key = parse_jwk(facts["jwk"])
    if level == "key":
        return Pseudonym(key)
    if level == "server":
        return Server(str(facts["iss"]), str(facts["dwk"]), key)
    common: dict[str, Any] = {name: facts[name] for name in ("iss", "dwk", "jti", "iat", "exp", "kid", "sub")}
    common |= {"raw": "", "jwt": Jwt(Jws({}, b"", b"", b""), dict(facts)), "cnf": key}
    if level == "agent":
        return Agent(AgentToken(**common, ps=facts.get("ps"), parent_agent=facts.get("parent_agent")))
    further = {"aud": facts["aud"], "mission_s256": facts.get("mission_s256"), "tenant": facts.get("tenant")}
    if level == "person":
        return Person(PersonToken(**common, **further))
    if level != "grant":
        raise ValueError(f"there is no level {level!r}")
    scope, account = parse_scope(facts.get("scope", "")), facts.get("account")
    return Grant(AuthToken(**common, **further, ps=facts["ps"], scope=scope, account=account))


__all__ = [
    "HEADER",
    "LIFETIME",
    "PREFIX",
    "TYP",
    "Body",
    "Hop",
    "HopRejected",
    "caller_of",
    "check",
    "facts_of",
    "mint",
    "request_hash",
]
