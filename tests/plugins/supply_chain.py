"""The whole supply chain as processes of its own, and people in front of its page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aauthkit.agent import Errand
from aauthkit.demo.supply_chain.admitting import standing_by
from aauthkit.demo.supply_chain.places import PORTS, Place
from aauthkit.demo.visitor import Form, Page, Visitor
from aauthkit.egress import Egress
from aauthkit.supervision import Supervisor
from tests.plugins.commands import Commands
from tests.plugins.visiting import PASSWORD, PATIENCE, Someone


@dataclass
class Chain:
    """The programs, their provider and their person server. `admitted` are the agents that were let in."""

    place: Place
    supervisor: Supervisor
    admitted: list[str] = field(default_factory=list)

    def url(self, program: str, path: str = "/") -> str:
        return f"{self.place.origin(program)}{path}"

    def log(self, program: str) -> str:
        return (self.place.found.root / "logs" / f"{program}.log").read_text()

    def buyer(self, name: str) -> Buyer:
        return Buyer(self, name)


@asynccontextmanager
async def open_chain(folder: Path) -> AsyncIterator[Chain]:
    """All seven processes, on ports that no other test takes; whoever runs them admits the programs' agents."""
    found = Commands(folder, folder / "unused").settle(folder / "chain", *PORTS)
    place = Place(found, Egress.from_file(found.egress_file))
    with Supervisor(found.root / "logs") as supervisor:
        found.start(supervisor)
        chain = Chain(place, supervisor)
        async with standing_by(found, chain.admitted.append):
            await place.start(supervisor)
            yield chain


class Buyer:
    """A person with one browser for the page, and one for their person server."""

    def __init__(self, chain: Chain, name: str) -> None:
        self.chain = chain
        self.desk = Visitor(chain.place.egress)
        self.home = Someone(chain.place.found.person, chain.place.egress, name, PASSWORD)

    async def page(self) -> Page:
        return await self.desk.get(self.chain.url("web"))

    async def posts(self, form: Form, *fields: tuple[str, str], page: Page | None = None) -> Page:
        """Send a form of the page, with `fields` in the place of those it has of the same names."""
        named = {name for name, _ in fields}
        kept = [(name, value) for name, value in form.fields if name not in named]
        return await self.desk.post(page or await self.page(), form, [*kept, *fields])

    async def types(self, prompt: str) -> int:
        """Start a run; its number."""
        page = await self.page()
        page = await self.posts(page.forms[0], ("prompt", prompt), page=page)
        assert page.status == 200, page.text
        return int(page.form("/stop").action.split("/")[2])

    async def run(self, number: int) -> dict[str, Any]:
        page = await self.desk.get(self.chain.url("web", f"/runs/{number}"))
        assert page.status == 200, page.text
        run: dict[str, Any] = json.loads(page.text)
        return run

    async def ended(self, number: int) -> dict[str, Any]:
        """The run, once it has come to its end."""
        async with asyncio.timeout(3 * PATIENCE):
            while (run := await self.run(number))["state"] == "under way":
                await asyncio.sleep(0.05)
        return run

    async def is_asked(self) -> Errand:
        """Where the page sends the person."""
        async with asyncio.timeout(3 * PATIENCE):
            while (link := (await self.page()).link("/interaction/")) is None:
                await asyncio.sleep(0.05)
        parts = urlsplit(link)
        assert f"{parts.scheme}://{parts.netloc}" == self.chain.place.found.person
        url, _, code = link.partition("?code=")
        return Errand(link, url, code, "interaction", self.chain.place.found.person)

    async def comes(self) -> Page:
        """Follow the page's way to the person server, where they make an account if they have none."""
        page = await self.home.comes(await self.is_asked())
        if "/signin" in page.url:
            link = page.link("/signup")
            assert link is not None
            await self.home.opens(link)
            form = self.home.page.form("/signup")
            page = await self.home.presses(form, ("name", self.home.name), ("password", PASSWORD))
        return page

    async def allows(self, *scope: str) -> None:
        """Agree to both questions."""
        await self.comes()
        await self.home.approves()
        await self.home.finds()
        await self.home.approves(*scope)

    async def close(self) -> None:
        await self.desk.close()
        await self.home.close()
