"""The agent: a client that signs every request, meets what resources ask for, and brings a person in where one decides.

    agent = Agent.load("planner")
    async with agent.client() as http:
        response = await http.get("https://api.example/orders")

draft-11 §5, §6, §7, §11.6 to §11.8. The HTTP library is imported when the first client is made.
"""

from __future__ import annotations

from .agent import Agent
from .answering import Answers, Question, TerminalAnswers, UpdatedRequest
from .choices import AUTOMATIC
from .describing import Description, Offered
from .errors import (
    AAuthError,
    Abandoned,
    AgentTokenUnavailable,
    AgentUnknown,
    AnswerRefused,
    BodyTooLarge,
    ChallengeLoop,
    ChallengeRefused,
    ClockSkew,
    Denied,
    Expired,
    InteractionFailed,
    InteractionUnavailable,
    MissionNotFound,
    MissionTerminated,
    MissionUnknown,
    NobodyToAsk,
    NoPersonServer,
    NoResourceIdentifier,
    NotOffered,
    OutsideOrigins,
    PaymentRequired,
    PendingGone,
    PendingRefused,
    RequestRefused,
    Revoked,
    ScopeReduced,
    SignatureRefused,
    TokenRefused,
    Unreachable,
    Unsignable,
    UnsupportedRequirement,
    UpdateImpossible,
    UserUnreachable,
    Withdrawn,
)
from .home import AgentHome, AgentRecord, home_folder
from .kept import Update
from .mission import Mission, Permission
from .person import Browser, Callback, Errand, PersonChannel, Terminal, qr_code
from .redeeming import Ask
from .waiting import Pending
from .watching import Answered, Carried, Event, Obtained, Sent, Waiting, Watch

__all__ = [
    "AUTOMATIC",
    "AAuthError",
    "Abandoned",
    "Agent",
    "AgentHome",
    "AgentRecord",
    "AgentTokenUnavailable",
    "AgentUnknown",
    "AnswerRefused",
    "Answered",
    "Answers",
    "Ask",
    "BodyTooLarge",
    "Browser",
    "Callback",
    "Carried",
    "ChallengeLoop",
    "ChallengeRefused",
    "ClockSkew",
    "Denied",
    "Description",
    "Errand",
    "Event",
    "Expired",
    "InteractionFailed",
    "InteractionUnavailable",
    "Mission",
    "MissionNotFound",
    "MissionTerminated",
    "MissionUnknown",
    "NoPersonServer",
    "NoResourceIdentifier",
    "NobodyToAsk",
    "NotOffered",
    "Obtained",
    "Offered",
    "OutsideOrigins",
    "PaymentRequired",
    "Pending",
    "PendingGone",
    "PendingRefused",
    "Permission",
    "PersonChannel",
    "Question",
    "RequestRefused",
    "Revoked",
    "ScopeReduced",
    "Sent",
    "SignatureRefused",
    "Terminal",
    "TerminalAnswers",
    "TokenRefused",
    "Unreachable",
    "Unsignable",
    "UnsupportedRequirement",
    "Update",
    "UpdateImpossible",
    "UpdatedRequest",
    "UserUnreachable",
    "Waiting",
    "Watch",
    "Withdrawn",
    "home_folder",
    "qr_code",
]
