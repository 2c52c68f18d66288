"""Answers that look like the protocol's and are not: bounded, and the caller's byte for byte (draft-11 §11.8.2)."""

from __future__ import annotations

import gzip
import json

import pytest

from aauthkit.agent import PendingRefused
from aauthkit.agent.reading import MAX_CHALLENGE
from tests.plugins.simulators import OpenClient, Parties, deferred
from tests.plugins.tls import Reply

pytestmark = pytest.mark.anyio

AGENT_URL = "https://api.example/agent"
WHOLE_FORM = (
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("location", "/jobs/7"),
    ("retry-after", "1"),
)


def chunked(body: bytes, *headers: tuple[str, str], status: int = 202, cut: bool = False) -> Reply:
    """An answer whose length nobody says beforehand, in pieces of 10,000 bytes."""
    pieces = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
    lines = [f"HTTP/1.1 {status} Reply", *(f"{name}: {value}" for name, value in headers), "transfer-encoding: chunked"]
    head = "\r\n".join([*lines, "", ""]).encode()
    sent = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return Reply(status, raw=head + sent + (b"" if cut else b"0\r\n\r\n"))


def job(size: int) -> bytes:
    return json.dumps({"status": "pending", "job": "x" * size}).encode()


async def test_a_long_202_of_an_application_is_the_callers_byte_for_byte(
    parties: Parties, open_client: OpenClient
) -> None:
    """In the whole form, chunked, and longer than the protocol's own ever are: no more is read of it than that."""
    body = job(3 * MAX_CHALLENGE)
    parties.resource.script["/agent"] = [chunked(body, *WHOLE_FORM)]
    response = await open_client(parties.agent()).get(AGENT_URL)
    assert (response.status, response.content) == (202, body)
    assert response.headers["location"] == "/jobs/7"
    assert response.aauth["level"] == "agent"
    assert parties.resource.count("/jobs/7") == 0


async def test_a_long_compressed_one_is_too(parties: Parties, open_client: OpenClient) -> None:
    """Short on its way and long when it is read: as it came, for the client to read."""
    body = job(3 * MAX_CHALLENGE)
    packed = gzip.compress(body)
    assert len(packed) < MAX_CHALLENGE
    parties.resource.script["/agent"] = [chunked(packed, *WHOLE_FORM, ("content-encoding", "gzip"))]
    response = await open_client(parties.agent()).get(AGENT_URL)
    assert (response.status, response.content) == (202, body)
    assert response.headers["content-encoding"] == "gzip"


async def test_a_short_chunked_one_is_the_protocols(parties: Parties, open_client: OpenClient) -> None:
    parties.resource.script["/agent"] = [chunked(job(10), *WHOLE_FORM)]
    parties.resource.script["/jobs/7"] = [Reply(200, (("content-type", "text/plain"),), b"done")]
    assert (await open_client(parties.agent()).get(AGENT_URL)).content == b"done"


@pytest.mark.parametrize("requirement", ["requirement=approval", None])
async def test_a_long_one_that_is_the_protocols_is_refused(
    parties: Parties, open_client: OpenClient, requirement: str | None
) -> None:
    """By what it says, or since it is the answer to a poll."""
    named = (("aauth-requirement", requirement),) if requirement else ()
    long = chunked(job(3 * MAX_CHALLENGE), *WHOLE_FORM, *named)
    parties.resource.script["/agent"] = [long] if requirement else [deferred("/pending/1")]
    parties.resource.script["/pending/1"] = [long]
    with pytest.raises(PendingRefused, match="more than 65536 bytes"):
        await open_client(parties.agent()).get(AGENT_URL)


async def test_the_rest_of_a_long_one_is_left_where_it_is_until_it_is_asked_for(parties: Parties) -> None:
    """Nothing is gathered beyond the bound: the caller may stop in the middle of what never ends."""
    parties.resource.script["/agent"] = [chunked(job(3 * MAX_CHALLENGE), *WHOLE_FORM, cut=True)]
    async with parties.agent().client() as http:
        read = 0
        async with http.stream("GET", AGENT_URL) as response:
            async for piece in response.aiter_raw():
                read += len(piece)
                if read > 2 * MAX_CHALLENGE:
                    break
        assert (response.status_code, read > 2 * MAX_CHALLENGE) == (202, True)
        assert (await http.get(AGENT_URL)).status_code == 200


async def test_an_applications_own_401_is_the_callers_however_long_it_is(
    parties: Parties, open_client: OpenClient
) -> None:
    """Read since a session token went along, and handed on whole."""
    parties.resource.script["/agent"] = [Reply(200, (("aauth-access", "abc"), ("content-type", "text/plain")), b"in")]
    http = open_client(parties.agent())
    await http.get(AGENT_URL)
    long = b"no " * MAX_CHALLENGE
    parties.resource.script["/agent"] = [Reply(401, (), b"no"), chunked(long, ("x-app", "1"), status=401)]
    response = await http.get(AGENT_URL)
    assert (response.status, response.content) == (401, long)
