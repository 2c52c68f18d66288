"""`python -m bench.parts`: where the microseconds of one request go, step by step, as a table."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from aauthkit.assertions import Assertion
from aauthkit.outbound import sign_outgoing
from aauthkit.protocol import ed25519
from aauthkit.protocol.httpsig import content_digest
from aauthkit.protocol.jose import PublicKey, parse_jwt
from aauthkit.protocol.plain_form import PlainSignature, plainly_covered, read_plain
from aauthkit.protocol.tokens import AuthToken, check_lifetime, read_token
from aauthkit.verification import Verified, Verifier
from tests.plugins.signing import Issuer

from .pairs import microseconds
from .parties import ACCEPTS, BODY, ISSUER, Agent, afresh, raw_signature, unsigned, verifier

CALLS = 400
ROUNDS = 7
Line = tuple[str, float | None]


def _least(call: Callable[[Any], object], inputs: Callable[[], Sequence[Any]]) -> float:
    return min(microseconds(call, inputs()) for _ in range(ROUNDS))


async def measured() -> list[Line]:
    """Each step of verifying a request and of signing one, with what it costs alone, in microseconds of processor."""
    now = time.time()
    issuer = Issuer(ISSUER)
    door = verifier([issuer], now)
    requests = [Agent.of(issuer, now).request(f"/orders/{n}", now, os.urandom(12)) for n in range(CALLS)]
    verified = [await door.verify(request, ACCEPTS) for request in requests]
    one, agent = verified[0], Agent.of(issuer, now)

    def plain() -> list[PlainSignature]:
        found = [read_plain(afresh(request)) for request in requests]
        return [each for each in found if each is not None]

    def tokens() -> list[AuthToken]:
        read = [read_token(each.token, ACCEPTS.token_types) for each in plain()]
        return [each for each in read if isinstance(each, AuthToken)]

    def taken_apart() -> list[tuple[str, Any]]:
        return [(each.token, parse_jwt(each.token)) for each in plain()]

    signed = [(each, raw_signature(each.request)) for each in verified]
    issuing = issuer.key.public
    return [
        ("**every request**", None),
        ("the three fields read", _least(read_plain, lambda: [afresh(request) for request in requests])),
        ("what must be covered is", _least(lambda p: plainly_covered(p, "/orders", body=True, query=True), plain)),
        (
            "the token looked up, its times, its revocation",
            _least(lambda p: door._resolve_token(p.token, ACCEPTS, now, {}), plain),
        ),
        ("the signature base put together", _least(lambda p: p.base(one.request), plain)),
        ("*its signature verified*", _least(lambda v: v[0].key.verify(v[0].base, v[1]), lambda: signed)),
        ("the result made", _least(_again, lambda: verified)),
        ("**a token never seen, besides**", None),
        ("taken apart: base64url, JSON without doubles", _least(lambda p: parse_jwt(p.token), plain)),
        ("claims read, the key in `cnf` among them", _least(_claims, taken_apart)),
        ("audience and lifetime", _least(lambda t: (door.check_context(t), check_lifetime(t, now)), tokens)),
        ("trust, and the issuer's key at hand", _least(lambda t: _issuer(door, t), tokens)),
        ("*its issuer's signature verified*", _least(lambda t: t.verify_signature(issuing), tokens)),
        ("remembered", _least(Assertion.of, tokens)),
        ("**signing**", None),
        ("a GET, all of it", _least(_signer(agent, now, b""), lambda: [unsigned("/orders/17")] * CALLS)),
        ("a POST, all of it", _least(_signer(agent, now, BODY), lambda: [unsigned("/orders/17", BODY)] * CALLS)),
        ("*the signature alone*", _least(lambda _: ed25519.sign(bytes(32), bytes(32), one.base), lambda: range(CALLS))),
        ("a nonce", _least(lambda _: os.urandom(12).hex(), lambda: range(CALLS))),
        ("Content-Digest of a small body", _least(lambda _: content_digest(BODY), lambda: range(CALLS))),
    ]


def _again(one: Verified) -> Verified:
    return Verified(one.caller, one.key, one.covered, one.created, one.request, one.base)


def _claims(token: tuple[str, Any]) -> object:
    raw, jwt = token
    return read_token(raw, ACCEPTS.token_types, jwt=jwt)


def _issuer(door: Verifier, token: AuthToken) -> PublicKey:
    key = door.discovery.cached_key(token.iss, token.dwk, token.kid) if door.trust.admits(token) else None
    assert key is not None
    return key


def _signer(agent: Agent, now: float, body: bytes) -> Callable[[Any], object]:
    return lambda request: sign_outgoing(request, agent.credential, now=now, body=body, nonce=os.urandom(12).hex())


def main() -> None:
    """Print the table, as docs/performance.md has it."""
    print("| step | us |\n|---|--:|")
    for what, cost in asyncio.run(measured()):
        print(f"| {what} | {'' if cost is None else f'{cost:.1f}'} |")


if __name__ == "__main__":
    main()
