"""What a verifier must not do, where no other test says it: by its section of draft-11 or Signature-Keys (SK)."""

from __future__ import annotations

from typing import Any

import pytest

from aauthkit.callers import Person
from aauthkit.protocol.headers import parse_accepted
from aauthkit.protocol.jose import ALGORITHMS
from aauthkit.protocol.messages import Answer, Refusal
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.protocol.signature_key import SERVED_SCHEMES, parse_signature_key, read_member
from aauthkit.protocol.tokens import AGENT_TYP, AgentToken, read_token
from tests.plugins.resources import World, requirement
from tests.plugins.signing import Issuer, Signer, new_key
from tests.plugins.verifying import API, refused
from tests.plugins.verifying import World as Verifiers
from tests.unit.protocol.specimens import AGENT_KEY, DEVICE_KEY

pytestmark = pytest.mark.anyio

URL = f"{API}/orders"
ASSURANCE: dict[str, Any] = {"acr": "urn:high", "amr": ["face"], "auth_time": 1, "email_verified": True, "ial": 3}
NEVER_USED = {"none", "EdDSA", "HS256", "HS384", "HS512", "RS1", "ES256K-R"}


def test_5_2_a_plus_in_a_name_makes_no_sub_agent() -> None:
    """§5.2: nothing is decided by the local part; `parent_agent` alone says who is a sub-agent."""
    provider, key = Issuer("https://agents.example"), new_key()
    token = read_token(provider.agent_token(key.public, name="planner+search"), {AGENT_TYP})
    assert isinstance(token, AgentToken)
    assert (token.sub, token.parent_agent) == ("aauth:planner+search@agents.example", None)
    plain = provider.agent_token(key.public, name="search", parent_agent="aauth:planner@agents.example")
    child = read_token(plain, {AGENT_TYP})
    assert isinstance(child, AgentToken)
    assert (child.sub, child.parent_agent) == ("aauth:search@agents.example", "aauth:planner@agents.example")


async def person_of(world: World, **claims: Any) -> Person:
    resource = world.resource()
    caller = (await resource.decide(world.person(**claims).sign("GET", URL), resource.person())).caller
    assert isinstance(caller, Person)
    return caller


async def test_7_1_1_a_person_is_issuer_and_subject() -> None:
    """§7.1.1, §13.9: what a resource is given of a person is who vouches, and for which subject."""
    person = (await person_of(World(), sub="p-7")).person
    assert (person.iss, person.ps, person.sub) == ("https://ps.example", "https://ps.example", "p-7")


async def test_7_1_1_no_word_of_assurance_reaches_a_verdict() -> None:
    """§7.1.1, §13.9: claims about proofing make nobody another person, and open nothing."""
    world = World()
    assert (await person_of(world, **ASSURANCE)).person == (await person_of(world)).person
    resource = world.resource()
    with pytest.raises(Refusal) as caught:
        await resource.decide(world.person(**ASSURANCE).sign("GET", URL), resource.grant("orders.read"))
    asked = requirement(resource.answer_to(caught.value))
    assert asked is not None
    assert asked.value == "auth-token"


def accepted_algs(answer: Answer) -> set[str]:
    return set(parse_accepted(answer.values("accept-signature-alg")) or ())


@pytest.mark.parametrize("alg", sorted(NEVER_USED))
def test_sk_3_3_neither_none_nor_a_secret_is_ever_listed(alg: str) -> None:
    """SK §3.3, draft-11 §11.3.1: refused in a bare key, and in no list that is given out."""
    assert not NEVER_USED & set(ALGORITHMS)
    jwk = {"kty": "oct" if alg.startswith("HS") else "OKP", "crv": "Ed25519", "x": "A" * 43, "alg": alg}
    value = "sig=hwk" + "".join(f';{name}="{text}"' for name, text in jwk.items())
    with pytest.raises(SignatureFailure) as caught:
        read_member(parse_signature_key([value])["sig"])
    assert caught.value.code == "unsupported_algorithm"
    assert accepted_algs(caught.value.answer()) == {"Ed25519", "ES256"}


@pytest.mark.parametrize(("key", "names"), [(AGENT_KEY, "kty crv x alg"), (DEVICE_KEY, "kty crv x y alg")])
def test_sk_3_4_a_bare_key_lacks_nothing(key: Any, names: str) -> None:
    """SK §3.4: each parameter is required, and is a String."""
    jwk = {name: value for name, value in key.public.jwk.items() if name != "kid"}
    assert sorted(jwk) == sorted(names.split())

    def read(members: dict[str, str]) -> object:
        return read_member(parse_signature_key(["sig=hwk" + "".join(f";{n}={v}" for n, v in members.items())])["sig"])

    quoted = {name: f'"{value}"' for name, value in jwk.items()}
    assert read(quoted)
    for name in names.split():
        for wrong in ({n: v for n, v in quoted.items() if n != name}, {**quoted, name: "1"}, {**quoted, name: '""'}):
            with pytest.raises(SignatureFailure) as caught:
                read(wrong)
            assert caught.value.code in ("invalid_key", "unsupported_algorithm")


@pytest.mark.parametrize(
    "value", ['sig=cached;cid="2f9c8a1e-a7b3"', "sig=cached", 'sig=jwks;url="https://a.example/k"']
)
async def test_sk_6_2_cached_is_an_unsupported_scheme(value: str) -> None:
    """SK §6.2: who keeps no assertions for others refuses the scheme, and announces none."""
    world = Verifiers()
    failure = await refused(world, Signer(world.key, value).sign("GET", URL), "unsupported_scheme")
    answer = failure.answer()
    assert "cached" not in SERVED_SCHEMES
    assert "cached" not in (answer.header("accept-signature-scheme") or "")
    assert answer.header("signature-key-cache") is None
