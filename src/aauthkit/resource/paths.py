"""Needs by path, for an application whose own routing says nothing of them: one table, and what it does not name."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from .needs import Need

_NAME = re.compile(r"\{(\w+)(:path)?\}")


class PathNeeds:
    """Which need a request has, by its decoded path below the mount: `{"GET /orders/{id}": need, "/public": open}`.

    A line without a method is for every method; the first that matches counts, and `default` is for whatever no line
    names. `{name}` is one segment, `{name:path}` any number. A path that the application reads more loosely than this
    table (another case, a trailing slash) has the `default`, which is why that is never open by itself.
    """

    def __init__(self, table: Mapping[str, Need], *, default: Need) -> None:
        self._default = default
        self._lines = [(*_read(line), need) for line, need in table.items()]

    def __call__(self, scope: MutableMapping[str, Any]) -> Need:
        """The need of an ASGI scope."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        within = path[len(root) :] if root and path.startswith(f"{root}/") else path
        return self.of(scope.get("method", "GET"), within)

    def in_environ(self, environ: Mapping[str, Any]) -> Need:
        """The need of a WSGI environment."""
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        return self.of(environ["REQUEST_METHOD"], path or "/")

    def of(self, method: str, path: str) -> Need:
        """The need of this method at this path."""
        for verb, pattern, need in self._lines:
            if verb in (None, method) and pattern.fullmatch(path):
                return need
        return self._default


def _read(line: str) -> tuple[str | None, re.Pattern[str]]:
    verb, space, path = line.rpartition(" ")
    if not path.startswith("/") or (space and not verb.isupper()):
        raise ValueError(f"{line!r} is not `/path` or `METHOD /path`")
    pattern, at = "", 0
    for name in _NAME.finditer(path):
        pattern += re.escape(path[at : name.start()]) + (".+" if name[2] else "[^/]+")
        at = name.end()
    return verb or None, re.compile(pattern + re.escape(path[at:]), re.DOTALL)
