"""What protection costs a server: a protected route over a bare one, a call that was held over two that were not.

Both by the processor time of a FastAPI application under uvicorn, in a process of its own, which is what bounds a
server that is busy. What it is sent was signed before; tokens were seen before, requests never.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aauthkit.serving import BytesBody, Request
from tests.plugins.serving import reserved
from tests.plugins.signing import Issuer, Signer, new_key

from .measuring import ROUNDS, Figure
from .route_server import API, ISSUER

REQUESTS = 400
"""Requests of each kind in a round."""
CONNECTIONS = 8
HELD = 60
"""Calls that are held, in a round: hardly more are kept for one caller."""
ORDER = b'{"item":"lamp"}'
_CLIENT = (("accept", "*/*"), ("accept-encoding", "gzip, deflate"), ("user-agent", "bench/1.0"))


async def protected_route_over_bare() -> Figure:
    """Requests per second of a FastAPI route that needs a grant, over those of one that needs nothing."""
    issuer, rounds = Issuer(ISSUER), []
    with _routes(issuer) as port:
        for _ in range(ROUNDS + 1):
            plain = [_wire(Request("GET", "/bare/orders", (("host", "api.example"), *_CLIENT)))] * REQUESTS
            reader = Caller(issuer, "orders.read").grant
            signed = [_wire(reader.sign("GET", f"{API}/orders", headers=_CLIENT, now=_now())) for _ in plain]
            bare, protected = 0.0, 0.0
            for start in range(0, REQUESTS, REQUESTS // 4):
                bare += (await _answered(port, plain[start : start + REQUESTS // 4], 200))[0]
                protected += (await _answered(port, signed[start : start + REQUESTS // 4], 200))[0]
            rounds.append(bare / protected)
    what = "requests/s of a protected over a bare FastAPI route under uvicorn (h11), by the server's processor time"
    return Figure("protected_route_over_bare", what, 0.65, "higher", rounds[1:], f"{REQUESTS} requests of each a round")


async def deferred_over_direct() -> Figure:
    """A call that is held, and run by the poll that brings its auth token, over two calls that had theirs at once."""
    issuer, rounds = Issuer(ISSUER), []
    with _routes(issuer) as port:
        for _ in range(ROUNDS + 1):
            rounds.append(await _deferred(port, Caller(issuer, "orders.place")))
    what = "a call held and then run by its poll, over two plain authorized calls, every step durable on SQLite"
    return Figure("deferred_over_direct", what, 1.5, "lower", rounds[1:], f"{HELD} calls a round, under uvicorn (h11)")


async def _deferred(port: int, caller: Caller) -> float:
    held = direct = 0.0
    for _ in range(4):
        orders = [_wire(caller.order(caller.person)) for _ in range(HELD // 4)]
        spent, heads = await _answered(port, orders, 202)
        pending = [head.partition(b"location: ")[2].partition(b"\r\n")[0].decode() for head in heads]
        polls = [_wire(caller.grant.sign("GET", url, headers=_CLIENT, now=_now())) for url in pending]
        held += spent + (await _answered(port, polls, 201))[0]
        plain = [_wire(caller.order(caller.grant)) for _ in range(HELD // 2)]
        direct += (await _answered(port, plain, 201))[0]
    return held / direct


class Caller:
    """An agent with a person token and an auth token, for one key."""

    def __init__(self, issuer: Issuer, scope: str) -> None:
        key, now = new_key(), _now()
        self.person = Signer.token(key, issuer.person_token(key.public, API, now=now))
        self.grant = Signer.token(key, issuer.auth_token(key.public, API, scope, now=now))

    def order(self, signer: Signer) -> Request:
        return signer.sign("POST", f"{API}/orders", body=ORDER, headers=_CLIENT, now=_now())


def _now() -> int:
    return int(time.time())


# The server, and what is sent to it.


@contextmanager
def _routes(issuer: Issuer) -> Iterator[int]:
    listener = reserved()
    port = int(listener.getsockname()[1])
    listener.close()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.route_server", str(port), str(Path(folder) / "orders.db")]
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
    body = request.body.data if isinstance(request.body, BytesBody) else b""
    return f"{request.method} {request.target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1") + body


async def _answered(port: int, messages: Sequence[bytes], status: int) -> tuple[float, list[bytes]]:
    """Seconds of the server's processor time for these requests, over several connections; and the heads of answers."""
    begun = await _spent(port)
    shares = [messages[number::CONNECTIONS] for number in range(CONNECTIONS)]
    answers = await asyncio.gather(*(_send(port, share, status) for share in shares if share))
    spent = await _spent(port) - begun
    return spent, [head for share in answers for head, _ in share]


async def _send(port: int, messages: Sequence[bytes], status: int) -> list[tuple[bytes, bytes]]:
    """Head and body of each answer; each request is sent once the one before it was answered, on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for message in messages:
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answers.append((head, await reader.readexactly(length)))
        assert head.startswith(b"HTTP/1.1 %d" % status), answers[-1]
    writer.close()
    return answers


async def _spent(port: int) -> float:
    ((_, body),) = await _send(port, [_wire(Request("GET", "/spent", (("host", "api.example"),)))], 200)
    return float(body)
