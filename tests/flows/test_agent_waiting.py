"""An agent waits for a person, at the person server and at the resource, and renews what comes to its end meanwhile."""

from __future__ import annotations

import pytest

from aauthkit.agent import Denied
from aauthkit.protocol.headers import APPROVAL_PENDING, Requirement, interaction_required
from tests.plugins.simulators import (
    OpenClient,
    Parties,
    challenge,
    deferred,
    grant,
    json_body,
    problem,
)

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"


def levels(parties: Parties) -> list[str]:
    """What each request to the resource presented."""
    return [type(verified.caller).__name__ for verified in parties.resource.seen]


# The person.


async def test_f39_an_interaction_is_shown_once_and_polled_to_its_end(
    parties: Parties, open_client: OpenClient
) -> None:
    """F39, §11.8.3, §11.8.4: nobody is hurried."""
    parties.ps.waits, parties.ps.requirement = 200, interaction_required("https://person.example/i/1", "A1B2-C3D4")
    response = await open_client(parties.agent()).get("https://api.example/person")
    assert response.status == 200
    (errand,) = parties.errands
    assert errand.url_with_code == "https://person.example/i/1?code=A1B2-C3D4"
    assert (errand.code, errand.who) == ("A1B2-C3D4", parties.ps.iss)
    assert parties.ps.count("/pending/0") == 201


async def test_f39_a_requirement_in_a_later_202_is_acted_on(parties: Parties, open_client: OpenClient) -> None:
    """F39: approval first, then the page went away and a code is needed."""
    page = interaction_required("https://person.example/i/1", "A1B2-C3D4")
    parties.ps.waits, parties.ps.requirement = 4, APPROVAL_PENDING
    parties.ps.script["/pending/0"] = [deferred("/pending/0", APPROVAL_PENDING), deferred("/pending/0", page)]
    assert (await open_client(parties.agent()).get("https://api.example/person")).status == 200
    assert len(parties.errands) == 1


async def test_an_approval_shows_nothing(parties: Parties, open_client: OpenClient) -> None:
    """§11.6.4: no action is required at the agent's side."""
    parties.ps.waits, parties.ps.requirement = 3, APPROVAL_PENDING
    assert (await open_client(parties.agent()).get("https://api.example/person")).status == 200
    assert parties.errands == []


async def test_polls_keep_the_interval_and_slow_down(parties: Parties, open_client: OpenClient) -> None:
    """§11.8.3: Retry-After; 5 seconds more after each 429; and 503 backs off."""
    parties.ps.waits, parties.ps.requirement = 1, APPROVAL_PENDING
    parties.ps.script["/person_token_endpoint"] = [deferred("/pending/x", retry_after=7)]
    parties.ps.script["/pending/x"] = [
        problem("slow_down", retry_after=7),
        problem("server_error", status=503, retry_after=9),
        deferred("/pending/x", retry_after=1),
        problem("denied"),
    ]
    with pytest.raises(Denied):
        await open_client(parties.agent()).get("https://api.example/person")
    assert parties.sleeper.slept == [7, 12, 14, 6]


async def test_the_resources_own_interaction_is_polled_at_the_resource(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.2: the person at the resource's own page; the invocation's answer comes from the pending URL."""
    page = interaction_required("https://api.example/login", "A1B2-C3D4")
    parties.resource.script["/agent"] = [deferred("/pending/a", page, retry_after=3)]
    parties.resource.script["/pending/a"] = [
        deferred("https://api.example/pending/a", page, retry_after=3),
        problem("slow_down"),
        lambda request: json_body({"seen": request.method, "type": request.header("content-type")}),
    ]
    response = await open_client(parties.agent()).post("https://api.example/agent", json={"x": 1})
    assert response.json() == {"seen": "GET", "type": None}
    assert [errand.who for errand in parties.errands] == [parties.resource.iss]
    assert parties.sleeper.slept == [3, 3, 8]


async def test_f43_a_held_invocation_is_released_by_the_auth_token(parties: Parties, open_client: OpenClient) -> None:
    """F43, §6.5.1, AG-26: 202 with requirement=auth-token, then a poll that presents the auth token."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
    response = await open_client(parties.agent()).post(ORDERS, content=b"chair")
    assert response.json() == {"level": "Grant", "scope": ["orders.read"], "body": "chair"}
    assert parties.resource.held["/pending/0"].runs == 1
    assert parties.resource.count("/orders") == 2


async def test_a_held_invocation_whose_resource_token_lapsed_gets_a_fresh_one_by_polling(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.5.1: a later 202 may carry a fresh resource token."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
    parties.ps.script["/auth_token_endpoint"] = [problem("expired_resource_token")]
    response = await open_client(parties.agent()).post(ORDERS, content=b"chair")
    assert response.status == 200
    assert parties.resource.held["/pending/0"].runs == 1
    assert parties.resource.count("/orders") == 2


async def test_a_202_that_still_names_the_resource_token_is_polled_on(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.5.1: the resource is at work with the auth token it was shown."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)

    def busy(request: object) -> object:
        caller = parties.resource.verify(request)  # type: ignore[arg-type]
        token = parties.resource.resource_token(grant("orders.read"), caller)
        return deferred("/pending/0", Requirement("auth-token", {"resource-token": token}))

    parties.resource.script["/pending/0"] = [busy] * 6  # type: ignore[list-item]
    assert (await open_client(parties.agent()).get(ORDERS)).status == 200
    assert parties.ps.auth_requests == 1


# Time passes.


async def test_f42_tokens_are_renewed_from_the_top_under_a_new_key(parties: Parties, open_client: OpenClient) -> None:
    """F42, §7.9.1, AG-70: agent token, person token, then resource and auth token, inside the margin."""
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.clock.advance(3600 - 299)
    assert (await http.get(ORDERS)).status == 200
    assert (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests) == (2, 2, 2)
    assert levels(parties)[3:] == ["Person", "Grant"]
    keys = [verified.key.thumbprint for verified in parties.resource.seen]
    assert len(set(keys[:3])) == len(set(keys[3:])) == 1 and keys[2] != keys[3]


async def test_nothing_is_renewed_before_the_margin(parties: Parties, open_client: OpenClient) -> None:
    """§7.9.1."""
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.clock.advance(3600 - 301)
    assert (await http.get(ORDERS)).status == 200
    assert (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests) == (1, 1, 1)


async def test_an_agent_token_that_is_still_good_serves_while_the_provider_is_down(
    parties: Parties, open_client: OpenClient
) -> None:
    http = open_client(parties.agent())
    await http.get("https://api.example/agent")
    parties.clock.advance(3600 - 100)
    await parties.provider.stop()
    assert (await http.get("https://api.example/agent")).status == 200


@pytest.mark.parametrize("error", ["expired_jwt", "revoked_jwt"])
@pytest.mark.parametrize("path", ["/agent", "/person", "/orders"])
async def test_a_token_that_was_refused_as_lapsed_is_renewed_once(
    parties: Parties, open_client: OpenClient, error: str, path: str
) -> None:
    """AG-60, §11.12.5: a fresh agent token from the provider, a fresh person token, a fresh auth token."""
    http = open_client(parties.agent())
    await http.get(f"https://api.example{path}")
    refused = challenge(Requirement("person-token"), ("signature-error", f"error={error}"))
    parties.resource.script[path] = [refused]
    assert (await http.post(f"https://api.example{path}", content=b"x")).status == 200
    counts = (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests)
    assert counts == {"/agent": (2, 0, 0), "/person": (1, 2, 0), "/orders": (1, 1, 2)}[path]


@pytest.mark.parametrize("code", ["expired_presented_token", "revoked_presented_token"])
async def test_a_presented_token_that_lapsed_on_the_way_is_renewed_from_the_top(
    parties: Parties, open_client: OpenClient, code: str
) -> None:
    """AG-61, §11.9.3: a fresh person token, then a fresh resource token."""
    parties.ps.script["/auth_token_endpoint"] = [problem(code)]
    assert (await open_client(parties.agent()).get(ORDERS)).status == 200
    assert (parties.ps.person_requests, parties.ps.auth_requests) == (2, 2)


async def test_a_resource_token_that_lapsed_is_asked_for_again_at_the_resource(
    parties: Parties, open_client: OpenClient
) -> None:
    """AG-61: do not resubmit it; call the resource again."""
    parties.ps.script["/auth_token_endpoint"] = [problem("revoked_resource_token")]
    assert (await open_client(parties.agent()).get(ORDERS)).status == 200
    assert (parties.ps.person_requests, parties.ps.auth_requests) == (1, 2)
    tokens = [body["resource_token"] for path, body in parties.ps.bodies if "resource_token" in body]
    assert len(set(tokens)) == len(tokens)


async def test_a_wait_that_outlived_the_tokens_goes_on_from_the_top(parties: Parties, open_client: OpenClient) -> None:
    """A person took longer than the agent token lives: 408, and the fresh request is answered at once."""
    parties.ps.script["/auth_token_endpoint"] = [deferred("/pending/x", APPROVAL_PENDING, retry_after=3000)]
    parties.ps.script["/pending/x"] = [deferred("/pending/x", APPROVAL_PENDING, retry_after=3000), problem("expired")]
    assert (await open_client(parties.agent()).get(ORDERS)).status == 200
    assert (parties.ps.person_requests, parties.ps.auth_requests) == (2, 3)


async def test_a_poll_is_signed_with_the_agent_token_of_its_time(parties: Parties, open_client: OpenClient) -> None:
    """A person took longer than the agent token lives; the simulator would refuse an expired one."""
    parties.ps.waits, parties.ps.requirement = 2, APPROVAL_PENDING
    parties.ps.script["/pending/0"] = [deferred("/pending/0", APPROVAL_PENDING, retry_after=3000)] * 2
    assert (await open_client(parties.agent()).get("https://api.example/person")).status == 200
    assert (parties.provider.refreshes, parties.ps.person_requests) == (2, 2)
