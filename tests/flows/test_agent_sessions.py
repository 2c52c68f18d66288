"""Session tokens, a resource's own interaction, and which 202 is the protocol's (draft-11 §6.2, §6.3, §11.8)."""

from __future__ import annotations

import pytest

from aauthkit.agent import TokenRefused
from aauthkit.protocol.headers import PERSON_TOKEN_REQUIRED, interaction_required
from tests.plugins.simulators import AGENT, OpenClient, Parties, challenge, deferred, json_body
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

AGENT_URL = "https://api.example/agent"
PAGE = interaction_required("https://api.example/login", "A1B2-C3D4")


def authorizations(parties: Parties, path: str = "/agent") -> list[str | None]:
    """What each request to that path had in Authorization."""
    return [one.header("authorization") for one in parties.resource.requests if one.target == path]


def gives(token: str) -> Reply:
    return json_body({"ok": 1}, ("aauth-access", token))


async def test_ag_02_a_session_token_is_sent_back_covered_and_replaced(
    parties: Parties, open_client: OpenClient
) -> None:
    """AG-02, §6.3: a new value is used from the next request on."""
    parties.resource.metadata["access_mode"] = "session-token"
    parties.resource.script["/agent"] = [gives("first=="), gives("second")]
    http = open_client(parties.agent())
    for _ in range(4):
        assert (await http.get(AGENT_URL)).status == 200
    assert authorizations(parties) == [None, "AAuth first==", "AAuth second", "AAuth second"]
    assert all("authorization" in verified.covered for verified in parties.resource.seen)


async def test_ag_51_a_session_token_goes_with_the_token_it_came_for(parties: Parties, open_client: OpenClient) -> None:
    """AG-51: the agent token, to a resource that manages access itself; not beside a person's."""
    parties.resource.script["/agent"] = [gives("mine")]
    http = open_client(parties.agent())
    for path in ("agent", "orders", "orders", "agent"):
        assert (await http.get(f"https://api.example/{path}")).status == 200
    assert authorizations(parties)[-1] in (None, "AAuth mine")
    for verified in parties.resource.seen:
        kind = type(verified.caller).__name__
        assert ("authorization" in verified.covered) <= (kind == "Agent")


async def test_a_session_token_goes_to_no_other_resource_and_survives_no_other_agent(
    parties: Parties, open_client: OpenClient
) -> None:
    other = await parties.another_resource("other.example")
    parties.resource.script["/agent"] = [
        gives("mine"),
        json_body({}, ("location", "https://other.example/agent"), status=307),
    ]
    http = open_client(parties.agent(), follow_redirects=True)
    await http.get(AGENT_URL)
    assert (await http.get(AGENT_URL)).status == 200
    assert [one.header("authorization") for one in other.requests if one.target == "/agent"] == [None]
    await open_client(parties.agent()).get(AGENT_URL)
    assert authorizations(parties)[-1] is None


async def test_a_field_of_the_callers_own_is_left_alone(parties: Parties, open_client: OpenClient) -> None:
    parties.resource.script["/agent"] = [gives("mine")]
    http = open_client(parties.agent())
    await http.get(AGENT_URL)
    await http.get(AGENT_URL, headers={"authorization": "Bearer theirs"})
    assert authorizations(parties)[-1] == "Bearer theirs"


@pytest.mark.parametrize("value", ["", "two words", "a, b", "é"])
async def test_a_response_with_a_broken_session_token_is_refused(
    parties: Parties, open_client: OpenClient, value: str
) -> None:
    """§6.3: empty, with white space, or more than one."""
    parties.resource.script["/agent"] = [gives(value)]
    http = open_client(parties.agent())
    with pytest.raises(TokenRefused):
        await http.get(AGENT_URL)
    await http.get(AGENT_URL)
    assert authorizations(parties)[-1] is None


async def test_a_refused_session_token_is_forgotten_and_the_request_made_once_without(
    parties: Parties, open_client: OpenClient
) -> None:
    refused = Reply(401, (("content-type", "text/plain"),), b"ended")
    parties.resource.script["/agent"] = [gives("mine"), refused]
    http = open_client(parties.agent())
    await http.get(AGENT_URL)
    assert (await http.get(AGENT_URL)).status == 200
    assert authorizations(parties) == [None, "AAuth mine", None]
    parties.resource.script["/agent"] = [refused]
    assert (await http.get(AGENT_URL)).status == 401


async def test_a_resource_that_ends_a_session_and_wants_a_person_gets_one(
    parties: Parties, open_client: OpenClient
) -> None:
    parties.resource.script["/agent"] = [gives("mine"), challenge(PERSON_TOKEN_REQUIRED), json_body({"done": 1})]
    http = open_client(parties.agent())
    await http.get(AGENT_URL)
    assert (await http.get(AGENT_URL)).json() == {"done": 1}
    assert authorizations(parties) == [None, "AAuth mine", None]


# The resource's own page.


async def test_an_interaction_that_ends_authorized_has_the_request_made_again_with_the_session(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.2, §6.6.1: the answer of the pending URL says `authorized`, and nothing of what was called."""
    parties.resource.script["/agent"] = [deferred("/pending/a", PAGE)]
    done = json_body({"status": "authorized", "scope": ""}, ("aauth-access", "mine"))
    parties.resource.script["/pending/a"] = [deferred("/pending/a", PAGE), done]
    response = await open_client(parties.agent()).post(AGENT_URL, content=b"chair")
    assert response.json()["body"] == "chair"
    assert authorizations(parties) == [None, "AAuth mine"]
    assert len(parties.errands) == 1


async def test_an_interaction_that_ends_with_the_result_gives_that(parties: Parties, open_client: OpenClient) -> None:
    parties.resource.script["/agent"] = [deferred("/pending/a", PAGE)]
    parties.resource.script["/pending/a"] = [json_body({"orders": []}, ("aauth-access", "mine"))]
    http = open_client(parties.agent())
    assert (await http.get(AGENT_URL)).json() == {"orders": []}
    await http.get(AGENT_URL)
    assert authorizations(parties) == [None, "AAuth mine"]


async def test_a_resource_that_says_authorized_for_ever_ends_the_call(
    parties: Parties, open_client: OpenClient
) -> None:
    done = json_body({"status": "authorized"})
    parties.resource.script["/agent"] = [deferred("/pending/a", PAGE)] * 9
    parties.resource.script["/pending/a"] = [done] * 9
    assert (await open_client(parties.agent()).get(AGENT_URL)).json() == {"status": "authorized"}
    assert parties.resource.count("/agent") == 2


async def test_the_authorization_endpoint_called_by_hand_gives_its_own_answer(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.6.1."""
    parties.resource.metadata["authorization_endpoint"] = "https://api.example/authorize"
    parties.resource.needs["/authorize"] = AGENT
    parties.resource.script["/authorize"] = [deferred("/pending/a", PAGE)]
    parties.resource.script["/pending/a"] = [json_body({"status": "authorized"}, ("aauth-access", "mine"))]
    response = await open_client(parties.agent()).post("https://api.example/authorize", json={"scope": "x"})
    assert response.json() == {"status": "authorized"}


# Which 202 is the protocol's.


@pytest.mark.parametrize("missing", ["location", "retry-after", "cache-control", "content-type", "status", "short"])
async def test_a_202_that_lacks_anything_of_the_form_is_the_callers(
    parties: Parties, open_client: OpenClient, missing: str
) -> None:
    """§11.8.2: an application's own 202, such as that of MCP for a notification, is not touched."""
    whole = deferred("/pending/a")
    body = {"status": b'{"job": 7}', "short": b'{"status": "pending", "x": "' + b"x" * 70_000 + b'"}'}
    parties.resource.script["/agent"] = [
        Reply(202, tuple(one for one in whole.headers if one[0] != missing), body.get(missing, whole.body))
    ]
    response = await open_client(parties.agent()).post(AGENT_URL, content=b"x")
    assert (response.status, response.content) == (202, body.get(missing, whole.body))
    assert parties.resource.count("/pending/a") == 0


async def test_a_bare_202_reaches_the_caller(parties: Parties, open_client: OpenClient) -> None:
    parties.resource.script["/agent"] = [Reply(202, (), b"")]
    response = await open_client(parties.agent()).post(AGENT_URL, content=b"x")
    assert (response.status, response.content) == (202, b"")


async def test_ag_26_any_202_of_a_polled_url_is_the_protocols(parties: Parties, open_client: OpenClient) -> None:
    """AG-26, §11.8.3: also one without a body or a requirement."""
    parties.resource.script["/agent"] = [deferred("/pending/a")]
    bare = Reply(202, (("location", "/pending/a"),), b"")
    parties.resource.script["/pending/a"] = [bare, bare, json_body({"done": 1})]
    assert (await open_client(parties.agent()).get(AGENT_URL)).json() == {"done": 1}
    assert parties.sleeper.slept == [0, 5, 5]


async def test_ag_63_an_interaction_completed_elsewhere_is_polled_to_its_end(
    parties: Parties, open_client: OpenClient
) -> None:
    """AG-63, §7.3: the person never came to the page."""
    parties.ps.script["/person_token_endpoint"] = [
        deferred("/pending/x", interaction_required("https://person.example/i", "A1B2-C3D4"))
    ]
    granted: list[Received] = []
    http = open_client(parties.agent())

    def person(request: Received) -> Reply:
        granted.append(request)
        caller = parties.ps.verify(request)
        return parties.ps._person(caller, {"resource": parties.resource.iss})  # type: ignore[arg-type]

    parties.ps.script["/pending/x"] = [deferred("/pending/x", status="interacting"), deferred("/pending/x"), person]
    assert (await http.get("https://api.example/person")).status == 200
    assert len(granted) == 1
