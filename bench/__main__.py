"""`python -m bench [FIGURE …]`: measure, print the table, write bench/results.json."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from .agents import client_call_over_httpx, token_requests_for_1000_tasks
from .measuring import Figure, table, write

FIGURES: dict[str, Callable[[], Awaitable[Figure]]] = {
    "client_call_over_httpx": client_call_over_httpx,
    "token_requests_for_1000_tasks": token_requests_for_1000_tasks,
}


async def measure(names: list[str]) -> list[Figure]:
    figures = []
    for name in names or list(FIGURES):
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        figures.append(await FIGURES[name]())
    return figures


def main() -> int:
    unknown = [name for name in sys.argv[1:] if name not in FIGURES]
    if unknown:
        print(f"no figure {unknown[0]!r}; there are: {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    figures = asyncio.run(measure(sys.argv[1:]))
    print(table(figures))
    if not sys.argv[1:]:
        write(figures, Path(__file__).parent / "results.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
