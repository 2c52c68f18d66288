"""Two signature bases side by side, line by line, with the first difference marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from .wording import plain, shortened, shown


@dataclass(frozen=True, slots=True)
class Line:
    """One line of both bases: `signer` or `server` is `None` where that base has no such line.

    Values are shown as they may be printed. `at` is where they differ, counted in characters from 1.
    """

    component: str
    signer: str | None
    server: str | None
    at: int | None = None

    @property
    def same(self) -> bool:
        """Whether both have it, to the letter."""
        return self.at is None and self.signer is not None and self.server is not None

    @property
    def shown_at(self) -> int | None:
        """Where the values differ as they are shown, from 0; `None` where what is shown does not differ there."""
        if self.at is None or self.signer is None or self.server is None:
            return None
        shown = _differs(self.signer, self.server)
        return self.at - 1 if shown == self.at else None

    def as_json(self) -> dict[str, object]:
        """The line for a program."""
        return {"component": self.component, "signer": self.signer, "server": self.server, "differs_at": self.at}


def signer_base(data: bytes) -> bytes:
    """The base that a signer printed, as it is in a file: with a line feed too many, as a JSON string, or escaped."""
    text = data.decode("utf-8", "replace").strip("\r\n")
    if text[:1] in ("'", "`") and text[:1] == text[-1:]:
        text = text[1:-1]
    elif text.startswith('"') and text.endswith('"') and "\n" not in text and not text.startswith('"@method": '):
        try:
            text = str(json.loads(text))
        except ValueError:
            text = text[1:-1]
    if "\n" not in text and "\\n" in text:
        text = text.replace("\\n", "\n").replace('\\"', '"')
    return text.replace("\r\n", "\n").encode("utf-8")


def compare(signer: bytes, server: Sequence[tuple[str, str]]) -> tuple[Line, ...]:
    """Line by line: `server` are the rows of the verifier's base, `@signature-params` among them."""
    theirs = [parted(line) for line in signer.decode("utf-8", "replace").split("\n")]
    ours = list(server)
    lines: list[Line] = []
    for number in range(max(len(theirs), len(ours))):
        left = theirs[number] if number < len(theirs) else None
        right = ours[number] if number < len(ours) else None
        lines.append(_line(left, right))
    return tuple(lines)


def parted(line: str) -> tuple[str, str]:
    """A line of a base as component and value."""
    name, colon, value = line.partition(": ")
    return (name, value) if colon else (line, "")


def _line(left: tuple[str, str] | None, right: tuple[str, str] | None) -> Line:
    name = (left or right or ("", ""))[0]
    signer = _shown(left)
    server = _shown(right)
    if left is None or right is None:
        return Line(plain(shortened(name, 60)), signer, server, 1)
    if left[0] != right[0]:
        return Line(f"{plain(shortened(left[0], 60))} / {plain(shortened(right[0], 60))}", signer, server, 1)
    return Line(plain(shortened(name, 60)), signer, server, _differs(left[1], right[1]))


def _shown(row: tuple[str, str] | None) -> str | None:
    return shown(row[0].partition(";")[0].strip('"'), row[1]) if row is not None else None


def _differs(left: str, right: str) -> int | None:
    if left == right:
        return None
    same = 0
    for ours, theirs in zip(left, right, strict=False):
        if ours != theirs:
            break
        same += 1
    return same + 1
