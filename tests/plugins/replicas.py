"""Real processes of `aauthkit person serve` on one database, behind a plain proxy that takes each in turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import h11

from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.messages import Answer
from aauthkit.serving import Request
from aauthkit.store import open_database
from tests.plugins.commands import PATIENCE, Commands, Running, own_ports
from tests.plugins.people import World
from tests.plugins.signing import Issuer

SECRET = {"AAUTHKIT_KEYS_PASSPHRASE": "one secret for all replicas"}


class Proxy:
    """Each connection goes to the next of the ports that takes it."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._turn = count()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        with contextlib.suppress(OSError):
            for _ in self.ports:
                port = self.ports[next(self._turn) % len(self.ports)]
                try:
                    behind, ahead = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    continue  # this one is down: the next one is asked
                await asyncio.gather(_pump(reader, ahead), _pump(behind, writer))
                break
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


class Distant:
    """A server in another process, spoken to over a connection of its own for each request."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def answer(self, request: Request) -> Answer:
        """What it answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            content = await request.read()
            fields = [(name, value) for name, value in request.headers if name != "content-length"]
            fields += [("content-length", str(len(content)))] if content else []
            fields += [("connection", "close")]
            peer = h11.Connection(h11.CLIENT)
            writer.write(peer.send(h11.Request(method=request.method, target=request.target, headers=fields)) or b"")
            writer.write(peer.send(h11.Data(data=content)) or b"")
            writer.write(peer.send(h11.EndOfMessage()) or b"")
            return await _answer(peer, reader)
        finally:
            writer.close()


async def _answer(peer: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    head: Any = None
    content = b""
    while True:
        match peer.next_event():
            case h11.NEED_DATA:
                peer.receive_data(await reader.read(65536))
            case h11.Response() as head:
                pass
            case h11.Data(data=chunk):
                content += chunk
            case _:
                break
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    return Answer(head.status_code, headers, content)


@dataclass
class Others:
    """The documents of provider and resources, and what resources were told of revocations."""

    documents: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)
    deaf: set[str] = field(default_factory=set)

    def publish(self, issuer: Issuer, dwk: str, **members: Any) -> None:
        """An issuer's metadata and keys."""
        host = issuer.iss.partition("://")[2]
        document = {"issuer": issuer.iss, "jwks_uri": f"{issuer.iss}/.well-known/jwks.json", **members}
        self.documents[host, f"/.well-known/{dwk}"] = document
        self.documents[host, "/.well-known/jwks.json"] = issuer.jwks()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split("\r\n", 1)[0].split(" ")
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            content = await reader.readexactly(int(fields.get("content-length", "0")))
            status, body = self._answer(method, fields["host"], path, content)
            writer.write(_head(status, body) + body)
            await writer.drain()
        writer.close()

    def _answer(self, method: str, host: str, path: str, content: bytes) -> tuple[int, bytes]:
        if method == "POST":
            if host in self.deaf:
                return 503, b""
            self.told.append((host, json.loads(content)["jti"]))
            return 200, b""
        document = self.documents.get((host, path))
        return (404, b"") if document is None else (200, json.dumps(document).encode())


def _head(status: int, body: bytes) -> bytes:
    kind = "content-type: application/json\r\n" if body else ""
    return f"HTTP/1.1 {status} -\r\n{kind}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()


@dataclass
class Replicas:
    """The processes, everybody around them, and the world as seen through the proxy."""

    commands: Commands
    url: str
    issuer: str
    proxy: Proxy
    others: Others
    resources: list[Issuer]
    environment: dict[str, str]
    world: World
    running: list[Running] = field(default_factory=list)
    operations: list[int] = field(default_factory=list)

    def start(self, *words: str) -> None:
        """One more process."""
        self.proxy.ports.append(next(own_ports))
        self.operations.append(next(own_ports))
        self.running.append(self._begin(self.proxy.ports[-1], self.operations[-1], *words))

    def _begin(self, port: int, operations: int, *words: str) -> Running:
        running = self.commands.start(
            *("person", "serve", "--issuer", self.issuer, "--database", self.url, "--keys", "database"),
            *("--listen", str(port), "--operations", str(operations), "--agent-provider", "any", "--resource", "any"),
            *words,
            env=self.environment,
        )
        running.wait_for("Application startup complete")
        running.wait_to_listen(port)
        return running

    def restart(self, number: int) -> None:
        """One that was killed runs again, where it ran."""
        self.running[number] = self._begin(self.proxy.ports[number], self.operations[number])

    def kill(self, number: int) -> None:
        """End one with -9; the proxy finds out by itself."""
        self.running[number].send(signal.SIGKILL)
        self.running[number].process.wait(PATIENCE)

    def through(self, number: int) -> World:
        """The same world, where everybody speaks with one process only."""
        other = World.__new__(World)
        other.__dict__.update(self.world.__dict__)
        other.server = Distant(self.proxy.ports[number])  # type: ignore[assignment]
        return other

    def operator(self, *words: str) -> Any:
        """A command beside the running servers, and its outcome."""
        ran = self.commands.run(
            "person", *words, "--issuer", self.issuer, "--database", self.url, "--json", env=self.environment
        )
        assert ran.code == 0, ran.err
        return ran.json


async def until(condition: Any) -> None:
    """Return once `condition` holds."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline, "it never came to be"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def replicated(commands: Commands, url: str, folder: Path, number: int = 2) -> AsyncIterator[Replicas]:
    """So many processes on one database, at work."""
    ports = [next(own_ports) for _ in range(4)]
    issuer, provider, *resources = (
        f"http://{host}.localhost:{port}"
        for host, port in zip(("person", "agents", "orders", "stock"), ports, strict=True)
    )
    egress = folder / "egress.json"
    egress.write_text(json.dumps({"loopback": [issuer, provider, *resources]}))
    proxy, others = Proxy(), Others()
    memory = await open_database("sqlite://:memory:")
    world = World(memory, issuer=issuer, loopback=LoopbackProfile(frozenset((issuer, provider, *resources))))
    world.clock.now = time.time()
    world.provider = Issuer(provider)
    others.publish(world.provider, "aauth-agent.json", name="Agents")
    made = [Issuer(resource) for resource in resources]
    for resource in made:
        others.publish(
            resource, "aauth-resource.json", access_mode="auth-token", revocation_endpoint=f"{resource.iss}/revoke"
        )
    world.server = Distant(ports[0])  # type: ignore[assignment]
    listening = [await asyncio.start_server(proxy.serve, "127.0.0.1", ports[0])]
    listening += [await asyncio.start_server(others.serve, "127.0.0.1", port) for port in ports[1:]]
    replicas = Replicas(commands, url, issuer, proxy, others, made, {**SECRET, "AAUTHKIT_EGRESS": str(egress)}, world)
    try:
        for _ in range(number):
            await asyncio.to_thread(replicas.start)
        yield replicas
    finally:
        for running in replicas.running:
            if running.process.poll() is None:
                running.send(signal.SIGTERM)
                await asyncio.to_thread(running.end)
        for server in listening:
            server.close()
        await memory.close()
