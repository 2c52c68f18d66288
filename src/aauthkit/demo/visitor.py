"""The person's part, played without a person: real pages fetched, their real forms filled in and posted.

Nothing here knows the server's insides. A page is read as a browser would read it: links, forms, fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from ..egress import Egress

HEADINGS: Final = {
    "mission": "proposes a mission",
    "update": "says that its work has changed",
    "completion": "says that its mission is done",
    "permission": "asks whether it may do something",
    "question": "has a question for you",
    "relay": "needs you at another place",
}
"""By which words of its heading a page's kind of question is known, where it is not one for a token."""
_DOES: Final = {
    "identity": "approves the agent's acting as them there",
    "mission": "approves the mission",
    "update": "accepts the change",
    "completion": "agrees that it is done",
    "permission": "allows it",
    "question": "answers",
    "relay": "goes there",
}
LOOK_EVERY: Final = 0.5
"""Seconds between two looks at what waits."""


class VisitFailed(Exception):
    """A page that is not what it should be; the message says which and why."""


@dataclass
class Form:
    """One form of a page: where it goes and what it holds."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    """Check boxes and radio buttons by name: every value there is, ticked or not."""
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self._form: Form | None = None
        self._skip = 0
        self._in_heading = False
        self._writing: str | None = None
        self.heading = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(found.get("action", ""))
            self.forms.append(self._form)
        elif tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("script", "style"):
            self._skip += 1
        elif tag == "h1":
            self._in_heading = True
        elif self._form is not None and tag in ("input", "button"):
            self._field(tag, found)
        elif self._form is not None and tag == "textarea":
            self._writing = found.get("name", "")
            self._form.fields.append((self._writing, ""))

    def _field(self, tag: str, found: dict[str, str]) -> None:
        assert self._form is not None
        kind, name, value = found.get("type", "text"), found.get("name", ""), found.get("value", "")
        if tag == "button":
            self._form.buttons.append((name, value))
        elif kind in ("checkbox", "radio"):
            self._form.choices.setdefault(name, []).append(value)
            if "checked" in found:
                self._form.fields.append((name, value))
        elif name:
            self._form.fields.append((name, value))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag in ("script", "style"):
            self._skip -= 1
        elif tag == "h1":
            self._in_heading = False
        elif tag == "textarea":
            self._writing = None

    def handle_data(self, data: str) -> None:
        if self._writing is not None and self._form is not None:
            self._form.fields[-1] = (self._writing, self._form.fields[-1][1] + data)
            return
        if not self._skip and data.strip():
            self.text.append(data.strip())
            if self._in_heading:
                self.heading = f"{self.heading} {data.strip()}".strip()


@dataclass
class Page:
    """A page as it came."""

    url: str
    status: int
    forms: list[Form]
    links: list[str]
    text: str
    heading: str

    def form(self, fragment: str) -> Form:
        """The form whose action holds `fragment`. Raises `VisitFailed`."""
        for found in self.forms:
            if fragment in found.action:
                return found
        raise VisitFailed(f"{self.url} ({self.status}) has no form for {fragment}: {self.text[:200]}")

    def link(self, fragment: str) -> str | None:
        """The first link that holds `fragment`."""
        return next((href for href in self.links if fragment in href), None)


class Visitor:
    """A browser with its own cookies."""

    def __init__(self, egress: Egress) -> None:
        self._client = httpx2.AsyncClient(
            transport=egress.async_transport(), follow_redirects=True, timeout=20.0, trust_env=False
        )

    async def get(self, url: str) -> Page:
        """Open a page."""
        return _page(await self._client.get(url))

    async def post(self, page: Page, form: Form, fields: list[tuple[str, str]]) -> Page:
        """Send a form of `page` with these fields, as its browser would."""
        url = urljoin(page.url, form.action)
        origin = "/".join(page.url.split("/", 3)[:3])
        data: dict[str, Any] = {}
        for name, value in fields:
            data.setdefault(name, []).append(value)
        return _page(await self._client.post(url, data=data, headers={"origin": origin}))

    async def close(self) -> None:
        """Close the browser."""
        await self._client.aclose()


def _page(response: httpx2.Response) -> Page:
    reader = _Reader()
    reader.feed(response.text)
    return Page(
        str(response.url), response.status_code, reader.forms, reader.links, " ".join(reader.text), reader.heading
    )


@dataclass
class Script:
    """What the person does: who they are, which scope values they approve, which kind of question they deny, for how
    long they decide, and what they answer to an agent's own question.
    """

    name: str
    password: str = field(repr=False)
    called: str = "pat"
    """Who they are in the story."""
    approves: frozenset[str] = frozenset()
    denies: frozenset[str] = frozenset()
    memory: str = "once"
    answers: str = "Yes."
    told: Callable[[str], None] = lambda _text: None


class ScriptedPerson:
    """A person who comes when called, decides by a script, and leaves the page open for what comes next."""

    def __init__(self, egress: Egress, script: Script) -> None:
        self._visitor = Visitor(egress)
        self._script = script
        self.decided: list[str] = []

    async def come(self, url_with_code: str, code: str) -> None:
        """Follow the way an agent shows, compare the code, decide, then watch for more until cancelled."""
        page = await self._visitor.get(url_with_code)
        if code not in page.text:
            raise VisitFailed(f"the page does not show the code: {page.text[:200]}")
        form = page.form("/interaction/")
        page = await self._visitor.post(page, form, form.fields)
        page = await self._signed_in(page)
        await self._decide(page)
        home = "/".join(url_with_code.split("/", 3)[:3]) + "/"
        while True:
            waiting = (await self._visitor.get(home)).link("/decide/")
            if waiting is not None:
                await self._decide(await self._visitor.get(urljoin(home, waiting)))
            await asyncio.sleep(LOOK_EVERY)

    async def _signed_in(self, page: Page) -> Page:
        if "/signin" not in page.url:
            return page
        entered = [("name", self._script.name), ("password", self._script.password)]
        form = page.form("/signin")
        attempt = await self._visitor.post(page, form, _filled(form, entered))
        if "/signin" not in attempt.url:
            self._script.told(f"{self._script.called} signs in")
            return attempt
        link = page.link("/signup")
        if link is None:
            raise VisitFailed("nobody of that name has an account, and none can be made")
        page = await self._visitor.get(urljoin(page.url, link))
        form = page.form("/signup")
        page = await self._visitor.post(page, form, _filled(form, entered))
        if "/signup" in page.url:
            raise VisitFailed(f"no account was made: {page.text[:300]}")
        self._script.told(f"{self._script.called} makes an account")
        return page

    async def _decide(self, page: Page) -> None:
        form = page.form("/decide/")
        asked = form.choices.get("scope", [])
        kind = (
            "scope" if asked else next((kind for kind, words in HEADINGS.items() if words in page.heading), "identity")
        )
        denied = kind in self._script.denies
        chosen = self._choices(page, form, kind)
        named = {"scope", *(name for name, _ in chosen)}
        fields = [(name, value) for name, value in form.fields if name not in named]
        verdict = ("verdict", "denied" if denied else "approved")
        self.decided.append(kind)  # the agent may have its answer before this browser has its own
        page = await self._visitor.post(page, form, [*fields, *chosen, verdict])
        if not page.heading.startswith("You denied" if denied else "You approved"):
            raise VisitFailed(f"the decision was not taken: {page.text[:300]}")
        did = _DOES.get(kind) or f"approves {sum(name == 'scope' for name, _ in chosen)} of {len(asked)} things"
        self._script.told(f"{self._script.called} reads who asks for what, and {'denies it' if denied else did}")

    def _choices(self, page: Page, form: Form, kind: str) -> list[tuple[str, str]]:
        """What the script has to say on this page. Raises `VisitFailed` where the page does not offer it."""
        if kind == "question":
            return [("answer", self._script.answers)]
        if kind in HEADINGS:
            return []
        if self._script.memory not in form.choices.get("memory", []):
            raise VisitFailed(f"there is no choice {self._script.memory!r}: {page.text[:300]}")
        approved = [("scope", value) for value in form.choices.get("scope", []) if value in self._script.approves]
        return [*approved, ("memory", self._script.memory)]

    async def close(self) -> None:
        """Close the browser."""
        await self._visitor.close()


def _filled(form: Form, entered: list[tuple[str, str]]) -> list[tuple[str, str]]:
    names = {name for name, _ in entered}
    return [*((name, value) for name, value in form.fields if name not in names), *entered]
