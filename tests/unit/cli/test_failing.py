"""A failure that was foreseen ends in one line and a next step; a fault of our own keeps its traceback."""

from __future__ import annotations

import httpx2
import pytest

from aauthkit.agent import Denied, ScopeReduced
from aauthkit.cli.failing import CalledWrongly, CommandError, explain
from aauthkit.cli.stopping import Stopped, stoppable
from aauthkit.egress import EgressError
from aauthkit.supervision import SupervisionError

REQUEST = httpx2.Request("GET", "https://api.example/orders")


def test_an_error_of_the_product_is_its_own_text() -> None:
    failure = explain(ScopeReduced(frozenset({"a", "b"}), frozenset({"a"})))
    assert failure is not None
    assert failure.kind == "ScopeReduced"
    assert "does not open this route" in str(failure)


def test_the_end_of_a_log_keeps_its_lines() -> None:
    failure = explain(SupervisionError("person ended at once:\nfirst\n\x1b[2Jsecond"))
    assert str(failure) == "person ended at once:\nfirst\n\\x1b[2Jsecond"


def test_what_the_other_party_says_is_beside_it_and_harmless() -> None:
    failure = explain(Denied("https://ps.example", 403, "denied", "\x1b[2Jbecause", "the person declined the request"))
    assert failure is not None
    assert failure.hint == "it says: \\x1b[2Jbecause"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            httpx2.ConnectError("all attempts failed", request=REQUEST),
            "https://api.example/orders: no connection (all attempts failed)",
        ),
        (httpx2.ReadTimeout("", request=REQUEST), "https://api.example/orders: no answer in time"),
        (httpx2.ReadError("", request=REQUEST), "https://api.example/orders: the connection broke"),
        (httpx2.RemoteProtocolError("RemoteProtocolError"), "the answer is not HTTP as it should be"),
        (httpx2.InvalidURL("bad"), "not a URL (bad)"),
        (EgressError("no connection to api.example", "unreachable"), "no connection to api.example"),
        (FileNotFoundError(2, "No such file or directory", "/nope"), "/nope: No such file or directory"),
        (NotADirectoryError(20, "Not a directory", "/x/y"), "/x/y: Not a directory"),
        (ModuleNotFoundError("no", name="jinja2"), "the library 'jinja2' is not installed"),
    ],
)
def test_what_goes_wrong_outside_is_said_in_one_line(error: Exception, said: str) -> None:
    failure = explain(error)
    assert failure is not None
    assert str(failure) == said
    assert "\n" not in str(failure)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), AssertionError(), ModuleNotFoundError("no", name="aauthkit.nonsense")]
)
def test_a_fault_of_our_own_is_not_explained_away(error: Exception) -> None:
    assert explain(error) is None


def test_called_wrongly_has_an_exit_code_of_its_own() -> None:
    assert (CommandError("x").exit_code, CalledWrongly("x").exit_code) == (1, 2)
    assert CalledWrongly("x", "y").as_json() == {"error": {"kind": "usage", "message": "x", "hint": "y"}}


def test_a_signal_ends_a_block_and_is_what_it_was_before() -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stopped, stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert stopped.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    import signal

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
