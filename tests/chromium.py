"""Where a Chromium is that the browser tests can drive; `python -m tests.chromium` gets one where it may."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HOW = (
    "on Debian `apt-get install chromium`, elsewhere `.venv/bin/playwright install chromium`, "
    "or name one by the environment variable AAUTHKIT_CHROMIUM"
)
"""How to get one, for the person who reads the end of a test run."""

_COMMANDS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PLAYWRIGHT = (
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
    "chromium-*/chrome-win*/chrome.exe",
)


def _playwright_browsers() -> list[Path]:
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    caches = (
        [Path(named)]
        if named
        else [
            Path.home() / ".cache/ms-playwright",
            Path.home() / "Library/Caches/ms-playwright",
            Path.home() / "AppData/Local/ms-playwright",
        ]
    )
    return sorted(found for cache in caches for pattern in _PLAYWRIGHT for found in cache.glob(pattern))


def find() -> Path | None:
    """The program to give to Playwright as `executable_path`, or nothing where none is installed."""
    named = os.environ.get("AAUTHKIT_CHROMIUM")
    if named:
        return Path(named)
    for command in _COMMANDS:
        found = shutil.which(command)
        if found:
            return Path(found)
    installed = _playwright_browsers()
    return installed[-1] if installed else None


def root_on_debian() -> bool:
    """Whether a package of Debian can be installed here without asking anybody."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False


def provide() -> None:
    """Install Chromium as root on Debian; elsewhere say how. Never fails: the tests name what they lack."""
    if find():
        return
    if not root_on_debian():
        print(f"No Chromium here, so the browser tests will not run. To get one: {HOW}.")
        return
    print("Installing Chromium for the browser tests (apt-get install chromium)", flush=True)
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    for step in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
        if subprocess.run(["apt-get", *step], check=False, **quiet).returncode:
            print(f"apt-get {step[0]} failed, so the browser tests will not run. To get a Chromium: {HOW}.")
            return


if __name__ == "__main__":
    provide()
