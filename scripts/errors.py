"""Writes `docs/errors.md` from the one table of wire errors; `python scripts/errors.py` after a change to the table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aauthkit.protocol.problems import ERRORS, ErrorCode

TARGET = Path(__file__).resolve().parents[1] / "docs" / "errors.md"

HEAD = """\
# Errors on the wire

<!-- Made by scripts/errors.py from `ERRORS` in src/aauthkit/protocol/problems.py. Change the table, then run it. -->

Every error that a server of this project answers, once. `§` is draft-hardt-oauth-aauth-protocol-11, `SK` is
draft-hardt-httpbis-signature-key-09.

## In `Signature-Error`

The signature, or the token in `Signature-Key`, was not accepted. The header decides; the body repeats it as a problem
of type `urn:ietf:params:sig-error:<error>`. `unsupported_scheme` comes with `Accept-Signature-Scheme`,
`unsupported_algorithm` with `Accept-Signature-Alg`, `invalid_input` with `required_input`.

"""

BODIES = """
## In the body

The signature verified, or none was needed. The body is `application/problem+json`, and its member `error` decides.
None of these carries `Signature-Error` or `Accept-Signature-*`.

"""


def rows(errors: Iterable[ErrorCode]) -> str:
    """A Markdown table of these errors."""
    lines = [f"| `{row.name}` | {row.status} | {row.meaning} | {row.section} |" for row in errors]
    return "\n".join(["| error | status | meaning | defined in |", "|---|---|---|---|", *lines, ""])


def render() -> str:
    """The whole document."""
    signature = rows(row for row in ERRORS if row.where == "signature")
    return HEAD + signature + BODIES + rows(row for row in ERRORS if row.where == "body")


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
