"""Deferred delivery: a call is held, runs once with the first auth token that suffices, and its result is kept.

draft-11 §6.5.1, §13.2; RS-36.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from aauthkit.callers import Grant
from aauthkit.serving import Request
from aauthkit.store import Database
from tests.plugins.holding import ORDER, Shop
from tests.plugins.remembering import error_of, path_of
from tests.plugins.resources import API, ask, asked, requirement, resource_token
from tests.plugins.signing import NOW, Signer, new_key

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


async def test_a_call_is_held_and_runs_when_its_auth_token_comes(shop: Shop) -> None:
    """§6.5.1: 202 with a resource token; the first poll with the auth token gets the invocation's own answer."""
    answer = await shop.order(path="/orders?urgent=1;a%2Fb")
    assert answer.status == 202
    assert answer.header("cache-control") == "no-store"
    assert answer.header("retry-after") == "5"
    assert json.loads(answer.body) == {"status": "pending"}
    assert answer.header("signature-error") is None
    assert resource_token(answer).scope == {"orders.place"}
    assert not shop.orders
    done = await shop.poll(path_of(answer), shop.grant())
    assert (done.status, done.body, done.header("x-order")) == (201, b'{"ordered":true}', "1")
    (line, body, caller), *rest = shop.orders
    assert (line, body, rest) == ("POST /orders?urgent=1;a%2Fb", ORDER, [])
    assert isinstance(caller, Grant)


async def test_the_route_gets_the_fields_and_not_the_old_signature(shop: Shop) -> None:
    pending = path_of(
        await ask(shop.app, shop.person().sign("POST", f"{API}/orders", body=ORDER, headers=[("x-note", "gift")]))
    )
    await shop.poll(pending, shop.grant())
    (headers,) = shop.headers
    assert headers["x-note"] == "gift"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(ORDER))
    assert not {"signature", "signature-input", "signature-key"} & headers.keys()


async def test_no_token_is_kept_in_the_records(shop: Shop) -> None:
    """F87."""
    signer = shop.person()
    await shop.held(signer)
    rows = await shop.database.fetch_all("SELECT * FROM resource_held")
    token = signer.signature_key.partition('jwt="')[2].rstrip('"')
    assert token.count(".") == 2
    kept = json.dumps([dict(row) for row in rows])
    assert not [part for part in token.split(".") if part in kept]


async def test_whoever_has_no_person_token_is_challenged_as_ever(shop: Shop) -> None:
    """§6.7: nothing is held for an agent whose person nobody vouched for."""
    for answer in (await shop.order(shop.world.agent()), await ask(shop.app, shop.world.unsigned("POST"))):
        assert (answer.status, asked(answer)) == (401, "person-token")
    assert not await shop.database.fetch_all("SELECT id FROM resource_held")


async def test_an_auth_token_that_suffices_is_served_directly(shop: Shop) -> None:
    assert (await shop.order(shop.grant())).status == 201


async def test_another_route_keeps_the_401(shop: Shop) -> None:
    """RS-36: which delivery is the route's choice."""
    shop.need = shop.resource.grant("orders.place")
    assert (await shop.order()).status == 401


async def test_a_step_up_is_held_too_and_its_old_token_ends_nothing(shop: Shop) -> None:
    """§6.5: the token that was challenged is what the agent still has while it waits."""
    lacking = shop.grant("orders.read", jti="held-1", account="work")
    answer = await shop.order(lacking)
    token = resource_token(answer)
    assert (token.presented_jti, token.account, token.scope) == ("held-1", "work", {"orders.read", "orders.place"})
    pending = path_of(answer)
    assert (await shop.poll(pending, lacking)).status == 202
    assert (await shop.poll(pending, shop.grant("orders.read orders.place", account="work"))).status == 201


# Once, and once only.


async def test_the_same_auth_token_again_is_answered_from_the_result(shop: Shop) -> None:
    """§6.5.1: a response can be lost in transit; it is not run twice."""
    pending, signer = await shop.held(), shop.grant()
    answers = [await shop.poll(pending, signer) for _ in range(3)]
    assert [(a.status, a.body, a.header("x-order")) for a in answers] == [(201, b'{"ordered":true}', "1")] * 3
    assert len(shop.orders) == 1


async def test_the_result_is_kept_until_the_token_ends_then_gone(shop: Shop) -> None:
    """§13.2: answered from the record until the retention ends, and 410 after; its content is dropped."""
    pending, signer = await shop.held(), shop.grant(exp=NOW + 100)
    await shop.poll(pending, signer)
    shop.clock.now += 99
    assert (await shop.poll(pending, signer)).status == 201
    shop.clock.now += 1
    assert (await shop.poll(pending, shop.grant())).status == 410
    assert (await shop.poll(pending, shop.person())).status == 410
    await shop.held()
    kept = await shop.database.fetch_all("SELECT result FROM resource_held WHERE state = 'ended'")
    assert [row["result"] for row in kept] == [None]
    assert len(shop.orders) == 1


async def test_another_auth_token_after_the_end_runs_nothing(shop: Shop) -> None:
    """§6.5.1: completion consumes the record, which is keyed by the token's `jti`."""
    pending = await shop.held()
    await shop.poll(pending, shop.grant())
    for signer in (shop.grant(), shop.person()):
        assert (await shop.poll(pending, signer)).status == 410
    assert len(shop.orders) == 1


async def test_parallel_polls_wait_while_it_runs(shop: Shop) -> None:
    """Must be refused: twice at once. One runs it, the others get 202."""
    shop.gate = asyncio.Event()
    pending, signer = await shop.held(), shop.grant()
    running = asyncio.create_task(shop.poll(pending, signer))
    while not shop.orders:
        await asyncio.sleep(0.01)
    others = [await shop.poll(pending, each) for each in (signer, shop.grant(), shop.person())]
    assert [answer.status for answer in others] == [202, 202, 202]
    assert all(requirement(answer) is None for answer in others)
    shop.gate.set()
    assert (await running).status == 201
    assert (await shop.poll(pending, signer)).status == 201
    assert len(shop.orders) == 1


async def test_many_polls_at_the_same_moment_run_it_once(shop: Shop) -> None:
    pending, signer = await shop.held(), shop.grant()
    answers = await asyncio.gather(*(shop.poll(pending, signer) for _ in range(12)))
    assert {answer.status for answer in answers} <= {201, 202}
    assert [answer.status for answer in answers].count(201) >= 1
    assert len(shop.orders) == 1


async def test_two_replicas_run_it_once(shop: Shop) -> None:
    second = Shop(shop.database, shop.world, shop.clock)
    pending, signer = await shop.held(), shop.grant()
    await asyncio.gather(*(each.poll(pending, signer) for each in (shop, second) * 5))
    assert len(shop.orders) + len(second.orders) == 1
    assert (await second.poll(pending, signer)).status == 201


async def test_it_goes_on_when_the_poll_is_cut_off(shop: Shop) -> None:
    """The connection that started it is not what it lives by."""
    shop.gate = asyncio.Event()
    pending, signer = await shop.held(), shop.grant()
    running = asyncio.create_task(shop.poll(pending, signer))
    while not shop.orders:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    shop.gate.set()
    while (answer := await shop.poll(pending, signer)).status == 202:
        await asyncio.sleep(0.01)
    assert answer.status == 201
    assert len(shop.orders) == 1


async def test_two_equal_calls_are_two_calls(shop: Shop) -> None:
    """An order placed twice is two orders: calls are held apart."""
    first, second = await shop.held(), await shop.held()
    assert first != second
    await shop.poll(first, shop.grant())
    await shop.poll(second, shop.grant())
    assert len(shop.orders) == 2


# Whose poll counts.


async def test_polls_count_only_from_its_key_and_its_person(shop: Shop) -> None:
    """Must be refused: another key, another person, another person server's; 404 to all of them, nothing runs."""
    pending = await shop.held()
    other = new_key()
    strangers = [
        Signer.token(other, shop.world.ps.auth_token(other.public, API, "orders.place")),
        shop.grant(sub="p-2"),
        shop.person(sub="p-2"),
    ]
    for signer in strangers:
        for method in ("GET", "DELETE"):
            assert (await shop.poll(pending, signer, method)).status == 404
    agent = await shop.poll(pending, shop.world.agent())
    assert (agent.status, asked(agent)) == (401, "person-token")
    unsigned = await ask(shop.app, Request("GET", pending, ()))
    assert (unsigned.status, unsigned.header("signature-error")) == (401, "error=invalid_signature")
    assert not shop.orders
    assert (await shop.poll(pending, shop.grant())).status == 201


async def test_a_stolen_auth_token_runs_nothing(shop: Shop) -> None:
    """F45."""
    pending = await shop.held()
    stolen = Signer(new_key(), shop.grant().signature_key)
    answer = await shop.poll(pending, stolen)
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")
    assert not shop.orders


async def test_a_revoked_auth_token_runs_nothing(database: Database) -> None:
    shop = Shop(database, is_revoked=lambda _iss, jti: jti == "gone")
    pending = await shop.held()
    answer = await shop.poll(pending, shop.grant(jti="gone"))
    assert (answer.status, answer.header("signature-error"), asked(answer)) == (
        401,
        "error=revoked_jwt",
        "person-token",
    )
    assert not shop.orders


@pytest.mark.parametrize("scope", ["orders.read", "orders.placeall", None])
async def test_too_little_scope_ends_it(shop: Shop, scope: str | None) -> None:
    """Must be refused: 403 `denied`, then 410; a better token comes too late."""
    pending = await shop.held()
    signer = Signer.token(
        shop.world.key, shop.world.ps.auth_token(shop.world.key.public, API, scope, now=int(shop.clock.now))
    )
    answer = await shop.poll(pending, signer)
    assert (answer.status, error_of(answer), answer.header("signature-error")) == (403, "denied", None)
    assert (await shop.poll(pending, shop.grant())).status == 410
    assert not shop.orders


async def test_a_grant_for_another_account_ends_it(shop: Shop) -> None:
    """§11.11."""
    pending = path_of(await shop.order(shop.grant("orders.read", account="work")))
    answer = await shop.poll(pending, shop.grant("orders.read orders.place", account="home"))
    assert (answer.status, error_of(answer)) == (403, "denied")
    assert not shop.orders


async def test_a_caller_without_an_account_here_ends_it(database: Database) -> None:
    shop = Shop(database, account=lambda caller: None)
    pending = await shop.held()
    answer = await shop.poll(pending, shop.grant())
    assert (answer.status, error_of(answer)) == (403, "access_denied")
    assert (await shop.poll(pending, shop.grant())).status == 410
    assert not shop.orders


# Time.


async def test_a_poll_gets_a_fresh_resource_token_once_the_last_has_lapsed(shop: Shop) -> None:
    """§6.5.1: not before; it names the token that the poll presented."""
    pending = await shop.held()
    shop.clock.now += 299
    assert requirement(await shop.poll(pending, shop.person())) is None
    shop.clock.now += 1
    fresh = resource_token(await shop.poll(pending, shop.person(jti="second")))
    assert (fresh.presented_jti, fresh.scope) == ("second", {"orders.place"})
    assert fresh.exp == int(shop.clock.now) + 300
    assert requirement(await shop.poll(pending, shop.person(jti="second"))) is None
    assert (await shop.poll(pending, shop.grant())).status == 201


async def test_a_call_that_nothing_comes_for_expires(shop: Shop) -> None:
    """§11.9.4: 408 once, then 410; nothing runs."""
    pending = await shop.held()
    shop.clock.now += 4 * 3600
    answer = await shop.poll(pending, shop.grant())
    assert (answer.status, error_of(answer)) == (408, "expired")
    assert (await shop.poll(pending, shop.grant())).status == 410
    assert not shop.orders


async def test_an_old_record_is_dropped(shop: Shop) -> None:
    pending = await shop.held()
    shop.clock.now += 4 * 3600 + 24 * 3600 + 1
    await shop.held()
    assert (await shop.poll(pending, shop.person())).status == 404


async def test_its_agent_withdraws_it(shop: Shop) -> None:
    pending = await shop.held()
    assert (await shop.poll(pending, shop.person(), "DELETE")).status == 204
    assert (await shop.poll(pending, shop.grant())).status == 410
    assert (await shop.poll(pending, shop.person(), "DELETE")).status == 410
    assert not shop.orders


async def test_a_call_is_held_over_a_restart(shop: Shop) -> None:
    """F85: and its result too."""
    pending, signer = await shop.held(), shop.grant()
    shop.start()
    assert (await shop.poll(pending, signer)).status == 201
    shop.start()
    assert (await shop.poll(pending, signer)).status == 201
    assert len(shop.orders) == 1
