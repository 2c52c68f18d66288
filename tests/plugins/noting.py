"""What servers note of refused signatures, however many a test makes at once."""

from __future__ import annotations

import pytest

from aauthkit.refusals import REFUSALS, Allowance


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refusal of the test is explained: the allowances of the process do not run out."""
    for name in ("_searches", "_explanations"):
        monkeypatch.setattr(REFUSALS, name, Allowance(1000, lambda: 0.0))
