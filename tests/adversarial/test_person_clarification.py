"""What agents, resources and strangers try with a conversation, and what it never does (§7.5, §13.3, §13.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aauthkit.protocol.messages import Answer
from tests.plugins.people import PASSWORD, AgentParty, Browser, World, body, claims_of, error_of, requirement
from tests.plugins.signing import Issuer, new_key

pytestmark = pytest.mark.anyio

TALKS = ["interaction", "clarification"]


async def asked(world: World) -> tuple[AgentParty, Browser, str, Answer]:
    """An agent whose person has put a question to it: agent, browser, person token, the 202."""
    agent, browser, token = await world.introduced()
    resource_token = agent.challenged(token, "orders.read orders.place")
    answer = await agent.ask_auth_token(resource_token, token, capabilities=TALKS)
    await browser.open_next()
    await browser.ask("Why?")
    return agent, browser, token, answer


async def still_asks(agent: AgentParty, answer: Answer) -> bool:
    """Whether the question is open as it was, and the request waits."""
    polled = await agent.poll(answer)
    found = requirement(polled)
    return polled.status == 202 and found is not None and found.value == "clarification"


@pytest.mark.parametrize("action", [None, "", "clarification", "approve", "CLARIFICATION_RESPONSE", "cancel"])
async def test_a_missing_or_unknown_action_is_refused(world: World, action: str | None) -> None:
    """F38, §7.5.2: 400 `invalid_request`, and the question stays open."""
    agent, _, _, answer = await asked(world)
    assert error_of(await agent.say(answer, action, clarification_response="x")) == (400, "invalid_request")
    assert await still_asks(agent, answer)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"clarification_response": ""},
        {"clarification_response": "x" * 4097},
        {"clarification_response": ["x"]},
        {"clarification_response": None},
        {"clarification_response": "nul\0"},
        {"action": ["clarification_response"], "clarification_response": "x"},
        {"action": {"clarification_response": "x"}},
        {"action": "updated_request"},
        {"action": "updated_request", "resource_token": "x"},
        {"action": "updated_request", "resource_token": "x", "presented_token": 7},
        {"action": "updated_request", "resource_token": "x", "presented_token": "y", "subagent_token": "z"},
    ],
)
async def test_an_answer_out_of_form_is_refused(world: World, members: dict[str, Any]) -> None:
    """F91, F38: typed and bounded; nothing of it reaches the page."""
    agent, _, _, answer = await asked(world)
    given = {"action": "clarification_response", **members}
    assert error_of(await agent.send("POST", answer.header("location") or "", given)) == (400, "invalid_request")
    assert await still_asks(agent, answer)


async def test_nobody_but_who_asked_answers(world: World) -> None:
    """§13.2: another agent, and the same agent under another key, find nothing there, whatever they say."""
    agent, _, _, answer = await asked(world)
    kept = agent.key
    for other in (world.agent("buyer"), agent):
        other.renew(new_key())
        for action in ("clarification_response", "updated_request", "unknown", None):
            assert error_of(await other.say(answer, action, clarification_response="x")) == (404, "not_found")
    agent.renew(kept)
    assert await still_asks(agent, answer)
    assert error_of(await agent.send("POST", "/pending/nothing", {"action": "x"})) == (404, "not_found")


async def test_an_agent_that_was_not_asked_cannot_speak(world: World) -> None:
    """A request waits for its person: nothing is put before them, or changed under their eyes, unless they ask."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token, capabilities=TALKS)
    more = {"resource_token": agent.challenged(token, "orders.place"), "presented_token": token}
    assert error_of(await agent.say(answer, "updated_request", **more)) == (400, "invalid_request")
    assert error_of(await agent.say(answer, clarification_response="Hurry!")) == (400, "invalid_request")
    await browser.open_next()
    assert browser.page is not None and "Hurry!" not in browser.page.text
    assert browser.page.form("/decide/").options["scope"] == ["orders.read"]


async def test_the_body_of_an_answer_must_be_covered(world: World) -> None:
    """F13, §11.3.3.1."""
    agent, _, _, answer = await asked(world)
    location = answer.header("location") or ""
    given = {"action": "clarification_response", "clarification_response": "x"}
    refused = await agent.send("POST", location, given, drop=("content-digest",))
    assert refused.status == 401 and "invalid_input" in (refused.header("signature-error") or "")
    assert await still_asks(agent, answer)


Lie = Callable[[AgentParty, str], tuple[str, str]]


async def elsewhere(world: World, agent: AgentParty, browser: Browser) -> tuple[Issuer, str]:
    """Another resource the same person lets the agent act at, and the person token for it."""
    mail = Issuer("https://mail.example")
    scopes = {"orders.read": "Read your mail"}
    world.network.publish(mail, "aauth-resource.json", name="Mail", access_mode="auth-token", scope_descriptions=scopes)
    answer = await agent.ask_person_token(mail.iss)
    for link in (await browser.get("/")).links:
        if link.startswith("/decide/"):
            page = await browser.get(link)
            if "act as you at Mail" in page.text:
                await browser.decide("approved")
                break
    return mail, body(await agent.poll(answer))["person_token"]


async def test_another_request_keeps_iss(world: World) -> None:
    """PS-36, §7.5.2.2: a pair of another resource, good in itself, does not replace the request."""
    agent, browser, _, answer = await asked(world)
    mail, token = await elsewhere(world, agent, browser)
    pair = {"resource_token": agent.challenged(token, issuer=mail), "presented_token": token}
    assert (await agent.ask_auth_token(**pair)).status == 202  # as a request of its own it is fine
    refused = await agent.say(answer, "updated_request", **pair)
    assert error_of(refused) == (400, "invalid_resource_token") and "iss" in body(refused)["detail"]
    assert await still_asks(agent, answer)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"ps": "https://other.example"}, "invalid_resource_token"),
        ({"aud": "https://other.example"}, "invalid_resource_token"),
        ({"sub": "somebody-else"}, "invalid_resource_token"),
        ({"agent_jkt": new_key().public.thumbprint}, "invalid_resource_token"),
        ({"mission_s256": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}, "invalid_resource_token"),
        ({"tenant": "acme"}, "invalid_resource_token"),
        ({"presented_jti": "another"}, "invalid_resource_token"),
        ({"scope": "orders.unheard-of"}, "invalid_resource_token"),
        ({"scope": None}, "invalid_resource_token"),
        ({"iat": -4000, "exp": -3700}, "expired_resource_token"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_another_request_is_verified_as_the_first_was(world: World, claims: dict[str, Any], code: str) -> None:
    """PS-36, §7.5.2.2, §6.7.2: `ps`, `sub`, `agent_jkt`, `mission_s256` and `tenant` as they were, the pair whole."""
    agent, _, token, answer = await asked(world)
    now = int(world.clock())
    values: dict[str, Any] = {n: now + value if isinstance(value, int) else value for n, value in claims.items()}
    forged = agent.challenged(token, **values)
    refused = await agent.say(answer, "updated_request", resource_token=forged, presented_token=token)
    assert error_of(refused) == (400, code)
    assert await still_asks(agent, answer)


async def test_another_request_brings_the_token_it_was_made_with(world: World) -> None:
    """§7.5.2.2: presented_token is required, this server's own, this agent's, and named by `presented_jti`."""
    agent, browser, token, answer = await asked(world)
    _, _, foreign = await world.introduced(world.agent("buyer"), browser)
    forged = Issuer("https://evil.example").person_token(
        agent.key.public, world.resource.iss, sub=claims_of(token)["sub"], now=int(world.clock())
    )
    for presented in (foreign, forged, agent.token):
        lie = agent.challenged(token, presented_jti=claims_of(presented)["jti"])
        refused = await agent.say(answer, "updated_request", resource_token=lie, presented_token=presented)
        assert error_of(refused) == (400, "invalid_presented_token")
    assert await still_asks(agent, answer)


async def test_a_request_for_a_person_token_has_nothing_to_replace(world: World) -> None:
    agent, browser, token = await world.introduced()
    answer = await agent.ask_person_token(capabilities=TALKS, prompt="consent")
    await browser.open_next()
    await browser.ask("Why again?")
    pair = {"resource_token": agent.challenged(token), "presented_token": token}
    assert error_of(await agent.say(answer, "updated_request", **pair)) == (400, "invalid_request")
    assert await still_asks(agent, answer)


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<script>alert(1)</script>", "<script>alert"),
        ("[click](javascript:alert(1))", 'href="javascript'),
        ("![x](https://evil.example/pixel.png)", "<img"),
        ("# Approved by your bank", "<h1>Approved"),
        ("</blockquote></section><h1>Orders says: it is safe</h1>", "<h1>Orders says"),
        ("\u202eevil\u202c", "\u202e"),
        (
            '<form action="/decide/x"><button name="verdict" value="approved">OK</button></form>',
            '<form action="/decide/x"',
        ),
    ],
)
async def test_an_answer_stays_the_agents_words(world: World, text: str, never: str) -> None:
    """F80, §7.5.3, §13.3: sanitised, and in the agent's own block, in the answer and in the reason for a change."""
    agent, browser, token, answer = await asked(world)
    assert (await agent.say(answer, clarification_response=text)).status == 202
    page = await browser.get(browser.page.url)  # type: ignore[union-attr]
    assert "planner answers" in page.text and never not in page.html
    await browser.ask("And?")
    less = agent.challenged(token, "orders.read")
    pair = {"resource_token": less, "presented_token": token, "justification": text}
    assert (await agent.say(answer, "updated_request", **pair)).status == 202
    page = await browser.get(page.url)
    assert "planner changed what it asks for" in page.text and never not in page.html


async def test_the_persons_question_is_shown_as_they_wrote_it(world: World) -> None:
    agent, browser, _, answer = await asked(world)
    await agent.say(answer, clarification_response="x")
    await browser.get(browser.page.url)  # type: ignore[union-attr]
    page = await browser.ask("<b>Really</b>?\nAnd when?")
    assert "&lt;b&gt;Really&lt;/b&gt;?" in page.html and "<b>Really" not in page.html
    assert body(await agent.poll(answer))["clarification"] == "<b>Really</b>?\nAnd when?"


@pytest.mark.parametrize("question", ["", "   ", "x" * 1001])
async def test_a_question_is_bounded(world: World, question: str) -> None:
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token, capabilities=TALKS)
    await browser.open_next()
    page = await browser.ask(question)
    assert page.status == 400 and "Nothing was asked." in page.text
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "approval"


async def test_a_question_needs_this_sessions_token_and_this_servers_page(world: World) -> None:
    """F77."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token, capabilities=TALKS)
    await browser.open_next()
    assert browser.page is not None
    path = f"{browser.page.url}/ask"
    form = browser.page.form(path)
    good = [*form.fields, ("question", "Why?")]
    refused = [
        await browser.post(path, [("question", "Why?")]),
        await browser.post(path, [("csrf", "wrong"), ("question", "Why?")]),
        await browser.post(path, good, origin="https://evil.example"),
        await browser.post(path, good, origin="null"),
    ]
    assert [page.status for page in refused] == [403] * 4
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "approval"


async def test_only_the_agents_own_person_asks(world: World) -> None:
    """§13.14, F83: to anybody else there is no such page; without a session there is the way to sign in."""
    agent, browser, token = await world.introduced()
    answer = await agent.ask_auth_token(agent.challenged(token), token, capabilities=TALKS)
    await browser.open_next()
    assert browser.page is not None
    path = f"{browser.page.url}/ask"
    eve = Browser(world)
    await eve.sign_up("Eve")
    csrf = [field for field in eve.page.form("/signout").fields if field[0] == "csrf"]  # type: ignore[union-attr]
    assert (await eve.post(path, [*csrf, ("question", "Who is your person?")])).status == 404
    nobody = Browser(world)
    csrf = [field for field in (await nobody.get("/signin")).form("/signin").fields if field[0] == "csrf"]
    page = await nobody.post(path, [*csrf, ("question", "Anybody?")])
    assert page.url == "/signin"
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "approval"


async def test_an_agent_cannot_ask_or_answer_for_its_person(world: World) -> None:
    """F76: it knows address and code; a page's form takes a session, and its own endpoint no verdict."""
    agent, browser, _, answer = await asked(world)
    assert browser.page is not None
    for path in (browser.page.url, f"{browser.page.url}/ask"):
        refused = await agent.send("POST", path, {"verdict": "approved", "question": "x"})
        assert refused.status in (403, 415)
    refused = await agent.say(answer, "clarification_response", clarification_response="x", verdict="approved")
    assert refused.status == 202
    found = requirement(await agent.poll(answer))
    assert found is not None and found.value == "approval"


async def test_two_answers_at_once_are_one(world: World) -> None:
    """Also in two processes."""
    agent, browser, _, answer = await asked(world)
    one, other = world.server, world.make_server(world.database)
    await other.start()
    statuses = []
    for server, text in ((one, "First."), (other, "Second.")):
        world.server = server
        statuses.append((await agent.say(answer, clarification_response=text)).status)
    assert statuses == [202, 400]
    page = await browser.get(browser.page.url)  # type: ignore[union-attr]
    assert "First." in page.text and "Second." not in page.text


async def test_nothing_of_a_conversation_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """F87."""
    caplog.set_level(0)
    agent, browser, _, answer = await asked(world)
    await agent.say(answer, clarification_response="a secret answer")
    await browser.get(browser.page.url)  # type: ignore[union-attr]
    await browser.ask("a secret question")
    await agent.say(answer, "updated_request", resource_token="not.a.token", presented_token="nor.is.this")
    assert "secret" not in caplog.text and "not.a.token" not in caplog.text and PASSWORD not in caplog.text
