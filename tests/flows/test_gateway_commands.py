"""`aauthkit gateway`: looked over, printed, run with an Envoy of its own, reloaded, ended, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from aauthkit.cli import main
from aauthkit.egress import Egress
from aauthkit.gateway import Configuration
from aauthkit.gateway.proxy import Envoy
from aauthkit.gateway.service import Service
from aauthkit.running import Listen
from tests.plugins.commands import own_ports
from tests.plugins.serving import served
from tests.plugins.tls import Authority

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

FILE = """
listener: {{address: "127.0.0.1:{port}", check: {check}}}
resources:
  - identifier: https://api.example
    upstream: http://127.0.0.1:{upstream}
    keys: api.jwks
    person_servers: [https://ps.example]
    agent_providers: any
    open: [GET /health]
    routes:
      - match: GET /agents
        need: {{level: agent}}
"""


async def origin(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def written(folder: Path, upstream: int = 8000, check: str = "grpc") -> tuple[Path, int]:
    port = next(own_ports)
    file = folder / "gateway.yaml"
    file.write_text(FILE.format(port=port, upstream=upstream, check=check))
    return file, port


async def status(port: int, path: str = "/health", host: str = "api.example") -> int:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}", headers={"host": host})
        return answer.status_code


@contextmanager
def running(file: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "aauthkit", "gateway", "up", "--config", str(file), *options]
    log = file.with_suffix(".log")
    with log.open("wb") as output, subprocess.Popen(words, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + 60
            while b"the gateway listens" not in log.read_bytes():
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


async def until_refused(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await asyncio.sleep(0.05)
            continue
        return
    raise AssertionError("something listens still")


@pytest.mark.parametrize("check", ["grpc", "http"])
async def test_up_serves_reloads_and_ends_together(tmp_path: Path, check: str) -> None:
    async with served(origin, lifespan="off") as upstream:
        file, port = written(tmp_path, upstream, check)
        decisions = tmp_path / "decisions.jsonl"
        with running(file, "--decisions", str(decisions)) as process:
            assert await status(port) == 200
            assert await status(port, "/agents") == 401
            assert await status(port, "/.well-known/aauth-resource.json") == 200
            assert await status(port, host="nobody.example") == 421
            good = file.read_text()
            file.write_text(good.replace("GET /agents", "GET /agentz"))
            process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(told, file, b"is in force")
            assert await status(port, "/agents") == 401  # what no line names is a stranger's, and asks who they are
            file.write_text("resources: [")
            await asyncio.to_thread(told, file, b"stays in force")
            assert await status(port) == 200
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        await until_refused(port)
        assert b'"outcome":"open"' in decisions.read_bytes()


def told(file: Path, words: bytes) -> None:
    deadline = time.monotonic() + 30
    while words not in file.with_suffix(".log").read_bytes():
        assert time.monotonic() < deadline, file.with_suffix(".log").read_text()
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a killed gateway leaves its Envoy, which refuses")
async def test_a_gateway_that_is_killed_takes_its_envoy_with_it(tmp_path: Path) -> None:
    async with served(origin, lifespan="off") as upstream:
        file, port = written(tmp_path, upstream)
        with running(file) as process:
            assert await status(port) == 200
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.wait)
            await until_refused(port)


async def test_no_request_is_dropped_while_files_change(tmp_path: Path) -> None:
    """Listeners, clusters and rules are replaced under load; every request has its answer."""
    async with served(origin, lifespan="off") as upstream:
        file, port = written(tmp_path, upstream)
        good, answers = file.read_text(), list[int]()
        async with up(file) as (service, _envoy):

            async def ask() -> None:
                async with httpx2.AsyncClient(trust_env=False) as client:
                    for _ in range(150):
                        answer = await client.get(f"http://127.0.0.1:{port}/health", headers={"host": "api.example"})
                        answers.append(answer.status_code)

            asking = [asyncio.create_task(ask()) for _ in range(3)]
            for number in range(6):
                file.write_text(f"{good}      - match: GET /more{number}\n        need: {{level: agent}}\n")
                assert await service.reload()
                await asyncio.sleep(0.05)
            await asyncio.gather(*asking)
            assert answers == [200] * 450


@asynccontextmanager
async def up(file: Path) -> AsyncIterator[tuple[Service, Envoy]]:
    envoys: list[Envoy] = []
    anywhere = Listen("127.0.0.1", 0)

    def changed(new: Configuration) -> None:
        envoys[0].configure(new)

    service = Service(file, check=anywhere, own=anywhere, egress=Egress(), changed=changed)
    await service.start()
    with Envoy(check=("127.0.0.1", service.check_port), own=("127.0.0.1", service.own_port)) as envoy:
        envoys.append(envoy)
        await envoy.start(service.gate.configuration)
        yield service, envoy
    await service.close()


async def test_a_certificate_that_changed_is_taken_without_a_restart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = Authority(tmp_path / "one"), Authority(tmp_path / "two")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def put(authority: Authority) -> None:
        files = authority.files("api.example")
        chain.write_bytes(Path(files.certificate).read_bytes())
        key.write_bytes(Path(files.key).read_bytes())

    async def served_under(authority: Authority, port: int) -> bool:
        trust = ssl.create_default_context(cafile=str(authority.ca_file))
        with contextlib.suppress(httpx2.ConnectError):
            async with httpx2.AsyncClient(verify=trust) as client:
                url = f"https://127.0.0.1:{port}/health"
                answer = await client.get(
                    url, headers={"host": "api.example"}, extensions={"sni_hostname": "api.example"}
                )
                return answer.status_code == 200
        return False

    put(first)
    async with served(origin, lifespan="off") as upstream:
        file, port = written(tmp_path, upstream)
        file.write_text(file.read_text().replace("check: grpc}", "check: grpc, certificate: chain.pem, key: key.pem}"))
        async with up(file) as (service, envoy):
            assert await served_under(first, port) and not await served_under(second, port)
            put(second)
            envoy.refresh(service.gate.configuration)
            for _ in range(100):
                if await served_under(second, port):
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError("the new certificate was not taken")


def test_check_tells_each_mistake_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _ = written(tmp_path)
    assert main(["gateway", "check", str(file)]) == 0
    assert "https://api.example: 1 open, 1 routes" in capsys.readouterr().out
    file.write_text(file.read_text().replace("level: agent", "level: boss").replace("open:", "opne:"))
    assert main(["gateway", "check", str(file)]) == 1
    told = capsys.readouterr().err
    assert "line 9" in told and "line 12" in told and "opne" in told


@pytest.mark.parametrize("proxy", ["envoy", "agentgateway"])
def test_config_prints_what_a_proxy_reads(tmp_path: Path, proxy: str, capsys: pytest.CaptureFixture[str]) -> None:
    file, port = written(tmp_path)
    assert main(["gateway", "config", proxy, "--config", str(file)]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    if proxy == "envoy":
        text = str(printed)
        assert "'failure_mode_allow': False" in text and str(port) in text
        assert "'normalize_path': False" in text and "'encode_raw_headers': True" in text
        return
    (listener,) = printed["binds"][0]["listeners"]
    policies = listener["routes"][-1]["policies"]
    assert policies["extAuthz"]["failureMode"] == "deny"
    assert policies["extAuthz"]["protocol"] == {"grpc": {"context": {"resource": "https://api.example"}}}
    assert all("extAuthz" not in each["policies"] for each in listener["routes"][:-1])


def test_a_service_for_anybody_else_than_its_proxy_is_refused(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    assert main(["gateway", "serve", "--config", str(file), "--check", "0.0.0.0:9191"]) == 1
