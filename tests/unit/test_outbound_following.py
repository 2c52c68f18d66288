"""A pending URL followed to its end: pauses, late requirements, what is lost on the way (draft-11 §11.8.3, §11.8.4)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.egress import EgressError
from aauthkit.outbound import (
    LOST_PAUSES,
    Credential,
    OutboundError,
    Pending,
)
from aauthkit.protocol.headers import interaction_required
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.protocol.problems import Problem
from aauthkit.protocol.structured import parse_dictionary
from tests.plugins.signing import Issuer, new_key
from tests.unit.outgoing import CREDENTIAL, DONE, KEY, PENDING_URL, PS, TOKEN_URL, World, pending

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 402, 403, 404, 408, 410, 429, 500, 502, 503])
async def test_an_answer_that_is_no_202_is_the_end(status: int) -> None:
    """draft-11 §11.8.4: before a poll was made, 429 and 503 are the caller's too."""
    world = World()
    assert (await world.follow(Answer(status))).status == status
    assert (world.polled, world.slept, world.met) == ([], [], [])


@pytest.mark.parametrize("code", ["denied", "abandoned", "expired", "gone", "invalid_code", "server_error"])
async def test_a_terminal_answer_to_a_poll_ends_it(code: Any) -> None:
    end = Problem(code).answer()
    world = World(pending(), end)
    assert await world.follow(pending()) == end
    assert world.polled == [PENDING_URL] * 2


async def test_polls_are_signed_gets_that_ask_to_be_held() -> None:
    """draft-11 §11.8.3: GET, no body again, Prefer: wait."""
    world = World(pending(), DONE)
    assert await world.follow(pending()) == DONE
    for sent in world.http.sent:
        assert (sent.method, sent.url, sent.body, sent.value("prefer")) == ("GET", PENDING_URL, b"", "wait=45")
        sent.verified(KEY.public)
    assert world.http.sent[0].value("signature") != world.http.sent[1].value("signature")


async def test_f39_retry_after_is_kept_and_five_seconds_where_none_is_named() -> None:
    """F39; draft-11 §11.8.3: for as long as it takes."""
    world = World(*[pending(retry="30")] * 100, pending(retry=None), pending(retry="soon"), pending(retry="0"), DONE)
    assert await world.follow(pending(retry="2")) == DONE
    assert world.slept == [2, *[30] * 100, 5, 5, 0]


async def test_each_429_adds_five_seconds_to_the_interval_for_good() -> None:
    """draft-11 §11.8.3: also where the 429 itself names no pause, or a shorter one."""
    slow = Problem("slow_down").answer()
    world = World(slow, slow, pending(retry="30"), Problem("slow_down", retry_after=60).answer(), pending("/p"), DONE)
    assert await world.follow(pending(retry="30")) == DONE
    assert world.slept == [30, 35, 40, 40, 75, 15]


async def test_a_503_backs_off_as_it_says_and_goes_on() -> None:
    """draft-11 §11.8.4."""
    busy = [Problem("server_error", status=503, retry_after=pause).answer() for pause in (120, None, 0)]
    world = World(*busy, pending(retry="2"), DONE)
    assert await world.follow(pending(retry="2")) == DONE
    assert world.slept == [2, 120, 5, 1, 2]


async def test_f39_a_requirement_that_appears_late_is_seen_and_every_202_with_it() -> None:
    """F39."""
    late = interaction_required(f"{PS}/interaction/x", "A1B2-C3D4")
    answers = (pending("/pending/p1", late.header()), json_answer(202, {"status": "interacting"}, ("location", "/p")))
    world = World(*answers, DONE)
    await world.follow(pending("/pending/p1", ("aauth-requirement", "requirement=approval")))
    assert [met.requirement and met.requirement.value for met in world.met] == ["approval", "interaction", None]
    assert world.met[1].requirement == late
    assert world.met[2].status == "interacting"


async def test_an_unknown_requirement_is_handed_on_and_polled() -> None:
    """draft-11 §11.6.2: the agent may go on polling; what it makes of it is the caller's."""
    world = World(DONE)
    await world.follow(pending("/pending/p1", ("aauth-requirement", "requirement=dance;to=tango")))
    assert world.met[0].requirement is not None
    assert world.met[0].requirement.value == "dance"


async def test_a_caller_that_refuses_a_202_ends_the_call() -> None:
    world = World(DONE)

    async def refuse(_pending: Pending) -> None:
        raise OutboundError("not with me")

    with pytest.raises(OutboundError, match="not with me"):
        await world.outbound.follow(pending(), TOKEN_URL, CREDENTIAL, on_pending=refuse)
    assert world.polled == []


async def test_the_pending_url_may_move_on_its_origin() -> None:
    world = World(pending("/pending/p2"), pending(None), DONE)
    assert await world.follow(pending()) == DONE
    assert world.polled == [PENDING_URL, f"{PS}/pending/p2", f"{PS}/pending/p2"]


async def test_a_wait_that_was_interrupted_goes_on_from_its_pending_url() -> None:
    """A restarted agent polls once and follows what comes; the Location is the very URL it polled."""
    world = World(pending(retry="2"), Problem("slow_down").answer(), DONE)
    assert await world.follow(pending(retry="2"), PENDING_URL) == DONE
    assert world.slept == [2, 2, 7]


async def test_a_resource_that_defers_at_its_own_url_is_followed() -> None:
    world = World(DONE)
    assert await world.follow(pending(TOKEN_URL)) == DONE
    assert world.polled == [TOKEN_URL]


async def test_what_is_signed_with_is_asked_for_before_every_poll() -> None:
    """A token may be renewed while a person thinks."""
    fresh = new_key()
    credentials = [CREDENTIAL, Credential.from_token(fresh, Issuer(PS).agent_token(fresh.public))]

    async def current() -> Credential:
        return credentials.pop(0)

    world = World(pending(), DONE)
    await world.follow(pending(), credential=current)
    world.http.sent[0].verified(KEY.public)
    world.http.sent[1].verified(fresh.public)


async def test_a_poll_lost_on_the_way_is_made_again_signed_anew() -> None:
    lost = [EgressError("no connection", "unreachable"), EgressError("no answer", "timeout")]
    world = World(*lost, pending(), DONE)
    assert await world.follow(pending()) == DONE
    assert world.slept == [0, *LOST_PAUSES[:2], 0]
    assert len({sent.value("signature") for sent in world.http.sent}) == 4


async def test_polls_lost_again_and_again_end_the_call() -> None:
    world = World(*[EgressError("no connection", "unreachable")] * 20)
    with pytest.raises(EgressError):
        await world.follow(pending())
    assert world.slept == [0, *LOST_PAUSES]


@pytest.mark.parametrize("kind", ["refused", "too_large", "malformed"])
async def test_what_will_not_pass_is_not_tried_again(kind: Any) -> None:
    world = World(EgressError("no", kind), DONE)
    with pytest.raises(EgressError):
        await world.follow(pending())
    assert len(world.polled) == 1


async def test_f35_no_request_of_a_whole_exchange_is_unsigned() -> None:
    """F35."""
    world = World(pending(), Problem("slow_down").answer(), EgressError("lost", "timeout"), DONE)
    await world.follow(pending())
    for sent in world.http.sent:
        covered, _ = sent.verified(KEY.public)
        assert set(parse_dictionary([sent.value("signature-key") or ""])) == {"sig"}
        assert {"@method", "@authority", "@path", "signature-key"} <= set(covered)
