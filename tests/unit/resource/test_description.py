"""What a resource says of itself (draft-11 §11.2.4, §11.2.5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aauthkit.protocol.headers import parse_resource_links
from aauthkit.protocol.metadata import read_metadata
from aauthkit.resource import Need, Resource
from aauthkit.serving import Request
from tests.plugins.resources import API, SCOPES, World

pytestmark = pytest.mark.anyio


async def document(resource: Resource, path: str = "/.well-known/aauth-resource.json") -> dict[str, Any]:
    answer = await resource.answer(Request("GET", path, ()))
    assert answer.status == 200, answer
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "public, max-age=300"
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def test_the_metadata_says_what_the_draft_wants_of_it() -> None:
    """RS-03, F52: a resource that takes person tokens publishes where they are revoked."""
    world = World()
    resource = world.resource(
        name="Orders",
        description="**Orders** of people.",
        documentation_uri="https://docs.example/orders",
        metadata={"tos_uri": "https://api.example/tos", "logo_uri": "https://api.example/logo.png"},
        signature_window=30,
        additional_signature_components=["content-digest", "content-type", "date"],
    )
    resource.grant("orders.read")
    assert await document(resource) == {
        "issuer": API,
        "jwks_uri": f"{API}/.well-known/jwks.json",
        "access_mode": "auth-token",
        "accept_signature_algs": ["Ed25519", "ES256"],
        "scope_descriptions": SCOPES,
        "signature_window": 30,
        "additional_signature_components": ["content-digest", "content-type", "date"],
        "revocation_endpoint": f"{API}/aauth/revoke",
        "name": "Orders",
        "description": "**Orders** of people.",
        "documentation_uri": "https://docs.example/orders",
        "tos_uri": "https://api.example/tos",
        "logo_uri": "https://api.example/logo.png",
    }


async def test_every_url_in_our_metadata_answers() -> None:
    """F92, §11.2: and the key there is the one that signs."""
    world = World()
    resource = world.resource()
    found = await document(resource)
    metadata = read_metadata("aauth-resource.json", API, found)
    assert metadata.jwks_uri is not None
    keys = await document(resource, metadata.jwks_uri.removeprefix(API))
    assert keys == {"keys": [{**world.resource_key.public.jwk, "use": "sig"}]}
    assert keys["keys"][0]["alg"] == "Ed25519"


async def test_a_resource_that_issues_nothing_publishes_no_keys() -> None:
    """§11.2.4."""
    resource = World().resource(keys=None, scopes={})
    found = await document(resource)
    assert found.keys() == {"issuer", "access_mode", "accept_signature_algs"}
    assert (await resource.answer(Request("GET", "/.well-known/jwks.json", ()))).status == 404


@pytest.mark.parametrize(
    ("stated", "mode"),
    [
        ([], "agent-token"),
        ([Resource.key], "agent-token"),
        ([Resource.open, Resource.agent], "agent-token"),
        ([Resource.agent, Resource.person], "person-token"),
        ([lambda r: r.grant("orders.read"), Resource.person, Resource.agent], "auth-token"),
    ],
)
async def test_the_access_mode_is_the_most_that_any_route_needs(
    stated: list[Callable[[Resource], Need]], mode: str
) -> None:
    """RS-01, RS-13."""
    resource = World().resource()
    for state in stated:
        state(resource)
    assert (await document(resource))["access_mode"] == mode


async def test_the_access_mode_can_be_declared() -> None:
    resource = World().resource(access_mode="agent-token")
    resource.grant("orders.read")
    assert (await document(resource))["access_mode"] == "agent-token"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "https://evil.example/keys"},
        {"access_mode": "open"},
        {"scope_descriptions": {}},
        {"logo_uri": "http://api.example/logo.png"},
        {"revocation_endpoint": "https://api.example/revoke?x=1"},
    ],
)
def test_metadata_that_would_mislead_is_refused_at_start(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"states|scheme|query"):
        World().resource(metadata=metadata)


@pytest.mark.parametrize("scopes", [{"orders read": "x"}, {"": "x"}, {"orders.read": " "}, {'"': "x"}])
def test_a_scope_is_one_value_with_words(scopes: dict[str, str]) -> None:
    """§11.10."""
    with pytest.raises(ValueError, match="scope"):
        World().resource(scopes=scopes)


def test_a_further_component_is_one_that_requests_have() -> None:
    for name in ("@status", "Date", "@query-param", ""):
        with pytest.raises(ValueError, match="cannot be asked to cover"):
            World().resource(additional_signature_components=[name])


async def test_the_link_names_the_metadata() -> None:
    resource = World().resource(documentation_uri=f"{API}/docs")
    name, value = resource.resource_link()
    assert name == "link"
    assert parse_resource_links([value]) == (API,)
    assert resource.description.is_documentation("/docs")
    assert not resource.description.is_documentation("/docs/more")
    assert [resource.description.carries_link(status, "/x") for status in (200, 401, 402, 403, 404)] == [
        False,
        True,
        True,
        True,
        False,
    ]


async def test_only_the_resources_own_paths_are_served() -> None:
    """§11.12: what is not served yet, such as an authorization or revocation endpoint, is not advertised."""
    resource = World().resource()
    assert resource.serves("/.well-known/aauth-resource.json")
    assert not resource.serves("/orders")
    found = await document(resource)
    assert not {"authorization_endpoint", "revocation_endpoint"} & found.keys()
    answer = await resource.answer(Request("POST", "/.well-known/aauth-resource.json", ()))
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
