"""A request that a resource holds: remembered while it is pending, joined by an equal one, given up after a while."""

from __future__ import annotations

import hashlib

from ..outbound import DEFAULT_WAIT
from ..outbound import Pending as Deferral
from ..protocol.jose import SigningKey
from .errors import RequestRefused, Withdrawn
from .escort import Escort, Relay, Reply
from .messages import Original
from .standing import Options, Standing
from .waiting import Pending
from .waits import Wait, name_of, shown_with


class Holding:
    """One call's pending state at `resource`, for as long as it has one (draft-11 §6.5.1, §11.8)."""

    def __init__(
        self, standing: Standing, options: Options, resource: str, request: Original, account: str | None
    ) -> None:
        self._standing = standing
        self._options = options
        self._resource = resource
        self._request = request
        self._account = account
        self._wait: Wait | None = None
        self._started = 0.0

    @property
    def prefer(self) -> int:
        """For how many seconds a poll may be held by the server."""
        return DEFAULT_WAIT if self._options.wait is None else min(DEFAULT_WAIT, max(int(self._options.wait), 1))

    @property
    def _name(self) -> str:
        digest = hashlib.sha256(self._request.body).hexdigest()
        parts = (self._resource, self._request.method, self._request.url, digest, self._account)
        mission = self._options.mission_s256
        return name_of("call", *parts, *([mission] if mission is not None else []))

    def resumed(self) -> str | None:
        """The pending URL that an equal call left behind, if there is one; this call goes on with it."""
        waits = self._standing.waits
        if waits.at(self._resource) is None:
            return None
        self._wait = waits.take_over(self._name)
        self._started = self._standing.clock()
        return self._wait.location if self._wait is not None else None

    @property
    def is_resumed(self) -> bool:
        """Whether the call goes on with a request that is pending already."""
        return self._wait is not None

    @property
    def key(self) -> SigningKey | None:
        """The key that the request which is gone on with is bound to, or a pending one at the same resource."""
        waits = self._standing.waits
        found = self._wait or waits.at(self._resource)
        return waits.key_of(found) if found is not None else None

    @property
    def wants_a_person(self) -> bool:
        """Whether polls must say for whom the agent acts, as the held request did (draft-11 §6.5.1)."""
        return self._wait is not None and self._wait.level != "agent"

    def keep(self, pending: Deferral, level: str, key: SigningKey) -> None:
        """Remember what a 202 says, with the key that is bound to it."""
        now = self._standing.clock()
        if self._wait is None:
            self._started = now
        requirement = pending.requirement
        mission = self._options.mission_s256
        shown = shown_with(self._wait.shown if self._wait is not None else (), pending)
        self._wait = Wait(
            "call",
            self._resource,
            self._name,
            self._resource,
            pending.location,
            self._wait.since if self._wait is not None else int(now),
            requirement.value if requirement is not None else None,
            {"mission_s256": mission} if mission is not None else {},
            shown=shown,
            level=level,
            jkt=key.kid,
        )
        self._standing.waits.hold(self._wait)
        self._standing.waits.keep(self._wait, key)

    async def meet(self, escort: Escort, pending: Deferral, reply: Reply, relay: Relay | None = None) -> None:
        """As `Escort.meet`; what ended there is not gone on with. Raises `AAuthError`."""
        try:
            await escort.meet(pending, reply, relay=relay)
        except (RequestRefused, Withdrawn):
            self.over()
            raise

    def check_patience(self) -> None:
        """Return if the caller still waits. Raises `Pending`."""
        limit = self._options.wait
        if limit is not None and self._wait is not None and self._standing.clock() - self._started >= limit:
            raise Pending(self._wait, self._standing.resumer)

    def ended(self) -> None:
        """The call is over, in whatever way; an equal one may go on where it was."""
        if self._wait is not None:
            self._standing.waits.let_go(self._wait)

    def over(self) -> None:
        """The request has its final answer."""
        if self._wait is not None:
            self._standing.waits.drop(self._wait)
            self._standing.waits.let_go(self._wait)
            self._wait = None
