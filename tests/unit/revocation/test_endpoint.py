"""The revocation endpoint, on both stores: recorded before anything else, and answered as draft-11 §11.12 says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aauthkit.protocol.jose import parse_json
from aauthkit.revocation import Revocation, RevocationLimits
from aauthkit.store import Database, Transaction, open_database
from aauthkit.trust import ANY, Trust
from tests.plugins.revoking import (
    AGENT_DWK,
    DAY,
    PERSON_DWK,
    PROVIDER,
    PS,
    RESOURCE_DWK,
    STRANGER,
    Party,
    Recipient,
    done,
    error_of,
    receiving,
    trusting,
)
from tests.plugins.signing import NOW, Issuer, Signer, new_key, with_header
from tests.plugins.tls import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def recipient(database: Database, clock: Clock) -> AsyncIterator[Recipient]:
    async with receiving(database, clock) as recipient:
        yield recipient


@pytest.fixture
def provider(recipient: Recipient) -> Party:
    return recipient.party()


@pytest.fixture
async def memory() -> AsyncIterator[Recipient]:
    """A recipient without a database: what needs no second engine."""
    async with receiving(None) as recipient:
        yield recipient


# Recorded.


async def test_f52_a_revocation_is_recorded_and_answered_with_an_empty_200(
    recipient: Recipient, provider: Party
) -> None:
    """F52; draft-11 §11.12.1, §11.12.3: `{jti, exp}`, the issuer is whoever signed; no body, no Content-Type."""
    assert not recipient.revocations.is_revoked(PROVIDER, "t-1")
    assert done(await provider.revoke("t-1"))
    assert recipient.revocations.is_revoked(PROVIDER, "t-1")
    assert not recipient.revocations.is_revoked(PROVIDER, "t-2")


async def test_f52_an_unknown_token_is_200_as_well_and_never_404(provider: Party) -> None:
    """F52; draft-11 §11.12.3, §C.2.7: there is no "not found"."""
    assert done(await provider.revoke("never issued"))


async def test_f52_one_issuer_cannot_revoke_anothers_token(recipient: Recipient, provider: Party) -> None:
    """F52; draft-11 §11.12.1: a caller revokes only its own tokens, whatever its body says."""
    other = recipient.party(f"{PROVIDER}.other.example")
    recipient.revocations._trust = trusting(PROVIDER, other.iss)
    body = json.dumps({"iss": PROVIDER, "jti": "t-1", "exp": NOW + 3600}).encode()
    assert done(await other.revoke(body=body))
    assert not recipient.revocations.is_revoked(PROVIDER, "t-1")
    assert recipient.revocations.is_revoked(other.iss, "t-1")


async def test_a_repeat_is_safe_and_records_nothing_new(recipient: Recipient, provider: Party) -> None:
    """draft-11 §11.12.3 Idempotence."""
    for _ in range(3):
        assert done(await provider.revoke("t-1"))
    assert len(recipient.revocations._tokens) == 1


async def test_the_very_same_request_again_is_answered_the_same(provider: Party) -> None:
    """A request that was lost on the way back may be sent again as it is: a repeat needs no protection."""
    request = provider.request("t-1")
    assert done(await provider.recipient.send(request))
    assert done(await provider.recipient.send(request))


async def test_of_two_expirations_the_later_one_stands(recipient: Recipient, provider: Party, clock: Clock) -> None:
    await provider.revoke("t-1", NOW + 100)
    await provider.revoke("t-1", NOW + 5000)
    await provider.revoke("t-1", NOW + 10)
    clock.advance(4000)
    await provider.revoke("other", NOW + 9000)
    assert recipient.revocations.is_revoked(PROVIDER, "t-1")


async def test_an_entry_is_dropped_once_its_token_and_the_tolerance_are_over(
    recipient: Recipient, provider: Party, database: Database, clock: Clock
) -> None:
    """draft-11 §11.12.1: MAY discard an entry past `exp` plus clock skew."""
    await provider.revoke("t-1", NOW + 100)
    clock.advance(160)
    await provider.revoke("t-2", NOW + 1000)
    assert not recipient.revocations.is_revoked(PROVIDER, "t-1")
    assert [row["jti"] for row in await database.fetch_all("SELECT jti FROM revoked_tokens")] == ["t-2"]


async def test_a_token_that_ended_long_ago_is_answered_and_takes_no_room(recipient: Recipient, provider: Party) -> None:
    assert done(await provider.revoke("t-1", NOW - 61))
    assert len(recipient.revocations._tokens) == 0
    assert done(await provider.revoke("t-2", NOW - 59))
    assert recipient.revocations.is_revoked(PROVIDER, "t-2")


async def test_a_restarted_server_knows_what_it_was_told(database: Database, clock: Clock) -> None:
    async with receiving(database, clock) as before:
        provider = before.party()
        await provider.revoke("t-1")
    async with receiving(database, clock) as after:
        assert after.revocations.is_revoked(PROVIDER, "t-1")


async def test_another_server_on_the_same_database_does_not_know_it(database: Database, clock: Clock) -> None:
    async with receiving(database, clock) as ours, receiving(database, clock, server="https://api.example") as theirs:
        await ours.party().revoke("t-1")
        assert ours.revocations.is_revoked(PROVIDER, "t-1")
        assert not theirs.revocations.is_revoked(PROVIDER, "t-1")
    async with receiving(database, clock, server="https://api.example") as theirs:
        assert not theirs.revocations.is_revoked(PROVIDER, "t-1")


async def test_f85_another_process_refuses_the_token_too(database_url: str, clock: Clock) -> None:
    """F85; every process of the server hears of it without asking."""
    first, second = await open_database(database_url), await open_database(database_url)
    async with receiving(first, clock) as one, receiving(second, clock) as other:
        await one.party().revoke("t-1")
        async with second.subscribe(f"revoked {PS}") as news:
            while not other.revocations.is_revoked(PROVIDER, "t-1"):
                await news.wait(0.05)
    await first.close()
    await second.close()


async def test_news_that_were_missed_are_read_from_the_records(database: Database, clock: Clock) -> None:
    async with receiving(database, clock) as recipient:
        await database.execute(
            "INSERT INTO revoked_tokens (server, iss, jti, exp, recorded) VALUES (:s, :i, 't-9', :e, 1)",
            s=PS,
            i=PROVIDER,
            e=NOW + 100,
        )
        await database.notify(f"revoked {PS}")
        async with database.subscribe(f"revoked {PS}") as news:
            while not recipient.revocations.is_revoked(PROVIDER, "t-9"):
                await news.wait(0.05)


async def test_before_the_records_are_read_nothing_is_said_of_any_token(database: Database, clock: Clock) -> None:
    async with receiving(database, clock, start=False) as recipient:
        with pytest.raises(RuntimeError, match="start this server first"):
            recipient.revocations.is_revoked(PROVIDER, "t-1")


async def test_without_a_database_it_is_remembered_until_the_end(memory: Recipient) -> None:
    assert done(await memory.party().revoke("t-1"))
    assert memory.revocations.is_revoked(PROVIDER, "t-1")


async def test_what_else_changes_with_a_revocation_is_kept_with_it_once(database: Database, clock: Clock) -> None:
    told: list[Revocation] = []

    async def effect(tx: Transaction, revocation: Revocation) -> None:
        told.append(revocation)
        await tx.execute("UPDATE revoked_tokens SET recorded = 7 WHERE jti = :jti", jti=revocation.jti)

    async with receiving(database, clock, effect=effect) as recipient:
        provider = recipient.party()
        for _ in range(2):
            assert done(await provider.revoke("t-1"))
    assert told == [Revocation(PROVIDER, AGENT_DWK, "t-1", NOW + 3600)]
    assert (await database.fetch_one("SELECT recorded FROM revoked_tokens")) == {"recorded": 7}


async def test_where_that_fails_nothing_is_kept_and_the_caller_is_told(database: Database, clock: Clock) -> None:
    async def effect(_tx: Transaction, _revocation: Revocation) -> None:
        raise ValueError("our own fault")

    async with receiving(database, clock, effect=effect) as recipient:
        assert error_of(await recipient.party().revoke("t-1")) == (500, "server_error")
        assert not recipient.revocations.is_revoked(PROVIDER, "t-1")
        assert await database.fetch_all("SELECT jti FROM revoked_tokens") == []


def test_an_effect_or_a_cascade_needs_a_database() -> None:
    settings: dict[str, Any] = {"dwks": (), "trust": Trust(), "discovery": None, "longest": 1}
    from aauthkit.revocation import Revocations

    for name in ("effect", "cascade"):
        with pytest.raises(ValueError, match="needs a database"):
            Revocations(PS, None, **settings, **{name: lambda *_: None})


# Refused.


async def test_f52_a_caller_that_is_not_accepted_gets_unsupported_iss(memory: Recipient) -> None:
    """F52; draft-11 §11.12.3: 403, after its signature was verified; nothing is recorded."""
    stranger = memory.party(STRANGER)
    assert error_of(await stranger.revoke("t-1")) == (403, "unsupported_iss")
    assert not memory.revocations.is_revoked(STRANGER, "t-1")


async def test_an_issuer_is_accepted_in_its_own_role_only(memory: Recipient) -> None:
    """A resource is not an agent provider, though both may revoke at a person server."""
    posing = memory.party(PROVIDER, RESOURCE_DWK)
    assert error_of(await posing.revoke("t-1")) == (403, "unsupported_iss")


async def test_a_role_that_revokes_nothing_here_is_refused_without_a_look(memory: Recipient) -> None:
    other = memory.party(STRANGER, PERSON_DWK)
    assert error_of(await other.revoke("t-1")) == (401, "invalid_key")


@pytest.mark.parametrize("component", ["content-digest", "content-type"])
async def test_a_body_whose_digest_or_type_is_not_covered_is_refused(memory: Recipient, component: str) -> None:
    """draft-11 §11.12.1: a MUST, at a resource as much as at a person server."""
    answer = await memory.party().revoke("t-1", drop=(component,))
    assert error_of(answer) == (401, "invalid_input")
    assert component in str(answer.header("signature-error"))
    assert not memory.revocations.is_revoked(PROVIDER, "t-1")


async def test_a_request_without_a_body_is_refused(memory: Recipient) -> None:
    assert error_of(await memory.party().revoke(body=b"")) == (401, "invalid_input")


async def test_another_body_than_the_one_signed_is_refused(memory: Recipient) -> None:
    provider = memory.party()
    signed, other = provider.request("t-1"), provider.request("t-2")
    from dataclasses import replace

    assert error_of(await memory.send(replace(signed, body=other.body))) == (401, "invalid_signature")
    assert not memory.revocations.is_revoked(PROVIDER, "t-2")


@pytest.mark.parametrize("scheme", ["hwk", "jwt", "jkt-jwt"])
async def test_any_other_scheme_than_jwks_uri_is_refused(memory: Recipient, scheme: str) -> None:
    """draft-11 §11.3.2, §11.12.1: the caller signs as a server."""
    key, provider = new_key(), memory.party()
    signers = {
        "hwk": Signer.bare(key),
        "jwt": Signer.token(key, provider.issuer.agent_token(key.public)),
        "jkt-jwt": Signer.delegated(new_key(), key),
    }
    answer = await provider.revoke("t-1", signer=signers[scheme])
    assert error_of(answer) == (401, "unsupported_scheme")
    assert answer.header("accept-signature-scheme") == "jwks_uri"


async def test_an_unsigned_request_and_a_forged_one_are_401(memory: Recipient) -> None:
    provider = memory.party()
    for name in ("signature", "signature-input", "signature-key"):
        bare = with_header(provider.request("t-1"), name, None)
        assert error_of(await memory.send(bare)) == (401, "invalid_signature")
    forger = Issuer(PROVIDER)
    forger.key = new_key()
    honest = Signer.server(provider.issuer, AGENT_DWK)
    forged = Signer(forger.key, honest.signature_key)
    assert error_of(await provider.revoke("t-1", signer=forged)) == (401, "invalid_signature")
    assert error_of(await provider.revoke("t-1", signer=Signer.server(forger, AGENT_DWK))) == (401, "unknown_key")
    assert not memory.revocations.is_revoked(PROVIDER, "t-1")


async def test_a_request_made_for_another_server_is_refused(memory: Recipient) -> None:
    """draft-11 §11.3.4: the authority is the configured one."""
    provider = memory.party()
    body = json.dumps({"jti": "t-1", "exp": NOW + 3600}).encode()
    elsewhere = Signer.server(provider.issuer, AGENT_DWK).sign("POST", "https://other.example/revoke", body=body)
    assert error_of(await memory.send(elsewhere)) == (401, "invalid_signature")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"t-1"',
        b"{}",
        b'{"jti": "t-1"}',
        b'{"exp": 1795003600}',
        b'{"jti": "", "exp": 1795003600}',
        b'{"jti": 7, "exp": 1795003600}',
        b'{"jti": null, "exp": 1795003600}',
        b'{"jti": ["t-1"], "exp": 1795003600}',
        b'{"jti": "a\\u0000b", "exp": 1795003600}',
        b'{"jti": "a\\nb", "exp": 1795003600}',
        b'{"jti": "t-1", "jti": "t-2", "exp": 1795003600}',
        b'{"jti": "t-1", "exp": "1795003600"}',
        b'{"jti": "t-1", "exp": 1795003600.5}',
        b'{"jti": "t-1", "exp": true}',
        b'{"jti": "t-1", "exp": null}',
        b'{"jti": "t-1", "exp": -1}',
        b'{"jti": "t-1", "exp": NaN}',
        b'{"jti": "t-1", "exp": 99999999999999999999999}',
        json.dumps({"jti": "x" * 256, "exp": NOW + 1}).encode(),
    ],
)
async def test_a_body_out_of_form_is_invalid_request(memory: Recipient, body: bytes) -> None:
    """draft-11 §11.12.3 Table 19."""
    assert error_of(await memory.party().revoke(body=body)) == (400, "invalid_request")
    assert len(memory.revocations._tokens) == 0


async def test_every_jti_that_a_token_may_have_can_be_revoked(recipient: Recipient, provider: Party) -> None:
    for jti in ("a", "x" * 255, "é🔑" * 127, "a b", '"'):
        assert done(await provider.revoke(jti))
        assert recipient.revocations.is_revoked(PROVIDER, jti)


async def test_an_expiration_beyond_the_longest_lifetime_is_refused(memory: Recipient) -> None:
    """draft-11 §11.12.1: it would bound nothing."""
    provider = memory.party()
    assert done(await provider.revoke("t-1", NOW + DAY + 60))
    assert error_of(await provider.revoke("t-2", NOW + DAY + 61)) == (400, "invalid_request")
    assert error_of(await provider.revoke("t-3", 2**53 - 1)) == (400, "invalid_request")
    assert len(memory.revocations._tokens) == 1


async def test_unknown_members_are_ignored(memory: Recipient) -> None:
    body = json.dumps({"jti": "t-1", "exp": NOW + 9, "reason": "stolen"}).encode()
    assert done(await memory.party().revoke(body=body))


async def test_another_type_and_a_huge_body_are_refused(memory: Recipient) -> None:
    provider = memory.party()
    assert error_of(await provider.revoke("t-1", content_type="text/plain")) == (415, "unsupported_media_type")
    huge = json.dumps({"jti": "t-1", "exp": NOW + 9, "x": "x" * 8192}).encode()
    assert error_of(await provider.revoke(body=huge)) == (413, "payload_too_large")


async def test_other_methods_are_not_served(memory: Recipient) -> None:
    provider = memory.party()
    answer = await memory.send(Signer.server(provider.issuer, AGENT_DWK).sign("GET", f"{PS}/revoke"))
    assert error_of(answer) == (405, "method_not_allowed")
    poll = await memory.send(Signer.server(provider.issuer, AGENT_DWK).sign("GET", f"{PS}/revoke/pending/x"))
    assert poll.status == 404


# Bounded.


async def test_one_issuer_holds_so_many_and_no_more(clock: Clock) -> None:
    """draft-11 §11.12.3: in entries; `rate_limited` with Retry-After, until one of its tokens has expired."""
    limits = RevocationLimits(entries_per_issuer=2)
    async with receiving(None, clock, limits=limits, trust=Trust(agent_providers=ANY)) as recipient:
        provider = recipient.party()
        assert done(await provider.revoke("t-1", NOW + 100))
        assert done(await provider.revoke("t-2", NOW + 200))
        refused = await provider.revoke("t-3", NOW + 300)
        assert error_of(refused) == (429, "rate_limited")
        assert refused.header("retry-after") == "161"
        assert done(await provider.revoke("t-1", NOW + 100)), "what is held already takes no room"
        assert done(await recipient.party(STRANGER).revoke("t-3")), "another issuer has its own share"
        clock.advance(161)
        assert done(await provider.revoke("t-3", NOW + 300))


async def test_all_issuers_together_hold_so_many_and_no_more(clock: Clock) -> None:
    async with receiving(None, clock, limits=RevocationLimits(entries=2), trust=Trust(agent_providers=ANY)) as memory:
        for number in range(2):
            assert done(await memory.party(f"https://a{number}.example").revoke("t-1", NOW + 100))
        refused = await memory.party(STRANGER).revoke("t-1")
        assert error_of(refused) == (429, "rate_limited")
        assert int(str(refused.header("retry-after"))) > 0
        clock.advance(161)
        assert done(await memory.party(STRANGER).revoke("t-1"))


async def test_one_issuer_comes_so_often_and_no_oftener(clock: Clock) -> None:
    """draft-11 §11.12.3: in rate; repeats count."""
    limits = RevocationLimits(per_minute=3)
    async with receiving(None, clock, limits=limits, trust=Trust(agent_providers=ANY)) as recipient:
        provider = recipient.party()
        answers = [await provider.revoke("t-1") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].header("retry-after") == "20"
        assert parse_json(answers[-1].body)["error"] == "rate_limited"
        assert done(await recipient.party(STRANGER).revoke("t-1"))
        clock.advance(20)
        assert done(await provider.revoke("t-1"))


async def test_whoever_is_not_accepted_uses_up_no_share(clock: Clock) -> None:
    async with receiving(None, clock, limits=RevocationLimits(per_minute=1)) as recipient:
        stranger, provider = recipient.party(STRANGER), recipient.party()
        for _ in range(3):
            assert error_of(await stranger.revoke("t-1")) == (403, "unsupported_iss")
        assert error_of(await provider.revoke("t-1", drop=("content-digest",))) == (401, "invalid_input")
        assert done(await provider.revoke("t-1"))
