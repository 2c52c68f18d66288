"""Several processes of one agent, for real: they share its key and its tokens, and ask for each once (§7.1, §7.9.1)."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from aauthkit.protocol.headers import interaction_required
from tests.plugins.fleet import fleet_of
from tests.plugins.simulators import Parties, deferred, grant
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
PERSON_URL = "https://api.example/person"
PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")


def requests(parties: Parties) -> tuple[int, int, int]:
    """Token requests at the provider and at both endpoints of the person server."""
    return (parties.provider.refreshes, parties.ps.person_requests, parties.ps.auth_requests)


def keys(parties: Parties) -> list[str]:
    """The keys that signed what the resource saw, each once, in order."""
    return list(dict.fromkeys(verified.key.thumbprint for verified in parties.resource.seen))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_f42_processes_that_share_a_store_make_one_request_for_each_token(
    parties: Parties, tmp_path: Path
) -> None:
    """F41, F42, AG-70: without a token, and when all of them meet an expired one at once; the key changes for all."""
    async with fleet_of(parties, tmp_path, 4) as fleet:
        for said in await fleet.all(ORDERS, calls=5):
            assert said["outcomes"] == [200] * 5
        assert requests(parties) == (1, 1, 1)
        (first,) = keys(parties)
        parties.clock.advance(3600)
        heard = await fleet.all(ORDERS, calls=5)
        assert [said["outcomes"] for said in heard] == [[200] * 5] * 4
        assert requests(parties) == (2, 2, 2)
        _, second = keys(parties)
        assert {said["key"] for said in heard} == {second} != {first}


async def test_what_is_shared_is_the_owners_alone(parties: Parties, tmp_path: Path) -> None:
    """F88: files of mode 0600 in a folder of mode 0700; no lock is left."""
    async with fleet_of(parties, tmp_path, 2) as fleet:
        await fleet.all(ORDERS)
    shared = tmp_path / "shared"
    assert stat.S_IMODE(shared.stat().st_mode) == 0o700
    kinds = sorted(file.suffix for file in shared.iterdir())
    assert kinds == [".key", ".token", ".token", ".token"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in shared.iterdir()} == {0o600}


async def test_a_process_that_comes_later_asks_for_nothing(parties: Parties, tmp_path: Path) -> None:
    """Also after all others have ended."""
    for _ in range(2):
        async with fleet_of(parties, tmp_path, 1) as fleet:
            ((said),) = await fleet.all(ORDERS)
            assert said["outcomes"] == [200]
    assert requests(parties) == (1, 1, 1)
    assert len(keys(parties)) == 1


async def test_what_is_broken_counts_as_not_there(parties: Parties, tmp_path: Path) -> None:
    """Nothing fails; each token is asked for once more, and the store is whole again."""
    async with fleet_of(parties, tmp_path, 1) as fleet:
        await fleet.all(ORDERS)
    broken = [b"", b"{", b'{"token": 7}', b"\xff\xfe"]
    for file, content in zip((tmp_path / "shared").iterdir(), broken, strict=True):
        file.write_bytes(content)
    async with fleet_of(parties, tmp_path, 2) as fleet:
        assert [said["outcomes"] for said in await fleet.all(ORDERS)] == [[200]] * 2
    assert requests(parties) == (2, 2, 2)


def patient(parties: Parties) -> None:
    """Whoever decides takes for ever; each poll is a second after the last."""
    parties.ps.waits, parties.ps.requirement = 10**6, PAGE
    honest = parties.ps._respond

    def respond(request: Received) -> Reply:
        reply = honest(request)
        fields = tuple(one for one in reply.headers if one[0] != "retry-after")
        return reply if reply.status != 202 else Reply(202, (*fields, ("retry-after", "1")), reply.body)

    parties.ps._respond = respond


async def test_a_process_that_dies_while_it_waits_leaves_the_wait_to_the_others(
    parties: Parties, tmp_path: Path
) -> None:
    """F39, F42: a killed process holds no lock; the next goes on with the same request, nobody is shown it."""
    patient(parties)
    async with fleet_of(parties, tmp_path, 3) as fleet:
        first, *others = fleet.members
        order = {"url": PERSON_URL, "calls": 2, "now": parties.clock()}
        await first.tell(**order)
        await until(lambda: parties.ps.count("/pending/0") > 0)
        for other in others:
            await other.tell(**order)
        await until(lambda: parties.resource.count("/person") == 6)
        polls = parties.ps.count("/pending/0")
        await first.killed()
        await until(lambda: parties.ps.count("/pending/0") > polls + 1)
        parties.ps.open["/pending/0"].polls = 0
        heard = [await other.hear() for other in others]
        assert [said["outcomes"] for said in heard] == [[200, 200]] * 2
        assert [said["shown"] for said in heard] == [0, 0]
    assert requests(parties)[1] == 1


async def test_a_process_that_waits_no_longer_leaves_the_wait_to_the_others(parties: Parties, tmp_path: Path) -> None:
    """§11.8.3: one at a time polls; past its own `wait` each call is `Pending`, also where another process asked."""
    patient(parties)
    async with fleet_of(parties, tmp_path, 2) as fleet:
        first, second = fleet.members
        await first.tell(url=PERSON_URL, calls=1, now=parties.clock())
        await until(lambda: parties.ps.count("/pending/0") > 0)
        heard = await second.order(url=PERSON_URL, calls=1, now=parties.clock(), wait=0.2)
        assert (heard["outcomes"], heard["shown"]) == (["Pending"], 0)
        parties.ps.open["/pending/0"].polls = 0
        assert (await first.hear())["outcomes"] == [200]
    assert requests(parties)[1] == 1


async def test_a_held_request_that_another_process_looks_after_is_not_taken_over(
    parties: Parties, tmp_path: Path
) -> None:
    """§6.5.1, AG-26: two processes order a chair each; one that died has its order gone on with."""
    async with fleet_of(parties, tmp_path, 3) as fleet:
        first, second, third = fleet.members
        await first.order(url=PERSON_URL, calls=1, now=parties.clock())
        parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
        busy = deferred("/pending/0", retry_after=1)
        parties.resource.script["/pending/0"] = [busy] * 1000
        order = {"url": ORDERS, "calls": 1, "method": "POST", "body": "chair", "now": parties.clock()}
        await first.tell(**order)
        await until(lambda: parties.resource.count("/pending/0") > 0)
        assert (await second.order(**order))["outcomes"] == [200]
        assert parties.resource.count("/orders") == 2
        await first.killed()
        parties.resource.script["/pending/0"] = []
        assert (await third.order(**order))["outcomes"] == [200]
        assert parties.resource.count("/orders") == 2
    assert parties.resource.held["/pending/0"].runs == 1
    assert [request.body for request, _ in parties.resource.served if request.method == "POST"] == [b"chair"] * 2


async def test_a_refused_token_is_dropped_for_all_processes(parties: Parties, tmp_path: Path) -> None:
    """AG-60: what a resource calls revoked is not found in the store by the next."""
    async with fleet_of(parties, tmp_path, 2) as fleet:
        first, second = fleet.members
        await first.order(url=PERSON_URL, calls=1, now=parties.clock())
        refused = Reply(
            401, (("signature-error", "error=revoked_jwt"), ("aauth-requirement", "requirement=person-token"))
        )
        parties.resource.script["/person"] = [refused]
        assert (await first.order(url=PERSON_URL, calls=1, now=parties.clock()))["outcomes"] == [200]
        assert (await second.order(url=PERSON_URL, calls=1, now=parties.clock()))["outcomes"] == [200]
    assert requests(parties) == (1, 2, 0)


async def test_what_is_shared_names_the_key_and_the_end_of_each_token(parties: Parties, tmp_path: Path) -> None:
    """§7.1: a token is found under its own key only."""
    async with fleet_of(parties, tmp_path, 1) as fleet:
        ((said),) = await fleet.all(ORDERS)
    for file in (tmp_path / "shared").glob("*.token"):
        document = json.loads(file.read_bytes())
        assert (document["jkt"], document["exp"]) == (said["key"], int(parties.clock()) + 3600)
