"""Revoking at another party, over real TLS: what is sent, and how every answer is read (draft-11 §11.12.3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from aauthkit.egress import Http
from aauthkit.keys import FixedKey, Keys
from aauthkit.outbound import Outbound
from aauthkit.protocol.jose import SigningKey
from aauthkit.revocation import Downstream, Outcome, Revoker, cascades
from aauthkit.revocation.sending import MAX_POLLS
from aauthkit.store import Database
from tests.plugins.discovering import Discover
from tests.plugins.hosting import host
from tests.plugins.revoking import AGENT_DWK, PERSON_DWK, PROVIDER, PS, Downriver, Published, receiving
from tests.plugins.signing import NOW
from tests.plugins.tls import Clock, Internet, IssuerServer, Received, Reply, signing_key

pytestmark = pytest.mark.anyio

API = "https://api.example"
UNSUPPORTED, UNAVAILABLE = "revocation_unsupported", "revocation_unavailable"
MakeRevoker = Callable[..., Revoker]


class Turning:
    """Keys whose current one can be changed, the old one staying published."""

    def __init__(self) -> None:
        self.keys = [signing_key(PROVIDER)]

    @property
    def current(self) -> SigningKey:
        return self.keys[-1]

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.public.jwk for key in self.keys]}

    def turn(self) -> None:
        self.keys.append(signing_key(f"{PROVIDER} {len(self.keys)}"))


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
async def revoker(internet: Internet, discover: Discover, clock: Clock, slept: list[float]) -> AsyncIterator[Any]:
    """Makes the provider's `Revoker`; call it once the servers are started."""
    async with AsyncExitStack() as stack:

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.sleep(0)

        def make(keys: Keys | None = None, **more: Any) -> Revoker:
            http = Http(internet.egress())
            stack.push_async_callback(http.aclose)
            outbound = Outbound(http, clock=clock, sleep=sleep)
            return Revoker(
                PROVIDER,
                AGENT_DWK,
                keys or FixedKey(signing_key(PROVIDER)),
                discovery=discover(),
                outbound=outbound,
                **more,
            )

        yield make


@pytest.fixture
async def ps(internet: Internet) -> IssuerServer:
    """A person server that answers whatever `replies["/revoke"]` says."""
    server = await internet.issuer("ps.example", PERSON_DWK)
    server.metadata["revocation_endpoint"] = f"{server.iss}/revoke"
    server.replies["/revoke"] = Reply(200, ())
    return server


def answered(status: int, value: object, *headers: tuple[str, str], kind: str = "application/json") -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status, (("content-type", kind), *headers), body)


async def sent(revoker: Revoker, jti: str = "t-1") -> Outcome:
    return await revoker.revoke_at(PS, PERSON_DWK, jti, NOW + 3600)


# What is sent.


async def test_ap_07_what_is_sent_is_what_a_person_server_takes(
    database: Database, internet: Internet, revoker: MakeRevoker, clock: Clock
) -> None:
    """AP-07; draft-11 §11.12.1, §11.3.2: `{jti, exp}`, signed with `jwks_uri` as the issuer."""
    async with receiving(database, clock) as recipient:
        recipient.discovery.serve_locally(PROVIDER, AGENT_DWK, FixedKey(signing_key(PROVIDER)).jwks)
        server = await host(internet, "ps.example", Published(recipient))
        assert await sent(revoker()) == Outcome(PS, "recorded")
        assert recipient.revocations.is_revoked(PROVIDER, "t-1")
    (request,) = [one for one in server.requests if one.method == "POST"]
    assert json.loads(request.body) == {"jti": "t-1", "exp": NOW + 3600}
    signature_key = str(request.header("signature-key"))
    assert signature_key.startswith("sig=jwks_uri")
    assert f'id="{PROVIDER}"' in signature_key
    assert f'dwk="{AGENT_DWK}"' in signature_key
    covered = str(request.header("signature-input"))
    assert all(f'"{name}"' in covered for name in ("content-digest", "content-type", "@method", "@authority", "@path"))
    assert request.header("prefer") == "wait=20"


async def test_ap_07_a_202_is_followed_under_the_same_identity_also_when_the_key_has_changed(
    database: Database, internet: Internet, revoker: MakeRevoker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AP-07; draft-11 §11.12.3 Deferred completion: a signed GET without a body."""
    monkeypatch.setattr(cascades, "MAX_HELD", 0)
    river, gate, keys = Downriver(Downstream(API)), asyncio.Event(), Turning()

    async def turned() -> None:
        keys.turn()
        await gate.wait()

    river.gate = turned
    async with receiving(database, clock, cascade=river) as recipient:
        recipient.discovery.serve_locally(PROVIDER, AGENT_DWK, keys.jwks)
        server = await host(internet, "ps.example", Published(recipient))
        revoking = asyncio.create_task(sent(revoker(keys)))
        while not any(request.target.startswith("/revoke/pending/") for request in server.requests):
            await asyncio.sleep(0.01)
        gate.set()
        assert (await revoking).status == "recorded"
    polls = [request for request in server.requests if request.target.startswith("/revoke/pending/")]
    assert all((poll.method, poll.body) == ("GET", b"") for poll in polls)
    assert keys.current.kid in str(polls[-1].header("signature-key"))


# How an answer is read.


@pytest.mark.parametrize(
    ("reply", "downstream"),
    [
        (Reply(200, ()), ()),
        (Reply(200, (("content-type", "text/html"),)), ()),
        (answered(200, {}), ()),
        (answered(200, {"downstream": []}), ()),
        (answered(200, {"more": 1, "downstream": [{"recipient": API, "note": 1}]}), (Downstream(API),)),
        (answered(200, {"downstream": [{"recipient": API, "error": UNSUPPORTED}]}), (Downstream(API, UNSUPPORTED),)),  # type: ignore[arg-type]
        (answered(200, {"downstream": [{"recipient": API, "error": "x"}]}), (Downstream(API, UNAVAILABLE),)),  # type: ignore[arg-type]
        (answered(200, {"downstream": [{"recipient": API, "error": None}]}), (Downstream(API, UNAVAILABLE),)),  # type: ignore[arg-type]
        (answered(200, {"downstream": []}, kind="application/json; charset=utf-8"), ()),
    ],
)
async def test_a_200_says_that_it_was_recorded_and_what_is_reported(
    ps: IssuerServer, revoker: MakeRevoker, reply: Reply, downstream: tuple[Downstream, ...]
) -> None:
    """draft-11 §11.12.3 Body: an absent body reports nothing."""
    ps.replies["/revoke"] = reply
    assert await sent(revoker()) == Outcome(PS, "recorded", "", downstream)


@pytest.mark.parametrize(
    "reply",
    [
        answered(200, b"recorded", kind="text/plain"),
        answered(200, {}, kind="text/plain"),
        Reply(200, (), b"{}"),
        answered(200, b"{"),
        answered(200, []),
        answered(200, {"downstream": {}}),
        answered(200, {"downstream": None}),
        answered(200, {"downstream": ["x"]}),
        answered(200, {"downstream": [{}]}),
        answered(200, {"downstream": [{"recipient": 7}]}),
        answered(200, {"downstream": [{"recipient": "api.example"}]}),
        answered(200, b"{" + b" " * 300_000 + b"}"),
        answered(204, b""),
        answered(201, {}),
        answered(301, b"", ("location", "https://ps.example/elsewhere")),
        answered(307, b"", ("location", "https://evil.example/revoke")),
        answered(400, {"error": "invalid_request"}),
        answered(401, {"error": "invalid_signature"}),
        answered(403, {"error": "access_denied"}),
        answered(403, b"no"),
        answered(404, {"error": "unsupported_iss"}),
        answered(404, {"error": "not_found"}),
        answered(500, {"error": "server_error"}),
        answered(502, b""),
        answered(503, b""),
        answered(202, {"status": "pending"}),
        answered(202, {"status": "pending"}, ("location", "https://evil.example/pending/1")),
        answered(202, {"status": "pending"}, ("location", "https://u:p@ps.example/pending/1")),
        Reply(raw=b"not http at all\r\n\r\n"),
        Reply(raw=b""),
    ],
)
async def test_anything_else_says_that_it_could_not_be_told(
    ps: IssuerServer, internet: Internet, revoker: MakeRevoker, reply: Reply
) -> None:
    """draft-11 §11.12.3: a body that cannot be parsed, a 5xx, a malformed response. Nothing goes elsewhere (§13.2)."""
    evil = await internet.serve("evil.example", lambda _: Reply())
    ps.replies["/revoke"] = reply
    outcome = await sent(revoker())
    assert outcome.status == UNAVAILABLE
    assert outcome.reason
    assert not evil.requests


async def test_a_party_that_refuses_the_issuer_takes_none(ps: IssuerServer, revoker: MakeRevoker) -> None:
    """draft-11 §11.12.3: `unsupported_iss` ends as revocation_unsupported."""
    ps.replies["/revoke"] = answered(403, {"error": "unsupported_iss"}, kind="application/problem+json")
    assert await sent(revoker()) == Outcome(PS, UNSUPPORTED, "it answered 403 unsupported_iss")  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "after"), [(429, 77), (503, 77), (500, None), (404, None)])
async def test_a_party_that_is_asked_too_often_says_when_to_come_again(
    ps: IssuerServer, revoker: MakeRevoker, status: int, after: int | None
) -> None:
    ps.replies["/revoke"] = answered(status, {"error": "rate_limited"}, ("retry-after", "77"))
    outcome = await sent(revoker())
    assert (outcome.status, outcome.retry_after) == (UNAVAILABLE, after)


async def test_a_party_that_names_no_time_leaves_it_to_the_sender(ps: IssuerServer, revoker: MakeRevoker) -> None:
    ps.replies["/revoke"] = answered(429, {"error": "rate_limited"})
    assert (await sent(revoker())).retry_after is None


async def test_what_is_known_of_a_party_is_not_asked_for_again(
    ps: IssuerServer, revoker: MakeRevoker, clock: Clock
) -> None:
    made = revoker()
    for _ in range(3):
        assert (await sent(made)).status == "recorded"
        clock.advance(61)
    assert ps.metadata_fetches == 1


async def test_a_party_without_an_endpoint_takes_none(ps: IssuerServer, revoker: MakeRevoker) -> None:
    """draft-11 §11.12.3: publishes no revocation_endpoint."""
    del ps.metadata["revocation_endpoint"]
    assert (await sent(revoker())).status == UNSUPPORTED
    assert ps.count("/revoke") == 0


async def test_an_endpoint_that_was_published_meanwhile_is_found(
    ps: IssuerServer, revoker: MakeRevoker, clock: Clock
) -> None:
    """What is remembered of its metadata is asked for again before it is given up."""
    endpoint = ps.metadata.pop("revocation_endpoint")
    made = revoker()
    assert (await sent(made)).status == UNSUPPORTED
    ps.metadata["revocation_endpoint"] = endpoint
    clock.advance(61)
    assert (await sent(made)).status == "recorded"


@pytest.mark.parametrize("lie", ["issuer", "endpoint", "absent", "gone"])
async def test_metadata_that_cannot_be_used_is_a_party_that_could_not_be_told(
    ps: IssuerServer, revoker: MakeRevoker, lie: str
) -> None:
    if lie == "issuer":
        ps.metadata["issuer"] = "https://evil.example"
    elif lie == "endpoint":
        ps.metadata["revocation_endpoint"] = "http://ps.example/revoke"
    elif lie == "absent":
        ps.replies[ps.metadata_path] = Reply(404)
    else:
        await ps.stop()
    outcome = await sent(revoker())
    assert outcome.status == UNAVAILABLE
    assert ps.count("/revoke") == 0


async def test_a_party_that_is_gone_could_not_be_told(ps: IssuerServer, revoker: MakeRevoker) -> None:
    made = revoker()
    assert (await sent(made)).status == "recorded"
    await ps.stop()
    assert (await sent(made)).status == UNAVAILABLE


async def test_a_party_that_says_202_for_ever_is_given_up(ps: IssuerServer, revoker: MakeRevoker) -> None:
    location = ("location", f"{PS}/pending/1")
    ps.replies["/revoke"] = answered(202, {"status": "pending"}, location, ("retry-after", "0"))
    ps.replies["/pending/1"] = ps.replies["/revoke"]
    assert (await sent(revoker())).status == UNAVAILABLE
    assert ps.count("/pending/1") == MAX_POLLS


async def test_a_party_that_never_answers_is_given_up(ps: IssuerServer, revoker: MakeRevoker) -> None:
    ps.replies["/revoke"] = Reply(200, (), gate=asyncio.Event())
    outcome = await sent(revoker(patience=0.2))
    assert (outcome.status, outcome.reason) == (UNAVAILABLE, "it did not come to an end in time")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (Reply(200, ()), "recorded"),
        (answered(403, {"error": "unsupported_iss"}), UNSUPPORTED),
        (answered(500, {"error": "server_error"}), UNAVAILABLE),
        (answered(404, b""), UNAVAILABLE),
        (answered(408, {"error": "expired"}), UNAVAILABLE),
        (answered(200, b"x"), UNAVAILABLE),
    ],
)
async def test_the_end_of_a_pending_revocation_is_read_as_an_answer_at_once(
    ps: IssuerServer, revoker: MakeRevoker, end: Reply, status: str, slept: list[float]
) -> None:
    """draft-11 §11.12.3: the terminal response is what the synchronous path would have returned."""
    pending = answered(202, {"status": "pending"}, ("location", "/pending/1"), ("retry-after", "3"))
    answers = [pending, end]

    def respond(request: Received) -> Reply:
        return answers.pop(0) if request.target == "/pending/1" else ps._reply(request)

    ps._respond = respond
    ps.replies["/revoke"] = pending
    assert (await sent(revoker())).status == status
    assert slept == [3, 3]


async def test_a_strangers_text_is_not_repeated(ps: IssuerServer, revoker: MakeRevoker) -> None:
    ps.replies["/revoke"] = answered(400, {"error": "<script>", "detail": "call this number"})
    assert (await sent(revoker())).reason == "it answered 400"


async def test_nothing_is_shown_of_the_key(revoker: MakeRevoker, ps: IssuerServer) -> None:
    assert repr(signing_key(PROVIDER).secret) not in repr(revoker())
