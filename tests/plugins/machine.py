"""What this machine cannot run: skipped, named at the end with how to get it, and a failure of the run with CI=true.

A test that lacks something calls `not_run(what, how)`, or takes one of the fixtures below, which do. Any other skip is
listed at the end too and counts the same, so that nothing drops out of CI silently.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NoReturn

import pytest

from tests import chromium

PROJECT = Path(__file__).resolve().parents[2]


def in_ci() -> bool:
    """Whether a test that cannot run is a failure of the run."""
    return os.environ.get("CI", "").lower() in {"true", "1"}


def not_run(what: str, how: str) -> NoReturn:
    """Skip the calling test or fixture: `what` is missing on this machine, and `how` says how to get it."""
    pytest.skip(f"not run: {what}; to run it: {how}")


def _shared(variable: str, name: str, what: str) -> Path:
    named = os.environ.get(variable)
    folder = Path(named) if named else PROJECT.parent / "shared" / name
    if not folder.is_dir():
        not_run(what, f"lay them at ../shared/{name} beside the project, or name their folder by {variable}")
    return folder


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """The folder of published test vectors."""
    return _shared("AAUTHKIT_VECTORS", "vectors", "the published test vectors")


@pytest.fixture(scope="session")
def spec_dir() -> Path:
    """The folder of the drafts' and RFCs' texts, from which some tests read their examples."""
    return _shared("AAUTHKIT_SPEC", "spec", "the tests that read the drafts' own texts")


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The browser for Playwright's `executable_path`."""
    found = chromium.find()
    if found is None:
        not_run("the browser tests, for want of a Chromium", chromium.HOW)
    return found


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ").removeprefix("not run: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List each reason for which something was not run, once, with the number of tests."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if not reasons:
        return
    terminalreporter.section("not run on this machine")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} x {reason}")
    if in_ci():
        terminalreporter.line("CI=true: what was not run fails the run", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI=true, turn a run that skipped anything into a failed one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if in_ci() and reporter is not None and reporter.stats.get("skipped") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
