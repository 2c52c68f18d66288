"""Auth tokens that have ended are had anew from the top of the chain (draft-11 §7.1.3, §7.9.1, §9.4.1)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aauthkit.agent import Ask, ChallengeLoop, Denied
from aauthkit.protocol.headers import Requirement
from aauthkit.protocol.jose import parse_json
from tests.plugins.signing import new_key
from tests.plugins.simulators import OpenClient, Parties, challenge, grant, json_body, problem
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
HOUR = 3600


def requests(parties: Parties) -> tuple[int, int, int]:
    return (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests)


def levels(parties: Parties) -> list[str]:
    return [type(verified.caller).__name__ for verified in parties.resource.seen]


def authorizes(parties: Parties, **lies: object) -> list[dict[str, object]]:
    """Have the resource give resource tokens at its authorization endpoint; gives what it was asked."""
    bodies: list[dict[str, object]] = []

    def issue(request: Received) -> Reply:
        caller = parties.resource.verify(request)
        bodies.append(parse_json(request.body))
        needs = grant(*str(bodies[-1]["scope"]).split())
        return json_body({"resource_token": parties.resource.resource_token(needs, caller, **lies)})

    parties.resource.metadata["authorization_endpoint"] = "https://api.example/authorize"
    parties.resource.script["/authorize"] = [issue] * 40
    return bodies


async def test_ag_70_an_auth_token_is_had_anew_at_the_authorization_endpoint(
    parties: Parties, open_client: OpenClient
) -> None:
    """AG-70, F42, §7.1.3: agent token, fresh person token, then the scope it had; no call is refused."""
    bodies = authorizes(parties)
    http = open_client(parties.agent())
    await http.get(ORDERS)
    assert (bodies, levels(parties)) == ([], ["Agent", "Person", "Grant"])
    parties.clock.advance(HOUR - 299)
    assert (await http.get(ORDERS)).status == 200
    assert requests(parties) == (2, 2, 2)
    assert bodies == [{"scope": "orders.read"}]
    assert levels(parties)[3:] == ["Person", "Grant"]
    assert parties.resource.count("/orders") == 4


async def test_calls_that_meet_an_ended_auth_token_ask_once_at_the_authorization_endpoint(
    parties: Parties, open_client: OpenClient
) -> None:
    """F41, F42."""
    bodies = authorizes(parties)
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.clock.advance(HOUR)
    answers = await asyncio.gather(*(http.get(ORDERS) for _ in range(30)))
    assert {answer.status for answer in answers} == {200}
    assert requests(parties) == (2, 2, 2)
    assert len(bodies) == 1


@pytest.mark.parametrize("refused", [problem("denied"), problem("server_error", status=500), Reply(404, (), b"")])
async def test_where_the_endpoint_gives_nothing_the_call_presents_the_person_token(
    parties: Parties, open_client: OpenClient, refused: Reply
) -> None:
    """§7.9: then the resource says what it wants; the endpoint is not asked by each call again."""
    authorizes(parties)
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.resource.script["/authorize"] = [refused] * 9
    parties.clock.advance(HOUR)
    assert (await http.get(ORDERS)).status == 200
    assert requests(parties) == (2, 2, 2)
    assert levels(parties)[3:] == ["Person", "Grant"]
    assert parties.resource.count("/authorize") == 1


async def test_a_persons_no_at_a_refresh_is_not_asked_for_again(parties: Parties, open_client: OpenClient) -> None:
    """What the person server refuses ends the call."""
    authorizes(parties)
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.clock.advance(HOUR)
    parties.ps.script["/auth_token_endpoint"] = [problem("denied")]
    with pytest.raises(Denied):
        await http.get(ORDERS)
    assert requests(parties) == (2, 2, 2)


async def test_a_step_up_token_replaces_the_old_one_and_inherits_its_end(
    parties: Parties, open_client: OpenClient
) -> None:
    """§7.1.3, §9.4.1, AG-21: named by the auth token that was presented; a whole hour comes from the top only."""
    bodies = authorizes(parties)
    parties.resource.needs["/place"] = grant("orders.place")
    http = open_client(parties.agent())
    await http.get(ORDERS)
    begun = int(parties.clock())
    parties.clock.advance(1000)
    assert (await http.post("https://api.example/place")).json()["scope"] == ["orders.place", "orders.read"]
    assert (await http.get(ORDERS)).json()["scope"] == ["orders.place", "orders.read"]
    assert parties.resource.seen[-1].caller.exp == begun + HOUR  # type: ignore[union-attr]
    parties.clock.advance(HOUR - 1000)
    assert (await http.get(ORDERS)).json()["scope"] == ["orders.place", "orders.read"]
    assert bodies == [{"scope": "orders.place orders.read"}]
    assert parties.resource.seen[-1].caller.exp == begun + 2 * HOUR  # type: ignore[union-attr]


async def test_the_same_challenge_after_a_renewed_token_ends_the_call(
    parties: Parties, open_client: OpenClient
) -> None:
    """The same requirement, scope and account after a token that answered it: a typed error, and no loop."""
    authorizes(parties)
    http = open_client(parties.agent())
    await http.get(ORDERS)
    parties.clock.advance(HOUR)

    def again(request: Received) -> Reply:
        caller = parties.resource.verify(request)
        token = parties.resource.resource_token(grant(), caller, scope="orders.read")
        return challenge(Requirement("auth-token", {"resource-token": token}))

    parties.resource.script["/orders"] = [again] * 20
    with pytest.raises(ChallengeLoop):
        await http.get(ORDERS)
    assert requests(parties) == (2, 2, 2)


async def test_an_account_is_asked_for_again_by_itself(parties: Parties, open_client: OpenClient) -> None:
    """§11.11: another account's token is another place."""
    bodies = authorizes(parties, account="b-7")
    http = open_client(parties.agent())
    ask = Ask(scope="orders.read", account="b-7")
    await http.get(ORDERS, extensions={"aauth": ask})
    parties.clock.advance(HOUR)
    assert (await http.get(ORDERS, extensions={"aauth": ask})).status == 200
    assert bodies == [{"scope": "orders.read", "account": "b-7"}] * 2


async def test_a_restarted_agent_presents_what_it_had(
    parties: Parties, open_client: OpenClient, tmp_path: Path
) -> None:
    """§7.1: nothing is asked for anew before its time."""
    durable = new_key()
    for _ in range(3):
        http = open_client(parties.agent(durable=durable, shared_folder=tmp_path / "shared"))
        assert (await http.get(ORDERS)).status == 200
    assert requests(parties) == (1, 1, 1)
    assert levels(parties) == ["Agent", "Person", "Grant", "Grant", "Grant"]
    offer = await parties.agent(durable=durable, shared_folder=tmp_path / "shared").describe(ORDERS)
    assert offer.lacks == ()


async def test_a_token_of_another_agent_or_person_server_is_not_taken_from_the_store(
    parties: Parties, open_client: OpenClient, tmp_path: Path
) -> None:
    """§7.1: the name of a folder says nothing of who it belongs to."""
    durable = new_key()
    await open_client(parties.agent(durable=durable, shared_folder=tmp_path)).get(ORDERS)
    parties.provider.agent_name = "buyer"
    other = parties.agent(durable=new_key(), shared_folder=tmp_path)
    assert (await open_client(other).get(ORDERS)).status == 200
    assert requests(parties) == (2, 2, 2)


async def test_a_store_that_others_can_write_to_is_not_used(
    parties: Parties, open_client: OpenClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """F88: the calls are served all the same, and the log says what to do."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o700)
    shared.chmod(0o777)
    for _ in range(2):
        assert (await open_client(parties.agent(durable=new_key(), shared_folder=shared)).get(ORDERS)).status == 200
    assert list(shared.iterdir()) == []
    assert requests(parties) == (2, 2, 2)
    assert "chmod 700" in caplog.text


async def test_no_lock_is_held_while_a_response_is_streamed(parties: Parties, tmp_path: Path) -> None:
    """Other processes go on meanwhile, and the key may change."""
    parties.resource.replies["/agent"] = Reply(200, (("content-type", "text/plain"),), b"abcdef", drip=0.01)
    agent = parties.agent(shared_folder=tmp_path / "shared")
    async with agent.client() as http, http.stream("GET", "https://api.example/agent") as response:
        pieces = response.aiter_raw()
        assert await anext(pieces)
        assert [path.suffix for path in (tmp_path / "shared").glob("*.lock")] == []
        first = agent.thumbprint
        parties.clock.advance(HOUR)
        assert (await http.get(ORDERS)).status_code == 200
        assert agent.thumbprint != first
        async for _ in pieces:
            pass
