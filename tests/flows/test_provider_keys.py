"""A provider whose keys change while it serves: no refresh refused, no token in doubt (F33; draft-11 §11.4)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aauthkit.callers import Agent
from aauthkit.discovery import Discovery
from aauthkit.keys import MARGIN, PUBLISHED_BEFORE, KeyFile
from aauthkit.protocol.tokens import AGENT_TYP, AgentToken, read_token
from aauthkit.provider import AgentProvider
from aauthkit.provider.limits import Limits
from aauthkit.serving import Request
from aauthkit.store import Database, open_database
from aauthkit.trust import ANY, Trust
from aauthkit.verification import Accepts, Verifier
from tests.plugins.discovering import Discover
from tests.plugins.enrolling import PERSON_SERVER, PROVIDER, Applicant, body_of, serving
from tests.plugins.hosting import host
from tests.plugins.signing import NOW, Signer
from tests.plugins.tls import Clock, Internet

pytestmark = pytest.mark.anyio

API = "https://api.example"
HOUR = 3600
OFTEN = Limits(refreshes_per_minute=100_000)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> KeyFile:
    return KeyFile(tmp_path / "keys" / "provider.jwks", lifetime=HOUR, clock=clock)


@pytest.fixture
async def provider(database: Database, clock: Clock, keys: KeyFile) -> AsyncIterator[AgentProvider]:
    async with serving(database, clock, keys=keys, limits=OFTEN) as provider:
        yield provider


async def refreshed(planner: Applicant) -> AgentToken:
    answer = await planner.refresh()
    assert answer.status == 200, answer.body
    token = read_token(body_of(answer)["agent_token"], {AGENT_TYP})
    assert isinstance(token, AgentToken)
    return token


async def enrolled(provider: AgentProvider, clock: Clock) -> Applicant:
    planner = Applicant(provider, clock)
    pending = await planner.ask()
    await provider.approve("planner")
    assert (await planner.poll(pending)).status == 200
    return planner


async def check(token: AgentToken, planner: Applicant, discovery: Discovery) -> None:
    """A resource that finds the provider's keys by itself accepts this token."""
    verifier = Verifier(API, discovery=discovery, trust=Trust(agent_providers=ANY), clock=planner.clock)
    signed = Signer.token(planner.key, token.raw).sign("GET", f"{API}/orders", now=int(planner.clock()))
    verified = await verifier.verify(signed.as_signed(API), Accepts(("jwt",), frozenset({AGENT_TYP})))
    assert isinstance(verified.caller, Agent)


async def test_f33_keys_rotate_under_load_without_one_refused_refresh_or_token(
    provider: AgentProvider, keys: KeyFile, clock: Clock, internet: Internet, discover: Discover
) -> None:
    """F33: three rotations in six hours of refreshes; each token is accepted at once, and until it expires."""
    await host(internet, "agents.example", provider)
    planner = await enrolled(provider, clock)
    # Two resources that learned the keys at different times: one looks a minute after each rotation, one just before.
    eager, idle = discover(), discover()
    alive: list[AgentToken] = []
    signed_by: set[str] = set()
    for minute in range(6 * 60):
        if minute % 120 == 0:
            await check(await refreshed(planner), planner, idle)
            await asyncio.gather(asyncio.to_thread(keys.rotate), *(refreshed(planner) for _ in range(5)))
        token = await refreshed(planner)
        signed_by.add(token.kid)
        await check(token, planner, eager)
        alive = [one for one in alive if one.exp > clock.now]
        if minute % 60 == 59:
            for one in (*alive, token):
                await check(one, planner, idle)
        if minute % 10 == 0:
            alive.append(token)
        clock.advance(60)
    assert len(signed_by) == 4


async def test_f33_the_moment_a_new_key_signs_every_resource_may_fetch_it(
    provider: AgentProvider, keys: KeyFile, clock: Clock, internet: Internet, discover: Discover
) -> None:
    """F33: even one that fetched the keys the second before the next one was published."""
    await host(internet, "agents.example", provider)
    planner = await enrolled(provider, clock)
    resource = discover()
    await check(await refreshed(planner), planner, resource)
    clock.advance(1)
    following = keys.rotate()
    clock.advance(PUBLISHED_BEFORE)
    token = await refreshed(planner)
    assert token.kid == following.kid
    await check(token, planner, resource)


async def test_f33_the_last_token_of_an_old_key_is_accepted_to_its_last_second(
    provider: AgentProvider, keys: KeyFile, clock: Clock, internet: Internet, discover: Discover
) -> None:
    """F33: by a resource that never saw the key before."""
    await host(internet, "agents.example", provider)
    planner = await enrolled(provider, clock)
    before = keys.current.kid
    keys.rotate()
    clock.advance(PUBLISHED_BEFORE - 1)
    last = await refreshed(planner)
    assert last.kid == before
    clock.now = last.exp - 1
    await check(last, planner, discover())
    clock.advance(MARGIN + 2)
    jwks = body_of(await provider.answer(Request("GET", "/.well-known/jwks.json", ())))
    assert [jwk["kid"] for jwk in jwks["keys"]] == [keys.current.kid]


async def test_a_rotation_by_another_process_reaches_the_running_provider(
    provider: AgentProvider, keys: KeyFile, clock: Clock
) -> None:
    """`aauthkit keys rotate`, beside it: nothing is restarted."""
    planner = await enrolled(provider, clock)
    program = f"from aauthkit.keys import KeyFile; print(KeyFile({str(keys.path)!r}, clock=lambda: {NOW}).rotate().kid)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    jwks = body_of(await provider.answer(Request("GET", "/.well-known/jwks.json", ())))
    assert ran.stdout.strip() in {jwk["kid"] for jwk in jwks["keys"]}
    clock.advance(PUBLISHED_BEFORE)
    assert (await refreshed(planner)).kid == ran.stdout.strip()


async def test_a_shared_cache_never_hides_a_key_until_it_signs(provider: AgentProvider) -> None:
    answer = await provider.answer(Request("GET", "/.well-known/jwks.json", ()))
    directives = dict(part.strip().partition("=")[::2] for part in str(answer.header("cache-control")).split(","))
    assert int(directives["s-maxage"]) + 60 <= PUBLISHED_BEFORE


async def test_a_key_file_that_drops_keys_before_their_tokens_expire_is_refused(
    tmp_path: Path, database: Database
) -> None:
    keys = KeyFile(tmp_path / "p.jwks", lifetime=HOUR)
    with pytest.raises(ValueError, match="drops a key 3600 s after"):
        AgentProvider(PROVIDER, keys=keys, database=database, person_servers=ANY, token_lifetime=HOUR + 1)


# The items of the checklist that are a provider's.


@pytest.fixture
async def memory(clock: Clock) -> AsyncIterator[AgentProvider]:
    """What needs no second engine."""
    database = await open_database("sqlite://:memory:")
    async with serving(database, clock) as provider:
        yield provider
    await database.close()


async def metadata(provider: AgentProvider) -> dict[str, object]:
    return body_of(await provider.answer(Request("GET", "/.well-known/aauth-agent.json", ())))


async def test_ap_01_the_local_part_may_be_upper_case_and_is_never_folded(memory: AgentProvider, clock: Clock) -> None:
    """AP-01; draft-11 §5.2: two names that differ in case are two agents."""
    upper, lower = Applicant(memory, clock, name="Planner.A-1_z"), Applicant(memory, clock, name="planner.a-1_z")
    assert (await upper.enrolled()).sub == "aauth:Planner.A-1_z@agents.example"
    assert (await lower.enrolled()).sub == "aauth:planner.a-1_z@agents.example"
    assert [agent.name for agent in await memory.agents()] == ["Planner.A-1_z", "planner.a-1_z"]
    await memory.end("Planner.A-1_z")
    assert (await upper.refresh()).status == 403
    assert (await lower.refresh()).status == 200


async def test_ap_03_a_token_names_the_person_server_of_an_agent_that_has_one(
    memory: AgentProvider, clock: Clock
) -> None:
    """AP-03; draft-11 §5.3.1: in every token, also a refreshed one; and of one that has none, none."""
    planner, scout = Applicant(memory, clock), Applicant(memory, clock, name="scout")
    assert (await planner.enrolled(ps=PERSON_SERVER)).ps == PERSON_SERVER
    assert (await scout.enrolled()).ps is None
    for agent, ps in ((planner, PERSON_SERVER), (scout, None)):
        answer = await agent.refresh()
        token = read_token(body_of(answer)["agent_token"], {AGENT_TYP})
        assert isinstance(token, AgentToken)
        assert token.ps == ps
        assert token.claims.get("ps", "absent") == (ps or "absent")


async def test_ap_04_there_is_no_login_endpoint(memory: AgentProvider) -> None:
    """AP-04: gone with Third-Party Login."""
    assert "login_endpoint" not in await metadata(memory)


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
async def test_ap_05_tokens_are_signed_and_keys_taken_under_either_algorithm(
    clock: Clock, tmp_path: Path, alg: str
) -> None:
    """AP-05; draft-11 §11.3.1: Ed25519 by default, fully specified."""
    database = await open_database("sqlite://:memory:")
    keys = KeyFile(tmp_path / "p.jwks", alg=alg, clock=clock)  # type: ignore[arg-type]
    async with serving(database, clock, keys=keys) as provider:
        planner = await enrolled(provider, clock)
        token = await refreshed(planner)
        assert token.jwt.header["alg"] == alg
        token.verify_signature(keys.current.public)
    await database.close()


def test_ap_05_the_default_is_ed25519(tmp_path: Path) -> None:
    """AP-05."""
    assert KeyFile(tmp_path / "p.jwks").current.alg == "Ed25519"


async def test_ap_06_the_metadata_says_which_algorithms_are_taken(memory: AgentProvider) -> None:
    """AP-06; draft-11 §11.2."""
    assert (await metadata(memory))["accept_signature_algs"] == ["Ed25519", "ES256"]
