"""What is chosen for one client, and the options that come of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypedDict

from ..protocol.identifiers import LoopbackProfile
from .answering import Answers, TerminalAnswers
from .origins import origins_of
from .person import PersonChannel, Terminal, default_channel
from .person_server import Statement
from .standing import SPOOL, Options
from .watching import Watch, unwatched

if TYPE_CHECKING:
    from .mission import Mission


class Default:
    """The way to the person that suits this machine: a browser, or the terminal."""

    def __repr__(self) -> str:
        return "AUTOMATIC"


AUTOMATIC: Final = Default()


class Manner(TypedDict, total=False):
    """How something is asked, and waited for; each is explained at `Agent.client`."""

    nonce: bool
    person: PersonChannel | Default | None
    justification: str | None
    prompt: str | None
    spool: int
    watch: Watch
    answer: Answers | None
    origins: Iterable[str] | None
    wait: float | None


class Choices(Manner, total=False):
    """The options of `Agent.client`, each explained there."""

    mission: Mission | None
    relay: bool
    max_wait: int | None


def options_of(
    choices: Choices, usual: PersonChannel | Default | None, statement: Statement, loopback: LoopbackProfile
) -> Options:
    """The options of a client; `usual` and `statement` are the agent's own, where nothing else was chosen."""
    person, mission = choices.get("person", AUTOMATIC), choices.get("mission")
    channel = usual if isinstance(person, Default) else person
    channel = default_channel() if isinstance(channel, Default) else channel
    answer, origins, why = choices.get("answer"), choices.get("origins"), choices.get("justification")
    if answer is None and isinstance(channel, Terminal) and channel.is_attended:
        answer = TerminalAnswers()
    return Options(
        channel,
        choices.get("nonce", True),
        Statement(
            why if why is not None else statement.justification,
            statement.platform,
            statement.device,
            choices.get("prompt"),
        ),
        choices.get("spool", SPOOL),
        choices.get("watch", unwatched),
        answer,
        origins_of(origins, loopback) if origins is not None else None,
        choices.get("wait"),
        mission=mission.kept if mission is not None else None,
        relay=choices.get("relay", True),
        max_wait=choices.get("max_wait"),
    )
