"""The PyPI package `aauth`: its signer, verifier and token functions, and both its roles, with the switch and without.

It writes the bytes of a signature in base64url and reads nothing else (RFC 9421 §4.2), so that nothing passes between
it and anybody else without `older_forms` on our side (docs/compatibility.md). Its tokens need no switch.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aauth
import anyio.to_thread
import httpx
import httpx2
import pytest
from aauth.agent.signer import AgentRequestSigner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request, Response

from aauthkit.agent import Errand, SignatureRefused
from aauthkit.asgi import App, Asgi
from aauthkit.callers import Pseudonym, Server
from aauthkit.compatibility import OlderForm
from aauthkit.keys import FixedKey
from aauthkit.outbound import Credential
from aauthkit.person import PersonServer
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.tokens import PERSON_DWK
from aauthkit.resource import Resource
from aauthkit.resource.fastapi import install, protect
from aauthkit.trust import ANY, Trust
from tests.plugins.orders import SCOPES, orders_api
from tests.plugins.peers import BlockingTransport, NamedTransport, PeerWorld, hurried, open_peer_world, said
from tests.plugins.rows import AAUTH, BREAKS, SWITCHED, WORKS, Rows
from tests.plugins.signing import new_key
from tests.plugins.tls import Authority, signing_key
from tests.plugins.world import API, ELSEWHERE, OTHER, PROVIDER, PS, World

pytestmark = pytest.mark.anyio

IT_SIGNS = "it signs, our resource verifies"
WE_SIGN = "ours signs, it verifies"
ITS_AGENT = "its agent, our person server, our resource"
ITS_RESOURCE = "our agent, our person server, its resource"
ITS_TOKENS = "it issues, ours verifies"
OUR_TOKENS = "ours issues, it verifies"
OLDER = [OlderForm.BASE64URL_SIGNATURE]
ORDER = {"item": "lamp", "quantity": 2}


def private(key: SigningKey) -> Ed25519PrivateKey:
    """A key of ours as the package wants it."""
    return Ed25519PrivateKey.from_private_bytes(key.secret)


class Lenient(PeerWorld):
    """Ours with the switch on at the person server, and towards the resource that is a peer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.egress = replace(self.egress, older_forms={"elsewhere.example": frozenset(OLDER)})

    def person_server(self) -> App:
        self.ps = PersonServer(
            PS,
            keys=FixedKey(signing_key(PS)),
            database=self.records,  # type: ignore[arg-type]
            discovery=self.discovery(),
            trust=Trust(agent_providers=frozenset({PROVIDER}), resources=ANY),
            accounts=self.accounts,
            older_forms=OLDER,
        )
        return Asgi(self.ps, start=self.ps.start, close=self.ps.close)


def a_resource(world: World, identifier: str, older: list[OlderForm]) -> FastAPI:
    """The usual API, and routes for keys and servers."""
    resource = Resource(
        identifier,
        keys=FixedKey(signing_key(identifier)),
        scopes=SCOPES,
        person_servers=[PS],
        agent_providers=[PROVIDER],
        egress=world.egress,
        older_forms=older,
    )
    app = orders_api(resource)
    install(app, resource)
    by_key, by_server = protect(resource.key()), protect(resource.server(PERSON_DWK))

    @app.get("/key")
    async def key(caller: Pseudonym = by_key) -> dict[str, str]:
        return {"key": caller.key.thumbprint}

    @app.get("/server")
    async def server(caller: Server = by_server) -> dict[str, str]:
        return {"server": caller.iss}

    return app


@dataclass
class Place:
    """`api.example` without the switch, `other.example` with it."""

    world: PeerWorld

    async def sends(
        self, url: str, key: Any, *, method: str = "GET", body: bytes | None = None, **scheme: Any
    ) -> Answer:
        """Our answer to a request that it signs, whose signature differs in the two alphabets."""
        names = ["content-digest", "content-type"] if body else []
        async with httpx2.AsyncClient(transport=self.world.egress.async_transport()) as client:
            for number in range(200):
                headers = {"Content-Type": "application/json", "x-number": str(number)} if body else {}
                headers |= {"x-number": str(number)}
                extra = [*names, "x-number"]
                aauth.sign_request(method, url, headers, body, key, additional_signature_components=extra, **scheme)
                signed = aauth.sign_request(
                    method, url, headers, body, key, additional_signature_components=extra, **scheme
                )
                if set("-_") & set(signed["Signature"]):
                    response = await client.request(method, url, headers={**headers, **signed}, content=body)
                    fields = tuple((name.lower(), value) for name, value in response.headers.items())
                    return Answer(response.status_code, fields, response.content)
        raise AssertionError("no signature of 200 differs in the two alphabets")

    async def agent(self) -> tuple[SigningKey, str]:
        """A key, and an agent token of our provider for it."""
        await self.world.admit("planner")
        key = new_key()
        credential = await self.world.token_for("planner", key)
        return key, credential.signature_key.partition('jwt="')[2].rstrip('"')

    def keys_of(self) -> Callable[[str, str, str], Any]:
        """Its way to an issuer's keys, by metadata and over TLS; blocks, so call what uses it from a thread."""

        def fetch(issuer: str, dwk: str, _kid: str) -> Any:
            with httpx.Client(transport=BlockingTransport(self.world)) as client:
                return client.get(client.get(f"{issuer}/.well-known/{dwk}").json()["jwks_uri"]).json()

        return fetch


@pytest.fixture
async def place(authority: Authority, tmp_path: Path) -> AsyncIterator[Place]:
    async with open_peer_world(authority, tmp_path, kind=Lenient) as world:
        await world.serve(OTHER, a_resource(world, OTHER, OLDER))
        yield Place(world)


# Its signer.


async def test_its_signature_is_refused_by_name_without_the_switch(place: Place, rows: Rows) -> None:
    """F03; RFC 9421 §4.2, RFC 9651 §4.1.8: standard base64, with padding."""
    key, token = await place.agent()
    answer = await place.sends(f"{API}/agent", private(key), sig_scheme="jwt", jwt=token)
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")
    assert "the bytes are base64url; RFC 9651 wants standard base64, with padding" in said(answer)["detail"]
    rows.add(AAUTH, IT_SIGNS, "anything, without the switch", BREAKS, "`Signature` in base64url: RFC 9421 §4.2")


async def test_its_requests_are_served_with_the_switch(place: Place, rows: Rows) -> None:
    """Each scheme it has, a query, a body."""
    key, token = await place.agent()
    mine = private(key)
    for url in (f"{OTHER}/agent", f"{OTHER}/agent?page=2"):
        answer = await place.sends(url, mine, sig_scheme="jwt", jwt=token)
        assert said(answer) == {"agent": "aauth:planner@agents.example"}
    grant = place.world.issuer(PS).auth_token(key.public, OTHER, "orders.place", now=int(time.time()))
    body = json.dumps(ORDER).encode()
    answer = await place.sends(f"{OTHER}/orders", mine, method="POST", body=body, sig_scheme="jwt", jwt=grant)
    assert (answer.status, said(answer)["ordered"]) == (201, ORDER)
    assert said(await place.sends(f"{OTHER}/key", mine, sig_scheme="hwk")) == {"key": key.kid}
    own = signing_key(PS)
    named = {"sig_scheme": "jwks_uri", "id": PS, "dwk": PERSON_DWK, "kid": own.kid}
    assert said(await place.sends(f"{OTHER}/server", private(own), **named)) == {"server": PS}
    rows.add(AAUTH, IT_SIGNS, "GET, scheme `jwt`, an agent token", SWITCHED)
    rows.add(AAUTH, IT_SIGNS, "GET with a query", SWITCHED)
    rows.add(AAUTH, IT_SIGNS, "POST with a body and its digest, an auth token", SWITCHED)
    rows.add(AAUTH, IT_SIGNS, "scheme `hwk`, Ed25519", SWITCHED)
    rows.add(AAUTH, IT_SIGNS, "scheme `jwks_uri`, a person server", SWITCHED)


async def test_its_p256_signatures_are_refused_with_the_switch_too(place: Place, rows: Rows) -> None:
    """RFC 9421 §3.3.4: r and s side by side. It writes DER."""
    answer = await place.sends(f"{OTHER}/key", ec.generate_private_key(ec.SECP256R1()), sig_scheme="hwk")
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_signature")
    rows.add(AAUTH, IT_SIGNS, "scheme `hwk`, ES256", BREAKS, "signatures in DER: RFC 9421 §3.3.4")


# Its verifier, and its resource.


def its_resource(place: Place) -> FastAPI:
    """A resource of its `RequestVerifier`, `ChallengeBuilder` and metadata functions."""
    key = signing_key(ELSEWHERE)
    fetch = place.keys_of()
    verifier = aauth.RequestVerifier(["elsewhere.example"], fetch, [PS], resource_id=ELSEWHERE)
    builder = aauth.ChallengeBuilder(ELSEWHERE, private(key), key.kid, PS, fetch)
    app = FastAPI()

    @app.get("/.well-known/aauth-resource.json")
    def metadata() -> dict[str, Any]:
        jwks_uri = f"{ELSEWHERE}/jwks.json"
        return aauth.generate_resource_metadata(ELSEWHERE, jwks_uri, scope_descriptions=SCOPES)

    @app.get("/jwks.json")
    def jwks() -> dict[str, Any]:
        return aauth.generate_jwks([aauth.public_key_to_jwk(private(key).public_key(), kid=key.kid)])

    def verdict(request: Request, body: bytes | None) -> dict[str, Any]:
        headers = dict(request.headers)
        return dict(verifier.verify_request(request.method, str(request.url), headers, body))

    def refused(found: dict[str, Any]) -> Response:
        error = aauth.build_signature_error(str(found["error_code"]))
        return Response(str(found["error"]), 401, {"signature-error": error})

    @app.get("/agent")
    def agent(request: Request) -> Any:
        found = verdict(request, None)
        return found if found["valid"] else refused(found)

    @app.get("/orders")
    def orders(request: Request) -> Any:
        found = verdict(request, None)
        if not found["valid"]:
            return refused(found)
        if found["token_type"] == "aa-auth+jwt":
            return found
        presented = aauth.parse_signature_key(request.headers["signature-key"])["params"]["jwt"]
        person = found["token_type"] == "aa-person+jwt"
        name, value = builder.build_challenge(
            require_auth_token=True,
            presented_token=presented if person else None,
            agent_public_key=aauth.jwk_to_public_key(found["claims"]["cnf"]["jwk"]),
            scope="orders.read",
        )
        return Response(status_code=401, headers={name: value})

    @app.post("/orders")
    async def place_order(request: Request) -> Any:
        body = await request.body()
        found = await anyio.to_thread.run_sync(verdict, request, body)
        return found if found["valid"] else refused(found)

    return app


async def test_it_reads_our_signatures_in_the_older_form_only(place: Place, rows: Rows) -> None:
    """F03; RFC 9421 §4.2. Written to its host alone, and to no other."""
    await place.world.serve(ELSEWHERE, its_resource(place))
    planner = await place.world.enrol("planner")
    assert (await planner.get(f"{ELSEWHERE}/agent")).json()["agent_id"] == "aauth:planner@agents.example"
    assert (await planner.get(f"{ELSEWHERE}/agent?page=2")).status == 200
    assert (await planner.call("POST", f"{ELSEWHERE}/orders", json=ORDER)).json()["valid"] is True
    place.world.egress = replace(place.world.egress, older_forms={})
    buyer = await place.world.enrol("buyer")
    with pytest.raises(SignatureRefused):
        await buyer.get(f"{ELSEWHERE}/agent")
    rows.add(AAUTH, WE_SIGN, "anything, without the switch", BREAKS, "reads no standard base64: RFC 9421 §4.2")
    rows.add(AAUTH, WE_SIGN, "GET, scheme `jwt`, an agent token", SWITCHED)
    rows.add(AAUTH, WE_SIGN, "GET with a query", SWITCHED)
    rows.add(AAUTH, WE_SIGN, "POST with a body and its digest", SWITCHED)


async def test_its_resource_asks_and_our_person_server_grants(place: Place, rows: Rows) -> None:
    """§6.4, §6.5, §7.2, §9.4.3: the client of our agent meets its challenges, and Ada decides."""
    await place.world.serve(ELSEWHERE, its_resource(place))
    planner, ada = await place.world.enrol("planner"), await place.world.person("Ada")
    call = planner.get(f"{ELSEWHERE}/orders")
    await ada.comes(await planner.errand())
    await ada.approves()
    await ada.finds()
    await ada.approves("orders.read")
    answer = (await call).json()
    assert (answer["token_type"], answer["scopes"], answer["person_server"]) == ("aa-auth+jwt", ["orders.read"], PS)
    rows.add(AAUTH, ITS_RESOURCE, "its challenges, a person token and an auth token", SWITCHED)


# Its agent.


async def test_its_agent_gets_both_tokens_of_our_person_server(place: Place, rows: Rows) -> None:
    """§7.1, §7.2: `request_person_token` and `exchange_resource_token`, with Ada at our pages in between."""
    key, token = await place.agent()
    ada, loop = await place.world.person("Ada"), asyncio.get_running_loop()
    fetch, mine = place.keys_of(), private(key)

    async def shown(link: str, code: str) -> None:
        page = Errand(link, link.partition("?")[0], code, "interaction", PS)

        async def decides() -> None:
            await ada.comes(page)
            await ada.approves()

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(decides(), loop))

    async def decides_later() -> None:
        await ada.finds()
        await ada.approves("orders.read")

    async def dance() -> Any:
        signer = AgentRequestSigner(mine, agent_token=token)
        # Its count of polls is no measure of time on a hurried loop.
        options = {"jwks_fetcher": fetch, "on_interaction": shown, "capabilities": ["interaction"], "max_polls": 10**6}
        async with httpx.AsyncClient(transport=NamedTransport(place.world)) as client:
            person = await aauth.request_person_token(PS, OTHER, mine, token, http_client=client, **options)
            headers = signer.sign_request("GET", f"{OTHER}/orders", {}, token=person)
            asked = await client.get(f"{OTHER}/orders", headers=headers)
            later = asyncio.run_coroutine_threadsafe(decides_later(), loop)
            grant = await aauth.exchange_resource_token(
                str(aauth.extract_resource_token(asked.headers)),
                mine,
                token,
                presented_token=person,
                resource_id=OTHER,
                person_server=PS,
                http_client=client,
                **options,
            )
            await asyncio.wrap_future(later)
            headers = signer.sign_request("GET", f"{OTHER}/orders", {}, token=grant)
            return (await client.get(f"{OTHER}/orders", headers=headers)).json()

    answer = await anyio.to_thread.run_sync(hurried, dance)
    assert answer["may"] == ["orders.read"]
    rows.add(AAUTH, ITS_AGENT, "a person token, with an interaction", SWITCHED)
    rows.add(AAUTH, ITS_AGENT, "our challenge, and an auth token for it", SWITCHED)


# Tokens.


async def test_our_tokens_are_verified_by_its_functions(place: Place, rows: Rows) -> None:
    """Those of our provider, person server and resource, by the keys that each publishes."""
    key, token = await place.agent()
    now, fetch = int(time.time()), place.keys_of()
    ps, api = place.world.issuer(PS), place.world.issuer(API)
    person = ps.person_token(key.public, API, now=now)
    claims = aauth.parse_token_claims(person)["payload"]
    made = {"aud": PS, "sub": claims["sub"], "presented_jti": claims["jti"], "agent_jkt": key.kid, "now": now}
    resource_token, grant = api.resource_token(**made), ps.auth_token(key.public, API, "orders.read", now=now)

    def verifies() -> None:
        assert aauth.verify_agent_token(token, fetch)["sub"] == "aauth:planner@agents.example"
        assert aauth.verify_person_token(person, fetch, expected_aud=API)["iss"] == PS
        assert aauth.verify_token(grant, fetch, expected_typ="aa-auth+jwt", expected_aud=API)["scope"] == "orders.read"
        found = aauth.verify_resource_token(resource_token, fetch, presented_token=person, expected_aud=PS)
        assert found["presented_jti"] == claims["jti"]

    await anyio.to_thread.run_sync(verifies)
    for name in ("an agent token", "a person token", "an auth token", "a resource token"):
        rows.add(AAUTH, OUR_TOKENS, name, WORKS)


async def test_its_tokens_are_served_by_our_resource(place: Place, rows: Rows) -> None:
    """Made by its functions with the keys that provider and person server publish; signed by ours: no switch."""
    key = new_key()
    jwk = aauth.public_key_to_jwk(private(key).public_key())
    provider, ps = signing_key(PROVIDER), signing_key(PS)
    exp = int(time.time()) + 600
    tokens = {
        "/agent": aauth.create_agent_token(
            PROVIDER, "aauth:planner@agents.example", jwk, private(provider), provider.kid, exp=exp, ps=PS
        ),
        "/me": aauth.create_person_token(PS, API, "ada", jwk, private(ps), ps.kid, agent_exp=exp),
        "/orders": aauth.create_auth_token(
            PS,
            API,
            jwk,
            private(ps),
            ps.kid,
            ps=PS,
            sub="ada",
            scope="orders.read",
            agent_exp=exp,
            presented_exp=exp,
            dwk=PERSON_DWK,
        ),
    }
    for path, token in tokens.items():
        answer = await place.world.outbound().call("GET", API + path, Credential.from_token(key, token))
        assert answer.status == 200, (path, answer.body)
    for name in ("an agent token", "a person token", "an auth token"):
        rows.add(AAUTH, ITS_TOKENS, name, WORKS)


# Revocation.


async def test_revocations_pass_both_ways(place: Place, rows: Rows) -> None:
    """§11.12: its person server's function at our resource, our person server's request at its `RevocationManager`."""
    key, ps, exp = new_key(), signing_key(PS), int(time.time()) + 600
    token = place.world.issuer(PS).person_token(key.public, OTHER, jti="a-jti", exp=exp, now=int(time.time()))
    credential = Credential.from_token(key, token)
    assert (await place.world.outbound().call("GET", f"{OTHER}/me", credential)).status == 200
    endpoint = f"{OTHER}/aauth/revoke"
    async with httpx2.AsyncClient(transport=place.world.egress.async_transport()) as client:
        for later in range(200):
            until = exp + later
            headers, body = aauth.sign_revocation_request(endpoint, "a-jti", until, private(ps), PS, ps.kid, PERSON_DWK)
            if set("-_") & set(headers["Signature"]):
                break
        assert (await client.post(endpoint, headers=headers, content=body)).status_code == 200
    refused = await place.world.outbound().call("GET", f"{OTHER}/me", credential)
    assert (refused.status, refused.header("signature-error")) == (401, "error=revoked_jwt")
    store = aauth.RevocationStore()
    await place.world.serve(ELSEWHERE, its_revocations(place, store))
    own = Credential.from_server(ps, PS, PERSON_DWK)
    sent = {"jti": "another", "exp": exp}
    answer = await place.world.outbound().call("POST", f"{ELSEWHERE}/revoke", own, json_body=sent)
    assert answer.status == 200 and store.is_revoked(PS, "another")
    rows.add(AAUTH, IT_SIGNS, "a revocation by a person server (§11.12.3)", SWITCHED)
    rows.add(AAUTH, WE_SIGN, "a revocation by our person server (§11.12.3)", SWITCHED)


def its_revocations(place: Place, store: Any) -> FastAPI:
    """A revocation endpoint of its `RevocationManager`."""

    async def nobody(*_: Any) -> dict[str, Any]:
        return {}

    manager = aauth.RevocationManager(ELSEWHERE, "resource", store, nobody, [PS])
    fetch = place.keys_of()
    app = FastAPI()

    @app.post("/revoke")
    def revoke(request: Request) -> Response:
        body = asyncio.run_coroutine_threadsafe(request.body(), request.app.state.loop).result()
        handled = manager.handle_request("POST", str(request.url), dict(request.headers), body, fetch)
        answer = asyncio.run(handled)
        return Response(answer.body, answer.status_code, answer.headers)

    app.state.loop = asyncio.get_running_loop()
    return app
