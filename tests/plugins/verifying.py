"""One API, one provider and one person server whose keys are at hand, for tests of the way in."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.discovery import Discovery
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.serving import Request
from aauthkit.trust import ANY, Trust
from aauthkit.verification import Accepts, Verified, Verifier
from tests.plugins.signing import NOW, Issuer, Signer, new_key

API = "https://api.example"
OTHER = "https://other.example"
AGENT_TYPES = frozenset({"aa-agent+jwt", "aa-person+jwt", "aa-auth+jwt"})
ACCEPTS = Accepts(("jwt",), AGENT_TYPES)
ALL_SCHEMES = Accepts(
    ("jwt", "jwks_uri", "hwk", "jkt-jwt"), AGENT_TYPES, frozenset({"aauth-person.json", "aauth-agent.json"})
)


class NoNetwork:
    """An Http that must not be used."""

    async def send(self, method: str, url: str, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"fetched {url}")


class World:
    """One API, one provider and one person server whose keys are at hand; anybody else would have to be fetched."""

    def __init__(self, **knobs: Any) -> None:
        self.provider = Issuer("https://agents.example")
        self.person_server = Issuer("https://ps.example")
        self.now = float(NOW)
        discovery = Discovery(NoNetwork(), clock=lambda: self.now)  # type: ignore[arg-type]
        discovery.serve_locally(self.provider.iss, "aauth-agent.json", self.provider.jwks)
        discovery.serve_locally(self.person_server.iss, "aauth-person.json", self.person_server.jwks)
        trust = knobs.pop("trust", Trust(agent_providers=ANY, person_servers=ANY))
        self.verifier = Verifier(API, discovery=discovery, trust=trust, clock=lambda: self.now, **knobs)
        self.key = new_key(knobs.get("alg", "Ed25519"))

    def agent(self, **claims: Any) -> Signer:
        return Signer.token(self.key, self.provider.agent_token(self.key.public, **claims))

    def person(self, aud: str = API, **claims: Any) -> Signer:
        return Signer.token(self.key, self.person_server.person_token(self.key.public, aud, **claims))

    def grant(self, aud: str = API, scope: str = "orders.read", **claims: Any) -> Signer:
        return Signer.token(self.key, self.person_server.auth_token(self.key.public, aud, scope, **claims))

    async def verify(self, request: Request, accepts: Accepts = ACCEPTS) -> Verified:
        return await self.verifier.verify(request.as_signed(API), accepts)


async def refused(world: World, request: Request, code: str, accepts: Accepts = ACCEPTS) -> SignatureFailure:
    with pytest.raises(SignatureFailure) as caught:
        await world.verify(request, accepts)
    assert caught.value.code == code, str(caught.value)
    answer = caught.value.answer()
    assert answer.status == 401
    assert (answer.header("signature-error") or "").startswith(f"error={code}")
    return caught.value
