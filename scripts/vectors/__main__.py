"""`python -m scripts.vectors`: writes the pack anew; `--check` only says whether it is what would be written."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from .making import DIRECTORY, files


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.vectors", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; 1 where a file is not as it would be written"
    )
    parser.add_argument("--into", type=Path, default=DIRECTORY, help="the folder to write to")
    options = parser.parse_args()
    made = files()
    if options.check:
        other = [name for name, text in made.items() if _read(options.into / name) != text]
        print(
            "\n".join(f"{name} is not as it would be written" for name in other) or "the pack is as it would be written"
        )
        return 1 if other else 0
    options.into.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (options.into / name).write_text(text, encoding="utf-8")
    kinds = Counter(each["kind"] for text in made.values() for each in json.loads(text).get("vectors", []))
    print(f"{sum(kinds.values())} vectors: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
