"""The stylesheet, the script and the icon: served under the hash of what they hold, so that a browser keeps them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Final

from ..protocol.messages import Answer
from ..serving import Request, Route

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAMES: Final = ("aauthkit.css", "aauthkit.js", "icon.svg")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file and the path it is served at, which changes with its content."""

    path: str
    answer: Answer = field(repr=False)

    async def serve(self, request: Request) -> Answer:
        """The file, to be kept for a year."""
        return self.answer


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """Every file by its name."""
    return {name: _load(name) for name in _NAMES}


def _load(name: str) -> Asset:
    content = files(__package__).joinpath("static", name).read_bytes()
    stem, _, suffix = name.rpartition(".")
    headers = (
        ("content-type", _TYPES[suffix]),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    )
    path = f"/static/{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
    return Asset(path, Answer(200, headers, content))


def static_routes() -> tuple[Route, ...]:
    """The lines that a role with pages adds to its table."""
    return tuple(Route("GET", asset.path, asset.serve) for asset in assets().values())
