"""Requests, bodies and the table of paths: bad input is 4xx, a fault of our own is a bare 500 (F15, F87, F91)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.httpsig import DigestCheck, content_digest
from aauthkit.protocol.messages import Answer, json_answer
from aauthkit.protocol.problems import Problem, SignatureFailure
from aauthkit.serving import MAX_FIELD, MAX_FIELDS, MAX_TARGET, BytesBody, Request, Route, Routes, check_message
from aauthkit.store import StoreBusy, StoreUnavailable

pytestmark = pytest.mark.anyio

JSON = ("content-type", "application/json")
FORM = ("content-type", "application/x-www-form-urlencoded")


class Pieces:
    """A body that comes in pieces, and how many of them were asked for."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.read = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece


def post(body: bytes, *headers: tuple[str, str]) -> Request:
    return Request("POST", "/token", headers, BytesBody(body))


def problem(answer: Answer) -> dict[str, Any]:
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("cache-control") == "no-store"
    body: dict[str, Any] = json.loads(answer.body)
    assert body["status"] == answer.status
    return body


# A request.


def test_the_target_stands_as_it_was_sent() -> None:
    request = Request("GET", "//a/../b;x=1%2F?q=%41&&", ())
    assert request.path == "//a/../b;x=1%2F"
    signed = request.as_signed("https://api.example")
    assert (signed.target, signed.authority, signed.scheme) == ("//a/../b;x=1%2F?q=%41&&", "api.example", "https")
    assert request.as_signed("https://api.example", prefix="/v1").target == "/v1//a/../b;x=1%2F?q=%41&&"
    loopback = request.as_signed("http://api.localhost:8700")
    assert (loopback.scheme, loopback.authority) == ("http", "api.localhost:8700")


def test_a_parameter_that_stands_twice_counts_for_nothing() -> None:
    request = Request("GET", "/?code=A&code=B&other=%C3%A9&empty=", ())
    assert request.query == {"other": "é", "empty": ""}


def test_a_query_of_too_many_parameters_has_none() -> None:
    assert Request("GET", "/?" + "&".join(f"n{i}=1" for i in range(300)), ()).query == {}


@pytest.mark.parametrize(
    ("headers", "has"),
    [
        ((), False),
        ((("content-length", "0"),), False),
        ((("content-length", " 0 "),), False),
        ((("content-length", "2"),), True),
        ((("content-length", "-1"),), True),
        ((("transfer-encoding", "chunked"),), True),
        ((("content-length", "0"), ("content-length", "9")), True),
    ],
)
def test_whether_a_body_follows(headers: tuple[tuple[str, str], ...], has: bool) -> None:
    assert Request("POST", "/", headers).has_body is has


def test_f87_no_header_and_no_body_is_shown() -> None:
    """F87."""
    request = post(b"secret-body", ("authorization", "AAuth secret-token"))
    assert "secret" not in repr(request)


# Its body.


async def test_a_body_is_put_together() -> None:
    assert await Request("POST", "/", (), Pieces(b"a", b"", b"bc")).read() == b"abc"


async def test_a_body_that_declares_too_much_is_not_read() -> None:
    body = Pieces(b"x")
    for length in ("65537", "9" * 5000):
        with pytest.raises(Problem) as caught:
            await Request("POST", "/", (("content-length", length),), body).read()
        assert (caught.value.code, caught.value.status) == ("payload_too_large", 413)
    assert body.read == 0


@pytest.mark.parametrize("length", [None, "1", "x", "-5", "0000000000000001"])
async def test_a_body_longer_than_the_limit_is_left_off_there_whatever_it_declares(length: str | None) -> None:
    body = Pieces(b"12345", b"67890", b"never")
    headers = (("content-length", length),) if length is not None else ()
    with pytest.raises(Problem) as caught:
        await Request("POST", "/", headers, body).read(8)
    assert caught.value.code == "payload_too_large"
    assert body.read == 2
    assert await Request("POST", "/", headers, Pieces(b"12345678")).read(8) == b"12345678"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_a_json_body(kind: str) -> None:
    assert await post('{"a": "é"}'.encode(), ("content-type", kind)).read_json() == {"a": "é"}


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/json+x", "application/x-www-form-urlencoded"])
async def test_another_type_of_body_is_415(kind: str | None) -> None:
    headers = (("content-type", kind),) if kind is not None else ()
    with pytest.raises(Problem) as caught:
        await post(b"{}", *headers).read_json()
    assert (caught.value.code, caught.value.status) == ("unsupported_media_type", 415)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"\xff\xfe",
        b'{"a": "\\ud800"}',
        b"{" * 50_000,
        b'{"a":' * 200,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
async def test_f91_garbage_in_a_body_is_400(body: bytes) -> None:
    """F91."""
    with pytest.raises(Problem) as caught:
        await post(body, JSON).read_json()
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)


@given(st.binary(max_size=300))
def test_f91_any_bytes_are_an_object_or_a_refusal(body: bytes) -> None:
    """F91."""

    async def read() -> None:
        try:
            assert isinstance(await post(body, JSON).read_json(), dict)
        except Problem as error:
            assert error.status == 400
        assert isinstance(await post(body, FORM).read_form(), dict)

    asyncio.run(read())


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
async def test_f13_a_body_is_compared_with_its_covered_digest_before_it_is_read(algorithm: str) -> None:
    """F13; draft-11 §11.3.3.1: a body that does not match is 401 invalid_signature, also where it is no JSON."""
    digest = content_digest(b'{"a": 1}', algorithm)
    assert await post(b'{"a": 1}', JSON).read_json(DigestCheck([digest])) == {"a": 1}
    for changed in (b'{"a": 2}', b'{"a": 1} ', b"", b"no json"):
        with pytest.raises(SignatureFailure) as caught:
            await post(changed, JSON).read_json(DigestCheck([digest]))
        assert caught.value.code == "invalid_signature"
        assert caught.value.answer().header("signature-error") == "error=invalid_signature"


async def test_a_form() -> None:
    form = post(b"name=a+b%20c&empty=&name2=%C3%A9&twice=1&twice=2", FORM)
    assert await form.read_form() == {"name": "a b c", "empty": "", "name2": "é"}
    lists = post(b"scope=a&scope=b&one=1", ("content-type", "application/x-www-form-urlencoded; charset=utf-8"))
    assert await lists.read_form_lists() == {"scope": ["a", "b"], "one": ["1"]}


async def test_a_form_is_not_taken_from_json_or_beyond_its_limit() -> None:
    for read in (post(b"{}", JSON).read_form(), post(b"{}", JSON).read_form_lists()):
        with pytest.raises(Problem) as caught:
            await read
        assert caught.value.status == 415
    with pytest.raises(Problem) as caught:
        await post(b"a=" + b"x" * 100, FORM).read_form(50)
    assert caught.value.status == 413
    assert await post(b"&".join(b"n=1" for _ in range(300)), FORM).read_form_lists() == {}


# A message that is looked at at all.


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "x",
        "http://api.example/",
        "https://evil.example/x",
        "/a#b",
        "/a b",
        "/\x00",
        "/\n",
        "/é",
        "/\x7f",
        "/" + "a" * MAX_TARGET,
    ],
)
def test_a_target_with_more_than_one_meaning_is_400(target: str) -> None:
    with pytest.raises(Problem) as caught:
        check_message(Request("GET", target, ()))
    assert caught.value.status == 400


@pytest.mark.parametrize("name", ["host", "content-length", "content-type"])
def test_a_field_that_decides_and_stands_twice_is_400(name: str) -> None:
    check_message(Request("GET", "/", ((name, "a"),)))
    with pytest.raises(Problem, match=name):
        check_message(Request("GET", "/", ((name, "a"), (name, "a"))))


def test_too_much_of_a_message_is_400() -> None:
    check_message(Request("GET", "/", (("x", "y" * MAX_FIELD),)))
    for headers in ((("x", "y" * (MAX_FIELD + 1)),), tuple(("x", "y") for _ in range(MAX_FIELDS + 1))):
        with pytest.raises(Problem) as caught:
            check_message(Request("GET", "/", headers))
        assert caught.value.status == 400


# The table of paths.


class Handlers:
    """A few handlers, and what they were asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.error: BaseException = ValueError("secret-in-an-error")

    async def serve(self, request: Request, **names: str) -> Answer:
        self.seen.append((request.method, names))
        return json_answer(200, {"ok": True})

    async def fail(self, _request: Request) -> Answer:
        raise self.error

    async def framed(self, _request: Request) -> Answer:
        return json_answer(200, {}, ("x-frame-options", "SAMEORIGIN"))


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
def routes(handlers: Handlers) -> Routes:
    return Routes(
        Route("GET", "/", handlers.serve),
        Route("GET", "/.well-known/aauth-{role}.json", handlers.serve),
        Route("GET", "/pending/{id}", handlers.serve),
        Route("DELETE", "/pending/{id}", handlers.serve),
        Route("POST", "/token", handlers.serve),
        Route("GET", "/fail", handlers.fail),
        Route("GET", "/framed", handlers.framed),
        headers={"x-frame-options": "DENY"},
    )


async def test_a_path_leads_to_its_handler_with_what_its_names_matched(routes: Routes, handlers: Handlers) -> None:
    for target in ("/", "/pending/aB-_9.~?x=1", "/.well-known/aauth-person.json"):
        assert (await routes.answer(Request("GET", target, ()))).status == 200
    assert handlers.seen == [("GET", {}), ("GET", {"id": "aB-_9.~"}), ("GET", {"role": "person"})]
    assert routes.serves("/pending/x")
    assert not routes.serves("/pending/")


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "//",
        "/token/",
        "/TOKEN",
        "/pending/",
        "/pending/a/b",
        "/pending/a%2Fb",
        "/pending/a\n",
        "/pending/" + "a" * 129,
        "/Xwell-known/aauth-person.json",
        "/.well-known/aauth-personXjson",
        "/./",
    ],
)
async def test_any_other_path_is_404_or_400(routes: Routes, handlers: Handlers, target: str) -> None:
    answer = await routes.answer(Request("GET", target, ()))
    assert answer.status == (400 if "\n" in target else 404)
    assert problem(answer)["error"] == ("invalid_request" if "\n" in target else "not_found")
    assert handlers.seen == []


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("POST", "/pending/x", "DELETE, GET, HEAD"),
        ("GET", "/token", "POST"),
        ("HEAD", "/token", "POST"),
        ("get", "/", "GET, HEAD"),
    ],
)
async def test_another_method_is_405_and_says_which_are_served(
    routes: Routes, method: str, target: str, allow: str
) -> None:
    answer = await routes.answer(Request(method, target, ()))
    assert problem(answer)["error"] == "method_not_allowed"
    assert (answer.status, answer.header("allow")) == (405, allow)


async def test_head_is_served_by_get(routes: Routes, handlers: Handlers) -> None:
    assert (await routes.answer(Request("HEAD", "/", ()))).status == 200
    assert handlers.seen == [("HEAD", {})]


async def test_a_refusal_is_its_own_answer(routes: Routes, handlers: Handlers) -> None:
    """F15; Signature-Keys §5.2: a string `error` at the top, and beside Signature-Error a URN as type."""
    handlers.error = Problem("denied", "no")
    answer = await routes.answer(Request("GET", "/fail", ()))
    assert (answer.status, problem(answer)["error"], problem(answer)["detail"]) == (403, "denied", "no")
    assert answer.header("signature-error") is None
    handlers.error = SignatureFailure("invalid_key")
    answer = await routes.answer(Request("GET", "/fail", ()))
    assert (answer.status, answer.header("signature-error")) == (401, "error=invalid_key")
    assert problem(answer)["type"] == "urn:ietf:params:sig-error:invalid_key"


async def test_f91_f87_a_fault_of_our_own_is_500_and_says_nothing(
    routes: Routes, handlers: Handlers, caplog: pytest.LogCaptureFixture
) -> None:
    """F91, F87."""
    for fault in (ValueError("secret-in-an-error"), KeyError("secret"), AssertionError(), RecursionError()):
        handlers.error = fault
        answer = await routes.answer(Request("GET", "/fail?code=A1B2-C3D4", ()))
        assert (answer.status, problem(answer)["error"]) == (500, "server_error")
        assert b"secret" not in answer.body
        assert answer.header("signature-error") is None
    assert "fault while answering GET /fail" in caplog.text
    assert "A1B2" not in caplog.text


async def test_f87_a_pending_or_interaction_url_is_not_logged(
    handlers: Handlers, caplog: pytest.LogCaptureFixture
) -> None:
    """F87, §13.2."""

    async def fail(_request: Request, id: str) -> Answer:
        raise RuntimeError

    routes = Routes(Route("GET", "/pending/{id}", fail))
    await routes.answer(Request("GET", "/pending/AbCdEfGhIjKlMnOpQrStUvWxYz012345", ()))
    assert "fault while answering GET /pending/…" in caplog.text
    assert "AbCdEf" not in caplog.text


@pytest.mark.parametrize("error", [StoreBusy("busy"), StoreUnavailable("gone")])
async def test_records_out_of_reach_are_503_which_a_poll_survives(
    routes: Routes, handlers: Handlers, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """draft-11 §11.8.4: 500 would end the poll, 503 says to come back."""
    handlers.error = error
    answer = await routes.answer(Request("GET", "/fail", ()))
    assert (answer.status, problem(answer)["error"]) == (503, "server_error")
    assert answer.header("retry-after") is not None
    assert caplog.records[-1].levelno == logging.ERROR


async def test_every_answer_carries_the_table_s_fields_once(routes: Routes, handlers: Handlers) -> None:
    for target in ("/", "/nothing", "/fail", "x"):
        assert (await routes.answer(Request("GET", target, ()))).values("x-frame-options") == ["DENY"]
    assert (await routes.answer(Request("GET", "/framed", ()))).values("x-frame-options") == ["SAMEORIGIN"]
