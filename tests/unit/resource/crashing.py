"""A process that dies while it runs a held call: `python -m tests.unit.resource.crashing URL MARKS`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aauthkit.protocol.jose import SigningKey
from aauthkit.resource.asgi import AAuthMiddleware
from aauthkit.store import open_database
from tests.plugins.remembering import path_of
from tests.plugins.resources import API, World, ask
from tests.plugins.signing import NOW, Issuer


def world_of(told: dict[str, Any]) -> World:
    """The same parties, in another process."""
    return World(
        ps=Issuer("https://ps.example", SigningKey.from_jwk(told["ps"])),
        key=SigningKey.from_jwk(told["key"]),
        resource_key=SigningKey.from_jwk(told["resource"]),
    )


async def main(url: str, marks: Path) -> None:
    """Hold a call, begin it, tell the test, and wait to be killed."""
    world, database = World(), await open_database(url)
    resource = world.resource(store=database, clock=lambda: NOW)
    need = resource.grant("orders.place", deliver="202")
    told = {"ps": world.ps.key.to_jwk(), "key": world.key.to_jwk(), "resource": world.resource_key.to_jwk()}

    async def serve(_scope: Any, _receive: Any, _send: Any) -> None:
        with marks.open("a") as file:
            file.write("ran\n")
        print(json.dumps(told), flush=True)
        await asyncio.sleep(60)

    app = AAuthMiddleware(serve, resource, lambda _scope: need)
    held = await ask(app, world.person().sign("POST", f"{API}/orders", body=b"{}"))
    told["pending"] = path_of(held)  # type: ignore[assignment]
    await ask(app, world.grant("orders.place", jti="the-token").sign("GET", API + path_of(held)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
