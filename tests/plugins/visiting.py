"""A person in front of a person server's real pages: comes when called, or does not; decides, or does not."""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin

from aauthkit.agent import Errand
from aauthkit.demo.visitor import Form, Page, Visitor
from aauthkit.egress import Egress

PASSWORD = "correct horse, battery staple"
PATIENCE = 10.0
"""Seconds after which somebody who waits for something to happen gives up: the test has failed."""


class Someone:
    """A person with an account and a browser of their own. `page` is what they look at."""

    def __init__(self, server: str, egress: Egress, name: str, password: str = PASSWORD) -> None:
        self.server = server
        self.name = name
        self.password = password
        self._visitor = Visitor(egress)
        self._page: Page | None = None

    @property
    def page(self) -> Page:
        assert self._page is not None, f"{self.name} looks at nothing yet"
        return self._page

    async def opens(self, url: str) -> Page:
        """Go to a page of the server; a path is one of it."""
        self._page = await self._visitor.get(urljoin(f"{self.server}/", url))
        return self._page

    async def presses(self, form: Form, *fields: tuple[str, str]) -> Page:
        """Send a form of the page, with `fields` in the place of those it has of the same names."""
        named = {name for name, _ in fields}
        kept = [(name, value) for name, value in form.fields if name not in named]
        self._page = await self._visitor.post(self.page, form, [*kept, *fields])
        return self._page

    async def comes(self, errand: Errand) -> Page:
        """Follow an agent's way: compare the code, press the button, sign in where that is asked for."""
        page = await self.opens(errand.url_with_code)
        assert errand.code in page.text, "the page shows another code than the agent"
        page = await self.presses(page.form("/interaction/"))
        return await self.signs_in() if "/signin" in page.url else page

    async def signs_in(self) -> Page:
        if self._page is None or "/signin" not in self.page.url:
            await self.opens("/signin")
        return await self.presses(self.page.form("/signin"), ("name", self.name), ("password", self.password))

    async def signs_up(self, invitation: str) -> Page:
        """Make an account with an invitation, by its page."""
        page = await self.opens(f"/signup?invite={invitation}")
        return await self.presses(page.form("/signup"), ("name", self.name), ("password", self.password))

    async def finds(self) -> Page:
        """Wait at the home page until a question appears, and open it."""
        async with asyncio.timeout(PATIENCE):
            while (waiting := (await self.opens("/")).link("/decide/")) is None:
                await asyncio.sleep(0.01)
        return await self.opens(waiting)

    async def has_questions(self) -> bool:
        """Whether anything waits for them."""
        return (await self.opens("/")).link("/decide/") is not None

    @property
    def asked(self) -> list[str]:
        """The scope values that the page in front of them asks for; none where it asks who the agent acts for."""
        return self.page.form("/decide/").choices.get("scope", [])

    async def approves(self, *scope: str, memory: str = "once") -> Page:
        """Tick `scope` and nothing else, and approve."""
        form = self.page.form("/decide/")
        assert set(scope) <= set(form.choices.get("scope", [])), "something is ticked that was not asked for"
        kept = Form(form.action, [field for field in form.fields if field[0] != "scope"])
        ticked = [("scope", value) for value in scope]
        page = await self.presses(kept, *ticked, ("memory", memory), ("verdict", "approved"))
        assert page.heading == "You approved", page.text
        return page

    async def denies(self) -> Page:
        page = await self.presses(self.page.form("/decide/"), ("verdict", "denied"))
        assert page.heading == "You denied", page.text
        return page

    async def leaves(self) -> Page:
        """End the question without an answer, by its own button."""
        page = await self.presses(self.page.form("/decide/"), ("verdict", "left"))
        assert page.heading == "You left it open", page.text
        return page

    async def takes_back(self) -> Page:
        """Take the first thing back that was allowed."""
        page = await self.opens("/allowed")
        return await self.presses(page.form("/allowed/"))

    async def close(self) -> None:
        await self._visitor.close()
