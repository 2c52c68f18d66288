"""Every parser, whatever comes: its own error or none, what was read is what is written, and bounded work.

The functions are those that are fuzzed (`fuzz/targets.py`); here Hypothesis gives them bytes, each field's own
alphabet, and the corpus with a few bytes changed.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import targets
from fuzz.targets import TARGETS

CORPUS = Path(__file__).resolve().parents[2] / "fuzz" / "corpus"
SECONDS = 6
"""For each target: a minute in all."""
WATCHED = sys.version_info[:2] == (3, 11) and (sys.platform, platform.machine()) == ("linux", "x86_64")
"""Where atheris has a wheel; as its marker in pyproject.toml says."""
ALPHABETS = {
    "structured-fields": 'abAB09 \t"\\;=,:?@%()*.-_/+\n',
    "signature-input": 'sigab@methodpath"();=,: 0123456789createdxpi\n?%',
    "signature-key": 'sigjwthwkOPEd25519="\\;:,._- \n{}',
    "jws": 'eyJhbGciOiJ.-_="{}:,\n0129',
    "json": '{}[]":,\\u0e1truefalsn .-\n',
    "metadata": '{}":,https/issuerjwk_.-?#@[]1\n',
    "aauth-headers": 'requirementcodul="\\;:,.-<>/_?= A0\n',
    "identifiers": "https://aauth:@.ABab019-_+?#[]% \n",
    "content-digest": "sha-256512=:AQ/+,; \n",
    "signed-request": 'GET /?a:\n;=,"()@\\ signature-inputkeyjwthwk0179',
}
every_target = pytest.mark.parametrize("name", TARGETS)
PLENTY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_every_target_has_its_corpus_and_its_alphabet() -> None:
    assert TARGETS.keys() == ALPHABETS.keys() == {path.name for path in CORPUS.iterdir()}
    assert all(seeds(name) for name in TARGETS)


@every_target
def test_the_corpus_is_read(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize(
    ("name", "parser"),
    [
        ("structured-fields", "parse_dictionary"),
        ("signature-input", "parse_signature_input"),
        ("signature-key", "parse_signature_key"),
        ("jws", "parse_jwt"),
        ("json", "parse_jwk"),
        ("metadata", "read_metadata"),
        ("aauth-headers", "headers"),
        ("identifiers", "check_server_identifier"),
        ("content-digest", "DigestCheck"),
        ("signed-request", "read_plain"),
    ],
)
def test_a_parser_that_breaks_its_word_is_found(name: str, parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each target calls the parser it is named for, and lets no foreign error pass."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("of its own no more")

    monkeypatch.setattr(targets, parser, broken)
    with pytest.raises((KeyError, AttributeError)):
        for seed in seeds(name):
            TARGETS[name](seed)


@every_target
@PLENTY
@given(data=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_parsers_own_error(name: str, data: bytes) -> None:
    TARGETS[name](data)


@every_target
@PLENTY
@given(data=st.data())
def test_nor_does_any_text_of_a_fields_own_alphabet(name: str, data: st.DataObject) -> None:
    text = data.draw(st.text(st.sampled_from(sorted(set(ALPHABETS[name]))), max_size=200))
    TARGETS[name](text.encode("latin-1"))


@every_target
@PLENTY
@given(data=st.data())
def test_nor_does_what_nearly_is_in_form(name: str, data: st.DataObject) -> None:
    """A good specimen with a piece cut out, doubled, or put from another specimen into its place."""
    seed, other = (data.draw(st.sampled_from(seeds(name))) for _ in range(2))
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, min(len(seed), start + 40)))
    at = data.draw(st.integers(0, len(other)))
    piece = data.draw(st.one_of(st.binary(max_size=8), st.just(seed[start:end] * 2), st.just(other[at : at + 40])))
    TARGETS[name](seed[:start] + piece + seed[end:])


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "deep lists": lambda size: b"[" * size,
    "deep objects": lambda size: b'{"a":' * size,
    "open inner lists": lambda size: b"a=(" * (size // 3),
    "parameters": lambda size: b"a" + b";a" * (size // 2),
    "members": lambda size: b", ".join(b"a%d=1" % number for number in range(size // 8)),
    "backslashes": lambda size: b'"' + b"\\" * size,
    "quotes": lambda size: b'"' * size,
    "blanks": lambda size: b"a=" + b" " * size,
    "colons": lambda size: b"a=:" + b":" * size,
    "dots": lambda size: b"." * size,
    "base64": lambda size: b"sig=:" + b"A" * size + b":",
    "lines": lambda size: b"\n" * size,
    "digits": lambda size: b"9" * size,
    "escapes": lambda size: b"{" + b'"\\u0000":1,' * (size // 11) + b"}",
    "links": lambda size: b"<a>;" * (size // 4),
    "waits": lambda size: b"wait=" * (size // 5),
    "percents": lambda size: b"GET /?" + b"%41" * (size // 3),
}


@every_target
@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hostile_field_costs_no_more_than_its_length(name: str, shape: str) -> None:
    """Quadratic work would take minutes at this size, and the run's own time limit ends it."""
    TARGETS[name](HOSTILE[shape](200_000))


@every_target
def test_each_target_survives_its_seconds(name: str, tmp_path: Path) -> None:
    """Coverage-guided, from the corpus, for some seconds; a finding leaves its input behind and fails.

    Where atheris is not among the development dependencies, `test_the_corpus_is_read` and the properties are what runs.
    """
    if not WATCHED:
        return
    assert find_spec("atheris") is not None, "atheris is among the development dependencies"
    command = [sys.executable, "-m", "fuzz", name, "--seconds", str(SECONDS), "--keep", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=CORPUS.parents[1])
    found = [path.name for path in (tmp_path / "kept").iterdir() if path.name.startswith(("crash", "timeout", "oom"))]
    assert (done.returncode, found) == (0, []), done.stderr[-4000:]
    executed = re.search(r"number_of_executed_units: ([0-9]+)", done.stderr)
    assert executed is not None
    assert int(executed.group(1)) > len(seeds(name))
