"""What a route may need, as the methods that make a `Need` (draft-11 §6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypedDict, Unpack

from ..keys import Keys
from ..protocol.tokens import AGENT_DWK, PERSON_DWK, RESOURCE_DWK
from .description import Description, checked_components
from .needs import AccountHook, Delivery, Level, Need, schemes_of

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


class Declaring:
    """The needs of one resource. Every need that is made shows in its metadata, as the access mode."""

    identifier: str
    description: Description
    scopes: dict[str, str]
    _keys: Keys | None
    remembers: bool
    """Whether it has a store."""

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

    def session(self, *scope: str, schemes: Sequence[str] = (), **options: Unpack[NeedOptions]) -> Need:
        """A session of the resource's own, with every value of `scope` (draft-11 §6.3): a `Session` comes.

        An agent without one is sent to the page that `interaction` named, or refused where there is none. Raises
        `ValueError` for a scope that is not the resource's, and for a resource without a store.
        """
        if not self.remembers:
            raise ValueError("sessions are on record: give the resource a store")
        self._check_scopes(frozenset(scope))
        return self._need("session", schemes, session_scope=frozenset(scope), **options)

    def person(self, *, schemes: Sequence[str] = (), **options: Unpack[NeedOptions]) -> Need:
        """Whom the agent acts for (draft-11 §6.4). An auth token says it too: a `Person` or a `Grant` comes."""
        return self._need("person", schemes, **options)

    def grant(
        self,
        *scope: str,
        optional: Iterable[str] = (),
        deliver: Delivery = "401",
        schemes: Sequence[str] = (),
        **options: Unpack[NeedOptions],
    ) -> Need:
        """What the person consented to (draft-11 §6.5): every value of `scope`. `optional` is asked for with it.

        A token with what is needed is served, and the handler reads `grant.scope`. With `deliver="202"` a call that
        lacks it is held and run once, when the token comes (§6.5.1). Raises `ValueError` for a value that is not among
        the resource's scopes (§11.10), and for what cannot be held.
        """
        needed, liked = frozenset(scope), frozenset(optional)
        self._check_scopes(needed | liked)
        if not needed | liked:
            raise ValueError("a grant names at least one scope; any auth token at all opens resource.person()")
        if self._keys is None:
            raise ValueError("a resource needs keys to ask for a grant: it signs resource tokens with them")
        if deliver == "202" and not self.remembers:
            raise ValueError("a call is held on record: give the resource a store")
        return self._need("grant", schemes, needed, liked - needed, deliver=deliver, **options)

    def _check_scopes(self, named: frozenset[str]) -> None:
        unknown = named - self.scopes.keys()
        if unknown:
            raise ValueError(f"not among the scopes of {self.identifier}: {', '.join(sorted(unknown))}")

    def _need(
        self,
        level: Level,
        schemes: Sequence[str] = (),
        scope: frozenset[str] = frozenset(),
        optional: frozenset[str] = frozenset(),
        *,
        roles: Sequence[str] = (),
        session_scope: frozenset[str] = frozenset(),
        deliver: Delivery = "401",
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
            session_scope=session_scope,
            deliver=deliver,
        )
