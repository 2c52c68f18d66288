"""Finding and reading the pack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

KINDS: Final = (
    "request",
    "token",
    "mint",
    "base",
    "sign",
    "digest",
    "key",
    "identifier",
    "metadata",
    "signature-key",
    "field",
    "response",
    "error",
    "body",
    "mission",
)
"""Every kind of vector there is; `docs/vectors.md` says what each takes and gives."""
_OTHERS: Final = frozenset({"keys.json", "documents.json", "schema.json", "rules.json"})
_INSTALLED: Final = Path(__file__).parent / "vectors"
_SOURCE: Final = Path(__file__).parents[3] / "vectors"


class PackError(Exception):
    """There is no pack where one was looked for, or it is none."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One case: what is given, and the outcome it must have."""

    id: str
    title: str
    kind: str
    sections: tuple[str, ...]
    input: Mapping[str, Any] = field(repr=False)
    expected: Mapping[str, Any] = field(repr=False)
    stricter: str | None = None
    """Where the pack asks for more than the documents do: what they say."""
    live: Mapping[str, Any] | None = field(default=None, repr=False)
    """How the case is made anew at another time; `None` where it hangs on its own."""
    group: str = ""

    def asked(self) -> dict[str, Any]:
        """What an implementation is given: not the outcome."""
        return {"id": self.id, "kind": self.kind, "sections": list(self.sections), "input": dict(self.input)}

    def of_section(self, section: str) -> bool:
        """Whether this is of `section`, such as `11.3`, `§11.3.4` or `SK 3.3`, or of one below it."""
        document, _, number = section.replace("§", "").strip().rpartition(" ")
        wanted = f"{document} §{number}".strip()
        return any(each == wanted or each.startswith(f"{wanted}.") for each in self.sections)


@dataclass(frozen=True, slots=True)
class Pack:
    """The vectors, the private test keys by name, and every document the pack's issuers publish, by URL."""

    vectors: tuple[Vector, ...]
    keys: Mapping[str, Mapping[str, Any]] = field(repr=False)
    documents: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def select(
        self,
        ids: Sequence[str] = (),
        kinds: Sequence[str] = (),
        sections: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> tuple[Vector, ...]:
        """The vectors that are of one of each that is named; an id may end in `*`. Raises `PackError` for none."""
        found = tuple(
            vector
            for vector in self.vectors
            if (not ids or any(_named(vector.id, each) for each in ids))
            and (not kinds or vector.kind in kinds)
            and (not groups or vector.group in groups)
            and (not sections or any(vector.of_section(each) for each in sections))
        )
        if not found:
            raise PackError("no vector is of that id, kind, group and section")
        return found


def _named(id: str, wanted: str) -> bool:
    return id.startswith(wanted[:-1]) if wanted.endswith("*") else id == wanted


def _directory() -> Path:
    for place in (_INSTALLED, _SOURCE):
        if (place / "keys.json").is_file():
            return place
    raise PackError(f"there is no vector pack at {_INSTALLED} or {_SOURCE}")


def load(directory: Path | None = None) -> Pack:
    """The pack in `directory`, or the one that came with this package. Raises `PackError`."""
    place = directory or _directory()
    try:
        keys = _read(place / "keys.json")["keys"]
        documents = _read(place / "documents.json")["documents"]
        vectors = tuple(_vectors(place))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackError(f"{place} holds no vector pack: {error}") from error
    return Pack(vectors, {key["kid"]: key for key in keys}, documents)


def _read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return document


def _vectors(place: Path) -> Iterator[Vector]:
    for path in sorted(place.glob("*.json")):
        if path.name in _OTHERS:
            continue
        document = _read(path)
        for each in document["vectors"]:
            yield Vector(**{**each, "sections": tuple(each["sections"]), "group": document["group"]})
