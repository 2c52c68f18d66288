"""Role servers under their own names, over real TLS: what `answer` says goes out on a loopback port."""

from __future__ import annotations

import asyncio

from aauthkit.protocol.messages import Answer
from aauthkit.serving import BytesBody, Request, Server
from tests.plugins.tls import Internet, LoopbackServer, Received, Reply


class RoleServer(LoopbackServer):
    """One role at one name."""

    def __init__(self, internet: Internet, host: str, server: Server) -> None:
        super().__init__(internet.authority.server_context(host), lambda _: Reply(500))
        self._role = server

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        length = int(next((value for name, value in headers if name == "content-length"), "0"))
        request = Received(method, target, headers, await reader.readexactly(length))
        self.requests.append(request)
        peer = writer.get_extra_info("peername")[0]
        answer = await self._role.answer(Request(method, target, headers, BytesBody(request.body), peer))
        await self._write(writer, _reply(answer).head() + answer.body, 0)
        return request.header("connection") != "close"


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, answer.headers, answer.body)


async def host(internet: Internet, name: str, server: Server) -> RoleServer:
    """Serve `server` as `https://{name}`."""
    hosted = RoleServer(internet, name, server)
    await internet.add(name, hosted)
    return hosted
