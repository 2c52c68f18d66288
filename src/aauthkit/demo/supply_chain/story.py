"""The supply chain's part of the demonstration: four more processes, and a sentence that goes all the way and back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import webbrowser
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from ...agent import Browser, PersonChannel
from ...byhand import Prepared, agent_credential, prepare
from ...egress import Http
from ...protocol.headers import parse_requirement
from ...protocol.messages import Answer
from ...supervision import Supervisor
from ..stage import DemonstrationFailed, Stage
from ..visitor import Page, Script, ScriptedPerson, Visitor
from .admitting import standing_by
from .market import Market
from .places import SCOPE, Place
from .planning import plan
from .reading import EXAMPLE, read_prompt

SECOND: Final = "60 chairs within 3 weeks"
LOOK_EVERY: Final = 0.2
PATIENCE: Final = 30.0
"""Seconds that a scripted run may take."""
CHAIN: Final = (
    ("Supply-chain agent", "A2A", "grant"),
    ("Market-analysis agent", "A2A", "agent"),
    ("Pricing tool", "MCP", "agent"),
)
AGENTS: Final = 3


@asynccontextmanager
async def supply_chain(stage: Stage, *, headless: bool, person: PersonChannel | None) -> AsyncIterator[bool]:
    """Tell this part, then run the block while the programs are up; the value says that they stay up after it.

    With somebody at a terminal the page is theirs until they end it; where nobody is, and nobody is played, it is left
    out. Raises `DemonstrationFailed` where anything differs from what it must be.
    """
    if not headless and not sys.stdin.isatty():
        stage.narrator.line("The supply chain is for somebody at a terminal, or for --headless: it is left out here.")
        yield False
        return
    stage.narrator.chapter("10. A supply chain begins: a page, two agents and a tool, four more processes")
    place = Place(stage.found, stage.egress)
    with Supervisor(stage.found.root / "logs") as supervisor:
        async with standing_by(stage.found, lambda name: _admitted(stage, name)):
            await place.start(supervisor)
            for name in ("web", "supply-chain", "market-analysis", "pricing"):
                stage.narrator.line(f"  {name:16}{place.origin(name)}")
            with _blaming(supervisor):
                await (_play(stage, place) if headless else _invite(stage, place, person, supervisor))
            yield not headless
            if not headless:
                await _stay(stage, place)


@contextlib.contextmanager
def _blaming(supervisor: Supervisor) -> Iterator[None]:
    """What goes wrong because one of the programs has ended is told as that."""
    try:
        yield
    except Exception as error:
        _check_running(supervisor, error)
        raise


def _check_running(supervisor: Supervisor, error: Exception | None = None) -> None:
    ended = supervisor.ended()
    if ended is not None:
        raise DemonstrationFailed(f"{ended.name} ended by itself:\n{ended.tail()}") from error


def _admitted(stage: Stage, name: str) -> None:
    stage.narrator.line(f"  … {name} is enrolled: its durable key lies in this folder")


# Somebody at the terminal


async def _invite(stage: Stage, place: Place, person: PersonChannel | None, supervisor: Supervisor) -> None:
    """Show the way to the page, and wait until a run there has come to its end."""
    narrator = stage.narrator
    page = f"{place.origin('web')}/"
    narrator.line(f"  {narrator.styled('name', f'Open {page} and say what you need, or run the example.')}")
    if isinstance(person, Browser):
        await asyncio.to_thread(webbrowser.open, page)
    async with Http(stage.egress) as http:
        while (counts := await _counts(http, page))["ended"] == 0:
            _check_running(supervisor)
            await asyncio.sleep(1)
    narrator.good("a run has come to its end; the page shows how, and who called whom")
    stage.count("run", counts["ended"])
    stage.count("hop", counts["hops"])


async def _counts(http: Http, page: str) -> dict[str, int]:
    answer = await http.send("GET", f"{page}counts", timeout=10.0, limit=4096)
    counts: dict[str, int] = json.loads(answer.body)
    return counts


async def _stay(stage: Stage, place: Place) -> None:
    stage.narrator.line(f"The page stays for more: {place.origin('web')}/")
    stage.narrator.line(f"Ctrl-C ends it all. What is kept is in {stage.found.root}")
    await asyncio.Event().wait()


# Nobody at the terminal


async def _play(stage: Stage, place: Place) -> None:
    name, password = stage.account()
    told = stage.narrator.line
    scripted = ScriptedPerson(
        stage.egress, Script(name, password, approves=frozenset({SCOPE}), told=lambda text: told(f"  ☺ {text}"))
    )
    desk = Visitor(stage.egress)
    try:
        await _first(stage, place, desk, scripted)
        await _again(stage, place, desk)
        await _refused(stage, place, desk)
    finally:
        await desk.close()
        await scripted.close()
    stage.count("agent", AGENTS)


async def _first(stage: Stage, place: Place, desk: Visitor, scripted: ScriptedPerson) -> None:
    """The example, with its two questions."""
    stage.narrator.line(f"  ☺ pat opens the page, and runs the example: {EXAMPLE}")
    page = await desk.get(f"{place.origin('web')}/")
    example = page.forms[1]
    page = await desk.post(page, example, example.fields)
    visit = asyncio.create_task(_answers(place, desk, scripted))
    try:
        run = await _ended(stage, place, desk, page, visit)
    finally:
        visit.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await visit
    stage.expect("what was decided", scripted.decided, ["identity", "scope"])
    stage.count("decision", 2)
    _as_it_must_be(stage, run, EXAMPLE)
    for hop in run["hops"]:
        whose = "on behalf of the person" if hop["level"] == "grant" else "as itself, not yet on behalf of the person"
        stage.narrator.good(f"{hop['called']} was called by {hop['via']}, {whose}")
    stage.count("hop", len(run["hops"]))


async def _answers(place: Place, desk: Visitor, scripted: ScriptedPerson) -> None:
    """The scripted person follows the page's link to their person server, and stays there."""
    while (link := (await desk.get(f"{place.origin('web')}/")).link("/interaction/")) is None:
        await asyncio.sleep(LOOK_EVERY)
    await scripted.come(link, link.partition("code=")[2])


async def _again(stage: Stage, place: Place, desk: Visitor) -> None:
    """Another sentence: other figures, and no question."""
    stage.narrator.line(f"  ☺ pat types another sentence: {SECOND}")
    page = await desk.get(f"{place.origin('web')}/")
    form = page.forms[0]
    page = await desk.post(page, form, [*((n, v) for n, v in form.fields if n != "prompt"), ("prompt", SECOND)])
    run = await _ended(stage, place, desk, page, None)
    _as_it_must_be(stage, run, SECOND)


async def _ended(
    stage: Stage, place: Place, desk: Visitor, page: Page, visit: asyncio.Task[None] | None
) -> dict[str, Any]:
    """The run that `page` shows, once it has ended; what happens is told meanwhile."""
    number = page.form("/stop").action.split("/")[2]
    told = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            run: dict[str, Any] = json.loads((await desk.get(f"{place.origin('web')}/runs/{number}")).text)
            for line in run["activity"][told:]:
                stage.narrator.line(f"  · {line['who']} {line['text']}")
            told = len(run["activity"])
            if run["state"] != "under way":
                return run
            if visit is not None and visit.done():
                visit.result()
            await asyncio.sleep(LOOK_EVERY)


def _as_it_must_be(stage: Stage, run: dict[str, Any], prompt: str) -> None:
    """The figures follow from the prompt and the data set, and the chain is the one that there is."""
    if run["figures"] is None:
        raise DemonstrationFailed(f"a run without figures: {run['failure']}")
    order, market = read_prompt(prompt), Market()
    made = plan(order, {line.item: market.offers(line.item) for line in order.lines})
    figures = run["figures"]
    stage.expect("what to buy", figures["purchases"], msgspec.to_builtins(list(made.purchases)))
    stage.expect("what it costs", figures["total_cents"], made.total_cents)
    stage.expect("what that saves", figures["saved_cents"], made.saved_cents)
    stage.expect("when it is there", figures["days"], made.days)
    stage.expect("who was called", [(hop["called"], hop["via"], hop["level"]) for hop in run["hops"]], list(CHAIN))
    stage.expect("how often the tool was called", run["hops"][-1]["times"], 1 + len(order.lines))
    suppliers = len({one.supplier for one in made.purchases})
    stage.narrator.good(
        f"{made.total_cents / 100:,.2f} € at {suppliers} supplier{'s' if suppliers > 1 else ''}, "
        f"all there in {made.days} days: as it follows from the data set"
    )
    stage.count("run")


async def _refused(stage: Stage, place: Place, desk: Visitor) -> None:
    web, agent = place.origin("web"), f"{place.origin('supply-chain')}/a2a"
    stranger = Visitor(stage.egress)
    try:
        others = await stranger.get(f"{web}/runs/1")
    finally:
        await stranger.close()
    _expect_refused(stage, "another browser looking at pat's run", others.status, 404)
    page = await desk.get(f"{web}/")
    misspelt = [(name, value) for name, value in page.forms[0].fields if name != "prompt"] + [("promt", SECOND)]
    answered = await desk.post(page, page.forms[0], misspelt)
    _expect_refused(stage, "a field that the form does not have", answered.status, 400)
    async with Http(stage.egress) as http:
        unsigned = await Prepared("POST", agent, (("content-type", "application/json"),), b"{}").send(http)
        _expect_refused(stage, "an unsigned message to the supply-chain agent", unsigned.status, 401)
        credential = await agent_credential("market-analysis", http, stage.egress, home=stage.found.root)
        headers: Sequence[tuple[str, str]] = [("content-type", "application/json")]
        nobodys = await prepare("POST", agent, credential, stage.egress, headers=headers, body=b"{}").send(http)
        _expect_refused(stage, "a message of an agent that acts for nobody", nobodys.status, 401)
        stage.expect("what it lacks", _asked(nobodys), "person-token")


def _asked(answer: Answer) -> str | None:
    requirement = parse_requirement(answer.values("aauth-requirement"))
    return requirement.value if requirement is not None else None


def _expect_refused(stage: Stage, what: str, seen: int, status: int) -> None:
    stage.expect(what, seen, status)
    stage.narrator.good(f"{what}: {status}")
    stage.count("refusal")
