"""Where a person's browser goes back to: the agent's callback, if its provider names it (draft-11 §7.3, §11.1.2)."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

from .protocol.identifiers import NO_LOOPBACK, InvalidIdentifier, LoopbackProfile, check_endpoint, origin_of
from .protocol.metadata import Metadata

MAX_CALLBACK: Final = 2048
_LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1")

CallbackError = Literal[
    "access_denied", "user_abandoned", "server_error", "temporarily_unavailable", "interaction_expired"
]
"""Table 6 (draft-11 §7.3.1)."""


class CallbackRefused(ValueError):
    """A callback that its agent may not name; nobody is sent there."""


def check_callback(callback: str, provider: Metadata) -> str:
    """`callback`, if it is the provider's `callback_endpoint`, or loopback where the provider allows that (§11.2.1).

    Raises `CallbackRefused`.
    """
    if len(callback) > MAX_CALLBACK or not callback.isascii() or not callback.isprintable() or " " in callback:
        raise CallbackRefused("the callback is not a URL of bounded length")
    if callback == provider.endpoint("callback_endpoint"):
        return callback
    if provider.flag("localhost_callback_allowed") and _is_loopback(callback):
        return callback
    raise CallbackRefused("the callback is not one that the agent's provider names")


def is_callback_of(callback: str, server: str, loopback: LoopbackProfile = NO_LOOPBACK) -> bool:
    """Whether `callback` is a URL of `server`, a person server that sends its own people (draft-11 §7.2.3)."""
    try:
        check_endpoint(callback, server, loopback, query=True)
        return origin_of(callback) == server
    except InvalidIdentifier:
        return False


def _is_loopback(callback: str) -> bool:
    """`http://localhost` or `http://127.0.0.1`, any port (draft-11 §11.1.2)."""
    if any(character in callback for character in '\\"<>`{}|^#'):
        return False
    try:
        parts = urlsplit(callback)
        port = parts.port
    except ValueError:
        return False
    expected = {f"{host}{'' if port is None else f':{port}'}" for host in _LOOPBACK_HOSTS}
    return parts.scheme == "http" and parts.netloc in expected


def with_error(callback: str, error: CallbackError | None) -> str:
    """Where to send the browser: the callback, with what went wrong if something did (draft-11 §7.3.1)."""
    if error is None:
        return callback
    return f"{callback}{'&' if '?' in callback else '?'}error={error}"
