"""Requests that an agent provider must refuse for what they are (draft-11 §11.3.4, §11.9; docs/enrollment.md)."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aauthkit.keys import KeyFile, KeyFileError
from aauthkit.protocol.httpsig import content_digest
from aauthkit.protocol.jose import sign_jwt
from aauthkit.protocol.signature_key import JKT_PREFIX, JKT_TYP
from aauthkit.provider import AgentProvider, Evidence, Verdict
from aauthkit.serving import BytesBody
from aauthkit.store import Database, open_database
from aauthkit.trust import NOBODY
from tests.plugins.enrolling import (
    PERSON_SERVER,
    Applicant,
    body_of,
    error_of,
    on_record,
    serving,
    signature_error,
    start_provider,
    target_of,
    token_of,
)
from tests.plugins.signing import NOW, Signer, cnf, new_key, with_header
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    """These rules are decided before a record is read: one engine will do, and memory."""
    opened = await open_database("sqlite://:memory:")
    yield opened
    await opened.close()


@pytest.fixture
async def provider(database: Database, clock: Clock) -> AsyncIterator[AgentProvider]:
    async with serving(database, clock) as provider:
        yield provider


@pytest.fixture
async def victim(provider: AgentProvider, clock: Clock) -> Applicant:
    """An enrolled agent whose public keys everybody knows."""
    victim = Applicant(provider, clock)
    await victim.enrolled(ps=PERSON_SERVER)
    return victim


@pytest.fixture
def attacker(provider: AgentProvider, clock: Clock) -> Applicant:
    return Applicant(provider, clock, name="mallory", peer="198.51.100.9")


# Bodies.


async def test_a_body_that_the_signature_does_not_speak_of_is_refused(
    provider: AgentProvider, attacker: Applicant, victim: Applicant
) -> None:
    """draft-11 §11.3.3.1: a foreign body under a good signature, and a foreign digest with it."""
    nonce = await attacker.nonce()
    request = attacker.signed("POST", "/enrollment", body=json.dumps(attacker.asking(nonce)).encode())
    foreign = json.dumps(attacker.asking(nonce, ps="https://evil.example")).encode()
    swapped = with_header(replace(request, body=BytesBody(foreign)), "content-length", str(len(foreign)))
    assert signature_error(await provider.answer(swapped)) == (401, "invalid_signature")
    redigested = with_header(swapped, "content-digest", content_digest(foreign))
    assert signature_error(await provider.answer(redigested)) == (401, "invalid_signature")
    assert await provider.pending() == []
    assert (await attacker.ask(nonce=nonce)).status == 202


@pytest.mark.parametrize("missing", ["content-digest", "content-type", "@method", "@authority", "@path"])
@pytest.mark.parametrize("path", ["/enrollment", "/refresh"])
async def test_every_required_component_is_covered(
    provider: AgentProvider, victim: Applicant, path: str, missing: str
) -> None:
    """draft-11 §11.3.3.1, §11.3.4 step 2."""
    before = await on_record(provider)
    if path == "/refresh":
        answer = await victim.refresh(drop=[missing])
    else:
        answer = await victim.ask(knobs={"drop": [missing]})
    assert signature_error(answer) == (401, "invalid_input")
    assert f'"{missing}"' in str(answer.header("signature-error"))
    assert await on_record(provider) == before


async def test_a_request_signed_for_another_provider_is_refused_here(
    provider: AgentProvider, victim: Applicant
) -> None:
    """A provider that the agent also uses relays what it was sent, under the Host of this one."""
    elsewhere = replace(victim, iss="https://evil.example")
    signer = Signer.delegated(victim.durable, new_key(), now=int(victim.clock()), lifetime=300)
    request = elsewhere.signed("POST", "/refresh", signer=signer, body=b"{}")
    relayed = with_header(request, "host", "agents.example")
    assert signature_error(await provider.answer(relayed)) == (401, "invalid_signature")


@pytest.mark.parametrize(
    "change",
    [
        {"evidence": {"type": "passport"}},
        {"evidence": {"type": 5}},
        {"evidence": {}},
        {"evidence": "person"},
        {"ps": "http://person.example"},
        {"ps": "https://person.example/"},
        {"ps": "https://person.example:8443"},
        {"ps": "https://PERSON.example"},
        {"ps": 7},
        {"platform": "toaster"},
        {"platform": ["web"]},
        {"device": "x" * 65},
        {"device": "Lap\u202etop"},
        {"device": "a\nb"},
        {"device": ""},
        {"key": "nonsense"},
        {"key": []},
        {"key": {}},
    ],
)
async def test_an_ask_that_is_not_in_form_is_400(
    provider: AgentProvider, attacker: Applicant, change: dict[str, Any]
) -> None:
    """draft-11 §11.9.3; F30 for `ps`."""
    assert error_of(await attacker.ask(**change)) == (400, "invalid_request")
    assert await provider.pending() == []


@pytest.mark.parametrize("missing", ["name", "nonce", "key", "evidence"])
async def test_an_ask_that_lacks_a_member_is_400(attacker: Applicant, missing: str) -> None:
    body = {name: value for name, value in attacker.asking(await attacker.nonce()).items() if name != missing}
    answer = await attacker.send(attacker.signed("POST", "/enrollment", body=json.dumps(body).encode()))
    assert error_of(answer) == (400, "invalid_request")


async def test_the_types_of_evidence_served_are_named(attacker: Applicant) -> None:
    answer = await attacker.ask(evidence={"type": "passport"})
    assert "person" in body_of(answer)["detail"]


async def test_a_person_server_outside_the_policy_is_refused(database: Database, clock: Clock) -> None:
    async with serving(database, clock, person_servers={PERSON_SERVER}) as provider:
        agent = Applicant(provider, clock)
        assert error_of(await agent.ask(ps="https://evil.example")) == (400, "invalid_request")
        assert (await agent.ask(ps=PERSON_SERVER)).status == 202
    async with serving(database, clock, person_servers=NOBODY) as provider:
        assert error_of(await Applicant(provider, clock).ask(ps=PERSON_SERVER)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "name",
    ["a+b", "+", "", "a b", "a@b", "ä", "a/b", "a" * 256, "aauth:a", "a\n", "a\u202e", 7, ["a"], {"a": 1}, True],
)
async def test_a_name_outside_the_draft_is_refused(provider: AgentProvider, attacker: Applicant, name: object) -> None:
    """draft-11 §5.2; `+` is for sub-agents."""
    assert error_of(await attacker.ask(name=name)) == (400, "invalid_request")
    assert await provider.pending() == []


# F91: garbage is 401 or 400, a fault of our own 500.


def broken_keys() -> list[dict[str, Any]]:
    good = cnf(new_key().public)["jwk"]
    es256 = cnf(new_key("ES256").public)["jwk"]
    return [
        {**good, "alg": "EdDSA"},
        {**good, "alg": "none"},
        {**good, "alg": "HS256"},
        {name: value for name, value in good.items() if name != "alg"},
        {**good, "crv": "P-256"},
        {**good, "kty": "EC"},
        {**good, "x": "AAAA"},
        {**good, "x": "%%%"},
        {**good, "x": 5},
        {**good, "d": "AAAA"},
        {"kty": "oct", "k": "AAAA", "alg": "HS256"},
        {**es256, "y": es256["x"]},
        {name: value for name, value in es256.items() if name != "y"},
    ]


@pytest.mark.parametrize("number", range(len(broken_keys())))
async def test_f91_a_submitted_key_that_cannot_be_used_is_400(
    provider: AgentProvider, attacker: Applicant, number: int
) -> None:
    """F91; draft-11 §11.3.1."""
    assert error_of(await attacker.ask(key=broken_keys()[number])) == (400, "invalid_request")
    assert await provider.pending() == []


async def test_the_durable_key_is_never_the_key_of_a_token(provider: AgentProvider, victim: Applicant) -> None:
    """Two keys: the durable one is shown to the provider alone (bootstrap, Per-Platform Key Handling)."""
    before = await on_record(provider)
    assert error_of(await victim.ask(key=cnf(victim.durable.public)["jwk"])) == (400, "invalid_request")
    assert error_of(await victim.refresh(victim.durable)) == (400, "invalid_request")
    assert await on_record(provider) == before


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ('hwk;kty="OKP";crv="Ed25519";x="{x}";alg="EdDSA"', "unsupported_algorithm"),
        ('hwk;kty="OKP";crv="Ed25519";x="{x}"', "unsupported_algorithm"),
        ('hwk;kty="oct";k="AAAA";alg="HS256"', "unsupported_algorithm"),
        ('hwk;kty="OKP";crv="Ed25519";x="{x}";alg="Ed25519";kid="a"', "invalid_key"),
        ('hwk;kty="OKP";crv="Ed25519";x="AAAA";alg="Ed25519"', "invalid_key"),
        ('hwk;kty="EC";crv="Ed25519";x="{x}";alg="Ed25519"', "invalid_key"),
        ("hwk", "invalid_key"),
        ("hwk;kty=5", "invalid_key"),
        ('jwt;jwt="a.b.c"', "unsupported_scheme"),
        ('jkt-jwt;jwt="a.b.c"', "unsupported_scheme"),
        ('jwks_uri;id="https://a.example";dwk="aauth-agent.json";kid="a"', "unsupported_scheme"),
        ('x509;x5u="https://a.example"', "unsupported_scheme"),
        ("nonsense", "unsupported_scheme"),
    ],
)
async def test_f91_a_durable_key_that_cannot_be_used_is_401(attacker: Applicant, member: str, code: str) -> None:
    """F91; draft-11 §11.3.4 steps 4 to 6: `hwk` and nothing else, its `alg` fully specified."""
    x = attacker.durable.public.jwk["x"]
    signer = Signer(attacker.durable, f"sig={member.format(x=x)}")
    for path, body in (("/enrollment/nonce", b""), ("/enrollment", b"{}")):
        answer = await attacker.send(attacker.signed("POST", path, signer=signer, body=body))
        assert signature_error(answer) == (401, code)
        if code == "unsupported_scheme":
            assert answer.header("accept-signature-scheme") == "hwk"
        if code == "unsupported_algorithm":
            assert answer.header("accept-signature-alg") == "Ed25519, ES256"


async def test_an_unsigned_request_is_401_with_signature_error(provider: AgentProvider, attacker: Applicant) -> None:
    """F14; draft-11 §11.3.4 step 1."""
    pending = target_of(str((await attacker.ask()).header("location")))
    for method, path in (
        ("POST", "/enrollment/nonce"),
        ("POST", "/enrollment"),
        ("POST", "/refresh"),
        ("GET", pending),
        ("DELETE", pending),
    ):
        signed = attacker.signed(method, path)
        for name in ("signature", "signature-input", "signature-key"):
            assert signature_error(await provider.answer(with_header(signed, name, None))) == (401, "invalid_signature")


@pytest.mark.parametrize("value", ["", "sig", "sig=", "sig=:a:", 'sig="x"', "sig=(;", "\x00", "é", "sig=:" + "A" * 99])
@pytest.mark.parametrize("name", ["signature", "signature-input", "signature-key", "content-digest"])
async def test_f91_garbage_in_signature_headers_is_401(attacker: Applicant, name: str, value: str) -> None:
    """F91."""
    request = attacker.signed("POST", "/enrollment", body=json.dumps(attacker.asking("n")).encode())
    answer = await attacker.send(with_header(request, name, value))
    assert answer.status == 401
    signature_error(answer)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"\xff", b'{"name":"a","name":"b"}', b"[" * 100, b"{}"])
async def test_f91_a_body_that_is_no_json_object_is_400(attacker: Applicant, raw: bytes) -> None:
    """F91."""
    answer = await attacker.send(attacker.signed("POST", "/enrollment", body=raw))
    assert error_of(answer) == (400, "invalid_request")


async def test_a_body_of_another_type_or_over_the_limit_is_refused(attacker: Applicant) -> None:
    form = attacker.signed("POST", "/enrollment", body=b"a=b", content_type="application/x-www-form-urlencoded")
    assert error_of(await attacker.send(form)) == (415, "unsupported_media_type")
    huge = attacker.signed("POST", "/enrollment", body=b'{"a":"' + b"x" * 70_000 + b'"}')
    assert error_of(await attacker.send(huge)) == (413, "payload_too_large")


async def test_f91_a_fault_in_an_evidence_verifier_is_500_and_enrols_nobody(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """F91: a fault of the application's own is never the agent's; F87: and its text stays here."""

    async def faulty(_evidence: Evidence) -> Verdict:
        raise KeyError("the secret of the attestation service")

    async with serving(database, clock, evidence={"badge": faulty}) as provider:
        with caplog.at_level(logging.CRITICAL):
            answer = await Applicant(provider, clock).ask(evidence={"type": "badge"})
        assert error_of(answer) == (500, "server_error")
        assert b"secret" not in answer.body
        assert await provider.agents() == []
        assert await provider.pending() == []


# Delegations.


@pytest.mark.parametrize(
    ("shift", "lifetime", "code"),
    [
        (-400, 300, "expired_jwt"),
        (-300, 300, "expired_jwt"),
        (0, 601, "invalid_jwt"),
        (0, 86400, "invalid_jwt"),
        (61, 300, "clock_skew"),
    ],
)
async def test_a_delegation_is_short_and_of_now(victim: Applicant, shift: int, lifetime: int, code: str) -> None:
    """Signature-Keys §3.5 step 9: a stolen ephemeral key must not refresh itself for long."""
    now = int(victim.clock())
    signer = Signer.delegated(victim.durable, victim.key, now=now + shift, lifetime=lifetime)
    assert signature_error(await victim.refresh(signer=signer)) == (401, code)


@pytest.mark.parametrize(
    ("header", "claims", "code"),
    [
        ({"typ": "jkt-s512+jwt"}, {}, "invalid_jwt"),
        ({"typ": "JWT"}, {}, "invalid_jwt"),
        ({}, {"iss": JKT_PREFIX + "A" * 43}, "invalid_jwt"),
        ({}, {"iss": None}, "invalid_jwt"),
        ({}, {"iat": "now"}, "invalid_jwt"),
        ({}, {"exp": None}, "invalid_jwt"),
        ({}, {"cnf": None}, "invalid_jwt"),
        ({}, {"cnf": {"jwk": {"kty": "OKP"}}}, "unsupported_algorithm"),
        ({"jwk": "nonsense"}, {}, "invalid_key"),
        ({"crit": ["x"]}, {}, "invalid_jwt"),
    ],
)
async def test_a_delegation_that_is_not_in_form_is_401(
    victim: Applicant, header: dict[str, Any], claims: dict[str, Any], code: str
) -> None:
    """Signature-Keys §3.5 steps 1 to 10."""
    now = int(victim.clock())
    whole = {"iss": JKT_PREFIX + victim.durable.kid, "iat": now, "exp": now + 300, "cnf": cnf(victim.key.public)}
    kept = {name: value for name, value in {**whole, **claims}.items() if value is not None}
    token = sign_jwt(victim.durable, {"typ": JKT_TYP, "jwk": cnf(victim.durable.public)["jwk"], **header}, kept)
    signer = Signer(victim.key, f'sig=jkt-jwt;jwt="{token}"')
    assert signature_error(await victim.refresh(signer=signer)) == (401, code)


async def test_a_key_that_is_not_enrolled_refreshes_nothing(provider: AgentProvider, attacker: Applicant) -> None:
    """The signature is good, the caller is refused: 403 without Signature-Error (Signature-Keys §5.3)."""
    await attacker.ask()
    answer = await attacker.refresh()
    assert error_of(answer) == (403, "access_denied")
    assert answer.header("signature-error") is None


async def test_a_refresh_signed_by_the_durable_key_alone_is_the_wrong_scheme(victim: Applicant) -> None:
    answer = await victim.refresh(signer=Signer.bare(victim.durable))
    assert signature_error(answer) == (401, "unsupported_scheme")
    assert answer.header("accept-signature-scheme") == "jkt-jwt"


async def test_an_enrolment_signed_through_a_delegation_is_the_wrong_scheme(victim: Applicant) -> None:
    signer = Signer.delegated(victim.durable, victim.key, now=int(victim.clock()))
    answer = await victim.send(victim.signed("POST", "/enrollment/nonce", signer=signer))
    assert signature_error(answer) == (401, "unsupported_scheme")
    assert answer.header("accept-signature-scheme") == "hwk"


# Keys, identifiers, logs.


async def test_f88_a_key_file_that_others_can_read_is_refused_at_start(tmp_path: Any) -> None:
    """F88."""
    path = tmp_path / "keys" / "agents.jwks"
    KeyFile(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        KeyFile(path)


@pytest.mark.parametrize(
    "issuer",
    ["http://agents.example", "https://agents.example/", "https://agents.example:8443", "https://Agents.example", "x"],
)
async def test_f21_a_provider_has_a_domain_of_its_own(database: Database, issuer: str) -> None:
    """F21, F30; draft-11 §5.2: the domain of every agent is the host of this issuer, so it must be one."""
    with pytest.raises(ValueError, match=r"identifier|https|lower-case"):
        await start_provider(database, issuer=issuer)


@pytest.mark.parametrize("lifetime", [0, -1, 86401])
async def test_an_agent_token_never_lives_over_a_day(database: Database, lifetime: int) -> None:
    """draft-11 §5.3.1."""
    with pytest.raises(ValueError, match="86400"):
        await start_provider(database, token_lifetime=lifetime)


async def test_f21_every_token_names_an_agent_of_this_domain(provider: AgentProvider, attacker: Applicant) -> None:
    """F21: a name cannot smuggle another domain in."""
    for name in ("ceo@bank.example", "aauth:ceo@bank.example", "ceo%40bank.example"):
        assert error_of(await attacker.ask(name=name)) == (400, "invalid_request")
    assert (await attacker.enrolled(name="ceo.bank.example")).sub == "aauth:ceo.bank.example@agents.example"


async def test_f87_no_token_key_nonce_or_location_is_logged(
    provider: AgentProvider, victim: Applicant, attacker: Applicant, caplog: pytest.LogCaptureFixture
) -> None:
    """F87: what an operator reads is names and thumbprints."""
    with caplog.at_level(logging.DEBUG, logger="aauthkit"):
        nonce = await attacker.nonce()
        pending = await attacker.ask(nonce=nonce)
        await provider.approve("mallory")
        token = token_of(await attacker.poll(pending))
        await provider.end("mallory")
    secrets = [nonce, token.raw, token.jti, str(pending.header("location")).rsplit("/", 1)[1]]
    logged = caplog.text
    assert f"durable key {attacker.durable.kid}" in logged
    assert not [secret for secret in secrets if secret in logged]
