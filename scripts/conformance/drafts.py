"""The sentences of the drafts that oblige somebody, taken out of the published text.

A sentence counts where it holds one of the key words of BCP 14 that bind: MUST, MUST NOT, REQUIRED, SHALL. So does each
step of a list that such a sentence introduces, and each numbered step of a procedure of verification. It is known by
its section, its running number there and a hash of its words; the words themselves stay in the draft.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DRAFTS: Final = {"P11": "protocol-11.txt", "SK9": "signature-key-09.txt"}
"""The file of each draft, by the prefix of its identifiers."""

_HEADING = re.compile(r"(?:Appendix )?((?:[0-9]{1,2}|[A-C])(?:\.[0-9]{1,2})*)\.  (\S.*)")
_ITEM = re.compile(r"\s*(?:\*  |o  |-  |[0-9]{1,2}\.  |\([a-z0-9]\) )")
_NUMBER = re.compile(r"\s*([0-9]{1,2})\.  ")
_PROCEDURE = re.compile(r"\*(?:Verification|Discovery) procedure:\*")
_VERIFYING = re.compile(r"Verification|Request-Context Binding")
_KEYWORD = re.compile(r"\b(?:MUST|REQUIRED|SHALL)\b")
_ABBREVIATION = re.compile(r"(?:e\.g|i\.e|etc|vs|cf|Sec)\.$")
_END = re.compile(r"[.!?][\"')\]]*(?=\s+[\"'(*`<]*[A-Z_a-z0-9`])")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One obliging sentence, or a step of what one introduces. `text` never leaves this program but for its hash.

    `number` is `3` for the third sentence of its section, `3.2` for the second step of the list that it introduces,
    `v2` for step 2 of the section's own procedure.
    """

    draft: str
    section: str
    number: str
    text: str
    step: bool = False

    @property
    def id(self) -> str:
        """Such as `P11-6.2-3`."""
        return f"{self.draft}-{self.section}-{self.number}"

    @property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the words, with one space between them."""
        return sentence_hash(self.text)


def sentence_hash(text: str) -> str:
    """The hash by which a sentence is recognised: of its words only, so that a new line break changes nothing."""
    normal = re.sub(r"(?<=\w)- (?=\w)", "-", " ".join(text.split()))
    return hashlib.sha256(normal.encode()).hexdigest()[:16]


def _paragraphs(text: str) -> Iterator[tuple[str, str, str]]:
    """(section, its title, paragraph): a list item is a paragraph of its own, a table row with bars too."""
    section, title, item, lines = "", "", "", []
    for line in text.replace("\f", "\n").split("\n"):
        heading = _HEADING.fullmatch(line.strip()) if not line.startswith(" ") else None
        if heading and _is_next(section, heading.group(1)) and not _follows(item, heading.group(1)):
            yield section, title, " ".join(lines)
            (section, title), item, lines = heading.groups(), "", []
            continue
        item = heading.group(1) if heading else item
        if not line.strip() or _ITEM.match(line) or line.lstrip().startswith(("|", "+--", "+==")):
            yield section, title, " ".join(lines)
            lines = []
        if line.strip():
            lines.append(line.strip())
    yield section, title, " ".join(lines)


def _is_next(current: str, new: str) -> bool:
    """Whether a numbered line can be the heading after `current`, and is no item of a list that looks like one."""
    if not current:
        return new in ("2", "3")
    old, fresh = [_part(p) for p in current.split(".")], [_part(p) for p in new.split(".")]
    if len(fresh) == len(old) + 1:
        return fresh[:-1] == old and fresh[-1] == 1
    if len(fresh) > len(old):
        return False
    depth = len(fresh)
    following = fresh[:-1] == old[: depth - 1] and fresh[-1] == old[depth - 1] + 1
    return following or (current[0].isdigit() and new == "A")


def _follows(item: str, number: str) -> bool:
    """Whether `number` is the next item of the list whose last one was `item`."""
    return item.isdigit() and number.isdigit() and int(number) == int(item) + 1


def _part(text: str) -> int:
    return int(text) if text.isdigit() else ord(text)


def _sentences(paragraph: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(paragraph):
        if _ABBREVIATION.search(paragraph[start : match.start() + 1]):
            continue
        yield paragraph[start : match.end()].strip()
        start = match.end()
    yield paragraph[start:].strip()


def _introduces(sentence: str) -> bool:
    """Whether a sentence obliges to what the list after it says."""
    return bool(_KEYWORD.search(sentence)) and (sentence.endswith(":") or " following steps" in sentence)


class _Reader:
    """Goes through the paragraphs of one draft."""

    def __init__(self, draft: str) -> None:
        self.draft = draft
        self.found: list[Sentence] = []
        self.numbers: dict[str, int] = {}
        self.lead = ""
        self.steps = 0
        self.procedure = ""

    def take(self, section: str, title: str, paragraph: str) -> None:
        """The next paragraph, in whatever section it stands."""
        item = _ITEM.match(paragraph) is not None
        if not item:
            self.lead, self.steps = "", 0
            self.procedure = section if _PROCEDURE.match(paragraph) else ""
        obliging = [one for one in _sentences(paragraph) if _KEYWORD.search(one)]
        for text in obliging:
            self.numbers[section] = self.numbers.get(section, 0) + 1
            self.found.append(Sentence(self.draft, section, str(self.numbers[section]), text))
            if not item and _introduces(text):
                self.lead = str(self.numbers[section])
        if item:
            self.procedure = section if _VERIFYING.search(title) else self.procedure
            self._step(section, paragraph, counted=bool(obliging))

    def _step(self, section: str, paragraph: str, *, counted: bool) -> None:
        self.steps += 1
        number = _NUMBER.match(paragraph)
        if counted or not (self.lead or (number and self.procedure == section)):
            return
        name = f"{self.lead}.{self.steps}" if self.lead else f"v{number.group(1) if number else self.steps}"
        self.found.append(Sentence(self.draft, section, name, paragraph.strip(), step=True))


def sentences(draft: str, text: str) -> list[Sentence]:
    """Every obliging sentence of `text`, and every step of what they introduce, in order."""
    reader = _Reader(draft)
    for section, title, paragraph in _paragraphs(text):
        if paragraph and section:
            reader.take(section, title, paragraph)
    return reader.found


def read_drafts(folder: Path) -> list[Sentence]:
    """The sentences of both drafts, from the folder they lie in."""
    return [s for draft, name in DRAFTS.items() for s in sentences(draft, (folder / name).read_text("utf-8"))]
