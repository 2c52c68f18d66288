"""What is told of decisions to whoever runs the gateway: a line of JSON for each, and figures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final, TextIO

from ..operations import Metrics
from .verdicts import Decision

SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Upper bounds of the histogram of how long decisions take."""
STANDARD_OUTPUT: Final = Path("-")


class DecisionLog:
    """Decisions as lines of JSON, behind what a file holds already; `-` is standard output. The file has mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO = sys.stdout if path == STANDARD_OUTPUT else self._opened()

    def _opened(self) -> TextIO:
        return os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8")

    def __call__(self, decision: Decision) -> None:
        """Write one decision."""
        self._file.write(json.dumps(decision.as_json(), ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()

    def reopen(self) -> None:
        """Go on in a new file where the old one was moved away. Raises `OSError`, and goes on in the old one then."""
        if self._path != STANDARD_OUTPUT:
            before, self._file = self._file, self._opened()
            before.close()

    def close(self) -> None:
        """Close the file."""
        if self._path != STANDARD_OUTPUT:
            self._file.close()


class DecisionFigures:
    """Decisions in `metrics`, by resource, rule and outcome: names of the configuration, never a caller's words."""

    def __init__(self, metrics: Metrics) -> None:
        from prometheus_client import Counter, Histogram

        self._decisions: Any = Counter(
            "aauthkit_gateway_decisions",
            "Decisions of the gateway",
            ("resource", "rule", "outcome"),
            registry=metrics.registry,
        )
        self._seconds: Any = Histogram(
            "aauthkit_gateway_decision_seconds",
            "Seconds that a decision took",
            ("resource",),
            buckets=SECONDS,
            registry=metrics.registry,
        )

    def __call__(self, decision: Decision) -> None:
        """Count one decision; a limit that refused counts as a rule."""
        rule = decision.limit or decision.rule or ""
        self._decisions.labels(decision.resource, rule, decision.outcome).inc()
        self._seconds.labels(decision.resource).observe(decision.seconds)
