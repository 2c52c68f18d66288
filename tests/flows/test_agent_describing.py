"""Known before asking: what a resource offers, what an agent lacks, and a scope that is had before the call (§6.6)."""

from __future__ import annotations

import pytest

from aauthkit.agent import Ask, ChallengeRefused, Denied, NoResourceIdentifier, Unreachable
from aauthkit.agent.describing import describe_for_nobody
from aauthkit.cli.describing import lines
from aauthkit.protocol.headers import interaction_required
from aauthkit.protocol.jose import parse_json
from tests.plugins.simulators import OpenClient, Parties, deferred, grant, json_body, problem
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
AUTHORIZE = "https://api.example/authorize"


def described(parties: Parties, **more: object) -> None:
    parties.resource.metadata.update(
        {
            "name": "Orders",
            "access_mode": "auth-token",
            "scope_descriptions": {"orders.read": "Read\x1b orders", "orders.write": "Write"},
            **more,
        }
    )


async def test_a_resource_is_described_in_its_words_with_what_is_lacking(parties: Parties) -> None:
    """Nothing is signed, and no token is asked for."""
    described(parties)
    agent = parties.agent()
    found = await agent.describe(f"{ORDERS}?x=1")
    assert (found.resource, found.name, found.access_mode) == ("https://api.example", "Orders", "auth-token")
    assert found.lacks == ("agent token", "person token", "auth token")
    assert next((one.scope, one.words, one.held) for one in found.scopes) == ("orders.read", "Read\x1b orders", False)
    assert parties.provider.refreshes == 0 and parties.resource.seen == []
    assert "\x1b" not in "".join(lines(found))
    async with agent.client() as http:
        await http.get(ORDERS)
    found = await agent.describe(ORDERS)
    assert found.lacks == ()
    assert [one.held for one in found.scopes] == [True, False]
    assert any("orders.read (held)" in line for line in lines(found))


@pytest.mark.parametrize(
    ("mode", "lacks"),
    [
        ("agent-token", ("agent token",)),
        ("session-token", ("agent token", "session token")),
        ("person-token", ("agent token", "person server")),
        ("auth-token", ("agent token", "person server")),
        ("aauth-access-token", ("agent token",)),
    ],
)
async def test_ag_02_each_access_mode_says_what_an_agent_for_nobody_lacks(
    parties: Parties, mode: str, lacks: tuple[str, ...]
) -> None:
    """AG-02: a value that is not known is no declaration."""
    described(parties, access_mode=mode)
    parties.provider.ps = None
    found = await parties.agent(person_server=None).describe(ORDERS)
    assert found.lacks == lacks
    assert found.access_mode == (None if mode == "aauth-access-token" else mode)


@pytest.mark.parametrize("how", ["field", "html"])
async def test_ag_03_a_link_names_the_resource_and_where_it_was_found_is_said(parties: Parties, how: str) -> None:
    """AG-03, §11.2.5, §13.6."""
    described(parties)
    site = await parties.another_resource("docs.example")
    site.replies[site.metadata_path] = Reply(404, (), b"")
    target = "https://api.example/.well-known/aauth-resource.json"
    html = f'<html><link rel="stylesheet" href="x"><link rel="help aauth-resource" href="{target}"></html>'
    page = {
        "field": Reply(200, (("link", f'<{target}>; rel="aauth-resource"'),), b"hello"),
        "html": Reply(200, (("content-type", "text/html; charset=utf-8"),), html.encode()),
    }
    site.replies["/guide"] = page[how]
    found = await parties.agent().describe("https://docs.example/guide")
    assert (found.resource, found.found_at) == ("https://api.example", "https://docs.example/guide")


@pytest.mark.parametrize(
    "target", ["https://api.example/else.json", "https://api.example:8443/.well-known/aauth-resource.json", "/x"]
)
async def test_ag_03_a_target_of_another_form_is_not_fetched(parties: Parties, target: str) -> None:
    site = await parties.another_resource("docs.example")
    site.replies[site.metadata_path] = Reply(404, (), b"")
    site.replies["/guide"] = Reply(200, (("link", f'<{target}>; rel="aauth-resource"'),), b"hello")
    with pytest.raises(Unreachable):
        await parties.agent().describe("https://docs.example/guide")
    assert parties.resource.requests == []


async def test_a_description_of_another_issuer_is_none(parties: Parties) -> None:
    parties.resource.metadata["issuer"] = "https://other.example"
    parties.resource.script["/orders"] = [Reply(404, (), b"")]
    with pytest.raises(Unreachable):
        await parties.agent().describe(ORDERS)
    with pytest.raises(NoResourceIdentifier):
        await parties.agent().describe("https://api.example:8443/orders")


# A scope that is had before the call.


def authorizes(parties: Parties, bodies: list[dict[str, object]], **lies: object) -> None:
    def issue(request: Received) -> Reply:
        caller = parties.resource.verify(request)
        body = parse_json(request.body)
        bodies.append(body)
        claims = {"account": body["account"]} if "account" in body else {}
        needs = grant(*str(body["scope"]).split())
        return json_body({"resource_token": parties.resource.resource_token(needs, caller, **{**claims, **lies})})

    parties.resource.metadata["authorization_endpoint"] = AUTHORIZE
    parties.resource.script["/authorize"] = [issue] * 4


async def test_ag_12_a_scope_and_an_account_are_asked_for_before_the_call(
    parties: Parties, open_client: OpenClient
) -> None:
    """AG-12, AG-20, §6.6, §11.11: the person token at the authorization endpoint, and one request to the route."""
    bodies: list[dict[str, object]] = []
    authorizes(parties, bodies)
    http = open_client(parties.agent())
    ask = Ask(scope="orders.write orders.read", account="b-7", justification="to *order*")
    for _ in range(2):
        response = await http.get(ORDERS, extensions={"aauth": ask})
        assert response.json()["scope"] == ["orders.read", "orders.write"]
    assert bodies == [{"scope": "orders.read orders.write", "account": "b-7"}]
    assert parties.resource.count("/orders") == 2
    assert [type(one.caller).__name__ for one in parties.resource.seen] == ["Person", "Grant", "Grant"]
    assert parties.ps.bodies[-1][1]["justification"] == "to *order*"
    await http.get(ORDERS)  # without an account: another place
    assert parties.ps.auth_requests == 2


async def test_a_resource_that_names_no_place_to_ask_is_called_at_once(
    parties: Parties, open_client: OpenClient
) -> None:
    response = await open_client(parties.agent()).get(ORDERS, extensions={"aauth": Ask(scope="orders.read")})
    assert response.json()["scope"] == ["orders.read"]


async def test_an_answer_for_another_account_ends_the_call(parties: Parties, open_client: OpenClient) -> None:
    authorizes(parties, [], account="b-8")
    with pytest.raises(ChallengeRefused, match="account"):
        await open_client(parties.agent()).get(ORDERS, extensions={"aauth": Ask(scope="orders.read", account="b-7")})
    assert parties.ps.auth_requests == 0


async def test_a_resource_that_authorizes_itself_gives_a_session(parties: Parties, open_client: OpenClient) -> None:
    """§6.6.1, at its own page."""
    parties.resource.metadata["authorization_endpoint"] = AUTHORIZE
    page = interaction_required("https://api.example/login", "A1B2-C3D4")
    parties.resource.script["/authorize"] = [deferred("/pending/a", page)]
    parties.resource.script["/pending/a"] = [json_body({"status": "authorized"}, ("aauth-access", "mine"))]
    parties.resource.script["/person"] = [json_body({"done": 1})]
    http = open_client(parties.agent())
    response = await http.get("https://api.example/person", extensions={"aauth": Ask(scope="orders.read")})
    assert response.json() == {"done": 1}
    assert len(parties.errands) == 1


async def test_what_the_authorization_endpoint_refuses_is_a_typed_error(
    parties: Parties, open_client: OpenClient
) -> None:
    parties.resource.metadata["authorization_endpoint"] = AUTHORIZE
    parties.resource.script["/authorize"] = [problem("denied")]
    with pytest.raises(Denied):
        await open_client(parties.agent()).get(ORDERS, extensions={"aauth": Ask(scope="orders.read")})
    assert parties.resource.count("/orders") == 0


async def test_what_is_no_ask_is_an_error_before_anything_is_sent(parties: Parties, open_client: OpenClient) -> None:
    with pytest.raises(TypeError):
        await open_client(parties.agent()).get(ORDERS, extensions={"aauth": {"scope": "x"}})
    assert parties.resource.requests == []


@pytest.mark.parametrize(
    ("mode", "lacks"),
    [
        ("auth-token", ("agent token", "person server", "person token", "auth token")),
        ("session-token", ("agent token", "session token")),
        ("something-new", ("agent token",)),
    ],
)
async def test_whoever_is_no_agent_is_told_what_they_lack(parties: Parties, mode: str, lacks: tuple[str, ...]) -> None:
    """`fetch --describe --as key`: no agent is needed, and nothing is signed."""
    described(parties, access_mode=mode)
    found = await describe_for_nobody(f"{ORDERS}?x=1", parties.egress())
    assert (found.resource, found.lacks) == ("https://api.example", lacks)
    assert not any(one.held for one in found.scopes)
    assert parties.resource.seen == []
