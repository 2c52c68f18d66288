"""Older drafts are named when they are met, in requests, in answers and in metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aauthkit.explaining import older_answer, older_metadata
from aauthkit.explaining.dialects import older_request, older_token, translated
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.protocol.signature_key import parse_signature_key


def answer(status: int, body: Any = None, **fields: str) -> Answer:
    headers = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    return Answer(status, headers, json.dumps(body).encode() if body is not None else b"")


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (answer(401, agent_auth="httpsig; auth-token"), "it answers with Agent-Auth"),
        (answer(401, aauth='require=auth-token; resource-token="x"'), "it answers with AAuth: require=…"),
        (answer(401, aauth_requirement='requirement=auth-token; auth-server="x"'), "names an auth-server"),
        (answer(401, signature_error="error=invalid_key, supported_algorithms=(ed25519)"), "supported_algorithms"),
        (answer(401, accept_signature='sig=("@method");sigkey=jwt'), "Accept-Signature with sigkey"),
        (answer(400, {"error": "invalid_agent_token"}), "-10 of the protocol: the error invalid_agent_token"),
        (answer(401, {"error": "invalid_request", "detail": "missing signature"}), "invalid_request for a signature"),
        (answer(200, {"mission": {"approver": "https://ps.example"}}), "a mission with an approver"),
    ],
)  # fmt: skip
def test_an_older_answer_is_named(old: Answer, said: str) -> None:
    assert said in " ".join(older.said for older in older_answer(old))


@pytest.mark.parametrize(
    "today",
    [
        SignatureFailure("invalid_signature").answer(),
        Problem("invalid_request").answer(),
        answer(200, {"a": 1}),
        Answer(500, (), b"<html>"),
    ],
)
def test_todays_answer_is_not_taken_for_an_older_one(today: Answer) -> None:
    assert not list(older_answer(today))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"token_endpoint": "https://ps.example/token"}, "its metadata has token_endpoint"),
        ({"access_mode": "aauth-access-token"}, "its access_mode is aauth-access-token"),
        ({"agent_token_endpoint": "https://as.example/agent/token"}, "its metadata has agent_token_endpoint"),
        ({"auth_token_endpoint": "https://ps.example/t", "login_endpoint": "x"}, "its metadata has login_endpoint"),
    ],
)
def test_older_metadata_is_named(document: dict[str, Any], said: str) -> None:
    assert next(older_metadata(document)).said.endswith(said)


def test_claims_that_11_does_not_have_are_told_and_refuse_nothing() -> None:
    (older,) = older_token({"typ": "aa-auth+jwt", "alg": "Ed25519"}, {"agent": "a", "act": {}})
    assert older.said == "this speaks -10 of the protocol: a token with the claims agent, act"
    assert not older.fatal


def test_an_older_key_is_read_so_that_the_rest_can_be_explained() -> None:
    old = ['sig=(scheme=jwt jwt="a.b.c"), two=jwks;id="https://a.example";kid="k";well-known="aauth-agent"']
    members = parse_signature_key(translated(old))
    assert (members["sig"].scheme, members["sig"].params["jwt"]) == ("jwt", "a.b.c")
    assert (members["two"].scheme, members["two"].params["dwk"]) == ("jwks_uri", "aauth-agent")


def test_a_field_without_meaning_in_11_is_told_and_refuses_nothing() -> None:
    found = list(older_request((("aauth-mission", "x"), ("aauth", "y"))))
    assert [older.fatal for older in found] == [False, False]
