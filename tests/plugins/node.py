"""Peers from npm as processes of their own, in the world of a test: its names, its certificates, and nothing mocked."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import node
from tests.plugins.machine import not_run
from tests.plugins.tls import Authority

Names = Mapping[str, tuple[str, int]]
_LINE = 2**20


def program() -> Path:
    """The `node` to run; the calling test is not run where there is none."""
    found = node.find()
    if found is None:
        not_run("the tests with peers from npm", node.HOW)
    return found


@asynccontextmanager
async def running(
    authority: Authority, names: Names, script: Path, environment: Mapping[str, str], *, cwd: Path = node.FOLDER
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that reaches `names` where they are and trusts the authority of the run; ended at the end."""
    added = {"NODE_EXTRA_CA_CERTS": str(authority.ca_file), "AAUTHKIT_NAMES": json.dumps(names), **environment}
    process = await asyncio.create_subprocess_exec(
        str(program()),
        "--no-warnings",
        "--import",
        str(node.FOLDER / "names.mjs"),
        str(script),
        cwd=cwd,
        env={**os.environ, **added},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass
class HttpSig:
    """`@hellocoop/httpsig` in a process."""

    process: asyncio.subprocess.Process

    async def ask(self, command: str, **members: Any) -> Any:
        """What it answers to one command."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"command": command, **members}).encode() + b"\n")
        await self.process.stdin.drain()
        answer = json.loads(await self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer

    async def serve(self, authority: Authority, host: str, *, seen_as: str | None = None, **options: Any) -> int:
        """A server of that name which answers what its `verify` says, with `options`; the port it listens on.

        `seen_as`: the authority that it takes itself for.
        """
        files = authority.files(host)
        paths = {"certificate": str(files.certificate), "key": str(files.key)}
        answer = await self.ask("serve", **paths, authority=seen_as or host, options=options)
        return int(answer["port"])

    async def fetch(self, method: str, url: str, **options: Any) -> Any:
        """The answer to a request that its `fetch` signs and sends; options as of that."""
        return await self.ask("fetch", url=url, options={"method": method, **options})

    async def read(self, reader: str, value: str) -> Any:
        """What one of its readers makes of a header field."""
        return await self.ask("read", reader=reader, value=value)


@asynccontextmanager
async def httpsig(authority: Authority, names: Names) -> AsyncIterator[HttpSig]:
    """The package in a process."""
    async with running(authority, names, node.FOLDER / "peer.mjs", {}) as process:
        yield HttpSig(process)


@asynccontextmanager
async def mockin(authority: Authority, names: Names, issuer: str) -> AsyncIterator[int]:
    """`@hellocoop/mockin` as `issuer`, behind a front that ends TLS; the port of the front."""
    package = node.FOLDER / "node_modules" / "@hellocoop" / "mockin"
    environment = {"ISSUER": issuer, "PORT": "0", "IP": "127.0.0.1"}
    async with running(authority, names, package / "src/server.js", environment, cwd=package) as process:
        assert process.stdout is not None
        while b"listening on" not in (line := await process.stdout.readline()):
            assert line, "mockin did not start"
        port = int(line.decode().rstrip().rpartition(":")[2])
        async with tls_front(authority, issuer.removeprefix("https://"), port) as front:
            yield front


@asynccontextmanager
async def tls_front(authority: Authority, host: str, port: int) -> AsyncIterator[int]:
    """What ends TLS for `host` and passes every byte on to a plain port of this machine; the port it listens on."""
    pipes: set[asyncio.Task[Any]] = set()

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        pipes.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            # An end by cancelling is one: asyncio's own callback would report it as a failure.
            with suppress(asyncio.CancelledError):
                await asyncio.gather(one_way(reader, inner_writer), one_way(inner_reader, writer))
        finally:
            inner_writer.close()
            writer.close()
            pipes.discard(task)

    server = await asyncio.start_server(pipe, "127.0.0.1", 0, ssl=authority.server_context(host))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(pipes):
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
