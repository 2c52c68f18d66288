"""A stranger's words in missions, actions, questions and logs stay words, in their own block (draft-11 §7.4, §13.3)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.person.pages.naming import worded
from tests.flows.test_missions import approved, propose
from tests.plugins.people import RESOURCE, AgentParty, Browser, World

pytestmark = pytest.mark.anyio

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> [click](javascript:alert(3)) "
    "![i](https://evil.example/p.png) "
    "<form action=/decide><button name=verdict value=approved>ok</button></form> {{ 7*7 }} &lt;b&gt; \u202eevil\u2066 "
    "https://evil.example/login </blockquote></section><h1>Approved by your bank</h1>"
)
HEADING = f"# {HOSTILE}\n\n# Plain heading\n\n{HOSTILE}"


def check(html: str) -> None:
    """Nothing of it became markup, an address, or a character that turns the line round."""
    lowered = html.lower()
    for never in (
        "<script>alert",
        "<img",
        "onerror=alert(2)>",
        'href="javascript',
        'src="https://evil',
        "<h1>approved",
    ):
        assert never not in lowered, never
    assert 'href="https://evil' not in lowered
    assert "\u202e" not in html and "\u2066" not in html
    assert html.count("<h1") == 1


@pytest.fixture
def world(quick_world: World) -> World:
    return quick_world


async def shown(agent: AgentParty, browser: Browser, path: str, sent: dict[str, Any]) -> str:
    answer = await agent.send("POST", path, sent)
    assert answer.status == 202, answer.body
    page = await browser.open_next()
    assert page.status == 200
    await agent.send("DELETE", answer.header("location") or "")
    return page.html


async def test_a_hostile_mission_is_shown_harmlessly(world: World) -> None:
    """F76, PS-40: description, tools, reason, limits; in the agent's block, and nowhere as ours."""
    agent, browser = world.agent(), Browser(world)
    await browser.sign_up()
    amounts = {"<b>price</b>": {"each": 5}}
    answer = await propose(
        agent,
        description=HEADING,
        justification=HOSTILE[:4000],
        tools=[{"name": "<i>Search</i>", "description": HOSTILE}],
        limits={"amounts": amounts, "tools": ["<u>x</u>"]},
    )
    page = await browser.open_interaction(answer)
    check(page.html)
    assert "<i>Search</i>" not in page.html.replace('value="<i>Search</i>"', "") and "<u>x</u>" not in page.html
    assert "<b>price" not in page.html
    block = page.html.partition('class="says agent"')[2].partition("</section>")[0]
    assert "Approved by your bank" in block and "<strong>Plain heading</strong>" in block
    await browser.submit("/decide/", "approved")
    page = await browser.get("/missions")
    assert "<script>alert" not in page.html and "<img" not in page.html


async def test_hostile_actions_questions_and_records_are_shown_harmlessly(world: World) -> None:
    """F76, §7.7.1: names and values of parameters too, whole, since what is hidden is not decided about."""
    agent, browser, mission = await approved(world)
    named = {"mission_s256": mission["s256"]}
    long = "y" * 5000 + "END"
    parameters = {"<b>to</b>": HOSTILE, "nested": {"a": ["<script>", 1]}, "body": long}
    sent = {"action": "<b>Send</b>", "description": HEADING, "parameters": parameters, **named}
    html = await shown(agent, browser, "/permission", sent)
    check(html)
    assert "<b>Send" not in html and "<b>to" not in html and "END" in html and "{&#39;a&#39;" not in html
    for path, body in (
        ("/interaction", {"type": "question", "question": HEADING, "description": HOSTILE, **named}),
        ("/interaction", {"type": "payment", "url": f"{RESOURCE}/%3Cscript%3E", "description": HEADING, **named}),
        (f"/mission/{mission['s256']}", {"action": "update", "description": HEADING}),
        (f"/mission/{mission['s256']}", {"action": "completion", "summary": HEADING}),
    ):
        check(await shown(agent, browser, path, body))
    await agent.send("POST", "/audit", {"action": "<b>x</b>", "description": HOSTILE, **named})
    page = await browser.get(f"/missions/{mission['s256']}")
    check(page.html)
    assert "<b>x</b>" not in page.html


async def test_a_hostile_resource_is_shown_harmlessly_before_an_errand(world: World) -> None:
    """F76, §7.2.3: its name on the page between, and the host of its page as it is."""
    world.publish_resource(name=HOSTILE[:120])
    world.server = world.make_server(world.database)
    await world.server.start()
    agent, browser, token = await world.introduced()
    wanted = {"url": "https://xn--80ak6aa92e.example/connect", "code": "Q7K2-M9P4"}
    await agent.ask_auth_token(agent.challenged(token, interaction=wanted), token)
    page = await browser.open_next()
    assert "<script>alert" not in page.html and "<img" not in page.html
    assert "xn--80ak6aa92e.example" in page.text


def test_headings_become_bold_lines_and_nothing_else_changes() -> None:
    assert worded("# One\n\n## Two ##\ntext # no\n####### seven\n#none") == (
        "**One**\n\n**Two**\ntext # no\n####### seven\n#none"
    )
    assert worded("# with *stars*\n#   ") == "# with *stars*\n#   "
    assert worded("#" + " " * 16_000 + "*") == "#" + " " * 16_000 + "*"
