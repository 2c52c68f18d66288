"""What holds of every explanation: it is never wrong about a good request, shows no secret, and knows its bounds."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.explaining import BUDGET, Captured, CaptureError, Explanation, belief_of, explain, read_capture, tell
from aauthkit.explaining import tell_briefly as briefly
from aauthkit.explaining.refused import explain_refusal
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.serving import Request
from aauthkit.verification import Accepts
from tests.plugins.signing import NOW, new_key, sign, with_header, with_target
from tests.plugins.verifying import AGENT_TYPES, API, World
from tests.unit.explaining.recording import API as IDENTIFIER
from tests.unit.explaining.recording import FOLDER, PERSON_SERVER, PROVIDER
from tests.unit.explaining.test_captured import CASES, explained

pytestmark = pytest.mark.anyio

TAKEN = Accepts(("jwt", "jkt-jwt", "hwk"), AGENT_TYPES, body=False)
"""What the captured requests are explained for."""


def captured_of(request: Request, body: bytes | None = None) -> Captured:
    return Captured(request.method, request.target, request.headers, body, "https", "api.example")


def judged(request: Request, **more: Any) -> Explanation:
    captured = captured_of(request, more.pop("body", None))
    return explain(captured, belief_of(captured, identifier=API, now=NOW), **more)


paths = st.from_regex(r"(/[A-Za-z0-9._~%;-]{0,12}){1,4}", fullmatch=True).filter(lambda path: "%" not in path)
queries = st.from_regex(r"[a-z]{1,4}=[A-Za-z0-9+.,-]{0,8}(&[a-z]{1,4}=[A-Za-z0-9+.,-]{0,8}){0,3}", fullmatch=True)


@given(
    path=paths,
    query=st.none() | queries,
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    body=st.binary(max_size=64),
)
def test_a_request_that_verifies_is_explained_as_one_that_does(
    path: str, query: str | None, method: str, body: bytes
) -> None:
    target = path if query is None else f"{path}?{query}"
    body = body if method == "POST" else b""
    request = World().agent().sign(method, f"{API}{target}", body=body)
    explanation = judged(request, body=body or None)
    assert (explanation.verdict, explanation.name, explanation.causes) == (True, "verifies", ())
    assert tell(explanation).startswith("✓ The signature verifies.")


@given(path=paths.filter(lambda path: path != "/"), prefix=st.from_regex(r"/[a-z]{1,8}", fullmatch=True))
def test_a_prefix_that_was_stripped_is_the_cause_and_certain(path: str, prefix: str) -> None:
    sent = World().agent().sign("GET", f"{API}{prefix}{path}")
    request = with_header(with_target(sent, path), "x-forwarded-prefix", prefix)
    explanation = judged(request)
    assert explanation.main is not None and explanation.main.certain
    assert explanation.name.startswith("path")
    assert dict(explanation.signed)['"@path"']


WORLDS = [
    name
    for name, case in CASES.items()
    if name.endswith(".http") and "signer_base" not in case and case["believes"]["identifier"] == IDENTIFIER
]
"""Cases whose server is the world's."""


@pytest.mark.parametrize("name", WORLDS)
async def test_an_explanation_leads_to_the_code_that_the_verifier_gives(name: str) -> None:
    captured, explanation = read_capture((FOLDER / name).read_bytes()), explained(name)
    world = World()
    for issuer, dwk in ((PROVIDER, "aauth-agent.json"), (PERSON_SERVER, "aauth-person.json")):
        world.verifier.discovery.serve_locally(issuer.iss, dwk, issuer.jwks)
    request = Request(captured.method, captured.target, captured.headers)
    try:
        await world.verify(request, TAKEN)
        assert explanation.name in ("verifies", "digest")
    except SignatureFailure as failure:
        assert explanation.main is not None
        assert explanation.main.code == failure.code
        assert explain_refusal(failure, budget=BUDGET).name == explanation.name


# Secrets


@pytest.mark.parametrize("name", CASES)
def test_f87_no_token_and_no_credential_is_in_any_text(name: str) -> None:
    """F87."""
    captured, explanation = read_capture((FOLDER / name).read_bytes()), explained(name)
    told = f"{tell(explanation)}\n{briefly(explanation)}\n{explanation.as_json()}"
    secrets = re.findall(r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", str(captured.headers))
    secrets += [value.partition(":")[2] for value in captured.values("signature")]
    assert not [secret for secret in secrets if secret and secret in told]
    parts = [part for secret in secrets for part in secret.split(".") if len(part) > 20]
    assert not [part for part in parts if part[:20] in told]


def test_an_authorization_and_a_cookie_are_shortened_in_both_bases() -> None:
    headers = [("authorization", "AAuth c2Vzc2lvbi10b2tlbi1vZi1hLXBlcnNvbg"), ("cookie", "session=0123456789abcdef")]
    covered = ["@method", "@authority", "@path", "signature-key", "authorization", "cookie"]
    request = World().agent().sign("GET", f"{API}/a", headers=headers, components=covered)
    changed = with_header(request, "cookie", "session=fedcba9876543210")
    captured = captured_of(changed)
    told = tell(
        explain(
            captured, belief_of(captured, identifier=API, now=NOW), signer_base=b'"cookie": session=0123456789abcdef'
        )
    )
    assert "AAuth … (" in told
    assert not re.search(r"c2Vzc2lv|0123456789|fedcba98", told)


def test_a_code_in_the_query_and_an_identifier_in_the_path_are_not_shown() -> None:
    request = World().agent().sign("GET", f"{API}/pending/Zk3jQ9sT2bW8xL0vN4hY?code=ABCD-1234&page=2")
    told = tell(judged(with_target(request, "/pending/Zk3jQ9sT2bW8xL0vN4hY?page=2&code=ABCD-1234")))
    assert "ABCD-1234" not in told and "Zk3jQ9sT2bW8xL0vN4hY" not in told
    assert "query.order" in told and "page=2" in told


def test_what_a_terminal_would_obey_is_written_out() -> None:
    request = World().agent().sign("GET", f"{API}/a", headers=[("x-a", "b")], components=["@method", "x-a"])
    told = tell(judged(with_header(request, "x-a", "\x1b[31mred")))
    assert "\x1b" not in told


# Bounds


def test_no_more_bases_are_verified_than_the_budget_allows() -> None:
    world = World()
    request = sign("GET", f"{API}/a/b/c?x=1&y=2&z=3&w=4", new_key(), world.agent().signature_key)
    few, many = judged(request, budget=40), judged(request)
    assert (few.tried, few.exhausted) == (40, False)
    assert many.tried <= BUDGET
    assert not any(each.certain for each in (*few.causes, *many.causes))


def test_a_hostile_request_costs_no_more_than_the_budget() -> None:
    world = World()
    query = "&".join(f"p{number}={number}" for number in range(400))
    headers = [(f"x-{number}", ",".join("abcdefgh")) for number in range(50)]
    covered = ["@method", "@authority", "@path", "@query", "signature-key", *(name for name, _ in headers)]
    request = sign(
        "GET",
        f"{API}/{'a/' * 200}?{query}",
        new_key(),
        world.agent().signature_key,
        headers=headers,
        components=covered,
    )
    explanation = judged(request, budget=100)
    assert 0 < explanation.tried <= 100 and not explanation.exhausted


def test_long_fields_use_the_budget_up_sooner() -> None:
    covered = ["@method", "@authority", "@path", "signature-key", "x-long"]
    signed = World().agent().signature_key
    headers = [("x-long", "a, " * 10_000)]
    request = sign("GET", f"{API}/a", new_key(), signed, headers=headers, components=covered)
    explanation = judged(request, budget=100)
    assert 0 < explanation.tried <= 100 * 4096 // 30_000 + 1


@given(data=st.binary(max_size=400))
def test_garbage_is_no_capture_and_nothing_else_goes_wrong(data: bytes) -> None:
    try:
        captured = read_capture(data)
    except CaptureError:
        return
    tell(explain(captured, belief_of(captured, identifier=API, now=NOW)))


@given(
    value=st.text(max_size=120),
    name=st.sampled_from(["signature", "signature-input", "signature-key", "content-digest"]),
)
def test_garbage_in_any_field_is_explained_and_nothing_else_goes_wrong(name: str, value: str) -> None:
    request = World().agent().sign("POST", f"{API}/a", body=b"{}")
    broken = with_header(request, name, value.encode("utf-8", "replace").decode("latin-1"))
    explanation = judged(broken, body=b"{}", budget=30)
    assert explanation.verdict is not None or explanation.unchecked
    assert tell(explanation)


def test_an_undecided_request_says_what_would_decide_it() -> None:
    covered = f'sig=("@method" "@authority" "@path" "signature-key");created={NOW}'
    presented = 'sig=jwks_uri;id="https://ps.example";dwk="aauth-person.json";kid="k-1"'
    headers = (("signature", "sig=:AAAA:"), ("signature-input", covered), ("signature-key", presented))
    captured = Captured("GET", "/a", headers, None, "https", "api.example")
    explanation = explain(captured, belief_of(captured, identifier=API, now=NOW))
    assert (explanation.verdict, explanation.name) == (None, "undecided")
    assert "give it with --keys FILE" in tell(explanation)
