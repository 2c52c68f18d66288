"""Others beside us, in the same process and run, over the same floor: `make bench PEERS=1`.

What each does differs, and its row says how: nobody else remembers tokens, some leave the issuer's signature to their
caller, and a package that knows RFC 9421 alone is handed the key. Each is called the way its own server calls it, its
keys at hand, nothing fetched.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl import bindings

from aauthkit.outbound import sign_outgoing
from aauthkit.protocol.httpsig import BASE_COMPONENTS, parse_signature_input, signature_base
from aauthkit.protocol.messages import SignedRequest
from aauthkit.verification import Accepts, Verifier
from tests.plugins.signing import Issuer

from .pairs import ratios
from .parties import API, ISSUER, Agent, afresh, raw_signature, unsigned, verifier

CALLS = 200
ROUNDS = 5
TARGET = "/orders/17"
URL = f"{API}{TARGET}"

Call = Callable[[SignedRequest], object]


@dataclass(frozen=True)
class Row:
    """Somebody's cost of one operation, over the floor."""

    who: str
    what: str
    ratio: float


async def measured() -> list[Row]:
    """Every peer that is installed, and ourselves."""
    now = time.time()
    issuer = Issuer(ISSUER)
    agent = Agent.of(issuer, now)
    return [*_signing(agent, now), *await _verifying(issuer, agent, now)]


def _signing(agent: Agent, now: float) -> list[Row]:
    from aauth_signing import sign_request
    from introspection_aauth.protocol import httpsig
    from introspection_aauth.protocol.keys import SigningKey

    key, signature_key = agent.key, agent.credential.signature_key
    private = Ed25519PrivateKey.from_private_bytes(key.secret)
    token, theirs, secret = signature_key.split('"')[1], SigningKey(private), key.secret + key.public.raw
    signed = agent.request(TARGET, now, os.urandom(12))
    nonces = (os.urandom(12).hex() for _ in range(10**9))
    ((_, entry),) = parse_signature_input(signed.values("signature-input")).items()
    base = signature_base(signed, entry)

    ways: dict[str, Call] = {
        "aauthkit, with a nonce": lambda request: sign_outgoing(request, agent.credential, now=now, nonce=next(nonces)),
        "introspection-aauth": lambda _: httpsig.sign(theirs, signature_key, "GET", URL, created=int(now)),
        "aauth": lambda request: sign_request(
            "GET", URL, dict(request.headers), None, private, sig_scheme="jwt", jwt=token
        ),
    }
    requests = [unsigned(TARGET)] * CALLS
    return [
        Row(
            who,
            "signing a GET",
            _median(ratios(call, lambda m: bindings.crypto_sign(m, secret), _same(requests, base))),
        )
        for who, call in ways.items()
    ]


async def _verifying(issuer: Issuer, agent: Agent, now: float) -> list[Row]:
    requests = [agent.request(f"/orders/{n}", now, os.urandom(12)) for n in range(CALLS)]
    provider = Issuer("https://agents.example")
    planner = Agent(
        agent.key, agent.credential.from_token(agent.key, provider.agent_token(agent.key.public, now=int(now)))
    )
    planned = [planner.request(f"/orders/{n}", now, os.urandom(12)) for n in range(CALLS)]
    door = verifier([issuer], now)
    accepts = Accepts(("jwt",), frozenset({"aa-auth+jwt"}))
    bases = [await door.verify(request, accepts) for request in requests]
    floor = [(raw_signature(one.request) + one.base, one.key.raw) for one in bases]
    ways: list[tuple[str, str, Call, Sequence[SignedRequest]]] = [
        ("aauthkit", "token seen before; its audience, times and revocation looked at", _ours(door, accepts), requests),
        ("aauthkit", "token never seen", _ours_cold(door, accepts), requests),
        ("aauth", "auth token, its issuer's signature each time", _aauth(issuer), _signed_by_aauth(agent)),
        (
            "introspection-aauth",
            "agent token, its issuer's signature each time",
            await _introspection(provider, planned[0], now),
            planned,
        ),
        ("http-message-signatures", "RFC 9421 alone, the key handed over", *_rfc9421(agent)),
    ]
    return [
        Row(
            who,
            f"verifying: {what}",
            _median(ratios(call, lambda pair: bindings.crypto_sign_open(*pair), lambda: (_anew(which), floor))),  # noqa: B023
        )
        for who, what, call, which in ways
    ]


def _ours(door: Verifier, accepts: Accepts) -> Call:
    return lambda request: door.verify_now(request, accepts)


def _ours_cold(door: Verifier, accepts: Accepts) -> Call:
    def call(request: SignedRequest) -> None:
        proof = door.verify_now(request, accepts).caller.proof  # type: ignore[union-attr]
        door.forget(proof.iss, proof.jti)

    return call


def _aauth(issuer: Issuer) -> Call:
    from aauth.resource.verifier import RequestVerifier

    jwks = dict(issuer.jwks())
    theirs = RequestVerifier(
        ["api.example"],
        lambda *_: jwks,
        trusted_auth_servers=[issuer.iss],
        resource_id=API,
        revocation_checker=lambda _iss, _jti: False,
    )

    def call(request: SignedRequest) -> None:
        answer = theirs.verify_request("GET", API + request.target, dict(request.headers), require_auth_token=True)
        assert answer["valid"], answer

    return call


def _signed_by_aauth(agent: Agent) -> list[SignedRequest]:
    """Requests as it signs them itself: it reads no signature but in the URL-safe alphabet."""
    from aauth_signing import sign_request

    private = Ed25519PrivateKey.from_private_bytes(agent.key.secret)
    token = agent.credential.signature_key.split('"')[1]
    requests = []
    for number in range(CALLS):
        bare = unsigned(f"/orders/{number}")
        fields = sign_request("GET", API + bare.target, dict(bare.headers), None, private, sig_scheme="jwt", jwt=token)
        requests.append(bare.with_headers((name.lower(), value) for name, value in fields.items()))
    return requests


async def _introspection(provider: Issuer, first: SignedRequest, now: float) -> Call:
    import httpx
    from introspection_aauth.protocol.discovery import Discovery
    from introspection_aauth.protocol.httpsig import SignedRequest as Theirs
    from introspection_aauth.protocol.verification import verify_agent

    documents = {
        f"{provider.iss}/.well-known/aauth-agent.json": {"issuer": provider.iss, "jwks_uri": f"{provider.iss}/jwks"},
        f"{provider.iss}/jwks": provider.jwks(),
    }
    http = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json=documents[str(request.url)]))
    )
    discovery, providers = Discovery(http), {provider.iss}

    def theirs(request: SignedRequest) -> Coroutine[Any, Any, Any]:
        asked = Theirs("GET", API + request.target, dict(request.headers))
        return verify_agent(asked, discovery, providers, int(now))

    await theirs(first)  # fetches the provider's keys, for all that follow
    return lambda request: _run(theirs(request))


class _Message:
    """A request as `http-message-signatures` takes it."""

    def __init__(self, request: SignedRequest) -> None:
        self.method, self.url, self.headers = request.method, API + request.target, dict(request.headers)


def _rfc9421(agent: Agent) -> tuple[Call, list[SignedRequest]]:
    """Its way to verify, and requests as it signs them itself: it wants a `keyid`, and knows no Signature-Key."""
    import http_message_signatures as peer

    private = Ed25519PrivateKey.from_private_bytes(agent.key.secret)

    class Keys(peer.HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id: str) -> Any:
            return private

        def resolve_public_key(self, key_id: str) -> Any:
            return private.public_key()

    settings: dict[str, Any] = {"signature_algorithm": peer.algorithms.ED25519, "key_resolver": Keys()}
    signer, theirs = peer.HTTPMessageSigner(**settings), peer.HTTPMessageVerifier(**settings)
    requests = []
    for number in range(CALLS):
        bare = unsigned(f"/orders/{number}").with_headers([("signature-key", agent.credential.signature_key)])
        message = _Message(bare)
        signer.sign(message, key_id="k", covered_component_ids=BASE_COMPONENTS)
        added = (("signature-input", "Signature-Input"), ("signature", "Signature"))
        requests.append(bare.with_headers((name, message.headers[theirs_name]) for name, theirs_name in added))
    return lambda request: theirs.verify(_Message(request)), requests


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("it waited")


def _same(requests: Sequence[SignedRequest], base: bytes) -> Callable[[], tuple[Sequence[SignedRequest], list[bytes]]]:
    return lambda: (requests, [base] * len(requests))


def _anew(requests: Sequence[SignedRequest]) -> list[SignedRequest]:
    return [afresh(request) for request in requests]


def _median(rounds: Sequence[float]) -> float:
    return statistics.median(rounds)


def table(rows: Sequence[Row]) -> str:
    """The rows for a person."""
    lines = ["", "beside others, over the same raw signature or verification:"]
    return "\n".join([*lines, *(f"{row.ratio:>8.2f}  {row.who:<24} {row.what}" for row in rows)])


def append(rows: Sequence[Row], path: Path) -> None:
    """The rows into the file of results, for a program."""
    document = json.loads(path.read_text())
    document["peers"] = [asdict(row) for row in rows]
    path.write_text(json.dumps(document, indent=1) + "\n")
