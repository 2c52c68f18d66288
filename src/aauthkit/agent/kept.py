"""The missions of one agent, kept as they were approved: the bytes, what came with them, and how each ended.

draft-11 §8.2, §8.4, §8.8. One file for each, which only its owner can read. The bytes are verified against the
mission's identifier before they are kept, and once more whenever they are read.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ..keys import KeyFileError, read_private, write_private
from ..protocol.identifiers import LoopbackProfile
from ..protocol.jose import JoseError, b64url_decode, b64url_encode, parse_json
from ..protocol.missions import Mission, MissionRejected, is_mission_s256, read_blob
from .errors import MissionTerminated, MissionUnknown
from .locks import own_folder

log = logging.getLogger("aauthkit.agent")

MAX_KEPT: Final = 1024
"""Most missions of one agent that are read from disk."""


@dataclass(frozen=True, slots=True)
class Update:
    """An accepted change of the work (draft-11 §8.4). `s256` is the digest of the bytes that the person server kept."""

    description: str = field(repr=False)
    s256: str


@dataclass(frozen=True, slots=True)
class KeptMission:
    """An approved mission. `ended`: why it is over, empty where no reason is known; `None` while that is not known.

    `capabilities` are what the person server said it can do for the person (draft-11 §8.2).
    """

    by: str
    blob: bytes = field(repr=False)
    terms: Mission
    capabilities: tuple[str, ...] = ()
    updates: tuple[Update, ...] = ()
    ended: str | None = None

    @property
    def s256(self) -> str:
        """The mission's identifier."""
        return self.terms.s256

    def ended_as(self, now: float) -> str | None:
        """Why it is over, `None` while it goes on; past its end it has `expired` (draft-11 §8.2)."""
        if self.ended is None and self.terms.expires_at is not None and now >= self.terms.expires_at:
            return "expired"
        return self.ended

    def document(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "person_server": self.by,
            "s256": self.s256,
            "mission": b64url_encode(self.blob),
            "capabilities": list(self.capabilities),
            "updates": [{"description": one.description, "s256": one.s256} for one in self.updates],
            "ended": self.ended,
        }


class Missions:
    """The missions of one agent at one person server; on disk where there is a `folder`, else in memory only."""

    def __init__(
        self, folder: Path | None = None, *, agent: str, person_server: str | None, loopback: LoopbackProfile
    ) -> None:
        self._folder = folder
        self._agent = agent
        self._person_server = person_server
        self._loopback = loopback
        self._known: dict[str, KeptMission] = {}
        self._lock = threading.Lock()

    def all(self) -> list[KeptMission]:
        """Every mission that is kept, the oldest first."""
        names = set(self._known)
        if self._folder is not None:
            names.update(path.stem for path in sorted(self._folder.glob("*.json"))[:MAX_KEPT])
        found = [one for one in map(self._current, names) if one is not None]
        return sorted(found, key=lambda one: (one.terms.approved_at, one.s256))

    def get(self, s256: str) -> KeptMission:
        """The mission of that name, as it is known now. Raises `MissionUnknown`."""
        found = self._current(s256)
        if found is None:
            raise MissionUnknown(f"no mission {s256[:64]!r} of {self._agent} is kept here")
        return found

    def _current(self, s256: str) -> KeptMission | None:
        known, kept = self._known.get(s256), self._read(s256)
        known = _together(known, kept) if known is not None and kept is not None else known or kept
        if known is not None:
            self._known[s256] = known
        return known

    def check(self, mission: KeptMission | None, now: float) -> None:
        """Return if calls may be made under this mission. Raises `MissionTerminated`; plain, reads no file."""
        if mission is None:
            return
        reason = self._known.get(mission.s256, mission).ended_as(now)
        if reason is not None:
            raise MissionTerminated.known(mission.by, reason)

    def keep(self, mission: KeptMission) -> KeptMission:
        """Remember a mission, or what has become of it."""
        with self._lock:
            before = self._current(mission.s256)
            mission = _together(before, mission) if before is not None else mission
            self._known[mission.s256] = mission
            if self._folder is not None:
                try:
                    own_folder(self._folder)
                    write_private(self._path(mission.s256), json.dumps(mission.document()).encode())
                except OSError as error:
                    log.warning("a mission of %s is not kept on disk: %s", self._agent, error)
        return mission

    def end(self, s256: str, reason: str) -> None:
        """Remember that a mission is over."""
        known = self._current(s256)
        if known is not None and not known.ended:
            self.keep(replace(known, ended=reason))

    def forget(self, s256: str) -> None:
        """Keep it no longer; at the person server nothing changes."""
        with self._lock:
            self._known.pop(s256, None)
            if self._folder is not None and is_mission_s256(s256):
                with contextlib.suppress(OSError):
                    self._path(s256).unlink(missing_ok=True)

    def _path(self, s256: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{s256}.json"

    def _read(self, s256: str) -> KeptMission | None:
        """What is on disk, if it is this agent's and in order; anything else counts as not there."""
        if self._folder is None or not is_mission_s256(s256):
            return None
        try:
            document = parse_json(read_private(self._path(s256)))
            blob = b64url_decode(document["mission"])
            terms = read_blob(blob, s256=s256, loopback=self._loopback)
            ended = document["ended"]
            mission = KeptMission(
                str(document["person_server"]),
                blob,
                terms,
                tuple(str(one) for one in document["capabilities"]),
                tuple(_update(one) for one in document["updates"]),
                None if ended is None else str(ended),
            )
        except FileNotFoundError:
            return None
        except (OSError, KeyFileError, JoseError, MissionRejected, KeyError, TypeError, ValueError) as error:
            log.warning("the mission in %s is not used: %s", self._path(s256), error)
            return None
        return mission if (terms.agent, mission.by) == (self._agent, self._person_server) else None

    def __repr__(self) -> str:
        return f"Missions({len(self._known)})"


def _update(value: Mapping[str, Any]) -> Update:
    return Update(str(value["description"]), str(value["s256"]))


def _together(one: KeptMission, other: KeptMission) -> KeptMission:
    """What two processes know of the same mission: nothing that ended goes on, no accepted update is lost."""
    updates = tuple(dict.fromkeys((*one.updates, *other.updates)))
    reasons = [each.ended for each in (other, one) if each.ended is not None]
    return replace(other, updates=updates, ended=max(reasons, key=bool) if reasons else None)
