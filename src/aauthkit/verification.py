"""The one way in: a signed request becomes a `Caller`, or exactly one wire error (draft-11 §11.3.4).

`Verifier.verify_now` walks the draft's steps in order as a plain function that never waits: a warm request needs
nothing else, from asynchronous or synchronous code. Where a key has to be fetched it raises `KeyNeeded`;
`Verifier.verify` is the same walk with the fetch in between.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .assertions import Assertion, Assertions
from .callers import Agent, Caller, Delegate, Grant, Person, Pseudonym, Server
from .discovery import Discovery, DiscoveryFailed
from .protocol.components import ComponentError
from .protocol.evidence import Evidence
from .protocol.httpsig import (
    BASE_COMPONENTS,
    BODY_COMPONENTS,
    DigestCheck,
    DigestMismatch,
    SignatureInput,
    SignatureSyntaxError,
    known_mistake,
    parse_signature_input,
    parse_signatures,
    signature_base,
)
from .protocol.identifiers import NO_LOOPBACK, InvalidIdentifier, LoopbackProfile, check_server_identifier
from .protocol.jose import ALGORITHMS, BadSignature, Jwt, PublicKey
from .protocol.messages import SignedRequest
from .protocol.plain_form import QUERY_COMPONENTS, PlainSignature, plainly_covered, read_plain
from .protocol.problems import SignatureCode, SignatureFailure
from .protocol.signature_key import (
    DelegatedKey,
    HeaderKey,
    JwksUriKey,
    JwtKey,
    Presented,
    SchemeMember,
    check_scheme,
    parse_signature_key,
    read_member,
    select_label,
)
from .protocol.tokens import (
    DEFAULT_CEILINGS,
    SIGNATURE_WINDOW,
    AuthToken,
    Ceilings,
    PersonToken,
    ResourceToken,
    Token,
    TokenRejected,
    check_lifetime,
    read_token,
)
from .replay import ReplayCache
from .trust import Trust

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_SIGNATURE_FIELDS: Final = ("signature", "signature-input", "signature-key")


@dataclass(frozen=True, slots=True)
class Accepts:
    """What one endpoint takes. There are no defaults for schemes and token types: each endpoint says its own.

    `body`: a body needs `content-digest` and `content-type` covered. `query`: a query needs to be covered.
    `components`: what must be covered besides.
    """

    schemes: tuple[str, ...]
    token_types: frozenset[str] = frozenset()
    dwks: frozenset[str] = frozenset()
    body: bool = True
    query: bool = True
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose signature holds: who sent it, under which key, and what the signature covers."""

    caller: Caller
    key: PublicKey
    covered: frozenset[str]
    created: int
    request: SignedRequest = field(repr=False)
    base: bytes = field(repr=False)

    def digest(self) -> DigestCheck | None:
        """The check that the body must pass, where a digest is covered; raises 401 if the field is malformed."""
        if "content-digest" not in self.covered:
            return None
        try:
            return DigestCheck(self.request.values("content-digest"))
        except DigestMismatch as error:
            raise SignatureFailure("invalid_signature", str(error)) from error


class _Failed(NamedTuple):
    """A signature that is not this key's over this base."""

    key: PublicKey
    base: bytes
    signature: bytes
    error: BadSignature


class KeyNeeded(Exception):
    """The walk stops until this key has been looked up. `failed` is the cached key under which a signature failed."""

    def __init__(self, iss: str, dwk: str, kid: str, failed: PublicKey | None = None) -> None:
        super().__init__(f"key {kid} of {iss}")
        self.iss, self.dwk, self.kid, self.failed = iss, dwk, kid, failed

    @property
    def name(self) -> tuple[str, str, str]:
        """Issuer, document and key identifier."""
        return (self.iss, self.dwk, self.kid)


Fetched = Mapping[tuple[str, str, str], PublicKey]
_NOTHING: Final[Fetched] = {}


def never_revoked(_iss: str, _jti: str) -> bool:
    """For a party that no revocation reaches (draft-11 §11.12.5)."""
    return False


class Verifier:
    """Verifies requests to one server, whose identifier is configured and never learned from a request.

    - `identifier`: the server's own; its authority is what every signature must have been made for.
    - `trust`: which issuers count, by role; an issuer outside it is refused before any fetch.
    - `is_revoked`: asked with `(iss, jti)` for every token, also a remembered one.
    """

    def __init__(
        self,
        identifier: str,
        *,
        discovery: Discovery,
        trust: Trust,
        loopback: LoopbackProfile = NO_LOOPBACK,
        window: int = SIGNATURE_WINDOW,
        ceilings: Ceilings = DEFAULT_CEILINGS,
        replay: ReplayCache | None = None,
        replay_methods: Callable[[str], bool] = lambda method: method not in SAFE_METHODS,
        is_revoked: Callable[[str, str], bool] = never_revoked,
        accept_base64url: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.identifier = check_server_identifier(identifier, loopback)
        self.discovery = discovery
        self.trust = trust
        self.loopback = loopback
        self.window = window
        self.ceilings = ceilings
        self.replay = replay if replay is not None else ReplayCache()
        self.replay_methods = replay_methods
        self.is_revoked = is_revoked
        self.accept_base64url = accept_base64url
        self.clock = clock
        self._assertions = Assertions()

    async def verify(self, request: SignedRequest, accepts: Accepts) -> Verified:
        """Who sent `request`. Raises `SignatureFailure`; waits only where an issuer's key must be fetched."""
        fetched: dict[tuple[str, str, str], PublicKey] = {}
        while True:
            try:
                return self.verify_now(request, accepts, fetched)
            except KeyNeeded as need:
                if need.name in fetched:
                    raise AssertionError("a key was looked up twice in one walk") from need
                try:
                    fetched[need.name] = await self.discovery.key(*need.name, failed=need.failed)
                except DiscoveryFailed as error:
                    failure = _discovery_failure(error)
                    failure.evidence = self._evidence(request, accepts, self.clock())
                    raise failure from error

    def verify_now(self, request: SignedRequest, accepts: Accepts, fetched: Fetched = _NOTHING) -> Verified:
        """The walk of draft-11 §11.3.4. Raises `SignatureFailure`, or `KeyNeeded` where it would have to wait."""
        now = self.clock()
        plain = read_plain(request)
        try:
            verified = None if plain is None else self._verify_plain(plain, request, accepts, now, fetched)
            if isinstance(verified, Verified):
                return verified
            return self._walk(request, accepts, now, fetched, verified)
        except SignatureFailure as failure:
            failure.evidence = failure.evidence or self._evidence(request, accepts, now)
            raise

    def _evidence(self, request: SignedRequest, accepts: Accepts, now: float, key: PublicKey | None = None) -> Evidence:
        """What was in hand when a request was refused, for whoever explains it; `key` did not verify the signature."""
        return Evidence(
            request,
            self.identifier,
            now,
            window=self.window,
            schemes=accepts.schemes,
            token_types=accepts.token_types,
            components=accepts.components,
            body=accepts.body,
            query=accepts.query,
            accept_base64url=self.accept_base64url,
            loopback=self.loopback,
            key=key,
        )

    def _verify_plain(
        self, plain: PlainSignature, request: SignedRequest, accepts: Accepts, now: float, fetched: Fetched
    ) -> Verified | _Failed | None:
        """`_walk` for a request in plain form, step by step; no `Verified` as soon as a step is not plainly passed.

        Nothing is refused here: `_walk` then decides, and says why. So this way in may cost time, but it cannot refuse
        what `_walk` accepts; and no step is left out on it. A signature that failed is not tried twice.
        """
        # Step 1 is `read_plain`; steps 2 to 4:
        if not (
            plainly_covered(plain, request.target, body=accepts.body, query=accepts.query)
            and plain.cover.names.issuperset(accepts.components)
            and not plain.created < now - self.window
            and not plain.created > now + self.window
            and "jwt" in accepts.schemes
        ):
            return None
        try:
            # Steps 5 and 6; and what `plain` holds is a token, or this would have failed.
            caller = self._resolve_token(plain.token, accepts, now, fetched)
        except SignatureFailure:
            return None
        key = caller.key
        # Step 7.
        base = plain.base(request)
        if base is None:
            return None
        try:
            key.verify(base, plain.signature)
        except BadSignature as error:
            return _Failed(key, base, plain.signature, error)
        self._admit_once(request, key, base, plain.created, now)
        return Verified(caller, key, plain.cover.names, plain.created, request, base)

    def _walk(
        self, request: SignedRequest, accepts: Accepts, now: float, fetched: Fetched, failed: _Failed | None = None
    ) -> Verified:
        """Every step in full, for a request in any form; `failed` is a signature that was tried before."""
        # Step 1: all three fields, each in form; some of them is as bad as none.
        entry, signature, member = self._extract(request, accepts)
        # Step 2: what must be covered is.
        _check_coverage(request, entry, accepts)
        # Step 3: made now.
        created = self._check_freshness(entry, now)
        # Step 4: a scheme this endpoint takes.
        check_scheme(member, accepts.schemes)
        # Steps 5 and 6: the key, whose own alg is the algorithm.
        caller, key, kid = self._resolve(read_member(member), accepts, now, fetched)
        _check_keyid(entry, key, kid)
        # Step 7: the signature itself.
        try:
            base = signature_base(request, entry)
        except ComponentError as error:
            raise self._unverified(f"a covered component: {error}", request, accepts, now, key) from error
        try:
            if failed is not None and failed[:3] == (key, base, signature):
                raise failed.error
            key.verify(base, signature)
        except BadSignature as error:
            if isinstance(caller, Server):
                self._retry(caller.iss, caller.dwk, kid or key.thumbprint, key, fetched)
            cause = known_mistake(request, entry, key, signature)
            raise self._unverified(cause or str(error), request, accepts, now, key) from error
        self._admit_once(request, key, base, created, now)
        return Verified(caller, key, entry.bare_names, created, request, base)

    def _unverified(
        self, why: str, request: SignedRequest, accepts: Accepts, now: float, key: PublicKey
    ) -> SignatureFailure:
        """The refusal of a signature that does not verify under `key`, with what it takes to explain it."""
        failure = SignatureFailure("invalid_signature", why)
        failure.evidence = self._evidence(request, accepts, now, key)
        return failure

    def _admit_once(self, request: SignedRequest, key: PublicKey, base: bytes, created: int, now: float) -> None:
        """draft-11 §11.3.4.2: a request that changes something counts once."""
        if self.replay_methods(request.method):
            self.replay.admit(key.thumbprint, hashlib.sha256(base).digest(), created + self.window + 1, now)

    def _extract(self, request: SignedRequest, accepts: Accepts) -> tuple[SignatureInput, bytes, SchemeMember]:
        missing = [name for name in _SIGNATURE_FIELDS if not request.values(name)]
        if missing:
            raise SignatureFailure("invalid_signature", "the request lacks " + ", ".join(missing))
        if len(request.values("authorization")) > 1:
            raise SignatureFailure("invalid_signature", "the field authorization stands twice")
        try:
            inputs = parse_signature_input(request.values("signature-input"))
            signatures = parse_signatures(request.values("signature"), accept_base64url=self.accept_base64url)
        except SignatureSyntaxError as error:
            raise SignatureFailure("invalid_signature", str(error)) from error
        members = parse_signature_key(request.values("signature-key"))
        label = select_label(inputs, signatures, members, accepts.schemes)
        return inputs[label], signatures[label], members[label]

    def _check_freshness(self, entry: SignatureInput, now: float) -> int:
        """draft-11 §11.3.4 step 3 and §11.3.4.2."""
        try:
            created, expires = entry.integer("created"), entry.integer("expires")
            entry.text_of("nonce"), entry.text_of("keyid")
        except SignatureSyntaxError as error:
            raise SignatureFailure("invalid_signature", str(error)) from error
        if created is None:
            raise SignatureFailure("invalid_signature", "the signature has no created")
        if created < now - self.window:
            raise SignatureFailure("invalid_signature", f"created is more than {self.window} s ago")
        if created > now + self.window:
            raise SignatureFailure("clock_skew", f"created is more than {self.window} s ahead")
        if expires is not None and expires <= now:
            raise SignatureFailure("invalid_signature", "the signature has expired")
        return created

    def _resolve(
        self, presented: Presented, accepts: Accepts, now: float, fetched: Fetched
    ) -> tuple[Caller, PublicKey, str | None]:
        """draft-11 §11.3.4 step 5: the caller and the key, by scheme, with the name the scheme gave that key."""
        if isinstance(presented, JwtKey):
            caller = self._resolve_token(presented.raw, accepts, now, fetched, presented.jwt)
            return caller, caller.key, caller.key.kid
        if isinstance(presented, JwksUriKey):
            server = self._resolve_server(presented, accepts, fetched)
            return server, server.key, presented.kid
        if isinstance(presented, DelegatedKey):
            self._check_delegation(presented, now)
            return Delegate(presented.durable, presented.key), presented.key, presented.key.kid
        assert isinstance(presented, HeaderKey)
        return Pseudonym(presented.key), presented.key, None

    def _check_delegation(self, presented: DelegatedKey, now: float) -> None:
        if presented.exp <= now:
            raise SignatureFailure("expired_jwt", "the delegation has expired")
        if presented.iat > now + self.window:
            raise SignatureFailure("clock_skew", "the delegation was issued ahead of this clock")
        if presented.exp - presented.iat > self.ceilings.agent:
            raise SignatureFailure("invalid_jwt", "the delegation lives too long")

    def _resolve_server(self, presented: JwksUriKey, accepts: Accepts, fetched: Fetched) -> Server:
        try:
            check_server_identifier(presented.id, self.loopback)
        except InvalidIdentifier as error:
            raise SignatureFailure("invalid_key", f"id: {error}") from error
        if presented.dwk not in accepts.dwks:
            raise SignatureFailure("invalid_key", "dwk is not a document of a party that is served here")
        if not self.trust.admits_server(presented.id, presented.dwk):
            raise SignatureFailure("invalid_key", "the signer is not one that this server trusts")
        return Server(presented.id, presented.dwk, self._key(presented.id, presented.dwk, presented.kid, fetched))

    def _key(self, iss: str, dwk: str, kid: str, fetched: Fetched) -> PublicKey:
        key = fetched.get((iss, dwk, kid)) or self.discovery.cached_key(iss, dwk, kid)
        if key is None:
            raise KeyNeeded(iss, dwk, kid)
        return key

    def _retry(self, iss: str, dwk: str, kid: str, key: PublicKey, fetched: Fetched) -> None:
        """A signature failed under a cached key: ask for a refresh once (draft-11 §11.4, silent re-keying)."""
        if (iss, dwk, kid) not in fetched:
            raise KeyNeeded(iss, dwk, kid, failed=key)

    def _resolve_token(
        self, raw: str, accepts: Accepts, now: float, fetched: Fetched, jwt: Jwt | None = None
    ) -> Agent | Person | Grant:
        """Whom a token proves; `jwt` is the token taken apart, where that was done already."""
        known = self._assertions.find(raw)
        if known is not None and known.typ in accepts.token_types and known.begins <= now < known.ends:
            assertion = known
        else:
            try:
                assertion = self._examine(raw, known, accepts, now, fetched, jwt)
            except TokenRejected as error:
                raise _token_failure(error) from error
        token = assertion.token
        if self.is_revoked(token.iss, token.jti):
            self._assertions.forget(token.iss, token.jti)
            raise SignatureFailure("revoked_jwt", "the token was revoked by its issuer")
        if known is None:
            self._assertions.remember(assertion, now)
        return assertion.caller

    def _examine(
        self, raw: str, known: Assertion | None, accepts: Accepts, now: float, fetched: Fetched, jwt: Jwt | None
    ) -> Assertion:
        """Everything about a token but its revocation; a `known` one needs no second look at its issuer's signature."""
        if known is None:
            token = read_token(raw, accepts.token_types, loopback=self.loopback, jwt=jwt)
        else:
            token = known.token
            if known.typ not in accepts.token_types:
                raise TokenRejected("a token of this type has no place here")
        if isinstance(token, ResourceToken):
            raise TokenRejected("a token of this type has no place here")
        self.check_context(token)
        check_lifetime(token, now, ceilings=self.ceilings, window=self.window)
        if known is not None:
            return known
        self._verify_issuer(token, fetched)
        return Assertion.of(token)

    def check_context(self, token: Token) -> None:
        """A person or auth token is for this server alone (draft-11 §7.1.4 step 1, §9.4.3.2 step 2)."""
        if isinstance(token, PersonToken | AuthToken) and token.aud != self.identifier:
            raise TokenRejected("the token is for another resource")

    def _verify_issuer(self, token: Token, fetched: Fetched) -> None:
        if not self.trust.admits(token):
            raise SignatureFailure("invalid_key", "the token's issuer is not one that this server trusts")
        key = self._key(token.iss, token.dwk, token.kid, fetched)
        try:
            token.verify_signature(key)
        except TokenRejected:
            self._retry(token.iss, token.dwk, token.kid, key, fetched)
            raise

    def forget(self, iss: str, jti: str) -> None:
        """Drop a remembered token, when its revocation arrives."""
        self._assertions.forget(iss, jti)


def _required(request: SignedRequest, accepts: Accepts) -> list[str]:
    required = [*BASE_COMPONENTS, *accepts.components]
    if accepts.body and _has_body(request):
        required += BODY_COMPONENTS
    if any(value.split(" ", 1)[0].lower() == "aauth" for value in request.values("authorization")):
        required.append("authorization")  # draft-11 §6.3
    return list(dict.fromkeys(required))


def _has_body(request: SignedRequest) -> bool:
    declared = [value.strip() for value in request.values("content-length")]
    return bool(request.values("transfer-encoding")) or any(value != "0" for value in declared)


def _check_coverage(request: SignedRequest, entry: SignatureInput, accepts: Accepts) -> None:
    """draft-11 §11.3.4 step 2; a query that is present must be covered, so that none can be added or changed."""
    required = _required(request, accepts)
    missing = [name for name in required if name not in entry.bare_names]
    if accepts.query and request.query is not None and not entry.bare_names & QUERY_COMPONENTS:
        required.append("@query")
        missing.append("@query")
    if missing:
        raise SignatureFailure(
            "invalid_input", "the signature does not cover " + ", ".join(missing), required_input=required
        )


def _check_keyid(entry: SignatureInput, key: PublicKey, kid: str | None) -> None:
    """draft-11 §11.3.3.2: a `keyid` beside Signature-Key must name the same key."""
    keyid = entry.text_of("keyid")
    if keyid is not None and keyid not in {kid, key.thumbprint}:
        raise SignatureFailure("invalid_signature", "keyid names another key than Signature-Key")


_TOKEN_CODES: Final[Mapping[str, SignatureCode]] = {
    "expired": "expired_jwt",
    "skew": "clock_skew",
    "invalid": "invalid_jwt",
}


def _token_failure(error: TokenRejected) -> SignatureFailure:
    if error.key_code == "unsupported_algorithm":
        return SignatureFailure("unsupported_algorithm", str(error), accept_algs=ALGORITHMS)
    if error.key_code is not None:
        return SignatureFailure(error.key_code, str(error))
    return SignatureFailure(_TOKEN_CODES[error.kind], str(error))


def _discovery_failure(error: DiscoveryFailed) -> SignatureFailure:
    headers: Sequence[tuple[str, str]] = ()
    if error.unreachable:
        headers = [("retry-after", str(error.retry_after or 60))]
    algs = ALGORITHMS if error.code == "unsupported_algorithm" else None
    return SignatureFailure(error.code, error.reason, accept_algs=algs, headers=headers)
