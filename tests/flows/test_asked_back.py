"""A person who asks before they decide, with everybody real: agent, person server over TLS, pages, API (§7.5)."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.agent import Question
from tests.plugins.visiting import PATIENCE, Someone
from tests.plugins.world import World

pytestmark = pytest.mark.anyio


async def asks(someone: Someone, question: str, expected: str) -> None:
    """Put a question on the page before them, and wait until the page shows what came of it."""
    form = someone.page.form(someone.page.form("/decide/").action + "/ask")
    page = await someone.presses(form, ("question", question))
    address = page.url.partition("#")[0]
    async with asyncio.timeout(PATIENCE):
        while expected not in (await someone.opens(address)).text:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_f38_the_agent_is_asked_and_answers_and_its_call_goes_on(real_world: World, sync: bool) -> None:
    """F38; §7.5.1, §7.5.2.1: two rounds at first contact, both seen by the agent's own function."""
    heard: list[str] = []

    def answer(question: Question) -> str:
        heard.append(question.text)
        return f"Answer {len(heard)}."

    planner = await real_world.enrol("planner", sync=sync, answer=answer)
    ada = await real_world.person("Ada")
    call = planner.get("/me")
    await ada.comes(await planner.errand())
    await asks(ada, "Who are you?", "Answer 1.")
    await asks(ada, "And what for?", "Answer 2.")
    assert "Who are you?" in ada.page.text and "Answer 1." in ada.page.text
    await ada.approves()
    assert (await call).status == 200
    assert heard == ["Who are you?", "And what for?"] and planner.opened == 1


async def test_an_agent_that_answers_nothing_is_not_asked(real_world: World) -> None:
    """§11.7: no capability, no form."""
    planner = await real_world.enrol("planner")
    ada = await real_world.person("Ada")
    call = planner.get("/me")
    page = await ada.comes(await planner.errand())
    assert "something first" not in page.text
    await ada.approves()
    assert (await call).status == 200
