"""Which key a request presents, and what is wrong with how it presents it (draft-11 §11.3.4 steps 4 to 6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.identifiers import is_server_identifier
from ..protocol.jose import ALGORITHMS, JoseError, Jwt, PublicKey, parse_jwk, parse_jwt
from ..protocol.problems import SignatureFailure
from ..protocol.signature_key import (
    SERVED_SCHEMES,
    DelegatedKey,
    HeaderKey,
    JwksUriKey,
    SchemeMember,
    parse_signature_key,
    read_member,
)
from ..protocol.tokens import AuthToken, PersonToken, Token, TokenRejected, check_lifetime, read_token
from .belief import Belief
from .causes import Cause, cause
from .dialects import Older, lenient_key, older_request, older_token, translated
from .wording import lasting, moment, plain, shortened

MISTAKEN_TYPES: Final = {"aa-resource+jwt": "a resource token is taken to the person server in a body, never presented"}


@dataclass
class Held:
    """The key that is presented: `key` is `None` where it cannot be had from the request."""

    key: PublicKey | None = None
    causes: list[Cause] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    others: list[tuple[PublicKey, str]] = field(default_factory=list)
    """Further public keys that stand in the request, and what each is."""
    names: set[str] = field(default_factory=set)
    unchecked: list[str] = field(default_factory=list)


def members_of(values: Sequence[str]) -> tuple[dict[str, SchemeMember], Cause | None]:
    """The members of Signature-Key, read in an older form if need be, and what is wrong with the form."""
    today = translated(values)
    problem: Cause | None = None
    try:
        members = parse_signature_key(values)
        if members and list(values) == today:
            return members, None
    except SignatureFailure as failure:
        problem = cause("syntax", plain(shortened(failure.detail or "")), section="Signature-Keys §3")
    try:
        return parse_signature_key(today), problem
    except SignatureFailure:
        return {}, problem


def older_cause(older: Older) -> Cause:
    """Something said in an older form, as a cause."""
    return cause("dialect", older.said, mend=f"In -11: {older.instead}.", code=older.code, section="draft-11 §11.3")


def dialect_of(headers: Sequence[tuple[str, str]]) -> list[Older]:
    """What the fields of a request say in an older form."""
    return list(older_request(tuple(headers)))


def hold(member: SchemeMember, belief: Belief, keys: Sequence[PublicKey], resolved: PublicKey | None) -> Held:
    """The key that `member` presents. `keys` are at hand besides; `resolved` is what the verifier looked up."""
    held = Held()
    held.facts.append(("scheme", plain(member.scheme[:32])))
    if member.scheme not in belief.schemes or member.scheme not in SERVED_SCHEMES:
        served = ", ".join(belief.schemes)
        what = f"the scheme {plain(member.scheme[:32])!r} is not taken here, which takes {served}"
        held.causes.append(cause("scheme", what, code="unsupported_scheme", section="draft-11 §11.3.4 step 4"))
    raw = member.params.get("jwt")
    if member.scheme in ("jwt", "jkt-jwt") and isinstance(raw, str):
        _token(held, member, raw, belief)
    elif member.scheme == "jwks_uri":
        _published(held, member, belief, keys, resolved)
    elif member.scheme in SERVED_SCHEMES:
        _inline(held, member)
    held.key = resolved or held.key
    if held.key is not None:
        held.names.add(held.key.thumbprint)
        held.facts.append(("key", f"{held.key.alg}, thumbprint {held.key.thumbprint}"))
    return held


def _inline(held: Held, member: SchemeMember) -> None:
    try:
        presented = read_member(member)
        if isinstance(presented, HeaderKey):
            held.key = presented.key
    except SignatureFailure as failure:
        held.key = lenient_key(member.params)
        held.causes.append(
            refused(failure, "key.algorithm" if failure.code == "unsupported_algorithm" else "key.invalid")
        )


def refused(failure: SignatureFailure, name: str) -> Cause:
    """A refusal of the protocol room as a cause."""
    what = plain(shortened(failure.detail or failure.row.meaning))
    return cause(name, what, code=failure.code, section="draft-11 §11.3.4 steps 5 and 6")


def _published(
    held: Held, member: SchemeMember, belief: Belief, keys: Sequence[PublicKey], resolved: PublicKey | None
) -> None:
    try:
        presented = read_member(member)
    except SignatureFailure as failure:
        held.causes.append(refused(failure, "key.invalid"))
        return
    assert isinstance(presented, JwksUriKey)
    held.facts += [("signer", plain(presented.id)), ("dwk", plain(presented.dwk)), ("kid", plain(presented.kid))]
    held.names.add(presented.kid)
    if not is_server_identifier(presented.id, belief.loopback):
        what = f"id is {plain(shortened(presented.id))!r}, which is no server identifier (draft-11 §11.1.1)"
        held.causes.append(cause("key.invalid", what, code="invalid_key", section="draft-11 §11.3.2"))
    held.key = resolved or next((key for key in keys if presented.kid in (key.kid, key.thumbprint)), None)
    if held.key is None:
        what = f"the key {plain(presented.kid[:64])} stands at {plain(presented.id)}/.well-known/{plain(presented.dwk)}"
        held.unchecked.append(f"the signature: {what}, and nothing is fetched here; give it with --keys FILE")


def _token(held: Held, member: SchemeMember, raw: str, belief: Belief) -> None:
    try:
        jwt = parse_jwt(raw)
    except JoseError as error:
        what = f"the token is malformed: {plain(str(error))}"
        held.causes.append(cause("token.malformed", what, code="invalid_jwt", section="draft-11 §11.5.1"))
        return
    held.facts += list(_facts(jwt))
    olders = list(older_token(jwt.header, jwt.claims))
    held.causes += [older_cause(older) for older in olders if older.fatal]
    held.key = _bound(jwt)
    if isinstance(jwt.header.get("jwk"), Mapping):
        durable = lenient_key(jwt.header["jwk"])
        if durable is not None:
            held.others.append((durable, "the durable key that delegates, in the token's header"))
    if member.scheme == "jkt-jwt":
        _delegation(held, member, belief)
    elif not any(older.fatal for older in olders):
        _claims(held, raw, jwt, belief)
    if held.key is not None:
        held.names |= {held.key.kid} if held.key.kid else set()


def _bound(jwt: Jwt) -> PublicKey | None:
    cnf = jwt.claims.get("cnf")
    jwk = cnf.get("jwk") if isinstance(cnf, Mapping) else None
    try:
        return parse_jwk(jwk)
    except JoseError:
        return lenient_key(jwk)


def _facts(jwt: Jwt) -> Iterator[tuple[str, str]]:
    yield "token", plain(str(jwt.header.get("typ"))[:40])
    for name in ("iss", "sub", "aud", "jti"):
        value = jwt.claims.get(name)
        if isinstance(value, str):
            yield f"token {name}", plain(shortened(value, 80))
    exp: Any = jwt.claims.get("exp")
    if type(exp) is int:
        yield "token exp", moment(exp)


def _delegation(held: Held, member: SchemeMember, belief: Belief) -> None:
    try:
        presented = read_member(member)
    except SignatureFailure as failure:
        held.causes.append(refused(failure, "token.malformed"))
        return
    assert isinstance(presented, DelegatedKey)
    held.key = presented.key
    if belief.now is not None and presented.exp <= belief.now:
        what = f"the delegation expired {lasting(belief.now - presented.exp)} before the server's clock"
        held.causes.append(cause("token.expired", what, code="expired_jwt", section="Signature-Keys §3.5"))
    elif belief.now is not None and presented.iat > belief.now + belief.window:
        what = f"the delegation was issued {lasting(presented.iat - belief.now)} ahead of the server's clock"
        held.causes.append(cause("token.ahead", what, code="clock_skew", section="Signature-Keys §3.5"))


def _claims(held: Held, raw: str, jwt: Jwt, belief: Belief) -> None:
    """Claims, audience and lifetime, in the order of the verifier (draft-11 §11.3.4 step 5)."""
    typ = str(jwt.header.get("typ"))
    signed_with = jwt.header.get("alg")
    if signed_with not in ALGORITHMS:
        what = f"the token's header says alg {plain(str(signed_with)[:32])!r}, which is not served"
        held.causes.append(cause("token.malformed", what, code="invalid_jwt", section="draft-11 §11.5.1"))
    try:
        token = read_token(raw, belief.token_types - MISTAKEN_TYPES.keys(), loopback=belief.loopback, jwt=jwt)
    except TokenRejected as error:
        wrong_type = typ not in belief.token_types - MISTAKEN_TYPES.keys()
        name = "token.type" if wrong_type else "key.algorithm" if error.key_code else "token.malformed"
        hint = f"; {MISTAKEN_TYPES[typ]}" if typ in MISTAKEN_TYPES else ""
        what = f"{plain(shortened(str(error)))}{hint}"
        held.causes.append(cause(name, what, code=error.key_code or "invalid_jwt", section="draft-11 §11.5.2"))
        return
    held.causes += _audience(token, belief)
    if belief.now is not None:
        held.causes += _lifetime(token, belief.now, belief.window)
    held.unchecked.append(f"whether {token.iss} signed the token, is trusted by the server, and has not revoked it")


def _audience(token: Token, belief: Belief) -> Iterator[Cause]:
    if not isinstance(token, PersonToken | AuthToken):
        return
    own = belief.identifier or f"{belief.scheme}://{belief.authority}"
    if token.aud != own:
        what = f"the token is for {plain(token.aud)}; this server is {plain(own)}"
        yield cause("token.audience", what, code="invalid_jwt", section="draft-11 §7.1.4 step 1, §9.4.3.2 step 2")


def _lifetime(token: Token, now: float, window: int) -> Iterator[Cause]:
    try:
        check_lifetime(token, now, window=window)
    except TokenRejected as error:
        if error.kind == "expired":
            what = f"the token expired {lasting(now - token.exp)} before the server's clock ({moment(token.exp)})"
            yield cause("token.expired", what, code="expired_jwt", section="draft-11 §11.5.2")
        elif error.kind == "skew":
            what = f"the token was issued {lasting(token.iat - now)} ahead of the server's clock"
            yield cause("token.ahead", what, code="clock_skew", section="draft-11 §11.5.2")
        else:
            yield cause("token.malformed", plain(str(error)), code="invalid_jwt", section="draft-11 §11.5.2")
