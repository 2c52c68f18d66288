"""Self-hosted agents: their own provider, by a key file and two published documents (draft-11 §5.1; bootstrap)."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aauthkit.agent import Agent, AgentHome, AgentTokenUnavailable, AgentUnknown
from aauthkit.agent.self_hosting import host_agent
from aauthkit.callers import Agent as AgentCaller
from aauthkit.cli import main
from aauthkit.discovery import Discovery
from aauthkit.egress import Egress
from aauthkit.keys import KeyFile
from aauthkit.protocol.identifiers import InvalidIdentifier, LoopbackProfile
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.protocol.metadata import read_metadata
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.protocol.tokens import AGENT_DWK, AGENT_TYP
from aauthkit.selfhosted import LIFETIME, NotPublished, SelfHosted
from aauthkit.serving import Request
from aauthkit.trust import Trust
from aauthkit.verification import Accepts, Verifier
from tests.plugins.discovering import Discover
from tests.plugins.hosting import host
from tests.plugins.signing import NOW, new_key
from tests.plugins.tls import Clock, Internet, Received, Reply

pytestmark = pytest.mark.anyio

ME = "https://me.example"
PS = "https://ps.example"
API = "https://api.example"
Make = Callable[..., Any]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The root of the owner's domain."""
    return tmp_path / "site"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def make(site: Path, home: Path) -> Make:
    """Makes a self-hosted agent as `aauthkit init` does."""

    def make(name: str = "planner", **more: Any) -> Any:
        settings = {"issuer": ME, "person_server": PS, "publish": site, "home": home, "egress": Egress()}
        return host_agent(name, **{**settings, **more})

    return make


async def publish(internet: Internet, site: Path) -> Any:
    """A web server over the folder: what stands there now, and nothing else."""

    def respond(request: Received) -> Reply:
        path = site / request.target.partition("?")[0].removeprefix("/")
        if not path.is_file():
            return Reply(404, ())
        return Reply(200, (("content-type", "application/json"), ("cache-control", "max-age=60")), path.read_bytes())

    return await internet.serve("me.example", respond)


class Api:
    """A resource that finds out which agent calls, trusting the agents of `me.example` alone."""

    def __init__(self, discovery: Discovery, clock: Clock) -> None:
        trust = Trust(agent_providers={ME})
        self._verifier = Verifier(API, discovery=discovery, trust=trust, clock=clock)
        self.callers: list[AgentCaller] = []

    async def answer(self, request: Request) -> Answer:
        try:
            accepts = Accepts(("jwt",), frozenset({AGENT_TYP}))
            verified = await self._verifier.verify(request.as_signed(API), accepts)
        except SignatureFailure as failure:
            return failure.answer()
        assert isinstance(verified.caller, AgentCaller)
        self.callers.append(verified.caller)
        return json_answer(200, {"agent": verified.caller.sub})


# The whole of it.


async def test_a_self_hosted_agent_calls_a_resource_with_tokens_of_its_own(
    make: Make, site: Path, home: Path, internet: Internet, discover: Discover, clock: Clock
) -> None:
    """draft-11 §5.1, §5.3: verified against what its owner published, exactly as any other provider's."""
    record = make()
    await publish(internet, site)
    names: dict[str, Any] = {}
    api = Api(discover(internet.egress()), clock)
    await host(internet, "api.example", api)
    names.update(internet.names)
    agent = Agent.load("planner", home=home, egress=internet.egress(), clock=clock)
    assert agent.identifier == record.agent == "aauth:planner@me.example"
    async with agent.client() as http:
        response = await http.get(f"{API}/orders")
        assert response.json() == {"agent": "aauth:planner@me.example"}
        clock.advance(LIFETIME)
        assert (await http.get(f"{API}/orders")).status_code == 200
    first, second = api.callers
    assert (first.iss, first.ps) == (ME, PS)
    assert first.exp - NOW == LIFETIME == 3600
    assert first.jti != second.jti, "minted anew when it was over"
    assert not first.key.same_key(second.key), "nothing was bound to the first key any more"
    assert first.key.thumbprint != KeyFile(record.keys).current.kid


async def test_an_agent_whose_key_is_not_published_is_told_what_to_do(
    make: Make, site: Path, home: Path, internet: Internet, clock: Clock
) -> None:
    record = make()
    (site / ".well-known" / "jwks.json").write_text('{"keys": []}')
    await publish(internet, site)
    agent = Agent.load("planner", home=home, egress=internet.egress(), clock=clock)
    async with agent.client() as http:
        with pytest.raises(AgentTokenUnavailable, match="does not publish the key") as caught:
            await http.get(f"{API}/orders")
    assert KeyFile(record.keys).current.kid in str(caught.value)


async def test_keys_rotate_once_the_next_one_is_published(
    make: Make, site: Path, internet: Internet, clock: Clock, discover: Discover
) -> None:
    """The owner has as long to publish as `--delay` says; a key that signs unpublished is noticed before it is used."""
    record = make()
    keys = KeyFile(record.keys, lifetime=LIFETIME, clock=clock)
    provider = SelfHosted(ME, keys, clock=clock)
    provider.publish(site)
    await publish(internet, site)
    discovery, before = discover(), keys.current.kid

    async def issued() -> str:
        enrolled = await provider.issue(discovery, new_key(), agent=record.agent, ps=None)
        return enrolled.token.kid

    following = keys.rotate(delay=86_400)
    clock.advance(86_399)
    assert await issued() == before
    clock.advance(61)
    with pytest.raises(NotPublished):
        await issued()
    provider.publish(site)
    clock.advance(60)
    assert await issued() == following.kid
    assert before in {jwk["kid"] for jwk in json.loads((site / ".well-known" / "jwks.json").read_bytes())["keys"]}


async def test_a_domain_out_of_reach_is_no_reason_not_to_mint(
    make: Make, internet: Internet, discover: Discover, site: Path
) -> None:
    record = make()
    server = await publish(internet, site)
    await server.stop()
    provider = SelfHosted(ME, KeyFile(record.keys))
    assert (await provider.issue(discover(), new_key(), agent=record.agent, ps=PS)).token.ps == PS


# What is made and published.


def test_what_is_published_is_a_providers_metadata_and_public_keys(make: Make, site: Path) -> None:
    """draft-11 §11.2.1."""
    record = make()
    well_known = site / ".well-known"
    assert sorted(path.name for path in well_known.iterdir()) == [AGENT_DWK, "jwks.json"]
    metadata = read_metadata(AGENT_DWK, ME, json.loads((well_known / AGENT_DWK).read_bytes()))
    assert metadata.jwks_uri == f"{ME}/.well-known/jwks.json"
    keys = KeyFile(record.keys)
    jwks = json.loads((well_known / "jwks.json").read_bytes())
    assert jwks == keys.jwks()
    assert all("d" not in jwk for jwk in jwks["keys"])


def test_f88_nothing_private_is_published_and_the_keys_are_the_owners_alone(make: Make, site: Path, home: Path) -> None:
    """F88."""
    record = make()
    secret = KeyFile(record.keys).current.to_jwk()["d"]
    assert not any(secret in path.read_text() for path in site.rglob("*") if path.is_file())
    for path in home.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert not Path(record.keys).is_relative_to(site)


def test_made_again_it_is_the_same_agent_and_its_documents_are_written_anew(make: Make, site: Path) -> None:
    record = make()
    KeyFile(record.keys).rotate()
    assert make() == record
    assert len(json.loads((site / ".well-known" / "jwks.json").read_bytes())["keys"]) == 2
    moved = make(person_server="https://other.example")
    assert moved.person_server == "https://other.example"


def test_agents_of_one_domain_share_its_keys(make: Make) -> None:
    first, second = make("planner"), make("scout")
    assert first.keys == second.keys
    assert second.agent == "aauth:scout@me.example"


def test_an_agent_of_another_provider_is_left_alone(make: Make, home: Path, site: Path) -> None:
    from aauthkit.agent import AgentRecord

    kept = AgentRecord("planner", "https://agents.example", None, SigningKey.generate(lambda n: b"x" * n), "a", None)
    AgentHome(home).save(kept)
    with pytest.raises(AgentTokenUnavailable, match="another provider"):
        make("planner")
    make("scout")
    with pytest.raises(AgentTokenUnavailable, match="another provider"):
        make("scout", issuer="https://you.example")
    assert AgentHome(home).load("planner") == kept


@pytest.mark.parametrize("issuer", ["http://me.example", "https://me.example/", "me.example", "https://127.0.0.1"])
def test_a_domain_is_a_server_identifier(make: Make, site: Path, issuer: str) -> None:
    """draft-11 §11.1.1."""
    with pytest.raises(InvalidIdentifier):
        make(issuer=issuer)
    assert not site.exists()


def test_a_name_is_a_top_level_one(make: Make) -> None:
    """draft-11 §5.2: `+` is a sub-agent's."""
    with pytest.raises(AgentUnknown):
        make("planner+one")


def test_a_domain_of_the_loopback_profile_will_do(make: Make) -> None:
    origin = "http://me.localhost:8709"
    record = make(issuer=origin, egress=Egress(loopback=LoopbackProfile(frozenset({origin}))))
    assert record.agent == "aauth:planner@me.localhost"


# What is kept.


def test_it_is_listed_with_the_others_and_is_enrolled_nowhere(make: Make, home: Path) -> None:
    make()
    kept = AgentHome(home)
    assert kept.names() == ["planner"]
    assert kept.hosted("nobody") is None
    with pytest.raises(AgentUnknown, match="self-hosted, and enrolled nowhere"):
        kept.load("planner")


@pytest.mark.parametrize("damage", ["gone", "wide", "cut"])
def test_without_its_keys_it_is_not_loaded(make: Make, home: Path, damage: str) -> None:
    record = make()
    path = Path(record.keys)
    if damage == "gone":
        path.unlink()
    elif damage == "wide":
        path.chmod(0o644)
    else:
        path.write_text("{")
    with pytest.raises(AgentUnknown, match="cannot be used"):
        Agent.load("planner", home=home, egress=Egress())
    assert path.exists() or damage == "gone", "no new key is made in its place"


def test_an_agent_has_a_durable_key_or_issues_its_tokens_itself() -> None:
    with pytest.raises(ValueError, match="durable key, or it issues"):
        Agent("aauth:planner@me.example", provider=ME, person_server=None, egress=Egress())


# The command.


def test_the_command_makes_it(
    tmp_path: Path, site: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AAUTHKIT_EGRESS", raising=False)
    words = ["init", "planner", "--self-hosted", ME, "--publish", str(site), "--home", str(home)]
    assert main([*words, "--ps", PS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["agent"], told["provider"], told["person_server"]) == ("aauth:planner@me.example", ME, PS)
    assert told["publish"][f"{ME}/.well-known/{AGENT_DWK}"] == str(site / ".well-known" / AGENT_DWK)
    assert Agent.load("planner", home=home, egress=Egress()).person_server == PS
    assert main([*words, "--ps", PS]) == 0
    assert f"as {ME}/.well-known/jwks.json" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--publish", "x", "--provider", "https://agents.example"], []])
def test_the_command_called_wrongly_makes_nothing(words: list[str], home: Path, site: Path) -> None:
    code = main(["init", "planner", "--self-hosted", ME, "--home", str(home), *words])
    assert code == 2
    assert not home.exists()
