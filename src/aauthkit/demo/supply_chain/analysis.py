"""The market-analysis agent: asks the pricing tool, by MCP and as itself, and says what the market is like."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
import msgspec
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from ...agent import AAuthError, Agent
from ...asgi import App
from .market import Offer
from .places import Place
from .reading import MAX_ITEMS
from .speaking import Asked, Hop, Published, Refused, Step, Tell, read_data, serve_agent

NAME = "Market-analysis agent"
T = TypeVar("T")
PATIENT = httpx2.Timeout(10.0, read=60.0)


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be known: the market of each of these items."""

    items: list[str]


class Quoted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pricing tool answers for one item."""

    item: str
    offers: list[Offer]
    weekly: list[int]
    hop: Hop


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pricing tool trades."""

    items: list[str]
    hop: Hop


class Analysed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The market of one item: its offers, what is asked for it in cents, and how the price moved in `weeks`."""

    item: str
    offers: list[Offer]
    lowest_cents: int
    median_cents: int
    highest_cents: int
    trend_percent: float
    weeks: int


class Analysis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer: the items that are traded, those that are not, and everything that is."""

    items: list[Analysed]
    unknown: list[str]
    traded: list[str]


def build(place: Place) -> App:
    """The agent behind its resource; it is enrolled before it listens."""
    tool = f"{place.origin('pricing')}/mcp"
    me: list[Agent] = []

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        me.append(await place.enroll("market-analysis"))
        yield

    async def work(asked: Asked, tell: Tell) -> dict[str, Any]:
        question = read_data(asked.data, Question)
        if not 0 < len(question.items) <= MAX_ITEMS:
            raise Refused(f"Between one and {MAX_ITEMS} items are analysed at once.")
        analysis: dict[str, Any] = msgspec.to_builtins(await _analyse(me[0], tool, question, tell))
        return analysis

    resource = place.resource("market-analysis", name=NAME, description="Compares what suppliers ask.")
    published = Published(
        NAME, "Says what suppliers ask for some items.", "analyse", "laptop, monitor", inputs=("application/json",)
    )
    return serve_agent(published, work, resource, resource.agent(digest=True), lifespan=lifespan)


async def _analyse(agent: Agent, tool: str, question: Question, tell: Tell) -> Analysis:
    found: list[Analysed] = []
    try:
        async with (
            agent.client(timeout=PATIENT) as http,
            Client(streamable_http_client(tool, http_client=http)) as pricing,
        ):
            catalogue = await _call(pricing, "catalogue", Catalogue)
            await tell(Step("Pricing tool", f"lists {len(catalogue.items)} items", catalogue.hop))
            for item in question.items:
                if item in catalogue.items:
                    quoted = await _call(pricing, "offers", Quoted, item=item)
                    words = f"has {len(quoted.offers)} offers for {item}, and {len(quoted.weekly)} weeks of prices"
                    await tell(Step("Pricing tool", words, quoted.hop))
                    found.append(_look_at(quoted))
    except (MCPError, AAuthError, httpx2.TransportError, ExceptionGroup) as error:
        raise _refused(error) from error
    unknown = [item for item in question.items if item not in catalogue.items]
    return Analysis(found, unknown, catalogue.items)


async def _call(pricing: Client, name: str, kind: type[T], **arguments: Any) -> T:
    """The answer of a tool. Raises `Refused` where it answers with an error."""
    answer = await pricing.call_tool(name, arguments)
    if answer.is_error:
        raise Refused(f"The pricing tool refused {name}.")
    return read_data(answer.structured_content, kind)


def _refused(error: Exception) -> Refused:
    """What ended the conversation with the tool; the SDK's task group hands it on in a group."""
    found: BaseException | None = error.subgroup(Refused) if isinstance(error, ExceptionGroup) else None
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, Refused) else Refused("The pricing tool could not be asked, or broke off.")


def _look_at(quoted: Quoted) -> Analysed:
    asked = [offer.cents for offer in quoted.offers]
    first, last = quoted.weekly[0], quoted.weekly[-1]
    return Analysed(
        quoted.item,
        quoted.offers,
        lowest_cents=min(asked),
        median_cents=int(statistics.median(asked)),
        highest_cents=max(asked),
        trend_percent=round((last - first) * 100 / first, 1),
        weeks=len(quoted.weekly),
    )
