"""What protection costs a server: a protected route over a bare one, a call that was held over two that were not."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aauthkit.serving import Request
from aauthkit.store import open_database
from tests.plugins.holding import ORDER, Shop
from tests.plugins.remembering import path_of
from tests.plugins.resources import ask
from tests.plugins.serving import reserved
from tests.plugins.signing import Issuer, Signer, new_key

from .measuring import ROUNDS, Figure
from .route_server import API, ISSUER

REQUESTS = 400
"""Requests of each kind in a round."""
CONNECTIONS = 8
HELD = 60
"""Calls that are held, in a round: no more are kept for one caller."""
BATCH = 6


# A protected route over a bare one.


async def protected_route_over_bare() -> Figure:
    """Requests per second of a FastAPI route that needs a grant, over those of one that needs nothing.

    By the server's own processor time, which is what bounds a server that is busy.
    """
    issuer = Issuer(ISSUER)
    key = new_key()
    with _routes(issuer) as port:
        rounds = []
        for number in range(ROUNDS + 1):
            signer = Signer.token(key, issuer.auth_token(key.public, API, "orders.read", now=int(time.time())))
            plain = [_wire(Request("GET", "/bare/orders", (("host", "api.example"), *_CLIENT)))] * REQUESTS
            bare, protected = 0.0, 0.0
            signed = [_wire(signer.sign("GET", f"{API}/orders", headers=_CLIENT, now=int(time.time()))) for _ in plain]
            for start in range(0, REQUESTS, REQUESTS // 4):
                bare += await _spent(port, plain[start : start + REQUESTS // 4])
                protected += await _spent(port, signed[start : start + REQUESTS // 4])
            if number:
                rounds.append(bare / protected)
    what = "requests/s of a protected over a bare FastAPI route under uvicorn (h11), by the server's processor time"
    return Figure("protected_route_over_bare", what, 0.65, "higher", rounds, f"{REQUESTS} requests a round of each")


_CLIENT = (("accept", "*/*"), ("accept-encoding", "gzip, deflate"), ("user-agent", "bench/1.0"))


@contextmanager
def _routes(issuer: Issuer) -> Iterator[int]:
    listener = reserved()
    port = int(listener.getsockname()[1])
    listener.close()
    command = [sys.executable, "-m", "bench.route_server", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        assert server.stdin is not None
        server.stdin.write(json.dumps(issuer.jwks()).encode())
        server.stdin.close()
        try:
            _until_listening(port)
            yield port
        finally:
            server.terminate()


def _until_listening(port: int) -> None:
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server does not listen")


def _wire(request: Request) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers)
    return f"{request.method} {request.target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1")


async def _spent(port: int, messages: Sequence[bytes]) -> float:
    """Seconds of the server's processor time for these requests, over several connections at once."""
    begun = await _clock(port)
    shares = [messages[number::CONNECTIONS] for number in range(CONNECTIONS)]
    await asyncio.gather(*(_send(port, share) for share in shares))
    return await _clock(port) - begun


async def _send(port: int, messages: Sequence[bytes]) -> bytes:
    """Each request once the one before it was answered, on one connection; the last body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b""
    for message in messages:
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
    writer.close()
    return body


async def _clock(port: int) -> float:
    return float(await _send(port, [_wire(Request("GET", "/spent", (("host", "api.example"),)))]))


# A call that is held.


async def deferred_over_direct() -> Figure:
    """A call that is held and then released by its auth token, over two calls that had theirs at once."""
    rounds = await _deferring(durable=False)
    what = "a call held and released (202, then the poll that runs it) over two plain authorized calls, durable"
    return Figure("deferred_over_direct", what, 1.5, "lower", rounds, f"on SQLite, {HELD} calls a round")


async def _deferring(*, durable: bool) -> list[float]:
    clock = time.perf_counter if durable else time.process_time
    with tempfile.TemporaryDirectory() as name:
        database = await open_database(Path(name) / "shop.db", durable=durable)
        shop = Shop(database)
        await shop.resource.start()
        rounds = [await _deferred_round(shop, clock) for _ in range(ROUNDS + 1)]
        await shop.resource.close()
        await database.close()
    return rounds[1:]


async def _deferred_round(shop: Shop, clock: Callable[[], float]) -> float:
    """The median of batches, each beside as many calls that are not held. Tokens were seen before, requests never."""
    shop.world.key = new_key()
    person, grant = shop.person(), shop.grant()
    orders = iter([_order(shop, person) for _ in range(HELD)])
    plain = iter([_order(shop, grant) for _ in range(2 * HELD)])
    gc.collect()
    gc.freeze()
    pairs = []
    for _ in range(0, HELD, BATCH):
        begun = clock()
        pending = [path_of(await ask(shop.app, next(orders))) for _ in range(BATCH)]
        held = clock() - begun
        polls = [grant.sign("GET", f"{API}{path}", now=int(shop.clock.now)) for path in pending]
        begun = clock()
        for poll in polls:
            assert (await ask(shop.app, poll)).status == 201
        held += clock() - begun
        begun = clock()
        for _ in range(2 * BATCH):
            assert (await ask(shop.app, next(plain))).status == 201
        pairs.append(held / (clock() - begun))
    gc.unfreeze()
    return statistics.median(pairs)


def _order(shop: Shop, signer: Signer) -> Request:
    return signer.sign("POST", f"{API}/orders", body=ORDER, now=int(shop.clock.now))
