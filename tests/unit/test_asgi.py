"""The ASGI adapter: what a server hears is what was sent, and what it answers is what goes out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aauthkit.asgi import Asgi, headers_of, request_of, target_of
from aauthkit.protocol.messages import Answer
from aauthkit.serving import Request, Route, Routes
from tests.plugins.resources import Wire, ask, exchange, scope_of

pytestmark = pytest.mark.anyio


def raw(path: bytes, query: bytes = b"", **more: Any) -> dict[str, Any]:
    return {"path": path.decode(), "raw_path": path, "query_string": query, "root_path": "", **more}


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (b"/a;x=1", b"", "/a;x=1"),
        (b"/a%2Fb/../c//d", b"q=%20z", "/a%2Fb/../c//d?q=%20z"),
        (b"/", b"?", "/??"),
        (b"/a#b", b"", "/a#b"),
        (b"https://api.example/a", b"", "https://api.example/a"),
        (b"/a", b"x=1#y", "/a?x=1#y"),
        ("/ä".encode(), b"", "/Ã¤"),
    ],
)
def test_the_target_is_as_it_was_sent(path: bytes, query: bytes, target: str) -> None:
    """RFC 9421 §2.2.6, §2.2.7: nothing is decoded, merged or left out."""
    assert target_of(raw(path, query)) == target


@pytest.mark.parametrize(
    ("path", "more", "target"),
    [
        (b"/orders", {}, "/api/orders"),  # nobody put it back
        (b"/api/orders", {"root_path": "/api"}, "/api/orders"),  # uvicorn did
        (b"/orders", {"root_path": "/api"}, "/api/orders"),  # the framework knows it, the path does not
        (b"/shop/orders", {"root_path": "/shop"}, "/api/shop/orders"),  # mounted below
        (b"/api/orders", {"root_path": "/api", "app_root_path": ""}, "/api/api/orders"),  # mounted under the same name
        (b"/api/api/orders", {"root_path": "/api"}, "/api/api/orders"),
        (b"/api/orders", {}, "/api/api/orders"),
        (b"/apiary", {"root_path": "/api"}, "/api/apiary"),
    ],
)
def test_a_stripped_prefix_is_put_back_once(path: bytes, more: dict[str, Any], target: str) -> None:
    assert target_of(raw(path, **more), prefix="/api") == target


def test_without_a_raw_path_the_target_is_what_the_application_sees() -> None:
    scope = {"path": "/a b/ä;x=1/%", "query_string": b"", "root_path": ""}
    assert target_of(scope) == "/a%20b/%C3%A4;x=1/%25"
    assert target_of({**scope, "raw_path": None}) == "/a%20b/%C3%A4;x=1/%25"


def test_header_fields_keep_their_bytes_and_order() -> None:
    scope = {"headers": [(b"X-A", b"1"), (b"x-b", "ä".encode()), (b"x-a", b" 2 ")]}
    assert headers_of(scope) == (("x-a", "1"), ("x-b", "Ã¤"), ("x-a", " 2 "))


def test_a_request_knows_its_peer_where_there_is_one() -> None:
    request = Request("GET", "/", ())
    assert request_of(scope_of(request), Wire().receive).peer == "192.0.2.7"
    assert request_of(scope_of(request, client=None), Wire().receive).peer is None


async def echo(request: Request) -> Answer:
    body = await request.read()
    return Answer(200, (("content-type", "text/plain"), ("x-twice", "1"), ("x-twice", "2")), body or b"nothing")


async def empty(_request: Request) -> Answer:
    return Answer(204)


app = Asgi(Routes(Route("POST", "/echo", echo), Route("GET", "/echo", echo), Route("DELETE", "/echo", empty)))


async def test_an_answer_goes_out_whole() -> None:
    answer = await ask(app, Request("POST", "/echo", ()), chunks=[b"a", b"", b"bc"])
    assert (answer.status, answer.body) == (200, b"abc")
    assert answer.values("x-twice") == ["1", "2"]
    assert answer.header("content-length") == "3"


async def test_head_is_answered_without_the_body_and_with_its_length() -> None:
    answer = await ask(app, Request("HEAD", "/echo", ()))
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "7")


async def test_an_answer_that_has_no_body_has_no_length() -> None:
    answer = await ask(app, Request("DELETE", "/echo", ()))
    assert (answer.status, answer.header("content-length")) == (204, None)


async def test_a_refusal_goes_out_before_the_body_is_read() -> None:
    wire = await exchange(app, Request("POST", "/nowhere", ()), chunks=[b"x" * 1000] * 50)
    assert wire.answer.status == 404
    assert wire.read == 0


async def test_a_body_that_breaks_off_is_no_whole_request(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire([b"half"], disconnects=True)
    await app(scope_of(Request("POST", "/echo", ())), wire.receive, wire.send)
    assert wire.answer.status == 400
    assert not caplog.records


async def test_a_broken_target_is_400() -> None:
    for target in ("/echo#x", "https://api.example/echo", "*", "/echo?a=ä"):
        assert (await ask(app, Request("GET", target, ()))).status == 400


async def test_a_websocket_is_refused_before_it_is_accepted() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "websocket"}, receive, send)
    assert sent == ["websocket.close"]


async def test_an_unknown_kind_of_connection_is_a_fault() -> None:
    with pytest.raises(ValueError, match="gopher"):
        await app({"type": "gopher"}, Wire().receive, Wire().send)


async def lifespan(app: Asgi) -> list[str]:
    said: list[str] = []
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        said.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    return said


async def test_the_application_starts_and_ends_its_server() -> None:
    done: list[str] = []

    async def start() -> None:
        done.append("start")

    async def close() -> None:
        done.append("close")

    assert await lifespan(Asgi(Routes(), start=start, close=close)) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert done == ["start", "close"]
    assert len(await lifespan(Asgi(Routes()))) == 2


async def test_a_failed_start_or_end_is_told_to_the_server() -> None:
    async def fail() -> None:
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        await lifespan(Asgi(Routes(), start=fail))
    with pytest.raises(RuntimeError, match="no database"):
        await lifespan(Asgi(Routes(), close=fail))


@pytest.mark.parametrize(("method", "chunks"), [("GET", [b""]), ("POST", [b"half", b"half"])])
async def test_a_held_request_whose_client_has_gone_is_let_go(method: str, chunks: list[bytes]) -> None:
    """Its answer would reach nobody, and a pending URL gives its terminal one once (draft-11 §11.8.3)."""
    read: list[bytes] = []
    let_go = asyncio.Event()

    async def hold(request: Request) -> Answer:
        read.append(await request.read() if request.has_body else b"")
        try:
            await asyncio.Event().wait()
        finally:
            let_go.set()
        raise AssertionError("nobody ends this wait")

    headers = (("prefer", "wait=45"), *([("content-length", "8")] if method == "POST" else []))
    wire = Wire([*chunks])
    await Asgi(Routes(Route(method, "/held", hold)))(
        scope_of(Request(method, "/held", headers)), wire.receive, wire.send
    )
    assert wire.sent == []
    assert read == [b"".join(chunks)]
    assert let_go.is_set()


async def test_a_held_request_is_told_to_come_back_when_the_server_ends() -> None:
    """Cancelled, as uvicorn does at the end of its grace: 500 would end the poll (draft-11 §11.8.4)."""

    async def hold(_request: Request) -> Answer:
        return await asyncio.Future()

    staying = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await staying.wait()
        return {"type": "http.disconnect"}

    wire = Wire()
    scope = scope_of(Request("GET", "/held", (("prefer", "wait=45"),)))
    answering = asyncio.create_task(Asgi(Routes(Route("GET", "/held", hold)))(scope, receive, wire.send))
    await asyncio.sleep(0.01)
    answering.cancel()
    await answering
    assert (wire.answer.status, wire.answer.header("retry-after")) == (503, "1")


async def test_a_request_that_may_be_held_is_answered_like_any_other() -> None:
    wire = await exchange(
        app, Request("POST", "/echo", (("prefer", "wait=45"), ("content-length", "3"))), chunks=[b"abc"]
    )
    assert (wire.answer.status, wire.answer.body) == (200, b"abc")
