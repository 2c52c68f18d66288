"""`python -m bench [FIGURE …]`: measure, print the table, write bench/results.json. `PEERS=1` puts others beside us."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from . import cascade, core, deciding, endpoints, floods, node, person_scale, polls, servers
from .agents import client_call_over_httpx, token_requests_for_1000_tasks
from .measuring import Figure, Unavailable, table, write

FIGURES: dict[str, Callable[[], Awaitable[Figure]]] = {
    "sign_get_over_sign": core.sign_get_over_sign,
    "sign_post_over_sign": core.sign_post_over_sign,
    "verify_cold_over_verify": core.verify_cold_over_verify,
    "verify_warm_over_verify": core.verify_warm_over_verify,
    "js_verify_ratio": node.js_verify_ratio,
    "import_ms": core.import_ms,
    "client_call_over_httpx": client_call_over_httpx,
    "token_requests_for_1000_tasks": token_requests_for_1000_tasks,
    "protected_route_over_bare": servers.protected_route_over_bare,
    "deferred_over_direct": servers.deferred_over_direct,
    "person_token_over_crypto": endpoints.person_token_over_crypto,
    "person_token_on_disk": endpoints.person_token_on_disk,
    "token_endpoint_over_crypto": endpoints.token_endpoint_over_crypto,
    "token_endpoint_on_disk": endpoints.token_endpoint_on_disk,
    "cache_bytes_under_flood": floods.cache_bytes_under_flood,
    "person_scale_1e6_over_1e3": person_scale.person_scale,
    "person_scale_1e6_over_1e3_postgresql": person_scale.person_scale_postgresql,
    "decision_over_commit": deciding.decision_over_commit,
    "decision_over_commit_postgresql": deciding.decision_over_commit_postgresql,
    "pending_polls_held": polls.pending_polls_held,
    "cascade_1000_seconds": cascade.cascade_1000_seconds,
}


async def measure(names: list[str]) -> list[Figure]:
    figures = []
    for name in names or list(FIGURES):
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            figures.append(await FIGURES[name]())
        except Unavailable as reason:
            print(f"not measured: {reason}", file=sys.stderr)
    return figures


def main() -> int:
    unknown = [name for name in sys.argv[1:] if name not in FIGURES]
    if unknown:
        print(f"no figure {unknown[0]!r}; there are: {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    figures = asyncio.run(measure(sys.argv[1:]))
    print(table(figures))
    results = Path(__file__).parent / "results.json"
    if not sys.argv[1:]:
        write(figures, results)
    if os.environ.get("PEERS", "") not in ("", "0"):
        from . import peers  # others' packages are imported only where they are asked for

        rows = asyncio.run(peers.measured())
        print(peers.table(rows))
        if not sys.argv[1:]:
            peers.append(rows, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
