"""What an examination found: one finding for each thing that was looked at, with its mend where it needs one."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ..explaining.wording import plain

Level = Literal["good", "warning", "bad", "open"]
"""`warning`: it works, and is not as it should be; `open`: it cannot be told from here."""
WIDTH: Final = 100
MARKS: Final[dict[Level, str]] = {"good": "✓", "warning": "!", "bad": "✗", "open": "?"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `about` names it for a program, `mend` is what to do."""

    level: Level
    about: str
    text: str
    mend: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding for a program."""
        return {"level": self.level, "about": self.about, "text": self.text, "mend": self.mend}


@dataclass
class Examination:
    """The findings about one party, those about others that it leans on inside."""

    title: str
    findings: list[Finding] = field(default_factory=list)
    inside: list[Examination] = field(default_factory=list)

    def good(self, about: str, text: str) -> None:
        """It is as it should be."""
        self._add("good", about, text, "")

    def bad(self, about: str, text: str, mend: str) -> None:
        """It does not work, or must not be so."""
        self._add("bad", about, text, mend)

    def warn(self, about: str, text: str, mend: str) -> None:
        """It works, and is not as it should be."""
        self._add("warning", about, text, mend)

    def open(self, about: str, text: str, mend: str = "") -> None:
        """It cannot be told from here."""
        self._add("open", about, text, mend)

    def _add(self, level: Level, about: str, text: str, mend: str) -> None:
        self.findings.append(Finding(level, about, plain(text)[:400], plain(mend)[:400]))

    def all(self) -> list[Finding]:
        """Every finding, those inside included."""
        return [*self.findings, *(each for inner in self.inside for each in inner.all())]

    @property
    def well(self) -> bool:
        """Whether nothing is bad."""
        return not any(each.level == "bad" for each in self.all())

    def as_json(self) -> dict[str, Any]:
        """The examination for a program."""
        return {
            "title": self.title,
            "well": self.well,
            "findings": [each.as_json() for each in self.findings],
            "inside": [each.as_json() for each in self.inside],
        }


def lines(examination: Examination, indent: str = "") -> list[str]:
    """The examination for a person: findings in order, each mend under what it mends, folded to a page's width."""
    found = [f"{indent}{plain(examination.title)}"]
    for each in examination.findings:
        found += _folded(each.text, f"{indent}  {MARKS[each.level]} {each.about:<11} ")
        if each.mend:
            found += _folded(each.mend, f"{indent}    {'':<11} → ")
    for inner in examination.inside:
        found += ["", *lines(inner, indent + "  ")]
    return found


def _folded(text: str, start: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_on_hyphens=False,
        break_long_words=False,
    )


def summary(examination: Examination) -> str:
    """One line: how many of each."""
    counted = [each.level for each in examination.all()]
    bad, warned, untold = (counted.count(level) for level in ("bad", "warning", "open"))
    if bad:
        return f"{bad} to mend" + (f", {warned} to look at" if warned else "")
    end = f"; {untold} cannot be told from here" if untold else ""
    return (f"well, with {warned} to look at" if warned else "well") + end
