"""`aauthkit vectors`: choosing, measuring a program, judging, and the three reports."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from aauthkit.cli import main
from aauthkit.conformance import Vector, commands, differences, load
from aauthkit.conformance.reports import as_json, junit, table
from aauthkit.conformance.results import Result
from tests.plugins.machine import PROJECT

ADAPTER = PROJECT / "vectors" / "adapters" / "http_message_signatures_base.py"
REFUSED = {"error": {"code": "invalid_jwt", "also": ["unknown_key"], "status": 401}}


def program(tmp_path: Path, body: str) -> str:
    """A command whose answer is what `body` prints; `vector` is what it was given."""
    script = tmp_path / "program.py"
    script.write_text(f"import json, sys\nvector = json.load(sys.stdin)\n{body}\n")
    return f"{sys.executable} {script}"


def one(tmp_path: Path, body: str, id: str = "digest-sha-256", **options: Any) -> Result:
    (result,) = commands.run(load().select(ids=[id]), program(tmp_path, body), **options)
    return result


# What an answer is worth


@pytest.mark.parametrize(
    ("expected", "answer", "wrong"),
    [
        ({"result": {"a": 1}}, {"result": {"a": 1, "b": 2}}, []),
        ({"result": {"a": 1}}, {"result": {}}, []),
        ({"result": {"a": 1}}, {"result": {"a": True}}, ["result.a is True, and must be 1"]),
        ({"result": {"a": [1]}}, {"result": {"a": [1, 2]}}, ["result.a is [1, 2], and must be [1]"]),
        ({"result": {}}, {"error": {"code": "x"}}, ["refused with x, and must be accepted"]),
        (REFUSED, {"result": {}}, ["accepted, and must be refused with invalid_jwt"]),
        (REFUSED, {"error": {"code": "invalid_jwt"}}, []),
        (REFUSED, {"error": {"code": "unknown_key"}}, []),
        (REFUSED, {"error": {"code": "expired_jwt"}}, ["code is expired_jwt, and must be invalid_jwt or unknown_key"]),
        (REFUSED, {"error": {"code": "invalid_jwt", "status": 400}}, ["status is 400, and must be 401"]),
        (REFUSED, {"error": 7}, ["error is no object"]),
    ],
)
def test_an_answer_is_compared_with_what_must_come(expected: Any, answer: Any, wrong: list[str]) -> None:
    assert differences(expected, answer, whole=False) == wrong


@pytest.mark.parametrize(
    ("field", "expected", "found", "same"),
    [
        ("signature-error", "error=invalid_input", 'error=invalid_input, required_input=("a")', True),
        ("signature-error", 'error=a, required_input=("x" "y")', 'error=a, required_input=("y" "x" "z")', True),
        ("signature-error", 'error=a, required_input=("x" "y")', 'error=a, required_input=("y")', False),
        ("signature-error", "error=a", 'error="a"', False),
        ("signature-error", "error=a", "error==", False),
        (
            "aauth-requirement",
            "requirement=auth-token;resource-token=*",
            'requirement=auth-token;resource-token="e"',
            True,
        ),
        ("aauth-requirement", "requirement=auth-token;resource-token=*", "requirement=auth-token", False),
        ("accept-signature-alg", "Ed25519, ES256", "ES256, Ed25519", True),
        ("accept-signature-alg", "Ed25519, ES256", "Ed25519", False),
        ("content-type", "application/problem+json", "application/problem+json; charset=utf-8", True),
        ("retry-after", "*", "60", True),
    ],
)
def test_fields_are_compared_as_what_they_are(field: str, expected: str, found: str, same: bool) -> None:
    """Signature-Keys §4, §5.1; draft-11 §11.6.1."""
    must = {"error": {"code": "a", "headers": {field: expected}}}
    answer = {"error": {"code": "a", "headers": {field.title(): found}}}
    assert (differences(must, answer, whole=True) == []) is same


def test_a_whole_answer_leaves_nothing_out() -> None:
    assert differences(REFUSED, {"error": {"code": "invalid_jwt"}}, whole=True)
    assert differences({"result": {"a": 1}}, {"result": {}}, whole=True)
    assert differences(REFUSED, {"error": {"code": "unknown_key", "status": 401}}, whole=True)


def test_fields_that_must_not_be_there_are_looked_for() -> None:
    """draft-11 §11.3.4: no Signature-Error in a 403."""
    must = {"result": {"absent": ["signature-error"]}}
    assert differences(must, {"result": {"headers": {"signature-error": "error=x"}}}, whole=True)
    assert not differences(must, {"result": {"headers": {}}}, whole=True)


# A program


def test_a_program_gets_the_vector_without_its_outcome(tmp_path: Path) -> None:
    kept = tmp_path / "asked.json"
    result = one(tmp_path, f"json.dump(vector, open({str(kept)!r}, 'w'))\nprint(json.dumps({{'result': {{}}}}))")
    assert result.outcome == "passed"
    assert json.loads(kept.read_text()).keys() == {"id", "kind", "sections", "input"}


@pytest.mark.parametrize(
    ("body", "outcome", "reason"),
    [
        ("print(json.dumps({'error': {'code': 'x'}}))", "failed", "refused with x"),
        ("print(json.dumps({'skip': 'no time'}))", "skipped", "no time"),
        ("print('hello')", "broken", "no JSON"),
        ("print('[]')", "broken", "no object"),
        ("print('{}')", "broken", "no object"),
        ("raise SystemExit('it is late')", "broken", "it is late"),
        ("sys.exit(3)", "broken", "nothing on standard error"),
    ],
)
def test_what_a_program_does_is_told(tmp_path: Path, body: str, outcome: str, reason: str) -> None:
    result = one(tmp_path, body)
    assert result.outcome == outcome
    assert reason in result.reason


def test_a_program_that_does_not_end_is_broken(tmp_path: Path) -> None:
    result = one(tmp_path, "import time; time.sleep(60)", timeout=0.5)
    assert (result.outcome, result.reason) == ("broken", "no answer within 0.5 s")


@pytest.mark.parametrize("command", ["", "/nowhere/at/all"])
def test_a_command_that_cannot_be_run_is_an_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "run", "digest-sha-256", "--command", command]) == 1
    assert "cannot be run" in capsys.readouterr().err


def test_the_adapter_of_another_library_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """http-message-signatures: what it must agree in, and one thing that it does otherwise."""
    command = f"{sys.executable} {ADAPTER}"
    assert main(["vectors", "run", "base-path", "base-query", "digest-none", "--command", command]) == 0
    assert main(["vectors", "run", "base-key-of-list", "--command", command]) == 1
    assert "accepted, and must be refused" in capsys.readouterr().out


# The command line


def test_the_whole_pack_passes_and_the_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "run"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.split() == ["all", *([str(len(load().vectors))] * 2), "0", "0", "0"]


def test_reports_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml, report = tmp_path / "r.xml", tmp_path / "r.json"
    assert main(["vectors", "run", "--kind", "digest", "--junit", str(xml), "--json", str(report)]) == 0
    suites = ET.parse(xml).getroot()
    assert [suite.get("name") for suite in suites] == ["digest"]
    assert suites[0].get("tests") == str(len(suites[0].findall("testcase"))) == "15"
    document = json.loads(report.read_text())
    assert document["counts"] == {"passed": 15, "failed": 0, "broken": 0, "skipped": 0}
    assert {"id", "kind", "sections", "outcome", "expected", "answer"} <= document["results"][0].keys()
    capsys.readouterr()
    assert main(["vectors", "run", "digest-none", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["id"] == "digest-none"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nobody"], "no vector is of that id"),
        (["run", "--kind", "telepathy"], "there is no kind 'telepathy'"),
        (["run", "--section", "99"], "no vector is of that"),
        (["run", "--command", "x", "--url", "http://x.localhost:1/"], "two ways to measure"),
        (["run", "--url", "x.localhost"], "not the whole URL"),
        (["run", "--url", "http://x.localhost:1/", "--route", "king=http://x.localhost:1/"], "--route takes LEVEL=URL"),
        (["run", "--url", "http://x.localhost:1/", "--listen", "nowhere"], "--listen takes HOST:PORT"),
        (["run", "--url", "http://x.localhost:1/", "--domain", "v.example"], "give --certificate"),
    ],
)
def test_a_wrong_call_is_2_and_says_what_is_right(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vectors", *words]) == 2
    assert said in capsys.readouterr().err


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "list", "--section", "SK 3.4"]) == 0
    assert "hwk-agent-1\trequest\tSK §3.4\t" in capsys.readouterr().out
    assert main(["vectors", "list", "--kind", "digest", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 15
    assert main(["vectors", "show", "digest-twice"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("digest-twice: SHA-256 twice\ndigest, §11.3.3.1, RFC 9530 §2\nstricter than it need be: ")
    assert main(["vectors", "show", "digest-none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["expected"] == {"error": {"code": "digest_mismatch"}}


def test_lenient_leaves_out_what_is_stricter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "list", "--lenient"]) == 0
    listed = {line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()}
    assert listed == {vector.id for vector in load().vectors if vector.stricter is None}


def test_another_pack_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "run", "--pack", str(PROJECT / "vectors"), "digest-none"]) == 0
    assert main(["vectors", "run", "--pack", str(tmp_path)]) == 1
    assert "holds no vector pack" in capsys.readouterr().err


# Reports


def results() -> list[Result]:
    def vector(id: str, stricter: str | None = None) -> Vector:
        return Vector(id, f"The <{id}>", "digest", ("§1",), {}, {"result": {}}, stricter, group="group")

    return [
        Result(vector("good"), "passed", seconds=0.5),
        Result(vector("bad", "RFC 1 allows it"), "failed", "it is \x01 <bad>"),
        Result(vector("worse"), "broken", "no answer"),
        Result(vector("later"), "skipped", "no time"),
    ]


def test_the_table_names_what_did_not_pass_and_why() -> None:
    lines = table(results())
    assert lines[1].split() == ["group", "4", "1", "1", "1", "1"]
    assert "✗ bad  §1  The <bad>" in lines
    assert "    stricter than it need be: RFC 1 allows it" in lines
    assert not any("good" in line for line in lines)
    assert any("good" in line for line in table(results(), every=True))


def test_junit_is_xml_whatever_a_reason_holds() -> None:
    root = ET.fromstring(junit(results(), "a program"))
    (suite,) = root
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "0.500000",
    }
    kinds = {case.get("name"): [child.tag for child in case] for case in suite}
    assert kinds == {"good": [], "bad": ["failure"], "worse": ["error"], "later": ["skipped"]}


def test_json_says_who_was_measured() -> None:
    document = as_json(results(), "a program")
    assert document["measured"] == "a program"
    assert [each["outcome"] for each in document["results"]] == ["passed", "failed", "broken", "skipped"]
