"""Small things an agent is made of: resources by URL, requests as values, errors, profiles; what an import costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from aauthkit.agent import (
    AAuthError,
    Denied,
    NoResourceIdentifier,
    PendingGone,
    RequestRefused,
    ScopeReduced,
    SignatureRefused,
    UnsupportedRequirement,
)
from aauthkit.agent import errors as errors_module
from aauthkit.agent.errors import detail_of, refusal
from aauthkit.agent.messages import Original
from aauthkit.agent.origins import resource_of
from aauthkit.agent.profiles import MAX_COMPONENTS, Profile, Profiles
from aauthkit.protocol.identifiers import NO_LOOPBACK, LoopbackProfile
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import Problem

LOOPBACK = LoopbackProfile(frozenset({"http://api.localhost:8700"}))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example/orders?x=1", "https://api.example"),
        ("https://API.example:443/", "https://api.example"),
        ("https://user:secret@api.example/", "https://api.example"),
        ("http://api.localhost:8700/orders", "http://api.localhost:8700"),
    ],
)
def test_a_url_belongs_to_the_resource_of_its_host(url: str, expected: str) -> None:
    """§11.1.1, and the loopback profile."""
    assert resource_of(url, LOOPBACK) == expected


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://api.example:8443/", "names a port"),
        ("http://api.example/", "use https"),
        ("http://api.localhost:8701/", "loopback profile"),
        ("http://user:secret@api.example/", "use https"),
        ("https://10.0.0.1/", "not the name of a resource"),
        ("/orders", "not the name of a resource"),
    ],
)
def test_a_url_without_a_resource_says_why_and_what_to_do(url: str, says: str) -> None:
    """The message holds no password."""
    with pytest.raises(NoResourceIdentifier, match=says) as raised:
        resource_of(url, LOOPBACK)
    assert "secret" not in str(raised.value)
    with pytest.raises(NoResourceIdentifier):
        resource_of("http://api.localhost:8700/", NO_LOOPBACK)


def request(method: str, body: bytes = b"", *headers: tuple[str, str]) -> Original:
    return Original(method, "https", "api.example", "/orders?x=1", (("host", "api.example"), *headers), body)


def test_a_message_has_its_own_length_and_no_foreign_signature() -> None:
    fields = [("transfer-encoding", "chunked"), ("content-length", "9"), ("signature", "a"), ("signature-key", "b")]
    message = request("POST", b"abc", *fields, ("accept", "x")).unsigned()
    assert message.headers == (("host", "api.example"), ("accept", "x"), ("content-length", "3"))
    assert request("GET").unsigned().values("content-length") == []
    assert request("PUT").unsigned().values("content-length") == ["0"]


def test_a_poll_keeps_the_fields_that_are_not_about_the_body() -> None:
    """§11.8.3: GET, and the body is not sent again."""
    fields = [("content-type", "a/b"), ("if-match", "x"), ("expect", "100-continue"), ("accept", "x"), ("cookie", "c")]
    poll = request("POST", b"abc", *fields).poll("https://api.example/pending/1?k=2", 45)
    assert (poll.method, poll.target) == ("GET", "/pending/1?k=2")
    assert [name for name, _ in poll.headers] == ["host", "accept", "cookie", "prefer"]


def test_safe_methods_are_those_of_http() -> None:
    assert [request(method).safe for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE")] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("kind", [kind for kind in vars(errors_module).values() if isinstance(kind, type)])
def test_every_error_of_the_room_is_an_aauth_error(kind: type) -> None:
    if issubclass(kind, Exception) and kind.__module__ == errors_module.__name__:
        assert issubclass(kind, AAuthError)


def test_a_refusal_is_told_by_its_error_member() -> None:
    """§11.9.2."""
    error = refusal("https://person.example", Problem("denied", "The user declined.").answer())
    assert isinstance(error, Denied)
    assert (error.code, error.status, error.detail) == ("denied", 403, "The user declined.")
    assert str(error) == "https://person.example answered 403 denied: the person declined the request"


@pytest.mark.parametrize("error", ["<script>", "x" * 100, 7, None, "a\nb"])
def test_an_error_member_that_is_no_code_is_not_repeated(error: object) -> None:
    answer = Answer(400, (), json.dumps({"error": error}).encode())
    assert refusal("https://person.example", answer).code == ""


def test_a_bare_410_is_gone() -> None:
    assert isinstance(refusal("x", Answer(410)), PendingGone)
    assert type(refusal("x", Answer(500))) is RequestRefused


def test_details_lose_what_looks_like_a_token() -> None:
    assert detail_of("see eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJ4In0.c2ln now") == "see … now"
    assert detail_of(7) == ""


def test_messages_name_scopes_in_a_stable_order() -> None:
    error = ScopeReduced(frozenset({"b", "a"}), frozenset())
    assert str(error).startswith("a b was asked for and no scope was granted")


def test_foreign_values_do_not_reach_a_message() -> None:
    assert "\x1b" not in str(UnsupportedRequirement("\x1b[2J", 401, "https://api.example"))
    assert SignatureRefused("<b>", "x").code == "unknown"


def test_what_a_resource_wants_covered_is_remembered_and_bounded() -> None:
    """§11.3.3.1."""
    profiles = Profiles()
    profiles._known["r"] = Profile(components=("content-type",), until=10)
    profiles.learn("r", ["accept", "content-type"])
    assert profiles.components("r") == ("content-type", "accept")
    profiles.learn("r", [f"x-{number}" for number in range(100)])
    assert len(profiles.components("r")) == MAX_COMPONENTS


def test_a_profile_is_read_again_after_its_time() -> None:
    profiles = Profiles()
    profiles._known["r"] = Profile(until=10)
    assert profiles.get("r", 9) is not None
    assert profiles.get("r", 10) is None


def test_paths_that_want_the_agent_token_are_remembered_and_forgotten_and_bounded() -> None:
    profiles = Profiles()
    profiles.note_path("r", "/a", agent=True)
    assert profiles.wants_agent("r", "/a")
    profiles.note_path("r", "/a", agent=False)
    assert not profiles.wants_agent("r", "/a")
    for number in range(5000):
        profiles.note_path("r", f"/{number}", agent=True)
    assert len(profiles._agent_paths) == 4096


def test_importing_the_room_imports_no_http_library() -> None:
    """It comes with the first client."""
    program = "import sys, aauthkit.agent; print([name for name in ('httpx2', 'httpcore2') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
