"""An errand under a person's eyes: a mission, an action, a question, a record, its end; then the agent is stopped.

Who stops it is told what each place it had been to answered, and the audit log is checked as anybody would check it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, Final

from ..accounts import Accounts
from ..agent import (
    Abandoned,
    Agent,
    Callback,
    Denied,
    Expired,
    Mission,
    PendingGone,
    PersonChannel,
    RequestRefused,
    ScopeReduced,
)
from ..inspection import plain
from ..person.steward import Steward
from .stage import DemonstrationFailed, Stage
from .visitor import ScriptedPerson
from .witness import Witness

ERRAND: Final = (
    "Look up what we ordered this year and tell the office about it.\n\n"
    "- read the orders at the shop\n- write **one** mail\n- spend nothing beyond 50 € for it"
)
TOOLS: Final = {"spell-check": "Look for mistakes in the mail"}
LIMITS: Final = {"amounts": {"euros": {"each": 50}}, "permissions": 5}
ANSWERED: Final = "Thursday will do."
RECIPIENTS_WITHIN: Final = 30.0
"""Seconds in which each place is to have answered that it knows of the stop."""


async def run_errand(stage: Stage, agent: Agent, scripted: ScriptedPerson | None, person: PersonChannel | None) -> None:
    """The chapter. A person at the page may say no at any point, and the story says so and goes on."""
    stage.narrator.chapter("8. An errand: what it sets out to do is approved once, and everything on it is overseen")
    witness = Witness(stage.narrator, scripted, person)
    try:
        await _run(stage, agent, witness, headless=scripted is not None)
    except (Denied, Abandoned, Expired, PendingGone, ScopeReduced) as refused:
        if scripted is not None:
            raise
        stage.narrator.good(f"so it is: {refused}")
        stage.narrator.aside("what needs your yes is left out; run the demonstration again to see it")
    finally:
        await witness.end()


async def _run(stage: Stage, agent: Agent, witness: Witness, *, headless: bool) -> None:
    narrator = stage.narrator
    manner: Any = {"person": Callback(witness.show), "watch": witness.watch}
    proposing = agent.mission(ERRAND, tools=TOOLS, resources=[stage.shop], limits=LIMITS, **manner)
    mission: Mission = await witness.follow(_awaited(proposing))
    narrator.good(f"the mission {mission.s256[:8]}… is approved: the agent compared its text with its name")
    stage.count("decision")
    async with mission.client(timeout=60.0, **manner) as http:
        answer = await witness.follow(http.get(f"{stage.shop}/orders"))
    stage.expect("the orders, read on the mission", answer.status_code, 200)
    narrator.good("the orders are read: the shop was approved with the mission, what may be done there was asked")
    stage.count("decision")
    await _permissions(stage, mission, witness, manner, headless=headless)
    answered = await witness.follow(
        _awaited(mission.ask("The office is closed on Friday. **Which day then?**", **manner))
    )
    narrator.good("its question is answered in the person's own words")
    if headless:
        stage.expect("the person's answer", answered, ANSWERED)
    mission.audit("SendMail", description="Told the office.", result={"sent": 1})
    stage.expect("the record is sent", await agent.flush(), True)
    narrator.good("a record of what it did stands in the mission's log")
    await witness.follow(_awaited(mission.complete("One mail is written, nothing was spent.", **manner)))
    narrator.good(f"done, by the person's word and not the agent's: the mission is {mission.ended}")
    stage.count("decision", 2)
    stage.expect("how the mission ended", mission.ended, "completed")


async def _permissions(stage: Stage, mission: Mission, witness: Witness, manner: Any, *, headless: bool) -> None:
    narrator = stage.narrator
    spelled = await mission.permission("spell-check", parameters={"words": 120}, **manner)
    stage.expect("a tool that was approved with the mission", spelled.granted, True)
    narrator.good("spell-check: granted, nobody was asked: it was approved with the mission")
    dear = await mission.permission("Pay", parameters={"euros": 120}, **manner)
    stage.expect("an amount beyond the limit", dear.granted, False)
    narrator.good(f"Pay 120 €: denied, nobody was asked: {dear.reason}")
    mailing = mission.permission("SendMail", parameters={"to": "office"}, **manner)
    mailed = await witness.follow(_awaited(mailing))
    narrator.good(f"SendMail: {'granted' if mailed else 'denied'} by the person")
    if headless:
        stage.expect("an action that the person was asked about", mailed.granted, True)
    stage.count("decision")


async def _awaited(thing: Awaitable[Any]) -> Any:
    return await thing


async def stop_agent(stage: Stage, agent: Agent) -> None:
    """Stop the agent, as a person or an operator does, and show that it stopped."""
    narrator, found = stage.narrator, stage.found
    narrator.chapter("9. Stopped: the agent gets nothing more, and every place it had been to is told")
    database = await found.database("person")
    try:
        steward = Steward(found.person, database)
        accounts = Accounts(database, issuer=found.person, loopback=True)
        bound = next((one for one in await steward.agents() if one.sub == agent.identifier), None)
        if bound is None:
            narrator.aside("the agent has no person, so there is nobody to stop it")
            return
        account = await accounts.account(bound.person)
        narrator.line(f"  {account.name if account else 'its person'} stops it; an operator would do the same with:")
        narrator.line(f"    aauthkit person agents stop {agent.identifier} --home {found.root}")
        await steward.stop(bound.person, bound.iss, bound.sub)
        told = await _told(steward, bound.iss, bound.sub)
    finally:
        await database.close()
    for recipient, state in sorted(told):
        narrator.good(f"{recipient}: {state}")
    stage.expect("what the shop answered", told, {(stage.shop, "recorded")})
    await _refused(stage, agent)
    await _audited(stage)


async def _told(steward: Steward, iss: str, sub: str) -> set[tuple[str, str]]:
    """What each recipient answered, once every one of them has. The running person server tells them."""
    try:
        async with asyncio.timeout(RECIPIENTS_WITHIN):
            while True:
                deliveries = await steward.deliveries(iss, sub)
                if all(one.state != "waiting" for one in deliveries):
                    return {(one.recipient, one.state) for one in deliveries}
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise DemonstrationFailed("a place that the agent had been to has not answered") from error


async def _refused(stage: Stage, agent: Agent) -> None:
    async with agent.client(person=None, timeout=30.0) as http:
        try:
            answer = await http.get(f"{stage.shop}/orders?after=stop")
        except RequestRefused as refused:
            stage.expect("how its next call ends", refused.code, "denied")
            stage.narrator.good(f"its next call: {refused.status} {refused.code}: {plain(refused.detail)}")
            stage.count("refusal")
            return
    raise DemonstrationFailed(f"a stopped agent was served: {answer.status_code}")


async def _audited(stage: Stage) -> None:
    """The log, checked by the command that anybody uses."""
    home = ("--home", str(stage.found.root))
    await _command("audit", "checkpoint", *home)
    said = await _command("audit", "verify", *home)
    stage.narrator.line("    aauthkit audit verify")
    stage.narrator.good(said.splitlines()[-1])


async def _command(*words: str) -> str:
    """What a command says. Raises `DemonstrationFailed` where it fails."""
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aauthkit", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await ran.communicate()
    if ran.returncode != 0:
        raise DemonstrationFailed(f"aauthkit {' '.join(words)}: {(err or out).decode()}")
    return out.decode()
