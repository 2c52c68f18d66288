"""The provider's operator, for the programs of this installation: whose durable key lies in its folder is admitted.

What anybody else asks for is left for somebody to decide (`aauthkit provider approve`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from ...agent import AgentHome, AgentUnknown
from ...deferred import MIGRATIONS as PENDING_TABLES
from ...installation import Installation
from ...provider.enrollments import AdministrationError, EnrollmentRequest, Enrollments
from ...provider.limits import Limits
from ...provider.records import MIGRATIONS as PROVIDER_TABLES

LOOK_EVERY: Final = 0.2
"""Seconds between two looks at who asks."""


@asynccontextmanager
async def standing_by(found: Installation, told: Callable[[str], None]) -> AsyncIterator[None]:
    """Admit the programs of `found` while the block runs; each name that is admitted is told."""
    database = await found.database("provider")
    try:
        await database.migrate((*PENDING_TABLES, *PROVIDER_TABLES))
        enrollments = Enrollments(found.provider, database, limits=Limits())
        admitting = asyncio.create_task(_admit(found, enrollments, told))
        try:
            yield
        finally:
            admitting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await admitting
    finally:
        await database.close()


async def _admit(found: Installation, enrollments: Enrollments, told: Callable[[str], None]) -> None:
    home = AgentHome(found.root)
    while True:
        for request in await enrollments.pending():
            if _is_ours(home, request):
                with contextlib.suppress(AdministrationError):  # decided by somebody else meanwhile
                    await enrollments.approve(request.id)
                    told(request.name)
        await asyncio.sleep(LOOK_EVERY)


def _is_ours(home: AgentHome, request: EnrollmentRequest) -> bool:
    try:
        record = home.find(request.name)
    except AgentUnknown:
        return False
    return record is not None and record.durable.kid == request.thumbprint
