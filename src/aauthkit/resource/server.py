"""The resource: what its routes may need, and whether a request has it (draft-11 §6, §7.1.4, §9.4.3)."""

from __future__ import annotations

import inspect
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import anyio.to_thread

from ..callbacks import CallbackError
from ..callers import Agent, Caller, Grant, Person, Session
from ..compatibility import OlderForm, read_by
from ..discovery import Discovery
from ..egress import Egress, Http
from ..keys import Keys
from ..outbound import Outbound
from ..protocol.headers import HeaderError, parse_authorization
from ..protocol.httpsig import BODY_COMPONENTS
from ..protocol.identifiers import check_server_identifier
from ..protocol.messages import Answer, Refusal
from ..protocol.problems import Problem, SignatureFailure
from ..protocol.signature_key import JwtKey, parse_signature_key, read_member
from ..protocol.tokens import AGENT_TYP, AUTH_TYP, PERSON_TYP, SIGNATURE_WINDOW
from ..refusals import REFUSALS
from ..replay import ReplayCache
from ..revocation import Outcome
from ..serving import Request, check_message
from ..trust import NOBODY, Issuers, Trust
from ..verification import Accepts, Verified, Verifier, never_revoked
from .admission import Admitted, admit
from .authorizing import AUTHORIZE, AccountsHook, Authorization, Mode
from .challenges import AuthTokenChallenge, Challenges, Deferral, revoked_auth_token, unsigned
from .declaring import Declaring
from .description import Description
from .endpoints import OwnPaths
from .interactions import Ask, AtOnce, Handlers, Page
from .memory import REVOKE, Memory, Settings, Store
from .needs import AccountHook, Need
from .sessions import SESSION_LIFETIME, Presented, SessionGrant, SessionRefused
from .withdrawing import withdraw

_SIGNATURE_FIELDS: Final = ("signature", "signature-input", "signature-key")
_TOKEN_TYPES: Final = frozenset({AGENT_TYP, PERSON_TYP, AUTH_TYP})
ENDPOINTS: Final = "/aauth"
"""Where a resource's own endpoints stand, unless it says otherwise."""


class MustWait(Exception):
    """`decide_now` cannot tell without waiting, for records or a start: `decide` can."""


class Resource(Declaring):
    """One API under one identifier.

    - `keys` sign resource tokens; without them no route can need a grant.
    - `scopes` are this resource's scope values with its own words for each, shown at consent (draft-11 §11.10).
    - `person_servers`, `agent_providers`: whose tokens count. There is no default: verified is not trusted, and
      anybody can run a person server (§13.7). `resources` may sign as servers, where a route says so.
    - `metadata` adds members to the document, such as `logo_uri`.
    - `access_mode` is what agents are told to begin with; by default the most that any route needs.
    - `egress`: what may be connected to; by default what the environment configures.
    - `path_prefix`: a path that a proxy strips, and with which signatures were made.
    - `account` turns a caller into the application's account before a route runs.
    - `signature_window`: seconds that a signature may lie off this clock.
    - `additional_signature_components` must be covered by every signature; `content-digest` and `content-type` among
      them wherever there is a body (§11.3.3.1). `require_query=False` lets a query go uncovered.
    - `older_forms`: what is read of peers that have not caught up, by name (`aauthkit.compatibility`).
    - `is_revoked` is asked with `(iss, jti)` for every token, beside the revocations that arrive here (§11.12).
    - `store`: a path, a URL or an open database for sessions, open questions, held calls and revocations. Without one
      there are only revocations, and they are forgotten when the process ends.
    - `authorization`: whether agents may ask before they call (§6.6), and what they get: a resource token, or a
      session. `accounts` says whether a person holds the account they name (§11.11).
    - `endpoints`: the path below which the resource's own endpoints stand. `session_lifetime` is in seconds.

    Raises `ValueError` or `TypeError` for a configuration that cannot be served.
    """

    _http: Http | None = None
    _handlers: Handlers | None = None

    def __init__(
        self,
        identifier: str,
        *,
        person_servers: Issuers,
        agent_providers: Issuers,
        resources: Issuers = NOBODY,
        keys: Keys | None = None,
        scopes: Mapping[str, str] | None = None,
        name: str | None = None,
        description: str | None = None,
        documentation_uri: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        access_mode: str | None = None,
        egress: Egress | None = None,
        discovery: Discovery | None = None,
        path_prefix: str = "",
        account: AccountHook | None = None,
        signature_window: int = SIGNATURE_WINDOW,
        additional_signature_components: Sequence[str] = (),
        require_query: bool = True,
        older_forms: Iterable[str] = (),
        replay: ReplayCache | None = None,
        is_revoked: Callable[[str, str], bool] = never_revoked,
        store: Store | None = None,
        authorization: Mode | None = None,
        accounts: AccountsHook | None = None,
        endpoints: str = ENDPOINTS,
        session_lifetime: int = SESSION_LIFETIME,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.egress = egress if egress is not None else Egress.from_environment()
        self.identifier = check_server_identifier(identifier, self.egress.loopback)
        self.path_prefix, self.scopes = _checked_path("path_prefix", path_prefix), dict(scopes or {})
        self._keys, self._account, self.remembers = keys, account, store is not None
        self._components = tuple(additional_signature_components)
        self._require_query, self._clock, self._is_revoked_too = require_query, clock, is_revoked
        given = {"name": name, "description": description, "documentation_uri": documentation_uri, **(metadata or {})}
        endpoints = _checked_path("endpoints", endpoints)
        authorizing = Authorization(self, authorization, accounts) if authorization is not None else None
        self.description = self._described(given, access_mode, signature_window, endpoints, authorizing)
        self._challenges = Challenges(identifier, keys, self.scopes, clock=clock, random_bytes=random_bytes)
        trust = self._trust(person_servers, agent_providers, resources)
        self._verifier = Verifier(
            identifier,
            discovery=discovery or self._own_discovery(),
            trust=trust,
            loopback=self.egress.loopback,
            window=signature_window,
            replay=replay,
            is_revoked=self._is_revoked,
            accept_base64url=OlderForm.BASE64URL_SIGNATURE in read_by(identifier, older_forms),
            clock=clock,
        )
        self._memory = Memory(
            store, self._settings(trust, endpoints, session_lifetime, random_bytes), self._verifier.discovery
        )
        self._paths = OwnPaths(self, endpoints, keys, authorizing)

    def _described(
        self, given: Mapping[str, Any], mode: str | None, window: int, path: str, authorizing: Authorization | None
    ) -> Description:
        outside = f"{self.identifier}{self.path_prefix}{path}"
        return Description(
            self.identifier,
            keys=self._keys,
            scopes=self.scopes,
            window=window,
            components=self._components,
            named=given,
            access_mode=mode,
            loopback=self.egress.loopback,
            authorization_endpoint=f"{outside}{AUTHORIZE}" if authorizing is not None else None,
            revocation_endpoint=f"{outside}{REVOKE}",
        )

    def _settings(
        self, trust: Trust, endpoints: str, session_lifetime: int, random_bytes: Callable[[int], bytes]
    ) -> Settings:
        return Settings(
            identifier=self.identifier,
            path=endpoints,
            outside=f"{self.path_prefix}{endpoints}",
            trust=trust,
            challenges=self._challenges,
            loopback=self.egress.loopback,
            window=self._verifier.window,
            accept_base64url=self._verifier.accept_base64url,
            session_lifetime=session_lifetime,
            clock=self._clock,
            random_bytes=random_bytes,
        )

    def _trust(self, person_servers: Issuers, agent_providers: Issuers, resources: Issuers) -> Trust:
        def checked(issuers: Issuers) -> Issuers:
            if isinstance(issuers, str):
                raise TypeError("issuers is a collection of identifiers, not one string")
            if not isinstance(issuers, Iterable):
                return issuers
            return frozenset(check_server_identifier(issuer, self.egress.loopback) for issuer in issuers)

        return Trust(
            person_servers=checked(person_servers),
            agent_providers=checked(agent_providers),
            resources=checked(resources),
        )

    def _own_discovery(self) -> Discovery:
        self._http = Http(self.egress)
        return Discovery(self._http, clock=self._clock)

    def _is_revoked(self, iss: str, jti: str) -> bool:
        revocations = self._memory.revocations
        assert revocations is not None, "start() comes first"
        return self._is_revoked_too(iss, jti) or revocations.is_revoked(iss, jti)

    # Its own authorization, and its life.

    def interaction(self, page: Page, *, at_once: AtOnce | None = None) -> Page:
        """The application's own page, where a person decides about a session (draft-11 §6.2); also as a decorator.

        `page` is given a `Visit` and says where to send the browser; the application ends the visit with `complete` or
        `decline`. `at_once` may grant a session without a person. Raises `ValueError` without a store, or after the
        start.
        """
        if not self.remembers or self._memory.started:
            raise ValueError("an interaction needs a store, and is named before the resource starts")
        self._handlers = Handlers(page, at_once)
        return page

    async def complete(self, visit: str, grant: SessionGrant) -> str:
        """A person agreed at the application's page: their agent gets a session. Gives where to send the browser.

        Raises `Problem` `not_found` for a visit that is none, `gone` after another decision.
        """
        self._check_grant(grant)
        return await (await self.remembering()).the_interactions.complete(visit, grant)

    async def decline(self, visit: str, error: CallbackError = "access_denied") -> str:
        """A visit ends without a session; `error` says why (draft-11 §7.3.1). As `complete` otherwise."""
        return await (await self.remembering()).the_interactions.decline(visit, error)

    async def open_session(self, caller: Caller, grant: SessionGrant) -> str:
        """A session for `caller`, whom the application knows: the value of an `AAuth-Access` field (draft-11 §6.3)."""
        self._check_grant(grant)
        return await (await self.remembering()).the_sessions.open_for(caller, grant)

    async def replace_session(self, session: Session, grant: SessionGrant) -> str:
        """A new value of `AAuth-Access` that grants this; the one before it is good for a minute (draft-11 §6.3)."""
        self._check_grant(grant)
        return await (await self.remembering()).the_sessions.replace(session, grant)

    async def end_session(self, session_id: str) -> None:
        """End a session: its token opens nothing any more."""
        await (await self.remembering()).the_sessions.end(session_id)

    def _check_grant(self, grant: SessionGrant) -> None:
        self._check_scopes(grant.scope)

    async def revoke_resource_token(self, resource_token: str) -> tuple[Outcome, ...]:
        """Withdraw a resource token of this resource's own, at everybody who might redeem it (draft-11 §11.12.4).

        Raises `ValueError` for a token that is not one of its own.
        """
        if self._keys is None:
            raise ValueError("a resource without keys issued no resource token")
        http = self._http or Http(self.egress)
        try:
            outbound = Outbound(http, clock=self._clock)
            return await withdraw(
                resource_token, self.identifier, self._keys, self._verifier.discovery, outbound, self.egress.loopback
            )
        finally:
            if http is not self._http:
                await http.aclose()

    @property
    def issues_tokens(self) -> bool:
        """Whether it has keys, and so can issue resource tokens."""
        return self._keys is not None

    @property
    def discovery(self) -> Discovery:
        """Where issuers' documents and keys come from."""
        return self._verifier.discovery

    async def start(self) -> None:
        """Open the store and read what is on record; whoever is asked first does it too. Raises `StoreError`."""
        if not self._memory.started:
            await self._memory.start(self._verifier.discovery, self._handlers)

    async def remembering(self) -> Memory:
        """What this resource remembers, opened."""
        await self.start()
        return self._memory

    async def close(self) -> None:
        """Close the store and the connections that this resource opened to issuers. It may be used again."""
        await self._memory.close()
        if self._http is not None:
            http, discovery = self._http, self._verifier.discovery
            self._verifier.discovery = self._own_discovery()
            await discovery.aclose()
            await http.aclose()

    # Whether a request has it.

    async def decide(self, request: Request, need: Need) -> Admitted:
        """Who sent `request`, if `need` admits them. Raises the `Refusal` to answer with; reads no body.

        `request.target` is as its sender wrote it, so with `path_prefix` where a proxy stripped that. Any other
        exception is a fault of this server or of the application's hook: answer 500, and run nothing.
        """
        verified = await self._verified(request, need)
        presented = await self._session(verified, need) if "session" in need.levels else None
        if presented is None:
            self._check_level(verified, need)
            return admit(verified, need, verified.caller, account=await self.account_of(verified.caller, need))
        account = await self.account_of(presented.session, need)
        return admit(verified, need, presented.session, account=account, session_token=presented.replacement)

    async def verify(self, request: Request, need: Need) -> Verified:
        """Who sent `request` to one of the resource's own endpoints; as `decide`, without the application's say."""
        verified = await self._verified(request, need)
        self._check_level(verified, need)
        return verified

    async def admit(self, verified: Verified, need: Need) -> Admitted:
        """Let in whoever sent a verified request, as one whom `need` serves. Raises `Problem` without an account."""
        return admit(verified, need, verified.caller, account=await self.account_of(verified.caller, need))

    def decide_now(self, request: Request, need: Need) -> Verified:
        """`decide` without waiting: raises `KeyNeeded` or `MustWait` where it would have to, for a key or a record.

        The account hook is not asked, since it may have to wait: whoever decides so asks `account_of` as well.
        """
        self._check(request, need)
        if not self._memory.started or "session" in need.levels:
            raise MustWait
        try:
            verified = self._verifier.verify_now(request.as_signed(self.identifier), self._accepts(need))
        except SignatureFailure as failure:
            raise _explained(failure, request, need) from failure
        _presented_token(request)
        self._check_level(verified, need)
        return verified

    async def _verified(self, request: Request, need: Need) -> Verified:
        self._check(request, need)
        await self.start()
        try:
            verified = await self._verifier.verify(request.as_signed(self.identifier), self._accepts(need))
        except SignatureFailure as failure:
            raise _explained(failure, request, need) from failure
        _presented_token(request)
        return verified

    async def _session(self, verified: Verified, need: Need) -> Presented | None:
        """The session a request has, or gets. `None`: the caller is looked at without one. Raises `Deferral`."""
        memory, caller = self._memory, verified.caller
        token = parse_authorization(verified.request.values("authorization"))
        held: Presented | None = None
        if token is not None:
            try:
                held = await memory.the_sessions.present(token, caller)
            except SessionRefused:
                held = None  # one that opens nothing for this caller is as good as none
        if held is not None and need.serves(held.session):
            return held
        if need.serves(caller) or need.asks != "session" or not isinstance(caller, Agent):
            return None
        if memory.interactions is None:
            return None
        scope = need.session_scope | (held.session.scope if held is not None else frozenset())
        asked = await memory.interactions.ask(Ask(caller, scope))
        if isinstance(asked, Answer):
            raise Deferral(asked)
        return asked if need.serves(asked.session) else None

    def _check(self, request: Request, need: Need) -> None:
        if need.resource != self.identifier:
            raise ValueError(f"this need is one of {need.resource}, not of {self.identifier}")
        if need.is_open:
            raise ValueError("an open route has nothing to decide")
        check_message(request)

    def requires_digest(self, need: Need) -> bool:
        """Whether a body must be covered here: the route says so, or the resource says it of every body."""
        return need.digest or any(name in BODY_COMPONENTS for name in (*self._components, *need.components))

    def _accepts(self, need: Need) -> Accepts:
        components = (*self._components, *need.components)
        return Accepts(
            schemes=need.schemes,
            token_types=_TOKEN_TYPES,
            dwks=need.roles,
            body=self.requires_digest(need),
            query=self._require_query,
            components=tuple(name for name in components if name not in BODY_COMPONENTS),
        )

    def _check_level(self, verified: Verified, need: Need) -> None:
        if need.serves(verified.caller):
            return
        refusal = self._challenges.for_caller(verified.caller, need)
        if isinstance(refusal, AuthTokenChallenge):
            refusal.verified = verified
        raise refusal

    def asks_for_accounts(self, need: Need) -> bool:
        """Whether a hook says which account a caller of this need has."""
        return (need.account or self._account) is not None

    async def account_of(self, caller: Caller, need: Need) -> Any:
        """The application's account for `caller`; `None` where there is no hook. Raises `Problem` for one it refuses.

        What else the hook raises is the application's own fault and passes as it is.
        """
        hook = need.account or self._account
        if hook is None:
            return None
        try:
            account = await _ask(hook, caller)
        except Problem:
            raise
        except Refusal as error:
            raise RuntimeError(
                "an account hook refuses with a Problem, never with an error of the signature"
            ) from error
        if account is None:
            raise Problem("access_denied", "this caller has no account here")
        return account

    def challenge(self, caller: Caller, need: Need, *, login_hint: str | None = None) -> Refusal:
        """What to raise inside a route that finds it needs more than it stated, as in a step-up (draft-11 §6.5).

        `login_hint` says who the authorization is for, where the route knows. A person server may ignore it, so the
        auth token's own claims decide (§6.7.1).
        """
        return self._challenges.for_caller(caller, need, login_hint=login_hint)

    def resource_token(self, caller: Person | Grant, scope: frozenset[str], account: str | None = None) -> str:
        """A resource token for whoever `caller` is (draft-11 §6.7.1). Raises `ValueError` for a foreign scope."""
        self._check_scopes(scope)
        return self._challenges.resource_token(caller, scope, account).raw

    # What it says of itself.

    def resource_link(self) -> tuple[str, str]:
        """The `Link` field that names the metadata, for pages an agent reaches first (draft-11 §11.2.5)."""
        return self.description.link

    def answer_to(self, refusal: Refusal) -> Answer:
        """A refusal as this resource sends it: with the link to its metadata on 401, 402 and 403."""
        REFUSALS.note(refusal)
        return self.description.with_link(refusal.answer())

    def serves(self, path: str) -> bool:
        """Whether `answer` knows this path."""
        return self._paths.serves(path)

    async def answer(self, request: Request) -> Answer:
        """Answer a request for one of the resource's own paths: metadata, keys, and its endpoints."""
        return await self._paths.answer(request)


async def _ask(hook: AccountHook, caller: Caller) -> Any:
    call = hook if inspect.isroutine(hook) else type(hook).__call__
    if inspect.iscoroutinefunction(call):
        return await hook(caller)
    account = await anyio.to_thread.run_sync(hook, caller)
    return await account if inspect.isawaitable(account) else account


def _presented_token(request: Request) -> str | None:
    """The session token of a request, if it has one. Raises `SignatureFailure` where it is not a token68 (§6.3)."""
    try:
        return parse_authorization(request.values("authorization"))
    except HeaderError as error:
        raise SignatureFailure("invalid_request", str(error)) from error


def _explained(failure: SignatureFailure, request: Request, need: Need) -> SignatureFailure:
    if not any(request.values(name) for name in _SIGNATURE_FIELDS):
        return unsigned(failure, need)
    if failure.code == "revoked_jwt" and _presents_auth_token(request):
        return revoked_auth_token(failure)
    return failure


def _presents_auth_token(request: Request) -> bool:
    for member in parse_signature_key(request.values("signature-key")).values():
        try:
            presented = read_member(member)
        except SignatureFailure:
            continue
        if isinstance(presented, JwtKey) and presented.jwt.header.get("typ") == AUTH_TYP:
            return True
    return False


def _checked_path(name: str, path: str) -> str:
    if path and (not path.startswith("/") or path.endswith("/") or not path.isascii() or "?" in path):
        raise ValueError(f"{name} begins with a slash and does not end with one")
    return path
