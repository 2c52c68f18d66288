"""No connection is left open by a call that ends on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aauthkit.agent import TokenRefused
from aauthkit.egress import Egress
from tests.plugins.simulators import AGENT, OpenClient, Parties, json_body

pytestmark = pytest.mark.anyio


async def test_a_connection_is_closed_where_its_tls_handshake_is_cancelled(tmp_path: Path) -> None:
    """The other side sees the end at once, and not when somebody collects garbage."""
    opened: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()
    kept: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(writer)
        await opened.put(reader)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    egress = Egress(names={"slow.example": ("127.0.0.1", port)})
    import httpx2

    async with httpx2.AsyncClient(transport=egress.async_transport(), trust_env=False) as http:
        call = asyncio.ensure_future(http.get("https://slow.example/"))
        reader = await opened.get()
        await reader.read(1)  # the handshake is under way
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(10):
            while await reader.read(4096):
                pass
    kept[0].close()
    server.close()
    await server.wait_closed()


async def test_a_response_that_is_refused_at_last_frees_its_connection(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.3: a session token that is none; the next call goes over the same connection, or another, and none is lost."""
    parties.resource.needs["/agent"] = AGENT
    parties.resource.script["/agent"] = [json_body({"big": "x" * 200_000}, ("aauth-access", 'not "a token"'))]
    client = open_client(parties.agent())
    with pytest.raises(TokenRefused):
        await client.get("https://api.example/agent")
    assert (await client.get("https://api.example/agent")).status == 200
