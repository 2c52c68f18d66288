"""A pending request withdrawn although its caller is gone: in the background, and not for long (draft-11 §7.5.2.3)."""

from __future__ import annotations

import asyncio
from typing import Final

from .errors import AAuthError
from .waiting import Resumes
from .waits import Wait

LONGEST: Final = 5.0
"""Seconds that a withdrawal may take."""
_under_way: set[asyncio.Task[None]] = set()
"""Kept here, since an event loop keeps no task alive by itself."""


async def withdrawn(resumer: Resumes, wait: Wait) -> None:
    """Withdraw a request for a caller that was cancelled, and may be cancelled once more meanwhile."""
    task = asyncio.ensure_future(_withdraw(resumer, wait))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    await asyncio.shield(task)


async def _withdraw(resumer: Resumes, wait: Wait) -> None:
    try:
        async with asyncio.timeout(LONGEST):
            await resumer.withdraw(wait)
    except (AAuthError, TimeoutError):
        return  # the request ends by itself in time; who gave up cannot do more
