"""An agent that meets a peer of an older draft says so by name in its error; so it does with the id in a peer's log."""

from __future__ import annotations

import pytest

from aauthkit.agent import ChallengeRefused, RequestRefused, SignatureRefused, Unreachable
from tests.plugins.simulators import OpenClient, Parties, json_body, problem
from tests.plugins.tls import Reply

pytestmark = pytest.mark.anyio

AGENT_URL = "https://api.example/agent"
PERSON_URL = "https://api.example/person"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (("agent-auth", "httpsig; identity=?1"), "this speaks a draft of 2025: it answers with Agent-Auth"),
        (
            ("aauth", "require=identity"),
            "this speaks an early draft (-00, or before): it answers with AAuth: require=…",
        ),
    ],
)
async def test_a_resource_that_asks_in_an_older_form_is_named(
    parties: Parties, open_client: OpenClient, field: tuple[str, str], said: str
) -> None:
    parties.resource.script["/agent"] = [Reply(401, (field,))] * 3
    with pytest.raises(ChallengeRefused) as raised:
        await open_client(parties.agent()).get(AGENT_URL)
    assert said in str(raised.value)
    assert parties.resource.count("/agent") == 1


async def test_a_person_server_that_answers_in_an_older_form_is_named(
    parties: Parties, open_client: OpenClient
) -> None:
    parties.ps.script["/person_token_endpoint"] = [json_body({"error": "invalid_agent_token"}, status=400)]
    with pytest.raises(RequestRefused, match="this speaks -10 of the protocol: the error invalid_agent_token"):
        await open_client(parties.agent()).get(PERSON_URL)


async def test_a_person_server_with_older_metadata_is_named(parties: Parties, open_client: OpenClient) -> None:
    metadata = dict(parties.ps.metadata)
    metadata["token_endpoint"] = metadata.pop("auth_token_endpoint")
    parties.ps.metadata = metadata
    with pytest.raises(Unreachable, match="this speaks -10 of the protocol: its metadata has token_endpoint"):
        await open_client(parties.agent()).get(PERSON_URL)


async def test_the_id_in_a_peers_log_is_told(parties: Parties, open_client: OpenClient) -> None:
    fields = (
        ("signature-error", "error=invalid_signature"),
        ("x-correlation-id", "0f8fad5b-d9cb-469f-a165-70867728950e"),
    )
    parties.resource.script["/agent"] = [Reply(401, fields)] * 9
    with pytest.raises(SignatureRefused, match="in their log: 0f8fad5b-d9cb-469f-a165-70867728950e"):
        await open_client(parties.agent()).get(AGENT_URL)


async def test_an_id_that_is_none_and_a_refusal_of_today_are_not_embellished(
    parties: Parties, open_client: OpenClient
) -> None:
    reply = problem("denied")
    parties.ps.script["/person_token_endpoint"] = [
        Reply(reply.status, (*reply.headers, ("x-correlation-id", "\x1b[31m; rm -rf /")), reply.body)
    ]
    with pytest.raises(RequestRefused) as raised:
        await open_client(parties.agent()).get(PERSON_URL)
    assert "log" not in str(raised.value) and "speaks" not in str(raised.value)
