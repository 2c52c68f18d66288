"""What a server notes of a refused signature: why, under an id that the caller gets with the answer.

The reason is worked out after the verdict, and never changes it. It costs the more the further a request came, so it
is bounded: a search for the cause a few times a second, an explanation without one a few dozen times, and from there
on the refusal alone. An unsigned request is no refused signature and is not noted: so a caller asks what is wanted.
"""

from __future__ import annotations

import logging
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Final

from .protocol.evidence import Evidence
from .protocol.messages import Refusal
from .protocol.problems import SignatureFailure, WireError, evidence_of

log = logging.getLogger("aauthkit.refusals")

SEARCHES: Final = 2
"""Searches for the cause of a signature that did not verify, a second."""
EXPLANATIONS: Final = 20
"""Explanations of any kind, a second."""
BUDGET: Final = 200
"""Verifications that one search costs at most: some twenty milliseconds."""


class Allowance:
    """So many a second, and as many at once."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left = float(per_second)
        self._since = clock()

    def take(self) -> bool:
        """Whether there is one left; it is used up then."""
        now = self._clock()
        self._left = min(self._per_second, self._left + max(0.0, now - self._since) * self._per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Refusals:
    """Notes refused signatures in the log `aauthkit.refusals`: one line as a warning, the whole text for debugging.

    `searches` and `explanations` a second at most, counted on `clock`, in seconds.
    """

    def __init__(
        self,
        *,
        searches: int = SEARCHES,
        explanations: int = EXPLANATIONS,
        budget: int = BUDGET,
        clock: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._searches = Allowance(searches, clock)
        self._explanations = Allowance(explanations, clock)
        self._budget = budget
        self._random = random_bytes

    def note(self, refusal: Refusal) -> None:
        """Log why a signature was refused, and give the refusal the id that its answer tells. Once for each."""
        if not isinstance(refusal, SignatureFailure) or refusal.correlation is not None:
            return
        evidence = evidence_of(refusal)
        if evidence is not None and not evidence.signed:
            return
        refusal.correlation = self.new_id()
        if log.isEnabledFor(logging.WARNING):
            log.warning("refused %s: %s%s: %s", refusal.correlation, refusal.code, _where(evidence), self._why(refusal))

    def fault(self, refusal: WireError) -> str:
        """The id of a fault of this server's own, for its log and for the answer, which tells nothing else of it."""
        refusal.correlation = self.new_id()
        return refusal.correlation

    def new_id(self) -> str:
        """A UUID at random."""
        return str(uuid.UUID(bytes=self._random(16), version=4))

    def _why(self, failure: SignatureFailure) -> str:
        from .explaining.refused import explain_refusal, reason
        from .explaining.telling import tell, tell_briefly

        evidence = evidence_of(failure)
        # A key stands there only where the token was good and the signature was not: a stranger gets no further.
        searching = evidence is not None and evidence.key is not None
        if not self._explanations.take() or (searching and not self._searches.take()):
            return f"{reason(failure).what} (not looked into: there are too many at once)"
        try:
            explanation = explain_refusal(failure, budget=self._budget)
        except Exception:
            # Whatever is wrong with an explanation, the answer is the refusal that was decided.
            log.exception("a refusal could not be explained: %s", failure.correlation)
            return reason(failure).what
        if log.isEnabledFor(logging.DEBUG):
            log.debug("refused %s\n%s", failure.correlation, tell(explanation))
        return tell_briefly(explanation)


def _where(evidence: Evidence | None) -> str:
    from .explaining.wording import plain, shown

    if evidence is None:
        return ""
    request = evidence.request
    return f" ({plain(request.method[:16])} {evidence.identifier}{shown('@path', request.path)})"


REFUSALS: Final = Refusals()
"""The notes of this process; its allowances are the whole process's."""
