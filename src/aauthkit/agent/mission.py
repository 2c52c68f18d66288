"""A mission as its agent holds it: what was approved, and what is done under it (draft-11 §8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from ..protocol.identifiers import LoopbackProfile
from ..protocol.missions import MAX_DESCRIPTION, MissionRejected, Tool, format_time, read_resources, read_tools
from .kept import KeptMission, Update

if TYPE_CHECKING:
    import httpx2

    from .choices import Manner
    from .governing import Governance

Tools = Mapping[str, str] | Iterable[Tool | str]
"""Tools by name, with Markdown that says what each does where there is some."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What was said to an action (draft-11 §7.7.2). True in a condition where it was granted.

    `reason` is the person server's, where it denies and says one: untrusted text of bounded length. `asked` is False
    where the mission had approved the tool ahead, so that nobody was asked.
    """

    action: str
    granted: bool
    reason: str | None = field(default=None, repr=False)
    asked: bool = True

    def __bool__(self) -> bool:
        return self.granted


class Mission:
    """An approved mission of an agent, from `Agent.mission`, `Agent.missions` or `Agent.resume_mission`.

    What it says is what was approved, which may differ from what was proposed. Everything but its state is fixed by
    `s256`, which was compared with the bytes. It may be used from several threads and event loops.
    """

    def __init__(self, s256: str, governance: Governance) -> None:
        self.s256 = s256
        self._governance = governance
        governance.standing.missions.get(s256)

    @property
    def kept(self) -> KeptMission:
        """All that is known of it here. Raises `MissionUnknown` after `forget`."""
        return self._governance.standing.missions.get(self.s256)

    @property
    def description(self) -> str:
        """What was approved, in Markdown."""
        return self.kept.terms.description

    @property
    def approved_at(self) -> float:
        """When, in seconds since the epoch."""
        return self.kept.terms.approved_at

    @property
    def expires_at(self) -> float | None:
        """When it ends by itself, in seconds since the epoch; `None`: when somebody ends it."""
        return self.kept.terms.expires_at

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools that may be used without asking (draft-11 §8.2)."""
        return self.kept.terms.approved_tools

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that were approved ahead. No limit: any other can be called, and the person may be asked."""
        return self.kept.terms.approved_resources

    @property
    def limits(self) -> Mapping[str, Any]:
        """What the person server checks beside the description; empty where there is nothing."""
        limits = self.kept.terms.members.get("limits")
        return dict(limits) if isinstance(limits, Mapping) else {}

    @property
    def capabilities(self) -> frozenset[str]:
        """What the person server said it can do for the person (draft-11 §8.2, §11.7)."""
        return frozenset(self.kept.capabilities)

    @property
    def updates(self) -> tuple[Update, ...]:
        """The accepted updates: what the mission means is its description and these (draft-11 §8.4)."""
        return self.kept.updates

    @property
    def blob(self) -> bytes:
        """The mission in the bytes that `s256` is the digest of."""
        return self.kept.blob

    @property
    def is_active(self) -> bool:
        """Whether it goes on, as far as is known here."""
        return self.ended is None

    @property
    def ended(self) -> str | None:
        """Why it is over (draft-11 §8.6), empty where no reason was said; `None` while it goes on."""
        return self.kept.ended_as(self._governance.standing.clock())

    def __repr__(self) -> str:
        return f"Mission({self.s256}, ended={self.ended!r})"

    # What is done under it.

    def client(self, **settings: Any) -> httpx2.AsyncClient:
        """As `Agent.client`, for calls under this mission. They raise `MissionTerminated` once it is over."""
        from .transport import async_client

        return async_client(self._governance.standing, self._choose(settings), **settings)

    def sync_client(self, **settings: Any) -> httpx2.Client:
        """As `Agent.sync_client`, for calls under this mission."""
        from .transport import sync_client

        return sync_client(self._governance.standing, self._choose(settings), **settings)

    def _choose(self, settings: dict[str, Any]) -> Any:
        """Take out of `settings` what chooses how calls are made."""
        from .choices import Choices

        known = Choices.__optional_keys__
        choices = {name: settings.pop(name) for name in list(settings) if name in known}
        return self._governance.options(**{**choices, "mission": self})

    async def update(self, description: str, **choices: Unpack[Manner]) -> Update:
        """Have a change of the work recorded, once it is accepted (draft-11 §8.4). `description` is Markdown.

        The mission keeps its name, and its tokens stay good. Raises `Denied`, `MissionTerminated`, `Pending` and any
        other `AAuthError`.
        """
        check_text("description", description)
        return await self._governance.update(self.kept, description, self._governance.options(**choices))

    async def complete(self, summary: str, **choices: Unpack[Manner]) -> None:
        """Propose that the mission is done (draft-11 §8.5): returns once the person has accepted.

        `summary` is Markdown. Raises `Denied` where it is to go on, and as `update`.
        """
        check_text("summary", summary)
        await self._governance.complete(self.kept, summary, self._governance.options(**choices))

    async def permission(
        self,
        action: str,
        *,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        **choices: Unpack[Manner],
    ) -> Permission:
        """As `Agent.permission`, under this mission: nobody is asked about a tool that was approved with it."""
        body = action_body(action, description, parameters=parameters)
        return await self._governance.permission(body, self.kept, self._governance.options(**choices))

    def audit(
        self,
        action: str,
        *,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """As `Agent.audit`, in this mission."""
        body = action_body(action, description, parameters=parameters, result=result)
        return self._governance.audit(body, self.kept, self._governance.options())

    async def ask(self, question: str, *, description: str | None = None, **choices: Unpack[Manner]) -> str:
        """As `Agent.ask`, in this mission."""
        body = question_body(question, description)
        return await self._governance.question(body, self.kept, self._governance.options(**choices))

    def forget(self) -> None:
        """Keep it here no longer. At the person server nothing changes."""
        self._governance.standing.missions.forget(self.s256)


# What is sent, checked before it is. All raise `ValueError`.


def check_text(name: str, text: str) -> None:
    """Return if `text` says something and not too much."""
    if not text.strip() or len(text) > MAX_DESCRIPTION:
        raise MissionRejected(f"{name} is Markdown of 1 to {MAX_DESCRIPTION} characters")


def proposal_body(
    description: str,
    tools: Tools,
    resources: Iterable[str],
    limits: Mapping[str, Any] | None,
    expires: float | datetime | None,
    loopback: LoopbackProfile,
) -> dict[str, Any]:
    """A proposal (draft-11 §8.1)."""
    check_text("description", description)
    body: dict[str, Any] = {"description": description}
    named = [_tool(one) for one in (tools.items() if isinstance(tools, Mapping) else tools)]
    if named:
        read_tools(named)
        body["tools"] = named
    expected = list(resources)
    if expected:
        body["resources"] = list(read_resources(expected, loopback))
    if limits:
        body["limits"] = dict(limits)
    if expires is not None:
        body["expires_at"] = format_time(expires.timestamp() if isinstance(expires, datetime) else expires)
    return body


def _tool(one: Tool | str | tuple[str, str]) -> dict[str, str]:
    if isinstance(one, str):
        return {"name": one}
    name, words = (one.name, one.description) if isinstance(one, Tool) else one
    return {"name": name, "description": words} if words else {"name": name}


def action_body(action: str, description: str | None, **more: Mapping[str, Any] | None) -> dict[str, Any]:
    """An action that is to be permitted, or was done (draft-11 §7.7.1, §7.8.1)."""
    if not action.strip() or not action.isprintable():
        raise ValueError("an action is named by printable characters, such as the name of a tool")
    words = {"description": description} if description is not None else {}
    return {"action": action, **words, **{name: dict(value) for name, value in more.items() if value is not None}}


def question_body(question: str, description: str | None) -> dict[str, Any]:
    """A question to the person (draft-11 §7.6.1)."""
    check_text("question", question)
    return {"question": question, **({"description": description} if description is not None else {})}
