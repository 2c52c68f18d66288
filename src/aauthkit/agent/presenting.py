"""Which of its tokens an agent presents in one call, all of them bound to the key that the call began with.

draft-11 §7.9.1, §9.4.2, §12.1.1.
"""

from __future__ import annotations

from .caches import Held
from .connections import Connections
from .holding import Holding
from .identity import Identity
from .profiles import Profile
from .redeeming import Redeemer
from .standing import Options, Standing


class Presenter:
    """One call's tokens for `resource`. `path` is what is called there, `account` for which account."""

    def __init__(
        self, standing: Standing, options: Options, resource: str, path: str, account: str | None, holding: Holding
    ) -> None:
        self._standing = standing
        self._options = options
        self._resource = resource
        self._path = path
        self._account = account
        self._holding = holding
        self._identity: Identity | None = None
        key = options.key or holding.key
        if key is not None:
            self._begin_as(standing.identities.of(key))

    # The key.

    def has_begun(self) -> bool:
        """Whether the key is chosen that this call goes on with to its end; else `begin` is awaited first."""
        if self._identity is None:
            identity = self._standing.identities.now()
            if identity is not None:
                self._begin_as(identity)
        return self._identity is not None

    async def begin(self, connections: Connections) -> None:
        """Choose the key, which may be a new one. Raises `AgentTokenUnavailable`."""
        if not self.has_begun():
            self._begin_as(await self._standing.identities.begin(connections))

    def _begin_as(self, identity: Identity) -> None:
        self._identity = identity
        self.place = self._standing.place(identity, self._resource, self._account, self._options.mission_s256)
        self.redeemer = Redeemer(self._standing, self._options, identity, self.place)

    @property
    def identity(self) -> Identity:
        """The agent under the key of this call."""
        assert self._identity is not None, "begin() comes first"
        return self._identity

    def bind(self) -> None:
        """A challenge is being met, or something is waited for: the key stays until that is over."""
        self.identity.bind(self)

    def release(self) -> None:
        """The call is over, in whatever way."""
        if self._identity is not None:
            self._identity.release(self)

    # Tokens.

    def at_hand(self) -> Held | None:
        """The token to begin with, if it is there: the auth token, else the one the resource's mode wants (§9.4.2)."""
        standing, now = self._standing, self._standing.clock()
        profile = standing.profiles.get(self._resource, now)
        if profile is None:
            return None
        if standing.profiles.wants_agent(self._resource, self._path):
            return self.identity.now()
        held = standing.wallet.grant(self.place, now)
        if held is not None:
            return held
        session = standing.wallet.session(self.place)
        if session is not None and session.level == "agent":
            return self.identity.now()
        if self._begins_with_person(profile.wants_a_person):
            return None if self._may_renew() else standing.wallet.person(self.place, now)
        return self.identity.now()

    def _begins_with_person(self, wanted: bool) -> bool:
        known = wanted or self._holding.wants_a_person or self._standing.wallet.knows(self.place)
        return known and self._standing.person_server is not None

    def _may_renew(self) -> bool:
        """Whether an auth token has ended that the resource's authorization endpoint may give anew."""
        endpoint = self._standing.profiles.authorization_endpoint(self._resource)
        return endpoint is not None and bool(self._standing.wallet.asked(self.place)) and not self._holding.is_resumed

    async def profile(self, connections: Connections) -> Profile:
        """What the resource says of itself."""
        profiles, now = self._standing.profiles, self._standing.clock()
        known = profiles.get(self._resource, now)
        return known if known is not None else await profiles.read(self._resource, connections.discovery, now)

    async def first(self, connections: Connections) -> Held:
        """The resource's metadata, then the token that its mode wants first (draft-11 §11.2.4, §12.1.1)."""
        profile = await self.profile(connections)
        self._standing.recall(self.identity, self.place, self._options)
        held = self.at_hand()
        if held is not None:
            return held
        wants_agent = self._standing.profiles.wants_agent(self._resource, self._path)
        if wants_agent or not self._begins_with_person(profile.wants_a_person):
            return await self.agent(connections)
        renewed = await self.redeemer.renew(connections) if self._may_renew() else None
        return renewed or await self.person(connections)

    async def agent(self, connections: Connections) -> Held:
        """The agent token."""
        return await self.identity.held(connections)

    async def another_agent(self, refused: Held, connections: Connections) -> Held:
        """An agent token in place of one that a server refused."""
        return await self.identity.renew(refused, connections)

    async def person(self, connections: Connections) -> Held:
        """The person token (draft-11 §7.1)."""
        return await self._standing.person_token(self.identity, self.place, connections, self._options)
