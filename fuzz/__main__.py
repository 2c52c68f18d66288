"""`python -m fuzz TARGET [--seconds N] [--keep DIR]`: libFuzzer (by atheris) on one target, with its corpus.

What is found new is written to `DIR`, or forgotten. A finding ends the run with its input under `DIR`, or here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
MAX_INPUT = 4096


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: a new one")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()

    import atheris

    # Before the first import of what is to be watched.
    with atheris.instrument_imports(include=["aauthkit", "http_sf"]):
        from fuzz.targets import TARGETS
    if arguments.target not in TARGETS:
        parser.error(f"a target is one of {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory() as scratch:
        found = arguments.keep or Path(scratch)
        found.mkdir(parents=True, exist_ok=True)
        options = [
            f"-max_total_time={arguments.seconds}",
            f"-max_len={MAX_INPUT}",
            f"-seed={arguments.seed}",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-verbosity=1",
            f"-artifact_prefix={arguments.keep or Path.cwd()}/",
        ]
        corpus = [str(path) for path in (found, CORPUS / arguments.target) if path.is_dir()]
        atheris.Setup([sys.argv[0], *options, *corpus], TARGETS[arguments.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
