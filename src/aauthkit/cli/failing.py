"""How a command fails: in one line that says what happened, and one that says what to do next."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final

from ..inspection import plain

_NETWORK: Final = {
    "ConnectError": "no connection",
    "RemoteProtocolError": "the answer is not HTTP as it should be",
    "LocalProtocolError": "the request is not HTTP as it should be",
    "InvalidURL": "not a URL",
    "DecodingError": "the body is not in the encoding it names",
    "TooManyRedirects": "too many redirects",
}
"""What a failure of the HTTP client means, by the name of its class; others by what they descend from."""


class CommandError(Exception):
    """A command that cannot be done. `hint` is the next step, `kind` names the failure for a program."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, kind: str = "failed") -> None:
        super().__init__(message)
        self.hint = hint
        self.kind = kind

    def as_json(self) -> dict[str, Any]:
        """The failure for a program."""
        return {"error": {"kind": self.kind, "message": str(self), "hint": self.hint}}


SERVERS: Final = ("argon2", "h11", "jinja2", "markdown_it", "msgspec", "nh3", "segno", "uvicorn")
"""The libraries of the extra `server` that no server starts without."""


def need(extra: str, *libraries: str) -> None:
    """Return if these libraries are installed. Raises `CommandError` that names the extra which brings them."""
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"this needs libraries that are not installed: {', '.join(missing)}",
            f"pip install 'aauthkit[{extra}]'",
            kind="MissingLibrary",
        )


class CalledWrongly(CommandError):
    """A command whose options do not go together or make no sense."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, kind="usage")


def explain(error: Exception) -> CommandError | None:
    """A failure that was foreseen as a `CommandError`; `None` for a fault of our own, which keeps its traceback."""
    if isinstance(error, CommandError):
        return error
    name, room = type(error).__name__, type(error).__module__.partition(".")[0]
    if room == "aauthkit" and not isinstance(error, AssertionError):
        text = "\n".join(plain(line) for line in str(error).splitlines())  # the end of a log has several
        return CommandError(text, _said(error), kind=name)
    if room == "httpx2":
        return _network(error, name)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("aauthkit"):
        return CommandError(
            f"the library {error.name!r} is not installed",
            "pip install 'aauthkit[demo]' brings all that commands use",
            kind="MissingLibrary",
        )
    if isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return CommandError(text, kind=name)
    return None


def _said(error: Exception) -> str:
    """What the other party gave as the reason, which is its own words and no more."""
    detail = getattr(error, "detail", None)
    return f"it says: {plain(detail)}" if isinstance(detail, str) and detail and detail not in str(error) else ""


def _network(error: Exception, name: str) -> CommandError:
    ancestors = [kind.__name__ for kind in type(error).__mro__]
    if "TimeoutException" in ancestors:
        what = "no answer in time"
    elif name not in _NETWORK and "NetworkError" in ancestors:
        what = "the connection broke"
    else:
        what = _NETWORK.get(name, "the request failed")
    text = plain(str(error))
    reason = what if text in ("", name) else f"{what} ({text})"
    with suppress(RuntimeError, AttributeError):  # a failure from before there was a request
        reason = f"{getattr(error, 'request').url}: {reason}"  # noqa: B009 - a property of httpx2's own errors
    hint = "check the address, and that the server is running" if what != _NETWORK["LocalProtocolError"] else ""
    return CommandError(reason, hint, kind=name)
