"""The person's browser comes back to the agent's callback, with an error or without (draft-11 §7.3, §7.3.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable as Function
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from aauthkit.agent import Abandoned, Callback, Denied, Errand, Expired, InteractionFailed, Pending, RequestRefused
from aauthkit.protocol.headers import interaction_required
from tests.plugins.simulators import OpenClient, Parties, deferred
from tests.plugins.tls import Received, Reply
from tests.plugins.world import PROVIDER, World

pytestmark = pytest.mark.anyio

PERSON_URL = "https://api.example/person"
AGENT_URL = "https://api.example/agent"
BACK = "https://app.example/back?app=7"
PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")
RESOURCES_PAGE = interaction_required("https://api.example/i/1", "A1B2-C3D4")


class Held:
    """A person server that holds every poll: only the browser can tell the agent how the page ended."""

    def __init__(self, parties: Parties, pages: int = 1) -> None:
        self.parties = parties
        self.polls = 0
        self.gate = asyncio.Event()
        numbers = iter(range(pages))
        parties.ps.script["/person_token_endpoint"] = [lambda _: self._opens(next(numbers))] * pages

    def _opens(self, number: int) -> Reply:
        self.parties.ps.script[f"/pending/{number}"] = [self._held] * 20
        page = interaction_required("https://person.example/i/1", f"A1B2-C3D{number}")
        return deferred(f"/pending/{number}", page)

    async def by_all(self, calls: list[asyncio.Task[Any]]) -> None:
        """Until each of the calls is held."""
        while self.polls < len(calls):
            await asyncio.sleep(0.01)
            assert not any(call.done() for call in calls), calls

    def _held(self, _request: Received) -> Reply:
        self.polls += 1
        return Reply(202, (("location", "/pending/0"), ("retry-after", "0")), b"", gate=self.gate)


def browser(act: Function[[Callback, Errand], Any], **settings: Any) -> Callback:
    """A person who does at once, at the page, what `act` says."""
    channel: Callback

    async def later(errand: Errand) -> None:
        await asyncio.sleep(0.05)
        act(channel, errand)

    tasks: list[asyncio.Task[None]] = []
    channel = Callback(lambda errand: tasks.append(asyncio.ensure_future(later(errand))), **settings)
    return channel


@pytest.mark.parametrize(
    ("error", "kind", "status", "code"),
    [
        ("access_denied", Denied, 403, "denied"),
        ("user_abandoned", Abandoned, 403, "abandoned"),
        ("interaction_expired", Expired, 408, "expired"),
        ("server_error", InteractionFailed, 500, "server_error"),
        ("temporarily_unavailable", InteractionFailed, 503, "temporarily_unavailable"),
        ("something_else", InteractionFailed, 500, "something_else"),
        ("<b>", InteractionFailed, 500, ""),
    ],
)
async def test_an_error_at_the_callback_ends_the_call_that_waits(
    parties: Parties, open_client: OpenClient, error: str, kind: type[RequestRefused], status: int, code: str
) -> None:
    """Table 6, as the polling errors of §7.2.3: at once, and the pending request is polled no more."""
    held = Held(parties)
    channel = browser(lambda channel, _: channel.returned(f"{BACK}&error={error}"), callback=BACK)
    agent = parties.agent(person=channel)
    with pytest.raises(kind) as raised:
        await open_client(agent).get(PERSON_URL)
    assert type(raised.value) is kind
    assert (raised.value.by, raised.value.status, raised.value.code) == (parties.ps.iss, status, code)
    assert raised.value.at_callback
    assert agent.pending() == []
    assert parties.ps.person_requests == 1
    held.gate.set()


async def test_the_callback_goes_along_with_the_page(parties: Parties, open_client: OpenClient) -> None:
    """§7.3: escaped, after the code."""
    shown: list[Errand] = []
    parties.ps.waits, parties.ps.requirement = 1, PAGE
    await open_client(parties.agent(person=Callback(shown.append, callback=BACK))).get(PERSON_URL)
    assert parse_qs(urlsplit(shown[0].url_with_code).query) == {"code": ["A1B2-C3D4"], "callback": [BACK]}


async def test_a_browser_that_comes_back_without_an_error_ends_nothing(
    parties: Parties, open_client: OpenClient
) -> None:
    """The token comes by polling, whatever the browser says (§7.3)."""
    told: list[bool] = []
    channel = browser(lambda channel, _: told.append(channel.returned(BACK)), callback=BACK)
    parties.ps.waits, parties.ps.requirement = 40, PAGE
    assert (await open_client(parties.agent(person=channel)).get(PERSON_URL)).status == 200


async def test_each_page_may_have_a_callback_of_its_own(parties: Parties) -> None:
    """So that the browser itself says which of several calls it comes back from; on loopback the path is free."""
    held, numbers, shown = Held(parties, 2), count(), []
    channel = Callback(shown.append, callback=lambda: f"http://127.0.0.1:7000/back/{next(numbers)}")
    other = await parties.another_resource("other.example")
    agent = parties.agent(person=channel)
    async with agent.client() as http:
        calls = [asyncio.create_task(http.get(url)) for url in (PERSON_URL, f"{other.iss}/person")]
        await held.by_all(calls)
        second = parse_qs(urlsplit(shown[1].url_with_code).query)["callback"][0]
        assert channel.returned(f"{second}?error=access_denied")
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting)) == (1, 1)
        assert isinstance(done.pop().exception(), Denied)
        assert channel.returned("/back/0?error=user_abandoned")  # as a server reads it, without its own name
        assert isinstance((await asyncio.gather(*waiting, return_exceptions=True))[0], Abandoned)
    held.gate.set()


async def test_of_several_pages_with_one_callback_the_application_says_which(parties: Parties) -> None:
    """Nobody's call ends because of another's page."""
    held, shown = Held(parties, 2), []
    channel = Callback(shown.append, callback=BACK)
    other = await parties.another_resource("other.example")
    agent = parties.agent(person=channel)
    async with agent.client() as http:
        calls = [asyncio.create_task(http.get(url)) for url in (PERSON_URL, f"{other.iss}/person")]
        await held.by_all(calls)
        with pytest.raises(LookupError, match="one of 2 pages"):
            channel.returned(f"{BACK}&error=access_denied")
        with pytest.raises(LookupError, match="one of 0 pages"):
            channel.returned("https://app.example/elsewhere?error=access_denied")
        assert not any(call.done() for call in calls)
        for errand in shown:
            assert channel.returned(f"{BACK}&error=access_denied", errand)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in outcomes] == [Denied, Denied]
    held.gate.set()


async def test_a_call_that_joins_later_ends_with_the_same_error(parties: Parties, open_client: OpenClient) -> None:
    """§7.3.1: the pending request counts as over, also for an equal call; a new one is asked anew."""
    parties.ps.waits, parties.ps.requirement = 99, PAGE
    shown: list[Errand] = []
    channel = Callback(shown.append, callback=BACK)
    agent = parties.agent(person=channel)
    with pytest.raises(Pending):
        await open_client(agent, wait=0).get(PERSON_URL)
    assert channel.returned(f"{BACK}&error=server_error")
    with pytest.raises(InteractionFailed):
        await open_client(agent).get(PERSON_URL)
    assert agent.pending() == []


async def test_a_resources_own_page_can_fail_too(parties: Parties, open_client: OpenClient) -> None:
    """§6.2, §7.3.1: a request that a resource manages itself ends at its next answer."""
    shown: list[Errand] = []
    channel = Callback(shown.append, callback=BACK)

    def waits(_request: Received) -> Reply:
        channel.returned(f"{BACK}&error=user_abandoned", shown[0])
        return deferred("/pending/1", RESOURCES_PAGE)

    parties.resource.script["/agent"] = [deferred("/pending/1", RESOURCES_PAGE)]
    parties.resource.script["/pending/1"] = [waits]
    agent = parties.agent(person=channel)
    with pytest.raises(Abandoned) as raised:
        await open_client(agent).get(AGENT_URL)
    assert raised.value.by == parties.resource.iss
    assert agent.pending() == []


def test_a_channel_without_a_callback_is_told_nothing() -> None:
    assert not Callback(print).returned(f"{BACK}&error=access_denied")


async def test_a_real_person_server_sends_the_browser_back_with_the_error(quick_real_world: World) -> None:
    """What its redirect says is what the application hands on; the call ends as declined, whichever way it hears."""
    back = f"{PROVIDER}/back"
    quick_real_world.provider._callback_endpoint = back
    shown: asyncio.Queue[Errand] = asyncio.Queue()
    channel = Callback(shown.put_nowait, callback=back)
    planner = await quick_real_world.enrol("planner", person=channel)
    ada = await quick_real_world.person("Ada")
    call = planner.get("/orders")
    errand = await shown.get()
    await ada.comes(errand)
    page = await ada.presses(ada.page.form("/decide/"), ("verdict", "denied"))
    assert page.url == f"{back}?error=access_denied"
    channel.returned(page.url, errand)
    with pytest.raises(Denied):
        await call
    assert planner.agent.pending() == []
