"""Why a signature was refused, in words: pure over bytes, with no network, no clock and no private key.

    captured = read_capture(b"GET /orders HTTP/1.1\\r\\nhost: api.example\\r\\n...")
    print(tell(explain(captured, belief_of(captured, identifier="https://api.example", target="/orders"))))

It alters what the verifier saw, one thing at a time and in pairs, and verifies each base that results under the key
that was presented. One that verifies is the cause; else it says what is likely.
"""

from __future__ import annotations

from .belief import Belief, belief_of
from .captured import FORMS, Captured, CaptureError, Form, read_capture, read_time
from .causes import MENDS, Cause
from .comparing import Line, signer_base
from .dialects import Older, older_answer, older_metadata
from .explanation import Explanation
from .searching import BUDGET
from .telling import tell, tell_briefly
from .walking import explain

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
    "older_answer",
    "older_metadata",
    "read_capture",
    "read_time",
    "signer_base",
    "tell",
    "tell_briefly",
]
