"""What a resource says of itself, read before its first request and remembered (draft-11 §11.2.4, §12.1.1)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from ..discovery import Discovery, DiscoveryFailed
from ..protocol.metadata import Metadata
from ..protocol.tokens import RESOURCE_DWK, SIGNATURE_WINDOW

KEPT: Final = 3600
"""Seconds for which a resource's metadata is not asked for again."""
ABSENCE_KEPT: Final = 300
"""The same, where there is none or it cannot be used."""
MAX_PROFILES: Final = 1024
MAX_PATHS: Final = 4096
MAX_COMPONENTS: Final = 16
"""Most components a resource may ask for beside those that are always covered."""
WANTS_A_PERSON: Final = frozenset({"person-token", "auth-token"})


@dataclass(frozen=True, slots=True)
class Profile:
    """How to make a first request to a resource. `until` is when it is read again, in seconds since the epoch."""

    access_mode: str = "agent-token"
    authorization_endpoint: str | None = None
    components: tuple[str, ...] = ()
    signature_window: int = SIGNATURE_WINDOW
    until: float = 0.0

    @property
    def wants_a_person(self) -> bool:
        """Whether the first request presents a person token; a mode that is not known says nothing."""
        return self.access_mode in WANTS_A_PERSON


def _of(metadata: Metadata, until: float) -> Profile:
    components = metadata.strings("additional_signature_components")[:MAX_COMPONENTS]
    window = metadata.integer("signature_window", SIGNATURE_WINDOW)
    names = tuple(name.lower() for name in components)
    return Profile(metadata.access_mode, metadata.endpoint("authorization_endpoint"), names, window, until)


class Profiles:
    """The profiles of the resources called so far. Looking one up is plain and may be done from any thread."""

    def __init__(self) -> None:
        self._known: dict[str, Profile] = {}
        self._learned: dict[str, tuple[str, ...]] = {}
        self._agent_paths: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()

    def get(self, resource: str, now: float) -> Profile | None:
        """The profile, unless it is yet to be read."""
        profile = self._known.get(resource)
        return profile if profile is not None and now < profile.until else None

    def components(self, resource: str) -> tuple[str, ...]:
        """What signatures to this resource cover besides, as far as is known."""
        profile = self._known.get(resource)
        return profile.components if profile is not None else ()

    def window(self, resource: str) -> int:
        """The seconds that a signature may lie off the resource's clock, as it says (draft-11 §11.2.4)."""
        profile = self._known.get(resource)
        return profile.signature_window if profile is not None else SIGNATURE_WINDOW

    def authorization_endpoint(self, resource: str) -> str | None:
        """Where a scope can be asked for before a call, if the resource has such a place (draft-11 §6.6)."""
        profile = self._known.get(resource)
        return profile.authorization_endpoint if profile is not None else None

    def authorization_path(self, resource: str) -> str | None:
        """The path of that place."""
        endpoint = self.authorization_endpoint(resource)
        return urlsplit(endpoint).path if endpoint is not None else None

    async def read(self, resource: str, discovery: Discovery, now: float) -> Profile:
        """The profile from the resource's metadata; a resource that publishes none, or a wrong one, has a plain one.

        The document's issuer must be the resource (draft-11 §11.2); that is for `discovery` to see to.
        """
        try:
            profile = _of(await discovery.metadata(resource, RESOURCE_DWK), now + KEPT)
        except DiscoveryFailed:
            profile = Profile(until=now + ABSENCE_KEPT)
        with self._lock:
            learned = self._learned.get(resource, ())
            profile = replace(profile, components=_joined(profile.components, learned))
            self._known.pop(resource, None)
            self._known[resource] = profile
            while len(self._known) > MAX_PROFILES:
                gone = next(iter(self._known))
                del self._known[gone]
                self._learned.pop(gone, None)
        return profile

    def wants_agent(self, resource: str, path: str) -> bool:
        """Whether this path once asked for the agent token in particular (draft-11 §6.1)."""
        return (resource, path) in self._agent_paths

    def note_path(self, resource: str, path: str, *, agent: bool) -> None:
        """Remember, or forget, that a path asks for the agent token: a resource may mix modes (draft-11 §12.1.1)."""
        with self._lock:
            self._agent_paths.pop((resource, path), None)
            if agent:
                self._agent_paths[resource, path] = None
            while len(self._agent_paths) > MAX_PATHS:
                del self._agent_paths[next(iter(self._agent_paths))]

    def learn(self, resource: str, names: Iterable[str]) -> None:
        """Remember what the resource wants covered besides, as an `invalid_input` said (draft-11 §11.3.3.1)."""
        with self._lock:
            self._learned[resource] = _joined(self._learned.get(resource, ()), names)
            profile = self._known.get(resource)
            if profile is not None:
                self._known[resource] = replace(profile, components=_joined(profile.components, names))


def _joined(known: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))[:MAX_COMPONENTS]
