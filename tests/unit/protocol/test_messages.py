"""Requests and answers as values."""

from __future__ import annotations

import json

import pytest

from aauthkit.protocol.messages import Answer, Refusal, SignedRequest, header_values, json_answer

HEADERS = (("accept", "a"), ("x", "1"), ("accept", "b"))
REQUEST = SignedRequest("GET", "https", "api.example", "/p;x=1?q=1?2", HEADERS)


def test_values_keep_the_order_of_the_message() -> None:
    assert REQUEST.values("accept") == header_values(HEADERS, "accept") == ["a", "b"]
    assert REQUEST.values("absent") == []
    assert Answer(200, HEADERS).values("accept") == ["a", "b"]
    assert (Answer(200, HEADERS).header("accept"), Answer(200).header("accept")) == ("a", None)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [("/p;x=1?q=1?2", "/p;x=1", "q=1?2"), ("/p", "/p", None), ("/p?", "/p", ""), ("", "/", None), ("?q", "/", "q")],
)
def test_f05_f07_a_target_is_a_raw_path_and_a_raw_query(target: str, path: str, query: str | None) -> None:
    """F05, F07."""
    request = SignedRequest("GET", "https", "api.example", target, ())
    assert (request.path, request.query) == (path, query)


def test_fields_are_added_behind_those_that_are_there() -> None:
    assert REQUEST.with_headers([("y", "2")]).headers == (*HEADERS, ("y", "2"))
    assert Answer(200, HEADERS).with_headers(("y", "2"), ("z", "3")).headers == (*HEADERS, ("y", "2"), ("z", "3"))
    assert REQUEST.headers == HEADERS


def test_json_is_not_kept_by_a_cache_unless_it_is_said() -> None:
    answer = json_answer(200, {"a": "é"}, ("x", "1"))
    assert json.loads(answer.body) == {"a": "é"}
    assert answer.headers == (("content-type", "application/json"), ("x", "1"), ("cache-control", "no-store"))
    kept = json_answer(200, {}, ("cache-control", "max-age=60"))
    assert kept.values("cache-control") == ["max-age=60"]


def test_f87_no_field_and_no_body_shows_in_a_repr() -> None:
    """F87: a token stands in Signature-Key and in Authorization, a session token or cookie in an answer."""
    secret = "the-secret"
    request = SignedRequest("GET", "https", "api.example", "/", (("authorization", f"AAuth {secret}"),))
    answer = Answer(200, (("aauth-access", secret), ("set-cookie", secret)), secret.encode())
    assert secret not in repr(request)
    assert secret not in repr(answer)


def test_a_refusal_must_know_its_answer() -> None:
    with pytest.raises(NotImplementedError):
        Refusal().answer()
