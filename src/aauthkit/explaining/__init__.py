"""Why a signature was refused, in words: pure over bytes, with no network, no clock and no private key.

    captured = read_capture(b"GET /orders HTTP/1.1\\r\\nhost: api.example\\r\\n...")
    print(tell(explain(captured, belief_of(captured, identifier="https://api.example", target="/orders"))))

It alters what the verifier saw, one thing at a time and in pairs, and verifies each base that results under the key
that was presented. One that verifies is the cause; else it says what is likely.

Its modules are imported when they are needed: a server that refuses nothing loads none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .belief import Belief as Belief
    from .belief import belief_of as belief_of
    from .captured import FORMS as FORMS
    from .captured import Captured as Captured
    from .captured import CaptureError as CaptureError
    from .captured import Form as Form
    from .captured import read_capture as read_capture
    from .captured import read_time as read_time
    from .causes import MENDS as MENDS
    from .causes import Cause as Cause
    from .comparing import Line as Line
    from .comparing import signer_base as signer_base
    from .dialects import Older as Older
    from .dialects import older_answer as older_answer
    from .dialects import older_metadata as older_metadata
    from .explanation import Explanation as Explanation
    from .refused import explain_refusal as explain_refusal
    from .searching import BUDGET as BUDGET
    from .telling import tell as tell
    from .telling import tell_briefly as tell_briefly
    from .walking import explain as explain

_MODULES: Final = {
    "belief": ("Belief", "belief_of"),
    "captured": ("FORMS", "CaptureError", "Captured", "Form", "read_capture", "read_time"),
    "causes": ("MENDS", "Cause"),
    "comparing": ("Line", "signer_base"),
    "dialects": ("Older", "older_answer", "older_metadata"),
    "explanation": ("Explanation",),
    "refused": ("explain_refusal",),
    "searching": ("BUDGET",),
    "telling": ("tell", "tell_briefly"),
    "walking": ("explain",),
}
_PLACES: Final = {name: module for module, names in _MODULES.items() for name in names}


__all__ = [
    "BUDGET",
    "FORMS",
    "MENDS",
    "Belief",
    "CaptureError",
    "Captured",
    "Cause",
    "Explanation",
    "Form",
    "Line",
    "Older",
    "belief_of",
    "explain",
    "explain_refusal",
    "older_answer",
    "older_metadata",
    "read_capture",
    "read_time",
    "signer_base",
    "tell",
    "tell_briefly",
]


def __getattr__(name: str) -> Any:
    """A public name, from its module."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(_PLACES)
