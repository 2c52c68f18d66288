"""The person asks the agent before they decide: question, answer, other request, and time that runs out (§7.5)."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.protocol.messages import Answer
from tests.plugins.people import AgentParty, Browser, World, body, claims_of, error_of, requirement

pytestmark = pytest.mark.anyio

TALKS = ["interaction", "clarification"]
WHY = "Why do you need to place orders?"


async def asking(
    world: World, scope: str = "orders.read orders.place", **parameters: object
) -> tuple[AgentParty, Browser, str, Answer]:
    """An agent whose person has its request for `scope` before them: agent, browser, person token, the 202."""
    agent, browser, token = await world.introduced()
    given = {"capabilities": TALKS, **parameters}
    answer = await agent.ask_auth_token(agent.challenged(token, scope), token, **given)
    await browser.open_next()
    return agent, browser, token, answer


def shown(browser: Browser) -> str:
    assert browser.page is not None
    return browser.page.text


async def test_a_question_and_its_answer(world: World) -> None:
    """§7.5.1, §7.5.2.1, PS-40: 202 `clarification`, the answer on the page as the agent's own words, the decision."""
    agent, browser, _, answer = await asking(world)
    page = await browser.ask(WHY)
    assert page.url.startswith("/decide/") and WHY in page.text and "has been asked" in page.text
    asked = await agent.poll(answer)
    found = requirement(asked)
    assert asked.status == 202 and found is not None and found.value == "clarification"
    assert asked.header("location") == answer.header("location") and asked.header("cache-control") == "no-store"
    assert body(asked) == {"status": "pending", "clarification": WHY, "timeout": 300}

    world.clock.pass_(20)
    taken = await agent.say(answer, clarification_response="To *restock* what ran out.")
    now = requirement(taken)
    assert taken.status == 202 and now is not None and now.value == "approval"
    assert taken.header("location") == answer.header("location")
    page = await browser.get(page.url)
    assert "planner answers in its own words, checked by nobody" in page.text
    assert "<em>restock</em>" in page.html
    block = page.html.partition("planner</bdi> answers")[2].partition("</section>")[0]
    assert "restock" in block
    await browser.decide("approved", "orders.place")
    assert claims_of(body(await agent.poll(answer))["auth_token"])["scope"] == "orders.place"


async def test_a_person_token_can_be_asked_about_too(world: World) -> None:
    """§7.1, §7.5: before an agent has its person; the conversation is kept with the decision."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token(capabilities=TALKS, justification="to work")
    await browser.open_interaction(answer)
    await browser.get("/signup")
    await browser.sign_up()
    await browser.ask("Who runs you?")
    assert body(await agent.poll(answer))["status"] == "interacting"
    await agent.say(answer, clarification_response="The shop next door.")
    await browser.get(browser.page.url)  # type: ignore[union-attr]
    assert "The shop next door." in shown(browser) and "Who runs you?" in shown(browser)
    await browser.decide("approved")
    assert (await agent.poll(answer)).status == 200
    row = await world.database.fetch_one("SELECT shown FROM person_decisions")
    assert row is not None and "The shop next door." in row["shown"] and "Who runs you?" in row["shown"]


async def test_only_an_agent_that_said_so_is_asked(world: World) -> None:
    """§7.5, §11.7: without the capability there is no form, and a form made up asks nothing."""
    agent, browser, _, answer = await asking(world, capabilities=["interaction"])
    assert browser.page is not None and not browser.page.has_form(f"{browser.page.url}/ask")
    fields = [field for field in browser.page.form("/decide/").fields if field[0] == "csrf"]
    page = await browser.post(f"{browser.page.url}/ask", [*fields, ("question", WHY)])
    assert page.status == 400 and "Your question was not sent" in page.text
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "approval"


async def test_five_rounds_and_no_more(world: World) -> None:
    """§7.5.3; one question at a time, and the whole conversation stays visible."""
    agent, browser, _, answer = await asking(world)
    for number in range(5):
        page = await browser.ask(f"Question {number}?")
        assert not page.has_form(f"{page.url}/ask")  # while it is the agent's turn
        await agent.poll(answer)
        assert (await agent.say(answer, clarification_response=f"Answer {number}.")).status == 202
        await browser.get(page.url)
    assert browser.page is not None and not browser.page.has_form(f"{browser.page.url}/ask")
    assert "as often as an agent may be asked" in shown(browser)
    for number in range(5):
        assert f"Question {number}?" in shown(browser) and f"Answer {number}." in shown(browser)
    fields = [field for field in browser.page.form("/decide/").fields if field[0] == "csrf"]
    page = await browser.post(f"{browser.page.url}/ask", [*fields, ("question", "One more?")])
    assert page.status == 400 and "One more?" not in page.text
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "approval"
    await browser.decide("denied")
    assert error_of(await agent.poll(answer)) == (403, "denied")


async def test_a_question_that_is_not_answered_lapses(world: World) -> None:
    """§7.5.1 `timeout`: then it is the person's turn again, and an answer comes too late; they may ask once more."""
    agent, browser, _, answer = await asking(world)
    page = await browser.ask(WHY)
    world.clock.pass_(299)
    assert body(await agent.poll(answer))["timeout"] == 1
    world.clock.pass_(1)
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "interaction"  # the page is gone as well by now
    late = await agent.say(answer, clarification_response="Here I am.")
    assert error_of(late) == (400, "invalid_request")
    page = await browser.get(page.url)
    assert "did not answer in time" in page.text and "Here I am." not in page.text
    await browser.ask("And now?")
    assert (await agent.say(answer, clarification_response="Now.")).status == 202
    await browser.get(page.url)
    await browser.decide("approved", "orders.read")
    assert (await agent.poll(answer)).status == 200


async def test_a_question_lasts_no_longer_than_its_request(world: World) -> None:
    agent, browser, _, answer = await asking(world)
    world.clock.pass_(1700)
    await browser.sign_in()
    await browser.open_next()
    await browser.ask(WHY)
    assert body(await agent.poll(answer))["timeout"] == 100
    world.clock.pass_(100)
    assert error_of(await agent.say(answer, clarification_response="Late.")) == (410, "gone")
    assert error_of(await agent.poll(answer)) == (408, "expired")


async def test_the_person_need_not_wait_for_the_answer(world: World) -> None:
    """They decide while it is the agent's turn; what it then says is taken, and its next poll has the decision."""
    agent, browser, _, answer = await asking(world)
    await browser.ask(WHY)
    await browser.decide("approved", "orders.read")
    assert (await agent.say(answer, clarification_response="Because.")).status == 202
    assert (await agent.poll(answer)).status == 200
    assert error_of(await agent.say(answer, clarification_response="Because.")) == (410, "gone")


async def test_a_held_poll_brings_the_question_at_once_and_only_once(world: World) -> None:
    """§11.8.3: asked, the agent hears of it; told, its next poll is held although the seconds left have changed."""
    agent, browser, _, answer = await asking(world)
    held = asyncio.create_task(agent.poll(answer, headers=[("prefer", "wait=30")]))
    await browser.ask(WHY)
    told = await asyncio.wait_for(held, 10)
    assert body(told)["clarification"] == WHY
    held = asyncio.create_task(agent.poll(answer, headers=[("prefer", "wait=30")]))
    for _ in range(5):
        world.clock.pass_(1)
        await world.database.notify("pending", "")
        await asyncio.sleep(0.01)
    assert not held.done()
    await agent.say(answer, clarification_response="Because.")
    await browser.decide("approved", "orders.read")
    assert (await asyncio.wait_for(held, 10)).status == 200


async def test_an_answer_that_comes_twice_is_taken_once(world: World) -> None:
    """What was lost was our 202; another text is no second answer."""
    agent, browser, _, answer = await asking(world)
    await browser.ask(WHY)
    for _ in range(2):
        assert (await agent.say(answer, clarification_response="Because.")).status == 202
    assert error_of(await agent.say(answer, clarification_response="Rather this.")) == (400, "invalid_request")
    page = await browser.get(browser.page.url)  # type: ignore[union-attr]
    assert page.text.count("Because.") == 1 and "Rather this." not in page.text


async def test_a_conversation_outlives_the_process(world: World) -> None:
    """F85."""
    agent, browser, _, answer = await asking(world)
    await browser.ask(WHY)
    world.server = world.make_server(world.database)
    await world.server.start()
    assert body(await agent.poll(answer))["clarification"] == WHY
    await agent.say(answer, clarification_response="Because.")
    world.server = world.make_server(world.database)
    await world.server.start()
    assert "Because." in (await browser.get(browser.page.url)).text  # type: ignore[union-attr]


async def test_an_agent_may_ask_for_less_instead(world: World) -> None:
    """PS-30, PS-36, §7.5.2.2: the pair is verified anew, the page says what is different, that is decided."""
    agent, browser, token, answer = await asking(world)
    before = browser.page
    await browser.ask(WHY)
    less = agent.challenged(token, "orders.read")
    taken = await agent.say(
        answer, "updated_request", resource_token=less, presented_token=token, justification="Reading will **do**."
    )
    assert taken.status == 202 and taken.header("location") == answer.header("location")
    found = requirement(taken)
    assert found is not None and found.value == "approval"
    # The same again, since our 202 was lost.
    again = {"resource_token": less, "presented_token": token}
    assert (await agent.say(answer, "updated_request", **again)).status == 202
    page = await browser.get(browser.page.url)  # type: ignore[union-attr]
    assert "planner changed what it asks for" in page.text
    assert "It no longer asks for:Place orders for you, up to 500 €" in page.text
    assert "<strong>do</strong>" in page.html
    assert page.form("/decide/").options["scope"] == ["orders.read"]

    # A page that still shows the first request decides nothing.
    fresh, browser.page = browser.page, before
    stale = await browser.decide("approved", "orders.read", "orders.place")
    assert stale.status == 400 and "has changed its request meanwhile" in stale.text
    browser.page = fresh
    await browser.decide("approved", "orders.read")
    auth = claims_of(body(await agent.poll(answer))["auth_token"])
    assert auth["scope"] == "orders.read"
    (row,) = await world.database.fetch_all("SELECT asked, granted FROM person_decisions WHERE kind = 'scope'")
    assert (row["asked"], row["granted"]) == ("orders.read", "orders.read")
    issued = await world.server.steward.issued()
    assert {one.resource_jti for one in issued if one.jti == auth["jti"]} == {claims_of(less)["jti"]}


async def test_another_account_is_another_question(world: World) -> None:
    """§7.5.2.2, §11.11: the account may change, and the page says so."""
    agent, browser, token, answer = await asking(world, "orders.read")
    await browser.ask("Is this for work?")
    work = agent.challenged(token, "orders.read orders.cancel", account="work")
    await agent.say(answer, "updated_request", resource_token=work, presented_token=token)
    page = await browser.get(browser.page.url)  # type: ignore[union-attr]
    assert "It was for no particular account, and is now for the account work." in page.text
    assert "It also asks for:Cancel your orders" in page.text and "For the account work" in page.text
    await browser.decide("approved", "orders.read", memory="kept")
    assert claims_of(body(await agent.poll(answer))["auth_token"])["account"] == "work"
    assert (await agent.ask_auth_token(agent.challenged(token), token)).status == 202
    assert (await agent.ask_auth_token(agent.challenged(token, account="work"), token)).status == 200


async def test_a_replaced_request_is_joined_by_what_it_asks_for_now(world: World) -> None:
    """Also by the resource token it began with, so that one question stays one."""
    agent, browser, token, _ = await asking(world)
    world.clock.pass_(1)
    first = agent.challenged(token, "orders.read orders.cancel")
    answer = await agent.ask_auth_token(first, token, capabilities=TALKS)
    await browser.get("/")
    links = [link for link in browser.page.links if link.startswith("/decide/")]  # type: ignore[union-attr]
    await browser.get(links[-1])
    await browser.ask(WHY)
    less = agent.challenged(token, "orders.read")
    await agent.say(answer, "updated_request", resource_token=less, presented_token=token)
    for resource_token in (first, less, agent.challenged(token, "orders.read")):
        joined = await agent.ask_auth_token(resource_token, token)
        assert joined.header("location") == answer.header("location")


async def test_a_request_replaced_by_one_that_waits_already(world: World) -> None:
    """Both go on waiting, each under its own URL."""
    agent, browser, token, first = await asking(world, "orders.read")
    world.clock.pass_(1)
    second = await agent.ask_auth_token(agent.challenged(token, "orders.place"), token, capabilities=TALKS)
    links = [link for link in (await browser.get("/")).links if link.startswith("/decide/")]
    await browser.get(links[-1])
    await browser.ask(WHY)
    same = agent.challenged(token, "orders.read")
    assert (await agent.say(second, "updated_request", resource_token=same, presented_token=token)).status == 202
    joined = await agent.ask_auth_token(agent.challenged(token, "orders.read"), token)
    assert joined.header("location") == first.header("location")
    await browser.get(links[-1])
    await browser.decide("approved", "orders.read")
    assert (await agent.poll(second)).status == 200
    await browser.open_next()
    await browser.decide("denied")
    assert error_of(await agent.poll(first)) == (403, "denied")


async def test_an_agent_withdraws_instead_of_answering(world: World) -> None:
    """§7.5.2.3: DELETE, 410 from then on, and the person is told."""
    agent, browser, _, answer = await asking(world)
    await browser.ask(WHY)
    page = browser.page
    assert page is not None
    assert (await agent.send("DELETE", answer.header("location") or "")).status == 204
    assert error_of(await agent.poll(answer)) == (410, "gone")
    assert error_of(await agent.say(answer, clarification_response="x")) == (410, "gone")
    assert "The agent withdrew its request" in (await browser.get(page.url)).text


async def test_what_somebody_else_asked_stays_between_them(world: World) -> None:
    """Before an agent has its person another may come with a fresh code, and sees no conversation but their own."""
    agent, browser, other = world.agent(), Browser(world), Browser(world)
    answer = await agent.ask_person_token(capabilities=TALKS)
    await browser.open_interaction(answer)
    await browser.get("/signup")
    await browser.sign_up()
    await browser.ask("My private question?")
    await agent.say(answer, clarification_response="A private answer.")
    world.clock.pass_(600)
    await other.open_interaction(await agent.poll(answer))
    await other.get("/signup")
    page = await other.sign_up("Eve")
    assert "wants to act as you" in page.text and "private" not in page.text


async def test_a_list_says_where_an_answer_is_waiting(world: World) -> None:
    agent, browser, _, answer = await asking(world)
    await browser.ask(WHY)
    assert "has answered" not in (await browser.get("/")).text
    await agent.say(answer, clarification_response="Because.")
    assert "has answered your question" in (await browser.get("/")).text
