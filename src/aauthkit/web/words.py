"""What a person reads instead of a refusal: what happened, what was not done, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..accounts.throttle import in_words
from ..protocol.problems import Problem, WireError


@dataclass(frozen=True, slots=True)
class Words:
    """One error page. Each is a sentence or two of ours, never a stranger's text."""

    title: str
    happened: str
    not_done: str
    to_do: str


_NOTHING_CHANGED: Final = "Nothing was decided and nothing was changed."

_WORDS: Final[dict[str, Words]] = {
    "not_found": Words(
        "There is nothing here",
        "This page does not exist, or it is not yours to see.",
        _NOTHING_CHANGED,
        "If an agent sent you here, ask it for a new link. Otherwise go to the start page.",
    ),
    "access_denied": Words(
        "This form was not accepted",
        "It was not sent from a page that this browser has open here, or you have signed in or out since.",
        _NOTHING_CHANGED,
        "Go back, load the page again, and try once more.",
    ),
    "invalid_code": Words(
        "This link has been used",
        "The code in it is not known, or it was used already. A code works once.",
        _NOTHING_CHANGED,
        "Look at the page that is open already, or let the agent ask again.",
    ),
    "gone": Words(
        "This is over",
        "The request was decided already, was withdrawn by the agent, or has run out.",
        "What you just chose was not used; an earlier decision stands.",
        "There is nothing more to do. If the agent still needs something, it will ask again.",
    ),
    "expired": Words(
        "This request has run out",
        "Nobody decided in time.",
        "The agent got nothing.",
        "If you still want it, let the agent ask again.",
    ),
    "rate_limited": Words(
        "Too many attempts",
        "There were more attempts than we accept in a short time.",
        "This one was not looked at.",
        "Wait a little and try again.",
    ),
    "method_not_allowed": Words(
        "This cannot be opened this way",
        "The address is part of a form and has no page of its own.",
        _NOTHING_CHANGED,
        "Go back to the page you came from.",
    ),
    "payload_too_large": Words(
        "That was too much",
        "What was sent is larger than this page takes.",
        _NOTHING_CHANGED,
        "Go back and send less.",
    ),
    "server_error": Words(
        "Something went wrong here",
        "The fault is ours, and it is on record.",
        "What you asked for may not have been done.",
        "Try again in a minute. If it goes on, tell whoever runs this server.",
    ),
}

_OTHERWISE: Final = Words(
    "This did not work",
    "The request was not one that this page understands.",
    _NOTHING_CHANGED,
    "Go back and try again.",
)


def words_for(error: WireError) -> Words:
    """The page for a refusal. Its `detail` is for developers and not shown."""
    words = _WORDS.get(error.code, _OTHERWISE)
    wait = error.retry_after if isinstance(error, Problem) else None
    if wait is None:
        return words
    return Words(words.title, words.happened, words.not_done, f"Try again in {in_words(wait)}.")
