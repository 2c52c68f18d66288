"""Whom a session or a pending request belongs to: an agent or server by its name, anybody else by the key that asked.

draft-11 §6.3, §13.2. An agent that changes its key keeps its session; a pending request stays with its key as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from ..callers import Agent, Caller, Delegate, Grant, Person, Server, Session

Kind = Literal["agent", "server", "person", "key"]


@dataclass(frozen=True, slots=True)
class Binding:
    """A holder as it is kept: `kind` and `names` say who it is, `jkt` is the thumbprint of the key it asked with."""

    kind: Kind
    names: tuple[str, ...]
    jkt: str

    def holds(self, caller: Caller) -> bool:
        """Whether what is bound is `caller`'s.

        An agent or server is known again by its name. What was asked for under a person or auth token, or a bare key,
        belongs to that key; a token that comes with it later names the same person, or none.
        """
        presented = binding_of(caller)
        if self.kind in ("agent", "server"):
            return (presented.kind, presented.names) == (self.kind, self.names)
        if presented.jkt != self.jkt:
            return False
        both_name_one = self.kind == presented.kind == "person"
        return not both_name_one or presented.names == self.names

    def polls(self, caller: Caller) -> bool:
        """Whether `caller` may follow what this one began: the holder, with the very key that asked (§13.2)."""
        return self.holds(caller) and binding_of(caller).jkt == self.jkt

    def text(self) -> str:
        """As it is kept in a record."""
        return json.dumps([self.kind, *self.names, self.jkt], separators=(",", ":"))


def binding_of(caller: Caller) -> Binding:
    """What `caller` is bound by; for a session, whoever presented it."""
    if isinstance(caller, Session):
        return binding_of(caller.proof)
    if isinstance(caller, Agent):
        return Binding("agent", (caller.iss, caller.sub), caller.key.thumbprint)
    if isinstance(caller, Server):
        return Binding("server", (caller.iss, caller.dwk), caller.key.thumbprint)
    if isinstance(caller, Person | Grant):
        return Binding("person", (caller.person.ps, caller.person.sub), caller.key.thumbprint)
    if isinstance(caller, Delegate):
        raise ValueError("a delegated key holds no session")
    return Binding("key", (), caller.thumbprint)


def read_binding(text: str) -> Binding:
    """A binding from its record."""
    kind, *names, jkt = json.loads(text)
    return Binding(kind, tuple(names), jkt)
