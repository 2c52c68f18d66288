"""The part of an agent's face that its person sees: missions, permissions, records, questions (draft-11 §7.6 to §8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Unpack

from .choices import Manner
from .governing import Governance
from .mission import Mission, Permission, Tools, action_body, proposal_body, question_body


class Governed:
    """What an agent brings to its person beside token requests.

    Each of these waits until somebody has decided, like a call of its clients, with the same choices (`person`,
    `answer`, `wait`, `watch` and so on, see `Agent.client`): with `wait` it is `Pending` after that many seconds, which
    can be awaited, also after a restart. Each raises `NoPersonServer`, `NotOffered` where the person server does not
    have it, `Denied`, `Unreachable`, and any other `AAuthError`.
    """

    _governance: Governance

    async def mission(
        self,
        description: str,
        *,
        tools: Tools = (),
        resources: Iterable[str] = (),
        limits: Mapping[str, Any] | None = None,
        expires: float | datetime | None = None,
        **choices: Unpack[Manner],
    ) -> Mission:
        """Propose a mission, and give it as it was approved, which may differ (draft-11 §8.1, §8.2).

        - `description`: Markdown. `tools`: what it wants to use that is no resource, by name, or name and description.
        - `resources`: server identifiers that it expects to call; a person token for each comes with the approval.
        - `limits`: what the person server is to check beside the words (see docs/missions.md).
        - `expires`: when it ends by itself, in seconds since the epoch or as a `datetime` with a zone.

        The same proposal made again joins one that is pending. Raises `ValueError` for a proposal that is not in form,
        `AnswerRefused` for a mission whose bytes are not the ones its `s256` names; and as this class says.
        """
        loopback = self._governance.standing.loopback
        body = proposal_body(description, tools, resources, limits, expires, loopback)
        return await self._governance.propose(body, self._governance.options(**choices))

    def missions(self) -> list[Mission]:
        """The missions of this agent that are kept on this machine, the oldest first; also those that have ended."""
        return [Mission(one.s256, self._governance) for one in self._governance.standing.missions.all()]

    def resume_mission(self, s256: str) -> Mission:
        """The mission of that identifier, which is kept on this machine. Raises `MissionUnknown`."""
        return Mission(s256, self._governance)

    async def permission(
        self,
        action: str,
        *,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        mission: Mission | None = None,
        **choices: Unpack[Manner],
    ) -> Permission:
        """Ask whether an action that no resource governs may be done, such as a tool call (draft-11 §7.7).

        A denial is an answer, and no error. A tool that `mission` approved is granted without asking anybody; but where
        the mission has limits that are checked here (`COVERED`), the person server is asked, and answers at once.
        """
        body = action_body(action, description, parameters=parameters)
        kept = mission.kept if mission is not None else None
        return await self._governance.permission(body, kept, self._governance.options(**choices))

    def audit(
        self,
        mission: Mission,
        action: str,
        *,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record what was done in the mission's log, without waiting for that (draft-11 §7.8).

        Records are sent in order, in the background, and before the last client is closed. False: too many wait to be
        sent, and this one was dropped. Raises `MissionTerminated` for a mission that is known to be over.
        """
        return mission.audit(action, description=description, parameters=parameters, result=result)

    async def flush(self, patience: float = 5.0) -> bool:
        """Wait until every record that was made so far is sent; False where it takes longer than `patience` seconds."""
        return await self._governance.standing.background.flush(patience)

    async def ask(
        self,
        question: str,
        *,
        description: str | None = None,
        mission: Mission | None = None,
        **choices: Unpack[Manner],
    ) -> str:
        """What the person answers to a question; both are Markdown, the answer a stranger's (draft-11 §7.6)."""
        kept = mission.kept if mission is not None else None
        body = question_body(question, description)
        return await self._governance.question(body, kept, self._governance.options(**choices))

    async def bring(
        self,
        url: str,
        code: str | None = None,
        *,
        type: Literal["interaction", "payment"] = "interaction",
        description: str | None = None,
        max_wait: int | None = None,
        mission: Mission | None = None,
        **choices: Unpack[Manner],
    ) -> None:
        """Have the person server bring the person to another party's page; returns once they went (draft-11 §7.6).

        For a resource's own interaction nobody needs this: a client's calls do it by themselves. What became of the
        page is known to whoever's page it is. `max_wait` is in seconds. Raises `InteractionUnavailable` where there is
        no way to the person, who is then to be sent there by the agent; `ValueError` for another `type`.
        """
        if type not in ("interaction", "payment"):
            raise ValueError("type is interaction or payment; a question is asked with ask()")
        named = {"code": code, "description": description, "max_wait": max_wait}
        body = {"type": type, "url": url, **{name: value for name, value in named.items() if value is not None}}
        kept = mission.kept if mission is not None else None
        await self._governance.bring(body, kept, self._governance.options(**choices))
