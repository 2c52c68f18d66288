"""A resource: an API that states what each route needs, and gets a typed caller (draft-11 §6, §11.2.4).

`Resource` is the behaviour; `asgi`, `wsgi`, `fastapi`, `starlette` and `flask` beside it are glue. Nothing here imports
a framework.
"""

from __future__ import annotations

from .admission import Admitted
from .interactions import Ask, Visit
from .needs import Need, NeedsConflict
from .paths import PathNeeds
from .server import MustWait, Resource
from .sessions import SessionGrant, SessionRefused

__all__ = [
    "Admitted",
    "Ask",
    "MustWait",
    "Need",
    "NeedsConflict",
    "PathNeeds",
    "Resource",
    "SessionGrant",
    "SessionRefused",
    "Visit",
]
