"""The rules of the house that no linter knows: light imports, sizes, docstrings, no keys, no index, an honest lock."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import aauthkit
from tests.plugins.machine import PROJECT

PACKAGE = PROJECT / "src" / "aauthkit"
FRAMEWORKS_AND_CLIENTS = {"starlette", "fastapi", "uvicorn", "httpx2", "httpx", "sqlalchemy", "jinja2"}
EXTRAS_ONLY = {
    "starlette",
    "fastapi",
    "uvicorn",
    "httpx",
    "jinja2",
    "asyncpg",
    "argon2",
    "msgspec",
    "nh3",
    "markdown_it",
    "segno",
}
CORE_ROOMS = [
    "protocol",
    "store",
    "keys",
    "serving",
    "callers",
    "replay",
    "trust",
    "egress",
    "discovery",
    "verification",
    "outbound",
    "deferred",
    "revocation",
    "agent",
    "resource",
]
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "k"}


def project_files() -> list[Path]:
    """Every file of the project: what git tracks or would track, else all but what the tools made."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT, capture_output=True
    )
    if listed.returncode == 0:
        files = [PROJECT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        made = re.compile(r"^(\.venv|\.git|build|dist)/|(^|/)(__pycache__|\.\w+_cache|\.hypothesis)/")
        files = [path for path in PROJECT.rglob("*") if not made.search(name_of(path))]
    return [path for path in files if path.is_file()]


def python_files() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".py"]


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def modules_after(statement: str) -> set[str]:
    """The top-level names in `sys.modules` of a fresh interpreter that ran `statement`."""
    program = f"{statement}\nimport sys, json; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout))


# What an import costs


def test_import_aauthkit_pulls_in_no_framework_and_no_http_client() -> None:
    assert not modules_after("import aauthkit") & FRAMEWORKS_AND_CLIENTS


@pytest.mark.parametrize("room", [room for room in CORE_ROOMS if find_spec(f"aauthkit.{room}")])
def test_a_room_of_the_core_is_imported_without_any_extra(room: str) -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({sorted(EXTRAS_ONLY)!r}))\n"
    subprocess.run([sys.executable, "-c", f"{blocked}import aauthkit.{room}"], check=True)


@pytest.mark.parametrize("name", [name for name, room in aauthkit._ROOMS.items() if find_spec(f"aauthkit.{room}")])
def test_a_public_name_comes_from_its_room_and_a_type_checker_sees_it(name: str) -> None:
    room = aauthkit._ROOMS[name]
    assert getattr(aauthkit, name) is getattr(importlib.import_module(f"aauthkit.{room}"), name)
    assert f"    from .{room} import {name} as {name}\n" in (PACKAGE / "__init__.py").read_text()


def test_the_public_names_are_listed_once_more_for_type_checkers() -> None:
    assert sorted(aauthkit.__all__) == sorted({"DRAFTS", "__version__", *aauthkit._ROOMS}) == dir(aauthkit)


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = aauthkit.Nonsense


# What the version says


def test_the_version_names_its_drafts(spec_dir: Path) -> None:
    for draft, text in zip(aauthkit.DRAFTS, ("protocol-11.txt", "signature-key-09.txt"), strict=True):
        assert (spec_dir / text).read_text().startswith(draft)


if find_spec("aauthkit.cli"):

    def test_the_command_names_version_and_drafts() -> None:
        program = "import sys; from aauthkit.cli import main; sys.exit(main())"
        ran = subprocess.run([sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=True)
        assert all(text in ran.stdout for text in (aauthkit.__version__, *aauthkit.DRAFTS))


# How code is cut


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_file_is_over_500_lines() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in python_files()}
    assert not {name: length for name, length in lengths.items() if length > 500}


def test_no_function_is_over_60_lines() -> None:
    long = [
        f"{name_of(path)}:{function.lineno} {function.name}: {function.end_lineno - function.lineno + 1} lines"
        for path in python_files()
        for function in functions(ast.parse(path.read_text()))
        if function.end_lineno - function.lineno + 1 > 60
    ]
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name_of(path)
        for path in python_files()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "misc"}
    assert not [name_of(path) for path in python_files() if {path.stem, *path.parent.parts} & drawers]


def test_nothing_is_left_to_do_in_the_package() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b")
    assert not [name_of(path) for path in PACKAGE.rglob("*.py") if unfinished.search(path.read_text())]


# What must not lie in the tree


def holds_a_private_key(text: str) -> bool:
    """Whether a data file is a private key: a PEM block, or a JWK or JWKS with a private member."""
    if re.search("-----BEGIN [A-Z ]*" + "PRIVATE KEY-----", text):
        return True
    try:
        document = json.loads(text)
    except ValueError:
        return False
    keys = document.get("keys", [document]) if isinstance(document, dict) else []
    return any(isinstance(key, dict) and "kty" in key and PRIVATE_MEMBERS & key.keys() for key in keys)


TEST_KEYS = "vectors/keys.json"
"""The key pairs of the vector pack, published so that others can sign cases of their own. Nothing trusts them."""


def test_f88_no_private_key_lies_in_the_tree() -> None:
    """F88."""
    named = re.compile(r"(\.(pem|key|jwks|p8|p12|pfx|sqlite3?)|(^|/)id_(rsa|ecdsa|ed25519)|(^|/)\.env)$")
    found = [
        name_of(path)
        for path in project_files()
        if named.search(name_of(path))
        or (
            path.suffix != ".py"
            and name_of(path) != TEST_KEYS
            and holds_a_private_key(path.read_text(errors="replace"))
        )
        or (path.is_relative_to(PACKAGE) and holds_a_private_key(path.read_text(errors="replace")))
    ]
    assert not found


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ('{"kty": "OKP", "crv": "Ed25519", "x": "AA"}', False),
        ('{"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"}', True),
        ('{"keys": [{"kty": "EC"}, {"kty": "EC", "d": "AA"}]}', True),
        ("-----BEGIN EC " + "PRIVATE KEY-----", True),
        ("-----BEGIN PUBLIC KEY-----", False),
        ("[1, 2]", False),
    ],
)
def test_the_look_for_keys_knows_one_when_it_sees_it(text: str, private: bool) -> None:
    assert holds_a_private_key(text) is private


def test_no_file_names_an_index() -> None:
    # Put together from pieces, so that this file does not name one itself.
    hosts = [".".join(("pypi", "org")), ".".join(("pythonhosted", "org"))]
    options = ["--" + option for option in ("index-url", "extra-index-url", "find-links", "trusted-host")]
    named = re.compile("|".join(re.escape(host) for host in hosts) + "|" + "|".join(rf"{each}[= ]" for each in options))
    assert not [name_of(path) for path in project_files() if named.search(path.read_text(errors="replace"))]


# Lock and wheel


def locked(name: str) -> dict[str, str]:
    """Each distribution of a lock file with its version; every one must carry a hash and none an address."""
    text = (PROJECT / "requirements" / name).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert "://" not in text
    assert all("--hash=sha256:" in entry for entry in entries)
    pinned = [re.match(r"([\w.-]+)==([^\s;]+)", entry) for entry in entries]
    assert all(pinned)
    return {canonicalize_name(match[1]): match[2] for match in pinned if match}


def declared() -> dict[str, list[Requirement]]:
    """What `pyproject.toml` asks for: `core`, each extra, and the dependency groups."""
    document = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    lists = {
        "core": document["project"]["dependencies"],
        **document["project"]["optional-dependencies"],
        **document["dependency-groups"],
    }
    return {
        name: [Requirement(line) for line in lines if isinstance(line, str) and not line.startswith("aauthkit")]
        for name, lines in lists.items()
    }


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("lock.txt", ["core", "server", "fastapi", "httpx", "demo", "build", "dev"]),
        ("demo.txt", ["core", "server", "fastapi", "demo", "build"]),
    ],
)
def test_a_lock_holds_every_dependency_in_its_range(name: str, parts: list[str]) -> None:
    versions, asked = locked(name), declared()
    outside = [
        str(each)
        for part in parts
        for each in asked[part]
        if versions[canonicalize_name(each.name)] not in each.specifier
    ]
    assert not outside, "run `make lock`"


def test_each_dependency_stands_in_the_docs_with_its_range_and_version() -> None:
    text = (PROJECT / "docs" / "dependencies.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    versions = locked("lock.txt")
    for part, requirements in declared().items():
        for each in requirements:
            (row,) = [row for row in rows if f"`{each.name}`" in row[1]]
            assert f" {versions[canonicalize_name(each.name)]}, " in "|".join(row), f"{each.name}: version"
            assert part in {"build", "dev"} or Requirement(each.name + row[2].strip()) == each, f"{each.name}: range"


def test_the_demonstration_is_locked_to_the_versions_that_were_tested() -> None:
    assert locked("demo.txt").items() <= locked("lock.txt").items()


def test_f88_the_wheel_holds_the_package_and_its_licence_and_nothing_else(tmp_path: Path) -> None:
    """F88."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"aauthkit-{aauthkit.__version__}.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {"aauthkit", f"aauthkit-{aauthkit.__version__}.dist-info"}
    shipped = {
        f"aauthkit/{path.relative_to(PACKAGE).as_posix()}" for path in project_files() if path.is_relative_to(PACKAGE)
    }
    vectors = PROJECT / "vectors"
    shipped |= {
        f"aauthkit/conformance/vectors/{path.relative_to(vectors).as_posix()}"
        for path in project_files()
        if path.is_relative_to(vectors)
    }
    assert shipped == {name for name in names if name.startswith("aauthkit/")}
    assert "aauthkit/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata


def test_the_version_is_one() -> None:
    assert version("aauthkit") == aauthkit.__version__
