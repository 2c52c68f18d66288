"""What signing and verifying cost over the signatures that cannot be avoided, in one process and without a network.

The floor is libsodium through PyNaCl's own functions: the faster of the two libraries for both operations.
"""

from __future__ import annotations

import os
import resource
import secrets
import statistics
import subprocess
import sys
import time

from nacl import bindings

from aauthkit.outbound import sign_outgoing
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import SignedRequest
from aauthkit.verification import Verifier
from tests.plugins.signing import Issuer

from .measuring import ROUNDS, Figure
from .pairs import ratios
from .parties import ACCEPTS, BODY, ISSUER, Agent, afresh, raw_signature, unsigned, verifier

CALLS = 600
"""Calls of each kind in a round."""


def _secret(key: SigningKey) -> bytes:
    return key.secret + key.public.raw


async def sign_get_over_sign() -> Figure:
    """Signing a GET, with a fresh nonce, over signing the same signature base and nothing else."""
    what = "signing a GET, nonce included, over one raw Ed25519 signature of the same base"
    return Figure("sign_get_over_sign", what, 1.25, "lower", await _signing(b""))


async def sign_post_over_sign() -> Figure:
    """Signing a POST, with its digest and a fresh nonce, over signing the same signature base and nothing else."""
    what = "signing a POST, digest and nonce included, over one raw Ed25519 signature of the same base"
    return Figure("sign_post_over_sign", what, 1.4, "lower", await _signing(BODY), f"a body of {len(BODY)} bytes")


async def _signing(body: bytes) -> list[float]:
    now = time.time()
    issuer = Issuer(ISSUER)
    agent = Agent.of(issuer, now)
    checking = verifier([issuer], now)
    base = (await checking.verify(agent.request("/orders/17", now, os.urandom(12), body), ACCEPTS)).base
    secret, credential = _secret(agent.key), agent.credential

    def ours(request: SignedRequest) -> object:
        return sign_outgoing(request, credential, now=now, body=body, nonce=secrets.token_urlsafe(12))

    def floor(message: bytes) -> object:
        return bindings.crypto_sign(message, secret)

    return ratios(ours, floor, lambda: ([unsigned(f"/orders/{n}", body) for n in range(CALLS)], [bytes(base)] * CALLS))


async def verify_warm_over_verify() -> Figure:
    """A request whose token was seen before, over one raw verification."""
    now = time.time()
    issuer = Issuer(ISSUER)
    agent = Agent.of(issuer, now)
    door = verifier([issuer], now)
    requests = [agent.request(f"/orders/{n}", now, os.urandom(12)) for n in range(CALLS)]
    found = await _verifying(door, requests)
    return Figure(
        "verify_warm_over_verify", "a request with a token seen before, over one raw verification", 1.2, "lower", found
    )


async def verify_cold_over_verify() -> Figure:
    """A request whose token was never seen, each with a key of its own, over one raw verification; two are needed."""
    now = time.time()
    issuer = Issuer(ISSUER)
    requests = [Agent.of(issuer, now).request(f"/orders/{n}", now, os.urandom(12)) for n in range(CALLS)]
    door = verifier([issuer], now)
    found = await _verifying(door, requests, forget=True)
    what = "a request with a token never seen and a key never seen, over one raw verification"
    return Figure("verify_cold_over_verify", what, 2.3, "lower", found, "two verifications are needed")


async def _verifying(door: Verifier, requests: list[SignedRequest], *, forget: bool = False) -> list[float]:
    verified = [await door.verify(request, ACCEPTS) for request in requests]
    floors = [(raw_signature(one.request) + one.base, one.key.raw) for one in verified]
    tokens = [one.caller for one in verified]

    def inputs() -> tuple[list[SignedRequest], list[tuple[bytes, bytes]]]:
        for caller in tokens if forget else ():
            door.forget(caller.proof.iss, caller.proof.jti)  # type: ignore[union-attr]
        return [afresh(request) for request in requests], floors

    def ours(request: SignedRequest) -> object:
        return door.verify_now(request, ACCEPTS)

    def floor(signed: tuple[bytes, bytes]) -> object:
        return bindings.crypto_sign_open(*signed)

    return ratios(ours, floor, inputs)


async def import_ms() -> Figure:
    """What `import aauthkit` adds to the start of Python, in milliseconds."""
    rounds = [_start("import aauthkit") - _start("pass") for _ in range(ROUNDS)]
    whole = [_start("from aauthkit import Agent, Resource") - _start("pass") for _ in range(5)]
    detail = f"with Agent and Resource: {statistics.median(whole):.0f} ms"
    return Figure("import_ms", "milliseconds that `import aauthkit` takes", 100, "lower", rounds, detail)


def _start(code: str) -> float:
    """Processor time of a Python that runs `code`, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000
