"""From a resource token, or a scope that is wanted, to an auth token (draft-11 §6.6, §6.7.3, §7.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..egress import EgressError
from ..outbound import OutboundError, Pending
from ..protocol.jose import JoseError, parse_json
from ..protocol.tokens import ResourceToken
from .caches import Held, Place, covers
from .checks import read_resource_token, verify_challenge
from .connections import Connections
from .errors import (
    ChallengeLoop,
    ChallengeRefused,
    PendingRefused,
    RequestRefused,
    ScopeReduced,
    Unreachable,
    UnsupportedRequirement,
    refusal,
)
from .identity import Identity
from .person_server import Updates
from .relaying import Relaying
from .sessions import keep_session
from .standing import Options, Standing


@dataclass(frozen=True, slots=True)
class Ask:
    """What one call asks for by itself: `client.get(url, extensions={"aauth": Ask(scope="orders.read")})`.

    - `scope`: had before the call is made, where the resource says how (its `authorization_endpoint`, draft-11 §6.6).
    - `account`: at the resource, in its own words (§11.11); tokens of different accounts are kept apart.
    - `justification`: why, in Markdown, for the person who decides on this call.
    """

    scope: str | None = None
    account: str | None = None
    justification: str | None = None

    @property
    def scopes(self) -> frozenset[str]:
        """The scope as a set."""
        return frozenset((self.scope or "").split())


@dataclass(frozen=True, slots=True)
class Redeemer:
    """One call's way to auth tokens of `place`."""

    standing: Standing = field(repr=False)
    options: Options = field(repr=False)
    identity: Identity = field(repr=False)
    place: Place
    met: dict[object, Held] = field(default_factory=dict, repr=False)

    async def redeem(self, raw: str, held: Held, connections: Connections) -> Held:
        """A resource token verified, taken to the person server, and the auth token had for it (§6.7.3, §7.2).

        `held` was presented to the resource. The same requirement, scope and account ends the call, for as long as the
        token that answered it is good.
        """
        standing, token = self.standing, self._read(raw, held)
        met = ("auth-token", token.scope, token.account)
        answered = self.met.get(met)
        if answered is not None and answered.fresh(standing.clock()):
            raise _not_enough(token, held)
        await verify_challenge(token, connections.discovery)
        current = standing.wallet.grant(self.place, standing.clock())
        if current is None or current is held or not covers(current, token.scope, token.account):
            update = self._updates(connections)
            current = await standing.auth_token(
                self.identity, self.place, token, held, connections, self.options, update
            )
        self.met[met] = current
        return current

    def _read(self, raw: str, held: Held) -> ResourceToken:
        """A resource token in order for this call, its signature not yet verified. Raises `ChallengeRefused`."""
        standing, resource = self.standing, self.place.resource
        token = read_resource_token(
            raw,
            resource=resource,
            held=held,
            person_server=standing.person_server,
            now=standing.clocks.at(resource),
            loopback=standing.loopback,
        )
        if self.place.account is not None and token.account != self.place.account:
            raise ChallengeRefused(f"{resource} asks for another account than the one this call is for")
        return token

    def _updates(self, connections: Connections) -> Updates | None:
        """What asks for another scope while somebody decides (draft-11 §7.5.2.2); `None` where it cannot be done."""
        endpoint = self.standing.profiles.authorization_endpoint(self.place.resource)
        if endpoint is None:
            return None

        async def update(scope: frozenset[str]) -> tuple[ResourceToken, Held]:
            held = await self.standing.person_token(self.identity, self.place, connections, self.options)
            raw = await self._resource_token(endpoint, scope, held, connections)
            if raw is None:
                raise ChallengeRefused(f"{self.place.resource} gave no resource token for what is asked for now")
            token = self._read(raw, held)
            await verify_challenge(token, connections.discovery)
            return token, held

        return update

    async def renew(self, connections: Connections) -> Held | None:
        """The auth token that has ended here had anew, at the resource's authorization endpoint (draft-11 §7.1.3).

        `None`: there was none, or the endpoint gives nothing now; the request is then made with the person token, and
        the resource says what it wants.
        """
        standing, resource = self.standing, self.place.resource
        scope, endpoint = standing.wallet.asked(self.place), standing.profiles.authorization_endpoint(resource)
        if not scope or endpoint is None or standing.person_server is None:
            return None

        async def run() -> Held | None:
            known = standing.wallet.grant(self.place, standing.clock())
            if known is not None:
                return known
            person = await standing.person_token(self.identity, self.place, connections, self.options)
            try:
                raw = await self._resource_token(endpoint, scope, person, connections)
            except (RequestRefused, PendingRefused, ChallengeRefused, UnsupportedRequirement, Unreachable):
                return None
            return await self.redeem(raw, person, connections) if raw is not None else None

        held = await standing.flights.share(("renewed", self.place, self.options.wait), run)
        if held is None:
            standing.wallet.unask(self.place)
        else:
            self.met["auth-token", held.asked, self.place.account] = held
        return held

    async def authorize(self, scope: frozenset[str], connections: Connections) -> Held | None:
        """The scope asked for at the resource's authorization endpoint, with a person token (draft-11 §6.6).

        `None`: the resource has none, or manages access itself; a session token that it gives is kept.
        """
        standing = self.standing
        endpoint = standing.profiles.authorization_endpoint(self.place.resource)
        if endpoint is None or standing.person_server is None or not scope:
            return None
        held = await standing.person_token(self.identity, self.place, connections, self.options)
        raw = await self._resource_token(endpoint, scope, held, connections)
        return await self.redeem(raw, held, connections) if raw is not None else None

    async def _resource_token(
        self, endpoint: str, scope: frozenset[str], held: Held, connections: Connections
    ) -> str | None:
        """The resource token that the authorization endpoint gives for `scope` to whoever presents `held`."""
        standing, resource = self.standing, self.place.resource
        body: dict[str, Any] = {"scope": " ".join(sorted(scope))}
        if self.place.account is not None:
            body["account"] = self.place.account
        escort = standing.escort(resource, self.options)
        relay = Relaying(standing, self.options, resource, self.identity, connections)

        async def meet(pending: Pending) -> None:
            await escort.meet(
                pending,
                lambda method, location, content: connections.outbound.call(
                    method, location, held.credential, json_body=content
                ),
                relay=relay,
            )

        try:
            answer = await connections.outbound.call("POST", endpoint, held.credential, json_body=body)
            answer = await escort.attend(
                connections.outbound.follow(answer, endpoint, held.credential, on_pending=meet)
            )
        except EgressError as error:
            raise Unreachable(f"{resource} could not be reached: {error.reason}; try again") from error
        except OutboundError as error:
            raise PendingRefused(f"{resource}: {error}") from error
        finally:
            relay.over()
        relay.done()
        if answer.status != 200:
            raise refusal(resource, answer)
        keep_session(standing.wallet, self.place, held, answer.headers)
        try:
            raw = parse_json(answer.body).get("resource_token")
        except JoseError as error:
            raise ChallengeRefused(f"the answer of {resource} is not a JSON document: {error}") from error
        return raw if isinstance(raw, str) else None


def _not_enough(token: ResourceToken, held: Held) -> ScopeReduced | ChallengeLoop:
    if not token.scope <= held.granted:
        return ScopeReduced(token.scope, held.granted)
    return ChallengeLoop(f"{token.iss} asks again for the auth token it was just presented; the call ended")
