"""Where a Node is, and the peers from npm that the interoperability tests run; `python -m tests.node` gets both.

They are the packages of `interop/node/package-lock.json`, byte for byte, and stay in `node_modules` beside it, which
git does not see.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.chromium import root_on_debian

FOLDER = Path(__file__).parent / "interop" / "node"
HOW = "install Node 18 or newer with npm (on Debian `apt-get install nodejs npm`), then `python -m tests.node`"
"""How to get both, for the person who reads the end of a test run."""

_STAMP = FOLDER / "node_modules" / ".lock-sha256"


def _lock() -> str:
    return hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()


def find() -> Path | None:
    """The `node` to run, or nothing where there is none or the peers of the present lock are not installed."""
    program = shutil.which("node")
    installed = _STAMP.is_file() and _STAMP.read_text() == _lock()
    return Path(program) if program and installed else None


def _install_node() -> bool:
    if shutil.which("node") and shutil.which("npm"):
        return True
    if not root_on_debian():
        return False
    print("Installing Node for the interoperability tests (apt-get install nodejs npm)", flush=True)
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    steps = (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "nodejs", "npm"])
    return not any(subprocess.run(["apt-get", *step], check=False, **quiet).returncode for step in steps)


def provide() -> None:
    """Install the peers, and as root on Debian Node; else say how. Never fails: the tests name what they lack."""
    if find():
        return
    if not _install_node():
        print(f"No Node here, so the tests with peers from npm will not run. To get it: {HOW}.")
        return
    print("Installing the peers from npm for the interoperability tests (npm ci)", flush=True)
    command = ["npm", "ci", "--no-progress", "--loglevel=error"]
    if subprocess.run(command, cwd=FOLDER, check=False, stdout=subprocess.DEVNULL).returncode:
        print(f"npm ci failed, so the tests with peers from npm will not run. To repeat it: {HOW}.")
        return
    _STAMP.write_text(_lock())


if __name__ == "__main__":
    provide()
