"""What every test shares: the event loop, and what this machine may lack."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Same examples everywhere and no deadline: a slow machine is not a failure, and a failure is never a matter of luck.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")

pytest_plugins = [
    "tests.plugins.machine",
    "tests.plugins.commands",
    "tests.plugins.stores",
    "tests.plugins.tls",
    "tests.plugins.discovering",
    "tests.plugins.simulators",
    "tests.plugins.tracing",
    "tests.plugins.people",
    "tests.plugins.noting",
    "tests.plugins.world",
    "tests.plugins.peers",
    "tests.plugins.rows",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The loop of every async test (`pytestmark = pytest.mark.anyio`)."""
    return "asyncio"
