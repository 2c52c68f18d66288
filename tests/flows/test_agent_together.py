"""Many calls of one agent at once, calls given up, several event loops and threads, and what can be watched."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest

from aauthkit.agent import Answered, Callback, Carried, Errand, Event, Obtained, Sent, Waiting
from aauthkit.egress import Egress
from aauthkit.portal import close
from aauthkit.protocol.headers import APPROVAL_PENDING, Requirement, interaction_required
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.tokens import AUTH_TYP, PERSON_TYP, RESOURCE_TYP, read_token
from tests.plugins.signing import new_key
from tests.plugins.simulators import AGENT, OpenClient, Parties, challenge, deferred, grant, json_body, problem
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
PERSON_URL = "https://api.example/person"


async def together(count: int, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*(call() for _ in range(count)))


async def test_f41_calls_that_meet_no_token_share_one_request_for_each(
    parties: Parties, open_client: OpenClient
) -> None:
    """F41: one refresh, one person token, one auth token for all."""
    http = open_client(parties.agent())
    answers = await together(30, lambda: http.get(ORDERS))
    assert {answer.status for answer in answers} == {200}
    assert (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests) == (1, 1, 1)


async def test_f42_calls_that_meet_an_expired_token_share_one_request_for_each(
    parties: Parties, open_client: OpenClient
) -> None:
    """F42: no call fails because a refresh ran beside it."""
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.clock.advance(3600)
    answers = await together(30, lambda: http.get(ORDERS))
    assert {answer.status for answer in answers} == {200}
    assert (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests) == (2, 2, 2)


async def test_f40_two_calls_for_two_scopes_redeem_their_own_resource_tokens(
    parties: Parties, open_client: OpenClient
) -> None:
    """F40, §6.7.3 step 7: each with the token it presented itself; and so for two resources."""
    parties.resource.needs["/place"] = grant("orders.place")
    other = await parties.another_resource("files.example")
    http = open_client(parties.agent())
    urls = [ORDERS, "https://api.example/place", "https://files.example/orders"] * 5
    answers = await asyncio.gather(*(http.get(url) for url in urls))
    assert {answer.status for answer in answers} == {200}
    pairs = [
        (
            read_token(body["resource_token"], {RESOURCE_TYP}),
            read_token(body["presented_token"], {PERSON_TYP, AUTH_TYP}),
        )
        for path, body in parties.ps.bodies
        if "resource_token" in body
    ]
    assert {token.iss for token, _ in pairs} == {parties.resource.iss, other.iss}
    for token, presented in pairs:
        assert token.presented_jti == presented.jti  # type: ignore[union-attr]
        assert token.iss == presented.aud  # type: ignore[union-attr]


async def test_f39_calls_that_wait_together_show_the_person_one_page(parties: Parties, open_client: OpenClient) -> None:
    """F39."""
    parties.ps.waits, parties.ps.requirement = 3, interaction_required("https://person.example/i", "A1B2-C3D4")
    http = open_client(parties.agent())
    await together(10, lambda: http.get(PERSON_URL))
    assert len(parties.errands) == 1


class Gate:
    """Holds the person server's answers back until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    def hold(self, reply: Reply) -> Reply:
        reply.gate = self.opened
        return reply


async def test_a_call_that_is_given_up_leaves_the_request_to_the_others(parties: Parties) -> None:
    """The first of two waiters is cancelled; the second gets the token."""
    gate = Gate()
    parties.ps.script["/person_token_endpoint"] = [lambda request: gate.hold(parties.ps.serve(request))]
    async with parties.agent().client() as http:
        first = asyncio.create_task(http.get(PERSON_URL))
        await until(lambda: parties.ps.person_requests == 1)
        second = asyncio.create_task(http.get(PERSON_URL))
        await until(lambda: parties.resource.count("/person") == 2)
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.opened.set()
        assert (await second).status_code == 200
    assert parties.ps.person_requests == 1


async def test_a_call_that_is_given_up_by_all_ends_and_can_be_made_again(parties: Parties) -> None:
    """Nothing goes on in the background; the next call goes on with what is pending, without asking anew."""
    parties.ps.waits, parties.ps.requirement = 10**6, APPROVAL_PENDING
    async with parties.agent(sleep=asyncio.sleep).client() as http:
        with anyio.move_on_after(0.3) as scope:
            await http.get(PERSON_URL)
        assert scope.cancelled_caught
        await asyncio.sleep(0.05)
        polls = parties.ps.count("/pending/0")
        await asyncio.sleep(0.1)
        assert parties.ps.count("/pending/0") == polls
        parties.ps.open["/pending/0"].polls = 0
        assert (await http.get(PERSON_URL)).status_code == 200
    assert parties.ps.person_requests == 1


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something has happened; the run's own time limit is the only one."""
    while not condition():
        await asyncio.sleep(0.005)


async def test_one_agent_serves_several_threads_and_loops(parties: Parties) -> None:
    """Both kinds of client at once, a loop of its own in another thread, and what they share is obtained once."""
    agent = parties.agent()

    def in_a_thread() -> int:
        with agent.sync_client() as http:
            return http.get(ORDERS).status_code

    def in_a_loop_of_its_own() -> int:
        async def main() -> int:
            async with agent.client() as http:
                return (await http.get(ORDERS)).status_code

        return asyncio.run(main())

    async with agent.client() as http:
        answers = await asyncio.gather(
            *(anyio.to_thread.run_sync(in_a_thread) for _ in range(4)),
            *(anyio.to_thread.run_sync(in_a_loop_of_its_own) for _ in range(3)),
            *(_status(http) for _ in range(3)),
        )
    assert answers == [200] * 10
    assert (parties.ps.person_requests, parties.ps.auth_requests) == (1, 1)


async def _status(http: httpx2.AsyncClient) -> int:
    return (await http.get(ORDERS)).status_code


async def test_a_synchronous_client_serves_several_threads(parties: Parties) -> None:
    def main() -> list[int]:
        with parties.agent().sync_client() as http:
            found: list[int] = []
            threads = [threading.Thread(target=lambda: found.append(http.get(ORDERS).status_code)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return found

    assert await anyio.to_thread.run_sync(main) == [200] * 8
    assert parties.ps.auth_requests == 1


async def test_the_portal_can_be_closed_and_starts_again(parties: Parties) -> None:
    """Closed at exit; whoever calls after that gets another."""

    def main() -> list[int]:
        agent = parties.agent()
        found = []
        for _ in range(2):
            with agent.sync_client() as http:
                found.append(http.get(ORDERS).status_code)
            close()
        return found

    assert await anyio.to_thread.run_sync(main) == [200, 200]


FORKING = """
import os
from aauthkit.portal import close, wait_for

async def answer():
    return 7

assert wait_for(answer) == 7
child = os.fork()
if child == 0:
    outcome = wait_for(answer)
    close()
    os._exit(outcome)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert wait_for(answer) == 7
"""


def test_a_forked_child_starts_a_portal_of_its_own() -> None:
    """Threads do not survive a fork."""
    quiet = ["-W", "ignore::DeprecationWarning"]  # Python 3.12 warns of every fork beside a thread
    subprocess.run([sys.executable, *quiet, "-c", FORKING], check=True, timeout=60)


async def test_a_lost_poll_is_made_again_and_a_held_invocation_runs_once(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.5.1: a response can be lost in transit; the same auth token is answered from the result."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)

    def lost(request: Received) -> Reply:
        parties.resource.serve(request)
        return Reply(raw=b"")

    parties.resource.script["/pending/0"] = [lost, lost]
    response = await open_client(parties.agent()).post(ORDERS, content=b"chair")
    assert response.json()["body"] == "chair"
    assert parties.resource.held["/pending/0"].runs == 1
    assert parties.sleeper.slept == [1, 2]


async def test_an_answer_of_the_person_server_that_was_lost_is_asked_for_again(
    parties: Parties, open_client: OpenClient
) -> None:
    """The poll that fetched it is lost, the next finds 410; the decision stands, so the request is made once more."""
    parties.ps.script["/auth_token_endpoint"] = [deferred("/pending/x", APPROVAL_PENDING)]
    parties.ps.script["/pending/x"] = [Reply(raw=b""), problem("gone")]
    assert (await open_client(parties.agent()).get(ORDERS)).status == 200
    assert parties.ps.auth_requests == 2


async def test_a_poll_that_is_lost_for_ever_is_an_error(parties: Parties, open_client: OpenClient) -> None:
    parties.resource.script["/orders"] = [deferred("/pending/9")]
    parties.resource.script["/pending/9"] = [Reply(raw=b"")] * 50
    with pytest.raises(httpx2.TransportError):
        await open_client(parties.agent()).get(ORDERS)
    assert parties.resource.count("/pending/9") == 6


async def test_a_first_request_that_is_lost_is_not_made_again(parties: Parties, open_client: OpenClient) -> None:
    """It may have been processed: that is for the caller to decide."""
    parties.resource.script["/agent"] = [Reply(raw=b"")] * 5
    with pytest.raises(httpx2.TransportError):
        await open_client(parties.agent()).post("https://api.example/agent", content=b"x")
    assert parties.resource.count("/agent") == 1


async def test_a_response_is_streamed_and_nothing_is_held_meanwhile(parties: Parties) -> None:
    """Other calls go on while a response is read."""
    parties.resource.replies["/agent"] = Reply(200, (("content-type", "text/plain"),), b"abcdef", drip=0.01)
    async with parties.agent().client() as http, http.stream("GET", "https://api.example/agent") as response:
        pieces = response.aiter_raw()
        assert await anext(pieces)
        assert (await http.get(ORDERS)).status_code == 200
        assert response.extensions["aauth"]["level"] == "agent"
        async for _ in pieces:
            pass


async def test_response_hooks_see_the_last_answer_only(parties: Parties) -> None:
    """Challenges are met in the transport; a user's hooks do not run on them."""
    seen: list[int] = []

    async def hook(response: httpx2.Response) -> None:
        seen.append(response.status_code)
        assert "signature" not in response.request.headers

    async with parties.agent().client(event_hooks={"response": [hook]}) as http:
        await http.get(ORDERS)
    assert seen == [200]


async def test_what_happens_can_be_watched_and_holds_no_token(parties: Parties, open_client: OpenClient) -> None:
    """F87: for a program that tells what an agent does."""
    parties.ps.waits, parties.ps.requirement = 2, interaction_required("https://person.example/i", "A1B2-C3D4")
    told: list[Event] = []
    await open_client(parties.agent(), watch=told.append).get(ORDERS)
    kinds = [type(event) for event in told]
    assert kinds[:3] == [Sent, Answered, Sent]
    assert {Sent, Answered, Obtained, Carried, Waiting} == set(kinds)
    assert [event.level for event in told if isinstance(event, Sent) and event.to == parties.resource.iss] == [
        "agent",
        "person",
        "grant",
    ]
    assert [event.typ for event in told if isinstance(event, Obtained)] == [PERSON_TYP, AUTH_TYP]
    assert [event.requirement for event in told if isinstance(event, Answered)].count("auth-token") == 1
    tokens = {request.header("signature-key") or "-" for request in parties.resource.requests}
    assert not [token for token in tokens if token.split('"')[1:2] and token.split('"')[1] in str(told)]
    assert "A1B2" not in str(told)


async def test_f87_nothing_secret_is_logged(
    parties: Parties, open_client: OpenClient, caplog: pytest.LogCaptureFixture
) -> None:
    """F87: no token, key or code, at any level; nor in what objects show of themselves."""
    caplog.set_level("DEBUG")
    parties.ps.waits, parties.ps.requirement = 2, interaction_required("https://person.example/i", "A1B2-C3D4")
    agent = parties.agent()
    await open_client(agent).get(ORDERS)
    shown = caplog.text + repr(agent) + repr(agent._standing.wallet.__dict__) + repr(agent._standing.identity.__dict__)
    for request in [*parties.resource.requests, *parties.ps.requests, *parties.provider.requests]:
        for name in ("signature-key", "signature"):
            value = request.header(name)
            assert value is None or value not in shown
    tokens = [body[name] for _, body in parties.ps.bodies for name in body if name.endswith("_token")]
    assert not [token for token in tokens if token in shown]
    assert "A1B2" not in shown


async def test_the_loopback_profile_is_called_over_http(parties: Parties) -> None:
    """design: names below localhost, listed with their ports, and no other."""

    def respond(request: Received) -> Reply:
        if request.target == "/agent":
            return json_body({"key": request.header("signature-key") is not None})
        return json_body({}, status=404)

    server = await parties.internet.serve("api.localhost", respond, tls=False)
    origin = f"http://api.localhost:{server.port}"
    egress = parties.egress(loopback=LoopbackProfile(frozenset({origin})))
    async with parties.agent(egress=egress).client() as http:
        assert (await http.get(f"{origin}/agent")).json() == {"key": True}


async def test_a_callback_may_be_async_and_may_fail(parties: Parties, open_client: OpenClient) -> None:
    """The application's own way to the person; its failure is the call's."""
    seen: list[Errand] = []

    async def show(errand: Errand) -> None:
        seen.append(errand)
        raise RuntimeError("no way to the person")

    parties.ps.waits, parties.ps.requirement = 1, interaction_required("https://person.example/i", "A1B2-C3D4")
    with pytest.raises(RuntimeError, match="no way"):
        await open_client(parties.agent(person=Callback(show))).get(PERSON_URL)
    assert "A1B2" not in repr(seen)


async def test_a_private_resource_that_the_user_chose_is_called(parties: Parties) -> None:
    """Whom the user calls, and the servers the agent was set up with, are reached at any address; nobody else is."""
    agent = parties.agent(egress=Egress())
    for host in ("api.example", "agents.example", "person.example"):
        agent._standing.exchange.choose(host)
    http = agent._standing.exchange.enter(agent).http
    sent: list[tuple[str, bool]] = []

    class Recorded(Exception):
        pass

    async def send(_self: Any, _method: str, url: str, *_: Any, guarded: bool = True, **__: Any) -> Any:
        sent.append((url, guarded))
        raise Recorded

    original = type(http).__mro__[1].send
    type(http).__mro__[1].send = send  # type: ignore[method-assign]
    try:
        for url in ("https://api.example/jwks", "https://elsewhere.example/jwks"):
            with pytest.raises(Recorded):
                await http.send("GET", url, timeout=1, limit=1)
    finally:
        type(http).__mro__[1].send = original  # type: ignore[method-assign]
    assert sent == [("https://api.example/jwks", False), ("https://elsewhere.example/jwks", True)]
    await agent._standing.exchange.leave(agent)


async def test_the_same_key_can_be_given_to_an_agent(parties: Parties, open_client: OpenClient) -> None:
    """For who keeps keys by themselves."""
    key = new_key()
    agent = parties.agent(key=key)
    await open_client(agent).get("https://api.example/agent")
    assert parties.resource.seen[-1].key.same_key(key.public)
    assert agent.thumbprint == key.kid
    assert agent.name == "planner"


async def test_a_requirement_may_ask_for_more_than_one_step_on_a_poll(
    parties: Parties, open_client: OpenClient
) -> None:
    """A 401 to a poll is a challenge like any other (§11.8.4)."""
    parties.resource.needs["/pending/7"] = AGENT
    parties.resource.script["/agent"] = [deferred("/pending/7")]
    parties.resource.script["/pending/7"] = [
        challenge(Requirement("person-token")),
        challenge(Requirement("agent-token")),
    ]
    assert (await open_client(parties.agent()).get("https://api.example/agent")).status == 200
