"""ASGI applications under a real uvicorn on loopback, over real TLS where a name is given."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from tests.plugins.tls import Authority


class _Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def reserved(port: int = 0) -> socket.socket:
    """A port of loopback that nobody else gets, for `served`; until then it takes no connection."""
    # Of the protocol by name: asyncio leaves Nagle's algorithm on for a socket that does not say it is TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


@asynccontextmanager
async def served(
    app: Any,
    authority: Authority | None = None,
    name: str = "",
    *,
    listener: socket.socket | None = None,
    **options: Any,
) -> AsyncIterator[int]:
    """Serve `app`, and give the port; with `authority`, under its certificate for `name`. `options` as of uvicorn."""
    files = authority.files(name) if authority is not None else None
    config = uvicorn.Config(
        app,
        http="h11",
        log_level="critical",
        ssl_certfile=str(files.certificate) if files else None,
        ssl_keyfile=str(files.key) if files else None,
        **{"lifespan": "on", **options},
    )
    server = _Server(config)
    listener = listener or reserved()
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        assert server.started, "the application did not start"
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        listener.close()


async def raw_exchange(port: int, message: bytes) -> bytes:
    """What a server without TLS answers to these very bytes, until it closes or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    await writer.drain()
    answer = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while chunk := await reader.read(65536):
                answer += chunk
                head, _, body = answer.partition(b"\r\n\r\n")
                length = next(
                    (line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b""
                )
                if length and len(body) >= int(length.split(b":")[1]):
                    break
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer
