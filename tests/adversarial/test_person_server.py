"""What a person server refuses: lies in signatures and tokens, and other people's requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import PROBLEMS
from aauthkit.serving import BytesBody, Request
from aauthkit.trust import Trust
from tests.plugins.people import (
    PROVIDER,
    PS,
    RESOURCE,
    AgentParty,
    Browser,
    World,
    body,
    claims_of,
    error_of,
    requirement,
)
from tests.plugins.signing import Issuer, Signer, new_key, with_header

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(quick_world: World) -> World:
    return quick_world


def signature_error(answer: Answer) -> str:
    value = answer.header("signature-error") or ""
    return value.partition("error=")[2].partition(",")[0]


# Who signs


async def test_an_unsigned_request_is_told_so_at_every_endpoint(world: World) -> None:
    """F14, F15."""
    for method, path in (("POST", "/person"), ("POST", "/token"), ("GET", "/pending/x"), ("DELETE", "/pending/x")):
        request = Request(method, path, (("host", "person.example"), ("content-type", "application/json")))
        answer = await world.server.answer(request)
        assert (answer.status, signature_error(answer)) == (401, "invalid_signature")
        assert answer.header("content-type") == "application/problem+json"
        assert body(answer)["type"] == "urn:ietf:params:sig-error:invalid_signature"


async def test_only_an_agent_token_is_taken(world: World) -> None:
    """F18: every other type in its place is `invalid_jwt`; other schemes are `unsupported_scheme`."""
    agent, _, token = await world.introduced()
    wrong = [
        token,
        agent.challenged(token),
        world.provider.auth_token(agent.key.public, PS, "x"),
        world.provider.agent_token(agent.key.public, typ="JWT"),
    ]
    for presented in wrong:
        request = Signer.token(agent.key, presented).sign("GET", f"{PS}/pending/x", now=int(world.clock()))
        answer = await world.server.answer(request)
        assert (answer.status, signature_error(answer)) == (401, "invalid_jwt")
    for signer in (Signer.bare(agent.key), Signer.server(world.provider, "aauth-agent.json")):
        answer = await world.server.answer(signer.sign("GET", f"{PS}/pending/x", now=int(world.clock())))
        assert (answer.status, signature_error(answer)) == (401, "unsupported_scheme")
        assert answer.header("accept-signature-scheme") == "jwt"


async def test_a_body_must_be_covered_and_be_the_one_that_was_signed(world: World) -> None:
    """F13, PS-101."""
    agent = world.agent()
    for dropped in ("content-digest", "content-type"):
        answer = await agent.send("POST", "/person", {"resource": RESOURCE}, drop=[dropped])
        assert (answer.status, signature_error(answer)) == (401, "invalid_input")
    content = b'{"resource": "https://orders.example"}'
    request = agent.signer.sign("POST", f"{PS}/person", body=content, now=int(world.clock()))
    other = b'{"resource": "https://erders.example"}'
    swapped = Request(request.method, request.target, request.headers, BytesBody(other), request.peer)
    answer = await world.server.answer(swapped)
    assert (answer.status, signature_error(answer)) == (401, "invalid_signature")


async def test_a_request_for_another_host_or_sent_twice_is_refused(world: World) -> None:
    """F01, F17."""
    agent = world.agent()
    content = b'{"resource": "https://orders.example", "capabilities": ["interaction"]}'
    relayed = agent.signer.sign("POST", "https://other.example/person", body=content, now=int(world.clock()))
    answer = await world.server.answer(with_header(relayed, "host", "person.example"))
    assert (answer.status, signature_error(answer)) == (401, "invalid_signature")
    request = agent.signer.sign("POST", f"{PS}/person", body=content, now=int(world.clock()))
    assert (await world.server.answer(request)).status == 202
    again = await world.server.answer(request)
    assert (again.status, signature_error(again)) == (401, "invalid_signature")


async def test_agents_of_strangers_and_forged_agents_are_refused(world: World) -> None:
    """F20, F21, F22: nothing is fetched for a provider that is not trusted."""
    agent = world.agent()
    stranger = Issuer("https://stranger.example")
    lies = [
        (stranger.agent_token(agent.key.public, ps=PS), "invalid_key"),
        (Issuer(PROVIDER, key=new_key()).agent_token(agent.key.public, ps=PS), "unknown_key"),
        (
            Issuer(PROVIDER, key=new_key()).agent_token(
                agent.key.public, ps=PS, header={"kid": world.provider.key.kid}
            ),
            "invalid_jwt",
        ),
        (world.provider.agent_token(agent.key.public, sub="aauth:ceo@bank.example", ps=PS), "invalid_jwt"),
        (world.provider.agent_token(agent.key.public, ps=PS, now=int(world.clock()) - 3600), "expired_jwt"),
    ]
    for token, code in lies:
        request = Signer.token(agent.key, token).sign("GET", f"{PS}/pending/x", now=int(world.clock()))
        answer = await world.server.answer(request)
        assert (answer.status, signature_error(answer)) == (401, code)
    assert not any("stranger.example" in url for url in world.network.asked)


async def test_a_token_without_its_key_is_nothing(world: World) -> None:
    """F45."""
    agent = world.agent()
    thief = Signer.token(new_key(), agent.token)
    answer = await world.server.answer(thief.sign("GET", f"{PS}/pending/x", now=int(world.clock())))
    assert (answer.status, signature_error(answer)) == (401, "invalid_signature")


# What is asked


@pytest.mark.parametrize(
    "claims", [{"parent_agent": "aauth:planner@agents.example"}, {"ps": "https://other.example"}, {"ps": None}]
)
async def test_sub_agents_and_agents_of_other_person_servers_are_refused(world: World, claims: dict[str, Any]) -> None:
    """400 `invalid_request`: a sub-agent's parent asks for it (§10.2); the agent token names this server."""
    agent = world.agent(**claims)
    assert error_of(await agent.ask_person_token()) == (400, "invalid_request")
    assert error_of(await agent.send("GET", "/pending/x")) == (400, "invalid_request")


@pytest.mark.parametrize(
    "parameters",
    [
        {"upstream_token": "x"},
        {"subagent_token": "x"},
        {"mission_s256": "x" * 42},
        {"mission_s256": "A" * 42 + "B"},
        {"prompt": "none consent"},
        {"resource": "https://orders.example:8443"},
        {"resource": None},
        {"device": "a\u202eb"},
    ],
)
async def test_what_is_not_served_is_refused_with_the_drafts_own_error(world: World, parameters: Any) -> None:
    """F30 and the parameters that come later."""
    answer = await world.agent().ask_person_token(**parameters)
    assert error_of(answer) == (400, "invalid_request")
    assert answer.header("content-type") == "application/problem+json"


async def test_an_untrusted_resource_is_refused_before_any_fetch(world: World) -> None:
    """F20, F27."""
    world.options = {"trust": Trust(agent_providers=[PROVIDER], resources=[RESOURCE])}
    world.server = world.make_server(world.database)
    await world.server.start()
    answer = await world.agent().ask_person_token("https://stranger.example")
    assert error_of(answer) == (403, "denied")
    assert not any("stranger.example" in url for url in world.network.asked)


async def test_a_resource_whose_document_is_anothers_is_refused(world: World) -> None:
    """F26."""
    world.publish_resource(issuer="https://evil.example")
    assert error_of(await world.agent().ask_person_token()) == (400, "invalid_request")


Lie = Callable[[AgentParty, str], str]


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda a, t: a.challenged(t, aud="https://as.example"), "invalid_resource_token"),
        (
            lambda a, t: a.challenged(t, interaction={"url": "https://10.0.0.8/i", "code": "A1B2-C3D4"}),
            "invalid_resource_token",
        ),
        (lambda a, t: a.challenged(t, mission_s256="m" * 43), "invalid_resource_token"),
        (lambda a, t: a.challenged(t, scope="orders.read orders.readall"), "invalid_resource_token"),
        (lambda a, t: a.challenged(t, scope=""), "invalid_resource_token"),
        (lambda a, t: a.challenged(t, sub="somebody-else"), "invalid_resource_token"),
        (lambda a, t: a.challenged(t, issuer=Issuer(RESOURCE, key=new_key())), "invalid_resource_token"),
        (lambda a, t: a.challenged(t, now=int(a.world.clock()) - 301), "expired_resource_token"),
    ],
)
async def test_a_resource_token_this_server_cannot_answer(world: World, lie: Lie, code: str) -> None:
    """F50, F51, F56, §11.10: another audience, a page at a private address, a mission, a scope without words."""
    agent, _, token = await world.introduced()
    answer = await agent.ask_auth_token(lie(agent, token), token)
    assert error_of(answer) == (400, code)


async def test_a_presented_token_is_one_this_server_gave_to_this_agent(world: World) -> None:
    """F24, §13.14: not one that verifies but is on no record, nor another agent's with the same key."""
    agent, browser, token = await world.introduced()
    forged = Issuer(PS, key=world.key).person_token(agent.key.public, RESOURCE, sub=str(claims_of(token)["sub"]))
    answer = await agent.ask_auth_token(agent.challenged(forged), forged)
    assert error_of(answer) == (400, "invalid_presented_token")
    twin = AgentParty(world, "twin", key=agent.key)
    answer = await twin.ask_auth_token(twin.challenged(token), token)
    assert error_of(answer) == (400, "invalid_presented_token")
    await world.introduced(twin, browser)
    answer = await twin.ask_auth_token(twin.challenged(token), token)
    assert error_of(answer) == (400, "invalid_presented_token")


async def test_a_hint_chooses_nobody(world: World) -> None:
    """F53: at first contact a person signs in and agrees, whoever the agent names."""
    await world.introduced()
    stranger = world.agent("stranger")
    answer = await stranger.ask_person_token(login_hint="Ada", tenant="acme", domain_hint="acme.example")
    found = requirement(answer)
    assert answer.status == 202 and found is not None and found.value == "interaction"


async def test_a_resource_out_of_reach_is_no_verdict(world: World) -> None:
    """503 with Retry-After for a token whose issuer cannot be asked."""
    agent, _, token = await world.introduced()
    asked = agent.challenged(token)
    world.network.down.add("orders.example")
    world.server = world.make_server(world.database)
    await world.server.start()
    answer = await agent.ask_auth_token(asked, token)
    assert error_of(answer) == (503, "server_error") and answer.header("retry-after")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"resource": NaN}',
        b'{"a": 1, "a": 2}',
        b"\xff",
        b'{"resource": "\\ud800"}',
        b"[" * 9999,
    ],
)
async def test_garbage_is_a_refusal_and_never_a_fault(world: World, content: bytes) -> None:
    """F91."""
    agent = world.agent()
    for path in ("/person", "/token", "/pending/x"):
        request = agent.signer.sign("POST", f"{PS}{path}", body=content, now=int(world.clock()))
        assert (await world.server.answer(request)).status in (400, 404, 415)
    for value in ("", "sig", 'sig=jwt;jwt="', "sig=jwt", 'sig=jwt;jwt="a.b.c"', "(" * 5000):
        request = agent.signer.sign("GET", f"{PS}/pending/x", now=int(world.clock()))
        answer = await world.server.answer(with_header(request, "signature-key", value))
        assert answer.status == 401 and answer.header("signature-error")


async def test_too_many_open_questions_and_too_many_resources_are_held_back(world: World) -> None:
    """§7.1 Retention; 429 with Retry-After."""
    agent = world.agent()
    answers = [await agent.ask_person_token(f"https://r{number}.example") for number in range(33)]
    assert {answer.status for answer in answers[:32]} == {202}
    assert error_of(answers[32]) == (429, "slow_down") and answers[32].header("retry-after")
    assert (await world.agent("buyer").ask_person_token()).status == 202


async def test_no_error_is_outside_the_endpoints_tables(world: World) -> None:
    """F54 (§11.9.3, §11.9.4); no 403 carries a signature header (Signature-Keys §5.3)."""
    agent, _, token = await world.introduced()
    answers = [
        await agent.ask_person_token(resource="x"),
        await agent.ask_person_token(capabilities=[], resource="https://new.example"),
        await agent.ask_auth_token("x", token),
        await agent.ask_auth_token(agent.challenged(token), "x"),
        await agent.send("GET", "/pending/nothing"),
    ]
    answers[1] = await world.agent("lonely").ask_person_token(capabilities=[])
    for answer in answers:
        assert body(answer)["error"] in PROBLEMS
        assert not any(name in ("signature-error", "accept-signature-scheme") for name, _ in answer.headers)
    assert answers[1].status == 403


# Other people's requests


async def test_a_pending_url_answers_nobody_but_who_asked(world: World) -> None:
    """§13.2: another agent, another key of the same agent, anybody's DELETE and POST: 404 as for none."""
    agent = world.agent()
    answer = await agent.ask_person_token()
    location = answer.header("location") or ""
    other_key = AgentParty(world)
    for party in (world.agent("other"), other_key):
        for method, content in (("GET", None), ("DELETE", None), ("POST", {"action": "updated_request"})):
            refused = await party.send(method, location, content)
            nowhere = await party.send(method, f"{PS}/pending/{'x' * 32}", content)
            assert error_of(refused) == error_of(nowhere) == (404, "not_found")
            assert refused.body == nowhere.body
    assert (await agent.poll(answer)).status == 202


async def test_an_agent_cannot_answer_for_itself(world: World) -> None:
    """F76: identifier and code in hand, and no session of a person: nothing is decided."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    page = await browser.open_interaction(answer)
    assert page.url == "/signin"
    asked = requirement(answer)
    assert asked is not None
    name = asked.text("url").rpartition("/")[2]
    csrf = dict(page.form("/signin").fields)["csrf"]
    assert (await browser.post(f"/decide/{name}", [("csrf", csrf), ("verdict", "approved")])).url == "/signin"
    for content in ({}, {"action": "approve"}, {"action": "clarification_response"}, {"action": "updated_request"}):
        refused = await agent.send("POST", answer.header("location") or "", content)
        assert error_of(refused) == (400, "invalid_request")
    assert (await agent.poll(answer)).status == 202


async def test_nobody_else_can_claim_an_agent(world: World) -> None:
    """§13.14, F53: whoever comes with its code, the agent's person alone sees and decides."""
    agent, _, token = await world.introduced()
    world.clock.pass_(600)
    answer = await agent.ask_auth_token(agent.challenged(token), token, justification="a secret plan")
    eve = Browser(world)
    page = await eve.open_interaction(answer)
    assert page.url == "/signin"
    await eve.get("/signup")
    page = await eve.sign_up("Eve")
    assert page.status == 404 and not any(word in page.text for word in ("planner", "Orders", "secret"))
    asked = requirement(answer)
    assert asked is not None
    name = asked.text("url").rpartition("/")[2]
    csrf = await _csrf(eve)
    assert (await eve.post(f"/decide/{name}", [("csrf", csrf), ("verdict", "approved")])).status == 404
    assert "Nothing waits for you" in (await eve.get("/")).text
    assert (await agent.poll(answer)).status == 202


async def _csrf(browser: Browser) -> str:
    page = await browser.get("/")
    return dict(page.form("/signout").fields)["csrf"]


async def test_two_people_with_one_new_agent_leave_it_with_the_first(world: World) -> None:
    """§13.14: bound at the first approval; the second person's page is not theirs any more."""
    agent = world.agent()
    first, second = await agent.ask_person_token(), await agent.ask_person_token("https://mail.example")
    ada, bob = Browser(world), Browser(world)
    for browser, answer, name in ((ada, first, "Ada"), (bob, second, "Bob")):
        await browser.open_interaction(answer)
        await browser.get("/signup")
        await browser.sign_up(name)
    await ada.decide("approved")
    assert (await bob.decide("approved")).status == 404
    assert (await agent.poll(first)).status == 200
    assert (await agent.poll(second)).status == 202


async def test_each_person_sees_and_takes_back_only_their_own(world: World) -> None:
    """F83."""
    _, ada, _ = await world.introduced()
    eve = Browser(world)
    await eve.sign_up("Eve")
    assert "without asking you first" in (await eve.get("/allowed")).text
    page = await ada.get("/allowed")
    action = page.form("/allowed/").action
    assert (await eve.post(action, [("csrf", await _csrf(eve))])).status == 404
    assert (await ada.get("/allowed")).has_form("/allowed/")


# Codes


async def test_guessed_codes_end_the_request(world: World) -> None:
    """F60, §11.6.3.1: five wrong ones, and the right one opens nothing any more."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    asked = requirement(answer)
    assert asked is not None
    path = asked.text("url").removeprefix(PS)
    for number in range(5):
        await browser.get(path)
        assert (await browser.submit("/interaction/", code=f"0000-000{number}")).status == 410
    assert (await browser.get(f"{path}?code={asked.text('code')}")).status == 410
    assert error_of(await agent.poll(answer)) == (410, "invalid_code")
    assert error_of(await agent.poll(answer)) == (410, "gone")


async def test_a_code_is_taken_however_it_is_typed_and_once(world: World) -> None:
    """§11.6.3.1: case, hyphens and look-alikes; then refused, also in the browser that used it."""
    agent, browser = world.agent(), Browser(world)
    answer = await agent.ask_person_token()
    asked = requirement(answer)
    assert asked is not None
    path = asked.text("url").removeprefix(PS)
    typed = asked.text("code").replace("-", "").lower().replace("0", "o").replace("1", "l")
    await browser.get(path)
    wrong = await browser.submit("/interaction/", code="zzzz-zzzz")
    assert wrong.status == 410 and "not the code" in wrong.text
    form = wrong.form("/interaction/")
    assert (await browser.submit("/interaction/", code=typed)).url == "/signin"
    again = await browser.post(path, [*form.fields, ("code", typed)])
    assert again.status == 410 and "works once" in again.text
    other = Browser(world)
    await other.get(path)
    assert (await other.submit("/interaction/", code=asked.text("code"))).status == 410


async def test_a_program_that_fetches_links_uses_no_code_up(world: World) -> None:
    """GET and HEAD of the code's URL change nothing and say nothing of the request."""
    agent = world.agent()
    answer = await agent.ask_person_token(justification="a secret plan")
    asked = requirement(answer)
    assert asked is not None
    path = asked.text("url").removeprefix(PS) + f"?code={asked.text('code')}"
    for _ in range(7):
        page = await Browser(world).get(path)
        assert page.status == 200
        assert not any(word in page.html for word in ("planner", "Orders", "secret", "agents.example"))
    head = Request("HEAD", path, (("host", "person.example"),))
    assert (await world.server.answer(head)).status == 200
    assert requirement(await agent.poll(answer)) == asked
    browser = Browser(world)
    assert (await browser.open_interaction(answer)).url == "/signin"


async def test_codes_and_addresses_cannot_be_guessed(world: World) -> None:
    """F60: 40 random bits of code; 128 and more of page and pending URL; none says anything of another."""
    agent = world.agent()
    found = [await agent.ask_person_token(f"https://r{number}.example") for number in range(20)]
    codes = {r.text("code") for answer in found if (r := requirement(answer))}
    pages = {r.text("url").rpartition("/")[2] for answer in found if (r := requirement(answer))}
    pendings = {(answer.header("location") or "").rpartition("/")[2] for answer in found}
    assert len(codes) == len(pages) == len(pendings) == 20
    assert all(len(code.replace("-", "")) >= 8 for code in codes)
    assert all(len(page) >= 22 for page in pages) and all(len(pending) >= 22 for pending in pendings)
