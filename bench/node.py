"""The npm package `@hellocoop/httpsig` as a verifier of the same requests, in Node, in the same run."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from aauthkit.protocol.messages import SignedRequest
from aauthkit.verification import Verifier
from tests.plugins.signing import Issuer

from .measuring import ROUNDS, Figure, Unavailable
from .parties import ACCEPTS, ISSUER, Agent, afresh, verifier

PACKAGE = "@hellocoop/httpsig"
VERSION = "2.2.0"
KEPT = Path(__file__).parent.parent / "build" / "bench-node"
"""Where the package is installed, once; `make clean` takes it away."""
BATCH = 200
BATCHES = 5


async def js_verify_ratio() -> Figure:
    """Our verification of a request whose token was seen before, over theirs, which checks no issuer at all.

    In turn, a batch here and a batch there while the other waits, each request when the one before is done. By the
    clock, since theirs hands the signature to another thread and waits for it; what both take of the processor stands
    beside.
    """
    now = time.time()
    issuer = Issuer(ISSUER)
    agent = Agent.of(issuer, now)
    requests = [agent.request(f"/orders/{n}", now, os.urandom(12)) for n in range(BATCH)]
    door = verifier([issuer])
    for request in requests:
        await door.verify(request, ACCEPTS)
    rounds, ours, theirs = [], [], []
    with _node(requests) as node:
        for number in range(ROUNDS + 1):
            here, there = [], []
            for _ in range(BATCHES):
                here.append(_ours(door, requests))
                there.append(_ask(node, BATCH))
            if number:  # the first round warms both up
                rounds.append(statistics.median(a["wall"] / b["wall"] for a, b in zip(here, there, strict=True)))
                ours += here
                theirs += there
    what = "warm verification over npm httpsig's in Node, the same requests"
    detail = f"{_spent('here', ours)}, {_spent('there', theirs)}; {PACKAGE} {VERSION} looks at no token's signature"
    return Figure("js_verify_ratio", what, 0.2, "lower", rounds, detail)


def _ours(door: Verifier, requests: list[SignedRequest]) -> dict[str, float]:
    mine = [afresh(request) for request in requests]
    begun, used = time.perf_counter(), time.process_time()
    for request in mine:
        door.verify_now(request, ACCEPTS)
    used, begun = time.process_time() - used, time.perf_counter() - begun
    return {"wall": begun / len(mine) * 1e6, "cpu": used / len(mine) * 1e6}


def _spent(where: str, batches: list[dict[str, float]]) -> str:
    wall, cpu = (statistics.median(batch[name] for batch in batches) for name in ("wall", "cpu"))
    return f"{wall:.0f} us {where} ({cpu:.0f} us of processor)"


@contextmanager
def _node(requests: list[SignedRequest]) -> Iterator[subprocess.Popen[str]]:
    entry = installed()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requests.json"
        file.write_text(json.dumps([_as_node_sees(request) for request in requests]))
        command = ["node", str(Path(__file__).with_name("node_verify.mjs")), str(entry), str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
            try:
                yield node
            finally:
                _pipe(node.stdin).close()


def _ask(node: subprocess.Popen[str], count: int) -> dict[str, float]:
    _pipe(node.stdin).write(f"{count}\n")
    _pipe(node.stdin).flush()
    line = _pipe(node.stdout).readline()
    if not line:
        raise RuntimeError("node did not verify; its own message stands above")
    answer: dict[str, float] = json.loads(line)
    return answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def installed() -> Path:
    """The package's entry, installed if it is not there yet. Raises `Unavailable` without Node and npm."""
    entry = KEPT / "node_modules" / PACKAGE / "dist" / "index.js"
    manifest = entry.parent.parent / "package.json"
    if manifest.exists() and json.loads(manifest.read_text())["version"] == VERSION:
        return entry
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Unavailable("js_verify_ratio needs node and npm")
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
    subprocess.run([*command, f"{PACKAGE}@{VERSION}"], cwd=KEPT, check=True)
    return entry


def _as_node_sees(request: SignedRequest) -> dict[str, object]:
    return {
        "method": request.method,
        "authority": request.authority,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
    }
