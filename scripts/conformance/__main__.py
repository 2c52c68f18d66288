"""`python -m scripts.conformance check`: is the list true? `write`: make docs/conformance.md of it.

`trace`: run every test that is named, and tell the rules whose tests run none of their functions. It takes minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from .checking import drafts_at_hand, findings
from .document import TARGET, document
from .listing import read_faults, read_requirements
from .tracing import trace


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.conformance", description=__doc__)
    parser.add_argument("what", choices=("check", "write", "trace"))
    what = parser.parse_args().what
    rows, _ = read_requirements()
    if what == "write":
        TARGET.write_text(document(rows, read_faults()), "utf-8")
    wrong = findings() if what != "trace" else trace(rows)
    for line in wrong:
        print(line, file=sys.stderr)
    counts = Counter(row.status for row in rows)
    said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    print(f"{len(rows)} sentences: {said}" + ("" if drafts_at_hand() else "; the drafts are not at hand"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
