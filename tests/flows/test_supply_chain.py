"""The start of the supply chain, run as it is: every program a process, people at its page, figures from the tool.

A person's sentence goes to the supply-chain agent on their behalf, from there to the market-analysis agent and to the
pricing tool, on behalf of nobody yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from a2a.helpers import new_data_part, new_text_part
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from aauthkit.agent import Agent
from aauthkit.byhand import Prepared, agent_credential, prepare
from aauthkit.demo.supply_chain.market import Market
from aauthkit.demo.supply_chain.places import SCOPE
from aauthkit.demo.supply_chain.speaking import Refused, Step, ask
from aauthkit.egress import Http
from aauthkit.outbound import Pending
from aauthkit.protocol.headers import parse_requirement
from aauthkit.protocol.messages import Answer
from tests.plugins.supply_chain import Buyer, Chain, open_chain
from tests.plugins.visiting import PATIENCE

pytestmark = pytest.mark.anyio

NAMES = (f"person-{number}" for number in range(1, 1000))


@pytest.fixture(scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Chain]:
    """The processes, once for all tests of this module; each test has people of its own."""
    async with open_chain(tmp_path_factory.mktemp("supply")) as opened:
        yield opened


@pytest.fixture
async def buyer(chain: Chain) -> AsyncIterator[Buyer]:
    """Somebody new in front of the page."""
    someone = chain.buyer(next(NAMES))
    yield someone
    await someone.close()


@pytest.fixture
async def other(chain: Chain) -> AsyncIterator[Buyer]:
    """Somebody else, with another browser."""
    someone = chain.buyer(next(NAMES))
    yield someone
    await someone.close()


async def agreed(buyer: Buyer, prompt: str) -> dict[str, Any]:
    """The first run of somebody who agrees to everything."""
    number = await buyer.types(prompt)
    await buyer.allows(SCOPE)
    return await buyer.ended(number)


@pytest.fixture(scope="module")
async def regular(chain: Chain) -> AsyncIterator[Buyer]:
    """Somebody who has agreed to everything before, and is asked nothing any more."""
    someone = chain.buyer(next(NAMES))
    assert (await agreed(someone, "1 chair"))["state"] == "done"
    yield someone
    await someone.close()


async def planned(buyer: Buyer, prompt: str) -> dict[str, Any]:
    """A run of somebody who is asked nothing any more."""
    return await buyer.ended(await buyer.types(prompt))


def cheapest(item: str, quantity: int, within: int) -> int:
    """What a quantity costs at least, in cents: every piece that is in time on one heap, the cheapest taken."""
    heap = [offer.cents for offer in Market().offers(item) if offer.days <= within for _ in range(offer.available)]
    return sum(sorted(heap)[:quantity])


async def test_f84_two_sentences_give_their_own_figures_which_are_right(regular: Buyer) -> None:
    """F84: what was typed reaches the agents, and what the page shows is what came back from the tool."""
    first = await planned(regular, "150 laptops and 30 monitors within 4 weeks")
    second = await planned(regular, "I want 80 headsets in 20 days, please")
    assert (first["state"], second["state"]) == ("done", "done")

    figures = first["figures"]
    assert figures["understood"] == "150 × laptop, 30 × monitor, within 28 days"
    assert figures["total_cents"] == cheapest("laptop", 150, 28) + cheapest("monitor", 30, 28)
    medians = {item: int(statistics.median(o.cents for o in Market().offers(item))) for item in ("laptop", "monitor")}
    assert figures["usual_cents"] == 150 * medians["laptop"] + 30 * medians["monitor"]
    assert figures["saved_cents"] == figures["usual_cents"] - figures["total_cents"]
    assert [one["item"] for one in figures["market"]] == ["laptop", "monitor"]
    assert figures["market"][0]["offers"] == msgspec.to_builtins(list(Market().offers("laptop")))
    assert {one["median_cents"] for one in figures["market"]} == set(medians.values())

    other = second["figures"]
    assert other["total_cents"] == cheapest("headset", 80, 20) != figures["total_cents"]
    assert sum(one["quantity"] for one in other["purchases"]) == 80
    assert max(one["days"] for one in other["purchases"]) == other["days"] <= 20
    weekly = Market().weekly("headset")
    assert other["market"][0]["trend_percent"] == round((weekly[-1] - weekly[0]) * 100 / weekly[0], 1)

    page = await regular.page()
    assert f"{other['total_cents'] / 100:,.2f} €" in page.text
    assert "80 × headset, within 20 days" in page.text
    assert f"{figures['total_cents'] / 100:,.2f} €" not in page.text


async def test_f84_the_chain_is_the_hops_that_happened_as_each_was_verified(regular: Buyer) -> None:
    """F84: on behalf of the person at the first agent, on behalf of nobody after it; the page says so."""
    run = await planned(regular, "10 docks and 5 chairs")
    supply, market, tool = run["hops"]
    assert (supply["called"], supply["via"], supply["level"]) == ("Supply-chain agent", "A2A", "grant")
    assert (supply["scope"], supply["agent"]) == ([SCOPE], None)
    assert len(supply["person"]) >= 16
    assert market == {
        "called": "Market-analysis agent",
        "via": "A2A",
        "level": "agent",
        "agent": "aauth:supply-chain@provider.localhost",
        "person": None,
        "scope": [],
        "times": 1,
    }
    assert (tool["called"], tool["via"], tool["level"], tool["agent"], tool["times"]) == (
        "Pricing tool",
        "MCP",
        "agent",
        "aauth:market-analysis@provider.localhost",
        3,  # its catalogue, and two items
    )
    page = await regular.page()
    assert page.text.count("not yet on behalf of you") == 2
    assert page.text.index(run["agent"]) < page.text.index("aauth:supply-chain@") < page.text.index("aauth:market-")
    assert "MCP , 3 times" in page.text or "MCP, 3 times" in page.text


async def test_only_what_happened_is_in_the_chain(regular: Buyer) -> None:
    """F84: a sentence without an order ends at the first agent, one with something nobody trades at the tool."""
    vague = await planned(regular, "buy something nice")
    assert (vague["state"], vague["figures"]) == ("failed", None)
    assert vague["failure"].startswith("No number of anything stands there.")
    assert [hop["called"] for hop in vague["hops"]] == ["Supply-chain agent"]
    page = await regular.page()
    assert "No number of anything stands there." in page.text and "Pricing tool" not in page.text

    wrong = await planned(regular, "3 unicorns and 2 docks")
    assert wrong["failure"] == "Nobody trades unicorn. There are chair, dock, headset, keyboard, laptop, monitor."
    assert [(hop["called"], hop["times"]) for hop in wrong["hops"]][-1] == ("Pricing tool", 2)


async def test_the_feed_tells_each_agents_steps_in_order(buyer: Buyer) -> None:
    """F84: what each agent did, told by it, while it did it."""
    run = await agreed(buyer, "7 keyboards")
    told = [f"{one['who']} {one['text']}" for one in run["activity"]]
    places = [next(index for index, line in enumerate(told) if said in line) for said in STEPS]
    assert places == sorted(set(places))


STEPS = (
    "This page acts for you as aauth:buying-desk",
    "This page needs your word",
    "You agreed that it acts for you",
    "You allowed a plan",
    f"Supply-chain agent was asked on behalf of a person, who allowed {SCOPE}",
    "Supply-chain agent understands: 7 × keyboard",
    "Market-analysis agent was asked by aauth:supply-chain@provider.localhost, on behalf of nobody yet",
    "Pricing tool lists 6 items",
    "Pricing tool has 5 offers for keyboard",
    "Supply-chain agent has compared 5 offers",
    "This page shows the plan",
)


# People


async def test_two_people_have_an_agent_each_and_see_only_their_own(buyer: Buyer, other: Buyer, chain: Chain) -> None:
    """§13.14, F84: two at once; the numbers of all lines differ, and nobody reads or stops another's run."""
    mine, theirs = await buyer.types("20 laptops"), await other.types("20 chairs")
    await asyncio.gather(buyer.allows(SCOPE), other.allows(SCOPE))
    one, two = await buyer.ended(mine), await other.ended(theirs)
    assert one["agent"] != two["agent"]
    assert one["hops"][0]["person"] != two["hops"][0]["person"]
    ids = [line["id"] for run in (one, two) for line in run["activity"]]
    assert len(set(ids)) == len(ids)
    assert "chair" not in (await buyer.page()).text.partition("The plan")[2].partition("Done")[0]
    for path in (f"/runs/{theirs}", "/runs/0", "/runs/99999999999"):
        assert (await buyer.desk.get(chain.url("web", path))).status == 404
    page = await buyer.page()
    stop = page.forms[0]
    stop.action = f"/runs/{theirs}/stop"
    assert (await buyer.posts(stop, page=page)).status == 404


async def test_a_no_is_shown_as_one_and_nobody_was_asked(buyer: Buyer) -> None:
    """§11.9.4: no hop happened; the person may change their mind."""
    number = await buyer.types("5 laptops")
    await buyer.comes()
    await buyer.home.denies()
    run = await buyer.ended(number)
    assert (run["state"], run["hops"], run["figures"]) == ("failed", [], None)
    page = await buyer.page()
    assert "You said no, and so it is: no agent was asked for anything." in page.text
    assert page.link("/interaction/") is None


async def test_a_run_goes_on_by_itself_after_the_persons_yes(buyer: Buyer) -> None:
    """The page asks for a word, shows the code of the person server's page, and needs nobody to come back."""
    number = await buyer.types("5 laptops")
    errand = await buyer.is_asked()
    assert errand.code in (await buyer.page()).text
    assert (await buyer.run(number))["stage"] == 1
    page = await buyer.comes()
    assert "You typed: 5 laptops . I ask for a plan" in page.text or "You typed: 5 laptops." in page.text
    await buyer.home.approves()
    await buyer.home.finds()
    assert buyer.home.asked == [SCOPE]
    assert "Work out a plan for what you want to buy" in buyer.home.page.text
    await buyer.home.approves(SCOPE)
    assert (await buyer.ended(number))["stage"] == 5


async def test_a_run_that_is_stopped_asks_nobody_any_more(buyer: Buyer) -> None:
    number = await buyer.types("5 laptops")
    await buyer.is_asked()
    page = await buyer.page()
    page = await buyer.posts(page.form("/stop"), page=page)
    assert "You stopped it." in page.text
    run = await buyer.run(number)
    assert (run["state"], run["hops"]) == ("stopped", [])
    assert await buyer.types("6 laptops") > number


# What is refused


@pytest.mark.parametrize(
    "fields",
    [
        [("promt", "20 laptops")],
        [("prompt", "20 laptops"), ("model", "best")],
        [("prompt", "")],
        [("prompt", "20 laptops"), ("prompt", "30 laptops")],
        [("prompt", "20 laptops, " * 50)],
    ],
    ids=["misspelt", "one more", "nothing", "twice", "too long"],
)
async def test_f84_a_form_that_is_not_the_pages_is_400(buyer: Buyer, fields: list[tuple[str, str]]) -> None:
    """F84: an unknown field is refused, and no run begins."""
    page = await buyer.page()
    (csrf,) = [field for field in page.forms[0].fields if field[0] == "csrf"]
    answered = await buyer.desk.post(page, page.forms[0], [csrf, *fields])
    assert answered.status == 400
    assert "Nothing was decided and nothing was changed." in answered.text
    assert "What happened" not in (await buyer.page()).text


async def test_two_runs_at_once_are_one_too_many(buyer: Buyer) -> None:
    page = await buyer.page()
    await buyer.types("5 laptops")
    answered = await buyer.posts(page.forms[0], ("prompt", "6 laptops"), page=page)
    assert answered.status == 400


async def test_a_form_of_another_page_or_session_is_403(buyer: Buyer, other: Buyer, chain: Chain) -> None:
    """§13.13: with another's token, with none, without the cookie, and from another origin."""
    page, elsewhere = await buyer.page(), await other.page()
    form = page.forms[0]
    theirs = [field for field in elsewhere.forms[0].fields if field[0] == "csrf"]
    assert (await buyer.desk.post(page, form, [*theirs, ("prompt", "5 laptops")])).status == 403
    assert (await buyer.desk.post(page, form, [("prompt", "5 laptops")])).status == 403
    page.url = "http://evil.localhost:1/"
    form.action = chain.url("web", "/runs")
    assert (await buyer.posts(form, ("prompt", "5 laptops"), page=page)).status == 403
    stranger = chain.buyer("nobody")
    with contextlib.suppress(AssertionError):
        assert (await stranger.desk.post(elsewhere, form, [*theirs, ("prompt", "5 laptops")])).status == 403
    await stranger.close()
    assert "What happened" not in (await buyer.page()).text


def asked(answer: Answer) -> str | None:
    requirement = parse_requirement(answer.values("aauth-requirement"))
    return requirement.value if requirement is not None else None


@pytest.mark.parametrize(
    ("program", "path", "requirement"),
    [
        ("supply-chain", "/a2a", "person-token"),
        ("market-analysis", "/a2a", "agent-token"),
        ("pricing", "/mcp", "agent-token"),
    ],
)
async def test_no_program_answers_who_does_not_sign(chain: Chain, program: str, path: str, requirement: str) -> None:
    """§6: each is a resource of its own, and says what to present."""
    async with Http(chain.place.egress) as http:
        url = chain.url(program, path)
        answer = await Prepared("POST", url, (("content-type", "application/json"),), b"{}").send(http)
    assert (answer.status, asked(answer)) == (401, requirement)


async def test_the_supply_chain_agent_works_for_people_only(chain: Chain) -> None:
    """§6.5: an agent that acts for nobody is told what it lacks; the market-analysis agent serves it."""
    headers = [("content-type", "application/json")]
    async with Http(chain.place.egress) as http:
        home = chain.place.found.root
        credential = await agent_credential("market-analysis", http, chain.place.egress, home=home)
        url = chain.url("supply-chain", "/a2a")
        refused = await prepare("POST", url, credential, chain.place.egress, headers=headers, body=b"{}").send(http)
        url = chain.url("market-analysis", "/a2a")
        body = b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "none"}}'
        served = await prepare("POST", url, credential, chain.place.egress, headers=headers, body=body).send(http)
    assert (refused.status, asked(refused)) == (401, "person-token")
    assert served.status == 200


@contextlib.asynccontextmanager
async def enrolled(chain: Chain, name: str) -> AsyncIterator[Agent]:
    """An agent of this installation that acts for nobody."""
    yield await chain.place.enroll(name)


async def test_f84_data_with_a_field_that_is_not_known_is_refused_between_agents(chain: Chain) -> None:
    """F84: also agents tell each other what they did not understand, instead of leaving it out."""
    told: list[Step] = []

    async def tell(step: Step) -> None:
        told.append(step)

    async with enrolled(chain, "curious") as agent, httpx.AsyncClient(transport=agent.transport()) as http:
        market = chain.place.origin("market-analysis")
        with pytest.raises(Refused, match="unknown field `colour`"):
            await ask(http, market, [new_data_part({"items": ["dock"], "colour": "red"})], tell)
        with pytest.raises(Refused, match="missing required field `items`"):
            await ask(http, market, [new_data_part({})], tell)
        with pytest.raises(Refused, match="cannot be read"):
            await ask(http, market, [new_text_part("docks")], tell)
        answer = await ask(http, market, [new_data_part({"items": ["dock", "cloud"]})], tell)
    assert answer["unknown"] == ["cloud"]
    assert answer["items"][0]["offers"] == msgspec.to_builtins(list(Market().offers("dock")))
    assert told[0].hop is not None and told[0].hop.agent == "aauth:curious@provider.localhost"


async def test_the_tool_says_what_it_does_not_trade(chain: Chain) -> None:
    async with enrolled(chain, "reader") as agent, agent.client() as http:
        url = chain.url("pricing", "/mcp")
        async with Client(streamable_http_client(url, http_client=http)) as tool:
            assert {one.name for one in (await tool.list_tools()).tools} == {"catalogue", "offers"}
            refused = await tool.call_tool("offers", {"item": "cloud"})
            served = await tool.call_tool("offers", {"item": "dock"})
    assert refused.is_error
    assert served.structured_content is not None
    assert served.structured_content["weekly"] == list(Market().weekly("dock"))
    assert served.structured_content["hop"]["agent"] == "aauth:reader@provider.localhost"


async def test_a_stranger_is_not_admitted_with_the_programs(chain: Chain, tmp_path_factory: Any) -> None:
    """Only whose durable key lies in the installation's own folder is enrolled without anybody's approval."""
    waiting = asyncio.Event()

    async def noticed(_pending: Pending) -> None:
        waiting.set()

    found = chain.place.found
    stranger = asyncio.create_task(
        Agent.enroll(
            "stranger",
            provider=found.provider,
            home=tmp_path_factory.mktemp("elsewhere"),
            egress_file=found.egress_file,
            on_pending=noticed,
        )
    )
    async with asyncio.timeout(PATIENCE):
        await waiting.wait()
    await chain.place.enroll("neighbour")  # looked at after the stranger
    assert "neighbour" in chain.admitted
    assert "stranger" not in chain.admitted
    assert not stranger.done()
    stranger.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stranger


async def test_each_program_is_its_own_agent_and_the_page_has_one_for_each_person(chain: Chain, regular: Buyer) -> None:
    """§13.14: enrolled when it starts, or when its person comes."""
    run = await planned(regular, "2 chairs")
    names = {path.stem for path in (chain.place.found.root / "agents").iterdir()}
    assert {"supply-chain", "market-analysis", "buying-desk"} <= names
    assert run["agent"].removeprefix("aauth:").partition("@")[0] in names
    assert {"supply-chain", "market-analysis"} <= set(chain.admitted)


async def test_f87_no_log_holds_a_token_a_key_a_code_or_a_cookie(chain: Chain, buyer: Buyer) -> None:
    """F87: after everything that was done here."""
    number = await buyer.types("9 chairs")
    errand = await buyer.is_asked()
    await buyer.allows(SCOPE)
    run = await buyer.ended(number)
    logs = "\n".join(path.read_text() for path in (chain.place.found.root / "logs").iterdir())
    agents = "\n".join(path.read_text() for path in (chain.place.found.root / "agents").iterdir())
    secrets = [errand.code, run["hops"][0]["person"], *re.findall(r'"d": ?"([\w-]+)"', agents)]
    for secret in ("eyJ", "Signature", "signature-key", "Cookie", "csrf", "code=", "/pending/", *secrets):
        assert secret not in logs
    for program in ("web", "supply-chain", "market-analysis", "pricing"):
        assert "loopback profile on" in chain.log(program)
        assert "Traceback" not in chain.log(program)


async def test_counts_tell_nothing_of_anybody(chain: Chain, buyer: Buyer) -> None:
    page = await buyer.desk.get(chain.url("web", "/counts"))
    assert set(json.loads(page.text)) == {"runs", "ended", "hops"}
