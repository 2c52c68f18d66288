"""A resource in a FastAPI application: a route states what it needs, and its handler gets a typed caller.

    install(app, resource)

    @app.get("/orders")
    async def orders(grant: Annotated[Grant, protect(resource.grant("orders.read"))]) -> ...: ...

FastAPI reads a body before dependencies run, so the need is decided in a middleware, before anything is read;
`protect` only hands over what was decided, and answers 500 where that is not this very need.
"""

from __future__ import annotations

import inspect
import logging
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final, ForwardRef, Union

import fastapi.routing
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_typed_signature
from fastapi.params import Depends
from starlette.requests import HTTPConnection
from starlette.routing import Match, Route

from ..asgi import App, Receive, Scope, Send
from ..callers import Caller
from ..protocol.problems import Problem
from .asgi import AAuthMiddleware, admitted
from .needs import Need, NeedsConflict
from .server import Resource

log = logging.getLogger("aauthkit.resource")

MAX_KNOWN: Final = 10_000
"""Routes whose need is remembered. An application whose routes change for ever starts over at that many."""


class RouteFault(TypeError):
    """A route whose need cannot be met as it is written; the message says which route and what to change."""


class Protect:
    """The dependency that `protect` declares: what the middleware decided about this request, if it is this need."""

    def __init__(self, need: Need) -> None:
        self.need = need

    async def __call__(self, connection: HTTPConnection) -> Caller | None:
        """The caller. Raises `Problem` 500 where this need was not decided: an undecided route is never served."""
        if self.need.is_open:
            return None
        decided = admitted(connection.scope)
        if decided is None or not decided.need.includes(self.need):
            log.error("a protected route of %s was reached undecided: is install() missing?", self.need.resource)
            raise Problem("server_error")
        return decided.caller


def protect(need: Need) -> Any:
    """Declares what a route needs: `Annotated[Grant, protect(need)]`, or `dependencies=[protect(need)]`.

    A router's and a route's are both required. A route that declares nothing is public, unless `install` got a default.
    Where an application is built inside a function of a module with postponed annotations, FastAPI cannot evaluate a
    need that is a local name, and `grant: Grant = protect(need)` is the way; anything else is a `RouteFault`.
    """
    return Depends(Protect(need))


async def _account(connection: HTTPConnection) -> Any:
    decided = admitted(connection.scope)
    if decided is None or decided.account is None:
        log.error("a route asks for an account, and no account hook was asked for one")
        raise Problem("server_error")
    return decided.account


def account() -> Any:
    """Declares that a route takes what the account hook gave: `Annotated[User, account()]`, beside `protect`."""
    return Depends(_account)


def install(app: FastAPI, resource: Resource, *, default: Need | None = None) -> None:
    """Put `resource` in front of `app`: its routes' needs are decided before a body is read, also of later routes.

    `default` is needed by whatever declares nothing, also by paths that lead nowhere; without it those are public.
    Raises `RouteFault` for a route that is wrong already; later ones are found at start. Middleware added afterwards
    runs before this one: `CORSMiddleware` belongs there, so that it answers preflights and marks refusals.
    """
    needs = RouteNeeds(app, resource, default)
    needs.check()
    app.add_middleware(_Installed, resource=resource, needs=needs)


class _Installed(AAuthMiddleware):
    """The middleware of `install`, which looks through the routes once more when the application starts."""

    def __init__(self, app: App, resource: Resource, needs: RouteNeeds) -> None:
        super().__init__(app, resource, needs)
        self._routes = needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; a wrong route keeps the application from starting."""
        if scope["type"] == "lifespan":
            try:
                self._routes.check()
            except (RouteFault, NeedsConflict) as error:
                await receive()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
        await super().__call__(scope, receive, send)


class RouteNeeds:
    """Which need a scope has, by the very matching that the application's router will do."""

    def __init__(self, app: FastAPI, resource: Resource, default: Need | None = None) -> None:
        self._app = app
        self._resource = resource
        self._default = default
        self._known: dict[int, tuple[Dependant, Need | None]] = {}

    def __call__(self, scope: Scope) -> Need | None:
        """The need of the route that will serve `scope`, else the default. Raises `RouteFault`, `NeedsConflict`."""
        dependant = _selected(self._app.routes, dict(scope))
        need = self._need_of(dependant) if dependant is not None else None
        return need if need is not None else self._default

    def check(self) -> None:
        """Look through every route. Raises `RouteFault`, `NeedsConflict`."""
        for dependant in _dependants(self._app.routes):
            self._need_of(dependant)

    def _need_of(self, dependant: Dependant) -> Need | None:
        known = self._known.get(id(dependant))
        if known is None or known[0] is not dependant:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[id(dependant)] = (dependant, self._read(dependant))
        return known[1]

    def _read(self, dependant: Dependant) -> Need | None:
        stated = [need for need in _stated(dependant) if need.resource == self._resource.identifier]
        joined: Need | None = None
        for need in stated:
            joined = need if joined is None else joined & need
        for call in _calls(dependant):
            _check_signature(call, self._resource.identifier, joined)
        return joined


def _contexts(routes: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Each route in the order in which it is tried: what matches, and what runs then.

    A newer FastAPI keeps an included router as one route, and flattens it with what it got where it was included; an
    older one has flattened it already.
    """
    flatten = getattr(fastapi.routing, "iter_route_contexts", iter)
    for route in flatten(routes):
        yield route, getattr(route, "starlette_route", None) or route


def _selected(routes: Iterable[Any], scope: dict[str, Any]) -> Dependant | None:
    """The dependencies of the route that is run for `scope`; `None` where none is, or where it can have none.

    A route that matches but for its method is not run: the router answers 405.
    """
    plain = not scope.get("root_path") and "fastapi" not in scope
    candidates = (route for route in routes if not (plain and _passes_by(route, scope["path"])))
    for route, running in _contexts(candidates):
        match, child = route.matches(scope)
        if match is Match.FULL:
            dependant = getattr(running, "dependant", None)
            if dependant is not None:
                return typing.cast(Dependant, dependant)
            return _selected(getattr(running, "routes", None) or (), {**scope, **child})
    return None


_BY_PATH: Final = frozenset({Route.matches, fastapi.routing.APIRoute.matches})


def _passes_by(route: Any, path: str) -> bool:
    """Whether `route` certainly does not match: its path is the first that these two look at, and most end there."""
    return type(route).matches in _BY_PATH and route.path_regex.match(path) is None


def _dependants(routes: Iterable[Any]) -> Iterator[Dependant]:
    for _, running in _contexts(routes):
        dependant = getattr(running, "dependant", None)
        if dependant is not None:
            yield dependant
        else:
            yield from _dependants(getattr(running, "routes", None) or ())


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


def _stated(dependant: Dependant) -> list[Need]:
    return [call.need for call in _calls(dependant) if isinstance(call, Protect)]


def _check_signature(call: Callable[..., Any], resource: str, need: Need | None) -> None:
    """Compare each parameter's type with what its `protect` gives; one that cannot be read could hide a `protect`."""
    if isinstance(call, Protect):
        return
    for name, parameter in get_typed_signature(call).parameters.items():
        annotation, declared = _taken_apart(parameter)
        where = f"{getattr(call, '__qualname__', call)}, parameter {name!r}"
        if isinstance(annotation, str | ForwardRef):
            if isinstance(parameter.default, Depends):
                continue
            raise RouteFault(
                f"{where}: the annotation cannot be evaluated, and FastAPI would overlook a protect() in it. Define "
                "what it names at module level, leave out `from __future__ import annotations`, or write the need as "
                "a default: `name: Type = protect(need)`"
            )
        if declared is not None and declared.need.resource == resource and need is not None:
            _check_type(annotation, need, where)


def _taken_apart(parameter: inspect.Parameter) -> tuple[Any, Protect | None]:
    annotation, found = parameter.annotation, [parameter.default]
    if typing.get_origin(annotation) is Annotated:
        annotation, *marks = typing.get_args(annotation)
        found += marks
    declared = [mark.dependency for mark in found if isinstance(mark, Depends)]
    return annotation, next((call for call in declared if isinstance(call, Protect)), None)


def _check_type(annotation: Any, need: Need, where: str) -> None:
    union = typing.get_origin(annotation) in (Union, types.UnionType)
    named = typing.get_args(annotation) if union else (annotation,)
    if Any in named or inspect.Parameter.empty in named:
        return
    accepted = tuple(kind for kind in named if isinstance(kind, type))
    missing = [kind.__name__ for kind in need.callers if not issubclass(kind, accepted)]
    if missing:
        given = " | ".join(kind.__name__ for kind in need.callers)
        raise RouteFault(f"{where}: its need is met by {given}, so its type must take {' and '.join(missing)} as well")
