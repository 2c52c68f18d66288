"""The Signature-Key field: which key verifies the signature, by scheme (Signature-Keys §3).

Four schemes are served: `jwt`, `jwks_uri`, `hwk` and `jkt-jwt`. Reading one gives a value that says what to look up;
nothing is fetched and nothing is trusted here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .httpsig import SignatureInput, signature_key_value
from .jose import (
    ALGORITHMS,
    BadSignature,
    JoseError,
    Jwt,
    KeyRejected,
    PublicKey,
    SigningKey,
    parse_jwk,
    parse_jwt,
    sign_jwt,
)
from .problems import SignatureFailure
from .structured import FieldError, Params, Token, parse_dictionary

SERVED_SCHEMES: Final = ("jwt", "jwks_uri", "hwk", "jkt-jwt")
JKT_TYP: Final = "jkt-s256+jwt"
JKT_PREFIX: Final = "urn:jkt:sha-256:"


@dataclass(frozen=True, slots=True)
class JwtKey:
    """`jwt`: the key is in the `cnf` of the token (Signature-Keys §3.8)."""

    jwt: Jwt
    raw: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JwksUriKey:
    """`jwks_uri`: the key is `kid` in the set that `{id}/.well-known/{dwk}` names (Signature-Keys §3.6)."""

    id: str
    dwk: str
    kid: str


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """`hwk`: the key stands in the field itself (Signature-Keys §3.4)."""

    key: PublicKey


@dataclass(frozen=True, slots=True)
class DelegatedKey:
    """`jkt-jwt`: a durable key delegates to this one (Signature-Keys §3.5). Verified already, but for the time."""

    durable: PublicKey
    key: PublicKey
    iat: int
    exp: int


Presented = JwtKey | JwksUriKey | HeaderKey | DelegatedKey


@dataclass(frozen=True, slots=True)
class SchemeMember:
    """A member of Signature-Key before its scheme is read."""

    label: str
    scheme: str
    params: Params = field(repr=False)


def parse_signature_key(values: Sequence[str]) -> dict[str, SchemeMember]:
    """Every member of `Signature-Key` that names a scheme. Raises `SignatureFailure`, also on any duplicate."""
    try:
        members = parse_dictionary(values, duplicates=False)
    except FieldError as error:
        raise SignatureFailure("invalid_signature", f"Signature-Key: {error}") from error
    return {
        label: SchemeMember(label, str(value), params)
        for label, (value, params) in members.items()
        if isinstance(value, Token)
    }


def select_label(
    inputs: Mapping[str, SignatureInput],
    signatures: Mapping[str, bytes],
    members: Mapping[str, SchemeMember],
    accepted: Sequence[str],
) -> str:
    """The signature to verify: the first in Signature-Input that all three fields have under an accepted scheme.

    Where none has an accepted scheme it is the first of all, so that its faults are named in the order of the draft.
    draft-11 §11.3.4 step 4; Signature-Keys §3: members and labels besides it are ignored.
    """
    shared = [label for label in inputs if label in signatures and label in members]
    if not shared:
        raise SignatureFailure(
            "invalid_signature", "no label stands in all of Signature-Input, Signature and Signature-Key"
        )
    return next((label for label in shared if members[label].scheme in accepted), shared[0])


def check_scheme(member: SchemeMember, accepted: Sequence[str]) -> None:
    """Return if this endpoint takes the scheme; raise `unsupported_scheme` otherwise (Signature-Keys §5.4.2)."""
    if member.scheme not in accepted or member.scheme not in SERVED_SCHEMES:
        raise SignatureFailure(
            "unsupported_scheme", f"the scheme {member.scheme[:32]!r} is not taken here", accept_schemes=accepted
        )


def _string(params: Mapping[str, Any], name: str, code: Any = "invalid_key") -> str:
    value = params.get(name)
    if type(value) is not str or not value or len(value) > 16 * 1024:
        raise SignatureFailure(code, f"Signature-Key: the parameter {name} is missing or not a string")
    return value


def _read_jwt(params: Params) -> JwtKey:
    raw = _string(params, "jwt", "invalid_jwt")
    try:
        return JwtKey(parse_jwt(raw), raw)
    except JoseError as error:
        raise SignatureFailure("invalid_jwt", str(error)) from error


def _read_jwks_uri(params: Params) -> JwksUriKey:
    return JwksUriKey(_string(params, "id"), _string(params, "dwk"), _string(params, "kid"))


def _read_hwk(params: Params) -> HeaderKey:
    if "kid" in params:
        raise SignatureFailure("invalid_key", "hwk: kid must not stand beside an inline key")
    try:
        return HeaderKey(parse_jwk({name: value for name, value in params.items() if type(value) is str}))
    except KeyRejected as error:
        raise key_failure(error) from error


def _read_jkt_jwt(params: Params) -> DelegatedKey:
    raw = _string(params, "jwt", "invalid_jwt")
    try:
        jwt = parse_jwt(raw)
        return verify_delegation(jwt)
    except KeyRejected as error:
        raise key_failure(error) from error
    except (JoseError, BadSignature) as error:
        raise SignatureFailure("invalid_jwt", str(error)) from error


def verify_delegation(jwt: Jwt) -> DelegatedKey:
    """A `jkt-s256+jwt`, Signature-Keys §3.5 steps 2 to 8 and 10; the times are for the caller, who knows the clock."""
    if jwt.header.get("typ") != JKT_TYP:
        raise JoseError(f"the typ is not {JKT_TYP}")
    durable = parse_jwk(jwt.header.get("jwk"))
    if jwt.claims.get("iss") != JKT_PREFIX + durable.thumbprint:
        raise JoseError("iss is not the thumbprint of the key in the header")
    jwt.jws.verify(durable)
    iat, exp, cnf = jwt.claims.get("iat"), jwt.claims.get("exp"), jwt.claims.get("cnf")
    if type(iat) is not int or type(exp) is not int or not isinstance(cnf, Mapping):
        raise JoseError("iat, exp or cnf is missing or of the wrong type")
    return DelegatedKey(durable, parse_jwk(cnf.get("jwk")), iat, exp)


_READERS: Final[Mapping[str, Callable[[Params], Presented]]] = {
    "jwt": _read_jwt,
    "jwks_uri": _read_jwks_uri,
    "hwk": _read_hwk,
    "jkt-jwt": _read_jkt_jwt,
}


def read_member(member: SchemeMember) -> Presented:
    """What the selected member presents. Raises `SignatureFailure`."""
    check_scheme(member, SERVED_SCHEMES)
    return _READERS[member.scheme](member.params)


def key_failure(error: KeyRejected) -> SignatureFailure:
    """A refused key as the error that draft-11 §11.3.4 steps 5 and 6 want."""
    if error.code == "unsupported_algorithm":
        return SignatureFailure(error.code, str(error), accept_algs=ALGORITHMS)
    return SignatureFailure(error.code, str(error))


def jwt_header(token: str, label: str = "sig") -> str:
    """`Signature-Key` presenting a token that carries the signing key in `cnf`."""
    return signature_key_value("jwt", {"jwt": token}, label)


def jwks_uri_header(issuer: str, dwk: str, kid: str, label: str = "sig") -> str:
    """`Signature-Key` of a server that signs in its own name (draft-11 §11.3.2)."""
    return signature_key_value("jwks_uri", {"id": issuer, "dwk": dwk, "kid": kid}, label)


def hwk_header(key: PublicKey, label: str = "sig") -> str:
    """`Signature-Key` with the bare public key."""
    return signature_key_value("hwk", {k: v for k, v in key.jwk.items() if k != "kid"}, label)


def jkt_jwt_header(durable: SigningKey, key: PublicKey, *, iat: int, exp: int, label: str = "sig") -> str:
    """`Signature-Key` in which `durable` delegates to `key` until `exp`."""

    def plain(public: PublicKey) -> dict[str, str]:
        return {name: value for name, value in public.jwk.items() if name != "kid"}

    claims = {"iss": JKT_PREFIX + durable.kid, "iat": iat, "exp": exp, "cnf": {"jwk": plain(key)}}
    token = sign_jwt(durable, {"typ": JKT_TYP, "jwk": plain(durable.public)}, claims)
    return signature_key_value("jkt-jwt", {"jwt": token}, label)
