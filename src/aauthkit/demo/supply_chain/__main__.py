"""`python -m aauthkit.demo.supply_chain PROGRAM`: one of the programs, until its parent is gone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from ...running import log_to, run_app
from .places import Place

PROGRAMS: Final = {"pricing": "pricing", "market-analysis": "analysis", "supply-chain": "supply", "web": "web"}
"""The programs and their modules; each has `build(place)`."""
CHATTY: Final = ("a2a", "httpx", "httpx2", "mcp")


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> None:
    """Run the program that is named."""
    (name,) = arguments
    log_to()
    for logger in CHATTY:
        logging.getLogger(logger).setLevel(logging.WARNING)
    place = Place.here()
    app = import_module(f".{PROGRAMS[name]}", __package__).build(place)
    run_app(app, place.listen(name), loopback=place.egress.loopback, watch_parent=True)


if __name__ == "__main__":
    main()
