"""A provider that lies to an agent: nothing but the token that was asked for is ever handed on (draft-11 §5.3.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aauthkit.discovery import Discovery
from aauthkit.egress import Http
from aauthkit.enrollment import (
    Enrollment,
    EnrollmentError,
    EnrollmentMismatch,
    EnrollmentRefused,
    approved_by_a_person,
    enroll,
    refresh,
)
from aauthkit.outbound import Outbound, PendingElsewhere
from aauthkit.protocol.identifiers import InvalidIdentifier
from aauthkit.protocol.jose import SigningKey
from tests.plugins.signing import Issuer, cnf, new_key
from tests.plugins.tls import Clock, Internet, IssuerServer, Reply, json_reply

pytestmark = pytest.mark.anyio

PROVIDER = "https://agents.example"
PERSON_SERVER = "https://person.example"
AGENT = "aauth:planner@agents.example"


async def at_once(_seconds: float) -> None:
    """A pause that takes no time."""


class Liar:
    """A provider that answers what it is told to, and the agent that asks it."""

    def __init__(self, server: IssuerServer, http: Http, discovery: Discovery, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.discovery = discovery
        self.outbound = Outbound(http, clock=clock, sleep=at_once)
        self.issuer = Issuer(PROVIDER, server.key)
        self.durable, self.key = new_key(), new_key()
        for name in ("enrollment", "enrollment_nonce", "refresh"):
            server.metadata[f"{name}_endpoint"] = f"{PROVIDER}/{name}"
        server.replies["/enrollment_nonce"] = json_reply({"nonce": "n-1", "expires_in": 300})
        self.issue()

    def issue(self, by: SigningKey | None = None, cnf_key: SigningKey | None = None, **claims: Any) -> None:
        """Answer with a token in which `claims` differ from the honest one's, signed `by` another key."""
        issuer = Issuer(PROVIDER, by or self.server.key)
        honest = {"now": int(self.clock()), "ps": PERSON_SERVER, "header": {"kid": self.server.kid}}
        token = issuer.agent_token((cnf_key or self.key).public, **{**honest, **claims})
        self.say(json_reply({"agent": claims.get("sub", AGENT), "agent_token": token, "expires_in": 3600}))

    def say(self, reply: Reply) -> None:
        for path in ("/enrollment", "/refresh"):
            self.server.replies[path] = reply

    async def enroll(self, **more: Any) -> Enrollment:
        settings = {"name": "planner", "ps": PERSON_SERVER, "clock": self.clock, **more}
        return await enroll(self.outbound, self.discovery, PROVIDER, self.durable, self.key, **settings)

    async def refresh(self) -> Enrollment:
        return await refresh(
            self.outbound,
            self.discovery,
            PROVIDER,
            self.durable,
            self.key,
            agent=AGENT,
            ps=PERSON_SERVER,
            clock=self.clock,
        )

    async def both_refuse(self, kind: type[EnrollmentError], match: str) -> None:
        for ask in (self.enroll, self.refresh):
            with pytest.raises(kind, match=match):
                await ask()


@pytest.fixture
async def liar(internet: Internet, discover: Callable[..., Discovery], clock: Clock) -> AsyncIterator[Liar]:
    server = await internet.issuer("agents.example")
    async with Http(internet.egress()) as http:
        yield Liar(server, http, discover(), clock)


async def test_an_honest_answer_is_taken(liar: Liar) -> None:
    assert (await liar.enroll()).agent == AGENT
    assert (await liar.refresh()).agent == AGENT
    liar.issue(ps=None)
    assert (await liar.enroll(ps=None)).ps is None


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://evil.example", "sub": "aauth:planner@evil.example"}, "iss is another provider"),
        ({"sub": "aauth:other@agents.example"}, "sub is not aauth:planner"),
        ({"sub": "aauth:planner@bank.example"}, "another domain"),
        ({"sub": "planner@agents.example"}, "not an agent identifier"),
        ({"parent_agent": AGENT}, "sub-agent"),
        ({"exp": 1_800_000_000}, "expired"),
        ({"exp": 1_800_000_000 + 86401}, "lifetime"),
        ({"iat": 1_800_000_000 + 61}, "ahead of this clock"),
        ({"cnf": {}}, "no jwk"),
        ({"cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "alg": "EdDSA"}}}, "alg"),
        ({"dwk": "aauth-person.json"}, "dwk"),
        ({"typ": "aa-person+jwt"}, "typ"),
        ({"typ": "JWT"}, "typ"),
    ],
)
async def test_f21_a_token_that_is_not_the_one_asked_for_is_refused(
    liar: Liar, claims: dict[str, Any], reason: str
) -> None:
    """F21 and draft-11 §5.3.3, §11.5.2."""
    liar.issue(**claims)
    await liar.both_refuse(EnrollmentMismatch, reason)


async def test_a_token_for_another_key_is_refused(liar: Liar) -> None:
    liar.issue(cnf_key=new_key())
    await liar.both_refuse(EnrollmentMismatch, "cnf is not the key")


async def test_a_token_that_the_provider_did_not_sign_is_refused(liar: Liar) -> None:
    liar.issue(by=new_key())
    await liar.both_refuse(EnrollmentMismatch, "does not verify")


async def test_a_token_under_a_key_that_is_not_published_is_refused(liar: Liar) -> None:
    liar.issue(header={"kid": "unheard-of"})
    await liar.both_refuse(EnrollmentError, "keys of https://agents.example")


async def test_another_person_server_than_the_agents_is_refused(liar: Liar) -> None:
    for ps in ("https://evil.example", None):
        liar.issue(ps=ps)
        await liar.both_refuse(EnrollmentMismatch, "person server")


async def test_an_answer_that_names_another_agent_than_its_token_is_refused(liar: Liar) -> None:
    token = liar.issuer.agent_token(liar.key.public, now=int(liar.clock()), ps=PERSON_SERVER)
    liar.say(json_reply({"agent": "aauth:root@agents.example", "agent_token": token}))
    await liar.both_refuse(EnrollmentMismatch, "another agent")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"agent_token": 5}', b'{"agent_token": "a.b.c"}', b"\xff", b"<html>"]
)
async def test_an_answer_without_a_token_is_refused(liar: Liar, body: bytes) -> None:
    liar.say(Reply(200, body=body))
    await liar.both_refuse(EnrollmentMismatch, "answer|agent token")


@pytest.mark.parametrize("nonce", [{}, {"nonce": 5}, {"nonce": ""}, {"nonce": "x" * 1025}])
async def test_a_nonce_that_is_none_is_refused(liar: Liar, nonce: dict[str, Any]) -> None:
    liar.server.replies["/enrollment_nonce"] = json_reply(nonce)
    with pytest.raises(EnrollmentMismatch, match="no nonce"):
        await liar.enroll()
    assert liar.server.count("/enrollment") == 0


# Where a signature goes.


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (None, "does not serve this enrolment interface"),
        ("https://evil.example/enrollment", "another origin"),
        ("https://agents.example:8443/enrollment", "another origin"),
        ("http://agents.example/enrollment", "https"),
        ("https://agents.example/enrollment?x=1", "query"),
        ("https://user@agents.example/enrollment", "authority"),
        (5, "ASCII URL"),
    ],
)
async def test_nothing_is_sent_to_an_endpoint_that_is_not_the_providers_own(
    liar: Liar, internet: Internet, endpoint: object, reason: str
) -> None:
    """A signature is made for nobody but the provider (draft-11 §11.1.2)."""
    evil = await internet.issuer("evil.example")
    for name in ("enrollment_nonce_endpoint", "refresh_endpoint"):
        liar.server.metadata[name] = endpoint
        if endpoint is None:
            del liar.server.metadata[name]
    await liar.both_refuse(EnrollmentError, reason)
    assert evil.requests == []
    assert [request.method for request in liar.server.requests] == ["GET"]


async def test_a_pending_url_on_another_origin_is_not_followed(liar: Liar, internet: Internet) -> None:
    """draft-11 §11.8.2."""
    evil = await internet.issuer("evil.example")
    liar.say(json_reply({"status": "pending"}, ("location", "https://evil.example/pending/1"), status=202))
    for ask in (liar.enroll, liar.refresh):
        with pytest.raises(PendingElsewhere):
            await ask()
    assert evil.requests == []


async def test_a_redirect_is_not_followed(liar: Liar, internet: Internet) -> None:
    evil = await internet.issuer("evil.example")
    liar.say(json_reply({}, ("location", "https://evil.example/enrollment"), status=307))
    await liar.both_refuse(EnrollmentRefused, "307")
    assert evil.requests == []


async def test_metadata_of_another_issuer_is_refused(liar: Liar) -> None:
    """draft-11 §11.2."""
    liar.server.metadata["issuer"] = "https://evil.example"
    await liar.both_refuse(EnrollmentError, "metadata of https://agents.example")
    assert liar.server.count("/enrollment_nonce") == 0


@pytest.mark.parametrize("change", [{"name": "a+b"}, {"name": ""}, {"ps": "http://person.example"}])
async def test_what_no_provider_could_grant_is_not_asked(liar: Liar, change: dict[str, str]) -> None:
    with pytest.raises(InvalidIdentifier):
        await liar.enroll(**change)
    assert liar.server.requests == []


# What is said of a refusal.


async def test_a_refusal_says_what_to_do_and_shows_no_control_character(liar: Liar) -> None:
    liar.say(json_reply({"error": "name_taken", "detail": "no\x1b[2J\u202e good\n" + "x" * 999}, status=409))
    with pytest.raises(EnrollmentRefused) as refused:
        await liar.enroll()
    text = str(refused.value)
    assert (refused.value.code, refused.value.status) == ("name_taken", 409)
    assert text.isprintable()
    assert len(text) < 500
    assert "choose another name" in text


async def test_a_refusal_by_signature_error_and_one_with_a_wait_are_read(liar: Liar) -> None:
    liar.say(json_reply({"error": "x"}, ("signature-error", "error=clock_skew"), status=401))
    with pytest.raises(EnrollmentRefused, match="clock is ahead") as skewed:
        await liar.refresh()
    assert (skewed.value.code, skewed.value.status, skewed.value.retry_after) == ("clock_skew", 401, None)
    liar.say(Reply(401, (("signature-error", "error=expired_jwt"),), b"<html>"))
    with pytest.raises(EnrollmentRefused, match="401 expired_jwt"):
        await liar.refresh()
    liar.say(json_reply({"error": "rate_limited"}, ("signature-error", "=?"), ("retry-after", "15"), status=429))
    with pytest.raises(EnrollmentRefused) as paced:
        await liar.refresh()
    assert (paced.value.code, paced.value.retry_after) == ("rate_limited", 15)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": 5}', b"[]"])
async def test_a_refusal_without_a_reason_is_one_too(liar: Liar, body: bytes) -> None:
    liar.say(Reply(500, body=body))
    with pytest.raises(EnrollmentRefused, match="500 unknown"):
        await liar.enroll()


# What the agent sends.


async def test_only_the_durable_key_signs_an_enrolment_and_only_the_ephemeral_key_a_refresh(liar: Liar) -> None:
    """The durable key is shown to the provider alone; each request covers its body (draft-11 §11.3.3.1)."""
    await liar.enroll(evidence=lambda nonce: {**approved_by_a_person(nonce), "about": nonce})
    await liar.refresh()
    nonce, enrolled, refreshed = [request for request in liar.server.requests if request.method == "POST"]
    x = liar.durable.public.jwk["x"]
    assert all(f'x="{x}"' in str(request.header("signature-key")) for request in (nonce, enrolled))
    assert str(refreshed.header("signature-key")).startswith("sig=jkt-jwt;jwt=")
    for request in (enrolled, refreshed):
        assert '"content-digest" "content-type"' in str(request.header("signature-input"))
    assert b'"about": "n-1"' in enrolled.body
    assert str(cnf(liar.key.public)["jwk"]["x"]).encode() in enrolled.body
    assert refreshed.body == b"{}"
