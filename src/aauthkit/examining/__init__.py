"""`aauthkit doctor`: looks at a running agent, resource, person server or agent provider, and says what to mend.

It sends what a stranger may send: it reads published documents, and asks each endpoint once, unsigned and without a
body, what it says to that. The agent's examination also fetches one agent token, as the agent itself does.
"""

from __future__ import annotations

from .agents import examine_agent
from .findings import Examination, Finding, lines, summary
from .installed import examine_installed
from .privacy import examine_keys
from .servers import examine_server

__all__ = [
    "Examination",
    "Finding",
    "examine_agent",
    "examine_installed",
    "examine_keys",
    "examine_server",
    "lines",
    "summary",
]
