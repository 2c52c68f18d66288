"""The authorization endpoint: what an agent may ask for before it calls (draft-11 §6.6, §11.10, §11.11)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aauthkit.callers import Person
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.metadata import read_metadata
from aauthkit.protocol.tokens import RESOURCE_TYP, ResourceToken, read_token
from aauthkit.resource import Ask, SessionGrant
from aauthkit.serving import BytesBody, Request
from aauthkit.store import Database
from tests.plugins.remembering import Office, error_of, page_of
from tests.plugins.resources import API, World, ask, asked, requirement
from tests.plugins.signing import NOW, Signer, new_key

pytestmark = pytest.mark.anyio

AUTHORIZE = "/aauth/authorize"
S256 = "m" * 43


def holds(person: Person, account: str) -> bool:
    return (person.person.sub, account) == ("p-1", "work")


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database, options={"authorization": "auth-token", "accounts": holds})


def token_of(answer: Answer) -> ResourceToken:
    assert answer.status == 200, answer.body
    assert answer.header("cache-control") == "no-store"
    body = json.loads(answer.body)
    assert body.keys() == {"resource_token"}
    token = read_token(body["resource_token"], {RESOURCE_TYP})
    assert isinstance(token, ResourceToken)
    return token


async def test_a_person_token_gets_a_resource_token_for_just_what_it_asked(office: Office) -> None:
    """§6.6.2, RS-20, RS-31, RS-32: all that names the person is copied from the token that was presented."""
    signer = office.world.person(sub="p-1", jti="presented", mission_s256=S256, tenant="acme")
    token = token_of(await office.post(signer, AUTHORIZE, {"scope": "orders.read orders.place"}))
    assert (token.iss, token.aud, token.ps, token.sub) == (API, "https://ps.example", "https://ps.example", "p-1")
    assert (token.presented_jti, token.agent_jkt) == ("presented", office.world.key.kid)
    assert (token.mission_s256, token.tenant) == (S256, "acme")
    assert token.scope == {"orders.read", "orders.place"}
    assert token.account is None
    assert token.exp - token.iat == 300
    token.verify_signature(office.world.resource_key.public)


async def test_no_person_token_is_answered_by_asking_for_one(office: Office) -> None:
    """§6.4, §6.6, F51, RS-11, RS-20: neither an agent token nor an auth token does, and nothing is minted."""
    for signer in (office.world.agent(), office.world.grant("orders.read")):
        answer = await office.post(signer, AUTHORIZE, {"scope": "orders.read"})
        wanted = requirement(answer)
        assert wanted is not None
        assert (answer.status, wanted.value, dict(wanted.params)) == (401, "person-token", {})
        assert answer.header("signature-error") is None


async def test_an_unsigned_request_is_told_both(office: Office) -> None:
    answer = await ask(office.app, Request("POST", AUTHORIZE, (), BytesBody(b"{}")))
    assert (answer.status, answer.header("signature-error"), asked(answer)) == (
        401,
        "error=invalid_signature",
        "person-token",
    )


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"exp": NOW}, "expired_jwt"),
        ({"aud": "https://shop.example"}, "invalid_jwt"),
        ({"exp": NOW + 3601}, "invalid_jwt"),
        ({"typ": "JWT"}, "invalid_jwt"),
    ],
)
async def test_a_person_token_that_fails_is_a_signature_error_and_no_code_of_the_table(
    office: Office, claims: dict[str, Any], error: str
) -> None:
    """§6.6.3, RS-21."""
    signer = office.world.person(**claims)
    answer = await office.post(signer, AUTHORIZE, {"scope": "orders.read"})
    assert (answer.status, answer.header("signature-error")) == (401, f"error={error}")


async def test_a_stolen_person_token_gets_nothing(office: Office) -> None:
    """F49: signed with another key."""
    stolen = Signer(new_key(), office.world.person().signature_key)
    answer = await office.post(stolen, AUTHORIZE, {"scope": "orders.read"})
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": ""},
        {"scope": 7},
        {"scope": ["orders.read"]},
        {"scope": "orders.read  orders.place"},
        {"scope": 'orders."x'},
        {"scope": "orders.read", "account": ""},
        {"scope": "orders.read", "account": 7},
        {"scope": "orders.read", "account": "a\nb"},
        {"scope": "orders.read", "account": "a" * 256},
        b"{",
        b"[]",
        b'{"scope":"orders.read","scope":"orders.place"}',
    ],
)
async def test_missing_or_malformed_parameters_are_invalid_request(office: Office, body: object) -> None:
    """§6.6.3."""
    answer = await office.post(office.world.person(), AUTHORIZE, body)
    assert (answer.status, error_of(answer)) == (400, "invalid_request")
    assert answer.header("content-type") == "application/problem+json"


async def test_another_content_type_is_invalid_request(office: Office) -> None:
    answer = await office.post(office.world.person(), AUTHORIZE, b"scope=x", content_type="text/plain")
    assert (answer.status, error_of(answer)) == (400, "invalid_request")


@pytest.mark.parametrize("scope", ["orders.write", "orders.read nothing", "orders", "ORDERS.READ", "openid"])
async def test_a_scope_that_is_not_the_resources_is_invalid_scope(office: Office, scope: str) -> None:
    """F51, F70, §11.10: only what `scope_descriptions` lists, by whole values."""
    answer = await office.post(office.world.person(), AUTHORIZE, {"scope": scope})
    assert (answer.status, error_of(answer)) == (400, "invalid_scope")


async def test_an_account_the_person_holds_is_echoed(office: Office) -> None:
    """§11.11: the resource token carries it, and so the auth token will."""
    answer = await office.post(office.world.person(), AUTHORIZE, {"scope": "orders.read", "account": "work"})
    assert token_of(answer).account == "work"


async def test_an_account_of_somebody_else_is_invalid_account(office: Office) -> None:
    """§6.6.3, RS-21."""
    for signer, account in ((office.world.person(), "home"), (office.world.person(sub="p-2"), "work")):
        answer = await office.post(signer, AUTHORIZE, {"scope": "orders.read", "account": account})
        assert (answer.status, error_of(answer)) == (400, "invalid_account")


@pytest.mark.parametrize("answer", [None, 1, "yes", []])
async def test_only_true_says_that_an_account_is_held(database: Database, answer: object) -> None:
    async def hook(_person: Person, _account: str) -> Any:
        return answer

    office = Office(database, options={"authorization": "auth-token", "accounts": hook})
    refused = await office.post(office.world.person(), AUTHORIZE, {"scope": "orders.read", "account": "work"})
    assert error_of(refused) == "invalid_account"


async def test_where_nobody_can_say_who_holds_an_account_none_is_held(database: Database) -> None:
    office = Office(database, options={"authorization": "auth-token"})
    answer = await office.post(office.world.person(), AUTHORIZE, {"scope": "orders.read", "account": "work"})
    assert error_of(answer) == "invalid_account"


async def test_a_fault_of_the_accounts_hook_is_server_error(database: Database) -> None:
    """F91, §6.6.3: the caller learns nothing of it."""

    def hook(_person: Person, _account: str) -> bool:
        raise LookupError("no such table: accounts")

    office = Office(database, options={"authorization": "auth-token", "accounts": hook})
    answer = await office.post(office.world.person(), AUTHORIZE, {"scope": "orders.read", "account": "work"})
    assert (answer.status, error_of(answer)) == (500, "server_error")
    assert b"table" not in answer.body


async def test_the_body_is_covered_and_compared(office: Office) -> None:
    """F13, F51: what is asked for cannot be changed on the way."""
    uncovered = await office.post(office.world.person(), AUTHORIZE, {"scope": "orders.read"}, drop=("content-digest",))
    assert uncovered.status == 401
    assert "content-digest" in (uncovered.header("signature-error") or "")
    signed = office.world.person().sign("POST", API + AUTHORIZE, body=b'{"scope":"orders.read"}')
    more = b'{"scope":"orders.readall"}'
    swapped = await ask(office.app, Request("POST", AUTHORIZE, signed.headers, BytesBody(more)))
    assert (swapped.status, swapped.header("signature-error")) == (401, "error=invalid_signature")
    bare = office.world.person().sign("POST", API + AUTHORIZE)
    unannounced = await ask(office.app, Request("POST", AUTHORIZE, bare.headers, BytesBody(more)))
    assert (unannounced.status, (unannounced.header("signature-error") or "")[:19]) == (401, "error=invalid_input")


async def test_the_endpoint_is_published_where_it_is_enabled_and_answers(office: Office) -> None:
    """F92, §11.2.4."""
    document = office.resource.description.document()
    assert document["authorization_endpoint"] == API + AUTHORIZE
    assert document["revocation_endpoint"] == f"{API}/aauth/revoke"
    read_metadata("aauth-resource.json", API, document)
    plain = World().resource()
    assert "authorization_endpoint" not in plain.description.document()
    assert not plain.serves(AUTHORIZE)


async def test_the_endpoints_stand_where_the_resource_says_behind_a_stripped_prefix(database: Database) -> None:
    options = {"authorization": "auth-token", "path_prefix": "/v1", "endpoints": "/meta"}
    office = Office(database, options=options)
    assert office.resource.description.document()["authorization_endpoint"] == f"{API}/v1/meta/authorize"
    signed = office.world.person().sign("POST", f"{API}/v1/meta/authorize", body=b'{"scope":"orders.read"}')
    answer = await ask(office.app, Request("POST", "/meta/authorize", signed.headers, signed.body))
    assert token_of(answer).scope == {"orders.read"}


async def test_an_enabled_endpoint_without_keys_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="keys"):
        World().resource(keys=None, authorization="auth-token")
    with pytest.raises(ValueError, match="store"):
        World().resource(authorization="session-token")
    with pytest.raises(ValueError, match="authorization"):
        World().resource(authorization="yes")


# Where the resource authorizes by itself.


@pytest.fixture
def managing(database: Database) -> Office:
    return Office(database, options={"authorization": "session-token", "accounts": holds})


async def test_a_resource_that_authorizes_itself_sends_the_person_to_its_page(managing: Office) -> None:
    """§6.6.1: 202 as in §6.2, with the scope and account that were asked for."""
    answer = await managing.post(managing.world.person(), AUTHORIZE, {"scope": "orders.read", "account": "work"})
    path, code = page_of(answer)
    assert path.startswith("/aauth/interaction/")
    assert len(code) == 9
    assert answer.header("cache-control") == "no-store"


async def test_or_grants_it_at_once(database: Database) -> None:
    """§6.6.1: 200 with AAuth-Access, and a session that the person token's key may use."""
    office = Office(database, options={"authorization": "session-token"})

    def at_once(asking: Ask) -> SessionGrant | None:
        return SessionGrant("user-1", asking.scope) if isinstance(asking.caller, Person) else None

    office.resource.interaction(office.page, at_once=at_once)
    signer = office.world.person()
    answer = await office.post(signer, AUTHORIZE, {"scope": "orders.read"})
    assert answer.status == 200
    assert json.loads(answer.body) == {"status": "authorized", "scope": "orders.read"}
    token = answer.header("aauth-access")
    assert (await office.get(signer, "/read", token)).status == 200
    assert office.caller.subject == "user-1"


async def test_a_resource_that_authorizes_itself_takes_a_person_token_only_too(managing: Office) -> None:
    answer = await managing.post(managing.world.agent(), AUTHORIZE, {"scope": "orders.read"})
    assert (answer.status, asked(answer)) == (401, "person-token")
