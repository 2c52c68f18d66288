"""The story: identity, the steps of the scale, two decisions in one visit, less granted than asked, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from ..agent import Agent, Callback, Errand, PersonChannel, ScopeReduced
from ..agent.watching import Event, Obtained, Sent
from ..byhand import agent_credential, bare_credential, prepare
from ..egress import Http
from ..protocol.messages import Answer
from .refusals import refuse_all
from .stage import Stage
from .visitor import Script, ScriptedPerson

WHY = "I compare what you ordered before with what is on offer. *I do not buy anything without asking.*"


async def tell(stage: Stage, *, headless: bool, person: PersonChannel | None = None) -> None:
    """The whole story. Raises `DemonstrationFailed` where anything differs from what it must be."""
    stage.narrator.chapter("1. An agent gets an identity of its own")
    agent = await stage.enroll("shopper")
    stage.narrator.good(f"{agent.identifier}: two keys, the durable one is shown to the provider alone")
    stage.count("enrolment")
    async with Http(stage.egress) as http:
        await _first_steps(stage, agent, http)
        async with _somebody(stage, headless) as scripted:
            await _with_a_person(stage, agent, scripted, person)
        await refuse_all(stage, agent, http)
    _sum_up(stage)


async def _first_steps(stage: Stage, agent: Agent, http: Http) -> None:
    narrator = stage.narrator
    narrator.chapter("2. The same call, step by step: the answer grows with what the shop knows")
    url = f"{stage.shop}/shop"
    by_key = await prepare("GET", url, bare_credential(), stage.egress).send(http)
    narrator.line(f"  → GET {url}  {narrator.styled('dim', 'signed by a bare key')}")
    _answered(stage, by_key, {"you are", "catalogue"})
    credential = await agent_credential(agent.name, http, stage.egress, home=stage.found.root)
    by_agent = await prepare("GET", url, credential, stage.egress).send(http)
    narrator.line(f"  → GET {url}  {narrator.styled('dim', 'signed, presenting the agent token')}")
    _answered(stage, by_agent, {"you are", "catalogue", "prices"})
    stage.count("step", 2)


def _answered(stage: Stage, answer: Answer, members: Iterable[str]) -> None:
    body: dict[str, Any] = json.loads(answer.body)
    stage.expect("the status", answer.status, 200)
    stage.expect("the answer's members", set(body), set(members))
    stage.narrator.line(f"  ← {stage.narrator.styled('good', str(answer.status))}")
    _tell_body(stage, body)


def _tell_body(stage: Stage, body: dict[str, Any]) -> None:
    stage.narrator.line(f"    {json.dumps(body, ensure_ascii=False)}")


@contextlib.asynccontextmanager
async def _somebody(stage: Stage, headless: bool) -> AsyncIterator[ScriptedPerson | None]:
    if not headless:
        yield None
        return
    name, password = stage.account()
    script = Script(name, password, frozenset({"orders.read"}), told=lambda text: stage.narrator.line(f"  ☺ {text}"))
    scripted = ScriptedPerson(stage.egress, script)
    try:
        yield scripted
    finally:
        await scripted.close()


class _Witness:
    """Counts what matters: pages opened, requests made, tokens obtained."""

    def __init__(self, stage: Stage, scripted: ScriptedPerson | None, person: PersonChannel | None) -> None:
        self.errands: list[Errand] = []
        self.obtained: list[str] = []
        self.sent = 0
        self._stage = stage
        self._scripted = scripted
        self._person = person
        self.visit: asyncio.Task[None] | None = None

    def watch(self, event: Event) -> None:
        self._stage.narrator.watch(event)
        if isinstance(event, Obtained):
            self.obtained.append(event.typ)
        self.sent += isinstance(event, Sent)

    async def show(self, errand: Errand) -> None:
        self.errands.append(errand)
        if self._scripted is not None:
            self._stage.narrator.line(f"  ☺ the page opens, with the code {errand.code}")
            self.visit = asyncio.create_task(self._scripted.come(errand.url_with_code, errand.code))
        elif self._person is not None:
            await self._person.show(errand.url_with_code, errand.url, errand.code, errand.requirement, errand.who)

    async def end(self) -> None:
        if self.visit is not None:
            self.visit.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.visit


async def _with_a_person(
    stage: Stage, agent: Agent, scripted: ScriptedPerson | None, person: PersonChannel | None
) -> None:
    narrator = stage.narrator
    witness = _Witness(stage, scripted, person)
    async with agent.client(
        person=Callback(witness.show), justification=WHY, watch=witness.watch, timeout=60.0
    ) as http:
        narrator.chapter("3. A person: may this agent act for you at this shop?")
        answer = await _watched(witness, http.get(f"{stage.shop}/shop"))
        stage.expect("the call as a person's agent", answer.status_code, 200)
        stage.expect("the answer knows the person", "delivered to" in answer.json(), True)
        _tell_body(stage, answer.json())

        narrator.chapter("4. A grant: what may it do there? Two things are asked for")
        answer = await _watched(witness, http.get(f"{stage.shop}/orders"))
        stage.expect("the call with a grant", answer.status_code, 200)
        _tell_body(stage, answer.json())
        granted = set(answer.json()["you may"])
        if scripted is not None:
            stage.expect("what was granted", granted, {"orders.read"})
            stage.expect("pages opened for two decisions", len(witness.errands), 1)
            stage.expect("what was decided", scripted.decided, ["identity", "scope"])
        narrator.good(f"two decisions in {_visits(len(witness.errands))}; {len(granted)} of 2 scopes were granted")
        stage.count("decision", 2)
        stage.count("granted scope", len(granted))

        await _afterwards(stage, http, witness, granted)
    await witness.end()


def _visits(number: int) -> str:
    return "one visit" if number == 1 else f"{number} visits"


async def _watched(witness: _Witness, call: Any) -> Any:
    """The answer of `call`, or what went wrong with the person on the way."""
    task = asyncio.ensure_future(call)
    while not task.done():
        visit = witness.visit
        waiting = {task} if visit is None else {task, visit}
        await asyncio.wait(waiting, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        if visit is not None and visit.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            visit.result()
    return task.result()


async def _afterwards(stage: Stage, http: Any, witness: _Witness, granted: set[str]) -> None:
    narrator = stage.narrator
    narrator.chapter("5. From now on: one request, no question")
    before = witness.sent
    answer = await http.get(f"{stage.shop}/orders?year=2026")
    stage.expect("a call with a grant at hand", answer.status_code, 200)
    stage.expect("requests it took", witness.sent - before, 1)
    answer = await http.get(f"{stage.shop}/shop")
    stage.expect("the same call with a grant", answer.json()["you are"], "an authorized agent")
    _tell_body(stage, answer.json())
    stage.count("step", 2)

    narrator.chapter("6. What was not granted stays shut")
    order = {"item": "lamp", "quantity": 1}
    try:
        answer = await http.post(f"{stage.shop}/orders", json=order)
    except ScopeReduced as reduced:
        stage.expect("the call was refused for want of scope", "orders.place" in granted, False)
        narrator.good(f"ScopeReduced: {reduced}")
        stage.count("refusal")
    else:
        stage.expect("an order", (answer.status_code, "orders.place" in granted), (201, True))
        _tell_body(stage, answer.json())


def _sum_up(stage: Stage) -> None:
    stage.narrator.line()
    told = ", ".join(f"{number} {kind}{'s' if number != 1 else ''}" for kind, number in stage.shown.items())
    seconds = time.monotonic() - stage.begun
    stage.narrator.line(stage.narrator.styled("good", f"shown: {told}; all as expected, in {seconds:.0f} s"))
