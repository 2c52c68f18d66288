"""The agent provider: enrolment, refresh, and who may have an agent token (draft-11 §5; docs/enrollment.md)."""

from __future__ import annotations

from .enrollments import AdministrationError, EnrollmentRequest, Enrollments
from .evidence import Evidence, EvidenceRefused, EvidenceVerifier, Verdict, approved_by_a_person
from .limits import Limits
from .records import MIGRATIONS, AgentRecord, IssuedToken
from .server import AgentProvider

__all__ = [
    "MIGRATIONS",
    "AdministrationError",
    "AgentProvider",
    "AgentRecord",
    "EnrollmentRequest",
    "Enrollments",
    "Evidence",
    "EvidenceRefused",
    "EvidenceVerifier",
    "IssuedToken",
    "Limits",
    "Verdict",
    "approved_by_a_person",
]
