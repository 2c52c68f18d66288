"""`@hellocoop/httpsig`: its verifier before our requests, its signer before our resource (RFC 9421)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from aauthkit.asgi import App
from aauthkit.callers import Pseudonym, Server
from aauthkit.outbound import Credential
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.signature_key import hwk_header, jkt_jwt_header
from aauthkit.protocol.tokens import PERSON_DWK, RESOURCE_DWK
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
from tests.plugins.node import HttpSig, httpsig
from tests.plugins.peers import PeerWorld, open_peer_world, said
from tests.plugins.rows import BREAKS, HTTPSIG, REFUSED, WORKS, Rows
from tests.plugins.signing import new_key
from tests.plugins.tls import Authority
from tests.plugins.world import API, OTHER, PROVIDER, PS, World

pytestmark = pytest.mark.anyio

WE_SIGN = "ours signs, its `verify` verifies"
IT_SIGNS = "its `fetch` signs, our resource verifies"
IT_READS = "ours answers, its readers read"
HOST = "verifier.example"
VERIFIER = f"https://{HOST}"
ORDER = {"item": "lamp", "quantity": 2}


@dataclass
class Place:
    """The world, and the package in it with a server of its own."""

    world: PeerWorld
    peer: HttpSig

    async def sent(self, credential: Credential, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """What its verifier says of a request of ours."""
        return await self.world.outbound().call(method, VERIFIER + path, credential, json_body=body)

    async def signs_as_agent(self) -> dict[str, Any]:
        """Options with which it signs under a fresh agent token."""
        await self.world.admit("planner")
        key = new_key()
        token = (await self.world.token_for("planner", key)).signature_key.partition('jwt="')[2].rstrip('"')
        return {"signingKey": key.to_jwk(), "signatureKey": {"type": "jwt", "jwt": token}}


def keys_api(world: World) -> App:
    """Our resource with a route for bare keys and one for servers."""
    resource = Resource(API, person_servers=[PS], agent_providers=[PROVIDER], resources=[OTHER], egress=world.egress)
    app = FastAPI()
    install(app, resource)
    by_key, by_server = protect(resource.key()), protect(resource.server(RESOURCE_DWK))

    @app.get("/key")
    async def key(caller: Pseudonym = by_key) -> dict[str, str]:
        return {"key": caller.key.thumbprint}

    @app.get("/server")
    async def server(caller: Server = by_server) -> dict[str, str]:
        return {"server": caller.iss}

    return app


@asynccontextmanager
async def with_peer(world: PeerWorld) -> AsyncIterator[Place]:
    async with httpsig(world.authority, world.egress.names) as peer:
        world.name(HOST, await peer.serve(world.authority, HOST, requireContentDigest=True))
        yield Place(world, peer)


@pytest.fixture
async def place(peer_world: PeerWorld) -> AsyncIterator[Place]:
    async with with_peer(peer_world) as place:
        yield place


@pytest.fixture
async def keys(authority: Authority, tmp_path: Path) -> AsyncIterator[Place]:
    """The same, with routes for whoever shows a key alone."""
    async with open_peer_world(authority, tmp_path, api=keys_api) as world, with_peer(world) as place:
        yield place


def verified(answer: Answer) -> dict[str, Any]:
    assert (answer.status, said(answer)["verified"]) == (200, True), answer.body
    return said(answer)


# Ours signs.


async def test_the_requests_of_our_agents_client_are_verified(place: Place, rows: Rows) -> None:
    """The whole client: an agent token, a body with its digest, and the nonce that every request carries."""
    planner = await place.world.enrol("planner")
    got = json.loads((await planner.get(f"{VERIFIER}/orders")).content)
    assert (got["verified"], got["keyType"], got["thumbprint"]) == (True, "jwt", planner.agent.thumbprint)
    assert got["jwt"]["payload"]["sub"] == "aauth:planner@agents.example"
    posted = json.loads((await planner.call("POST", f"{VERIFIER}/orders", json=ORDER)).content)
    assert posted["verified"] is True
    rows.add(HTTPSIG, WE_SIGN, "GET by an agent, scheme `jwt`", WORKS)
    rows.add(HTTPSIG, WE_SIGN, "POST by an agent, with `content-digest` and `content-type`", WORKS)


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
async def test_a_bare_key_is_verified(place: Place, rows: Rows, alg: Any) -> None:
    """Scheme `hwk`, in both algorithms."""
    key = new_key(alg)
    got = verified(await place.sent(Credential(key, hwk_header(key.public)), "GET", "/"))
    assert (got["keyType"], got["thumbprint"]) == ("hwk", key.kid)
    rows.add(HTTPSIG, WE_SIGN, f"scheme `hwk`, {alg}", WORKS)


async def test_a_servers_key_is_found_by_its_metadata(place: Place, rows: Rows) -> None:
    """Scheme `jwks_uri`: it fetches our person server's document and keys."""
    key = place.world.issuer(PS).key
    got = verified(await place.sent(Credential.from_server(key, PS, PERSON_DWK), "POST", "/revoke", {"jti": "1"}))
    assert got["jwks_uri"] == {"id": PS, "dwk": PERSON_DWK, "kid": key.kid}
    rows.add(HTTPSIG, WE_SIGN, "scheme `jwks_uri`, by our person server", WORKS)


async def test_a_delegated_key_is_verified(place: Place, rows: Rows) -> None:
    """Scheme `jkt-jwt`, with which our agents are refreshed."""
    durable, key, now = new_key(), new_key(), int(time.time())
    credential = Credential(key, jkt_jwt_header(durable, key.public, iat=now, exp=now + 300))
    got = verified(await place.sent(credential, "GET", "/"))
    assert got["jkt_jwt"]["identityThumbprint"] == f"urn:jkt:sha-256:{durable.kid}"
    rows.add(HTTPSIG, WE_SIGN, "scheme `jkt-jwt`", WORKS)


async def test_a_session_token_is_covered(place: Place, rows: Rows) -> None:
    """§6.3: `Authorization` is covered, and verified with the rest."""
    key = new_key()
    credential, session = Credential(key, hwk_header(key.public)), [("authorization", "AAuth a-session-of-a-resource")]
    sent = place.world.outbound().call("GET", f"{VERIFIER}/", credential, headers=session)
    verified(await sent)
    rows.add(HTTPSIG, WE_SIGN, "a session token in `Authorization`, covered (§6.3)", WORKS)


async def test_what_was_signed_for_another_host_is_refused(place: Place, rows: Rows) -> None:
    """So that *works* says something: the same server, in its own eyes under another name."""
    key = new_key()
    credential = Credential(key, hwk_header(key.public))
    verified(await place.sent(credential, "GET", "/"))
    place.world.name(HOST, await place.peer.serve(place.world.authority, HOST, seen_as="another.example"))
    answer = await place.sent(credential, "GET", "/")
    assert (answer.status, answer.header("signature-error")) == (401, None)
    rows.add(HTTPSIG, WE_SIGN, "a signature for another authority", REFUSED, "§11.3.3.1")


async def test_it_takes_no_query_that_is_signed_as_rfc_9421_has_it(place: Place, rows: Rows) -> None:
    """RFC 9421 §2.2.7: the value of `@query` begins with the question mark. Its verifier leaves it out."""
    key = new_key()
    answer = await place.sent(Credential(key, hwk_header(key.public)), "GET", "/orders?page=2")
    assert (answer.status, said(answer)["verified"]) == (401, False)
    rows.add(HTTPSIG, WE_SIGN, "a request with a query", BREAKS, "takes `@query` without its `?`: RFC 9421 §2.2.7")


# It signs.


async def test_its_requests_with_an_agent_token_are_served(place: Place, rows: Rows) -> None:
    """A GET, with the components it covers by itself."""
    answer = await place.peer.fetch("GET", f"{API}/agent", **await place.signs_as_agent())
    assert (answer["status"], json.loads(answer["body"])) == (200, {"agent": "aauth:planner@agents.example"})
    rows.add(HTTPSIG, IT_SIGNS, "GET, scheme `jwt`, an agent token", WORKS)


async def test_its_requests_with_a_body_are_served(place: Place, rows: Rows) -> None:
    """A POST under an auth token, on a route that wants the digest; a changed body is refused."""
    key = new_key()
    grant = place.world.issuer(PS).auth_token(key.public, API, "orders.place", now=int(time.time()))
    options = {
        "signingKey": key.to_jwk(),
        "signatureKey": {"type": "jwt", "jwt": grant},
        "headers": {"content-type": "application/json"},
        "body": json.dumps(ORDER),
    }
    answer = await place.peer.fetch("POST", f"{API}/orders", **options)
    assert (answer["status"], json.loads(answer["body"])["ordered"]) == (201, ORDER)
    assert '"content-digest"' in answer["sent"]["signature-input"]
    bare = await place.peer.fetch("POST", f"{API}/orders", **options, contentDigest="omit")
    assert (bare["status"], bare["headers"]["signature-error"].partition(",")[0]) == (401, "error=invalid_input")
    rows.add(HTTPSIG, IT_SIGNS, "POST with a body, an auth token", WORKS)
    rows.add(HTTPSIG, IT_SIGNS, "POST whose digest is left out", REFUSED, "`invalid_input`, §11.3.4 step 2")


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
async def test_its_bare_key_is_served(keys: Place, rows: Rows, alg: Any) -> None:
    """Scheme `hwk`, on a route that takes it."""
    key = new_key(alg)
    answer = await keys.peer.fetch("GET", f"{API}/key", signingKey=key.to_jwk(), signatureKey={"type": "hwk"})
    assert (answer["status"], json.loads(answer["body"])) == (200, {"key": key.kid})
    rows.add(HTTPSIG, IT_SIGNS, f"scheme `hwk`, {alg}", WORKS)


async def test_it_signs_as_a_server_is(keys: Place, rows: Rows) -> None:
    """Scheme `jwks_uri`, on a route for servers: our resource finds the key by the signer's metadata."""
    await keys.world.serve(OTHER)
    key = keys.world.issuer(OTHER).key
    named = {"type": "jwks_uri", "id": OTHER, "dwk": RESOURCE_DWK, "kid": key.kid}
    answer = await keys.peer.fetch("GET", f"{API}/server", signingKey=key.to_jwk(), signatureKey=named)
    assert (answer["status"], json.loads(answer["body"])) == (200, {"server": OTHER})
    rows.add(HTTPSIG, IT_SIGNS, "scheme `jwks_uri`", WORKS)


async def test_the_query_it_covers_is_refused_with_the_cause(place: Place, rows: Rows) -> None:
    """It covers no query by itself, which our resource wants; named as a component, it signs another value."""
    signed = await place.signs_as_agent()
    bare = await place.peer.fetch("GET", f"{API}/agent?page=2", **signed)
    assert bare["status"] == 401
    read = await place.peer.read("parseSignatureError", bare["headers"]["signature-error"])
    assert read["found"]["error"] == "invalid_input" and "@query" in read["found"]["required_input"]
    named = ["@method", "@authority", "@path", "@query", "signature-key"]
    covered = await place.peer.fetch("GET", f"{API}/agent?page=2", **signed, components=named)
    assert (covered["status"], covered["headers"]["signature-error"]) == (401, "error=invalid_signature")
    assert "without its leading question mark" in json.loads(covered["body"])["detail"]
    rows.add(
        HTTPSIG,
        IT_SIGNS,
        "a query that is not covered",
        REFUSED,
        "`invalid_input` with `@query` in `required_input`, §11.3.4",
    )
    rows.add(HTTPSIG, IT_SIGNS, "a query that is covered", BREAKS, "signs `@query` without its `?`: RFC 9421 §2.2.7")


# It reads.


async def test_it_reads_our_challenges(place: Place, rows: Rows) -> None:
    """An agent token that does not suffice, and a scheme that has no place on the route (§11.6, §11.3.2)."""
    answer = await place.peer.fetch("GET", f"{API}/orders", **await place.signs_as_agent())
    assert answer["status"] == 401 and "signature-error" not in answer["headers"]
    read = await place.peer.read("parseDictionary", answer["headers"]["aauth-requirement"])
    assert read["found"] == {"requirement": ["person-token", {}]}
    key = {"signingKey": new_key().to_jwk(), "signatureKey": {"type": "hwk"}}
    answer = await place.peer.fetch("GET", f"{API}/orders", **key)
    error = await place.peer.read("parseSignatureError", answer["headers"]["signature-error"])
    assert error["found"] == {"error": "unsupported_scheme"}
    schemes = await place.peer.read("parseAcceptSignatureScheme", answer["headers"]["accept-signature-scheme"])
    assert schemes["found"] == ["jwt"]
    rows.add(HTTPSIG, IT_READS, "`AAuth-Requirement`", WORKS)
    rows.add(HTTPSIG, IT_READS, "`Signature-Error: error=unsupported_scheme`, `Accept-Signature-Scheme`", WORKS)


async def test_it_knows_no_error_of_the_newer_draft(place: Place, rows: Rows) -> None:
    """Signature-Keys §5.4.13 and §5.4.14 are of -09; it is of -08, and throws."""
    for code, section in (("revoked_jwt", "5.4.13"), ("clock_skew", "5.4.14")):
        read = await place.peer.read("parseSignatureError", f"error={code}")
        assert "Invalid Signature-Error code" in read["refused"]
        rows.add(HTTPSIG, IT_READS, f"`Signature-Error: error={code}`", BREAKS, f"throws: Signature-Keys §{section}")
