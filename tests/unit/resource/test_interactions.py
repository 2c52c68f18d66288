"""Resource-managed authorization: the application's own page, and what the agent's poll gets (draft-11 §6.2, §7.3)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aauthkit.callbacks import CallbackError
from aauthkit.callers import Agent
from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, Http
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem
from aauthkit.resource import Ask, SessionGrant, Visit
from aauthkit.serving import Request
from aauthkit.store import Database
from tests.plugins.remembering import PAGE, Office, error_of, form, page_of, path_of
from tests.plugins.resources import API, World, ask, asked
from tests.plugins.signing import NOW, Issuer, Signer, new_key
from tests.plugins.tls import Internet, IssuerServer

pytestmark = pytest.mark.anyio

CALLBACK = "https://agents.example/callback"


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


@pytest.fixture
async def provider(internet: Internet) -> IssuerServer:
    """The agents' provider, whose metadata is fetched over TLS."""
    return await internet.issuer("agents.example")


@pytest.fixture
async def calling(internet: Internet, provider: IssuerServer, database: Database) -> AsyncIterator[Office]:
    """A resource for agents of that provider."""
    http = Http(Egress(names=internet.names, ca_file=internet.authority.ca_file))
    world = World(provider=Issuer(provider.iss, provider.key))
    discovery = Discovery(http, clock=lambda: NOW)
    discovery.serve_locally(world.ps.iss, "aauth-person.json", world.ps.jwks)
    yield Office(database, world, options={"egress": http.egress, "discovery": discovery})
    await http.aclose()


async def begin(office: Office, signer: Signer | None = None, path: str = "/s") -> tuple[str, str, str]:
    """The pending URL, the page and the code of a fresh question."""
    answer = await office.get(signer or office.world.agent(), path)
    page, code = page_of(answer)
    return path_of(answer), page, code


async def visit(office: Office, page: str, code: str, callback: str | None = None) -> Visit:
    """A person arrives and goes on to the application."""
    fields = {"code": code} | ({"callback": callback} if callback is not None else {})
    answer = await ask(office.app, form(page, **fields))
    assert (answer.status, answer.header("location")) == (303, PAGE), answer.body
    return office.visits[-1]


async def poll(office: Office, pending: str, signer: Signer | None = None) -> Answer:
    return await office.get(signer or office.world.agent(), pending)


async def test_the_whole_way_to_a_session(office: Office) -> None:
    """§4.2.2, Figure 3: 202, the person at the page, a poll, a session token, the call."""
    first = await office.get(office.world.agent(), "/read")
    assert first.header("cache-control") == "no-store"
    assert first.header("retry-after") == "0"
    assert json.loads(first.body)["status"] == "pending"
    page, code = page_of(first)
    pending = path_of(first)
    arrived = await visit(office, page, code)
    assert (arrived.agent, arrived.provider) == ("aauth:planner@agents.example", "https://agents.example")
    assert arrived.scope == {"orders.read"}
    await office.resource.complete(arrived.id, SessionGrant("user-1", arrived.scope))
    done = await poll(office, pending)
    assert (done.status, json.loads(done.body)) == (200, {"status": "authorized", "scope": "orders.read"})
    token = done.header("aauth-access")
    assert (await office.get(office.world.agent(), "/read", token)).status == 200
    assert office.caller.subject == "user-1"
    assert (await poll(office, pending)).status == 410


async def test_the_code_is_of_the_drafts_alphabet_and_strength(office: Office) -> None:
    """F60, §11.6.3.1: 40 random bits; the page's URL has neither query nor fragment (§11.6.3)."""
    codes = set()
    for name in "abcde":
        _, page, code = await begin(office, office.world.agent(sub=f"aauth:{name}@agents.example"))
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", code)
        assert "?" not in page
        assert "#" not in page
        codes.add(code)
    assert len(codes) == 5


async def test_looking_at_the_page_uses_nothing_up(office: Office) -> None:
    """Programs that follow links GET and HEAD; only the person's own post consumes the code."""
    pending, page, code = await begin(office)
    for method in ("GET", "HEAD"):
        seen = await ask(office.app, Request(method, f"{page}?code={code}", ()))
        assert seen.status == 200
    assert not office.visits
    assert asked(await poll(office, pending)) == "interaction"
    await visit(office, page, code)


async def test_the_page_shows_the_code_and_nothing_of_the_question(office: Office) -> None:
    _, page, code = await begin(office)
    seen = await ask(office.app, Request("GET", f"{page}?code={code.lower()}", ()))
    text = seen.body.decode()
    assert code in text
    assert "planner" not in text
    assert "frame-ancestors 'none'" in (seen.header("content-security-policy") or "")
    typed = await ask(office.app, Request("GET", page, ()))
    assert 'name="code"' in typed.body.decode()


async def test_what_a_link_holds_is_never_markup(office: Office) -> None:
    _, page, _ = await begin(office)
    seen = await ask(office.app, Request("GET", f"{page}?code=%3Cb%3E&callback=%22%3E%3Cscript%3E", ()))
    assert b"<script>" not in seen.body
    assert b"<b>" not in seen.body.lower()


async def test_a_code_works_once(office: Office) -> None:
    """§11.6.3.1: whoever comes with it again is refused, and it decides nothing."""
    pending, page, code = await begin(office)
    await visit(office, page, code)
    again = await ask(office.app, form(page, code=code))
    assert again.status == 410
    assert len(office.visits) == 1
    assert (await poll(office, pending)).status == 202


@pytest.mark.parametrize("spelled", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code}".strip()])
async def test_a_code_is_read_however_it_is_typed(office: Office, spelled: Any) -> None:
    _, page, code = await begin(office)
    await visit(office, page, spelled(code))


async def test_five_wrong_codes_end_the_question(office: Office) -> None:
    """F60, §11.6.3.1."""
    pending, page, code = await begin(office)
    for _ in range(5):
        assert (await ask(office.app, form(page, code="0000-0000"))).status == 410
    assert (await ask(office.app, form(page, code=code))).status == 410
    assert not office.visits
    ended = await poll(office, pending)
    assert (ended.status, error_of(ended)) == (410, "invalid_code")


async def test_a_post_from_another_origin_uses_nothing_up(office: Office) -> None:
    """F77."""
    _, page, code = await begin(office)
    foreign = await ask(office.app, form(page, (("origin", "https://evil.example"),), code=code))
    assert foreign.status == 403
    assert not office.visits
    own = await ask(office.app, form(page, (("origin", API),), code=code))
    assert own.status == 303


async def test_a_page_that_was_never_given_out_is_404(office: Office) -> None:
    await begin(office)
    for request in (Request("GET", "/aauth/interaction/none", ()), form("/aauth/interaction/none", code="0000-0000")):
        assert (await ask(office.app, request)).status == 404


# Whose question it is.


async def test_only_the_agent_that_asked_may_poll_and_with_its_own_key(office: Office) -> None:
    """§13.2: 404 for any other agent, another key, and nobody; also to withdraw it."""
    pending, page, code = await begin(office)
    renewed = new_key()
    strangers = [
        office.world.agent(sub="aauth:thief@agents.example"),
        Signer.token(renewed, office.world.provider.agent_token(renewed.public)),
        office.world.person(),
    ]
    arrived = await visit(office, page, code)
    await office.resource.complete(arrived.id, SessionGrant("user-1"))
    for signer in strangers:
        for method in ("GET", "DELETE"):
            assert (await office.get(signer, pending, method=method)).status == 404
    unsigned = await office.get(None, pending)
    assert (unsigned.status, unsigned.header("signature-error")) == (401, "error=invalid_signature")
    assert (await poll(office, pending)).status == 200


async def test_an_equal_call_joins_the_open_question(office: Office) -> None:
    """Nothing is asked twice: the same page, the same code."""
    first, second = await begin(office), await begin(office)
    assert first == second
    other = await begin(office, path="/read")
    assert other[0] != first[0]
    assert (await begin(office, office.world.agent(sub="aauth:b@agents.example")))[0] != first[0]


async def test_an_agent_may_not_have_any_number_of_questions_open(database: Database) -> None:
    scopes = {f"s{number}": "words" for number in range(12)}
    world = World()
    resource = world.resource(store=database, scopes=scopes)
    resource.interaction(lambda _visit: PAGE)
    statuses = []
    for scope in scopes:
        request = world.agent().sign("GET", f"{API}/x")
        try:
            await resource.decide(request, resource.session(scope))
        except Exception as refusal:
            statuses.append(resource.answer_to(refusal).status)  # type: ignore[arg-type]
    assert statuses == [202] * 10 + [429] * 2
    await resource.close()


async def test_a_session_whose_token_was_lost_is_given_out_again(office: Office) -> None:
    """A lost 200 costs no second question; once the token was seen it is over."""
    pending, page, code = await begin(office)
    arrived = await visit(office, page, code)
    await office.resource.complete(arrived.id, SessionGrant("user-1"))
    assert (await poll(office, pending)).status == 200
    again = await office.get(office.world.agent(), "/s")
    assert again.status == 200
    token = again.header("aauth-access")
    assert token is not None
    assert (await office.get(office.world.agent(), "/s", token)).status == 200
    assert (await office.get(office.world.agent(), "/s")).status == 202


async def test_a_lost_session_is_given_to_nobody_else(office: Office) -> None:
    pending, page, code = await begin(office)
    arrived = await visit(office, page, code)
    await office.resource.complete(arrived.id, SessionGrant("user-1"))
    await poll(office, pending)
    assert (await office.get(office.world.agent(sub="aauth:b@agents.example"), "/s")).status == 202


async def test_the_question_is_there_after_a_restart(office: Office) -> None:
    """F85: the decision too."""
    pending, page, code = await begin(office)
    arrived = await visit(office, page, code)
    office.resource = office.build()
    office.app = office.middleware(office.resource)
    await office.resource.complete(arrived.id, SessionGrant("user-1"))
    office.app = office.middleware(office.build())
    assert (await poll(office, pending)).status == 200


# What the application says.


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("access_denied", 403, "denied"),
        ("user_abandoned", 403, "abandoned"),
        ("server_error", 500, "server_error"),
        ("temporarily_unavailable", 500, "server_error"),
    ],
)
async def test_a_visit_that_ends_without_a_session(
    office: Office, error: CallbackError, status: int, code: str
) -> None:
    """§7.3.1, §11.9.4: the agent reads it once, then 410."""
    pending, page, typed = await begin(office)
    arrived = await visit(office, page, typed)
    await office.resource.decline(arrived.id, error)
    answer = await poll(office, pending)
    assert (answer.status, error_of(answer)) == (status, code)
    assert (await poll(office, pending)).status == 410


async def test_the_first_decision_stands(office: Office) -> None:
    """F82."""
    pending, page, code = await begin(office)
    arrived = await visit(office, page, code)
    await office.resource.decline(arrived.id)
    with pytest.raises(Problem) as refused:
        await office.resource.complete(arrived.id, SessionGrant("user-1"))
    assert refused.value.code == "gone"
    assert error_of(await poll(office, pending)) == "denied"


@pytest.mark.parametrize(
    "spoil", [lambda visit_id: visit_id[:-1], lambda _: "x", lambda _: "", lambda v: v.split(".")[0]]
)
async def test_a_visit_that_was_not_given_out_decides_nothing(office: Office, spoil: Any) -> None:
    """What the agent knows, page and code, does not make a visit."""
    pending, page, code = await begin(office)
    arrived = await visit(office, page, code)
    with pytest.raises(Problem) as refused:
        await office.resource.complete(spoil(arrived.id), SessionGrant("user-1"))
    assert refused.value.code == "not_found"
    assert (await poll(office, pending)).status == 202


async def test_while_somebody_is_there_the_agent_stops_showing_the_page(office: Office) -> None:
    """§11.8.4 `interacting`; after a while of silence it gets a fresh code."""
    pending, page, code = await begin(office)
    await visit(office, page, code)
    waiting = await poll(office, pending)
    assert (waiting.status, json.loads(waiting.body)["status"], asked(waiting)) == (202, "interacting", None)
    office.clock.now += 600
    again = await poll(office, pending)
    assert page_of(again)[0] == page
    assert page_of(again)[1] != code
    await visit(office, page, page_of(again)[1])


async def test_nobody_came_in_time(office: Office) -> None:
    """§11.9.4 `expired`, once; the code fails with it (§11.6.3.1)."""
    pending, page, code = await begin(office)
    office.clock.now += 3600
    signer = office.world.agent(now=int(office.clock.now))
    assert (await ask(office.app, form(page, code=code))).status == 408
    answer = await poll(office, pending, signer)
    assert (answer.status, error_of(answer)) == (408, "expired")
    assert (await poll(office, pending, signer)).status == 410


async def test_the_agent_withdraws(office: Office) -> None:
    pending, page, code = await begin(office)
    assert (await office.get(office.world.agent(), pending, method="DELETE")).status == 204
    assert (await poll(office, pending)).status == 410
    assert (await ask(office.app, form(page, code=code))).status == 410


async def test_a_page_that_fails_ends_as_our_own_fault(office: Office) -> None:
    """F91: the agent and the person are told, and neither learns why."""

    def broken(_visit: Visit) -> str:
        raise LookupError("no such template")

    office.resource = office.world.resource(store=office.database, clock=office.clock)
    office.resource.interaction(broken)
    office.app = office.middleware(office.resource)
    pending, page, code = await begin(office)
    answer = await ask(office.app, form(page, code=code))
    assert (answer.status, answer.header("location")) == (303, f"{API}/aauth/interaction/ended?as=failed")
    assert b"template" not in answer.body
    failed = await poll(office, pending)
    assert (failed.status, error_of(failed)) == (500, "server_error")


async def test_a_page_may_answer_itself_and_may_wait(office: Office) -> None:
    async def own(_visit: Visit) -> Answer:
        return Answer(200, (("content-type", "text/plain"),), b"sign in")

    office.resource = office.world.resource(store=office.database, clock=office.clock)
    assert office.resource.interaction(own) is own
    office.app = office.middleware(office.resource)
    _, page, code = await begin(office)
    answer = await ask(office.app, form(page, code=code))
    assert (answer.status, answer.body) == (200, b"sign in")


async def test_an_agent_that_is_known_needs_no_person(office: Office) -> None:
    """§6.2: served at once, and the answer brings the session token."""

    async def at_once(asking: Ask) -> SessionGrant | None:
        known = isinstance(asking.caller, Agent) and asking.caller.sub == "aauth:planner@agents.example"
        return SessionGrant("robot", asking.scope) if known else None

    office.resource = office.world.resource(store=office.database, clock=office.clock)
    office.resource.interaction(office.page, at_once=at_once)
    office.app = office.middleware(office.resource)
    answer = await office.get(office.world.agent(), "/read")
    assert answer.status == 200
    token = answer.header("aauth-access")
    assert token is not None
    assert (await office.get(office.world.agent(), "/read", token)).status == 200
    assert (await office.get(office.world.agent(sub="aauth:b@agents.example"), "/read")).status == 202


async def test_the_ending_pages_say_what_became_of_it(office: Office) -> None:
    """§7.3: without a callback the person is told."""
    _, page, code = await begin(office)
    arrived = await visit(office, page, code)
    end = await office.resource.complete(arrived.id, SessionGrant("user-1"))
    assert end == f"{API}/aauth/interaction/ended?as=authorized"
    for ending in ("authorized", "declined", "abandoned", "expired", "failed"):
        assert (await ask(office.app, Request("GET", f"/aauth/interaction/ended?as={ending}", ()))).status == 200
    assert (await ask(office.app, Request("GET", "/aauth/interaction/ended?as=x", ()))).status == 404


# Back to the agent.


async def test_the_browser_goes_back_to_the_agents_callback(calling: Office, provider: IssuerServer) -> None:
    """§7.3, §7.3.1: plain when it went well, else with the error."""
    provider.metadata["callback_endpoint"] = CALLBACK
    _, page, code = await begin(calling)
    arrived = await visit(calling, page, code, CALLBACK)
    assert await calling.resource.complete(arrived.id, SessionGrant("user-1")) == CALLBACK
    errors: list[CallbackError] = ["access_denied", "user_abandoned", "server_error", "temporarily_unavailable"]
    for number, error in enumerate(errors):
        _, page, code = await begin(calling, calling.world.agent(sub=f"aauth:a{number}@agents.example"))
        arrived = await visit(calling, page, code, CALLBACK)
        assert await calling.resource.decline(arrived.id, error) == f"{CALLBACK}?error={error}"


async def test_a_callback_after_the_time_is_up_says_interaction_expired(
    calling: Office, provider: IssuerServer
) -> None:
    provider.metadata["callback_endpoint"] = CALLBACK
    _, page, code = await begin(calling)
    arrived = await visit(calling, page, code, CALLBACK)
    calling.clock.now += 3600
    expected = f"{CALLBACK}?error=interaction_expired"
    assert await calling.resource.complete(arrived.id, SessionGrant("user-1")) == expected
    late = await ask(calling.app, form(page, code=code, callback=CALLBACK))
    assert (late.status, late.header("location")) == (303, expected)


@pytest.mark.parametrize(
    "callback",
    [
        "https://evil.example/callback",
        "https://agents.example/callback/../x",
        "https://agents.example/callback?x",
        "https://agents.example.evil.example/callback",
        "http://localhost:8000/cb",
        "javascript:alert(1)",
        "//evil.example",
        "https://ps.example.evil.example/x",
        "https://ps.example@evil.example/x",
    ],
)
async def test_nobody_is_sent_where_the_provider_does_not_say(
    calling: Office, provider: IssuerServer, callback: str
) -> None:
    """F79: an error page, no redirect, and the code is still good."""
    provider.metadata["callback_endpoint"] = CALLBACK
    _, page, code = await begin(calling, calling.world.agent(ps="https://ps.example"))
    answer = await ask(calling.app, form(page, code=code, callback=callback))
    assert (answer.status, answer.header("location")) == (400, None)
    assert not calling.visits
    await visit(calling, page, code, CALLBACK)


async def test_loopback_where_the_provider_allows_it(calling: Office, provider: IssuerServer) -> None:
    """§11.1.2."""
    provider.metadata["localhost_callback_allowed"] = True
    _, page, code = await begin(calling)
    arrived = await visit(calling, page, code, "http://127.0.0.1:9999/cb")
    assert await calling.resource.complete(arrived.id, SessionGrant("u")) == "http://127.0.0.1:9999/cb"


async def test_the_person_server_behind_the_request_may_send_its_own_people(
    calling: Office, provider: IssuerServer
) -> None:
    """§7.2.3: the same pattern, whether an agent or a person server redirects; its URL is one per flow."""
    flow = "https://ps.example/back/flow-1?x=1"
    _, page, code = await begin(calling, calling.world.agent(ps="https://ps.example"))
    arrived = await visit(calling, page, code, flow)
    assert await calling.resource.decline(arrived.id) == f"{flow}&error=access_denied"


async def test_a_provider_that_does_not_answer_sends_nobody_anywhere(calling: Office, provider: IssuerServer) -> None:
    """F79: in doubt nobody is sent on and nothing is used up; the link works later."""
    # Its keys are at hand, so that the callback is the first thing its metadata is fetched for.
    calling.resource.discovery.serve_locally(provider.iss, "aauth-agent.json", calling.world.provider.jwks)
    _, page, code = await begin(calling)
    await provider.stop()
    answer = await ask(calling.app, form(page, code=code, callback=CALLBACK))
    assert (answer.status, answer.header("location")) == (503, None)
    assert not calling.visits
    await visit(calling, page, code)
