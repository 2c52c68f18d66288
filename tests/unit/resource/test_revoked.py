"""Revocations at a resource, and of its own resource tokens (draft-11 §11.12)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, Http
from aauthkit.resource.asgi import AAuthMiddleware
from aauthkit.store import Database
from tests.plugins.remembering import Office, error_of
from tests.plugins.resources import API, World, ask, asked, resource_token
from tests.plugins.signing import NOW, Issuer, Signer, new_key
from tests.plugins.tls import Internet, IssuerServer, Reply

pytestmark = pytest.mark.anyio

REVOKE = "/aauth/revoke"
PERSON = "aauth-person.json"


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


def issuer(office: Office) -> Signer:
    return Signer.server(office.world.ps, PERSON)


async def revoke(office: Office, jti: str, exp: int = NOW + 3600) -> None:
    answer = await office.post(issuer(office), REVOKE, {"jti": jti, "exp": exp})
    assert answer.status == 200, answer.body


async def test_a_revocation_is_answered_at_once_with_nothing(office: Office) -> None:
    """RS-60, §11.12.3: 200, no body and no Content-Type; a token nobody knows is no different, and so is a repeat."""
    for jti in ("known-to-nobody", "known-to-nobody"):
        answer = await office.post(issuer(office), REVOKE, {"jti": jti, "exp": NOW + 60})
        assert (answer.status, answer.body, answer.header("content-type")) == (200, b"", None)


async def test_a_revoked_auth_token_begins_anew_and_never_gets_a_resource_token(office: Office) -> None:
    """Must be refused; RS-43, RS-61, §11.12.5: `revoked_jwt` with requirement=person-token, on every route."""
    signer = office.world.grant("orders.read", jti="gone")
    assert (await office.get(signer, "/g")).status == 200
    await revoke(office, "gone")
    for path in ("/g", "/p", "/a", "/s"):
        answer = await office.get(signer, path)
        assert (answer.status, answer.header("signature-error")) == (401, "error=revoked_jwt")
        assert asked(answer) == "person-token"
    lacking = office.world.grant("orders.place", jti="gone")
    assert asked(await office.get(lacking, "/g")) == "person-token"


async def test_a_revoked_person_token_never_gets_a_resource_token(database: Database) -> None:
    """RS-61, §11.12.4: neither by a challenge nor from the authorization endpoint."""
    office = Office(database, options={"authorization": "auth-token"})
    signer = office.world.person(jti="gone")
    assert resource_token(await office.get(signer, "/g")).presented_jti == "gone"
    await revoke(office, "gone")
    answers = [
        await office.get(signer, "/g"),
        await office.get(signer, "/p"),
        await office.post(signer, "/aauth/authorize", {"scope": "orders.read"}),
    ]
    for answer in answers:
        assert (answer.status, answer.header("signature-error")) == (401, "error=revoked_jwt")
        assert asked(answer) is None


async def test_one_issuer_cannot_revoke_anothers_token(database: Database) -> None:
    """Must be refused; F52: the issuer is who signed, never a parameter."""
    world = World()
    other = Issuer("https://other-ps.example")
    office = Office(database, world, options={"person_servers": [world.ps.iss, other.iss]})
    office.resource.discovery.serve_locally(other.iss, PERSON, other.jwks)
    body = {"jti": "mine", "exp": NOW + 60, "iss": world.ps.iss}
    assert (await office.post(Signer.server(other, PERSON), REVOKE, body)).status == 200
    assert (await office.get(world.grant("orders.read", jti="mine"), "/g")).status == 200


async def test_a_server_that_is_not_accepted_is_told_so(office: Office) -> None:
    """RS-60: 403 `unsupported_iss`, with no Signature-Error; never 404."""
    stranger = Issuer("https://stranger.example")
    office.resource.discovery.serve_locally(stranger.iss, PERSON, stranger.jwks)
    answer = await office.post(Signer.server(stranger, PERSON), REVOKE, {"jti": "x", "exp": NOW + 60})
    assert (answer.status, error_of(answer), answer.header("signature-error")) == (403, "unsupported_iss", None)


@pytest.mark.parametrize("dropped", ["content-digest", "content-type"])
async def test_digest_and_type_must_be_covered(office: Office, dropped: str) -> None:
    """Must be refused; RS-60, F13, §11.12.1: at a resource's endpoint as much as any other."""
    answer = await office.post(issuer(office), REVOKE, {"jti": "x", "exp": NOW + 60}, drop=(dropped,))
    error = answer.header("signature-error") or ""
    assert answer.status == 401
    assert error.startswith("error=invalid_input")
    assert f'"{dropped}"' in error


async def test_only_servers_revoke(office: Office) -> None:
    """§11.12.1: the caller signs as a server; a token or a bare key is another scheme."""
    for signer in (office.world.agent(), office.world.person(), office.world.grant("orders.read"), office.world.bare()):
        answer = await office.post(signer, REVOKE, {"jti": "x", "exp": NOW + 60})
        assert answer.header("signature-error") == "error=unsupported_scheme"
        assert answer.header("accept-signature-scheme") == "jwks_uri"


async def test_a_revocation_by_another_key_is_refused(office: Office) -> None:
    forged = Signer(new_key(), issuer(office).signature_key)
    answer = await office.post(forged, REVOKE, {"jti": "x", "exp": NOW + 60})
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")


@pytest.mark.parametrize(
    "body",
    [{}, {"jti": "x"}, {"exp": NOW + 60}, {"jti": 7, "exp": NOW + 60}, {"jti": "x", "exp": "soon"}, b"{", b"[]"],
)
async def test_a_malformed_revocation_is_invalid_request(office: Office, body: object) -> None:
    """RS-60, Table 19."""
    answer = await office.post(issuer(office), REVOKE, body)
    assert (answer.status, error_of(answer)) == (400, "invalid_request")


async def test_an_exp_beyond_any_token_accepted_here_is_invalid_request(office: Office) -> None:
    answer = await office.post(issuer(office), REVOKE, {"jti": "x", "exp": NOW + 100_000})
    assert (answer.status, error_of(answer)) == (400, "invalid_request")


async def test_revocations_are_there_after_a_restart_and_in_another_replica(office: Office) -> None:
    """F85, §11.12.1."""
    await revoke(office, "gone")
    office.app = office.middleware(office.build())
    answer = await office.get(office.world.grant("orders.read", jti="gone"), "/g")
    assert answer.header("signature-error") == "error=revoked_jwt"


async def test_without_a_store_revocations_hold_while_the_process_lives() -> None:
    """F52: the endpoint is published all the same."""
    world = World()
    resource = world.resource()
    need = resource.grant("orders.read")
    assert resource.description.document()["revocation_endpoint"] == API + REVOKE

    async def inner(_scope: object, _receive: object, send: object) -> None:
        raise AssertionError("it must not run")

    app = AAuthMiddleware(inner, resource, lambda _scope: need)
    body = json.dumps({"jti": "gone", "exp": NOW + 60}).encode()
    assert (await ask(app, Signer.server(world.ps, PERSON).sign("POST", API + REVOKE, body=body))).status == 200
    answer = await ask(app, world.grant("orders.read", jti="gone").sign("GET", f"{API}/g"))
    assert answer.header("signature-error") == "error=revoked_jwt"


async def test_the_applications_own_word_counts_too(database: Database) -> None:
    office = Office(database, options={"is_revoked": lambda _iss, jti: jti == "barred"})
    answer = await office.get(office.world.agent(jti="barred"), "/a")
    assert answer.header("signature-error") == "error=revoked_jwt"


async def test_a_resource_for_agents_alone_publishes_no_endpoint() -> None:
    """RS-03, §11.2.4: it receives no revocations."""
    resource = World().resource()
    resource.agent()
    assert "revocation_endpoint" not in resource.description.document()


# Its own resource tokens.


@pytest.fixture
async def ps(internet: Internet) -> IssuerServer:
    return await internet.issuer("ps.example", PERSON)


@pytest.fixture
async def sending(internet: Internet, ps: IssuerServer, database: Database) -> AsyncIterator[Office]:
    """A resource that reaches the person server over TLS."""
    http = Http(Egress(names=internet.names, ca_file=internet.authority.ca_file))
    options = {"egress": http.egress, "discovery": Discovery(http, clock=lambda: NOW)}
    yield Office(database, options=options)
    await http.aclose()


async def test_a_resource_withdraws_a_resource_token_of_its_own(sending: Office, ps: IssuerServer) -> None:
    """RS-62, §11.12.4: in its own name, under `jwks_uri`, with digest and type covered, at the party in `aud`."""
    ps.metadata["revocation_endpoint"] = f"{ps.iss}/revoke"
    ps.replies["/revoke"] = Reply(200)
    token = Issuer(API, sending.world.resource_key).resource_token(
        aud=ps.iss, sub="p-1", presented_jti="x", agent_jkt=sending.world.key.kid, jti="mine"
    )
    (outcome,) = await sending.resource.revoke_resource_token(token)
    assert (outcome.recipient, outcome.status) == (ps.iss, "recorded"), outcome.reason
    (sent,) = [request for request in ps.requests if request.target == "/revoke"]
    assert json.loads(sent.body) == {"jti": "mine", "exp": NOW + 300}
    key, inputs = sent.header("signature-key") or "", sent.header("signature-input") or ""
    assert f'id="{API}"' in key
    assert 'dwk="aauth-resource.json"' in key
    assert '"content-digest"' in inputs
    assert '"content-type"' in inputs


async def test_a_party_that_takes_no_revocations_is_an_outcome_and_no_error(sending: Office, ps: IssuerServer) -> None:
    ps.metadata.pop("revocation_endpoint", None)
    token = Issuer(API, sending.world.resource_key).resource_token(
        aud=ps.iss, sub="p-1", presented_jti="x", agent_jkt=sending.world.key.kid
    )
    (outcome,) = await sending.resource.revoke_resource_token(token)
    assert outcome.status == "revocation_unsupported", outcome.reason


async def test_only_its_own_resource_tokens_are_withdrawn(office: Office) -> None:
    other = Issuer("https://shop.example").resource_token(
        aud="https://ps.example", sub="p", presented_jti="x", agent_jkt=office.world.key.kid
    )
    for token in (other, "nonsense", office.world.ps.person_token(office.world.key.public, API)):
        with pytest.raises(ValueError, match="resource token"):
            await office.resource.revoke_resource_token(token)
