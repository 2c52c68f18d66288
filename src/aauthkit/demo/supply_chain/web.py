"""The page: a sentence to type, what happens to it, and the figures that come back.

It runs in the loopback profile only, and knows people by their browsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from importlib.resources import files
from typing import Any, Final

from ...agent import Agent, AgentHome
from ...asgi import App, Asgi
from ...protocol.messages import Answer, Refusal, json_answer
from ...protocol.problems import Problem, WireError
from ...serving import Handler, Request, Route, Routes
from ...web import Pages, static_routes
from .places import Place
from .reading import EXAMPLE, MAX_PROMPT
from .runs import STAGES, Run, Runner
from .speaking import Hop
from .visitors import Visitor, Visitors

FIELDS: Final = frozenset({"csrf", "prompt"})
REFRESH: Final = 3
"""Seconds between two looks of a browser without JavaScript."""
AGENT_NAME: Final = "buying-desk"


class Web:
    """The page of one installation."""

    def __init__(self, place: Place) -> None:
        origin = place.origin("web")
        numbers, self._run_numbers = itertools.count(1), itertools.count(1)
        self._place = place
        self._visitors = Visitors(origin)
        self._runner = Runner(place.origin("supply-chain"), lambda: next(numbers))
        self._pages = Pages("aauthkit.demo.supply_chain", "Buying desk", loopback=True)
        self._style, style = _stylesheet()
        self._naming = asyncio.Lock()
        self._routes = Routes(
            Route("GET", "/", self._page(self.look)),
            Route("POST", "/runs", self._page(self.start)),
            Route("POST", "/runs/{number}/stop", self._page(self.stop)),
            Route("GET", "/runs/{number}", self.read),
            Route("GET", "/counts", self.count),
            Route("GET", self._style, style),
            *static_routes(),
        )

    async def answer(self, request: Request) -> Answer:
        """The answer to any request."""
        return await self._routes.answer(request)

    async def close(self) -> None:
        """Stop what is under way."""
        await self._visitors.close()

    # Pages

    async def look(self, request: Request) -> Answer:
        """GET /: the form, and the latest run of whoever looks."""
        found = self._visitors.find(request)
        visitor = found or self._visitors.welcome()
        cookie = () if found is not None else (self._visitors.cookie(visitor),)
        run = visitor.latest
        return self._pages.page(
            "desk.html",
            session=visitor.session,
            headers=cookie,
            refresh=REFRESH if run is not None and run.under_way else None,
            style=self._style,
            example=EXAMPLE,
            longest=MAX_PROMPT,
            run=run,
            stages=STAGES,
            chain=_chain(run) if run is not None else [],
            person_server=self._place.found.person,
        )

    async def start(self, request: Request) -> Answer:
        """POST /runs: begin a run with `prompt`. A field that is not known is 400, and so is a second run at once."""
        form = await request.read_form_lists()
        unknown = sorted(form.keys() - FIELDS)
        if unknown:
            raise Problem("invalid_request", f"the form has a field that is not known: {', '.join(unknown)[:100]}")
        fields = {name: values[0] for name, values in form.items() if len(values) == 1}
        visitor = self._known(request, fields)
        prompt = " ".join(fields.get("prompt", "").split())
        if not prompt or len(prompt) > MAX_PROMPT:
            raise Problem("invalid_request", f"prompt must be there, once, of at most {MAX_PROMPT} characters")
        if visitor.latest is not None and visitor.latest.under_way:
            raise Problem("invalid_request", "a run of yours is under way already")
        self._begin(visitor, prompt)
        return self._pages.see_other("/")

    async def stop(self, request: Request, number: str) -> Answer:
        """POST /runs/{number}/stop: end a run of one's own."""
        visitor = self._known(request, await request.read_form())
        run = _own(visitor, number)
        if run.task is not None:
            run.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run.task
        return self._pages.see_other("/")

    async def read(self, request: Request, number: str) -> Answer:
        """GET /runs/{number}: a run of one's own as JSON; anybody else's is not there."""
        visitor = self._visitors.find(request)
        if visitor is None:
            raise Problem("not_found")
        return json_answer(200, _own(visitor, number).document(), ("cache-control", "no-store"))

    async def count(self, request: Request) -> Answer:
        """GET /counts: how many runs there were and how many have ended, and nothing about any of them."""
        return json_answer(200, self._visitors.counts(), ("cache-control", "no-store"))

    def _page(self, handler: Handler) -> Handler:
        """`handler`, with a refusal as a page."""

        async def answer(request: Request, **names: str) -> Answer:
            try:
                return await handler(request, **names)
            except Refusal as refusal:
                assert isinstance(refusal, WireError)
                return self._pages.problem(refusal)

        return answer

    def _known(self, request: Request, fields: dict[str, str]) -> Visitor:
        visitor = self._visitors.find(request)
        if visitor is None:
            raise Problem("access_denied", "this browser is not known here, or no longer")
        self._visitors.check_post(request, visitor, fields)
        return visitor

    # Runs

    def _begin(self, visitor: Visitor, prompt: str) -> None:
        run = self._runner.new(next(self._run_numbers), prompt)
        visitor.add(run)
        run.task = asyncio.create_task(self._runner.follow(run, lambda: self._agent_of(visitor)))

    async def _agent_of(self, visitor: Visitor) -> Agent:
        """The agent that acts for this visitor alone, enrolled when it is needed first."""
        if visitor.agent is None:
            async with self._naming:
                taken = set(AgentHome(self._place.found.root).names())
                names = (AGENT_NAME, *(f"{AGENT_NAME}-{number}" for number in range(2, 10_000)))
                name = next(name for name in names if name not in taken)
                visitor.agent = await self._place.enroll(
                    name, for_people=True, platform="web", device="the buying desk"
                )
        return visitor.agent


def _own(visitor: Visitor, number: str) -> Run:
    run = visitor.run(int(number)) if number.isascii() and number.isdecimal() and len(number) < 10 else None
    if run is None:
        raise Problem("not_found")
    return run


def _chain(run: Run) -> list[dict[str, Any]]:
    """The hops that happened, each with what is said of it; a party's identifier is what the next one verified."""
    hops = list(run.hops.values())
    drawn: list[dict[str, Any]] = []
    for index, (hop, times) in enumerate(hops):
        following: Hop | None = hops[index + 1][0] if index + 1 < len(hops) else None
        drawn.append({"hop": hop, "times": times, "agent": following.agent if following is not None else None})
    return drawn


def _stylesheet() -> tuple[str, Handler]:
    """The page's own stylesheet, and the path it is served at, which changes with its content."""
    content = files(__package__).joinpath("pages", "desk.css").read_bytes()
    answer = Answer(
        200,
        (
            ("content-type", "text/css; charset=utf-8"),
            ("cache-control", "public, max-age=31536000, immutable"),
            ("x-content-type-options", "nosniff"),
        ),
        content,
    )

    async def serve(_request: Request) -> Answer:
        return answer

    return f"/static/desk.{hashlib.sha256(content).hexdigest()[:16]}.css", serve


def build(place: Place) -> App:
    """The page as an application."""
    web = Web(place)
    return Asgi(web, close=web.close)
