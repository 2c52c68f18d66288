"""The account hook: who the verified caller is to the application (draft-11 §13.7)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aauthkit.callers import Caller, Grant, Person, PersonId
from aauthkit.protocol.messages import Answer, Refusal
from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.resource import Need, Resource
from tests.plugins.resources import World, requirement
from tests.plugins.signing import Signer

pytestmark = pytest.mark.anyio

URL = "https://api.example/orders"


@pytest.fixture
def world() -> World:
    return World()


async def refused(resource: Resource, signer: Signer, need: Need) -> Answer:
    with pytest.raises(Refusal) as caught:
        await resource.decide(signer.sign("GET", URL), need)
    return resource.answer_to(caught.value)


class Accounts:
    """People by their whole identifier; a new one gets an account on a miss."""

    def __init__(self) -> None:
        self.known: dict[PersonId, int] = {}

    async def __call__(self, caller: Caller) -> int:
        assert isinstance(caller, Person | Grant)
        return self.known.setdefault(caller.person, len(self.known) + 1)


async def test_a_person_is_known_by_issuer_person_server_and_sub(world: World) -> None:
    """§7.1.4, §13.7: a person token and an auth token of one person are one account."""
    accounts = Accounts()
    resource = world.resource(account=accounts)
    need = resource.person()
    first = await resource.decide(world.person().sign("GET", URL), need)
    assert first.account == 1
    again = await resource.decide(world.grant("orders.read").sign("GET", URL), need)
    assert again.account == 1
    other = await resource.decide(world.person(sub="p-2").sign("GET", URL), need)
    assert other.account == 2
    assert accounts.known.keys() == {
        PersonId("https://ps.example", "https://ps.example", "p-1"),
        PersonId("https://ps.example", "https://ps.example", "p-2"),
    }


async def test_a_plain_hook_runs_in_a_worker_thread(world: World) -> None:
    """F90: a look-up that blocks stalls nobody else."""
    where: list[threading.Thread] = []

    def look_up(_caller: Caller) -> str:
        where.append(threading.current_thread())
        return "me"

    resource = world.resource(account=look_up)
    admitted = await resource.decide(world.person().sign("GET", URL), resource.person())
    assert admitted.account == "me"
    assert where[0] is not threading.current_thread()


async def test_a_plain_hook_may_give_an_awaitable(world: World) -> None:
    async def later() -> str:
        return "me"

    resource = world.resource(account=lambda caller: later())
    assert (await resource.decide(world.person().sign("GET", URL), resource.person())).account == "me"


async def test_a_route_may_have_its_own_hook(world: World) -> None:
    resource = world.resource(account=lambda caller: "general")
    special = resource.person(account=lambda caller: "special")
    assert (await resource.decide(world.person().sign("GET", URL), special)).account == "special"
    assert (await resource.decide(world.person().sign("GET", URL), resource.person())).account == "general"


async def refuse_with_none(_caller: Caller) -> None:
    return None


async def refuse_with_problem(_caller: Caller) -> None:
    raise Problem("access_denied", "suspended")


@pytest.mark.parametrize("hook", [refuse_with_none, refuse_with_problem, lambda caller: None])
async def test_a_verified_caller_whom_the_application_refuses_is_403(world: World, hook: Any) -> None:
    """SK §5.3, §11.3.4: and no 403 carries Signature-Error, Accept-Signature-* or a requirement."""
    resource = world.resource(account=hook)
    answer = await refused(resource, world.person(), resource.person())
    assert answer.status == 403
    assert b'"error":"access_denied"' in answer.body
    assert answer.header("content-type") == "application/problem+json"
    assert not {"signature-error", "accept-signature-scheme", "accept-signature-alg"} & {n for n, _ in answer.headers}
    assert requirement(answer) is None
    assert answer.header("link") is not None


async def test_the_hook_is_not_asked_about_whom_the_route_does_not_serve(world: World) -> None:
    asked: list[Caller] = []
    resource = world.resource(account=asked.append)
    assert (await refused(resource, world.agent(), resource.person())).status == 401
    assert (await refused(resource, world.bare(), resource.person())).status == 401
    assert not asked


@pytest.mark.parametrize("error", [RuntimeError("database"), ValueError("bug"), SignatureFailure("invalid_jwt")])
async def test_a_fault_of_the_hook_is_never_reported_as_a_bad_token(world: World, error: Exception) -> None:
    """F91: the application's own fault passes as it is, for a 500; never 401."""

    async def hook(_caller: Caller) -> None:
        raise error

    resource = world.resource(account=hook)
    with pytest.raises((RuntimeError, ValueError)) as caught:
        await resource.decide(world.person().sign("GET", URL), resource.person())
    assert not isinstance(caught.value, Refusal)


async def test_a_fault_of_a_trust_function_is_never_reported_as_a_bad_token(world: World) -> None:
    """F91."""

    def broken(_iss: str) -> bool:
        raise RuntimeError("directory is down")

    resource = world.resource(person_servers=broken)
    with pytest.raises(RuntimeError, match="directory is down"):
        await resource.decide(world.person().sign("GET", URL), resource.person())


async def test_an_account_is_in_no_repr(world: World) -> None:
    """F87."""
    resource = world.resource(account=lambda caller: "secret-account")
    admitted = await resource.decide(world.person().sign("GET", URL), resource.person())
    assert "secret-account" not in repr(admitted)
    assert "eyJ" not in repr(admitted)
