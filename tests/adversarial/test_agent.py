"""What an agent refuses: a resource or person server that lies, over real TLS; both kinds of client."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.agent import (
    AAuthError,
    ChallengeLoop,
    ChallengeRefused,
    NobodyToAsk,
    NoPersonServer,
    PaymentRequired,
    PendingRefused,
    RequestRefused,
    SignatureRefused,
    TokenRefused,
    Unreachable,
    UnsupportedRequirement,
)
from aauthkit.agent.errors import Abandoned, Denied, Expired, PendingGone, Revoked, UserUnreachable
from aauthkit.protocol.headers import AGENT_TOKEN_REQUIRED, PERSON_TOKEN_REQUIRED, Requirement, interaction_required
from tests.plugins.signing import new_key
from tests.plugins.simulators import (
    OpenClient,
    Parties,
    challenge,
    deferred,
    grant,
    json_body,
    problem,
)
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
AGENT_URL = "https://api.example/agent"
PERSON_URL = "https://api.example/person"


def authorized_requests(parties: Parties) -> int:
    """How often a resource token was carried to the person server."""
    return parties.ps.auth_requests


# F36: a resource token that is not in order is carried nowhere.

RESOURCE_LIES: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another key": {"agent_jkt": new_key().kid},
    "another person server": {"ps": "https://other.example"},
    "another person": {"sub": "p-2"},
    "another presented token": {"presented_jti": "somebody-elses"},
    "expired": {"exp": 1_799_999_999, "iat": 1_799_999_900},
    "forged": {"forged_by": new_key()},
    "unknown kid": {"header": {"kid": "nobody"}},
    "no kid": {"header": {"kid": None}},
    "another typ": {"typ": "aa-auth+jwt"},
    "another dwk": {"dwk": "aauth-person.json"},
    "a mission of its own": {"mission_s256": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
    "a tenant of its own": {"tenant": "acme"},
    "no agent_jkt": {"agent_jkt": None},
    "no aud": {"aud": None},
}


@pytest.mark.parametrize("lie", RESOURCE_LIES)
@pytest.mark.parametrize("held", [False, True], ids=["401", "202"])
async def test_f36_a_resource_token_that_is_not_in_order_is_carried_nowhere(
    parties: Parties, open_client: OpenClient, lie: str, held: bool
) -> None:
    """F36, §6.7.3, AG-22."""
    parties.resource.needs["/orders"] = grant("orders.read", deferred=held)
    parties.resource.resource_claims = dict(RESOURCE_LIES[lie])
    with pytest.raises(ChallengeRefused):
        await open_client(parties.agent()).get(ORDERS)
    assert authorized_requests(parties) == 0
    assert parties.resource.served == []


async def test_f36_nobodys_keys_are_fetched_for_a_resource_token_of_another(
    parties: Parties, open_client: OpenClient
) -> None:
    """F36: the issuer is compared before it is asked for its keys."""
    evil = await parties.another_resource("evil.example")
    parties.resource.resource_claims = {"iss": evil.iss}
    with pytest.raises(ChallengeRefused):
        await open_client(parties.agent()).get(ORDERS)
    assert evil.requests == []


async def test_f36_a_resource_token_without_a_person_token_is_carried_nowhere(
    parties: Parties, open_client: OpenClient
) -> None:
    """§6.5: the request presented neither a person nor an auth token."""
    parties.resource.script["/orders"] = [challenge(Requirement("auth-token", {"resource-token": "a.b.c"}))]
    with pytest.raises(ChallengeRefused, match="before it had seen a person token"):
        await open_client(parties.agent()).get(ORDERS)
    assert authorized_requests(parties) == 0


@pytest.mark.parametrize("params", [{}, {"resource-token": ""}, {"resource-token": 7}, {"resource-token": "x"}])
async def test_a_challenge_without_a_resource_token_is_refused(
    parties: Parties, open_client: OpenClient, params: dict[str, Any]
) -> None:
    """§6.5: the header MUST include it."""
    parties.resource.metadata["access_mode"] = "auth-token"
    parties.resource.script["/orders"] = [challenge(Requirement("auth-token", params))]
    with pytest.raises(ChallengeRefused):
        await open_client(parties.agent()).get(ORDERS)


async def test_a_challenge_that_cannot_be_read_is_refused(parties: Parties, open_client: OpenClient) -> None:
    """§11.6.1: a dictionary, each member once."""
    for header in ("requirement=agent-token, requirement=person-token", "=", "agent-token", '"x"'):
        parties.resource.script["/agent"] = [Reply(401, (("aauth-requirement", header),))]
        with pytest.raises(ChallengeRefused):
            await open_client(parties.agent()).get(AGENT_URL)


# F36: what the person server gives is looked at before it is used.

AUTH_LIES: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example"},
    "another audience": {"aud": "https://evil.example"},
    "another key": {"key": new_key().public},
    "another person": {"sub": "p-2"},
    "a wider scope": {"scope": "orders.read orders.place"},
    "another account": {"account": "somebody-elses"},
    "another person server": {"ps": "https://other.example"},
    "another role": {"dwk": "aauth-access.json"},
    "expired": {"exp": 1_799_999_999, "iat": 1_799_999_000},
    "a later end than the presented token": {"exp": 1_800_003_601, "iat": 1_800_000_060},
    "more than an hour": {"iat": 1_799_990_000},
    "forged": {"forged_by": new_key()},
    "no cnf": {"cnf": None},
    "a person token": {"typ": "aa-person+jwt"},
    "a mission": {"mission_s256": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
    "a tenant": {"tenant": "acme"},
}


@pytest.mark.parametrize("lie", AUTH_LIES)
async def test_f36_an_auth_token_that_is_not_what_was_asked_for_is_not_used(
    parties: Parties, open_client: OpenClient, lie: str
) -> None:
    """F36, §9.4.4, §9.1.3, AG-23."""
    parties.ps.auth_claims = dict(AUTH_LIES[lie])
    with pytest.raises(TokenRefused):
        await open_client(parties.agent()).get(ORDERS)
    assert parties.resource.served == []


PERSON_LIES: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example"},
    "another audience": {"aud": "https://evil.example"},
    "another key": {"key": new_key().public},
    "a scope": {"scope": "orders.read"},
    "expired": {"exp": 1_799_999_999, "iat": 1_799_999_000},
    "a later end than the agent token": {"exp": 1_800_003_601, "iat": 1_800_000_060},
    "forged": {"forged_by": new_key()},
    "an auth token": {"typ": "aa-auth+jwt"},
    "no cnf": {"cnf": None},
}


@pytest.mark.parametrize("lie", PERSON_LIES)
async def test_f36_a_person_token_that_is_not_what_was_asked_for_is_not_used(
    parties: Parties, open_client: OpenClient, lie: str
) -> None:
    """§7.1.2, §11.5.2."""
    parties.ps.person_claims = dict(PERSON_LIES[lie])
    with pytest.raises(TokenRefused):
        await open_client(parties.agent()).get(PERSON_URL)
    assert parties.resource.served == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"person_token": 7}', b"not json", b'{"person_token": "x"}'])
async def test_an_answer_without_a_token_is_refused(parties: Parties, open_client: OpenClient, body: bytes) -> None:
    parties.ps.script["/person_token_endpoint"] = [Reply(200, (("content-type", "application/json"),), body)]
    with pytest.raises(TokenRefused):
        await open_client(parties.agent()).get(PERSON_URL)


async def test_the_agent_token_is_looked_at_too(parties: Parties, open_client: OpenClient) -> None:
    """§5.3.3: another agent's, another person server's, one for another key."""
    for claims in ({"sub": "aauth:ceo@agents.example"}, {"ps": "https://other.example"}, {"exp": 1_799_999_999}):
        parties.provider.claims = claims
        with pytest.raises(AAuthError):
            await open_client(parties.agent()).get(AGENT_URL)
    assert parties.resource.served == []


# F37: nothing follows a pending URL to another origin.


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/pending/1",
        "https://user@person.example/pending/1",
        "https://person.example:444/p",
        "//evil.example/p",
    ],
)
async def test_f37_a_pending_url_elsewhere_ends_the_call_at_the_person_server(
    parties: Parties, open_client: OpenClient, location: str
) -> None:
    """F37, §11.8.2, §13.2."""
    evil = await parties.another_resource("evil.example")
    parties.ps.waits, parties.ps.location = 1, location
    with pytest.raises(PendingRefused):
        await open_client(parties.agent()).get(PERSON_URL)
    assert evil.requests == []


@pytest.mark.parametrize(
    "location", ["https://evil.example/p", "//evil.example/p", "https://api.example@evil.example/p"]
)
async def test_f37_a_pending_url_elsewhere_ends_the_call_at_the_resource(
    parties: Parties, open_client: OpenClient, location: str
) -> None:
    """F37: with and without a requirement."""
    evil = await parties.another_resource("evil.example")
    for requirement in (None, Requirement("approval")):
        parties.resource.script["/agent"] = [deferred(location, requirement)]
        with pytest.raises(PendingRefused):
            await open_client(parties.agent()).get(AGENT_URL)
    assert evil.requests == []


async def test_f37_a_pending_url_that_moves_elsewhere_later_ends_the_call(
    parties: Parties, open_client: OpenClient
) -> None:
    """F37: each 202 is looked at."""
    evil = await parties.another_resource("evil.example")
    parties.resource.script["/agent"] = [deferred("/pending/1")]
    parties.resource.script["/pending/1"] = [deferred("https://evil.example/pending/1")]
    with pytest.raises(PendingRefused):
        await open_client(parties.agent()).get(AGENT_URL)
    assert evil.requests == []


async def test_a_requirement_without_a_pending_url_ends_the_call(parties: Parties, open_client: OpenClient) -> None:
    """§11.8.2: Location is required."""
    parties.resource.script["/agent"] = [challenge(Requirement("approval"), status=202)]
    with pytest.raises(PendingRefused):
        await open_client(parties.agent()).get(AGENT_URL)


@pytest.mark.parametrize("location", ["/pending/a b", "/pending/\x7f", "/pending/é"])
async def test_a_pending_url_that_is_not_in_form_ends_the_call(
    parties: Parties, open_client: OpenClient, location: str
) -> None:
    parties.resource.script["/agent"] = [deferred(location)]
    with pytest.raises(PendingRefused):
        await open_client(parties.agent()).get(AGENT_URL)


# F43: an unknown requirement is never taken as satisfiable.


@pytest.mark.parametrize("value", ["clarification", "claims", "payment", "interaction", "approval", "magic"])
async def test_f43_an_unknown_requirement_is_an_error_with_401(
    parties: Parties, open_client: OpenClient, value: str
) -> None:
    """F43, §11.6.2."""
    parties.resource.script["/agent"] = [challenge(Requirement(value))]
    with pytest.raises(UnsupportedRequirement) as raised:
        await open_client(parties.agent()).get(AGENT_URL)
    assert (raised.value.value, raised.value.status) == (value, 401)
    assert parties.resource.count("/agent") == 1


@pytest.mark.parametrize("value", ["clarification", "claims", "agent-token", "person-token", "magic"])
async def test_f43_an_unknown_requirement_is_an_error_with_202(
    parties: Parties, open_client: OpenClient, value: str
) -> None:
    """F43: at the resource and at the person server; clarification is not among the capabilities."""
    parties.resource.script["/agent"] = [deferred("/pending/1", Requirement(value))]
    with pytest.raises(UnsupportedRequirement):
        await open_client(parties.agent()).get(AGENT_URL)
    parties.ps.waits, parties.ps.requirement = 1, Requirement(value)
    with pytest.raises(UnsupportedRequirement):
        await open_client(parties.agent()).get(PERSON_URL)
    assert parties.resource.served == []


async def test_402_is_an_error_of_its_own(parties: Parties, open_client: OpenClient) -> None:
    """§11.6."""
    parties.resource.script["/agent"] = [challenge(AGENT_TOKEN_REQUIRED, status=402)]
    with pytest.raises(PaymentRequired):
        await open_client(parties.agent()).get(AGENT_URL)


# Endless challenges.


@pytest.mark.parametrize("requirement", [AGENT_TOKEN_REQUIRED, PERSON_TOKEN_REQUIRED], ids=lambda r: r.value)
async def test_a_resource_that_asks_again_for_what_it_was_given_ends_the_call(
    parties: Parties, open_client: OpenClient, requirement: Requirement
) -> None:
    parties.resource.script["/agent"] = [challenge(requirement)] * 50
    with pytest.raises(ChallengeLoop):
        await open_client(parties.agent()).get(AGENT_URL)
    assert parties.resource.count("/agent") <= 2


async def test_a_resource_that_alternates_for_ever_ends_the_call(parties: Parties, open_client: OpenClient) -> None:
    parties.resource.script["/agent"] = [challenge(PERSON_TOKEN_REQUIRED), challenge(AGENT_TOKEN_REQUIRED)] * 20
    with pytest.raises(ChallengeLoop):
        await open_client(parties.agent()).get(AGENT_URL)
    assert parties.resource.count("/agent") <= 5


async def test_a_resource_that_wants_the_auth_token_it_was_shown_ends_the_call(
    parties: Parties, open_client: OpenClient
) -> None:
    """The same requirement, scope and account after a token that answered it."""

    def again(request: Received) -> Reply:
        caller = parties.resource.verify(request)
        token = parties.resource.resource_token(grant(), caller, scope="orders.read")
        return challenge(Requirement("auth-token", {"resource-token": token}))

    parties.resource.metadata["access_mode"] = "auth-token"
    parties.resource.script["/orders"] = [again] * 20
    with pytest.raises(ChallengeLoop):
        await open_client(parties.agent()).get(ORDERS)
    assert authorized_requests(parties) == 1


async def test_a_resource_that_always_wants_more_ends_the_call(parties: Parties, open_client: OpenClient) -> None:
    scopes = iter(f"s{number}" for number in range(50))

    def more(request: Received) -> Reply:
        caller = parties.resource.verify(request)
        token = parties.resource.resource_token(grant(next(scopes)), caller)
        return challenge(Requirement("auth-token", {"resource-token": token}))

    parties.resource.metadata["access_mode"] = "auth-token"
    parties.resource.script["/orders"] = [more] * 20
    with pytest.raises(ChallengeLoop):
        await open_client(parties.agent()).get(ORDERS)
    assert authorized_requests(parties) <= 4


# The person is not led astray.


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://person.example/i", "A1B2-C3D4"),
        ("https://person.example/i?next=evil", "A1B2-C3D4"),
        ("https://person.example/i#x", "A1B2-C3D4"),
        ("https://user@person.example/i", "A1B2-C3D4"),
        ("javascript:alert(1)", "A1B2-C3D4"),
        ("https://person.example/i\x1b[2J", "A1B2-C3D4"),
        ("https://person.example/i", "A1B2"),
        ("https://person.example/i", "A1B2&callback=x"),
        ("https://person.example/i", "U1B2-C3D4"),
    ],
)
async def test_an_interaction_that_is_not_in_form_is_shown_to_nobody(
    parties: Parties, open_client: OpenClient, url: str, code: str
) -> None:
    """§11.6.3, §11.6.3.1."""
    raw = ("aauth-requirement", f'requirement=interaction;url="{url}";code="{code}"')
    reply = deferred("/pending/1")
    parties.ps.script["/person_token_endpoint"] = [Reply(202, (*reply.headers, raw), reply.body)]
    with pytest.raises(AAuthError):
        await open_client(parties.agent()).get(PERSON_URL)
    assert parties.errands == []


async def test_a_server_that_opens_page_after_page_ends_the_call(parties: Parties, open_client: OpenClient) -> None:
    """House rule: bounded, so that no browser is filled with pages."""
    codes = iter(f"{number:08d}" for number in range(10_000, 20_000))

    def page(_request: Received) -> Reply:
        return deferred("/pending/1", interaction_required("https://person.example/i", next(codes)))

    parties.ps.script["/person_token_endpoint"] = [page]
    parties.ps.script["/pending/1"] = [page] * 100
    with pytest.raises(PendingRefused, match="pages"):
        await open_client(parties.agent()).get(PERSON_URL)
    assert len(parties.errands) == 16


async def test_f39_one_page_and_code_is_shown_once_whoever_waits(parties: Parties, open_client: OpenClient) -> None:
    """F39: also in another call."""
    page = interaction_required("https://person.example/i", "A1B2-C3D4")
    parties.ps.script["/person_token_endpoint"] = [deferred("/pending/1", page)] * 2
    parties.ps.script["/pending/1"] = [deferred("/pending/1", page), problem("abandoned")] * 2
    http = open_client(parties.agent())
    for _ in range(2):
        with pytest.raises(Abandoned):
            await http.get(PERSON_URL)
    assert len(parties.errands) == 1


async def test_an_agent_without_a_way_to_a_person_says_so(parties: Parties, open_client: OpenClient) -> None:
    """§11.7: it declares no capability, and what needs a person is an error."""
    page = interaction_required("https://person.example/i", "A1B2-C3D4")
    parties.ps.script["/person_token_endpoint"] = [deferred("/pending/1", page)]
    parties.resource.script["/person"] = [challenge(PERSON_TOKEN_REQUIRED)]
    with pytest.raises(NobodyToAsk):
        await open_client(parties.agent(person=None)).get(PERSON_URL)
    assert all(request.header("aauth-capabilities") is None for request in parties.resource.requests)
    assert all("capabilities" not in request.body.decode() for request in parties.ps.requests)


# What a person server or provider refuses.

REFUSALS: dict[str, tuple[Reply, type[RequestRefused]]] = {
    "denied": (problem("denied"), Denied),
    "abandoned": (problem("abandoned"), Abandoned),
    "expired": (problem("expired"), Expired),
    "revoked": (problem("revoked"), Revoked),
    "user_unreachable": (problem("user_unreachable"), UserUnreachable),
    "gone": (problem("gone"), PendingGone),
    "invalid_code": (problem("invalid_code"), PendingGone),
    "server_error": (problem("server_error"), RequestRefused),
    "invalid_request": (problem("invalid_request"), RequestRefused),
    "no body": (Reply(500, (), b""), RequestRefused),
    "html": (Reply(403, (("content-type", "text/html"),), b"<b>no</b>"), RequestRefused),
    "408 bare": (Reply(408, (), b""), Expired),
    "410 bare": (Reply(410, (), b""), PendingGone),
    "a redirect": (Reply(302, (("location", "https://evil.example/"),), b""), RequestRefused),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("url", [PERSON_URL, ORDERS])
async def test_what_the_person_server_refuses_is_a_typed_error(
    parties: Parties, open_client: OpenClient, name: str, url: str
) -> None:
    """§11.9.3, §11.9.4, AG-61, AG-62."""
    reply, kind = REFUSALS[name]
    endpoint = "/person_token_endpoint" if url == PERSON_URL else "/auth_token_endpoint"
    parties.ps.script[endpoint] = [reply] * 9
    with pytest.raises(RequestRefused) as raised:
        await open_client(parties.agent()).get(url)
    assert type(raised.value) is kind
    assert parties.ps.count(endpoint) == 1
    assert parties.resource.served == []


async def test_the_explanation_of_another_party_is_made_harmless(parties: Parties, open_client: OpenClient) -> None:
    """§13.3: bounded, on one line, with nothing that looks like a token; and not in the message."""
    detail = "line\nnext \x1b[2J eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl " + "x " * 5000
    parties.ps.script["/person_token_endpoint"] = [problem("denied", detail)]
    with pytest.raises(Denied) as raised:
        await open_client(parties.agent()).get(PERSON_URL)
    assert raised.value.detail.startswith("line next")
    assert "eyJ" not in raised.value.detail
    assert len(raised.value.detail) <= 300
    assert "next" not in str(raised.value)


async def test_an_agent_token_that_the_person_server_refuses_is_renewed_once(
    parties: Parties, open_client: OpenClient
) -> None:
    refused = json_body({}, ("signature-error", "error=expired_jwt"), status=401)
    parties.ps.script["/person_token_endpoint"] = [refused] * 9
    with pytest.raises(SignatureRefused) as raised:
        await open_client(parties.agent()).get(PERSON_URL)
    assert raised.value.code == "expired_jwt"
    assert parties.ps.person_requests == 2


async def test_parties_out_of_reach_are_typed_errors(parties: Parties, open_client: OpenClient) -> None:
    """The person server, and the provider."""
    http = open_client(parties.agent())
    await http.get(AGENT_URL)
    await parties.ps.stop()
    with pytest.raises(Unreachable):
        await http.get(PERSON_URL)
    await parties.provider.stop()
    with pytest.raises(AAuthError):
        await open_client(parties.agent()).get(AGENT_URL)


async def test_an_agent_that_acts_for_nobody_cannot_show_a_person(parties: Parties, open_client: OpenClient) -> None:
    """§6.4, §11.6.2, AG-12."""
    parties.provider.ps = None
    with pytest.raises(NoPersonServer):
        await open_client(parties.agent(person_server=None)).get(PERSON_URL)


async def test_a_deferred_answer_that_is_too_long_ends_the_call(parties: Parties, open_client: OpenClient) -> None:
    reply = deferred("/pending/1", Requirement("approval"), padding="x" * 100_000)
    parties.resource.script["/agent"] = [reply]
    with pytest.raises(PendingRefused, match="bytes"):
        await open_client(parties.agent()).get(AGENT_URL)
