"""Tokens in request bodies: the parameter's own code for whatever is wrong (draft-11 §6.7.2, §11.5.2, §11.9.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from aauthkit.discovery import Discovery
from aauthkit.parameters import ParameterVerifier, TokenPair
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.problems import Problem
from aauthkit.trust import Trust
from tests.plugins.people import Clock, Network
from tests.plugins.signing import NOW, Issuer, new_key

pytestmark = pytest.mark.anyio

PS = "https://person.example"
ORDERS = "https://orders.example"


@dataclass
class Desk:
    """A person server that is handed tokens, by an agent with `key`."""

    ps: Issuer = field(default_factory=lambda: Issuer(PS))
    resource: Issuer = field(default_factory=lambda: Issuer(ORDERS))
    key: SigningKey = field(default_factory=new_key)
    network: Network = field(default_factory=Network)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.network.publish(self.resource, "aauth-resource.json")
        self.discovery = Discovery(self.network, clock=self.clock, jitter=lambda: 0.0)  # type: ignore[arg-type]
        self.discovery.serve_locally(PS, "aauth-person.json", self.ps.jwks)
        trust = Trust(resources=[ORDERS], person_servers=[PS])
        self.verifier = ParameterVerifier(self.discovery, trust, clock=self.clock)

    def person(self, **claims: Any) -> str:
        return self.ps.person_token(self.key.public, claims.pop("aud", ORDERS), **{"jti": "pt-1", **claims})

    def auth(self, **claims: Any) -> str:
        values = {"jti": "pt-1", **claims}
        return self.ps.auth_token(self.key.public, values.pop("aud", ORDERS), "orders.read", **values)

    def asked(self, issuer: Issuer | None = None, **claims: Any) -> str:
        base = {"aud": PS, "sub": "p-1", "presented_jti": "pt-1", "agent_jkt": self.key.public.thumbprint}
        return (issuer or self.resource).resource_token(**{**base, **claims})

    async def verify(self, asked: str, presented: str) -> TokenPair:
        return await self.verifier.verify_pair(asked, presented, aud=PS, ps=PS, key=self.key.public)

    async def refused(self, asked: str, presented: str) -> Problem:
        with pytest.raises(Problem) as caught:
            await self.verify(asked, presented)
        return caught.value


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("presented", [Desk.person, Desk.auth])
async def test_a_good_pair_is_taken(desk: Desk, presented: Callable[[Desk], str]) -> None:
    """PS-31: a person token first, an auth token on a step-up."""
    pair = await desk.verify(desk.asked(tenant=None), presented(desk))
    assert pair.resource.iss == ORDERS and pair.presented.jti == pair.resource.presented_jti


Lie = Callable[[Desk], str]

RESOURCE_LIES: dict[str, tuple[Lie, str]] = {
    "garbage": (lambda d: "garbage", "invalid_resource_token"),
    "another type": (lambda d: d.person(), "invalid_resource_token"),
    "forged (F22)": (lambda d: d.asked(Issuer(ORDERS, key=new_key())), "invalid_resource_token"),
    "known kid, other key (F22)": (
        lambda d: d.asked(Issuer(ORDERS, key=new_key()), header={"kid": d.resource.key.kid}),
        "invalid_resource_token",
    ),
    "no kid (F23)": (lambda d: d.asked(header={"kid": None}), "invalid_resource_token"),
    "no exp (F23)": (lambda d: d.asked(exp=None), "invalid_resource_token"),
    "no iat (F23)": (lambda d: d.asked(iat=None), "invalid_resource_token"),
    "other audience (F56)": (lambda d: d.asked(aud="https://as.example"), "invalid_resource_token"),
    "other key": (lambda d: d.asked(agent_jkt=new_key().public.thumbprint), "invalid_resource_token"),
    "other person server": (lambda d: d.asked(ps="https://other.example"), "invalid_resource_token"),
    "not an identifier (F30)": (lambda d: d.asked(iss="https://Orders.example"), "invalid_resource_token"),
    "lives too long": (lambda d: d.asked(exp=NOW + 301), "invalid_resource_token"),
    "other jti (F24)": (lambda d: d.asked(presented_jti="pt-2"), "invalid_resource_token"),
    "no presented_jti (F24)": (lambda d: d.asked(presented_jti=None), "invalid_resource_token"),
    "other sub (F24)": (lambda d: d.asked(sub="p-2"), "invalid_resource_token"),
    "a mission from nowhere (F24)": (lambda d: d.asked(mission_s256="m" * 43), "invalid_resource_token"),
    "a tenant from nowhere (F24)": (lambda d: d.asked(tenant="acme"), "invalid_resource_token"),
    "expired": (lambda d: d.asked(now=NOW - 300), "expired_resource_token"),
    "expired and for another": (lambda d: d.asked(now=NOW - 300, aud="https://as.example"), "invalid_resource_token"),
    "expired and forged": (
        lambda d: d.asked(Issuer(ORDERS, key=new_key()), now=NOW - 300),
        "invalid_resource_token",
    ),
    "ahead of the clock": (lambda d: d.asked(now=NOW + 61), "clock_skew"),
}


@pytest.mark.parametrize("name", RESOURCE_LIES)
async def test_a_resource_token_that_is_wrong(desk: Desk, name: str) -> None:
    """PS-31: `invalid_` for whatever is wrong, `expired_` only when nothing else is (§6.7.2, §11.9.3)."""
    lie, code = RESOURCE_LIES[name]
    refusal = await desk.refused(lie(desk), desk.person())
    assert (refusal.code, refusal.status) == (code, 400)


PRESENTED_LIES: dict[str, tuple[Lie, str]] = {
    "garbage": (lambda d: "garbage", "invalid_presented_token"),
    "another type": (lambda d: d.asked(), "invalid_presented_token"),
    "an agent token": (lambda d: Issuer(ORDERS).agent_token(d.key.public), "invalid_presented_token"),
    "forged": (lambda d: Desk(resource=d.resource, key=d.key).person(), "invalid_presented_token"),
    "of another server": (
        lambda d: Issuer("https://other.example").person_token(d.key.public, ORDERS, jti="pt-1"),
        "invalid_presented_token",
    ),
    "for another resource (F24)": (lambda d: d.person(aud="https://mail.example"), "invalid_presented_token"),
    "of another key (F24)": (lambda d: Desk(ps=d.ps).person(), "invalid_presented_token"),
    "with a scope": (lambda d: d.person(scope="orders.read"), "invalid_presented_token"),
    "too long": (lambda d: d.person(exp=NOW + 3601), "invalid_presented_token"),
    "expired": (lambda d: d.person(now=NOW - 3600), "expired_presented_token"),
    "expired and for another": (lambda d: d.person(now=NOW - 3600, aud="https://x.example"), "invalid_presented_token"),
    "an expired auth token": (lambda d: d.auth(now=NOW - 3600), "expired_presented_token"),
    "ahead of the clock": (lambda d: d.person(now=NOW + 61), "clock_skew"),
    "with a mission that was stripped (F24)": (lambda d: d.person(mission_s256="m" * 43), "invalid_resource_token"),
    "with a tenant that was stripped (F24)": (lambda d: d.person(tenant="acme"), "invalid_resource_token"),
    "another of the same person (F24)": (lambda d: d.person(jti="pt-2"), "invalid_resource_token"),
}


@pytest.mark.parametrize("name", PRESENTED_LIES)
async def test_a_presented_token_that_is_wrong(desk: Desk, name: str) -> None:
    """PS-31, PS-32 (§6.7.2 step 3)."""
    lie, code = PRESENTED_LIES[name]
    refusal = await desk.refused(desk.asked(), lie(desk))
    assert (refusal.code, refusal.status) == (code, 400)


async def test_a_mismatch_of_two_good_tokens_is_told_to_operators_without_a_token(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """§6.7.2 step 3: evidence of tampering. F87: no token in a log."""
    asked, presented = desk.asked(sub="p-2"), desk.person()
    with caplog.at_level(logging.DEBUG):
        await desk.refused(asked, presented)
    warning = next(record for record in caplog.records if record.levelno == logging.WARNING)
    assert ORDERS in warning.getMessage() and "sub" in warning.getMessage()
    assert not any(part in caplog.text for token in (asked, presented) for part in token.split("."))


async def test_nothing_is_fetched_for_an_issuer_that_is_not_trusted(desk: Desk) -> None:
    """F20, F27: refused before any fetch."""
    stranger = Issuer("https://stranger.example")
    desk.network.publish(stranger, "aauth-resource.json")
    refusal = await desk.refused(desk.asked(stranger), desk.person(aud=stranger.iss))
    assert refusal.code == "invalid_resource_token" and desk.network.asked == []


async def test_nothing_is_fetched_for_a_token_that_has_no_business_here(desk: Desk) -> None:
    await desk.refused(desk.asked(aud="https://as.example"), desk.person())
    assert desk.network.asked == []


async def test_an_issuer_out_of_reach_is_no_verdict_on_its_token(desk: Desk) -> None:
    """503 with Retry-After for a parameter token."""
    desk.network.down.add("orders.example")
    refusal = await desk.refused(desk.asked(), desk.person())
    answer = refusal.answer()
    assert (refusal.code, answer.status) == ("server_error", 503)
    assert int(answer.header("retry-after") or "0") > 0


async def test_a_resource_that_changed_its_key_is_asked_again_once(desk: Desk) -> None:
    """F33: a new key is found within the once-a-minute floor (§11.4)."""
    await desk.verify(desk.asked(), desk.person())
    desk.resource.key = new_key()
    desk.network.publish(desk.resource, "aauth-resource.json")
    desk.clock.pass_(61)
    await desk.verify(desk.asked(), desk.person())


async def test_a_key_that_changed_under_its_name_is_found(desk: Desk) -> None:
    """F33: silent re-keying, one refresh and one retry."""
    await desk.verify(desk.asked(), desk.person())
    kid = desk.resource.key.kid
    changed = Issuer(ORDERS, key=new_key())
    desk.network.documents[f"{ORDERS}/.well-known/jwks.json"] = {"keys": [{**changed.key.public.jwk, "kid": kid}]}
    desk.clock.pass_(61)
    asked = desk.asked(changed, header={"kid": kid})
    assert (await desk.verify(asked, desk.person())).resource.iss == ORDERS


async def test_metadata_of_another_issuer_is_not_believed(desk: Desk) -> None:
    """F26: for a parameter token the parameter's own code."""
    desk.network.publish(desk.resource, "aauth-resource.json", issuer="https://evil.example")
    assert (await desk.refused(desk.asked(), desk.person())).code == "invalid_resource_token"


async def test_a_revoked_token_is_said_to_be_revoked(desk: Desk) -> None:
    """§11.12.5: `revoked_resource_token` and `revoked_presented_token`, whether or not the token has expired."""
    revoked: set[tuple[str, str]] = set()
    desk.verifier = replace(desk.verifier, is_revoked=lambda iss, jti: (iss, jti) in revoked)
    asked, shown = desk.asked(jti="rt-1"), desk.person()
    await desk.verify(asked, shown)
    revoked.add((PS, "rt-1"))  # of another issuer: another token
    await desk.verify(asked, shown)
    revoked.add((PS, "pt-1"))
    assert (await desk.refused(asked, shown)).code == "revoked_presented_token"
    revoked.add((ORDERS, "rt-1"))
    assert (await desk.refused(asked, shown)).code == "revoked_resource_token"
    desk.clock.pass_(301)
    assert (await desk.refused(asked, shown)).code == "revoked_resource_token"


async def test_a_forged_token_is_not_said_to_be_revoked(desk: Desk) -> None:
    """Only once the signature holds: nobody learns of revocations by guessing."""
    desk.verifier = replace(desk.verifier, is_revoked=lambda _iss, _jti: True)
    forged = desk.asked(Issuer(ORDERS), jti="rt-1")
    assert (await desk.refused(forged, desk.person())).code == "invalid_resource_token"
