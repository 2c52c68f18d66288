"""A person's questions about a request, and who answers them (draft-11 §7.5).

async def answer(question: Question) -> str | None:
    return "The order form needs the delivery address."

agent.client(answer=answer)
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

from ..outbound import Pending
from .errors import PendingRefused

MAX_QUESTION: Final = 8192
"""Longest question that is handed on, in characters."""
MAX_OPTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks before they decide. All of it is a stranger's text.

    `text` is Markdown. `options` are the choices, where there are any. `who` is the server that asks; `timeout` is for
    how many seconds it waits, `None` if it does not say.
    """

    text: str
    who: str
    options: tuple[str, ...] = ()
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class UpdatedRequest:
    """In place of an answer in words: another scope is asked for, such as less (draft-11 §7.5.2.2).

    `scope`: what is asked for now, had from the resource's authorization endpoint. `justification`: why, in Markdown.
    It is possible where an auth token is waited for, at a resource that has such an endpoint.
    """

    scope: str
    justification: str | None = None

    @property
    def scopes(self) -> frozenset[str]:
        """The scope as a set."""
        return frozenset(self.scope.split())


Said = str | UpdatedRequest | None
Answers = Callable[[Question], Awaitable[Said] | Said]
"""Gives the answer, Markdown, or a request for something else, or `None` to withdraw it. A plain one must not block."""


def question_of(pending: Pending, who: str) -> Question:
    """The question of a 202 with `requirement=clarification` (draft-11 §7.5.1). Raises `PendingRefused`."""
    text = pending.body.get("clarification")
    if not isinstance(text, str) or not text.strip():
        raise PendingRefused(f"{who} asks for a clarification and says no question (draft-11 §7.5.1)")
    options = pending.body.get("options")
    named = [one[:MAX_QUESTION] for one in options if isinstance(one, str)] if isinstance(options, list) else []
    timeout = pending.body.get("timeout")
    seconds = float(timeout) if isinstance(timeout, int | float) and not isinstance(timeout, bool) else None
    return Question(
        text[:MAX_QUESTION], who, tuple(named[:MAX_OPTIONS]), seconds if seconds is not None and seconds > 0 else None
    )


async def answer_to(question: Question, answers: Answers) -> Said:
    """What `answers` says. Raises `TimeoutError` once the server waits no longer."""
    async with asyncio.timeout(question.timeout):
        said = answers(question)
        return await said if inspect.isawaitable(said) else said


def clarification_response(text: str) -> Mapping[str, Any]:
    """The body that answers a question (draft-11 §7.5.2.1, F38)."""
    return {"action": "clarification_response", "clarification_response": text}


def updated_request(update: UpdatedRequest, tokens: Mapping[str, str]) -> Mapping[str, Any]:
    """The body that asks for something else (draft-11 §7.5.2.2); `tokens` are the new pair."""
    why = {"justification": update.justification} if update.justification is not None else {}
    return {"action": "updated_request", **tokens, **why}


class TerminalAnswers:
    """Asks whoever sits at the terminal. An empty line withdraws the request."""

    def __init__(self, source: TextIO | None = None, out: TextIO | None = None) -> None:
        self._source = source
        self._out = out

    async def __call__(self, question: Question) -> str | None:
        """Print the question, made harmless, and read one line."""
        import anyio.to_thread

        out = self._out or sys.stderr
        out.write(f"\n{question.who} passes on a question:\n\n")
        out.write("".join(f"    {_shown(line)}\n" for line in question.text.splitlines()))
        out.write("".join(f"    - {_shown(option)}\n" for option in question.options))
        out.write("\nYour answer (an empty line withdraws the request): ")
        out.flush()
        source = self._source or sys.stdin
        line = await anyio.to_thread.run_sync(source.readline, abandon_on_cancel=True)
        return line.strip() or None


def _shown(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line)
