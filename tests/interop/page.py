"""Makes docs/interoperability.md from a run of the tests with peers: `python -m tests.interop.page`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.node import FOLDER
from tests.plugins.rows import AAUTH, HTTPSIG, INTROSPECTION, MOCKIN, OUTCOMES, PAGE, PEERS, RECORD, Row

INTRODUCTION = """\
# Who understands whom

Four other implementations, as they are published and unchanged, against ours over real TLS. Every row is written by
the test that it names, in each run of the suite, and a test whose rows are not the ones below fails.

An outcome is one of these:

- *works*: as the draft has it, and checked on both sides.
- *works with the switch*: only where an older form is admitted by name (see [compatibility](compatibility.md)); it is
  refused without, and the error names the cause.
- *refused*: one side does not take what the other says, and is right; the section says why.
- *the peer breaks the draft*: what it does instead, with the section it breaks. A test pins it, so that a new release
  of the peer that does better is noticed.
- *not served by the peer*: it has no such endpoint, field or value.
"""

ABOUT = {
    INTROSPECTION: "A person server and an access server in Python. {version}, Apache-2.0, draft -11. Here it is the "
    "person server of our agents and our resource; its access server is asked with our person server's key.",
    AAUTH: "Signer, verifier and token functions in Python, with `aauth-signing` {signing}. {version}, MIT, draft -11, "
    "but signatures are written in base64url, and nothing else is read.",
    HTTPSIG: "Signer and verifier in JavaScript. {version}, MIT, Signature-Keys -08.",
    MOCKIN: "A mock person server in JavaScript. {version}, MIT, the dialect of August 2026, over plain http: here "
    "behind a front that ends TLS. It trusts every agent provider, and everybody is the one person it knows.",
}


def locked(name: str) -> str:
    """The version of a peer from npm."""
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    return str(packages[f"node_modules/{name}"]["version"])


def about(peer: str) -> str:
    """The peer in a few words, with the version that is tested."""
    if peer in (HTTPSIG, MOCKIN):
        return ABOUT[peer].format(version=locked(peer))
    return ABOUT[peer].format(version=version(peer), signing=version("aauth-signing"))


def page(rows: list[Row]) -> str:
    """The whole page."""
    counts = "".join(f"| `{peer}` | {_counts(rows, peer)} |\n" for peer in PEERS)
    head = f"| | {' | '.join(OUTCOMES)} |\n|---|{'---|' * len(OUTCOMES)}\n"
    sections = [f"\n## `{peer}`\n\n{about(peer)}\n\n{_table(rows, peer)}" for peer in PEERS]
    return f"{INTRODUCTION}\n{head}{counts}" + "".join(sections)


def _counts(rows: list[Row], peer: str) -> str:
    return " | ".join(str(sum((row.peer, row.outcome) == (peer, outcome) for row in rows)) for outcome in OUTCOMES)


def _table(rows: list[Row], peer: str) -> str:
    """The rows of one peer, direction by direction as they first came up."""
    mine = [row for row in rows if row.peer == peer]
    directions = dict.fromkeys(row.direction for row in mine)
    head = "| direction | operation | outcome | remark | test |\n|---|---|---|---|---|\n"
    return head + "".join(f"{row.line()}\n" for way in directions for row in mine if row.direction == way)


def main() -> int:
    """Run the tests with peers, and write the page if they pass."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "rows"
        tests = sorted(str(path) for path in Path(__file__).parent.glob("test_peer_*.py"))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *tests]
        code = subprocess.run(command, env={**os.environ, RECORD: str(record)}, check=False).returncode
        if code:
            return code
        PAGE.write_text(page([Row(**json.loads(line)) for line in record.read_text().splitlines()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
