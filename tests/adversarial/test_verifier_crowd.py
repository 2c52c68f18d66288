"""One verifier in a crowd: many requests at once while keys rotate, issuers fail and revocations arrive.

draft-11 §11.3.4, §11.4, §11.12.5; Signature-Keys §7.2. No verdict is wrong, and nothing that strangers make grows
without end (F29).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from aauthkit.callers import Grant
from aauthkit.protocol.messages import Answer
from aauthkit.serving import Request
from aauthkit.trust import Trust
from tests.plugins.crowds import API, Door, Publisher, Wire, fresh_tokens, invented_kids, strangers, unreachable
from tests.plugins.signing import NOW, Issuer, Signer, new_key, with_header

pytestmark = pytest.mark.anyio

IN_FLIGHT = 10_000
TOKENS = 200
"""Tokens of each kind; every one is used many times, by requests that differ."""

REVOKED = frozenset({"revoked_jwt"})


@dataclass
class Card:
    """A token, who holds it, and the verdicts that are right for a request with it."""

    signer: Signer
    iss: str
    jti: str
    right: frozenset[str]
    spoil: Callable[[Request], Request] | None = None

    def request(self, now: float) -> Request:
        request = self.signer.sign("GET", f"{API}/orders", now=int(now))
        return request if self.spoil is None else self.spoil(request)


def _card(
    issuer: Issuer, *right: str, number: int, spoil: Callable[[Request], Request] | None = None, **claims: object
) -> Card:
    key, jti = new_key(), f"{issuer.iss}-{number}-{right[0]}-{spoil is not None}"
    aud = str(claims.pop("aud", API))
    token = issuer.auth_token(key.public, aud, "orders.read", jti=jti, **claims)
    return Card(Signer.token(key, token), issuer.iss, jti, frozenset(right), spoil)


def _another_path(request: Request) -> Request:
    return Request(request.method, "/orders/17", request.headers, request.body, request.peer)


def _garbled(request: Request) -> Request:
    value = request.header("signature")
    assert value is not None
    return with_header(request, "signature", value[:8] + ("A" if value[8] != "A" else "B") + value[9:])


def _garbage() -> Answer:
    return Answer(200, (("content-type", "application/json"),), b'{"keys": "none", "issuer": 7}')


def _broken() -> Answer:
    return Answer(503, ())


class Crowd:
    """Person servers of every kind, and the cards that come of them."""

    def __init__(self) -> None:
        self.steady = Publisher("https://steady.example")
        self.adding = Publisher("https://adding.example")
        self.dropping = Publisher("https://dropping.example")
        self.silent = Publisher("https://silent.example", trouble=unreachable)
        self.broken = Publisher("https://broken.example", trouble=_broken)
        self.lying = Publisher("https://lying.example", trouble=_garbage)
        self.untrusted = Publisher("https://untrusted.example")
        everybody = (self.steady, self.adding, self.dropping, self.silent, self.broken, self.lying, self.untrusted)
        self.wire = Wire(*everybody)
        trusted = frozenset(one.iss for one in everybody if one is not self.untrusted)
        self.door = Door(self.wire, trust=Trust(person_servers=trusted))

    def cards(self) -> list[Card]:
        """Made before the keys rotate: what `dropping` signed with is published no more when it is looked up."""
        forged = Issuer(self.steady.iss, new_key())
        found: list[Card] = []
        for number in range(TOKENS):
            found += [
                _card(self.steady, "accepted", number=number),
                _card(self.adding, "accepted", number=number),
                _card(self.dropping, "unknown_key", number=number),
                _card(self.silent, "unknown_key", number=number),
                _card(self.broken, "unknown_key", number=number),
                _card(self.lying, "unknown_key", "issuer_missing", "issuer_mismatch", "invalid_key", number=number),
                _card(self.untrusted, "invalid_key", number=number),
                _card(forged, "invalid_jwt", number=number, header={"kid": self.steady.key.kid}),
                _card(forged, "unknown_key", number=number),
                _card(self.steady, "invalid_jwt", number=number, aud="https://other.example"),
                _card(self.steady, "expired_jwt", number=number, iat=NOW - 4000, exp=NOW - 400),
                _card(self.steady, "invalid_signature", number=number, spoil=_another_path),
                _card(self.steady, "invalid_signature", number=number, spoil=_garbled),
            ]
        return found

    def rotate(self) -> list[Card]:
        """The keys change; what is signed from now on is good, also where nothing was before."""
        self.adding.rotate(keep=True)
        self.dropping.rotate(keep=False)
        return [
            _card(one, "accepted", number=TOKENS + n) for one in (self.adding, self.dropping) for n in range(TOKENS)
        ]


class Judge:
    """Compares every verdict with what is right at the moment it is given."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.given: Counter[str] = Counter()

    async def look(self, card: Card) -> None:
        request = card.request(self.door.now)
        verdict, verified = await self.door.verdict(request)
        # Nothing waits between the verifier's last look and this line, so what is revoked now was revoked then.
        revoked = (card.iss, card.jti) in self.door.revoked
        right = REVOKED if revoked and "accepted" in card.right else card.right
        if revoked and "accepted" not in card.right:
            right = card.right | REVOKED
        assert verdict in right, f"{verdict} for a card of {card.iss} that may get {sorted(right)}"
        if verified is not None:
            assert isinstance(verified.caller, Grant)
            assert (verified.caller.proof.iss, verified.caller.jti) == (card.iss, card.jti)
            assert verified.key.thumbprint == card.signer.key.kid
        self.given[verdict] += 1


async def test_ten_thousand_requests_in_flight_and_no_wrong_verdict() -> None:
    """§11.4, §11.12.5: keys rotate and revocations arrive while all of them wait for their issuers, and after."""
    crowd, chance = Crowd(), random.Random(11)
    cards, judge = crowd.cards(), Judge(crowd.door)
    waiting = [asyncio.create_task(judge.look(chance.choice(cards))) for _ in range(IN_FLIGHT)]
    await asyncio.sleep(0)
    parked = sum(1 for task in waiting if not task.done())
    assert parked > IN_FLIGHT // 2, "those that are refused without a key are answered already"

    fresh = crowd.rotate()
    for card in chance.sample(cards, len(cards) // 10):
        crowd.door.revoke(card.iss, card.jti)
    waiting += [asyncio.create_task(judge.look(chance.choice(fresh))) for _ in range(IN_FLIGHT // 10)]
    crowd.wire.gate.set()
    await asyncio.gather(*waiting)
    assert sum(judge.given.values()) == IN_FLIGHT * 11 // 10
    assert {"accepted", "revoked_jwt", "unknown_key", "invalid_jwt", "invalid_signature"} <= judge.given.keys()
    assert all(one.fetched <= 4 for one in crowd.wire.publishers.values()), "one fetch serves all who wait for it"
    assert crowd.untrusted.fetched == 0


async def test_revocations_and_rotations_between_requests_that_are_warm() -> None:
    """§11.12.5: a remembered token is worth nothing from the moment its revocation is here."""
    crowd, chance = Crowd(), random.Random(12)
    judge = Judge(crowd.door)
    cards = [_card(one, "accepted", number=n) for one in (crowd.steady, crowd.adding) for n in range(TOKENS)]
    crowd.wire.gate.set()
    await asyncio.gather(*(judge.look(card) for card in cards))

    async def revoking() -> None:
        for card in chance.sample(cards, TOKENS):
            crowd.door.revoke(card.iss, card.jti)
            await asyncio.sleep(0)

    async def later(card: Card) -> None:
        for _ in range(chance.randrange(50)):
            await asyncio.sleep(0)
        await judge.look(card)

    async def rotating() -> None:
        for _ in range(4):
            crowd.door.now += 61  # a JWKS is fetched once a minute at most
            crowd.adding.rotate(keep=True)
            fresh = _card(crowd.adding, "accepted", number=int(crowd.door.now), now=int(crowd.door.now))
            await judge.look(fresh)
            await asyncio.gather(*(later(chance.choice(cards)) for _ in range(400)))

    await asyncio.gather(revoking(), rotating())
    assert judge.given["revoked_jwt"] > 200
    assert judge.given["accepted"] > 1000


async def test_an_issuer_that_fails_for_a_while_wrongs_nobody() -> None:
    """§11.4: keys that were fetched stay in force while their issuer is away; nobody else notices."""
    crowd = Crowd()
    judge = Judge(crowd.door)
    crowd.wire.gate.set()
    known = [_card(crowd.steady, "accepted", number=n, now=NOW, exp=NOW + 3600) for n in range(50)]
    await asyncio.gather(*(judge.look(card) for card in known))
    crowd.steady.trouble = unreachable
    for minute in range(1, 40):
        crowd.door.now = NOW + 61.0 * minute
        now = int(crowd.door.now)
        unseen = [_card(crowd.steady, "accepted", number=minute * 100 + n, now=now) for n in range(3)]
        forged = [
            _card(Issuer(crowd.steady.iss, new_key()), "unknown_key", number=minute * 100 + n, now=now)
            for n in range(3)
        ]
        await asyncio.gather(*(judge.look(card) for card in (*unseen, *forged, *known[:3])))
    assert judge.given == Counter(accepted=50 + 39 * 6, unknown_key=39 * 3)


async def test_F29_no_cache_outgrows_its_bounds_under_invented_issuers_kids_and_tokens() -> None:
    """Signature-Keys §7.2: what strangers send takes so much room and no more, and nobody honest makes room for it."""
    honest = Publisher("https://honest.example")
    wire = Wire(honest)
    wire.gate.set()
    door = Door(wire)
    door.verifier.replay_methods = lambda method: method != "GET"
    mine = _card(honest, "accepted", number=1)
    judge = Judge(door)
    await judge.look(mine)
    for request in strangers(2_000, NOW):
        assert (await door.verdict(request))[0] == "unknown_key"
    for request in invented_kids(honest, 500, NOW):
        assert (await door.verdict(request))[0] == "unknown_key"
    for request in fresh_tokens(honest, 6_000, NOW):
        assert (await door.verdict(request))[0] == "accepted"
    assert len(door.discovery._shelves) <= 1025
    assert len(door.verifier._assertions) <= 4096
    assert len(door.replay) == 6_000
    assert honest.fetched <= 3
    await judge.look(mine)
    door.now += 200
    await door.verdict(next(fresh_tokens(honest, 1, int(door.now))))
    assert len(door.replay) == 1, "what can no longer be sent again is forgotten"
