"""A call that is cancelled while somebody decides: joined, resumed or withdrawn (draft-11 §7.5.2.3)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aauthkit.agent import Agent
from aauthkit.protocol.headers import interaction_required
from tests.plugins.simulators import Parties
from tests.plugins.tls import Received, Reply
from tests.plugins.world import World

pytestmark = pytest.mark.anyio

PERSON_URL = "https://api.example/person"
PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")


class Deleted:
    """A person server whose person takes for ever, and which notes what is withdrawn."""

    def __init__(self, parties: Parties) -> None:
        self.paths: list[str] = []
        self.gate: asyncio.Event | None = None
        parties.ps.waits, parties.ps.requirement = 10**6, PAGE
        self._honest, self._verify = parties.ps._respond, parties.ps.verify
        parties.ps._respond = self._respond

    def _respond(self, request: Received) -> Reply:
        if request.method != "DELETE":
            return self._honest(request)
        self._verify(request)
        self.paths.append(request.target)
        return Reply(204, (), b"", gate=self.gate)


async def cancelled(http: Any, parties: Parties) -> None:
    """A call that is cancelled once its person was shown the page and a poll has been made."""
    call = asyncio.create_task(http.get(PERSON_URL))
    polls = parties.ps.count("/pending/0")
    while parties.ps.count("/pending/0") == polls:
        await asyncio.sleep(0.005)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


def slowly(parties: Parties, **settings: Any) -> Agent:
    return parties.agent(sleep=asyncio.sleep, **settings)


async def test_with_the_last_client_what_was_given_up_and_is_kept_nowhere_is_withdrawn(parties: Parties) -> None:
    """A signed DELETE, and nothing is left that another call would join."""
    deleted, agent = Deleted(parties), slowly(parties)
    async with agent.client() as http, agent.client() as other:
        await cancelled(http, parties)
        assert len(agent.pending()) == 1
        await http.aclose()
        assert deleted.paths == []
        assert (await other.get("https://api.example/agent")).status_code == 200
    assert deleted.paths == ["/pending/0"]
    assert agent.pending() == []


async def test_what_is_kept_on_disk_stays_for_the_next_process(parties: Parties, tmp_path: Path) -> None:
    """The person goes on deciding, and the agent asks for the answer when it is back (F42)."""
    deleted = Deleted(parties)
    async with slowly(parties, pending_folder=tmp_path).client() as http:
        await cancelled(http, parties)
    assert deleted.paths == []
    agent = slowly(parties, pending_folder=tmp_path)
    (pending,) = agent.pending()
    await pending.cancel()
    assert deleted.paths == ["/pending/0"]
    assert agent.pending() == []


async def test_what_somebody_still_waits_for_is_not_withdrawn(parties: Parties) -> None:
    deleted, agent = Deleted(parties), slowly(parties)
    async with agent.client() as http:
        other = asyncio.create_task(http.get(PERSON_URL))
        await cancelled(http, parties)
        parties.ps.open["/pending/0"].polls = 0
        assert (await other).status_code == 200
    assert deleted.paths == []


async def test_an_equal_call_joins_what_was_given_up_and_then_it_is_not_withdrawn(parties: Parties) -> None:
    deleted, agent = Deleted(parties), slowly(parties)
    async with agent.client() as http:
        await cancelled(http, parties)
        parties.ps.open["/pending/0"].polls = 0
        assert (await http.get(PERSON_URL)).status_code == 200
    assert (deleted.paths, parties.ps.person_requests, len(parties.errands)) == ([], 1, 1)


async def test_a_cancelled_program_withdraws_on_its_way_out_and_does_not_hang(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The withdrawal goes on for as long as its bound allows, and no longer."""
    monkeypatch.setattr("aauthkit.agent.withdrawing.LONGEST", 0.2)
    deleted = Deleted(parties)
    deleted.gate = asyncio.Event()

    async def program() -> None:
        async with slowly(parties).client() as http:
            await http.get(PERSON_URL)

    running = asyncio.create_task(program())
    while not parties.ps.count("/pending/0"):
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    deleted.gate.set()
    assert deleted.paths == ["/pending/0"]


async def test_a_real_person_server_ends_what_is_withdrawn(quick_real_world: World) -> None:
    """§7.5.2.3: the person finds no question any more."""
    planner = await quick_real_world.enrol("planner")
    ada = await quick_real_world.person("Ada")
    call = planner.get("/me")
    errand = await planner.errand()
    while not planner.agent.pending():
        await asyncio.sleep(0.005)
    call.cancel()
    (pending,) = planner.agent.pending()
    await pending.cancel()
    page = await ada.opens(errand.url_with_code)
    page = await ada.presses(page.form("/interaction/")) if "/interaction/" in page.text else page
    assert not await _is_asked(ada)


async def _is_asked(someone: Any) -> bool:
    await someone.signs_in()
    return bool(await someone.has_questions())
