"""An API on FastAPI in which every handler notes that it ran, so that a test can say that none did."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from aauthkit.protocol.messages import Answer
from aauthkit.resource.fastapi import install, protect
from aauthkit.serving import Request
from tests.plugins.resources import World, ask, requirement


class Shop:
    """A FastAPI application in which every handler notes that it ran."""

    def __init__(self, world: World) -> None:
        self.ran: list[str] = []
        self.app = FastAPI()
        self.resource = resource = world.resource()
        install(self.app, resource)

        @self.app.get("/agent/{path:path}", dependencies=[protect(resource.agent())])
        async def agent(path: str) -> str:
            return self.note("agent")

        @self.app.get("/me", dependencies=[protect(resource.person())])
        async def me() -> str:
            return self.note("me")

        @self.app.get("/orders", dependencies=[protect(resource.grant("orders.read"))])
        async def orders() -> str:
            return self.note("orders")

        @self.app.post("/orders", dependencies=[protect(resource.grant("orders.place"))])
        async def place() -> str:
            return self.note("place")

        @self.app.delete("/orders", dependencies=[protect(resource.grant("orders.cancel"))])
        async def cancel() -> str:
            return self.note("cancel")

    def note(self, name: str) -> str:
        self.ran.append(name)
        return name

    async def refuse(self, request: Request, error: str, status: int = 401, **more: Any) -> Answer:
        """Send what must be refused; nothing may run."""
        before = len(self.ran)
        answer = await ask(self.app, request, **more)
        assert len(self.ran) == before, "a handler ran"
        assert answer.status == status, (answer.status, answer.body)
        if status == 401:
            value = answer.header("signature-error") or ""
            assert value.split(",")[0] == f"error={error}", (value, answer.body)
            assert answer.header("content-type") == "application/problem+json"
        asked = requirement(answer)
        assert asked is None or asked.value != "auth-token"
        return answer

    async def serve(self, request: Request) -> Answer:
        answer = await ask(self.app, request)
        assert answer.status == 200, (answer.status, answer.headers, answer.body)
        return answer
