"""One trace over everybody who takes part in a call, and nothing secret in it (F87)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from aauthkit.agent import Denied, Pending
from aauthkit.protocol.headers import interaction_required
from tests.plugins.simulators import OpenClient, Parties, grant, problem
from tests.plugins.tracing import Tracing
from tests.plugins.world import API, PROVIDER, PS, World

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
AGENT_URL = "https://api.example/agent"
PERSON_URL = "https://api.example/person"
PAGE = interaction_required("https://person.example/i/1", "A1B2-C3D4")
THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def attributes(span: Any) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_one_trace_spans_a_three_party_call(quick_real_world: World, tracing: Tracing, sync: bool) -> None:
    """Agent, resource (401), person server (202, polls) and resource again: one trace id, over real TLS."""
    planner = await quick_real_world.enrol("planner", sync=sync)
    ada = await quick_real_world.person("Ada")
    enrolling = tracing.traces
    call = planner.get("/orders")
    errand = await planner.errand()
    await ada.comes(errand)
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    assert (await call).status == 200
    (trace_id,) = {span.context.trace_id for span in tracing.named("aauth.call") if span.context is not None}
    assert trace_id not in enrolling
    ours = [span for span in tracing.spans if span.context is not None and span.context.trace_id == trace_id]
    roots = [span for span in ours if span.parent is None]
    assert [span.name for span in roots] == ["aauth.call"]
    at_resource = [attributes(span) for span in ours if span.name == "aauth.verify"]
    assert [one.get("aauth.caller") for one in at_resource if one.get("aauth.resource") == API][-1] == "Grant"
    assert "auth-token" in [attributes(span)["aauth.requirement"] for span in ours if span.name == "aauth.challenge"]
    served = {attributes(span)["http.route"] for span in ours if span.name == "aauth.serve"}
    assert {"/refresh", "/person", "/token", "/pending/{pending}"} <= served
    tokens = [attributes(span)["aauth.token"] for span in ours if span.name == "aauth.token_request"]
    assert {"agent", "person", "auth"} == set(tokens)
    polls = [span for span in ours if span.name == "aauth.poll"]
    assert polls
    assert all(tracing.above(span)[:2] == ["aauth.wait", "aauth.token_request"] for span in polls)
    # Nothing is told but names of servers and words of the drafts.
    words = {API, PS, PROVIDER, "_OTHER", "GET", "POST", "agent", "person", "auth", "grant", "Agent", "Person", "Grant"}
    words |= {"agent-token", "person-token", "auth-token", "interaction", "approval"}
    for name, value in tracing.told:
        assert isinstance(value, int) or value in words or name == "http.route", (name, value)
    assert errand.code not in repr(tracing.told)


async def test_a_trace_that_the_program_began_goes_on_in_the_call(
    parties: Parties, open_client: OpenClient, tracing: Tracing
) -> None:
    """Also on the loop of a synchronous client; every request of the call carries it."""
    http = open_client(parties.agent())
    with tracing.provider.get_tracer("program").start_as_current_span("program") as span:
        assert (await http.get(ORDERS)).status == 200
    trace_id = f"{span.get_span_context().trace_id:032x}"
    sent = [
        one
        for party in (parties.provider, parties.ps, parties.resource)
        for one in party.requests
        if one.header("signature")
    ]
    assert len(sent) >= 5
    assert all(trace_id in (one.header("traceparent") or "") for one in sent)
    assert tracing.traces == {span.get_span_context().trace_id}


async def test_what_a_call_did_can_be_read_from_its_spans(
    parties: Parties, open_client: OpenClient, tracing: Tracing
) -> None:
    await open_client(parties.agent()).get(ORDERS)
    assert attributes(tracing.one("aauth.call")) == {
        "aauth.resource": parties.resource.iss,
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "aauth.level": "grant",
    }
    met = tracing.named("aauth.meet_challenge")
    assert [attributes(one).get("aauth.requirement") for one in met] == ["person-token", "auth-token"]
    asked = [(attributes(one)["aauth.token"], tracing.above(one)) for one in tracing.named("aauth.token_request")]
    assert asked == [
        ("agent", ["aauth.call"]),
        ("person", ["aauth.meet_challenge", "aauth.call"]),
        ("auth", ["aauth.meet_challenge", "aauth.call"]),
    ]


async def test_a_callers_own_traceparent_is_not_touched(parties: Parties, open_client: OpenClient) -> None:
    await open_client(parties.agent()).get(AGENT_URL, headers={"traceparent": THEIRS, "tracestate": "v=1"})
    (served, _) = parties.resource.served[-1]
    fields = [(name, value) for name, value in served.headers if name.startswith("trace")]
    assert fields == [("traceparent", THEIRS), ("tracestate", "v=1")]


async def test_the_trace_is_not_among_what_is_signed(
    parties: Parties, open_client: OpenClient, tracing: Tracing
) -> None:
    """Whoever stands on the way may put its own span between (W3C Trace Context §3.2)."""
    await open_client(parties.agent()).get(AGENT_URL)
    (served, _) = parties.resource.served[-1]
    assert served.header("traceparent")
    assert "trace" not in (served.header("signature-input") or "")


async def test_without_a_tracer_nothing_is_added(parties: Parties, open_client: OpenClient) -> None:
    await open_client(parties.agent()).get(ORDERS)
    assert not [one for party in (parties.ps, parties.resource) for one in party.requests if one.header("traceparent")]


async def test_a_held_request_is_a_wait_with_its_polls(
    parties: Parties, open_client: OpenClient, tracing: Tracing
) -> None:
    """§6.5.1: the wait ends with the call, and the challenge in between is met below the call."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=True)
    await open_client(parties.agent()).get(ORDERS)
    wait = tracing.one("aauth.wait")
    assert attributes(wait) == {"aauth.on": parties.resource.iss, "aauth.requirement": "auth-token"}
    assert tracing.above(wait) == ["aauth.call"]
    assert tracing.above(tracing.one("aauth.poll")) == ["aauth.wait", "aauth.call"]
    assert attributes(tracing.one("aauth.poll"))["http.response.status_code"] == 200


async def test_a_call_that_fails_says_by_what(parties: Parties, open_client: OpenClient, tracing: Tracing) -> None:
    parties.ps.script["/auth_token_endpoint"] = [problem("denied", "Ada said no, for reasons")]
    with pytest.raises(Denied):
        await open_client(parties.agent()).get(ORDERS)
    call = tracing.one("aauth.call")
    assert call.status.status_code is StatusCode.ERROR
    assert (attributes(call)["error.type"], attributes(call)["aauth.error"]) == ("Denied", "denied")
    assert "Ada" not in repr(tracing.told)


async def test_a_call_that_waits_no_longer_has_not_failed(
    parties: Parties, open_client: OpenClient, tracing: Tracing
) -> None:
    parties.ps.waits, parties.ps.requirement = 99, PAGE
    http = open_client(parties.agent(), wait=0)
    with pytest.raises(Pending):
        await http.get(PERSON_URL)
    call = tracing.one("aauth.call")
    assert attributes(call)["error.type"] == "Pending"
    assert call.status.status_code is StatusCode.UNSET


async def test_a_token_that_another_call_obtains_is_a_span_of_each(parties: Parties, tracing: Tracing) -> None:
    """What a call waited for is in its own trace, also where another one asked."""
    async with parties.agent().client() as http:
        await asyncio.gather(http.get(PERSON_URL), http.get(PERSON_URL))
    asked = [one for one in tracing.named("aauth.token_request") if attributes(one)["aauth.token"] == "person"]
    assert len(asked) == 2
    assert len({one.context.trace_id for one in asked if one.context is not None}) == 2
    assert parties.ps.person_requests == 1
