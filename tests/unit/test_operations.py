"""Alive, ready, measured: what whoever runs a server sees of it, on a listener of its own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest

from aauthkit.operations import Metrics, Operations
from aauthkit.running import log_to
from tests.plugins.people import RESOURCE, World

pytestmark = pytest.mark.anyio


async def get(port: int, path: str, raw: bytes | None = None) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw or f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ")[1]) if head else 0, body


@pytest.fixture
async def watched(world: World) -> AsyncIterator[tuple[World, Operations]]:
    metrics = Metrics()
    world.server.observed_by(metrics)
    operations = Operations(world.server, metrics)
    await operations.start()
    yield world, operations
    await operations.close()


async def test_decisions_tokens_and_answers_are_counted_without_a_callers_word(
    watched: tuple[World, Operations],
) -> None:
    world, operations = watched
    agent, _, _ = await world.introduced()
    await agent.send("GET", "/nowhere/at/all")
    status, text = await get(operations.port, "/metrics")
    assert status == 200
    assert 'aauthkit_requests_total{method="POST",route="/person",status="202"} 1.0' in text
    assert 'aauthkit_decisions_total{by="person",kind="identity",verdict="approved"} 1.0' in text
    assert 'aauthkit_tokens_total{typ="aa-person+jwt"} 1.0' in text
    assert "aauthkit_requests_waiting 0.0" in text and "aauthkit_revocations_waiting 0.0" in text
    for theirs in (agent.sub, RESOURCE, "nowhere", "Ada"):
        assert theirs not in text


async def test_it_is_alive_and_ready_and_says_what_is_wrong(watched: tuple[World, Operations]) -> None:
    world, operations = watched
    assert await get(operations.port, "/healthz") == (200, "alive\n")
    status, text = await get(operations.port, "/readyz")
    assert (status, json.loads(text)) == (200, {"ready": True})
    await world.database.close()
    status, text = await get(operations.port, "/readyz")
    assert (status, json.loads(text)) == (503, {"ready": False, "wrong": {"database": "StoreUnavailable"}})
    assert await get(operations.port, "/healthz") == (200, "alive\n")


@pytest.mark.parametrize("raw", [b"POST /healthz HTTP/1.1\r\n\r\n", b"GET\r\n\r\n", b"GET /../etc HTTP/1.1\r\n\r\n"])
async def test_anything_else_is_not_there(watched: tuple[World, Operations], raw: bytes) -> None:
    assert (await get(watched[1].port, "", raw))[0] == 404


async def test_a_head_without_end_is_let_go_of(watched: tuple[World, Operations]) -> None:
    assert (await get(watched[1].port, "", b"GET /" + b"x" * 20_000))[0] == 0
    assert (await get(watched[1].port, "/healthz"))[0] == 200


def test_logs_are_lines_of_json_with_the_correlation_id(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    try:
        log_to(form="json")
        logging.getLogger("aauthkit.refusals").warning("refused %s: why", "0cadfbdf-d90f-4a21-a803-7ad271089744")
    finally:
        root.handlers[:] = before
    line = json.loads(capsys.readouterr().err)
    assert line["correlation"] == "0cadfbdf-d90f-4a21-a803-7ad271089744"
    assert (line["level"], line["logger"]) == ("WARNING", "aauthkit.refusals")
