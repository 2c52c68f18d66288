"""Servers as processes: where they listen, how they end, and that none outlives its supervisor (F72, F87, F89)."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aauthkit.protocol.identifiers import NO_LOOPBACK, LoopbackProfile
from aauthkit.running import Listen, RunningError, check_listen, run_server
from aauthkit.supervision import SupervisionError, Supervisor, free_port
from tests.unit.processes import MODULE, PROJECT, Mirror, listens

PROFILE = LoopbackProfile(frozenset({"http://person.localhost:8702"}))
PATIENCE = 30.0
"""Seconds after which what should have happened has not."""


def eventually(happened: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def http(port: int, request: str) -> bytes:
    """What a server answers to these very bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def get(port: int, target: str, *headers: str) -> dict[str, Any]:
    lines = "".join(f"{line}\n" for line in headers)
    head, _, body = http(port, f"GET {target} HTTP/1.1\nhost: x\nconnection: close\n{lines}\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    said: dict[str, Any] = json.loads(body)
    return said


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `tests.unit.processes`; what it says on both streams is one."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *arguments],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def served(start: Start, *options: str) -> tuple[subprocess.Popen[bytes], int]:
    """A server that is up."""
    port = free_port(0)
    process = start("serve", str(port), *options)
    assert eventually(lambda: listens(port) or process.poll() is not None)
    assert process.poll() is None
    return process, port


def rest(process: subprocess.Popen[bytes]) -> str:
    """What a process still says, to its end."""
    said, _ = process.communicate(timeout=PATIENCE)
    return said.decode()


# Where a server listens.


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("8701", Listen("127.0.0.1", 8701)),
        (":8701", Listen("127.0.0.1", 8701)),
        ("0.0.0.0:80", Listen("0.0.0.0", 80)),
        ("[::1]:8701", Listen("::1", 8701)),
        ("ps.internal:65535", Listen("ps.internal", 65535)),
    ],
)
def test_where_to_listen_is_read(text: str, listen: Listen) -> None:
    assert Listen.parse(text) == listen


@pytest.mark.parametrize("text", ["", "host", "host:", "host:0", "host:65536", "host:-1", "host:8x", "host:٣"])
def test_what_names_no_port_is_refused(text: str) -> None:
    with pytest.raises(RunningError, match="port"):
        Listen.parse(text)


def test_f72_a_server_listens_on_loopback_unless_told_otherwise() -> None:
    """F72, house rule."""
    assert Listen().is_loopback
    assert Listen.parse("8701").is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_under_the_loopback_profile_nothing_else_is_bound(host: str, loopback: bool) -> None:
    """design.md: the profile admits http, so nobody elsewhere may reach it."""
    assert Listen(host, 1).is_loopback is loopback
    check_listen(Listen(host, 1), NO_LOOPBACK)
    if loopback:
        check_listen(Listen(host, 1), PROFILE)
    else:
        with pytest.raises(RunningError, match="loopback profile is on"):
            check_listen(Listen(host, 1), PROFILE)


class Untouched(Mirror):
    """A server that must not be started."""

    async def start(self) -> None:
        raise AssertionError("started")


def test_a_non_loopback_bind_under_the_profile_is_refused_before_anything_starts() -> None:
    port = free_port(0)
    with pytest.raises(RunningError, match=r"0\.0\.0\.0 is refused"):
        run_server(Untouched(), Listen("0.0.0.0", port), loopback=PROFILE)
    assert not listens(port)


def test_a_port_in_use_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RunningError, match=f"127.0.0.1:{port}.*something else running"):
            run_server(Untouched(), Listen("127.0.0.1", port), loopback=NO_LOOPBACK)


def test_an_address_that_is_not_this_machine_s_is_told() -> None:
    with pytest.raises(RunningError, match=r"could not listen on 192\.0\.2\.1"):
        run_server(Untouched(), Listen("192.0.2.1", 8701), loopback=NO_LOOPBACK)


def test_a_server_that_does_not_start_says_why_and_nobody_took_it_for_ready() -> None:
    port = free_port(0)
    seen: list[bool] = []

    class Failing(Mirror):
        async def start(self) -> None:
            seen.append(listens(port))
            raise ValueError("there is no key")

    with pytest.raises(RunningError, match="did not start: there is no key"):
        run_server(Failing(), Listen("127.0.0.1", port), loopback=NO_LOOPBACK)
    assert seen == [False]
    assert not listens(port)


def test_without_uvicorn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(RunningError, match=r"aauthkit\[server\]"):
        run_server(Untouched(), Listen(), loopback=NO_LOOPBACK)


# What it serves, and what it logs.


def test_a_target_arrives_as_it_was_sent(start: Start) -> None:
    _, port = served(start)
    for target in ("/a%2Fb;x=1//../c?q=1&&", "//evil.example/", "/?"):
        assert get(port, target)["target"] == target.removesuffix("?")


def test_f89_no_header_says_who_sent_a_request(start: Start) -> None:
    """F89: forwarding headers are anybody's."""
    _, port = served(start)
    said = get(port, "/", "x-forwarded-for: 192.0.2.9", "forwarded: for=192.0.2.9", "x-forwarded-proto: https")
    assert said["peer"] == "127.0.0.1"


def test_f87_no_request_line_and_no_server_is_shown(start: Start) -> None:
    """F87: an interaction code stands in a query."""
    process, port = served(start, "watch")
    answer = http(port, "GET /i?code=A1B2-C3D4 HTTP/1.1\nhost: x\nauthorization: secret\nconnection: close\n\n")
    assert b"\r\nserver:" not in answer.lower()
    assert b"\r\ndate:" in answer.lower()
    assert http(port, "GET /fault?code=A1B2-C3D4 HTTP/1.1\nhost: x\nconnection: close\n\n").startswith(b"HTTP/1.1 500")
    said = rest(process)
    assert f"serving on 127.0.0.1 port {port}" in said
    assert "A1B2" not in said
    assert "secret" not in said


# How it ends.


def test_a_server_ends_with_its_parent_s_pipe(start: Start) -> None:
    process, port = served(start, "watch")
    said = rest(process)  # closes its input
    assert process.returncode == 0
    assert "closed" in said
    assert not listens(port)


def test_a_server_that_does_not_watch_goes_on_until_it_is_told(start: Start) -> None:
    process, port = served(start)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    assert get(port, "/")["pid"] == process.pid
    process.send_signal(signal.SIGTERM)
    assert "closed" in rest(process)
    assert not listens(port)


@pytest.mark.parametrize("options", [(), ("stuck",)])
def test_neither_a_held_poll_nor_a_stuck_handler_keeps_a_server_alive(start: Start, options: tuple[str, ...]) -> None:
    process, port = served(start, "watch", *options)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n")
        assert process.stdout is not None
        while b"hanging" not in process.stdout.readline():
            pass
        said = rest(process)
    assert process.returncode == 0
    assert ("closed" in said) is not ("stuck" in options)
    assert not listens(port)


def test_a_server_whose_input_is_gone_from_the_start_does_not_stay(start: Start) -> None:
    port = free_port(0)
    process = subprocess.run(
        [sys.executable, "-m", MODULE, "serve", str(port), "watch"],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert process.returncode == 0


# Several, under a supervisor.


def serve_arguments(port: int) -> tuple[str, ...]:
    return (MODULE, "serve", str(port), "watch")


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


@pytest.mark.usefixtures("in_project")
def test_a_supervisor_starts_waits_and_ends_its_servers(tmp_path: Path) -> None:
    ports = [free_port(0), free_port(0)]
    with Supervisor(tmp_path / "logs") as supervisor:
        children = [
            supervisor.start(f"s{port}", serve_arguments(port), port=port, environment={"COLOUR": "green"})
            for port in ports
        ]
        supervisor.wait_ready()
        for child in children:
            said = get(child.port, "/")
            assert (said["pid"], said["colour"]) == (child.process.pid, "green")
        assert supervisor.ended() is None
        children[0].process.kill()
        assert eventually(lambda: supervisor.ended() is children[0])
    assert not any(listens(port) for port in ports)
    assert children[1].process.returncode == 0
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert "Finished" in children[1].tail(1)
    assert "closed" in children[1].log.read_text()


def supervised(start: Start, folder: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A supervisor of two servers that are up."""
    ports = [free_port(0), free_port(0)]
    process = start("supervise", str(folder), *map(str, ports))
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"ready")
    assert all(listens(port) for port in ports)
    return process, ports


def test_kill_9_of_the_supervisor_ends_its_servers(start: Start, tmp_path: Path) -> None:
    process, ports = supervised(start, tmp_path)
    process.kill()
    process.wait()
    assert eventually(lambda: not any(listens(port) for port in ports))
    for log in tmp_path.glob("*.log"):
        assert eventually(lambda log=log: "closed" in log.read_text())  # type: ignore[misc]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_plain_kill_end_all_of_it(start: Start, tmp_path: Path, how: signal.Signals) -> None:
    process, ports = supervised(start, tmp_path)
    process.send_signal(how)
    process.wait(PATIENCE)
    assert eventually(lambda: not any(listens(port) for port in ports))


@pytest.mark.usefixtures("in_project")
def test_a_port_in_use_is_told_by_name_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, Supervisor(tmp_path) as supervisor:
        port = other.getsockname()[1]
        with pytest.raises(SupervisionError, match=f"port {port}, where person should listen, is in use"):
            supervisor.start("person", serve_arguments(port), port=port, environment={})
        assert supervisor.children == []


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize("taken", [False, True])
def test_a_server_that_ends_at_once_is_told_with_its_log(tmp_path: Path, taken: bool) -> None:
    """Also where somebody else listens on its port by now."""
    port = free_port(0)
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("person", (MODULE, "crash"), port=port, environment={})
        if taken:
            child.process.wait(PATIENCE)
        with socket.create_server(("127.0.0.1", port if taken else 0)), pytest.raises(SupervisionError) as caught:
            supervisor.wait_ready()
    assert "person ended at once" in str(caught.value)
    assert "no such luck" in str(caught.value)


@pytest.mark.usefixtures("in_project")
def test_a_server_that_does_not_come_up_is_told_and_ended_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aauthkit.supervision.READY_WITHIN", 0.1)
    monkeypatch.setattr("aauthkit.supervision.GRACE", -1.9)
    port = free_port(0)
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("person", (MODULE, "silent"), port=port, environment={})
        with pytest.raises(SupervisionError, match=f"person does not listen on port {port}"):
            supervisor.wait_ready()
    assert child.process.returncode == -signal.SIGKILL


def test_a_preferred_port_is_taken_if_it_is_free() -> None:
    port = free_port(0)
    assert free_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert free_port(port) not in (port, 0)
