"""`aauthkit demo` with somebody at a terminal: after the story the page of the supply chain is theirs, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import anyio.to_thread
import pytest

from aauthkit.demo.supply_chain.places import PORTS, SCOPE, Place
from aauthkit.demo.visitor import Script, ScriptedPerson
from aauthkit.egress import Egress
from aauthkit.installation import Installation
from tests.plugins.commands import MODULE, Commands, Running, all_gone
from tests.plugins.supply_chain import Buyer, Chain
from tests.plugins.visiting import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.fixture
def demo(commands: Commands) -> Iterator[Running]:
    """The demonstration, its standard input a terminal."""
    commands.settle(commands.root / "demo", "orders", *PORTS)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *MODULE, "demo", "--folder", "demo", "--show", "terminal"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=commands.environment(),
        cwd=commands.root,
    )
    os.close(theirs)
    running = Running(process)
    commands.started.append(running)
    yield running
    os.close(ours)


async def told(demo: Running, pattern: str) -> re.Match[str]:
    return await anyio.to_thread.run_sync(demo.wait_for, pattern)


async def test_the_page_is_theirs_until_they_end_it(demo: Running, commands: Commands) -> None:
    """The last line counts their run; what is under way goes on until they press Ctrl-C."""
    folder = commands.root / "demo"
    shown = await told(demo, r"(http\S+/interaction/\S+\?code=([0-9A-Z-]+))")
    place = Place(Installation.load(folder), Egress.from_file(folder / "egress.json"))
    script = Script("ada", PASSWORD, approves=frozenset({"orders.read"}))
    scripted = ScriptedPerson(place.egress, script)
    visit = asyncio.create_task(scripted.come(shown[1], shown[2]))
    await told(demo, r"Open http://web\.localhost:\d+/ and say what you need, or run the example")
    visit.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await visit
    await scripted.close()

    buyer = Buyer(Chain(place, None), "ada")  # type: ignore[arg-type]
    number = await buyer.types("12 docks")
    await buyer.allows(SCOPE)
    assert (await buyer.ended(number))["state"] == "done"
    await told(demo, r"all as expected, \d+ s: .*1 run, 3 hops")
    await told(demo, "Ctrl-C ends it all. What is kept is in")
    assert (await buyer.ended(await buyer.types("5 chairs")))["state"] == "done"
    await buyer.close()
    demo.send(signal.SIGINT)
    ran = await anyio.to_thread.run_sync(demo.end)
    assert ran.code == 130
    assert "Traceback" not in ran.err
    assert all_gone(folder)
    assert not re.search("eyJ", ran.out)
