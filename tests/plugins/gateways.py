"""A gateway among its parties, for tests: its file, its gate on a world's issuers, and an origin behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aauthkit.asgi import Receive, Scope, Send
from aauthkit.egress import Egress
from aauthkit.gateway import Configuration, Gate, read_configuration
from aauthkit.hop import facts_of
from aauthkit.resource.behind import HOP, BehindGateway, caller_behind
from tests.plugins.resources import API, World
from tests.plugins.signing import NOW

FILE = """
resources:
  - identifier: https://api.example
    upstream: http://127.0.0.1:{port}
    path_prefix: /api
    keys: api.jwks
    scopes:
      orders.read: See your orders
      orders.place: Place orders for you
      orders.readall: See everybody's orders
    person_servers: [https://ps.example]
    agent_providers: [https://agents.example]
    open: [GET /health]
    routes:
      - match: GET /agents
        need: {{level: agent}}
      - match: GET /me
        need: {{level: person}}
      - match: GET /orders
        need: {{level: grant, scope: [orders.read]}}
      - match: POST /orders
        need: {{level: grant, scope: [orders.place]}}
        body: signed
    rules:
{rules}
  - identifier: https://other.example
    upstream: http://127.0.0.1:{port}
    path_prefix: /other
    keys: other.jwks
    person_servers: [https://ps.example]
    agent_providers: [https://agents.example]
    routes:
      - match: GET /agents
        need: {{level: agent}}
"""
RULES = """
      - name: no writers
        deny: agent.id == "aauth:writer@agents.example"
        reason: writers do not come in here
"""


def configured(folder: Path, rules: str = RULES, port: int = 8000) -> Configuration:
    return read_configuration(FILE.format(rules=rules, port=port), folder=folder)


def gate_of(world: World, folder: Path, rules: str = RULES, port: int = 8000, **options: Any) -> Gate:
    settings: dict[str, Any] = {"egress": Egress(), "discovery": world.discovery(), "clock": lambda: NOW, **options}
    return Gate(configured(folder, rules, port), **settings)


class Origin:
    """An application that cannot be changed, behind the middleware: it says what it was told."""

    def __init__(self, gate: Gate, identifier: str = API, clock: Any = lambda: NOW) -> None:
        self.seen: list[dict[str, Any]] = []
        keys = gate.guarded[identifier].keys
        self.app = BehindGateway(self._serve, gateway=identifier, origin=identifier, keys=keys.jwks, clock=clock)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        caller = caller_behind(scope)
        said = {
            "caller": facts_of(caller) if caller is not None else None,
            "headers": [name.decode() for name, _ in scope["headers"]],
            "body": body.decode(),
            "kind": scope[HOP].body,
        }
        self.seen.append(said)
        content = json.dumps(said).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": content})
