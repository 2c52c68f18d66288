"""The story: identity, the steps of the scale, two decisions in one visit, less granted than asked, what is refused."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from ..agent import (
    Abandoned,
    Agent,
    Callback,
    Denied,
    Expired,
    Obtained,
    PendingGone,
    PersonChannel,
    RequestRefused,
    ScopeReduced,
)
from ..byhand import agent_token, bare_credential, prepare
from ..egress import Http
from ..narration import LEVELS
from ..outbound import Credential
from ..protocol.messages import Answer
from ..protocol.tokens import AGENT_TYP
from .errand import ANSWERED, run_errand, stop_agent
from .refusals import ATTEMPTS, BESIDES, refuse_all
from .stage import Stage
from .supply_chain.story import supply_chain
from .visitor import Script, ScriptedPerson
from .witness import Witness

WHY: Final = "I compare what you ordered before with what is on offer. *I do not buy anything without asking.*"
YOUR_TURN: Final = (
    "Now it is your turn: you are the person this agent wants to act for. A page opens, or its address is shown here:",
    "  1. compare its code with the one shown here, and go on",
    "  2. make an account: any name, and a password of 12 characters or more; or sign in with that of an earlier run",
    "  3. read who asks for what, then approve it, or deny it",
    "  4. leave the page open: the next question appears on it by itself",
)
SECOND_QUESTION: Final = (
    "The next question is on your page. Nothing is ticked: tick what you allow. Less than both is fine, the agent "
    "goes on with what it gets."
)
ASKED: Final = 2
"""Scope values that the shop asks for."""


async def tell(stage: Stage, *, headless: bool, person: PersonChannel | None = None) -> None:
    """The whole story. Raises `DemonstrationFailed` where anything differs from what it must be.

    What a person at the page decides is theirs: the story goes on with it. `headless`: a script plays that part, and
    decides one way.
    """
    stage.narrator.chapter("1. An agent gets an identity of its own")
    agent = await stage.enroll("shopper")
    stage.narrator.good(f"{agent.identifier}: two keys, the durable one is shown to the provider alone")
    async with Http(stage.egress) as http:
        await _first_steps(stage, agent, http)
        async with _somebody(stage, headless) as scripted:
            await _with_a_person(stage, agent, scripted, person)
        await refuse_all(stage, agent, http)
        if stage.granted:  # whoever allowed nothing is not asked for more
            async with _somebody(stage, headless) as scripted:
                await run_errand(stage, agent, scripted, person)
            await stop_agent(stage, agent)
    if headless:
        stage.expect("the steps of the scale", stage.shown.get("step"), 4)
        stage.expect("the refusals", stage.shown.get("refusal"), len(ATTEMPTS) + len(BESIDES) + 2)
        stage.expect("what was decided in all", stage.shown.get("decision"), 7)
    async with supply_chain(stage, headless=headless, person=person) as stays:
        _sum_up(stage, headless or stays)


async def _first_steps(stage: Stage, agent: Agent, http: Http) -> None:
    stage.narrator.chapter("2. The same call, step by step: the answer grows with what the shop knows")
    await _by_hand(stage, http, "key", bare_credential(), {"you are", "catalogue"})
    key, token = await agent_token(agent.name, http, stage.egress, home=stage.found.root)
    stage.narrator.watch(Obtained(AGENT_TYP, token.iss, token.claims))
    await _by_hand(stage, http, "agent", Credential.from_token(key, token.raw), {"you are", "catalogue", "prices"})


async def _by_hand(stage: Stage, http: Http, level: str, credential: Credential, members: Iterable[str]) -> None:
    url = f"{stage.shop}/shop"
    stage.narrator.sent("GET", url, LEVELS[level])
    answer: Answer = await prepare("GET", url, credential, stage.egress).send(http)
    stage.narrator.answered(answer.status)
    stage.expect("the status", answer.status, 200)
    body: dict[str, Any] = json.loads(answer.body)
    stage.expect("the answer's members", set(body), set(members))
    _tell_body(stage, body)
    stage.count("step")


def _tell_body(stage: Stage, body: dict[str, Any]) -> None:
    stage.narrator.line(f"    {json.dumps(body, ensure_ascii=False)}")


@contextlib.asynccontextmanager
async def _somebody(stage: Stage, headless: bool) -> AsyncIterator[ScriptedPerson | None]:
    if not headless:
        yield None
        return
    name, password = stage.account()
    script = Script(
        name,
        password,
        approves=frozenset({"orders.read"}),
        answers=ANSWERED,
        told=lambda text: stage.narrator.line(f"  ☺ {text}"),
    )
    scripted = ScriptedPerson(stage.egress, script)
    try:
        yield scripted
    finally:
        await scripted.close()


async def _with_a_person(
    stage: Stage, agent: Agent, scripted: ScriptedPerson | None, person: PersonChannel | None
) -> None:
    witness = Witness(stage.narrator, scripted, person)
    try:
        async with agent.client(
            person=Callback(witness.show), justification=WHY, watch=witness.watch, timeout=60.0
        ) as http:
            await _identity(stage, http, witness, alone=scripted is None)
            granted = await _grant(stage, http, witness, scripted)
            await _afterwards(stage, http, witness, granted)
    except (Denied, Abandoned, Expired, PendingGone) as refused:
        if scripted is not None:
            raise
        _declined(stage, refused)
    finally:
        await witness.end()


async def _identity(stage: Stage, http: Any, witness: Witness, *, alone: bool) -> None:
    stage.narrator.chapter("3. A person: may this agent act for you at this shop?")
    for line in YOUR_TURN if alone else ():
        stage.narrator.line(f"  {stage.narrator.styled('name', line)}")
    answer = await witness.follow(http.get(f"{stage.shop}/shop"))
    stage.expect("the call as a person's agent", answer.status_code, 200)
    stage.expect("the answer knows the person", "delivered to" in answer.json(), True)
    _tell_body(stage, answer.json())
    stage.count("step")
    stage.count("decision")


async def _grant(stage: Stage, http: Any, witness: Witness, scripted: ScriptedPerson | None) -> frozenset[str]:
    narrator = stage.narrator
    narrator.chapter("4. A grant: what may it do there? Two things are asked for")
    if scripted is None:
        narrator.line(f"  {narrator.styled('name', SECOND_QUESTION)}")
    try:
        answer = await witness.follow(http.get(f"{stage.shop}/orders"))
    except ScopeReduced as reduced:
        if scripted is not None:
            raise
        granted = reduced.granted
        narrator.good(f"what you allowed ({' '.join(sorted(granted)) or 'nothing'}) does not open the list of orders")
    else:
        stage.expect("the call with a grant", answer.status_code, 200)
        _tell_body(stage, answer.json())
        granted = frozenset(answer.json()["you may"])
    if scripted is not None:
        stage.expect("what was granted", granted, {"orders.read"})
        stage.expect("pages opened for two decisions", len(witness.errands), 1)
        stage.expect("what was decided", scripted.decided, ["identity", "scope"])
    narrator.good(f"two decisions in {_visits(len(witness.errands))}; {len(granted)} of {ASKED} things were granted")
    stage.count("decision")
    stage.granted = len(granted)
    return granted


def _visits(number: int) -> str:
    return "one visit" if number <= 1 else f"{number} visits"


async def _afterwards(stage: Stage, http: Any, witness: Witness, granted: frozenset[str]) -> None:
    narrator = stage.narrator
    if "orders.read" in granted:
        narrator.chapter("5. From now on: one request, no question")
        before = witness.sent
        answer = await witness.follow(http.get(f"{stage.shop}/orders?year=2026"))
        stage.expect("a call with a grant at hand", answer.status_code, 200)
        stage.expect("requests it took", witness.sent - before, 1)
        answer = await witness.follow(http.get(f"{stage.shop}/shop"))
        stage.expect("the same call with a grant", answer.json()["you are"], "an authorized agent")
        _tell_body(stage, answer.json())
        stage.count("step")

    placing = "orders.place" in granted
    narrator.chapter("6. What was granted opens, at once" if placing else "6. What was not granted stays shut")
    try:
        answer = await witness.follow(http.post(f"{stage.shop}/orders", json={"item": "lamp", "quantity": 1}))
    except ScopeReduced as reduced:
        stage.expect("the call was refused for want of scope", placing, False)
        narrator.good(f"ScopeReduced: {reduced}")
        stage.count("refusal")
    else:
        stage.expect("an order", (answer.status_code, placing), (201, True))
        _tell_body(stage, answer.json())


def _declined(stage: Stage, refused: RequestRefused) -> None:
    """The person said no, or nothing: that is an outcome like any other, and nothing is wrong."""
    narrator = stage.narrator
    known = stage.shown.get("decision", 0) > 0
    if isinstance(refused, Denied):
        stage.count("decision")
        narrator.good("you said no, and so it is")
    else:
        narrator.good(f"nothing was decided: {refused}")
    narrator.aside(
        "the shop knows whose agent this is, from before, and gives it no more than that"
        if known
        else "the agent got no token of yours, and the shop never learned who you are"
    )
    narrator.aside("chapters that need your yes are left out; run the demonstration again to see them")


def _sum_up(stage: Stage, headless: bool) -> None:
    narrator, shown = stage.narrator, stage.shown
    narrator.line()
    if not headless:
        narrator.line("That was all. The three processes end now, and with them the page that you have open.")
        narrator.line(f"Your account, the keys and the logs are in {stage.found.root}")
        narrator.line()
    counted = (
        (shown.get("agent", 0), "agent", "agents"),
        (shown.get("step", 0), "step", "steps"),
        (shown.get("decision", 0), "decision", "decisions"),
        (shown.get("run", 0), "run", "runs"),
        (shown.get("hop", 0), "hop", "hops"),
        (shown.get("refusal", 0), "refusal", "refusals"),
    )
    told = [f"{number} {one if number == 1 else many}" for number, one, many in counted if number]
    if stage.granted is not None:
        told.insert(-1, f"{stage.granted} of {ASKED} granted")
    seconds = time.monotonic() - stage.begun
    narrator.line(narrator.styled("good", f"all as expected, {seconds:.0f} s: {', '.join(told)}"))
