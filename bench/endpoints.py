"""What a person server's token endpoints cost over the signatures that cannot be avoided, on records that are durable.

Each request is the first of its kind: an agent token, a resource token and a presented token that were never seen, so
that nothing remembered from an earlier request spares a signature. Over ASGI, in one process, one request at a time.
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nacl import bindings

from aauthkit.asgi import App, Asgi
from aauthkit.protocol.httpsig import parse_signature_input, signature_base
from aauthkit.protocol.jose import SigningKey, b64url_decode, parse_json
from aauthkit.serving import Request
from aauthkit.store import open_database
from tests.plugins.resources import ask
from tests.plugins.signing import Issuer, Signer, new_key
from tests.plugins.tls import Authority, Clock, signing_key
from tests.plugins.world import API, PROVIDER, PS, World, open_world

from .measuring import ROUNDS, Figure

CALLS, CALLS_ON_DISK = 120, 20
"""Requests of a round, and where each waits for the disk."""
BATCH = 10
"""Requests timed at once, before as many of the floor's."""
SCOPE = "orders.read"

Floor = Callable[[], object]


@dataclass
class Parties:
    """A person server under ASGI, an agent whose person allowed everything, and those who issue tokens to it."""

    app: App
    provider: Issuer
    api: Issuer
    ps: SigningKey
    agent: str
    now: int

    def agent_signer(self, key: SigningKey) -> tuple[Signer, str]:
        """Somebody with an agent token that was never shown, and that token."""
        token = self.provider.agent_token(key.public, sub=self.agent, ps=PS, now=self.now)
        return Signer.token(key, token), token

    def request(self, signer: Signer, path: str, body: dict[str, object]) -> Request:
        return signer.sign("POST", f"{PS}{path}", body=json.dumps(body).encode(), now=self.now)


@asynccontextmanager
async def parties(*, durable: bool) -> AsyncIterator[Parties]:
    """A person server on a file of its own; `durable`: each commit waits for the disk as well."""
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        database = await open_database(folder / "world.db", durable=durable)
        async with open_world(Authority(folder), folder, database, clock=clock) as world:
            yield await _acquainted(world, int(clock()))
        await database.close()


async def _acquainted(world: World, now: int) -> Parties:
    planner = await world.enrol("planner")
    await world.acquainted(planner, await world.person("Ada"), "orders.read", "orders.place")
    return Parties(
        Asgi(world.ps),
        Issuer(PROVIDER, signing_key(PROVIDER)),
        Issuer(API, signing_key(API)),
        signing_key(PS),
        planner.agent.identifier,
        now,
    )


def _checked(token: str, key: SigningKey) -> Floor:
    """The verification of one token, and nothing else."""
    signed, _, signature = token.rpartition(".")
    message, public = b64url_decode(signature) + signed.encode(), key.public.raw
    return lambda: bindings.crypto_sign_open(message, public)


def _received(request: Request, key: SigningKey) -> Floor:
    """The verification of a request's signature, and nothing else."""
    entry = parse_signature_input(request.values("signature-input"))["sig"]
    base = signature_base(request.as_signed(PS), entry)
    message, public = key.sign(base) + base, key.public.raw
    return lambda: bindings.crypto_sign_open(message, public)


def _minted(token: str, key: SigningKey) -> Floor:
    """The signature of a token like this one, and nothing else."""
    message, secret = token.rpartition(".")[0].encode(), key.secret + key.public.raw
    return lambda: bindings.crypto_sign(message, secret)


async def _person_tokens(there: Parties, number: int) -> tuple[list[Request], list[Floor]]:
    requests, floors = [], []
    for _ in range(number):
        key = new_key()
        signer, token = there.agent_signer(key)
        request = there.request(signer, "/person", {"resource": API})
        requests.append(request)
        floors += [_received(request, key), _checked(token, there.provider.key), _minted(token, there.ps)]
    return requests, floors


async def _auth_tokens(there: Parties, number: int) -> tuple[list[Request], list[Floor]]:
    """Requests for auth tokens, each with a person token that this server issued a moment ago to the same key."""
    requests, floors = [], []
    for _ in range(number):
        key = new_key()
        signer, _ = there.agent_signer(key)
        answer = await ask(there.app, there.request(signer, "/person", {"resource": API}))
        assert answer.status == 200, answer
        presented = parse_json(answer.body)["person_token"]
        claims = parse_json(b64url_decode(presented.split(".")[1]))
        asked = there.api.resource_token(
            aud=PS, sub=claims["sub"], presented_jti=claims["jti"], agent_jkt=key.kid, scope=SCOPE, now=there.now
        )
        signer, token = there.agent_signer(key)
        request = there.request(signer, "/token", {"resource_token": asked, "presented_token": presented})
        requests.append(request)
        floors += [
            _received(request, key),
            _checked(token, there.provider.key),
            _checked(asked, there.api.key),
            _checked(presented, there.ps),
            _minted(presented, there.ps),
        ]
    return requests, floors


Prepare = Callable[[Parties, int], Awaitable[tuple[list[Request], list[Floor]]]]


async def _measured(prepare: Prepare, member: str, *, durable: bool = False) -> list[float]:
    """For each round the median, batch by batch, of what the endpoint takes over what its signatures take.

    In processor time; where a commit waits for the disk, in time.
    """
    clock, calls = (time.perf_counter, CALLS_ON_DISK) if durable else (time.process_time, CALLS)
    found = []
    async with parties(durable=durable) as there:
        for _ in range((5 if durable else ROUNDS) + 1):
            requests, floors = await prepare(there, calls)
            each = len(floors) // calls
            gc.collect()
            gc.freeze()  # what was made for the measurement is not looked through while it runs
            pairs = []
            for start in range(0, calls, BATCH):
                begun = clock()
                answers = [await ask(there.app, request) for request in requests[start : start + BATCH]]
                ours = clock() - begun
                assert all(member in parse_json(answer.body) for answer in answers)
                begun = clock()
                for floor in floors[start * each : (start + BATCH) * each]:
                    floor()
                pairs.append(ours / (clock() - begun))
            gc.unfreeze()
            found.append(statistics.median(pairs))
    return found[1:]


async def person_token_over_crypto() -> Figure:
    """A person token from an agent whose person agreed before: two verifications and a signature are the floor."""
    rounds = await _measured(_person_tokens, "person_token")
    what = "a person token over ASGI, on SQLite with every record durable, over its 3 signatures"
    return Figure("person_token_over_crypto", what, 1.6, "lower", rounds, f"{CALLS} requests a round")


async def token_endpoint_over_crypto() -> Figure:
    """An auth token in three parties: four verifications and a signature are the floor."""
    rounds = await _measured(_auth_tokens, "auth_token")
    what = "a three-party auth token over ASGI, on SQLite with every record durable, over its 5 signatures"
    return Figure("token_endpoint_over_crypto", what, 1.5, "lower", rounds, f"{CALLS} requests a round")


async def person_token_on_disk() -> Figure:
    """`person_token_over_crypto` where each commit waits for the disk, so that it outlives a loss of power."""
    rounds = await _measured(_person_tokens, "person_token", durable=True)
    what = "the same with a wait for the disk at each commit, in time"
    return Figure("person_token_on_disk", what, None, "lower", rounds, f"{CALLS_ON_DISK} requests a round")


async def token_endpoint_on_disk() -> Figure:
    """`token_endpoint_over_crypto` where each commit waits for the disk."""
    rounds = await _measured(_auth_tokens, "auth_token", durable=True)
    what = "the same with a wait for the disk at each commit, in time"
    return Figure("token_endpoint_on_disk", what, None, "lower", rounds, f"{CALLS_ON_DISK} requests a round")
