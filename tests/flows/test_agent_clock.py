"""An agent whose clock is wrong: it compares `Date` and signs once more (draft-11 §11.3.4, §11.12.5, AG-60)."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from aauthkit.agent import AgentTokenUnavailable, ClockSkew, SignatureRefused
from tests.plugins.simulators import OpenClient, Parties, json_body
from tests.plugins.tls import Reply

pytestmark = pytest.mark.anyio

AGENT_URL = "https://api.example/agent"
ORDERS = "https://api.example/orders"


def refused(code: str, date: float | None) -> Reply:
    dated = (("date", formatdate(date, usegmt=True)),) if date is not None else ()
    return json_body({}, ("signature-error", f"error={code}"), *dated, status=401)


@pytest.mark.parametrize("off", [7200, 90, -90], ids=["two hours ahead", "ahead", "behind"])
async def test_ag_60_a_clock_that_is_off_is_made_good_from_the_date(
    parties: Parties, open_client: OpenClient, off: int
) -> None:
    """AG-60: the whole way, over provider, resource and person server; the second call is one request."""
    agent = parties.agent(clock=lambda: parties.clock() + off)
    http = open_client(agent)
    for _ in range(2 if off < 0 else 0):  # what is asked for with POST is not asked twice, but remembered
        with pytest.raises((AgentTokenUnavailable, SignatureRefused)):
            await http.get(ORDERS)
    assert (await http.get(ORDERS)).status == 200
    refusals = len([one for one in parties.resource.requests if one.target == "/orders"])
    assert (await http.get(ORDERS)).status == 200
    assert parties.resource.count("/orders") == refusals + 1
    assert parties.provider.refreshes <= 3


async def test_ag_60_an_unsafe_request_is_signed_again_when_ahead_only(
    parties: Parties, open_client: OpenClient
) -> None:
    """AG-60: one that was refused as `invalid_signature` may be a replay of itself. The next call knows better."""
    parties.resource.verifier.window = 600
    http = open_client(parties.agent())
    parties.resource.script["/agent"] = [refused("clock_skew", parties.clock() - 100)]
    assert (await http.post(AGENT_URL, content=b"x")).status == 200
    parties.resource.script["/agent"] = [refused("invalid_signature", parties.clock() + 100)]
    with pytest.raises(SignatureRefused):
        await http.post(AGENT_URL, content=b"x")
    assert parties.resource.count("/agent") == 3


async def test_an_offset_belongs_to_one_origin(parties: Parties, open_client: OpenClient) -> None:
    other = await parties.another_resource("other.example")
    parties.resource.verifier.clock = lambda: parties.clock() + 500
    parties.resource.script["/agent"] = [refused("invalid_signature", parties.clock() + 500)]
    http = open_client(parties.agent())
    assert (await http.get(AGENT_URL)).status == 200
    assert (await http.get("https://other.example/agent")).status == 200
    assert other.count("/agent") == 1


@pytest.mark.parametrize(
    ("code", "date"),
    [
        ("clock_skew", None),
        ("clock_skew", 0),
        ("clock_skew", 500),
        ("invalid_signature", None),
        ("invalid_signature", 0),
        ("invalid_signature", -500),
        ("invalid_signature", 10**10),
        ("invalid_key", 500),
    ],
)
async def test_a_date_that_explains_nothing_changes_nothing(
    parties: Parties, open_client: OpenClient, code: str, date: int | None
) -> None:
    """AG-60: a token whose issuer is ahead has the same skew whoever asks; it is not refreshed and not retried."""
    at = None if date is None else parties.clock() + date
    parties.resource.script["/agent"] = [refused(code, at)] * 3
    with pytest.raises(SignatureRefused) as raised:
        await open_client(parties.agent()).get(AGENT_URL)
    assert isinstance(raised.value, ClockSkew) is (code == "clock_skew")
    assert parties.resource.count("/agent") == 1
    assert parties.provider.refreshes == 1


async def test_a_time_that_did_not_help_is_forgotten(parties: Parties, open_client: OpenClient) -> None:
    """Signed again once and no more; the next call is signed at this machine's own time."""
    parties.resource.script["/agent"] = [refused("clock_skew", parties.clock() - 500)] * 2
    http = open_client(parties.agent())
    with pytest.raises(ClockSkew):
        await http.get(AGENT_URL)
    assert parties.resource.count("/agent") == 2
    assert (await http.get(AGENT_URL)).status == 200


async def test_an_unsafe_request_to_the_person_server_is_not_repeated_when_behind(
    parties: Parties, open_client: OpenClient
) -> None:
    parties.ps.script["/person_token_endpoint"] = [refused("invalid_signature", parties.clock() + 500)]
    with pytest.raises(SignatureRefused):
        await open_client(parties.agent()).get("https://api.example/person")
    assert parties.ps.person_requests == 1


async def test_an_unsafe_request_to_the_person_server_is_repeated_when_ahead(
    parties: Parties, open_client: OpenClient
) -> None:
    parties.ps.verifier.window = 600
    parties.ps.clock = lambda: parties.clock() - 500  # type: ignore[assignment]
    parties.ps.script["/person_token_endpoint"] = [refused("clock_skew", parties.clock() - 500)]
    assert (await open_client(parties.agent()).get("https://api.example/person")).status == 200
    assert parties.ps.person_requests == 2
