"""The agent's way to a response, with honest parties over real TLS; asynchronous and synchronous clients alike."""

from __future__ import annotations

import asyncio

import pytest

from aauthkit.agent import ScopeReduced
from aauthkit.callers import Grant, Person
from aauthkit.protocol.jose import SigningKey
from aauthkit.verification import Verified
from tests.plugins.signing import new_key
from tests.plugins.simulators import (
    AGENT,
    OpenClient,
    Parties,
    Pieces,
    deferred,
    grant,
    json_body,
)

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"


def levels(parties: Parties) -> list[str]:
    """What each request to the resource presented."""
    return [type(verified.caller).__name__ for verified in parties.resource.seen]


def last(parties: Parties) -> Verified:
    return parties.resource.seen[-1]


async def test_the_first_call_is_challenged_consented_and_authorized(parties: Parties, open_client: OpenClient) -> None:
    """§4.2.4, §6.4, §6.5: agent token, person token, auth token, one after another."""
    response = await open_client(parties.agent()).get(ORDERS)
    assert response.status == 200
    assert response.json()["scope"] == ["orders.read"]
    assert levels(parties) == ["Agent", "Person", "Grant"]
    assert (parties.ps.person_requests, parties.ps.auth_requests) == (1, 1)


async def test_f41_the_next_call_is_one_request_that_presents_the_auth_token(
    parties: Parties, open_client: OpenClient
) -> None:
    """F41, §9.4.2."""
    http = open_client(parties.agent())
    await http.get(ORDERS)
    before = len(parties.resource.requests)
    assert (await http.get(ORDERS)).status == 200
    assert len(parties.resource.requests) == before + 1
    assert isinstance(last(parties).caller, Grant)
    assert (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests) == (1, 1, 1)


async def test_f41_a_person_token_is_asked_for_once_for_each_resource(
    parties: Parties, open_client: OpenClient
) -> None:
    """F41, §7.1 caching: scoped to one resource."""
    other = await parties.another_resource("files.example")
    http = open_client(parties.agent())
    for url in ("https://api.example/person", "https://files.example/person") * 2:
        assert (await http.get(url)).json()["level"] == "Person"
    assert [body["resource"] for path, body in parties.ps.bodies] == [parties.resource.iss, other.iss]


@pytest.mark.parametrize("mode", ["person-token", "auth-token"])
async def test_a_resource_that_declares_it_is_begun_with_a_person_token(
    parties: Parties, open_client: OpenClient, mode: str
) -> None:
    """§11.2.4, AG-02: the declared mode plans the first call."""
    parties.resource.metadata["access_mode"] = mode
    assert (await open_client(parties.agent()).get(ORDERS)).status == 200
    assert levels(parties) == ["Person", "Grant"]


@pytest.mark.parametrize("mode", ["agent-token", "session-token", "per-call", 7])
async def test_any_other_mode_is_begun_with_the_agent_token(
    parties: Parties, open_client: OpenClient, mode: object
) -> None:
    """§11.2.4: an agent that does not know a value goes on as with no declaration."""
    parties.resource.metadata["access_mode"] = mode
    assert (await open_client(parties.agent()).get("https://api.example/agent")).json()["level"] == "Agent"
    assert levels(parties) == ["Agent"]


async def test_the_metadata_is_read_once(parties: Parties, open_client: OpenClient) -> None:
    """§11.2.4."""
    http = open_client(parties.agent())
    for _ in range(3):
        await http.get("https://api.example/agent")
    assert parties.resource.metadata_fetches == 1


async def test_a_resource_without_metadata_is_called_all_the_same(parties: Parties, open_client: OpenClient) -> None:
    """§11.2.4: a resource may publish none."""
    parties.resource.replies[parties.resource.metadata_path] = json_body({"error": "not_found"}, status=404)
    assert (await open_client(parties.agent()).get("https://api.example/person")).json()["level"] == "Person"


async def test_an_agent_that_acts_for_nobody_calls_what_needs_only_an_agent(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6: an agent with no person server."""
    parties.provider.ps = None
    parties.resource.metadata["access_mode"] = "auth-token"
    http = open_client(parties.agent(person_server=None))
    assert (await http.get("https://api.example/agent")).json()["level"] == "Agent"


async def test_a_path_that_asks_for_the_agent_token_gets_it_at_once_the_next_time(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.1, §12.1.1: a resource may mix modes."""
    http = open_client(parties.agent())
    await http.get(ORDERS)
    for _ in range(2):
        assert (await http.get("https://api.example/agent")).json()["level"] == "Agent"
    assert levels(parties)[3:] == ["Grant", "Agent", "Agent"]


# What is signed.


async def test_f13_a_body_is_covered_with_its_digest_and_type_and_sent_again(
    parties: Parties, open_client: OpenClient
) -> None:
    """F13, house rule: also to resources. The challenged POST was not processed, so it is sent again."""
    response = await open_client(parties.agent()).post(ORDERS, json={"item": "chair"})
    assert response.json()["body"] == '{"item":"chair"}'
    assert {"content-digest", "content-type"} <= last(parties).covered
    assert len(parties.resource.served) == 1


async def test_f13_requests_to_the_person_server_cover_their_body(parties: Parties, open_client: OpenClient) -> None:
    """F13, AG-50: the simulator refuses any that does not."""
    await open_client(parties.agent()).get(ORDERS)
    posts = [verified for verified in parties.ps.seen if verified.request.method == "POST"]
    assert len(posts) == 2
    assert all({"content-digest", "content-type"} <= verified.covered for verified in posts)


@pytest.mark.parametrize(
    "target",
    [
        "/orders?page=1",
        "/orders?",
        "/orders?a=b%20c&d=%2F",
        "/orders;role=user",
        "/orders;role=user?x=1;y=2",
        "/a%2Fb",
        "/a//b",
        "/orders?x=??",
    ],
)
async def test_f05_f07_f08_the_target_is_signed_as_it_is_sent(
    parties: Parties, open_client: OpenClient, target: str
) -> None:
    """F05, F07, F08: path parameters, encodings and the query survive, and every query is covered."""
    path, mark, _ = target.partition("?")
    parties.resource.needs[path] = AGENT
    assert (await open_client(parties.agent()).get(f"https://api.example{target}")).status == 200
    assert parties.resource.requests[-1].target == target
    assert ("@query" in last(parties).covered) is bool(mark)


async def test_f06_the_authority_is_signed_in_lower_case_without_the_default_port(
    parties: Parties, open_client: OpenClient
) -> None:
    """F06."""
    assert (await open_client(parties.agent()).get("https://API.example:443/agent")).status == 200


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
async def test_f03_f04_signatures_are_64_bytes_in_standard_base64(
    parties: Parties, open_client: OpenClient, alg: str
) -> None:
    """F03, F04: the simulator reads nothing else; several requests, since base64url differs only in some."""
    http = open_client(parties.agent(key=new_key(alg)))  # type: ignore[arg-type]
    for _ in range(8):
        assert (await http.get("https://api.example/agent")).status == 200


async def test_f17_equal_requests_within_one_second_are_told_apart_by_a_nonce(
    parties: Parties, open_client: OpenClient
) -> None:
    """F17, house rule: the simulator's replay cache serves both."""
    http = open_client(parties.agent())
    bodies = [await http.post("https://api.example/agent", content=b"x") for _ in range(2)]
    assert [response.status for response in bodies] == [200, 200]
    signatures = [request.header("signature") for request, _ in parties.resource.served]
    assert signatures[0] != signatures[1]


async def test_the_nonce_can_be_left_out(parties: Parties, open_client: OpenClient) -> None:
    """For a peer that cannot take one."""
    await open_client(parties.agent(), nonce=False).get("https://api.example/agent")
    assert "nonce" not in (parties.resource.requests[-1].header("signature-input") or "nonce")


async def test_f47_the_authorization_field_is_covered(parties: Parties, open_client: OpenClient) -> None:
    """F47, §6.3."""
    headers = {"authorization": "AAuth c2Vzc2lvbg"}
    assert (await open_client(parties.agent()).get("https://api.example/agent", headers=headers)).status == 200
    assert "authorization" in last(parties).covered


async def test_what_the_metadata_wants_covered_is_covered(parties: Parties, open_client: OpenClient) -> None:
    """§11.2.4 additional_signature_components; a digest also where there is no body."""
    parties.resource.metadata["additional_signature_components"] = ["content-digest", "content-type", "x-trace"]
    await open_client(parties.agent()).get("https://api.example/agent", headers={"x-trace": "1"})
    assert {"content-digest", "x-trace"} <= last(parties).covered


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_f01_what_an_invalid_input_names_is_covered_once_and_remembered(
    parties: Parties, open_client: OpenClient, method: str
) -> None:
    """§11.3.3.1: the request was refused before it was processed, so any method is signed and sent once more."""
    refused = json_body({}, ("signature-error", 'error=invalid_input, required_input=("@method" "accept")'), status=401)
    parties.resource.script["/agent"] = [refused]
    http = open_client(parties.agent())
    for _ in range(2):
        assert (await http.request(method, "https://api.example/agent")).status == 200
        assert "accept" in last(parties).covered
    assert parties.resource.count("/agent") == 3


async def test_the_agent_says_what_it_can_do(parties: Parties, open_client: OpenClient) -> None:
    """§11.7: a field to resources, a parameter to the person server."""
    await open_client(parties.agent()).get(ORDERS)
    assert {
        request.header("aauth-capabilities") for request in parties.resource.requests if request.target == "/orders"
    }
    assert all(body["capabilities"] == ["interaction"] for _, body in parties.ps.bodies)
    assert all(request.header("aauth-capabilities") is None for request in parties.ps.requests)


async def test_what_the_agent_says_of_itself_reaches_the_person_server(
    parties: Parties, open_client: OpenClient
) -> None:
    """§7.2.1."""
    http = open_client(parties.agent(platform="linux", device="desk"), justification="To plan", prompt="consent")
    await http.get(ORDERS)
    said = {"justification": "To plan", "platform": "linux", "device": "desk", "prompt": "consent"}
    assert all(said.items() <= body.items() for _, body in parties.ps.bodies)


async def test_a_login_hint_is_passed_on_unchanged(parties: Parties, open_client: OpenClient) -> None:
    """AG-24, §6.7.1."""
    parties.resource.resource_claims["login_hint"] = "ada@example"
    await open_client(parties.agent()).get(ORDERS)
    assert parties.ps.bodies[-1][1]["login_hint"] == "ada@example"


# Bodies that can be read only once.


async def test_a_body_from_a_stream_is_digested_and_sent_again(parties: Parties, open_client: OpenClient) -> None:
    response = await open_client(parties.agent()).post(ORDERS, content=Pieces(b"ab", b"cd"))
    assert response.json()["body"] == "abcd"
    assert "content-digest" in last(parties).covered


async def test_a_form_with_a_file_is_sent_whole(parties: Parties, open_client: OpenClient) -> None:
    response = await open_client(parties.agent()).post(ORDERS, files={"f": ("a.txt", b"hello")}, data={"x": "1"})
    assert "hello" in response.json()["body"]


# More scope than before, and less than asked for.


async def test_a_step_up_asks_for_the_union_and_replaces_the_token(parties: Parties, open_client: OpenClient) -> None:
    """§6.5: agents must be prepared for this step-up at any time; the presented token is the auth token (AG-21)."""
    parties.resource.needs["/place"] = grant("orders.place")
    http = open_client(parties.agent())
    await http.get(ORDERS)
    assert (await http.post("https://api.example/place")).json()["scope"] == ["orders.place", "orders.read"]
    assert (await http.get(ORDERS)).status == 200
    assert levels(parties) == ["Agent", "Person", "Grant", "Grant", "Grant", "Grant"]
    assert parties.ps.auth_requests == 2


async def test_less_than_asked_for_that_opens_the_route_stands_in_the_extensions(
    parties: Parties, open_client: OpenClient
) -> None:
    """§11.10."""
    parties.resource.needs["/orders"] = grant("orders.read", optional=["orders.place"])
    parties.ps.grants = frozenset({"orders.read"})
    response = await open_client(parties.agent()).get(ORDERS)
    assert response.status == 200
    assert response.aauth["asked"] == {"orders.read", "orders.place"}
    assert response.aauth["granted"] == {"orders.read"}
    assert response.aauth["reduced"]


async def test_less_than_asked_for_that_does_not_open_the_route_is_raised(
    parties: Parties, open_client: OpenClient
) -> None:
    """§11.10."""
    parties.resource.needs["/orders"] = grant("orders.read", optional=["orders.place"])
    parties.resource.needs["/place"] = grant("orders.place")
    parties.ps.grants = frozenset({"orders.read"})
    http = open_client(parties.agent())
    await http.get(ORDERS)
    with pytest.raises(ScopeReduced) as raised:
        await http.post("https://api.example/place")
    assert raised.value.asked == {"orders.read", "orders.place"}
    assert raised.value.granted == {"orders.read"}
    assert (await http.get(ORDERS)).status == 200


# What is not the protocol's.


async def test_answers_that_are_not_the_protocols_reach_the_caller_untouched(
    parties: Parties, open_client: OpenClient
) -> None:
    """A 202 without requirement that is not in the whole form of §11.8.2, and a 401, 402, 429 of the application's."""
    http = open_client(parties.agent())
    bare = json_body({"job": 7}, ("location", "/jobs/7"), status=202)
    whole = json_body({"job": 7}, ("location", "/jobs/7"), ("retry-after", "1"), status=202)
    for reply in (bare, whole, *(json_body({"no": 1}, status=status) for status in (401, 402, 429, 503))):
        parties.resource.script["/agent"] = [reply]
        response = await http.get("https://api.example/agent")
        assert (response.status, response.content) == (reply.status, reply.body)


async def test_a_deferred_answer_without_a_requirement_is_polled(parties: Parties, open_client: OpenClient) -> None:
    """§11.8: any endpoint may answer so."""
    parties.resource.script["/agent"] = [deferred("/pending/a")]
    parties.resource.script["/pending/a"] = [deferred("/pending/a"), json_body({"done": True})]
    assert (await open_client(parties.agent()).get("https://api.example/agent")).json() == {"done": True}


# An agent's own fields and clients.


async def test_a_redirect_starts_from_the_unsigned_original(parties: Parties, open_client: OpenClient) -> None:
    """The client follows it; each hop is signed for itself."""
    parties.resource.needs["/next"] = AGENT
    parties.resource.script["/agent"] = [json_body({}, ("location", "/next"), status=307)]
    response = await open_client(parties.agent(), follow_redirects=True).post(
        "https://api.example/agent", content=Pieces(b"x")
    )
    assert response.json()["body"] == "x"
    assert len(parties.resource.requests[-1].header("signature-key") or "") > 0
    assert sum(1 for name, _ in parties.resource.requests[-1].headers if name == "signature") == 1


async def test_the_person_server_named_in_the_token_is_the_one_that_is_asked(parties: Parties) -> None:
    """The whole place of a token: key, person server, resource."""
    one, two = parties.agent(), parties.agent()
    async with one.client() as http:
        await http.get(ORDERS)
    async with two.client() as http:
        await http.get(ORDERS)
    assert parties.ps.auth_requests == 2
    assert one.thumbprint != two.thumbprint


async def test_tokens_outlive_a_client(parties: Parties, open_client: OpenClient) -> None:
    """They are the agent's."""
    agent = parties.agent()
    await open_client(agent).get(ORDERS)
    await open_client(agent).get(ORDERS)
    assert parties.ps.auth_requests == 1
    assert isinstance(parties.resource.seen[1].caller, Person)


def test_making_an_agent_opens_and_sends_nothing() -> None:
    asyncio.set_event_loop(None)
    from aauthkit.agent import Agent
    from aauthkit.egress import Egress

    agent = Agent(
        "aauth:planner@agents.example",
        provider="https://agents.example",
        person_server=None,
        durable=SigningKey.generate(lambda size: b"\1" * size),
        egress=Egress(),
    )
    assert repr(agent) == "Agent(aauth:planner@agents.example, person_server=None)"
