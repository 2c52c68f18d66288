"""A person's question answered by asking for something else (draft-11 §7.5.2.2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aauthkit.agent import (
    ChallengeRefused,
    Pending,
    Question,
    RequestRefused,
    ScopeReduced,
    UpdatedRequest,
    UpdateImpossible,
)
from aauthkit.asgi import App
from aauthkit.callers import Person
from aauthkit.keys import FixedKey
from aauthkit.protocol.headers import Requirement
from aauthkit.protocol.jose import parse_json
from aauthkit.protocol.tokens import PERSON_TYP, RESOURCE_TYP, read_token
from aauthkit.resource import Resource
from tests.plugins.orders import SCOPES, orders_api
from tests.plugins.simulators import OpenClient, Parties, deferred, grant, json_body, problem
from tests.plugins.tls import Received, Reply, signing_key
from tests.plugins.world import OTHER, PROVIDER, PS, World

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
PERSON_URL = "https://api.example/person"
LESS = UpdatedRequest("orders.read", "Reading is *enough*.")


def less(_question: Question) -> UpdatedRequest:
    return LESS


class Asking:
    """A person server whose person asks once and agrees to what is asked for then."""

    def __init__(self, parties: Parties, *, polls: int = 0) -> None:
        self.parties = parties
        self.posts: list[dict[str, Any]] = []
        self.first: dict[str, Any] = {}
        self.refuses: Reply | None = None
        self.polls = polls
        resource = parties.resource
        resource.needs["/orders"] = grant("orders.read", optional=["orders.place"])
        resource.metadata["authorization_endpoint"] = f"{resource.iss}/authorize"
        resource.script["/authorize"] = [self.authorizes] * 5
        parties.ps.script["/auth_token_endpoint"] = [self.asks]
        parties.ps.script["/pending/q"] = [self.polled] * 20
        self.scopes: list[str] = []
        self.lies: dict[str, Any] = {}

    def authorizes(self, request: Received) -> Reply:
        caller = self.parties.resource.verify(request)
        assert isinstance(caller, Person)
        scope = parse_json(request.body)["scope"]
        self.scopes.append(scope)
        token = self.parties.resource.resource_token(grant(*scope.split()), caller, **self.lies)
        return json_body({"resource_token": token})

    def asks(self, request: Received) -> Reply:
        self.first = parse_json(request.body)
        return deferred("/pending/q", Requirement("clarification"), clarification="Why so much?")

    def polled(self, request: Received) -> Reply:
        caller = self.parties.ps.verify(request)
        if request.method == "POST":
            self.posts.append(parse_json(request.body))
            return self.refuses or json_body({"status": "pending"})
        if not self.posts:
            return deferred("/pending/q", Requirement("clarification"), clarification="Why so much?")
        if self.polls:
            self.polls -= 1
            return deferred("/pending/q", Requirement("approval"), retry_after=20)
        return self.parties.ps._auth(caller, self.posts[-1])  # type: ignore[arg-type]


async def test_an_updated_request_takes_the_place_of_the_first(parties: Parties, open_client: OpenClient) -> None:
    """AG-25: a new pair of tokens, the justification beside it, and an auth token checked against the new ones."""
    asking = Asking(parties)
    response = await open_client(parties.agent(), answer=less).get(ORDERS)
    assert response.status == 200
    assert (response.aauth["asked"], response.aauth["granted"]) == ({"orders.read"}, {"orders.read"})
    assert asking.scopes == ["orders.read"]
    (post,) = asking.posts
    assert (post["action"], post["justification"]) == ("updated_request", "Reading is *enough*.")
    new, old = (read_token(one["resource_token"], {RESOURCE_TYP}) for one in (post, asking.first))
    shown = read_token(post["presented_token"], {PERSON_TYP})
    assert new.claims["presented_jti"] == shown.jti
    assert all(new.claims[name] == old.claims[name] for name in ("iss", "ps", "sub", "agent_jkt") if name in old.claims)
    assert (new.claims["scope"], new.jti != old.jti) == ("orders.read", True)


async def test_less_than_the_route_needs_is_scope_reduced(parties: Parties, open_client: OpenClient) -> None:
    """Nothing is asked in a loop: the same requirement again ends the call."""
    asking = Asking(parties)
    parties.resource.needs["/orders"] = grant("orders.read", "orders.place")
    with pytest.raises(ScopeReduced):
        await open_client(parties.agent(), answer=less).get(ORDERS)
    assert len(asking.posts) == 1


async def test_a_wider_token_than_was_asked_for_then_is_refused(parties: Parties, open_client: OpenClient) -> None:
    """§9.4.4: checked against the updated request, not the first."""
    from aauthkit.agent import TokenRefused

    Asking(parties)
    parties.ps.auth_claims["scope"] = "orders.place orders.read"
    with pytest.raises(TokenRefused):
        await open_client(parties.agent(), answer=less).get(ORDERS)


async def test_what_is_waited_for_after_an_update_is_kept_with_its_new_tokens(parties: Parties) -> None:
    """A call that gives up and one that joins later end with the updated request's token."""
    Asking(parties, polls=4)
    agent = parties.agent()
    async with agent.client(answer=less, wait=30) as http:
        with pytest.raises(Pending):
            await http.get(ORDERS)
    async with agent.client() as http:
        response = await http.get(ORDERS)
    assert response.extensions["aauth"]["granted"] == {"orders.read"}
    assert parties.ps.auth_requests == 1


async def test_without_an_authorization_endpoint_nothing_can_be_updated(
    parties: Parties, open_client: OpenClient
) -> None:
    asking = Asking(parties)
    del parties.resource.metadata["authorization_endpoint"]
    with pytest.raises(UpdateImpossible):
        await open_client(parties.agent(), answer=less).get(ORDERS)
    assert asking.posts == []


async def test_a_person_token_cannot_be_asked_for_differently(parties: Parties, open_client: OpenClient) -> None:
    """There is no resource token in it."""
    parties.ps.script["/person_token_endpoint"] = [
        deferred("/pending/q", Requirement("clarification"), clarification="Why?")
    ]
    with pytest.raises(UpdateImpossible):
        await open_client(parties.agent(), answer=less).get(PERSON_URL)


async def test_a_resource_token_that_is_not_in_order_is_carried_nowhere(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.7.3 holds for the new one as well."""
    asking = Asking(parties)
    asking.lies["aud"] = "https://elsewhere.example"
    with pytest.raises(ChallengeRefused):
        await open_client(parties.agent(), answer=less).get(ORDERS)
    assert asking.posts == []


async def test_an_update_that_is_refused_is_a_typed_error(parties: Parties, open_client: OpenClient) -> None:
    asking = Asking(parties)
    asking.refuses = problem("invalid_resource_token")
    with pytest.raises(RequestRefused) as refused:
        await open_client(parties.agent(), answer=less).get(ORDERS)
    assert refused.value.code == "invalid_resource_token"


async def test_a_real_person_is_asked_for_less(quick_real_world: World) -> None:
    """Their page shows what is asked for now, and what the agent says of it."""
    questions: list[str] = []

    def answer(question: Question) -> UpdatedRequest:
        questions.append(question.text)
        return LESS

    await quick_real_world.serve(OTHER, _where_agents_may_ask(quick_real_world))
    planner = await quick_real_world.enrol("planner", answer=answer)
    ada = await quick_real_world.person("Ada")
    call = planner.get(f"{OTHER}/orders")
    await ada.comes(await planner.errand())
    await ada.approves()
    page = await ada.finds()
    assert set(ada.asked) == {"orders.read", "orders.place"}
    asked = next(form for form in page.forms if form.action.endswith("/ask"))
    await ada.presses(asked, ("question", "Is reading not enough?"))
    async with asyncio.timeout(20):
        while not call.done() and (await ada.finds()) and ada.asked != ["orders.read"]:
            await asyncio.sleep(0.01)
    assert not call.done(), call
    assert "Reading is" in ada.page.text
    await ada.approves("orders.read")
    response = await call
    assert (response.status, response.aauth["granted"]) == (200, {"orders.read"})
    assert questions == ["Is reading not enough?"]


def _where_agents_may_ask(world: World) -> App:
    """The usual API, with an authorization endpoint."""
    resource = Resource(
        OTHER,
        keys=FixedKey(signing_key(OTHER)),
        scopes=SCOPES,
        person_servers=[PS],
        agent_providers=[PROVIDER],
        egress=world.egress,
        clock=world.clock,
        authorization="auth-token",
    )
    return orders_api(resource)
