"""What an agent does not sign or send, and what it does with a refused signature; both kinds of client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aauthkit.agent import (
    BodyTooLarge,
    ClockSkew,
    NoResourceIdentifier,
    SignatureRefused,
    Unsignable,
)
from aauthkit.protocol.headers import AGENT_TOKEN_REQUIRED, PERSON_TOKEN_REQUIRED
from aauthkit.protocol.jose import SigningKey
from tests.plugins.signing import new_key
from tests.plugins.simulators import (
    AGENT,
    OpenClient,
    Parties,
    Pieces,
    challenge,
    json_body,
)

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
AGENT_URL = "https://api.example/agent"


# Signatures: never unsigned, never an unsafe request twice.


class Broken(SigningKey):
    """A key whose signing fails."""

    def sign(self, message: bytes) -> bytes:
        raise ValueError("the key is gone")


async def test_f35_when_signing_fails_nothing_is_sent(parties: Parties, open_client: OpenClient) -> None:
    """F35, §11.3.3."""
    agent = parties.agent()
    http = open_client(agent)
    await http.get(AGENT_URL)
    before = len(parties.resource.requests)
    held = agent._standing.identity._held
    assert held is not None
    object.__setattr__(held.credential, "key", Broken(held.key.alg, held.key.secret))
    with pytest.raises(Unsignable):
        await http.get(AGENT_URL)
    assert len(parties.resource.requests) == before


async def test_f35_what_cannot_be_covered_is_not_sent(parties: Parties, open_client: OpenClient) -> None:
    """F35: a covered field that is not printable ASCII, and one that the request does not have."""
    http = open_client(parties.agent())
    with pytest.raises(Unsignable):
        await http.get(AGENT_URL, headers={"authorization": b"AAuth \xe9"})
    assert parties.resource.count("/agent") == 0
    parties.resource.script["/agent"] = [
        json_body({}, ("signature-error", 'error=invalid_input, required_input=("x-not-there")'), status=401)
    ]
    with pytest.raises(Unsignable):
        await http.get(AGENT_URL)
    assert parties.resource.count("/agent") == 1


@pytest.mark.parametrize("code", ["invalid_signature", "invalid_request"])
async def test_an_unsafe_request_is_never_sent_again_after_a_bad_signature(
    parties: Parties, open_client: OpenClient, code: str
) -> None:
    """House rule: the first may have been taken for a replay of itself. With a requirement beside it, too."""
    for requirement in (PERSON_TOKEN_REQUIRED, AGENT_TOKEN_REQUIRED):
        parties.resource.script["/agent"] = [challenge(requirement, ("signature-error", f"error={code}"))] * 5
        before = parties.resource.count("/agent")
        with pytest.raises(SignatureRefused):
            await open_client(parties.agent()).post(AGENT_URL, content=b"x")
        assert parties.resource.count("/agent") == before + 1


@pytest.mark.parametrize(
    "code",
    ["invalid_signature", "invalid_jwt", "unknown_key", "invalid_key", "unsupported_scheme", "issuer_mismatch", "x"],
)
async def test_a_refused_signature_is_an_error(parties: Parties, open_client: OpenClient, code: str) -> None:
    """§11.3.4, §11.9.1."""
    refused = json_body({}, ("signature-error", f"error={code}"), status=401)
    parties.resource.script["/agent"] = [refused] * 5
    with pytest.raises(SignatureRefused) as raised:
        await open_client(parties.agent()).get(AGENT_URL)
    assert raised.value.code == code
    assert parties.resource.count("/agent") == 1


async def test_a_clock_ahead_is_an_error_of_its_own(parties: Parties, open_client: OpenClient) -> None:
    """AG-60: a fresh token from the same issuer has the same skew."""
    parties.resource.script["/agent"] = [
        challenge(AGENT_TOKEN_REQUIRED, ("signature-error", "error=clock_skew")),
    ]
    with pytest.raises(ClockSkew):
        await open_client(parties.agent()).get(AGENT_URL)
    assert parties.resource.count("/agent") == 1


async def test_a_coverage_that_is_asked_for_again_and_again_ends_the_call(
    parties: Parties, open_client: OpenClient
) -> None:
    refused = json_body({}, ("signature-error", 'error=invalid_input, required_input=("accept")'), status=401)
    parties.resource.script["/agent"] = [refused] * 9
    with pytest.raises(SignatureRefused):
        await open_client(parties.agent()).get(AGENT_URL)
    assert parties.resource.count("/agent") == 2


async def test_a_component_that_cannot_be_covered_spoils_no_other_call(
    parties: Parties, open_client: OpenClient
) -> None:
    """Only what helped is remembered."""
    refused = json_body({}, ("signature-error", 'error=invalid_input, required_input=("@status")'), status=401)
    parties.resource.script["/agent"] = [refused]
    http = open_client(parties.agent())
    with pytest.raises(Unsignable):
        await http.get(AGENT_URL)
    assert (await http.get(AGENT_URL)).status == 200


async def test_a_refused_signature_names_the_window_that_the_resource_declares(
    parties: Parties, open_client: OpenClient
) -> None:
    """§11.2.4 signature_window."""
    parties.resource.metadata["signature_window"] = 5
    parties.resource.script["/agent"] = [json_body({}, ("signature-error", "error=invalid_signature"), status=401)]
    with pytest.raises(SignatureRefused, match="within 5 s"):
        await open_client(parties.agent()).get(AGENT_URL)


async def test_signature_fields_of_the_caller_are_left_out(parties: Parties, open_client: OpenClient) -> None:
    """Only the agent writes them."""
    foreign = {"signature": "a=:AA==:", "signature-input": "a=()", "signature-key": "a=hwk"}
    assert (await open_client(parties.agent()).get(AGENT_URL, headers=foreign)).status == 200


async def test_a_host_field_for_another_host_is_not_sent(parties: Parties, open_client: OpenClient) -> None:
    """§11.3.3.1: the signature is for the host of the URL."""
    with pytest.raises(Unsignable):
        await open_client(parties.agent()).get(AGENT_URL, headers={"host": "evil.example"})
    assert parties.resource.count("/agent") == 0


# Where nothing is sent.


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/agent",
        "https://api.example:8443/agent",
        "https://127.0.0.1/agent",
        "https://[::1]/agent",
        "https://api.example./agent",
        "http://api.localhost:8700/agent",
        "ftp://api.example/agent",
    ],
)
async def test_f30_a_url_without_a_resource_identifier_is_not_called(
    parties: Parties, open_client: OpenClient, url: str
) -> None:
    """F30, §11.1.1."""
    with pytest.raises(NoResourceIdentifier):
        await open_client(parties.agent()).get(url)
    assert parties.resource.requests == []
    assert parties.provider.requests == []


async def test_a_body_beyond_the_bound_is_refused_before_anything_is_sent(
    parties: Parties, open_client: OpenClient
) -> None:
    with pytest.raises(BodyTooLarge) as raised:
        await open_client(parties.agent(), spool=10).post(AGENT_URL, content=Pieces(b"123456", b"123456"))
    assert raised.value.limit == 10
    assert parties.resource.requests == []


async def test_a_redirect_takes_no_token_to_another_origin(parties: Parties, open_client: OpenClient) -> None:
    """The next hop starts from the unsigned original: what was presented here is not seen there."""
    other = await parties.another_resource("evil.example")
    other.needs["/steal"] = AGENT
    http = open_client(parties.agent(), follow_redirects=True)
    await http.get(ORDERS)
    parties.resource.script["/orders"] = [json_body({}, ("location", "https://evil.example/steal"), status=307)]
    await http.post(ORDERS, content=b"x")
    presented = {request.header("signature-key") for request in parties.resource.requests[3:]}
    (stolen,) = [request for request in other.requests if request.target == "/steal"]
    assert stolen.header("signature-key") not in presented
    assert other.seen[-1].caller.key.thumbprint == parties.resource.seen[-1].caller.key.thumbprint


async def test_a_challenge_at_one_resource_gets_no_token_of_another(parties: Parties, open_client: OpenClient) -> None:
    """A person token names one resource (§7.1)."""
    other = await parties.another_resource("evil.example")
    http = open_client(parties.agent())
    await http.get(ORDERS)
    await http.get("https://evil.example/orders")
    mine = {request.header("signature-key") for request in parties.resource.requests}
    theirs = {request.header("signature-key") for request in other.requests if request.target == "/orders"}
    agent_token_only = mine & theirs
    assert len(agent_token_only) == 1


@pytest.mark.parametrize("setting", ["mounts", "transport", "proxy", "verify", "cert", "trust_env", "http2", "limits"])
def test_f35_no_setting_lets_a_request_leave_past_the_signature(
    parties_offline: Callable[[], Any], setting: str
) -> None:
    """F35: a mount or a proxy would be another way out."""
    agent = parties_offline()
    for make in (agent.client, agent.sync_client):
        with pytest.raises(TypeError, match=setting):
            make(**{setting: None})


async def test_f35_a_proxy_in_the_environment_changes_nothing(
    parties: Parties, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F35."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await open_client(parties.agent()).get(AGENT_URL)).status == 200


@pytest.fixture
def parties_offline() -> Callable[[], Any]:
    """Makes an agent that can reach nobody."""
    from aauthkit.agent import Agent
    from aauthkit.egress import Egress

    return lambda: Agent(
        "aauth:planner@agents.example",
        provider="https://agents.example",
        person_server="https://person.example",
        durable=new_key(),
        egress=Egress(),
    )
