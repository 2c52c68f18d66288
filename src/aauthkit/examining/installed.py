"""What is installed: Python, this package, the libraries it stands on, and which of them does the cryptography."""

from __future__ import annotations

import platform
import ssl
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from .. import DRAFTS, __version__
from ..protocol import ed25519
from .findings import Examination

LIBRARIES: Final = {
    "anyio": "4.9",
    "cryptography": "45",
    "http-sf": "1.5",
    "httpcore2": "2.16",
    "httpx2": "2.16",
    "PyNaCl": "1.6",
}
"""What the core needs, each with the least version of it that is tested."""
SERVER_LIBRARIES: Final = {
    "argon2-cffi": "25.1",
    "h11": "0.16",
    "jinja2": "3.1.6",
    "msgspec": "0.20",
    "uvicorn": "0.40",
}


def examine_installed(*, server: bool = False) -> Examination:
    """The versions on this machine; with `server`, also of what servers need."""
    found = Examination("this machine")
    running = platform.python_version()
    found.good("python", f"{running} ({platform.python_implementation()}, {ssl.OPENSSL_VERSION})")
    found.good("aauthkit", f"{__version__}, speaks {' and '.join(DRAFTS)}")
    wanted = {**LIBRARIES, **(SERVER_LIBRARIES if server else {})}
    there = {name: _version(name) for name in wanted}
    good = [f"{name} {there[name]}" for name, least in wanted.items() if _enough(there[name], least)]
    found.good("libraries", ", ".join(good))
    for name, least in wanted.items():
        if not _enough(there[name], least):
            what = f"{name} {there[name]} is older than {least}" if there[name] else f"{name} is not installed"
            found.bad("libraries", what, f"pip install 'aauthkit{'[server]' if name in SERVER_LIBRARIES else ''}'")
    if ed25519.HAVE_SODIUM:
        found.good("ed25519", "signed and verified by libsodium")
    else:
        found.warn("ed25519", "verified by OpenSSL, at half the speed", "pip install PyNaCl")
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _enough(there: str, least: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(".") if part.isdecimal()]

    return bool(there) and numbers(there) >= numbers(least)
