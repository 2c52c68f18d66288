"""A resource: an API that states what each route needs, and gets a typed caller (draft-11 §6, §11.2.4).

`Resource` is the behaviour; `asgi` and `fastapi` beside it are glue. Nothing here imports a framework.
"""

from __future__ import annotations

from .needs import Need, NeedsConflict
from .server import Admitted, Resource

__all__ = ["Admitted", "Need", "NeedsConflict", "Resource"]
