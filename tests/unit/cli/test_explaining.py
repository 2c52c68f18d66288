"""`aauthkit explain` and `aauthkit doctor` as they are typed: what they read, what they print, how they exit."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from aauthkit.cli import main
from aauthkit.keys import KeyFile
from tests.unit.explaining.recording import FOLDER, OTHER_KEY

HERE = ("--identifier", "https://api.example", "--at", "1795000000")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AAUTHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AAUTHKIT_EGRESS", raising=False)


def ran(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(words)
    told = capsys.readouterr()
    return code, told.out, told.err


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_cause_is_told_first_then_its_mend_then_the_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran("explain", str(FOLDER / "prefix-stripped.http"), *HERE, capsys=capsys)
    cause, mend, *rest = out.splitlines()
    assert code == 1
    assert cause == "✗ @path was signed as /api/v1/orders; the server saw /orders. [path.prefix, certain]"
    assert mend.startswith("  → Tell the server what its proxy strips, path_prefix=")
    assert any("← as it was signed" in line for line in rest)


def test_a_request_that_verifies_exits_with_zero_also_from_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, (FOLDER / "verifies-post.http").read_bytes())
    code, out, _ = ran("explain", "-", *HERE, capsys=capsys)
    assert (code, out.splitlines()[0]) == (0, "✓ The signature verifies.")


def test_a_program_gets_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran("explain", str(FOLDER / "two-query-and-port.http"), *HERE, "--json", capsys=capsys)
    document = json.loads(out)
    assert (code, document["verifies"], document["cause"]) == (1, False, "authority.port")
    assert [each["cause"] for each in document["causes"]] == ["authority.port", "query.order"]
    assert document["signed"] == {'"@authority"': "api.example:8443", '"@query"': "?b=2&a=1"}


def test_what_the_server_saw_and_what_signed_can_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "other.json"
    keys.write_text(json.dumps({"keys": [OTHER_KEY.public.jwk]}))
    code, out, _ = ran("explain", str(FOLDER / "another-key.http"), *HERE, "--keys", str(keys), capsys=capsys)
    assert code == 1 and f"Signed by the key {OTHER_KEY.kid}" in " ".join(out.split())
    target = ("--target", "/v2/orders", "--require", "Content-Type")
    code, out, _ = ran("explain", str(FOLDER / "verifies.http"), *HERE, *target, capsys=capsys)
    assert "does not cover content-type" in out and "the server saw /v2/orders" in out


def test_both_bases_stand_side_by_side_with_the_first_difference_marked(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("--signer-base", str(FOLDER / "signers-base.base"))
    _, out, _ = ran("explain", str(FOLDER / "signers-base.http"), *HERE, *base, capsys=capsys)
    marked = [line for line in out.splitlines() if "the first difference, at character 1" in line]
    assert len(marked) == 1 and marked[0].startswith('  - "@authority"')


def test_without_a_time_the_clock_is_not_judged_and_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran("explain", str(FOLDER / "clock-behind.http"), *HERE[:2], capsys=capsys)
    assert code == 0 and "--at says what its clock showed" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain", "nowhere.http"), "No such file"),
        (("explain", str(FOLDER / "cases.json")), "`method`"),
        (("explain", str(FOLDER / "verifies.http"), "--at", "noon"), "is no time"),
        (("explain", str(FOLDER / "verifies.http"), "--target", "orders"), "begins with a slash"),
        (("explain", str(FOLDER / "verifies.http"), "--identifier", "api"), "no http or https URL"),
        (("explain", str(FOLDER / "verifies.http"), "--keys", str(FOLDER / "verifies.http")), "verifies.http"),
        (("doctor", "agent"), "which agent?"),
        (("doctor", "resource"), "which resource?"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = ran(*words, capsys=capsys)
    assert code in (1, 2) and said in error


# doctor


def test_the_doctor_looks_at_this_machine_where_there_is_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran("doctor", capsys=capsys)
    assert code == 0
    assert out.splitlines()[0] == "this machine" and out.splitlines()[-1] == "well"


def test_the_doctor_looks_at_a_key_file_and_at_a_server_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "api.jwks"
    KeyFile(path)
    os.chmod(path, 0o640)
    code, out, _ = ran("doctor", "resource", "http://api.example", "--keys", str(path), "--json", capsys=capsys)
    machine, keys, server = json.loads(out)["examined"]
    assert (code, machine["well"], keys["well"], server["well"]) == (1, True, False, False)
    assert keys["findings"][0]["mend"] == f"chmod 600 {path}"
    assert server["findings"][0]["about"] == "identifier"
