"""Making the four tokens. Every lifetime rule of the draft is kept here, whoever calls.

draft-11 §5.3.1, §7.1.2, §6.7.1, §9.4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .identifiers import format_scope
from .jose import PublicKey, SigningKey, sign_jwt
from .tokens import (
    ACCESS_DWK,
    AGENT_DWK,
    AGENT_TYP,
    AUTH_TYP,
    HOUR,
    MAX_AGENT_LIFETIME,
    MAX_RESOURCE_LIFETIME,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_DWK,
    RESOURCE_TYP,
)

_LONGEST: Final = {
    AGENT_TYP: MAX_AGENT_LIFETIME,
    PERSON_TYP: HOUR,
    RESOURCE_TYP: MAX_RESOURCE_LIFETIME,
    AUTH_TYP: HOUR,
}


def _mint(key: SigningKey, typ: str, claims: Mapping[str, Any]) -> str:
    lifetime = claims["exp"] - claims["iat"]
    if not 0 < lifetime <= _LONGEST[typ]:
        raise ValueError(f"a token of type {typ} lives 1 to {_LONGEST[typ]} s, not {lifetime}")
    present = {name: value for name, value in claims.items() if value is not None}
    return sign_jwt(key, {"typ": typ, "kid": key.kid}, present)


def _cnf(key: PublicKey) -> dict[str, Any]:
    return {"jwk": {name: value for name, value in key.jwk.items() if name != "kid"}}


def mint_agent_token(
    key: SigningKey,
    *,
    iss: str,
    sub: str,
    cnf: PublicKey,
    jti: str,
    iat: int,
    exp: int,
    ps: str | None = None,
    parent_agent: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """An agent token by its provider (draft-11 §5.3.1); `extra` adds claims and replaces none."""
    claims = {**(extra or {}), "iss": iss, "dwk": AGENT_DWK, "sub": sub, "cnf": _cnf(cnf), "jti": jti, "iat": iat}
    return _mint(key, AGENT_TYP, {**claims, "exp": exp, "ps": ps, "parent_agent": parent_agent})


def mint_person_token(
    key: SigningKey,
    *,
    iss: str,
    aud: str,
    sub: str,
    cnf: PublicKey,
    jti: str,
    iat: int,
    exp: int,
    mission_s256: str | None = None,
    tenant: str | None = None,
) -> str:
    """A person token by a person server (draft-11 §7.1.2)."""
    claims = {"iss": iss, "dwk": PERSON_DWK, "aud": aud, "sub": sub, "cnf": _cnf(cnf), "jti": jti, "iat": iat}
    return _mint(key, PERSON_TYP, {**claims, "exp": exp, "mission_s256": mission_s256, "tenant": tenant})


def mint_resource_token(
    key: SigningKey,
    *,
    iss: str,
    aud: str,
    ps: str,
    sub: str,
    presented_jti: str,
    agent_jkt: str,
    jti: str,
    iat: int,
    exp: int,
    scope: frozenset[str] = frozenset(),
    account: str | None = None,
    login_hint: str | None = None,
    mission_s256: str | None = None,
    tenant: str | None = None,
    interaction: Mapping[str, str] | None = None,
) -> str:
    """A resource token (draft-11 §6.7.1). It carries no agent identifier and no `cnf`."""
    claims = {
        "iss": iss,
        "dwk": RESOURCE_DWK,
        "aud": aud,
        "ps": ps,
        "sub": sub,
        "presented_jti": presented_jti,
        "agent_jkt": agent_jkt,
        "scope": format_scope(scope) if scope else None,
        "account": account,
        "login_hint": login_hint,
        "mission_s256": mission_s256,
        "tenant": tenant,
        "interaction": interaction,
        "jti": jti,
        "iat": iat,
        "exp": exp,
    }
    return _mint(key, RESOURCE_TYP, claims)


def mint_auth_token(
    key: SigningKey,
    *,
    iss: str,
    dwk: str,
    aud: str,
    ps: str,
    sub: str,
    cnf: PublicKey,
    jti: str,
    iat: int,
    exp: int,
    scope: frozenset[str] = frozenset(),
    account: str | None = None,
    mission_s256: str | None = None,
    tenant: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """An auth token (draft-11 §9.4.1): no agent identifier, no delegation chain; `extra` adds identity claims.

    Raises `ValueError` for a `dwk` that issues none, and for a person server other than the one that issues it.
    """
    if dwk not in (PERSON_DWK, ACCESS_DWK) or (dwk == PERSON_DWK and ps != iss):
        raise ValueError("an auth token is issued by an access server, or by the person server that it names")
    if extra and {"agent", "act"} & extra.keys():
        raise ValueError("an auth token carries neither agent nor act (draft-11 §9.4.1)")
    claims = {
        **(extra or {}),
        "iss": iss,
        "dwk": dwk,
        "aud": aud,
        "ps": ps,
        "sub": sub,
        "cnf": _cnf(cnf),
        "scope": format_scope(scope) if scope else None,
        "account": account,
        "mission_s256": mission_s256,
        "tenant": tenant,
        "jti": jti,
        "iat": iat,
        "exp": exp,
    }
    return _mint(key, AUTH_TYP, claims)
