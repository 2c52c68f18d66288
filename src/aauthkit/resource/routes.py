"""The paths a resource serves itself: its metadata and its keys (draft-11 §11.2.4, §11.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..protocol.messages import Answer, json_answer
from ..protocol.metadata import WELL_KNOWN
from ..protocol.tokens import RESOURCE_DWK
from ..serving import Request, Route

METADATA_PATH: Final = f"{WELL_KNOWN}{RESOURCE_DWK}"
JWKS_PATH: Final = f"{WELL_KNOWN}jwks.json"
KEPT: Final = 300
"""Seconds for which others may keep metadata and keys: short, so that a new key is known before it signs."""

Document = Callable[[], Mapping[str, Any]]


def document_routes(metadata: Document, jwks: Document | None) -> list[Route]:
    """Both documents, asked for at each request; a resource that issues no resource tokens has no `jwks`."""
    routes = [Route("GET", METADATA_PATH, _serving(metadata))]
    if jwks is not None:
        routes.append(Route("GET", JWKS_PATH, _serving(jwks)))
    return routes


def _serving(document: Document) -> Callable[[Request], Any]:
    async def serve(_request: Request) -> Answer:
        return json_answer(200, document(), ("cache-control", f"public, max-age={KEPT}"))

    return serve
