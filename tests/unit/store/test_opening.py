"""Which database a URL names, and what is loaded for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aauthkit.store import StoreError, open_database

pytestmark = pytest.mark.anyio


async def test_paths_and_urls_name_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in (
        tmp_path / "a.db",
        str(tmp_path / "b.db"),
        "c.db",
        "sqlite:///d.db",
        f"sqlite:///{tmp_path}/e.db",
    ):
        database = await open_database(url)
        await database.execute("CREATE TABLE t (id TEXT)")
        await database.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "b.db", "c.db", "d.db", "e.db"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite://:memory:", "sqlite:///:memory:"])
async def test_memory_leaves_no_file(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = await open_database(url)
    assert await database.fetch_one("SELECT 1 AS one") == {"one": 1}
    await database.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["", ":memory:", "sqlite://host/a.db", "sqlite:///a.db?mode=ro", "mysql://host/name"])
async def test_what_names_no_database_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError):
        await open_database(url)
    assert list(tmp_path.iterdir()) == []


async def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("aauthkit.store.")]:
        if module.rpartition(".")[2] in {"postgresql", "listening", "asyncpg_errors"}:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreError, match=r"aauthkit\[server\]"):
        await open_database("postgresql://host/name")


def test_the_driver_is_not_loaded_before_it_is_needed(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from aauthkit.store import open_database

async def main():
    await (await open_database({str(tmp_path / "a.db")!r})).close()

asyncio.run(main())
print("asyncpg" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
