"""WSGI over the same core: what holds under ASGI holds here (design: written once, for async and sync)."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from aauthkit.callers import Agent, Session
from aauthkit.portal import wait_for
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem
from aauthkit.resource import PathNeeds, SessionGrant
from aauthkit.resource.bodies import BUFFERED_BODY
from aauthkit.resource.held import MAX_CALL
from aauthkit.resource.wsgi import CALLER, AAuthWsgi
from aauthkit.serving import Request
from tests.plugins.remembering import Clock, error_of, path_of
from tests.plugins.resources import API, World, asked, requirement, resource_token
from tests.plugins.signing import Signer, with_header, with_target

URL = f"{API}/orders"


def environ_of(request: Request, body: bytes | None = None, **more: Any) -> dict[str, Any]:
    """The environment that a WSGI server makes of `request`."""
    path, _, query = request.target.partition("?")
    raw = body if body is not None else getattr(request.body, "data", b"")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(raw),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]}, {value}" if key in environ else value
    return {**environ, **more}


def call(app: Any, request: Request, body: bytes | None = None, **more: Any) -> Answer:
    """The answer of a WSGI application."""
    started: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], None]:
        started[:] = [int(status.split(maxsplit=1)[0]), tuple((name.lower(), value) for name, value in headers)]
        return lambda _data: None

    result = app(environ_of(request, body, **more), start)
    content = b"".join(result)
    return Answer(started[0], started[1], content)


class Place:
    """A WSGI application behind the middleware, with records of its own."""

    def __init__(self, store: Path, **options: Any) -> None:
        self.world, self.clock = World(), Clock()
        self.resource = self.world.resource(store=store, clock=self.clock, **options)
        self.resource.interaction(lambda _visit: "/connect")
        self.seen: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.failing: Exception | None = None
        self.table = {
            "/public": self.resource.open(),
            "/s": self.resource.session(),
            "/g": self.resource.grant("orders.read"),
            "/held": self.resource.grant("orders.place", deliver="202"),
            "/digest": self.resource.agent(digest=True),
            "GET /only-get": self.resource.agent(),
            "/only-get": self.resource.open(),
            "/cors": self.resource.agent(preflight=True),
        }
        needs = PathNeeds(self.table, default=self.resource.agent())
        self.app = AAuthWsgi(self.inner, self.resource, needs.in_environ)

    def inner(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen.append(environ)
        if self.failing is not None:
            raise self.failing
        self.bodies.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response("200 OK", [("X-Inner", "1")])
        return [b"in", b"ner"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "api.db")
    yield made
    made.app.close()


def test_an_admitted_request_reaches_the_application_with_its_caller(place: Place) -> None:
    answer = call(place.app, place.world.agent().sign("GET", URL))
    assert (answer.status, answer.body) == (200, b"inner")
    assert isinstance(place.seen[0][CALLER], Agent)


def test_an_unsigned_request_runs_nothing(place: Place) -> None:
    """F46."""
    answer = call(place.app, place.world.unsigned())
    assert (answer.status, answer.header("signature-error"), asked(answer)) == (
        401,
        "error=invalid_signature",
        "agent-token",
    )
    assert answer.header("link") == place.resource.resource_link()[1]
    assert not place.seen


def test_an_open_path_has_no_caller_whatever_the_client_sends(place: Place) -> None:
    """F67, F89: no field gives an identity."""
    spoofed = Request("GET", "/public", (("aauthkit.caller", "me"), ("aauthkit-caller", "me")))
    assert call(place.app, spoofed, **{CALLER: "me"}).status == 200
    assert CALLER not in place.seen[0]


def test_a_warm_request_is_decided_on_its_own_thread(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what must wait crosses over."""
    signer = place.world.agent()
    call(place.app, signer.sign("GET", URL))

    def never(*_args: Any) -> None:
        raise AssertionError("a warm request crossed over")

    monkeypatch.setattr("aauthkit.resource.wsgi.wait_for", never)
    assert call(place.app, signer.sign("GET", URL)).status == 200
    assert call(place.app, place.world.unsigned()).status == 401


def test_a_fault_while_deciding_is_500_and_runs_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """F46, F91."""

    def broken(_environ: Any) -> None:
        raise LookupError("no such table")

    answer = call(AAuthWsgi(place.inner, place.resource, broken), place.world.agent().sign("GET", URL))
    assert (answer.status, error_of(answer)) == (500, "server_error")
    assert b"table" not in answer.body
    assert not place.seen
    assert "fault while deciding" in caplog.text


def test_the_account_hook_is_asked(tmp_path: Path) -> None:
    async def hook(caller: Any) -> Any:
        return "acme" if caller.sub.startswith("aauth:planner@") else None

    place = Place(tmp_path / "api.db", account=hook)
    assert call(place.app, place.world.agent().sign("GET", URL)).status == 200
    refused = call(place.app, place.world.agent(sub="aauth:b@agents.example").sign("GET", URL))
    assert (refused.status, error_of(refused)) == (403, "access_denied")
    place.app.close()


def test_own_paths_are_answered_by_the_resource(place: Place) -> None:
    metadata = call(place.app, Request("GET", "/.well-known/aauth-resource.json", ()))
    assert json.loads(metadata.body)["issuer"] == API
    head = call(place.app, Request("HEAD", "/.well-known/jwks.json", ()))
    assert (head.status, head.body) == (200, b"")
    assert not place.seen


@pytest.mark.parametrize("target", ["/orders#x", "https://api.example/orders", "*"])
def test_a_target_not_in_origin_form_is_400(place: Place, target: str) -> None:
    answer = call(place.app, with_target(place.world.agent().sign("GET", URL), target))
    assert answer.status == 400
    assert not place.seen


@pytest.mark.parametrize("path", ["/a;x=1", "/a%2Fb", "/a//b", "/a/../b", "/a?x=1&x=2", "/a??", "/%E2%82%AC", "/a%20b"])
def test_the_target_is_used_as_it_was_sent(place: Place, path: str) -> None:
    """F05."""
    assert call(place.app, place.world.agent().sign("GET", API + path)).status == 200


@pytest.mark.parametrize("path", ["/a/b", "/%E2%82%AC", "/a%20b?x=1"])
def test_without_a_raw_uri_the_path_is_encoded_anew(place: Place, path: str) -> None:
    answer = call(place.app, place.world.agent().sign("GET", API + path), RAW_URI=None)
    assert answer.status == 200


def test_a_changed_target_or_query_is_refused(place: Place) -> None:
    """F05, F08."""
    for url, sent in (("/a;r=user", "/a;r=admin"), ("/a?x=1", "/a?x=2"), ("/a", "/b")):
        answer = call(place.app, with_target(place.world.agent().sign("GET", API + url), sent))
        assert answer.header("signature-error") == "error=invalid_signature"
    added = call(place.app, with_target(place.world.agent().sign("GET", f"{API}/a"), "/a?x=1"))
    assert (added.header("signature-error") or "").startswith("error=invalid_input")
    assert not place.seen


def test_a_stripped_prefix_is_part_of_what_was_signed(tmp_path: Path) -> None:
    place = Place(tmp_path / "api.db", path_prefix="/v1")
    signed = place.world.agent().sign("GET", f"{API}/v1/orders")
    assert call(place.app, with_target(signed, "/orders")).status == 200
    mounted = place.world.agent().sign("GET", f"{API}/v1/orders")
    assert call(place.app, mounted, SCRIPT_NAME="/v1", PATH_INFO="/orders").status == 200
    assert call(place.app, place.world.agent().sign("GET", URL)).status == 401
    place.app.close()


def test_two_credentials_are_joined_by_the_server_and_refused(place: Place) -> None:
    """§6.3."""
    signed = place.world.agent().sign("GET", URL, headers=[("authorization", "AAuth a, AAuth b")])
    assert call(place.app, signed).status == 401
    assert not place.seen


# Bodies.


def test_a_body_is_compared_before_the_application_runs(place: Place) -> None:
    """F13."""
    signed = place.world.agent().sign("POST", URL, body=b'{"a":1}')
    assert call(place.app, signed).status == 200
    assert place.bodies == [b'{"a":1}']
    again = place.world.agent().sign("POST", URL, body=b'{"a":1}')
    swapped = call(place.app, again, body=b'{"a":2}')
    assert (swapped.status, swapped.header("signature-error")) == (401, "error=invalid_signature")
    assert len(place.seen) == 1


def test_a_large_body_is_compared_as_it_is_read(place: Place) -> None:
    large = b"x" * (BUFFERED_BODY + 10)
    assert call(place.app, place.world.agent().sign("POST", URL, body=large)).status == 200
    assert place.bodies == [large]
    signed = place.world.agent().sign("POST", URL, body=large)
    swapped = call(place.app, signed, body=large[:-1] + b"y")
    assert (swapped.status, swapped.header("signature-error")) == (401, "error=invalid_signature")
    assert len(place.bodies) == 1


def test_a_body_must_be_covered_where_the_route_says_so(place: Place) -> None:
    signed = place.world.agent().sign("POST", f"{API}/digest", body=b"{}", drop=("content-digest",))
    assert (call(place.app, signed).header("signature-error") or "").startswith("error=invalid_input")
    unannounced = place.world.agent().sign("POST", f"{API}/digest")
    assert call(place.app, unannounced, body=b"{}").status == 200
    assert place.bodies == [b""]


def test_a_refused_body_is_not_read(place: Place) -> None:
    class Unread:
        def read(self, _size: int = -1) -> bytes:
            raise AssertionError("it was read")

    signed = place.world.bare().sign("POST", URL, body=b"{}")
    assert call(place.app, signed, **{"wsgi.input": Unread()}).status == 401


# Methods.


def test_head_has_the_need_of_get(place: Place) -> None:
    assert call(place.app, Request("HEAD", "/only-get", ())).status == 401
    assert call(place.app, Request("POST", "/only-get", ())).status == 200


def test_a_preflight_passes_only_where_the_route_names_it(place: Place) -> None:
    fields = (("origin", "https://app.example"), ("access-control-request-method", "POST"))
    assert call(place.app, Request("OPTIONS", "/cors", fields)).status == 200
    assert call(place.app, Request("OPTIONS", "/orders", fields)).status == 401
    assert call(place.app, Request("OPTIONS", "/cors", fields[:1])).status == 401


# What the application does.


def test_a_refusal_of_the_application_becomes_its_answer(place: Place) -> None:
    place.failing = Problem("access_denied", "not yours")
    answer = call(place.app, place.world.agent().sign("GET", URL))
    assert (answer.status, error_of(answer), len(answer.values("link"))) == (403, "access_denied", 1)


def test_any_other_error_of_the_application_passes(place: Place) -> None:
    place.failing = RuntimeError("own")
    with pytest.raises(RuntimeError, match="own"):
        call(place.app, place.world.agent().sign("GET", URL))


def test_a_challenge_carries_a_resource_token(place: Place) -> None:
    answer = call(place.app, place.world.person().sign("GET", f"{API}/g"))
    assert resource_token(answer).scope == {"orders.read"}
    assert call(place.app, place.world.grant("orders.read").sign("GET", f"{API}/g")).status == 200


# What is remembered.


def test_sessions_work_here_too(place: Place) -> None:
    signer = place.world.agent()
    first = call(place.app, signer.sign("GET", f"{API}/s"))
    asking = requirement(first)
    assert asking is not None
    assert (first.status, asking.value) == (202, "interaction")
    caller = wait_for(place.resource.decide, signer.sign("GET", URL), place.resource.agent()).caller
    token = wait_for(place.resource.open_session, caller, SessionGrant("user-1"))
    served = call(place.app, signer.sign("GET", f"{API}/s", headers=[("authorization", f"AAuth {token}")]))
    assert served.status == 200
    assert isinstance(place.seen[-1][CALLER], Session)
    place.clock.now += 24 * 3600
    later = place.world.agent(now=int(place.clock.now))
    headers = [("authorization", f"AAuth {token}")]
    replaced = call(place.app, later.sign("GET", f"{API}/s", headers=headers, now=int(place.clock.now)))
    assert replaced.status == 200
    assert replaced.header("aauth-access") not in (None, token)


def test_a_call_is_held_and_runs_once(place: Place) -> None:
    """§6.5.1, RS-36: through the same records as under ASGI."""
    held = call(place.app, place.world.person().sign("POST", f"{API}/held?a=1", body=b'{"item":"lamp"}'))
    assert held.status == 202
    assert not place.seen
    signer = place.world.grant("orders.place")
    for _ in range(2):
        answer = call(place.app, signer.sign("GET", API + path_of(held)))
        assert (answer.status, answer.body, answer.header("x-inner")) == (200, b"inner", "1")
    assert place.bodies == [b'{"item":"lamp"}']
    environ = place.seen[0]
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("POST", "/held", "a=1")
    assert "HTTP_SIGNATURE" not in environ


def test_a_held_body_has_its_bound_and_its_digest(place: Place) -> None:
    large = call(place.app, place.world.person().sign("POST", f"{API}/held", body=b"x" * (MAX_CALL + 1)))
    assert (large.status, asked(large)) == (401, "auth-token")
    signed = place.world.person().sign("POST", f"{API}/held", body=b"{}")
    swapped = call(place.app, signed, body=b"[]")
    assert (swapped.status, swapped.header("signature-error")) == (401, "error=invalid_signature")


def test_a_revocation_reaches_it(place: Place) -> None:
    body = json.dumps({"jti": "gone", "exp": int(place.clock.now) + 60}).encode()
    issuer = Signer.server(place.world.ps, "aauth-person.json")
    assert call(place.app, issuer.sign("POST", f"{API}/aauth/revoke", body=body)).status == 200
    answer = call(place.app, place.world.grant("orders.read", jti="gone").sign("GET", f"{API}/g"))
    assert (answer.header("signature-error"), asked(answer)) == ("error=revoked_jwt", "person-token")


def test_many_threads_at_once(place: Place) -> None:
    """Decided together, each request by itself; a replay is let through once."""
    replayed = place.world.agent().sign("POST", URL, body=b"{}")
    outcomes: list[int] = []

    def work() -> None:
        for _ in range(10):
            outcomes.append(call(place.app, place.world.agent().sign("GET", URL)).status)
        outcomes.append(call(place.app, with_header(replayed, "x-n", None)).status)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(401) == 7
    assert outcomes.count(200) == 81
