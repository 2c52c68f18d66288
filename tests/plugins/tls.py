"""Real TLS for tests: a certificate authority, and issuers that listen on loopback under their real names.

`internet` gathers the servers of one test; its `egress()` maps their names to their ports and trusts its CA, so that
parties find each other as `https://person.example`. An `IssuerServer` is honest until one of its knobs is turned:

    issuer = await internet.issuer("agents.example", AGENT_DWK)
    issuer.metadata["issuer"] = "https://evil.example"              # lies about who it is
    issuer.replies[issuer.jwks_path] = Reply(status=302, ...)       # or answers anything at all
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from aauthkit.egress import Egress
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.tokens import AGENT_DWK


class Clock:
    """A clock that moves when it is told to. Seconds since the epoch."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class CertificateFiles:
    """What a server that wants files is given (`ssl_certfile`, `ssl_keyfile` of uvicorn)."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority, and its certificates by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))
        self._contexts: dict[str, ssl.SSLContext] = {}

    def server_context(self, name: str) -> ssl.SSLContext:
        """A server's context with a certificate for `name`."""
        if name not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._ca.issue_cert(name).configure_cert(context)
            self._contexts[name] = context
        return self._contexts[name]

    def files(self, name: str) -> CertificateFiles:
        """The same certificate as files, the key readable by its owner only."""
        stem = self._folder / name.replace("*", "_")
        files = CertificateFiles(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        if not files.certificate.exists():
            leaf = self._ca.issue_cert(name)
            files.key.touch(mode=0o600)
            leaf.private_key_pem.write_to_path(str(files.key))
            files.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return files


def signing_key(seed: str, alg: str = "Ed25519") -> SigningKey:
    """The key of that seed, the same in every run."""
    return SigningKey(alg, hashlib.sha256(seed.encode()).digest())  # type: ignore[arg-type]


@dataclass(frozen=True)
class Received:
    """A request as the server got it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Reply:
    """An answer, and how it is given. `gate` holds it back, `drip` spaces its bytes, `raw` replaces it whole."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    body: bytes = b""
    gate: asyncio.Event | None = None
    drip: float = 0.0
    raw: bytes | None = None
    length: bool = True
    """Whether Content-Length is sent; without it the end of the connection ends the body."""

    def head(self) -> bytes:
        fields = [*self.headers, *([("content-length", str(len(self.body)))] if self.length else [])]
        lines = [f"HTTP/1.1 {self.status} Reply", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_reply(value: object, *headers: tuple[str, str], status: int = 200) -> Reply:
    """`value` as JSON."""
    return Reply(status, (("content-type", "application/json"), *headers), json.dumps(value).encode())


class LoopbackServer:
    """A small HTTP/1.1 server on a loopback address that records what it is asked and answers what it is told to."""

    def __init__(self, context: ssl.SSLContext | None, respond: Callable[[Received], Reply]) -> None:
        self._context = context
        self._respond = respond
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self.connections = 0
        self.requests: list[Received] = []
        self.address = "127.0.0.1"
        self.port = 0

    async def start(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self._server = await asyncio.start_server(self._serve, address, self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection; `start` opens the same port again."""
        if self._server is not None:
            self._server.close()
            serving, self._serving = self._serving, {}
            for task, writer in serving.items():
                task.cancel()
                writer.transport.abort()
            if serving:
                await asyncio.wait(serving)
            await self._server.wait_closed()
            self._server = None

    def count(self, path: str) -> int:
        """How often that path was asked for."""
        return sum(1 for request in self.requests if request.target.partition("?")[0] == path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._serving[task] = writer
        gone = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, ValueError)
        with suppress(*gone):
            while await self._one(reader, writer):
                pass
        writer.close()
        with suppress(*gone):
            await writer.wait_closed()
        self._serving.pop(task, None)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        length = int(next((value for name, value in headers if name == "content-length"), "0"))
        request = Received(method, target, headers, await reader.readexactly(length))
        self.requests.append(request)
        reply = self._respond(request)
        if reply.gate is not None:
            await reply.gate.wait()
        whole = reply.raw if reply.raw is not None else reply.head() + (b"" if method == "HEAD" else reply.body)
        await self._write(writer, whole, reply.drip)
        return reply.length and reply.raw is None and request.header("connection") != "close"

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, drip: float) -> None:
        if not drip:
            writer.write(data)
            await writer.drain()
            return
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(drip)


class IssuerServer(LoopbackServer):
    """An issuer under its own name: metadata and JWKS, honest until a knob is turned."""

    def __init__(self, authority: Authority, host: str, dwk: str = AGENT_DWK, *, certified: str | None = None) -> None:
        super().__init__(authority.server_context(certified or host), self._reply)
        self.host = host
        self.iss = f"https://{host}"
        self.dwk = dwk
        self.key = signing_key(host)
        self.metadata_path = f"/.well-known/{dwk}"
        self.jwks_path = "/jwks.json"
        self.metadata: dict[str, Any] = {
            "issuer": self.iss,
            "jwks_uri": self.iss + self.jwks_path,
            **{name: f"{self.iss}/{name}" for name in _ENDPOINTS.get(dwk, ())},
        }
        self.jwks: dict[str, Any] = {"keys": [self.key.public.jwk]}
        self.metadata_headers: tuple[tuple[str, str], ...] = ()
        self.jwks_headers: tuple[tuple[str, str], ...] = ()
        self.replies: dict[str, Reply] = {}
        """Answers that replace the honest one, by path."""

    @property
    def kid(self) -> str:
        return self.key.kid

    @property
    def jwks_fetches(self) -> int:
        return self.count(self.jwks_path)

    @property
    def metadata_fetches(self) -> int:
        return self.count(self.metadata_path)

    def rotate(self, seed: str, *, kid: str | None = None) -> SigningKey:
        """Publish another key instead of the present one; `kid` gives it a name that is not its own."""
        self.key = signing_key(seed)
        self.jwks = {"keys": [{**self.key.public.jwk, "kid": kid or self.key.kid}]}
        return self.key

    def _reply(self, request: Received) -> Reply:
        path = request.target.partition("?")[0]
        if path in self.replies:
            return self.replies[path]
        if path == self.metadata_path:
            return json_reply(self.metadata, *self.metadata_headers)
        if path == self.jwks_path:
            return json_reply(self.jwks, *self.jwks_headers)
        return json_reply({"error": "not_found"}, status=404)


_ENDPOINTS = {
    "aauth-person.json": ("auth_token_endpoint", "person_token_endpoint"),
    "aauth-access.json": ("auth_token_endpoint",),
}


@dataclass
class Internet:
    """The servers of one test, by name."""

    authority: Authority
    servers: dict[str, LoopbackServer] = field(default_factory=dict)

    async def issuer(self, host: str, dwk: str = AGENT_DWK, *, certified: str | None = None) -> IssuerServer:
        """Start an issuer; `certified` gives it a certificate for another name."""
        server = IssuerServer(self.authority, host, dwk, certified=certified)
        await self.add(host, server)
        return server

    async def serve(
        self, host: str, respond: Callable[[Received], Reply], *, tls: bool = True, address: str = "127.0.0.1"
    ) -> LoopbackServer:
        """Start a server that answers as `respond` says."""
        server = LoopbackServer(self.authority.server_context(host) if tls else None, respond)
        await self.add(host, server, address)
        return server

    async def add(self, host: str, server: LoopbackServer, address: str = "127.0.0.1") -> None:
        await server.start(address)
        self.servers[host] = server

    @property
    def names(self) -> dict[str, tuple[str, int]]:
        """Where each name is reached."""
        return {host: (server.address, server.port) for host, server in self.servers.items()}

    def egress(self, **more: Any) -> Egress:
        """The configuration under which every server of this test is reached; `more` as of `Egress`."""
        return Egress(**{"names": self.names, "ca_file": self.authority.ca_file, **more})

    async def close(self) -> None:
        for server in self.servers.values():
            await server.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority of the whole run."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
async def internet(authority: Authority, anyio_backend: str) -> AsyncIterator[Internet]:
    """An empty internet; every server started on it is stopped at the end."""
    internet = Internet(authority)
    yield internet
    await internet.close()
