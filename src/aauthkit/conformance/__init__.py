"""The vector pack, and who is measured by it: this package itself, any program, or a running server.

The pack is plain JSON (`vectors/` of the source tree; package data of an installed wheel). It is made by a generator
that shares nothing with what it tests. Roles do not import this room.
"""

from __future__ import annotations

from .pack import Pack, PackError, Vector, load
from .results import Outcome, Result
from .verdict import differences

__all__ = ["Outcome", "Pack", "PackError", "Result", "Vector", "differences", "load"]
