"""Bodies: a covered digest is always checked, before the route runs where it can be (draft-11 §11.3.3.1; RFC 9530)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aauthkit.asgi import App
from aauthkit.protocol.httpsig import content_digest
from aauthkit.protocol.messages import Answer
from aauthkit.resource import Resource
from aauthkit.resource.asgi import AAuthMiddleware
from aauthkit.resource.bodies import BUFFERED_BODY
from aauthkit.serving import Request
from tests.plugins.resources import Wire, World, ask, exchange, scope_of
from tests.plugins.signing import with_header

pytestmark = pytest.mark.anyio

URL = "https://api.example/orders"
LARGE = b"y" * (BUFFERED_BODY + 200_000)


class Reader:
    """An application that reads its body, all or until it has enough, and says how much it saw."""

    def __init__(self, *, swallow: bool = False) -> None:
        self.began = False
        self.body = b""
        self.whole = False
        self.swallow = swallow

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.began = True
        try:
            await self.read(receive)
        except Exception:
            if not self.swallow:
                raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(len(self.body)).encode()})

    async def read(self, receive: Any) -> None:
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        self.whole = True


Behind = Callable[..., App]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def resource(world: World) -> Resource:
    return world.resource()


@pytest.fixture
def behind(resource: Resource) -> Behind:
    def make(app: Reader, **options: Any) -> App:
        need = resource.agent(**options)
        return AAuthMiddleware(app, resource, lambda _: need)

    return make


def is_invalid_signature(answer: Answer) -> bool:
    return answer.status == 401 and answer.header("signature-error") == "error=invalid_signature"


async def test_the_body_reaches_the_route_as_it_came(world: World, behind: Behind) -> None:
    app = Reader()
    request = world.agent().sign("POST", URL, body=b"abcdef")
    wire = await exchange(behind(app), request, chunks=[b"ab", b"", b"cdef"])
    assert (wire.answer.body, app.body) == (b"6", b"abcdef")


async def test_a_changed_body_runs_no_handler(world: World, behind: Behind) -> None:
    """F13: 401 `invalid_signature`, although the route does not require a digest."""
    for chunks in ([b'{"n":2}'], [b'{"n":', b"2}"], [b""], [b'{"n":1}', b" "]):
        app = Reader()
        request = world.agent().sign("POST", URL, body=b'{"n":1}')
        answer = await ask(behind(app), request, chunks=chunks)
        assert is_invalid_signature(answer)
        assert not app.began


async def test_a_digest_that_is_not_covered_binds_nothing_and_is_not_required_by_default(
    world: World, behind: Behind
) -> None:
    """§11.3.3.1 requires it of person and access servers; a resource asks for it where it wants to."""
    app = Reader()
    request = world.agent().sign("POST", URL, body=b"abc", drop=["content-digest", "content-type"])
    assert (await ask(behind(app), request, chunks=[b"other"])).status == 200


@pytest.mark.parametrize("dropped", [["content-digest"], ["content-type"], ["content-digest", "content-type"]])
async def test_a_route_that_requires_a_digest_refuses_a_body_without(
    world: World, behind: Behind, dropped: list[str]
) -> None:
    """F13, §11.3.4 step 2: `invalid_input` with what is required; the body is not read."""
    app = Reader()
    request = world.agent().sign("POST", URL, body=b"abc", drop=dropped)
    wire = await exchange(behind(app, digest=True), request)
    error = wire.answer.header("signature-error")
    assert error is not None
    assert error.startswith("error=invalid_input")
    assert '"content-digest" "content-type"' in error
    assert wire.read == 0
    assert not app.began


async def test_a_resource_may_require_a_digest_of_every_body(world: World) -> None:
    """§11.2.4: `additional_signature_components`, which a request without a body cannot and need not cover."""
    resource = world.resource(additional_signature_components=["content-type", "content-digest"])
    app = Reader()
    guarded = AAuthMiddleware(app, resource, lambda _: resource.agent())
    assert (await ask(guarded, world.agent().sign("GET", URL))).status == 200
    request = world.agent().sign("POST", URL, body=b"abc", drop=["content-digest"])
    assert (await ask(guarded, request)).status == 401
    assert (await ask(guarded, world.agent().sign("POST", URL, body=b"abc"))).status == 200
    assert (await ask(guarded, world.agent().sign("POST", URL), chunks=[b"smuggled"])).status == 401


async def test_a_body_that_was_not_announced_does_not_slip_past_a_required_digest(world: World, behind: Behind) -> None:
    """HTTP/2 can send a body with neither Content-Length nor Transfer-Encoding."""
    app = Reader()
    answer = await ask(behind(app, digest=True), world.agent().sign("POST", URL), chunks=[b"smuggled"])
    assert is_invalid_signature(answer)
    assert not app.began
    assert (await ask(behind(Reader(), digest=True), world.agent().sign("POST", URL), chunks=[b""])).status == 200


async def test_a_body_without_length_is_checked_too(world: World, behind: Behind) -> None:
    request = with_header(world.agent().sign("POST", URL, body=b"abc"), "content-length", None)
    assert (await ask(behind(Reader()), request, chunks=[b"abc"])).status == 200
    request = with_header(world.agent().sign("POST", URL, body=b"abc"), "content-length", None)
    assert (await ask(behind(Reader()), request, chunks=[b"abd"])).status == 401


async def test_a_malformed_digest_is_refused_before_the_body_is_read(world: World, behind: Behind) -> None:
    for value in ("sha-256=abc", "md5=:AAAA:", "sha-256=:AAAA:, sha-256=:BBBB:", "=", "sha-256"):
        app = Reader()
        request = world.agent().sign(
            "POST",
            URL,
            headers=[("content-digest", value), ("content-length", "3"), ("content-type", "text/plain")],
            components=["@method", "@authority", "@path", "content-digest", "content-type"],
        )
        wire = await exchange(behind(app), request, chunks=[b"abc"])
        assert is_invalid_signature(wire.answer), value
        assert wire.read == 0
        assert not app.began


async def test_every_known_digest_must_match(world: World, behind: Behind) -> None:
    """RFC 9530: a good sha-256 does not excuse a wrong sha-512."""
    value = f"{content_digest(b'abc')}, {content_digest(b'abd', 'sha-512')}"
    fields = [("content-digest", value), ("content-length", "3"), ("content-type", "text/plain")]
    request = world.agent().sign(
        "POST",
        URL,
        headers=fields,
        components=["@method", "@authority", "@path", "content-digest", "content-type"],
    )
    assert (await ask(behind(Reader()), request, chunks=[b"abc"])).status == 401


async def test_a_large_body_streams_and_is_checked_at_its_end(world: World, behind: Behind) -> None:
    app = Reader()
    request = world.agent().sign("POST", URL, body=LARGE)
    wire = await exchange(behind(app), request, chunks=[LARGE[:1000], LARGE[1000:]])
    assert (wire.answer.status, app.body) == (200, LARGE)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("swallow", [True, False])
async def test_a_large_body_that_was_changed_never_comes_to_its_end(
    world: World, behind: Behind, announced: bool, swallow: bool
) -> None:
    """The read fails, and whatever the handler makes of that, the answer is 401."""
    app = Reader(swallow=swallow)
    request = world.agent().sign("POST", URL, body=LARGE)
    if not announced:
        request = with_header(request, "content-length", None)
    changed = LARGE[:-1] + b"z"
    pieces = [changed[at : at + 65536] for at in range(0, len(changed), 65536)]
    answer = await ask(behind(app), request, chunks=pieces)
    assert is_invalid_signature(answer)
    assert app.began
    assert not app.whole
    assert len(app.body) < len(LARGE)


async def test_a_read_after_the_failure_fails_again(world: World, behind: Behind) -> None:
    class Stubborn(Reader):
        async def read(self, receive: Any) -> None:
            for _ in range(3):
                try:
                    await super().read(receive)
                except Exception:
                    continue

    app = Stubborn()
    request = world.agent().sign("POST", URL, body=LARGE)
    assert is_invalid_signature(await ask(behind(app), request, chunks=[LARGE[:-1], b"z"]))
    assert not app.whole


async def test_a_client_that_goes_away_leaves_nothing_running(world: World, behind: Behind) -> None:
    app = Reader()
    request = world.agent().sign("POST", URL, body=b"abcdef")
    wire = Wire([b"abc"], disconnects=True)
    await behind(app)(scope_of(request), wire.receive, wire.send)
    assert not wire.sent
    assert not app.began


async def test_after_the_body_the_application_may_wait_for_the_end_of_the_connection(
    world: World, behind: Behind
) -> None:
    seen: list[str] = []

    class Waiting(Reader):
        async def read(self, receive: Any) -> None:
            await super().read(receive)
            seen.append((await receive())["type"])

    assert (await ask(behind(Waiting()), world.agent().sign("POST", URL, body=b"abc"))).status == 200
    assert seen == ["http.disconnect"]


async def test_a_get_may_cover_the_digest_of_nothing(world: World, behind: Behind) -> None:
    request = world.agent().sign(
        "GET",
        URL,
        headers=[("content-digest", content_digest(b""))],
        components=["@method", "@authority", "@path", "content-digest"],
    )
    assert (await ask(behind(Reader()), request)).status == 200
    smuggling = Request(request.method, request.target, request.headers)
    assert (await ask(behind(Reader()), smuggling, chunks=[b"x"])).status == 401
