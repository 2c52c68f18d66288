"""A resource in a Starlette application: an endpoint says what it needs, and asks for its caller.

@protect(resource.agent())
async def who(request): return PlainTextResponse(caller(request).sub)

app = Starlette(routes=[Route("/who", who)])
install(app, resource)
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Match

from ..asgi import Scope
from ..callers import Caller
from ..protocol.problems import Problem
from .asgi import AAuthMiddleware, admitted
from .needs import Need
from .server import Resource

log = logging.getLogger("aauthkit.resource")

NEED: Final = "__aauth_need__"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def protect(need: Need) -> Callable[[Endpoint], Endpoint]:
    """Declares what an endpoint needs: a function of a request. Raises `TypeError` for a class.

    An endpoint that is reached undecided answers 500 and does not run.
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        if inspect.isclass(endpoint):
            raise TypeError("protect() takes a function; a class-based endpoint goes behind PathNeeds")

        @functools.wraps(endpoint)
        async def guarded(request: HTTPConnection) -> Any:
            _check(request, need)
            return await endpoint(request)

        @functools.wraps(endpoint)
        def guarded_plain(request: HTTPConnection) -> Any:
            _check(request, need)
            return endpoint(request)

        guard: Any = guarded if inspect.iscoroutinefunction(endpoint) else guarded_plain
        setattr(guard, NEED, need)
        return guard  # type: ignore[no-any-return]

    return declare


def caller(request: HTTPConnection) -> Caller:
    """Who sent the request to a protected endpoint. Raises `Problem` 500 where nothing was decided."""
    decided = admitted(request.scope)
    if decided is None:
        log.error("an endpoint asks for its caller, and none was decided")
        raise Problem("server_error")
    return decided.caller


def install(app: Starlette, resource: Resource, *, default: Need | None = None) -> None:
    """Put `resource` in front of `app`. `default` is needed by what declares nothing; without it that is public."""
    app.add_middleware(AAuthMiddleware, resource=resource, needs=EndpointNeeds(app, default))


class EndpointNeeds:
    """Which need a scope has, by the very matching that the application's router will do."""

    def __init__(self, app: Starlette, default: Need | None = None) -> None:
        self._app = app
        self._default = default

    def __call__(self, scope: Scope) -> Need | None:
        """The need of the endpoint that will serve `scope`, else the default."""
        need = getattr(_selected(self._app.routes, dict(scope)), NEED, None)
        return need if isinstance(need, Need) else self._default


def _selected(routes: Iterable[Any], scope: dict[str, Any]) -> Any:
    """The endpoint that is run for `scope`; `None` where none is. A route that matches but for its method is not."""
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            inner = getattr(route, "routes", None)
            return _selected(inner, {**scope, **child}) if inner else getattr(route, "endpoint", None)
    return None


def _check(request: HTTPConnection, need: Need) -> None:
    if need.is_open:
        return
    decided = admitted(request.scope)
    if decided is None or not decided.need.includes(need):
        log.error("a protected endpoint of %s was reached undecided: is install() missing?", need.resource)
        raise Problem("server_error")
