"""Needs as values: what can be stated, and how two are joined."""

from __future__ import annotations

import pytest

from aauthkit.callers import Agent, Grant, Person, Pseudonym
from aauthkit.protocol.identifiers import InvalidIdentifier
from aauthkit.resource import NeedsConflict, Resource
from aauthkit.trust import ANY
from tests.plugins.resources import API, World


@pytest.fixture
def resource() -> Resource:
    return World().resource()


def test_equal_needs_are_one(resource: Resource) -> None:
    assert resource.grant("orders.read", "orders.place") == resource.grant("orders.place", "orders.read")
    assert len({resource.agent(), resource.agent(), resource.agent(digest=True)}) == 2


def test_optional_leaves_out_what_is_needed_anyway(resource: Resource) -> None:
    need = resource.grant("orders.read", optional=["orders.read", "orders.place"])
    assert (need.scope, need.optional) == ({"orders.read"}, {"orders.place"})


def test_a_scope_that_is_not_described_is_refused_when_it_is_stated(resource: Resource) -> None:
    """§11.10: a resource token only names scopes that the metadata describes."""
    with pytest.raises(ValueError, match=r"orders\.erase"):
        resource.grant("orders.read", optional=["orders.erase"])


def test_a_grant_of_nothing_is_refused(resource: Resource) -> None:
    with pytest.raises(ValueError, match="at least one scope"):
        resource.grant()
    assert resource.grant(optional=["orders.read"]).scope == frozenset()


def test_a_resource_without_keys_has_no_grants() -> None:
    with pytest.raises(ValueError, match="keys"):
        World().resource(keys=None).grant("orders.read")


@pytest.mark.parametrize("scheme", ["jkt-jwt", "x509", "cached", ""])
def test_a_scheme_that_has_no_place_at_a_resource_cannot_be_named(resource: Resource, scheme: str) -> None:
    """§11.3.2: `jkt-jwt` belongs to an agent provider's refresh alone."""
    with pytest.raises(ValueError, match="scheme"):
        resource.agent(schemes=[scheme])


def test_a_server_signs_as_a_role_that_there_is(resource: Resource) -> None:
    with pytest.raises(ValueError, match="roles"):
        resource.server("openid-configuration")


def test_a_component_that_no_request_can_cover_is_refused(resource: Resource) -> None:
    for name in ("@status", "@nonsense", "Content-Type", "x y", "@query-param"):
        with pytest.raises(ValueError, match="cannot be asked to cover"):
            resource.agent(components=[name])


def test_both_needs_is_what_both_serve(resource: Resource) -> None:
    read, place = resource.grant("orders.read"), resource.grant("orders.place", digest=True)
    both = read & place & resource.person(preflight=True)
    assert both.levels == ("grant",)
    assert both.scope == {"orders.read", "orders.place"}
    assert both.digest
    assert not both.preflight
    assert both.callers == (Grant,)
    for part in (read, place, resource.person(preflight=True)):
        assert both.includes(part)
    assert not both.includes(resource.person())
    assert not read.includes(place)


def test_an_open_need_adds_nothing_to_another(resource: Resource) -> None:
    assert resource.open() & resource.agent() == resource.agent() & resource.open() == resource.agent()
    assert (resource.open() & resource.open()).is_open


def test_the_same_need_twice_is_that_need(resource: Resource) -> None:
    assert resource.agent() & resource.agent() == resource.agent()


def test_needs_that_nobody_meets_together_are_refused(resource: Resource) -> None:
    """§C.1.6: a person or auth token carries no agent."""
    for other in (resource.person(), resource.grant("orders.read"), resource.key(), resource.server()):
        with pytest.raises(NeedsConflict, match="no caller is both"):
            resource.agent() & other


def test_needs_of_two_resources_are_not_joined(resource: Resource) -> None:
    other = World().resource("https://other.example")
    with pytest.raises(NeedsConflict, match="cannot belong to"):
        resource.agent() & other.agent()
    with pytest.raises(NeedsConflict, match="cannot belong to"):
        resource.agent() | other.agent()


def test_one_route_has_one_account_hook(resource: Resource) -> None:
    one, two = (lambda caller: caller), (lambda caller: caller)
    with pytest.raises(NeedsConflict, match="account hook"):
        resource.person(account=one) & resource.person(account=two)
    assert (resource.person(account=one) & resource.grant("orders.read")).account is one


def test_an_alternative_serves_the_callers_of_either(resource: Resource) -> None:
    need = resource.key() | resource.person(digest=True)
    assert need.callers == (Pseudonym, Person, Grant)
    assert need.schemes == ("hwk", "jwt")
    assert need.digest
    assert need.asks == "person"
    with pytest.raises(NeedsConflict, match="open"):
        resource.open() | resource.agent()
    with pytest.raises(NeedsConflict, match="different scope"):
        resource.grant("orders.read") | resource.grant("orders.place")


def test_joined_alternatives_keep_no_scheme_for_whom_there_is_no_challenge(resource: Resource) -> None:
    need = (resource.key() | resource.agent()) & (resource.key() | resource.server())
    assert (need.levels, need.schemes, need.asks) == (("key",), ("hwk",), None)
    need = (resource.key() | resource.agent()) & resource.agent()
    assert (need.schemes, need.asks, need.callers) == (("hwk", "jwt"), "agent", (Agent,))


def test_trust_has_no_default_and_any_is_written_out() -> None:
    """F20, F89, §13.7."""
    with pytest.raises(TypeError):
        Resource(API)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="not one string"):
        World().resource(person_servers="https://ps.example")
    with pytest.raises(InvalidIdentifier):
        World().resource(person_servers=["https://ps.example/"])
    assert World().resource(agent_providers=ANY, person_servers=lambda iss: iss.endswith(".example"))


@pytest.mark.parametrize("prefix", ["api", "/api/", "/", "/a?b", "/ä"])
def test_a_path_prefix_is_a_path(prefix: str) -> None:
    with pytest.raises(ValueError, match="path_prefix"):
        World().resource(path_prefix=prefix)


@pytest.mark.parametrize(
    "identifier", ["http://api.example", "https://api.example/", "https://API.example", "api.example"]
)
def test_a_resource_has_a_server_identifier(identifier: str) -> None:
    """F30, §11.1.1."""
    with pytest.raises(InvalidIdentifier):
        World().resource(identifier)
