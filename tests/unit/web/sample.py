"""Sample pages made of every shared part, filled with what strangers might send."""

from __future__ import annotations

from typing import Any

from aauthkit.accounts import Account, Session
from aauthkit.web import Pages

NOW = 1_800_000_000

SESSION = Session(
    id="secret-session-identifier-000000000",
    csrf="token-of-the-form",
    handle="handle",
    account=Account("a1", "Ada", NOW),
    data={},
    created=NOW,
    expires=NOW + 3600,
)

KIND: dict[str, Any] = {
    "agent": {
        "name": "Planner",
        "id": "aauth:planner@agents.example",
        "reason": "I need **last month's orders** to\n\n1. see what ran out\n2. propose what to buy",
    },
    "resource": {"name": "Orders", "url": "https://orders.example"},
    "scopes": [("orders.read", "See your orders"), ("orders.place", "Place orders up to 500 €")],
    "asked": NOW - 125,
    "expires": NOW + 1700,
}

TRICKS = (
    "<script>alert(1)</script>",
    "<img src=https://evil.example/x.png onerror=alert(1)>",
    "<a href='javascript:alert(1)'>Approve</a>",
    "[Approve](https://evil.example/approve) ![logo](https://evil.example/pixel.png)",
    "<https://evil.example> https://\u0430pple.example/login",
    "\u202eevorppA\u2066 \u200b\u200d\ufeff&#x202E;&#8238; &lt;b&gt;",
    "</blockquote></section><h1>ORDERS SAYS</h1><form action='https://evil.example'><button>Approve</button>",
    "# ORDERS SAYS\n\nORDERS SAYS\n===\n\n---\n\n[a]: https://evil.example\n[a]",
    '" onmouseover="alert(1)" x=\'',
    "{{ 7 * 7 }}{% raw %}",
    "Z" + "\u0336\u0489" * 200 + "algo",
    "javascript:alert(1) data:text/html,<script>alert(1)</script>",
)

HOSTILE: dict[str, Any] = {
    **KIND,
    "agent": {"name": " ".join(TRICKS), "id": TRICKS[0] + TRICKS[8], "reason": "\n\n".join(TRICKS)},
    "resource": {"name": TRICKS[1] + TRICKS[5], "url": "https://\u0430pple.example\\@orders.example/x"},
    "scopes": [(TRICKS[8], TRICKS[3]), (TRICKS[0], TRICKS[6] * 20)],
}


def pages(*, loopback: bool = False) -> Pages:
    """Pages of the samples folder, at a fixed time."""
    return Pages("tests.unit.web", "Example Person Server", folder="samples", loopback=loopback, clock=lambda: NOW)
