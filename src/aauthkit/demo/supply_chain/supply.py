"""The supply-chain agent: reads a person's sentence, has the market analysed, and works out what to buy where.

It needs a person's grant, and asks the market-analysis agent as itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from a2a.helpers import new_data_part, new_text_part

from ...agent import AAuthError, Agent
from ...asgi import App
from .analysis import Analysed, Analysis, Question
from .places import SCOPE, Place
from .planning import Plan, Purchase, plan
from .reading import Line, NotUnderstood, Order, read_prompt
from .speaking import Asked, Published, Refused, Step, Tell, ask, read_data, serve_agent

NAME = "Supply-chain agent"
PATIENT = httpx.Timeout(10.0, read=60.0)


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer: what was understood, what to buy, and what the market is like. Money is in cents."""

    understood: str
    purchases: list[Purchase]
    total_cents: int
    usual_cents: int
    saved_cents: int
    days: int
    missing: list[Line]
    market: list[Analysed]


def build(place: Place) -> App:
    """The agent behind its resource; it is enrolled before it listens."""
    market = place.origin("market-analysis")
    me: list[Agent] = []

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        me.append(await place.enroll("supply-chain"))
        yield

    async def work(asked: Asked, tell: Tell) -> dict[str, Any]:
        try:
            order = read_prompt(asked.text)
        except NotUnderstood as error:
            raise Refused(str(error)) from error
        await tell(Step(NAME, f"understands: {order.in_words()}"))
        analysis = await _market(me[0], market, order, tell)
        figures: dict[str, Any] = msgspec.to_builtins(_figures(order, analysis))
        await tell(Step(NAME, f"has compared {sum(len(one.offers) for one in analysis.items)} offers"))
        return figures

    resource = place.resource(
        "supply-chain",
        keys=place.keys("supply-chain"),
        name=NAME,
        description="Works out what to buy, and where. *It orders nothing.*",
        scopes={SCOPE: "Work out a plan for what you want to buy"},
    )
    published = Published(NAME, "Works out what to buy, and where.", "optimize", "200 laptops within 3 weeks")
    return serve_agent(published, work, resource, resource.grant(SCOPE, digest=True), lifespan=lifespan)


async def _market(agent: Agent, market: str, order: Order, tell: Tell) -> Analysis:
    """What the market-analysis agent finds. Raises `Refused`, also for something that nobody trades."""
    items = [line.item for line in order.lines]
    question = [
        new_text_part(f"What is the market like for {', '.join(items)}?"),
        new_data_part(msgspec.to_builtins(Question(items))),
    ]
    try:
        async with httpx.AsyncClient(transport=agent.transport(), timeout=PATIENT) as http:
            analysis = read_data(await ask(http, market, question, tell), Analysis)
    except AAuthError as error:
        raise Refused(f"The market-analysis agent could not be asked: {error}") from error
    if analysis.unknown:
        raise Refused(f"Nobody trades {', '.join(analysis.unknown)}. There are {', '.join(analysis.traded)}.")
    return analysis


def _figures(order: Order, analysis: Analysis) -> Figures:
    made: Plan = plan(order, {one.item: one.offers for one in analysis.items})
    return Figures(
        understood=order.in_words(),
        purchases=list(made.purchases),
        total_cents=made.total_cents,
        usual_cents=made.usual_cents,
        saved_cents=made.saved_cents,
        days=made.days,
        missing=list(made.missing),
        market=analysis.items,
    )
