"""The resource: what its routes may need, and whether a request has it (draft-11 §6, §7.1.4, §9.4.3)."""

from __future__ import annotations

import inspect
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, Unpack

import anyio.to_thread

from ..callers import Caller
from ..discovery import Discovery
from ..egress import Egress, Http
from ..keys import Keys
from ..protocol.httpsig import BODY_COMPONENTS
from ..protocol.identifiers import check_server_identifier
from ..protocol.messages import Answer, Refusal
from ..protocol.problems import Problem, SignatureFailure
from ..protocol.signature_key import JwtKey, parse_signature_key, read_member
from ..protocol.tokens import (
    AGENT_DWK,
    AGENT_TYP,
    AUTH_TYP,
    PERSON_DWK,
    PERSON_TYP,
    RESOURCE_DWK,
    SIGNATURE_WINDOW,
)
from ..replay import ReplayCache
from ..serving import Request, check_message
from ..trust import NOBODY, Issuers, Trust
from ..verification import Accepts, Verified, Verifier, never_revoked
from .challenges import Challenges, revoked_auth_token, unsigned
from .description import Description, checked_components
from .needs import AccountHook, Level, Need, schemes_of
from .routes import resource_routes

_SIGNATURE_FIELDS: Final = ("signature", "signature-input", "signature-key")
_TOKEN_TYPES: Final = frozenset({AGENT_TYP, PERSON_TYP, AUTH_TYP})
ROLES: Final = (AGENT_DWK, PERSON_DWK, RESOURCE_DWK)
"""The metadata documents of servers that may sign in their own name."""


class NeedOptions(TypedDict, total=False):
    """What any need can state besides its level.

    - `digest`: a body must be covered by the signature, with its type.
    - `components`: what else must be covered here.
    - `preflight`: a CORS preflight for the route passes unverified.
    - `account`: the hook of this route, instead of the resource's.
    """

    digest: bool
    components: Sequence[str]
    preflight: bool
    account: AccountHook | None


@dataclass(frozen=True, slots=True)
class Admitted(Verified):
    """A verified request that has what its route needs, with the application's account for its caller."""

    need: Need
    account: Any = field(default=None, repr=False)


class Resource:
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
    - `is_revoked` is asked with `(iss, jti)` for every token.

    Raises `ValueError` or `TypeError` for a configuration that cannot be served.
    """

    _http: Http | None = None

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
        accept_base64url: bool = False,
        replay: ReplayCache | None = None,
        is_revoked: Callable[[str, str], bool] = never_revoked,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.egress = egress if egress is not None else Egress.from_environment()
        self.identifier = check_server_identifier(identifier, self.egress.loopback)
        self.path_prefix = _checked_prefix(path_prefix)
        self.scopes = dict(scopes or {})
        self._keys = keys
        self._account = account
        self._components = tuple(additional_signature_components)
        self._require_query = require_query
        self._clock = clock
        named = {"name": name, "description": description, "documentation_uri": documentation_uri}
        self.description = Description(
            identifier,
            keys=keys,
            scopes=self.scopes,
            window=signature_window,
            components=self._components,
            named={**named, **(metadata or {})},
            access_mode=access_mode,
            loopback=self.egress.loopback,
        )
        self._routes = resource_routes(self.description.document, keys.jwks if keys is not None else None)
        self._challenges = Challenges(identifier, keys, self.scopes, clock=clock, random_bytes=random_bytes)
        self._verifier = Verifier(
            identifier,
            discovery=discovery or self._own_discovery(),
            trust=self._trust(person_servers, agent_providers, resources),
            loopback=self.egress.loopback,
            window=signature_window,
            replay=replay,
            is_revoked=is_revoked,
            accept_base64url=accept_base64url,
            clock=clock,
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

    # What a route may need.

    def open(self) -> Need:
        """Nothing: the route is public, and nothing about its caller is verified."""
        return Need(self.identifier, ())

    def key(self, **options: Unpack[NeedOptions]) -> Need:
        """The holder of some key (`hwk`): the same key is the same holder, and nothing more is known of them.

        No AAuth agent comes this way (draft-11 §11.3.2).
        """
        return self._need("key", **options)

    def server(self, *roles: str, **options: Unpack[NeedOptions]) -> Need:
        """A server that signs in its own name (`jwks_uri`), in one of `roles`, its metadata documents; by default any.

        draft-11 §11.3.2. Whether it is trusted is for the resource's list of that role.
        """
        if not set(roles) <= set(ROLES):
            raise ValueError(f"a server signs in one of the roles {', '.join(ROLES)}")
        return self._need("server", roles=roles or ROLES, **options)

    def agent(self, *, schemes: Sequence[str] = (), **options: Unpack[NeedOptions]) -> Need:
        """Which agent this is (draft-11 §6.1). `schemes` besides `jwt` are accepted, and told what is missing."""
        return self._need("agent", schemes, **options)

    def person(self, *, schemes: Sequence[str] = (), **options: Unpack[NeedOptions]) -> Need:
        """Whom the agent acts for (draft-11 §6.4). An auth token says it too: a `Person` or a `Grant` comes."""
        return self._need("person", schemes, **options)

    def grant(
        self,
        *scope: str,
        optional: Iterable[str] = (),
        schemes: Sequence[str] = (),
        **options: Unpack[NeedOptions],
    ) -> Need:
        """What the person consented to (draft-11 §6.5): every value of `scope`. `optional` is asked for with it.

        A token with what is needed is served, and the handler reads `grant.scope`. Raises `ValueError` for a value that
        is not among the resource's scopes (§11.10).
        """
        needed, liked = frozenset(scope), frozenset(optional)
        unknown = (needed | liked) - self.scopes.keys()
        if unknown:
            raise ValueError(f"not among the scopes of {self.identifier}: {', '.join(sorted(unknown))}")
        if not needed | liked:
            raise ValueError("a grant names at least one scope; any auth token at all opens resource.person()")
        if self._keys is None:
            raise ValueError("a resource needs keys to ask for a grant: it signs resource tokens with them")
        return self._need("grant", schemes, needed, liked - needed, **options)

    def _need(
        self,
        level: Level,
        schemes: Sequence[str] = (),
        scope: frozenset[str] = frozenset(),
        optional: frozenset[str] = frozenset(),
        roles: Sequence[str] = (),
        **options: Unpack[NeedOptions],
    ) -> Need:
        self.description.add_level(level)
        accepted = schemes_of(level, schemes)
        return Need(
            self.identifier,
            (level,),
            scope,
            optional,
            accepted,
            frozenset(roles or (ROLES if "jwks_uri" in accepted else ())),
            digest=options.get("digest", False),
            components=checked_components(options.get("components", ())),
            preflight=options.get("preflight", False),
            account=options.get("account"),
        )

    # Whether a request has it.

    async def decide(self, request: Request, need: Need) -> Admitted:
        """Who sent `request`, if `need` admits them. Raises the `Refusal` to answer with; reads no body.

        `request.target` is as its sender wrote it, so with `path_prefix` where a proxy stripped that. Any other
        exception is a fault of this server or of the application's hook: answer 500, and run nothing.
        """
        self._check(request, need)
        try:
            verified = await self._verifier.verify(request.as_signed(self.identifier), self._accepts(need))
        except SignatureFailure as failure:
            raise _explained(failure, request, need) from failure
        self._check_level(verified, need)
        account = await self.account_of(verified.caller, need)
        return Admitted(
            verified.caller,
            verified.key,
            verified.covered,
            verified.created,
            verified.request,
            verified.base,
            need=need,
            account=account,
        )

    def decide_now(self, request: Request, need: Need) -> Verified:
        """`decide` without waiting: raises `KeyNeeded` where an issuer's key must be fetched first.

        The account hook is not asked, since it may have to wait: whoever decides so asks `account_of` as well.
        """
        self._check(request, need)
        try:
            verified = self._verifier.verify_now(request.as_signed(self.identifier), self._accepts(need))
        except SignatureFailure as failure:
            raise _explained(failure, request, need) from failure
        self._check_level(verified, need)
        return verified

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
        if not need.serves(verified.caller):
            raise self._challenges.for_caller(verified.caller, need)

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

    def challenge(self, caller: Caller, need: Need) -> Refusal:
        """What to raise inside a route that finds it needs more than it stated, as in a step-up (draft-11 §6.5)."""
        return self._challenges.for_caller(caller, need)

    # What it says of itself.

    def resource_link(self) -> tuple[str, str]:
        """The `Link` field that names the metadata, for pages an agent reaches first (draft-11 §11.2.5)."""
        return self.description.link

    def answer_to(self, refusal: Refusal) -> Answer:
        """A refusal as this resource sends it: with the link to its metadata on 401, 402 and 403."""
        return self.description.with_link(refusal.answer())

    def serves(self, path: str) -> bool:
        """Whether `answer` knows this path."""
        return self._routes.serves(path)

    async def answer(self, request: Request) -> Answer:
        """Answer a request for one of the resource's own paths: its metadata and its keys."""
        return await self._routes.answer(request)

    async def close(self) -> None:
        """Close the connections that this resource opened to issuers. It may be used again."""
        if self._http is not None:
            http, discovery = self._http, self._verifier.discovery
            self._verifier.discovery = self._own_discovery()
            await discovery.aclose()
            await http.aclose()


async def _ask(hook: AccountHook, caller: Caller) -> Any:
    call = hook if inspect.isroutine(hook) else type(hook).__call__
    if inspect.iscoroutinefunction(call):
        return await hook(caller)
    account = await anyio.to_thread.run_sync(hook, caller)
    return await account if inspect.isawaitable(account) else account


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


def _checked_prefix(prefix: str) -> str:
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or not prefix.isascii() or "?" in prefix):
        raise ValueError("path_prefix begins with a slash and does not end with one")
    return prefix
