"""What a provider says of itself is in form, and every URL in it answers (F92; draft-11 §11.2.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aauthkit.discovery import Discovery
from aauthkit.egress import Http
from aauthkit.protocol.metadata import read_metadata
from aauthkit.protocol.tokens import AGENT_DWK
from aauthkit.provider import AgentProvider
from aauthkit.serving import Request
from aauthkit.store import Database, open_database
from tests.plugins.enrolling import PROVIDER, PROVIDER_KEY, Applicant, body_of, start_provider, target_of
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    opened = await open_database("sqlite://:memory:")
    yield opened
    await opened.close()


async def fetch(provider: AgentProvider, url: str) -> Any:
    return await provider.answer(Request("GET", target_of(url), (("host", "agents.example"),)))


async def test_f92_every_url_in_the_metadata_answers(database: Database) -> None:
    """F92."""
    clock = Clock(NOW)
    provider = await start_provider(database, clock, name="Example Agents")
    answer = await fetch(provider, f"{PROVIDER}/.well-known/aauth-agent.json")
    metadata = read_metadata(AGENT_DWK, PROVIDER, body_of(answer))
    assert metadata.text("name") == "Example Agents"
    assert metadata.strings("accept_signature_algs") == ("Ed25519", "ES256")
    assert metadata.strings("enrollment_evidence_types") == ("person",)
    jwks = body_of(await fetch(provider, str(metadata.jwks_uri)))
    assert [key["kid"] for key in jwks["keys"]] == [PROVIDER_KEY.kid]
    assert not any("d" in key for key in jwks["keys"])
    asker = Applicant(provider, clock)
    for name in ("enrollment_nonce_endpoint", "enrollment_endpoint", "refresh_endpoint"):
        url = metadata.endpoint(name)
        assert url is not None
        answer = await asker.send(asker.signed("POST", target_of(url), body=b"{}"))
        assert answer.status in (200, 400, 401)
    for cached in ("/.well-known/aauth-agent.json", "/.well-known/jwks.json"):
        assert "max-age" in str((await fetch(provider, PROVIDER + cached)).header("cache-control"))


async def test_callbacks_stand_in_the_metadata_as_they_are_configured(database: Database) -> None:
    """draft-11 §11.2.1: localhost only where it is allowed."""
    plain = body_of(await fetch(await start_provider(database), f"{PROVIDER}/.well-known/aauth-agent.json"))
    assert "callback_endpoint" not in plain
    assert plain["localhost_callback_allowed"] is False
    provider = await start_provider(
        database, callback_endpoint="https://agents.example/back", localhost_callback_allowed=True
    )
    document = body_of(await fetch(provider, f"{PROVIDER}/.well-known/aauth-agent.json"))
    assert document["callback_endpoint"] == "https://agents.example/back"
    assert document["localhost_callback_allowed"] is True


@pytest.mark.parametrize("callback", ["http://agents.example/back", "https://agents.example/back#x", "back"])
async def test_a_callback_that_is_no_endpoint_is_refused_at_start(database: Database, callback: str) -> None:
    with pytest.raises(ValueError, match=r"URL|https|fragment"):
        await start_provider(database, callback_endpoint=callback)


async def test_roles_of_the_same_process_find_its_keys_without_a_fetch(database: Database) -> None:
    async with Http() as http:
        discovery = Discovery(http)
        provider = await start_provider(database, discovery=discovery)
        key = await discovery.key(PROVIDER, AGENT_DWK, PROVIDER_KEY.kid)
        assert key.same_key(PROVIDER_KEY.public)
        await provider.close()


async def test_a_path_that_is_not_served_is_404_and_a_wrong_method_405(database: Database) -> None:
    provider = await start_provider(database)
    assert (await fetch(provider, f"{PROVIDER}/admin")).status == 404
    answer = await fetch(provider, f"{PROVIDER}/enrollment")
    assert (answer.status, answer.header("allow")) == (405, "POST")
