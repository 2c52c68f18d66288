"""The client of every outgoing request (Signature-Keys §7.3): over real TLS, under real names."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
from ipaddress import ip_network

import httpx2
import pytest

from aauthkit.egress import Egress, EgressError, Http, read_url
from aauthkit.protocol.identifiers import LoopbackProfile
from aauthkit.protocol.messages import Answer
from tests.plugins.tls import Authority, Internet, Received, Reply, json_reply

pytestmark = pytest.mark.anyio

LOOPBACK = LoopbackProfile(frozenset({"http://person.localhost:8701"}))


def nobody(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


async def get(http: Http, url: str, **more: object) -> Answer:
    settings = {"timeout": 30.0, "limit": 4096, **more}
    return await http.send("GET", url, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://API.Example", "api.example", "/"),
        ("https://api.example:443/a", "api.example", "/a"),
        ("https://api.example:8443/a?b", "api.example:8443", "/a?b"),
        ("https://api.example?b=1", "api.example", "/?b=1"),
        ("https://api.example/a?", "api.example", "/a?"),
        ("https://api.example/a/../b//c;x=1/%2F?q=%20", "api.example", "/a/../b//c;x=1/%2F?q=%20"),
        ("https://[2606:4700::1]/", "[2606:4700::1]", "/"),
        ("http://person.localhost:8701/x", "person.localhost:8701", "/x"),
    ],
)
def test_a_url_is_taken_apart_without_a_change(url: str, authority: str, target: str) -> None:
    found = read_url(url, LOOPBACK)
    assert (found.authority, found.target) == (authority, target)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/",
        "http://person.localhost:8702/",
        "http://localhost:8701/",
        "ftp://api.example/",
        "file:///etc/passwd",
        "//api.example/",
        "/a",
        "",
        "https:///a",
        "https://user@api.example/",
        "https://user:password@api.example/",
        "https://api.example:0/",
        "https://api.example:99999/",
        "https://api.example/a#b",
        "https://api.example/a b",
        "https://api.example/a\r\nHost: evil.example",
        "https://api.example\\@evil.example/",
        "https://äpi.example/",
        "https://api.example/" + "a" * 8192,
    ],
)
async def test_F27_a_url_that_is_not_https_or_not_in_form_is_refused_before_a_look_up(url: str) -> None:
    async with Http(Egress(loopback=LOOPBACK), resolver=nobody) as http:
        for guarded in (True, False):
            with pytest.raises(EgressError) as caught:
                await get(http, url, guarded=guarded)
            assert caught.value.kind == "refused"


async def test_a_mapped_name_is_reached_at_its_address_with_its_own_certificate(internet: Internet) -> None:
    server = await internet.serve("person.example", lambda request: json_reply({"at": request.target}))
    async with Http(internet.egress(), resolver=nobody) as http:
        answer = await get(http, "https://person.example/a;x=1/%2F//..?q=1")
    assert (answer.status, answer.body) == (200, b'{"at": "/a;x=1/%2F//..?q=1"}')
    assert answer.header("content-type") == "application/json"
    assert server.requests[0].header("host") == "person.example"


async def test_the_request_says_what_it_was_given_and_nothing_of_its_own_but_framing(internet: Internet) -> None:
    server = await internet.serve("person.example", lambda _: Reply(201, (("Set-Cookie", "a=1"),), b"x"))
    async with Http(internet.egress(), resolver=nobody) as http:
        fields = [("x-one", "1"), ("x-one", "2"), ("Host", "evil.example"), ("content-length", "99")]
        answer = await http.send("POST", "https://person.example/t", fields, b"body", timeout=30, limit=10)
        await http.send("GET", "https://person.example/t", timeout=30, limit=10)
    assert (answer.status, answer.values("set-cookie")) == (201, ["a=1"])
    first, second = server.requests
    assert first.body == b"body"
    assert sorted(first.headers) == [
        ("accept-encoding", "identity"),
        ("content-length", "4"),
        ("host", "person.example"),
        ("user-agent", "aauthkit"),
        ("x-one", "1"),
        ("x-one", "2"),
    ]
    assert second.header("cookie") is None


async def test_a_certificate_for_another_name_ends_the_connection(internet: Internet) -> None:
    server = await internet.issuer("agents.example", certified="other.example")
    async with Http(internet.egress(), resolver=nobody) as http:
        with pytest.raises(EgressError) as caught:
            await get(http, "https://agents.example/")
    assert (caught.value.kind, caught.value.passing) == ("unreachable", True)
    assert server.requests == []


async def test_an_authority_that_is_not_configured_is_not_trusted(internet: Internet) -> None:
    server = await internet.issuer("agents.example")
    async with Http(Egress(names=internet.names), resolver=nobody) as http:
        with pytest.raises(EgressError):
            await get(http, "https://agents.example/")
    assert server.requests == []


def test_the_context_speaks_tls_1_2_or_later_and_checks_names(authority: Authority) -> None:
    context = Egress(ca_file=authority.ca_file).tls()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    assert Egress(ssl_context=context).tls() is context
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname = False
    with pytest.raises(ValueError, match="checks certificates"):
        Egress(ssl_context=lax).tls()


def test_configuration_that_cannot_be_meant_is_refused() -> None:
    for names in ({"a.example": ("b.example", 1)}, {"A.example": ("127.0.0.1", 1)}, {"a.example": ("127.0.0.1", 0)}):
        with pytest.raises(ValueError):
            Egress(names=names)
    with pytest.raises(ValueError, match="proxy"):
        Egress(proxy="socks5://127.0.0.1:1")
    assert "secret" not in repr(Egress(proxy="http://user:secret@proxy.example:3128"))


@pytest.mark.parametrize("length", [True, False])
async def test_F29_an_answer_longer_than_its_limit_is_not_read_to_its_end(internet: Internet, length: bool) -> None:
    await internet.serve("big.example", lambda _: Reply(body=b"x" * 5000, length=length))
    async with Http(internet.egress(), resolver=nobody) as http:
        with pytest.raises(EgressError) as caught:
            await get(http, "https://big.example/", limit=4999)
        assert caught.value.kind == "too_large"
        assert len((await get(http, "https://big.example/", limit=5000)).body) == 5000


async def test_F29_an_answer_that_drips_is_cut_off_by_the_clock(internet: Internet) -> None:
    await internet.serve("slow.example", lambda _: Reply(body=b"x" * 500, drip=0.05))
    async with Http(internet.egress(), resolver=nobody) as http:
        with pytest.raises(EgressError) as caught:
            await get(http, "https://slow.example/", timeout=0.3)
    assert (caught.value.kind, caught.value.passing) == ("timeout", True)


async def test_F29_a_compressed_answer_is_refused_and_never_unpacked(internet: Internet) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    for coding in ("gzip", "GZIP", "br", "identity, gzip"):
        await internet.serve("bomb.example", lambda _, c=coding: Reply(headers=(("Content-Encoding", c),), body=bomb))
        async with Http(internet.egress(), resolver=nobody) as http:
            with pytest.raises(EgressError) as caught:
                await get(http, "https://bomb.example/", limit=1_000_000)
        assert caught.value.kind == "malformed"
        await internet.servers["bomb.example"].stop()


async def test_an_answer_that_says_identity_is_read(internet: Internet) -> None:
    await internet.serve("a.example", lambda _: Reply(headers=(("content-encoding", "identity"),), body=b"{}"))
    async with Http(internet.egress(), resolver=nobody) as http:
        assert (await get(http, "https://a.example/")).body == b"{}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_F27_a_redirect_is_an_answer_and_is_not_followed(internet: Internet, status: int) -> None:
    trap = await internet.serve("trap.example", lambda _: json_reply({}))
    await internet.serve("a.example", lambda _: Reply(status, (("location", "https://trap.example/"),)))
    async with Http(internet.egress(), resolver=nobody) as http:
        answer = await get(http, "https://a.example/")
    assert (answer.status, answer.header("location")) == (status, "https://trap.example/")
    assert trap.connections == 0


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-OpenSSH_9.7 secret-banner\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"])
async def test_F27_an_error_repeats_nothing_of_what_the_target_said(internet: Internet, raw: bytes) -> None:
    await internet.serve("a.example", lambda _: Reply(raw=raw))
    async with Http(internet.egress(), resolver=nobody) as http:
        with pytest.raises(EgressError) as caught:
            await get(http, "https://a.example/")
    assert "banner" not in f"{caught.value}{caught.value.__cause__}{caught.value.reason}"
    assert caught.value.kind == "unreachable"


async def test_a_header_that_http_cannot_carry_is_refused_without_repeating_it(internet: Internet) -> None:
    server = await internet.serve("a.example", lambda _: json_reply({}))
    async with Http(internet.egress(), resolver=nobody) as http:
        for value in ("token\r\nx: y", "t€oken"):
            with pytest.raises(EgressError) as caught:
                await http.send("GET", "https://a.example/", [("authorization", value)], timeout=30, limit=10)
            assert caught.value.kind == "refused"
            assert "oken" not in str(caught.value)
            assert caught.value.__cause__ is None
    assert server.requests == []


async def test_a_closed_port_is_out_of_reach_for_now(internet: Internet) -> None:
    server = await internet.serve("a.example", lambda _: json_reply({}))
    await server.stop()
    async with Http(internet.egress(), resolver=nobody) as http:
        with pytest.raises(EgressError) as caught:
            await get(http, "https://a.example/")
    assert (caught.value.kind, caught.value.passing) == ("unreachable", True)


async def test_a_listed_loopback_origin_is_reached_without_a_look_up_and_no_other(internet: Internet) -> None:
    server = await internet.serve("person.localhost", lambda _: json_reply({}), tls=False)
    profile = LoopbackProfile(frozenset({f"http://person.localhost:{server.port}"}))
    async with Http(Egress(loopback=profile), resolver=nobody) as http:
        assert (await get(http, f"http://person.localhost:{server.port}/")).status == 200
    assert server.requests[0].header("host") == f"person.localhost:{server.port}"
    async with Http(Egress(), resolver=lambda *_: ["127.0.0.1"]) as http:
        for url in (f"http://person.localhost:{server.port}/", f"https://person.localhost:{server.port}/"):
            with pytest.raises(EgressError) as caught:
                await get(http, url)
            assert caught.value.kind == "refused"
    assert server.connections == 1


async def test_a_host_or_a_network_admitted_by_configuration_may_be_private(internet: Internet) -> None:
    server = await internet.issuer("inner.example")
    url = f"https://inner.example:{server.port}/.well-known/aauth-agent.json"
    for admission in ({"hosts": frozenset({"inner.example"})}, {"networks": (ip_network("127.0.0.0/8"),)}):
        async with Http(internet.egress(names={}, **admission), resolver=lambda *_: ["127.0.0.1"]) as http:
            assert (await get(http, url)).status == 200
    async with Http(internet.egress(names={}), resolver=lambda *_: ["127.0.0.1"]) as http:
        with pytest.raises(EgressError):
            await get(http, url)


async def test_without_the_check_a_private_address_is_reached_and_the_connection_is_never_shared(
    internet: Internet,
) -> None:
    """`guarded=False` is for URLs that the agent's own user chose; what it opened serves no guarded request."""
    server = await internet.issuer("inner.example")
    url = f"https://inner.example:{server.port}/.well-known/aauth-agent.json"
    async with Http(internet.egress(names={}), resolver=lambda *_: ["127.0.0.1"]) as http:
        assert (await get(http, url, guarded=False)).status == 200
        with pytest.raises(EgressError) as caught:
            await get(http, url)
        assert caught.value.kind == "refused"
    assert len(server.requests) == 1


async def test_the_next_address_of_a_name_is_tried_where_the_first_does_not_answer(internet: Internet) -> None:
    server = await internet.issuer("inner.example")
    url = f"https://inner.example:{server.port}/jwks.json"
    egress = internet.egress(names={}, networks=(ip_network("127.0.0.0/8"),))
    async with Http(egress, resolver=lambda *_: ["127.0.0.9", "127.0.0.1"]) as http:
        assert (await get(http, url)).status == 200


@pytest.mark.parametrize("addresses", [[], None])
async def test_a_name_without_an_address_is_out_of_reach(addresses: list[str] | None) -> None:
    def resolver(host: str, port: int) -> list[str]:
        if addresses is None:
            raise OSError("no such name")
        return addresses

    async with Http(Egress(), resolver=resolver) as http:
        with pytest.raises(EgressError) as caught:
            await get(http, "https://nowhere.example/")
    assert caught.value.kind == "unreachable"


async def test_environment_proxies_are_ignored(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = await internet.serve("proxy.example", lambda _: json_reply({}), tls=False)
    await internet.serve("a.example", lambda _: json_reply({}))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    async with Http(internet.egress(), resolver=nobody) as http:
        assert (await get(http, "https://a.example/")).status == 200
    assert trap.connections == 0


class Proxy:
    """A CONNECT proxy that leads every tunnel to one server and records what it was asked."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer), return_exceptions=True)


async def test_one_proxy_by_configuration_carries_everything_but_mapped_names(internet: Internet) -> None:
    server = await internet.issuer("agents.example")
    await internet.issuer("mapped.example")
    proxy = Proxy(server.port)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    names = {"mapped.example": internet.names["mapped.example"]}
    egress = internet.egress(names=names, proxy=f"http://us%40er:secret@127.0.0.1:{port}")
    async with Http(egress) as http:
        assert (await get(http, "https://agents.example/jwks.json", guarded=True)).status == 200
        assert (await get(http, "https://mapped.example/jwks.json")).status == 200
        assert len(proxy.heads) == 1
        assert proxy.heads[0].startswith("CONNECT agents.example:443 HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXNAZXI6c2VjcmV0" in proxy.heads[0]
        for host in ("10.0.0.1", "[::1]", "127.1", "2130706433", "0x7f.1", "localhost", "a.localhost", "localhost."):
            with pytest.raises(EgressError) as caught:
                await get(http, f"https://{host}/")
            assert caught.value.kind == "refused"
    listener.close()
    await listener.wait_closed()


async def test_F27_an_address_written_as_a_name_is_checked_like_any_other() -> None:
    async with Http(Egress()) as http:
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"):
            with pytest.raises(EgressError) as caught:
                await get(http, f"https://{host}:9/", timeout=30)
            assert caught.value.kind == "refused", host


async def test_F87_no_token_of_an_answer_reaches_the_debug_log_of_the_http_library(
    internet: Internet, caplog: pytest.LogCaptureFixture
) -> None:
    await internet.serve("a.example", lambda _: json_reply({"t": "body-secret"}, ("aauth-access", "answer-secret")))
    with caplog.at_level(logging.DEBUG):
        async with Http(internet.egress(), resolver=nobody) as http:
            answer = await http.send(
                "POST",
                "https://a.example/",
                [("authorization", "AAuth req-secret")],
                b"out-secret",
                timeout=30,
                limit=99,
            )
    assert answer.header("aauth-access") == "answer-secret"
    assert "secret" not in caplog.text
    assert "secret" not in repr(http)


async def test_an_async_client_of_the_agents_own_has_the_same_names_and_ca(internet: Internet) -> None:
    def respond(request: Received) -> Reply:
        return Reply(body=request.body or b"nothing", headers=(("x-path", request.target),))

    await internet.serve("api.example", respond)
    transport = internet.egress().async_transport(resolver=nobody)
    async with httpx2.AsyncClient(transport=transport) as client:
        answer = await client.post("https://api.example/a?b=1", content=b"hello")
        assert (answer.status_code, answer.content, answer.headers["x-path"]) == (200, b"hello", "/a?b=1")
        async with client.stream("GET", "https://api.example/") as streamed:
            assert [piece async for piece in streamed.aiter_bytes()] == [b"nothing"]
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get("http://api.example/")
    async with httpx2.AsyncClient(transport=internet.egress().async_transport(resolver=lambda *_: [])) as client:
        with pytest.raises(httpx2.ConnectError, match="no address"):
            await client.get("https://other.example/")


async def test_a_guarded_transport_refuses_private_addresses_with_httpx2s_own_error(internet: Internet) -> None:
    server = await internet.serve("api.example", lambda _: json_reply({}))
    egress = internet.egress(names={})
    url = f"https://api.example:{server.port}/"
    async with httpx2.AsyncClient(
        transport=egress.async_transport(guarded=True, resolver=lambda *_: ["127.0.0.1"])
    ) as client:
        with pytest.raises(httpx2.ConnectError, match="loopback"):
            await client.get(url)
    async with httpx2.AsyncClient(transport=egress.async_transport(resolver=lambda *_: ["127.0.0.1"])) as client:
        assert (await client.get(url)).status_code == 200


async def test_a_synchronous_client_of_the_agents_own_has_the_same_names_and_ca(internet: Internet) -> None:
    server = await internet.serve("api.example", lambda request: Reply(body=request.body or b"nothing"))
    await internet.serve("broken.example", lambda _: Reply(raw=b"secret-banner\r\n\r\n"))
    url = f"https://api.example:{server.port}/"

    def calls() -> None:
        with httpx2.Client(transport=internet.egress().sync_transport(resolver=nobody)) as client:
            assert client.post("https://api.example/a", content=b"hello").content == b"hello"
            with client.stream("GET", "https://api.example/") as streamed:
                assert list(streamed.iter_bytes()) == [b"nothing"]
            with pytest.raises(httpx2.UnsupportedProtocol):
                client.get("http://api.example/")
            with pytest.raises(httpx2.RemoteProtocolError) as caught:
                client.get("https://broken.example/")
            assert "banner" not in str(caught.value)
        unmapped = internet.egress(names={})
        loopback = ["127.0.0.9", "127.0.0.1"]
        guarded = unmapped.sync_transport(guarded=True, resolver=lambda *_: loopback)
        with httpx2.Client(transport=guarded) as client, pytest.raises(httpx2.ConnectError, match="loopback"):
            client.get(url)
        with httpx2.Client(transport=unmapped.sync_transport(resolver=lambda *_: loopback)) as client:
            assert client.get(url).status_code == 200
        nowhere = unmapped.sync_transport(resolver=lambda *_: [])
        with httpx2.Client(transport=nowhere) as client, pytest.raises(httpx2.ConnectError, match="no address"):
            client.get(url)

    await asyncio.to_thread(calls)


async def test_a_client_can_be_used_again_after_it_was_closed(internet: Internet) -> None:
    await internet.serve("a.example", lambda _: json_reply({}))
    http = Http(internet.egress(), resolver=nobody)
    for _ in range(2):
        assert (await get(http, "https://a.example/")).status == 200
        await http.aclose()
