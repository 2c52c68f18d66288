"""Ten thousand requests in flight at one verifier, and a stream of what it never saw: no wrong verdict, no growth.

While they are on their way keys rotate, issuers fail and come back, and revocations arrive (draft-11 §11.4, §11.12.5).
"""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, EgressError
from aauthkit.protocol import jose, plain_form
from aauthkit.protocol.jose import SigningKey
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.serving import Request
from aauthkit.trust import Trust
from aauthkit.verification import Accepts, Verifier
from tests.plugins.signing import NOW, Issuer, Signer, new_key

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

API = "https://api.example"
TYPES = frozenset({"aa-agent+jwt"})
ACCEPTS = Accepts(("jwt",), TYPES)
IN_FLIGHT = 10_000
KINDS = (
    "good",
    "good",
    "good",
    "good",
    "rotated",
    "revoked",
    "forged",
    "stolen",
    "relayed",
    "junk",
    "expired",
    "twice",
)


@dataclass
class Provider(Issuer):
    """An issuer whose keys rotate, and which may be down."""

    down: bool = False
    next_key: SigningKey = field(default_factory=new_key)
    published: list[SigningKey] = field(default_factory=list)
    fetched_at: list[float] = field(default_factory=list)

    def document(self, url: str) -> dict[str, Any]:
        if url.endswith("/.well-known/aauth-agent.json"):
            return {"issuer": self.iss, "jwks_uri": f"{self.iss}/jwks.json"}
        return {"keys": [key.public.jwk for key in self.published]}


@dataclass
class Storm:
    """The verifier, its issuers, and what happens to them while requests are in flight."""

    providers: list[Provider]
    now: float = float(NOW)
    started: int = 0
    revoked: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    strangers_asked: int = 0

    def __post_init__(self) -> None:
        self.egress = Egress()
        self.by_host = {provider.iss: provider for provider in self.providers}
        self.discovery = Discovery(self, clock=lambda: self.now, jitter=lambda: 0.0)  # type: ignore[arg-type]
        self.verifier = Verifier(
            API,
            discovery=self.discovery,
            trust=Trust(agent_providers=set(self.by_host)),
            is_revoked=lambda _iss, jti: jti in self.revoked,
            clock=lambda: self.now,
        )

    async def send(self, _method: str, url: str, *_: Any, **__: Any) -> Answer:
        """The network: slow, so that requests pile up behind a fetch."""
        provider = self.by_host.get("/".join(url.split("/")[:3]))
        if provider is None:
            self.strangers_asked += 1
            raise EgressError("nobody", "unreachable")
        if url.endswith("/jwks.json"):
            provider.fetched_at.append(self.now)
        for _turn in range(3):
            await asyncio.sleep(0)
        if provider.down:
            raise EgressError("no connection", "unreachable")
        return Answer(200, (), json.dumps(provider.document(url)).encode())

    def happens(self) -> None:
        """By the number of requests that have begun: something every hundred."""
        self.started += 1
        step, rest = divmod(self.started, 100)
        if rest:
            return
        provider = self.providers[step % len(self.providers)]
        if step > 8 and step % 3 == 0:
            provider.down = not provider.down
        if step % 10 == 5:
            provider.published = [provider.key, provider.next_key]
        if step % 5 == 0:
            self.now += 25

    async def verdict(self, request: Request) -> str:
        try:
            await self.verifier.verify(request.as_signed(API), ACCEPTS)
        except SignatureFailure as refusal:
            return refusal.code
        return "accepted"


@dataclass
class Errand:
    """One request to come: what it is, who issued its token, and what may be answered."""

    storm: Storm
    kind: str
    provider: Provider
    key: SigningKey
    number: int

    async def run(self) -> None:
        for _turn in range(self.number // 100):
            await asyncio.sleep(0)
        storm, kind = self.storm, self.kind
        storm.happens()
        signer, jti = self.signer()
        known, was_revoked = self.name in storm.served, jti in storm.revoked
        if kind == "twice":
            request = signer.sign("POST", f"{API}/orders", body=b"{}", now=int(storm.now))
            verdicts = sorted(await asyncio.gather(storm.verdict(request), storm.verdict(request)))
            allowed = {("accepted", "invalid_signature"), ("unknown_key", "unknown_key")}
            self.note("-".join(verdicts), tuple(verdicts) in allowed, known and verdicts[0] != "accepted")
            return
        host = "https://evil.example" if kind == "relayed" else API
        if kind == "revoked" and self.number % 2:
            storm.revoked.add(jti)
            was_revoked = True
        elif kind == "revoked":
            asyncio.get_running_loop().call_soon(storm.revoked.add, jti)
        verdict = await storm.verdict(signer.sign("GET", f"{host}/orders", now=int(storm.now)))
        self.note(verdict, verdict in self.allowed(was_revoked), known and verdict not in self.expected())

    @property
    def name(self) -> str:
        """The key that a good request of this kind stands on."""
        return f"{self.provider.iss} {self.kind if self.kind == 'rotated' else 'good'}"

    def signer(self) -> tuple[Signer, str]:
        now, jti, provider = int(self.storm.now), f"jti-{self.number}", self.provider
        claims: dict[str, Any] = {"now": now, "jti": jti, "name": f"agent{self.number % 50}"}
        issuer = provider
        if self.kind == "rotated":
            issuer = Provider(provider.iss, provider.next_key)
        elif self.kind == "forged":
            issuer, claims["header"] = Provider(provider.iss, new_key()), {"kid": provider.key.kid}
        elif self.kind == "junk":
            claims["header"] = {"kid": f"junk-{self.number}"}
        elif self.kind == "expired":
            claims |= {"exp": now}
        token = issuer.agent_token(self.key.public, **claims)
        return Signer.token(new_key() if self.kind == "stolen" else self.key, token), jti

    def expected(self) -> set[str]:
        """What it must be once the issuer's key is known."""
        return {
            "good": {"accepted"},
            "rotated": {"accepted", "unknown_key"},
            "revoked": {"accepted", "revoked_jwt"},
            "forged": {"invalid_jwt"},
            "stolen": {"invalid_signature"},
            "relayed": {"invalid_signature"},
            "junk": {"unknown_key"},
            "expired": {"expired_jwt"},
        }[self.kind]

    def allowed(self, was_revoked: bool) -> set[str]:
        """What it may be: an issuer's key may not be known yet; what was revoked when it came is never accepted."""
        return (self.expected() | {"unknown_key"}) - ({"accepted"} if was_revoked else set())

    def note(self, verdict: str, allowed: bool, forgotten: bool) -> None:
        self.storm.counts[f"{self.kind}: {verdict}"] += 1
        if verdict.startswith("accepted"):
            self.storm.served.add(self.name)
        if not allowed or forgotten:
            self.storm.wrong.append(f"{self.number} {self.kind} of {self.provider.iss}: {verdict}")


async def test_ten_thousand_in_flight_while_everything_changes_get_no_wrong_verdict() -> None:
    """F32, F33, F34, F57, §11.4: good ones are served once their issuer's key is known, bad ones never."""
    dice = random.Random(9421)
    providers = [Provider(f"https://agents{number}.example") for number in range(8)]
    for provider in providers:
        provider.published = [provider.key]
    storm, keys = Storm(providers), [new_key() for _ in range(50)]
    errands = [
        Errand(storm, dice.choice(KINDS), dice.choice(providers), dice.choice(keys), number)
        for number in range(IN_FLIGHT)
    ]
    await asyncio.gather(*(errand.run() for errand in errands))
    assert storm.wrong == []
    for kind, verdict in (
        ("good", "accepted"),
        ("rotated", "accepted"),
        ("revoked", "revoked_jwt"),
        ("forged", "invalid_jwt"),
        ("stolen", "invalid_signature"),
        ("relayed", "invalid_signature"),
        ("junk", "unknown_key"),
        ("expired", "expired_jwt"),
        ("twice", "accepted-invalid_signature"),
    ):
        assert storm.counts[f"{kind}: {verdict}"] > 100, storm.counts
    for provider in providers:
        assert all(later - earlier >= 60 for earlier, later in pairwise(provider.fetched_at))
    await storm.discovery.aclose()


async def test_a_stream_of_tokens_never_seen_leaves_the_caches_in_their_bounds(
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    """F29: new tokens, key names, issuers and lists of components, each once; memory is reported with the run."""
    provider = Provider("https://agents.example")
    provider.published = [provider.key]
    storm, key = Storm([provider]), new_key()
    strangers = Issuer("https://stranger.example")

    async def ask(number: int) -> None:
        fresh = provider.agent_token(key.public, jti=f"t-{number}", name=f"a{number}", padding="x" * (number % 700))
        assert await storm.verdict(Signer.token(key, fresh).sign("POST", f"{API}/o", body=b"{}")) == "accepted"
        if number % 4:
            return
        junk = provider.agent_token(key.public, header={"kid": f"k-{number}"})
        strangers.iss = f"https://s{number}.example"
        odd = [("x-number", str(number)), (f"x-{number}", "1")]
        wanted = ["@method", "@authority", "@path", f"x-{number}"]
        assert await storm.verdict(Signer.token(key, junk).sign("GET", f"{API}/o")) == "unknown_key"
        stranger = Signer.token(key, strangers.agent_token(key.public))
        assert await storm.verdict(stranger.sign("GET", f"{API}/o", headers=odd, components=wanted)) == "invalid_key"

    for number in range(400):
        await ask(number)
    tracemalloc.start()
    for number in range(400, 5_000):
        await ask(number)
    grown, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    record_testsuite_property("verifier_caches_grew_mib", round(grown / 2**20, 1))
    record_testsuite_property("verifier_caches_peak_mib", round(peak / 2**20, 1))
    assert len(storm.verifier._assertions) <= 4096
    assert storm.verifier._assertions._characters <= 8 * 2**20
    assert len(storm.verifier.replay) <= 5_000
    assert jose._header.cache_info().currsize <= 256
    assert plain_form._cover.cache_info().currsize <= plain_form.MAX_COVERS
    assert storm.strangers_asked == 0
    assert len(provider.fetched_at) == 1
    assert grown < 96 * 2**20
    await storm.discovery.aclose()
