"""A resource in a Flask application: a view says what it needs, and asks for its caller.

@app.get("/who")
@protect(resource.agent())
def who(): return caller().sub

install(app, resource)
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from ..callers import Caller
from ..protocol.messages import Refusal
from ..protocol.problems import Problem
from .environs import Environ
from .needs import Need
from .server import Resource
from .wsgi import AAuthWsgi, admitted

log = logging.getLogger("aauthkit.resource")

NEED: Final = "__aauth_need__"
View = TypeVar("View", bound=Callable[..., Any])


def protect(need: Need) -> Callable[[View], View]:
    """Declares what a view needs; it stands next to the function, below the route. A view reached undecided is 500."""

    def declare(view: View) -> View:
        @functools.wraps(view)
        def guarded(*args: Any, **names: Any) -> Any:
            decided = admitted(request.environ)
            if not need.is_open and (decided is None or not decided.need.includes(need)):
                log.error("a protected view of %s was reached undecided: is install() missing?", need.resource)
                raise Problem("server_error")
            return view(*args, **names)

        setattr(guarded, NEED, need)
        return guarded  # type: ignore[return-value]

    return declare


def caller() -> Caller:
    """Who sent the request to a protected view. Raises `Problem` 500 where nothing was decided."""
    decided = admitted(request.environ)
    if decided is None:
        log.error("a view asks for its caller, and none was decided")
        raise Problem("server_error")
    return decided.caller


def install(app: Flask, resource: Resource, *, default: Need | None = None) -> AAuthWsgi:
    """Put `resource` in front of `app`. `default` is needed by what declares nothing; without it that is public.

    A `Refusal` that a view raises becomes its answer. Gives the middleware, to close it with the process.
    """
    middleware = AAuthWsgi(app.wsgi_app, resource, ViewNeeds(app, default))
    app.wsgi_app = middleware  # type: ignore[method-assign]
    app.register_error_handler(Refusal, _answered)
    return middleware


class ViewNeeds:
    """Which need an environment has, by the very matching that Flask will do."""

    def __init__(self, app: Flask, default: Need | None = None) -> None:
        self._app = app
        self._default = default

    def __call__(self, environ: Environ) -> Need | None:
        """The need of the view that will serve this, else the default."""
        try:
            endpoint, _ = self._app.url_map.bind_to_environ(environ).match()
        except HTTPException:  # 404, 405, or a redirect: no view runs
            return self._default
        need = getattr(self._app.view_functions.get(endpoint), NEED, None)
        return need if isinstance(need, Need) else self._default


def _answered(refusal: Refusal) -> Response:
    answer = refusal.answer()
    return Response(answer.body, status=answer.status, headers=[*answer.headers])
