"""A2A between the programs of the chain: one question, steps on the way, one answer in data.

What a step tells of a caller was verified by whoever tells it; a step is passed on unchanged to whoever asked.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import msgspec
from a2a.auth.user import User
from a2a.client import ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.helpers import get_data_parts, new_data_part, new_message, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import DefaultServerCallContextBuilder, create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Part,
    Role,
    SendMessageRequest,
    TaskState,
    TaskStatus,
)
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from a2a.utils.errors import A2AError, UnsupportedOperationError
from starlette.applications import Starlette
from starlette.requests import Request

from ...asgi import App
from ...callers import Agent, Caller, Grant
from ...resource import Need, Resource
from ...resource.asgi import CALLER, AAuthMiddleware

log = logging.getLogger("aauthkit.demo.supply_chain")

ENDPOINT = "/a2a"
T = TypeVar("T")
_OVER = {TaskState.TASK_STATE_REJECTED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELED}


class Refused(Exception):
    """What an agent answers instead of a result; its text is a sentence for the person at the beginning."""


class Hop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call as whoever was called has verified it. `agent` and `person` are the caller, as far as they are known."""

    called: str
    via: str
    level: str
    agent: str | None = None
    person: str | None = None
    scope: list[str] = []


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that `who` does or has seen."""

    who: str
    text: str
    hop: Hop | None = None


Tell = Callable[[Step], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: its words, its data (`None` where there are none), and who asked."""

    text: str
    data: Any
    caller: Caller


Work = Callable[[Asked, Tell], Awaitable[dict[str, Any]]]
"""What an agent does for a question. Raises `Refused`."""


def hop_of(caller: Caller, called: str, via: str) -> Hop:
    """The hop that ends at `called`, from its verified caller."""
    if isinstance(caller, Grant):
        return Hop(called, via, "grant", person=caller.person.sub, scope=sorted(caller.scope))
    assert isinstance(caller, Agent)
    return Hop(called, via, "agent", agent=caller.sub)


class _Verified(User):
    """The verified caller, by the name that the SDK keeps tasks under."""

    is_authenticated = True

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    @property
    def user_name(self) -> str:
        if isinstance(self.caller, Grant):
            person = self.caller.person
            return f"{person.sub} at {person.ps}, by {person.iss}"
        assert isinstance(self.caller, Agent)
        return f"{self.caller.sub}, by {self.caller.iss}"


class _Contexts(DefaultServerCallContextBuilder):
    def build_user(self, request: Request) -> User:
        return _Verified(request.scope[CALLER])


class _Answering(AgentExecutor):
    """Runs `work` for each message, and streams its steps."""

    def __init__(self, name: str, work: Work) -> None:
        self._name = name
        self._work = work

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Do one task, from its first message to its end."""
        user, message = context.call_context.user, context.message
        assert isinstance(user, _Verified)
        assert message is not None
        task = new_task_from_user_message(message)
        await event_queue.enqueue_event(task)
        steps = TaskUpdater(event_queue, task.id, task.context_id)

        async def tell(step: Step) -> None:
            parts = [new_text_part(step.text), new_data_part(msgspec.to_builtins(step))]
            await steps.start_work(steps.new_agent_message(parts))

        data = next(iter(get_data_parts(message.parts)), None)
        asked = Asked(context.get_user_input(), _whole(data), user.caller)
        try:
            await tell(Step(self._name, _by_whom(user.caller), hop_of(user.caller, self._name, "A2A")))
            result = await self._work(asked, tell)
        except Refused as refused:
            await steps.reject(steps.new_agent_message([new_text_part(str(refused))]))
        except Exception:
            log.exception("a task of %s failed", self._name)
            sorry = "Something went wrong at this agent, and its log says what."
            await steps.failed(steps.new_agent_message([new_text_part(sorry)]))
        else:
            await steps.add_artifact([new_data_part(result)], name="result")
            await steps.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """A task is short, and ends by itself."""
        raise UnsupportedOperationError


def _by_whom(caller: Caller) -> str:
    if isinstance(caller, Grant):
        return f"was asked on behalf of a person, who allowed {' '.join(sorted(caller.scope))}"
    assert isinstance(caller, Agent)
    return f"was asked by {caller.sub}, on behalf of nobody yet"


@dataclass(frozen=True, slots=True)
class Published:
    """What an agent says of itself in its card."""

    name: str
    description: str
    skill: str
    example: str
    inputs: Sequence[str] = field(default=("text/plain",))

    def card(self, origin: str) -> AgentCard:
        """The card of the agent at `origin`."""
        return AgentCard(
            name=self.name,
            description=self.description,
            version="1",
            capabilities=AgentCapabilities(streaming=True),
            default_input_modes=list(self.inputs),
            default_output_modes=["application/json"],
            skills=[
                AgentSkill(
                    id=self.skill,
                    name=self.skill,
                    description=self.description,
                    tags=["buying"],
                    examples=[self.example],
                )
            ],
            supported_interfaces=[
                AgentInterface(url=f"{origin}{ENDPOINT}", protocol_binding="JSONRPC", protocol_version="1.0")
            ],
        )


def serve_agent(
    published: Published,
    work: Work,
    resource: Resource,
    need: Need,
    *,
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]],
) -> App:
    """The application of an A2A agent: its card is public, and whatever else is asked needs `need`."""
    card = published.card(resource.identifier)
    handler = DefaultRequestHandler(_Answering(published.name, work), InMemoryTaskStore(), card)
    routes = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, ENDPOINT, _Contexts())]
    return AAuthMiddleware(
        Starlette(routes=routes, lifespan=lifespan),
        resource,
        lambda scope: None if scope["path"] == AGENT_CARD_WELL_KNOWN_PATH else need,
    )


async def ask(http: httpx.AsyncClient, origin: str, parts: Sequence[Part], tell: Tell) -> dict[str, Any]:
    """The result of the agent at `origin`; its steps are told as they come. Raises `Refused`, and `AAuthError`."""
    message = new_message(parts=list(parts), role=Role.ROLE_USER)
    try:
        client = await ClientFactory(ClientConfig(httpx_client=http)).create_from_url(origin)
        return await _follow(client.send_message(SendMessageRequest(message=message)), tell)
    except (A2AClientError, A2AError) as error:
        log.warning("%s could not be asked: %s", origin, error)
        raise Refused(f"The agent at {origin} could not be asked, or broke off.") from error


async def _follow(events: AsyncIterator[Any], tell: Tell) -> dict[str, Any]:
    result: dict[str, Any] | None = None
    async for event in events:
        kind = event.WhichOneof("payload")
        if kind == "status_update":
            await _status(event.status_update.status, tell)
        elif kind == "artifact_update":
            result = _whole(next(iter(get_data_parts(event.artifact_update.artifact.parts))))
    if result is None:
        raise Refused("The agent ended without a result.")
    return result


async def _status(status: TaskStatus, tell: Tell) -> None:
    """Pass a step on, or raise what ended the task."""
    parts = status.message.parts
    if status.state in _OVER:
        raise Refused(next((part.text for part in parts if part.text), "The agent gave up without saying why."))
    for data in get_data_parts(parts):
        await tell(read_data(data, Step))


def read_data(data: Any, kind: type[T]) -> T:
    """Data of another agent as `kind`. Raises `Refused` for an unknown or a missing field, or one of another type."""
    try:
        return msgspec.convert(_whole(data), kind)
    except msgspec.ValidationError as error:
        raise Refused(f"What was sent cannot be read: {error}") from error


def _whole(value: Any) -> Any:
    """`value` with its whole numbers as integers: A2A carries every number as a float."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
