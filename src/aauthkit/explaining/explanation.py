"""What an explanation says, as values: for a program, and for the text in `telling`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .causes import Cause
from .comparing import Line


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a request was refused, or that it verifies.

    - `verdict`: `True` if it verifies, `False` if not, `None` where what is needed to tell is not at hand.
    - `causes`: everything that is wrong, in the order in which a verifier meets it (draft-11 §11.3.4).
    - `rows`: the signature base as the server has it, line by line; secrets shortened.
    - `signed`: of those lines, the values that were signed, where that is known and different.
    - `comparison`: that base beside the signer's own, if it was given.
    - `tried`: how many altered bases were verified. `exhausted`: whether those were all.
    - `unchecked`: what bytes alone do not tell. `remarks`: what is odd, and refused by nobody.
    """

    verdict: bool | None
    causes: tuple[Cause, ...]
    facts: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    signed: tuple[tuple[str, str], ...] = ()
    comparison: tuple[Line, ...] = ()
    tried: int = 0
    exhausted: bool = True
    unchecked: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def main(self) -> Cause | None:
        """The cause that the verifier names: the first. `None` where there is none."""
        return self.causes[0] if self.causes else None

    @property
    def name(self) -> str:
        """`verifies`, the name of the main cause, or `undecided`."""
        if self.main is not None:
            return self.main.name
        return "verifies" if self.verdict else "undecided"

    def as_json(self) -> dict[str, Any]:
        """The explanation for a program; it holds no secret."""
        return {
            "verifies": self.verdict,
            "cause": self.name,
            "causes": [cause.as_json() for cause in self.causes],
            "facts": dict(self.facts),
            "signature_base": [{"component": name, "value": value} for name, value in self.rows],
            "signed": dict(self.signed),
            "comparison": [line.as_json() for line in self.comparison],
            "candidates_tried": self.tried,
            "all_candidates_tried": self.exhausted,
            "unchecked": list(self.unchecked),
            "remarks": list(self.remarks),
        }
