"""One run: a person's sentence on its way along the chain, and everything that was seen of it.

Who a run belongs to is for `visitors.py`; here it is followed, from an agent of that person's own to the figures.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
import msgspec
from a2a.helpers import new_text_part

from ...agent import AAuthError, Abandoned, Agent, Callback, Denied, Errand, Expired, ScopeReduced
from ...agent.watching import Event, Obtained
from ...protocol.tokens import AUTH_TYP, PERSON_TYP
from .speaking import Hop, Refused, Step, ask, read_data
from .supply import NAME as SUPPLY_CHAIN
from .supply import Figures

log = logging.getLogger("aauthkit.demo.supply_chain")

STAGES: Final = (
    "An agent of your own",
    "Your word",
    "The supply-chain agent reads it",
    "The market is looked at",
    "The plan",
)
MAX_ACTIVITY: Final = 200
PATIENT: Final = httpx.Timeout(10.0, read=120.0)
PAGE: Final = "This page"
State = Literal["under way", "done", "failed", "stopped"]
_ENDS: Final[dict[type[AAuthError], str]] = {
    Denied: "You said no, and so it is: no agent was asked for anything.",
    Abandoned: "You left without an answer, so no agent was asked for anything.",
    Expired: "Nobody decided in time, so no agent was asked for anything.",
    ScopeReduced: "What you allowed is not enough for a plan, so no agent was asked for one.",
}


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the feed. `id` is the only one of its number at this page, whoever's run it is in."""

    id: int
    at: float
    who: str
    text: str


@dataclass
class Run:
    """A run as it stands. `hops` are those that happened, in order, each with how often it did."""

    id: int
    prompt: str
    begun: float
    agent: str | None = None
    state: State = "under way"
    stage: int = 0
    activity: list[Activity] = field(default_factory=list)
    hops: dict[str, tuple[Hop, int]] = field(default_factory=dict)
    errand: Errand | None = None
    figures: Figures | None = None
    failure: str | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def under_way(self) -> bool:
        """Whether it goes on."""
        return self.state == "under way"

    def document(self) -> dict[str, Any]:
        """Everything but the way to the person's page, as JSON."""
        return {
            "id": self.id,
            "prompt": self.prompt,
            "agent": self.agent,
            "state": self.state,
            "stage": self.stage,
            "activity": [{"id": one.id, "who": one.who, "text": one.text} for one in self.activity],
            "hops": [{**msgspec.to_builtins(hop), "times": times} for hop, times in self.hops.values()],
            "figures": msgspec.to_builtins(self.figures),
            "failure": self.failure,
        }


EnrollAgent = Callable[[], Awaitable[Agent]]


class Runner:
    """Follows runs to the agent at `origin`. `number` gives out the numbers of the lines of every feed."""

    def __init__(self, origin: str, number: Callable[[], int], *, clock: Callable[[], float] = time.time) -> None:
        self._origin = origin
        self._number = number
        self._clock = clock

    def new(self, number: int, prompt: str) -> Run:
        """A run that has not begun yet."""
        return Run(number, prompt, self._clock())

    async def follow(self, run: Run, agent_of: EnrollAgent) -> None:
        """Lead `run` to its end, whatever that is."""
        try:
            await self._lead(run, agent_of)
        except asyncio.CancelledError:
            run.state = "stopped"
            self._note(run, PAGE, "was told to stop")
            raise
        except (Refused, AAuthError, httpx.TransportError) as error:
            self._fail(run, _in_words(error))
        except Exception:
            log.exception("run %d failed", run.id)
            self._fail(run, "Something went wrong at this page, and its log says what.")
        finally:
            run.errand = None

    async def _lead(self, run: Run, agent_of: EnrollAgent) -> None:
        agent = await agent_of()
        run.agent = agent.identifier
        self._note(run, PAGE, f"acts for you as {agent.identifier}")

        async def show(errand: Errand) -> None:
            run.stage, run.errand = 1, errand
            self._note(run, PAGE, "needs your word")

        def watch(event: Event) -> None:
            if isinstance(event, Obtained) and event.typ in (PERSON_TYP, AUTH_TYP):
                self._note(run, "You", "agreed that it acts for you" if event.typ == PERSON_TYP else "allowed a plan")
                run.errand = run.errand if event.typ == PERSON_TYP else None

        transport = agent.transport(person=Callback(show), justification=_why(run.prompt), watch=watch)
        async with httpx.AsyncClient(transport=transport, timeout=PATIENT) as http:
            result = await ask(http, self._origin, [new_text_part(run.prompt)], lambda step: self._step(run, step))
        run.figures = read_data(result, Figures)
        run.state, run.stage = "done", len(STAGES)
        self._note(run, PAGE, "shows the plan")

    async def _step(self, run: Run, step: Step) -> None:
        self._note(run, step.who, step.text)
        if step.hop is None:
            return
        run.errand = None
        run.stage = max(run.stage, 2 if step.hop.called == SUPPLY_CHAIN else 3)
        hop, times = run.hops.get(step.hop.called, (step.hop, 0))
        run.hops[step.hop.called] = (hop, times + 1)

    def _fail(self, run: Run, words: str) -> None:
        run.state, run.failure = "failed", words
        self._note(run, PAGE, "ends here, without a plan")

    def _note(self, run: Run, who: str, text: str) -> None:
        if len(run.activity) < MAX_ACTIVITY:
            run.activity.append(Activity(self._number(), self._clock(), who, text))


def _why(prompt: str) -> str:
    """What the agent says of its purpose, for the person who decides."""
    return f"You typed: *{prompt}*. I ask for a plan, and order nothing."


def _in_words(error: Exception) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, AAuthError):
        return _ENDS.get(type(error), f"The supply-chain agent was not asked: {error}")
    return "The supply-chain agent could not be reached."
