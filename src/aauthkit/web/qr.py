"""A URL to be read by a phone: as a picture for a page, or as text for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_URL = 1000
"""Longest URL that becomes a code a phone still reads from a screen, in characters."""


def _code(url: str) -> Any:
    try:
        import segno
    except ImportError as error:
        raise ImportError("QR codes need segno: install aauthkit[server]") from error
    if not url.isascii() or not url.isprintable() or not 0 < len(url) <= MAX_URL:
        raise ValueError(f"a QR code is made of a URL of at most {MAX_URL} ASCII characters")
    return segno.make(url, error="m", micro=False)


def qr_svg(url: str) -> Markup:
    """The URL as inline SVG with neither style nor script, black on white in every colour scheme.

    Raises `ValueError` where it is too long, `ImportError` naming the extra.
    """
    from markupsafe import Markup

    drawn = _code(url).svg_inline(
        scale=4, border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True, title="QR code"
    )
    return Markup(drawn)  # drawn from modules alone: nothing of the URL's text is in it


def qr_terminal(url: str) -> str:
    """The URL in block characters, for a terminal. Raises as `qr_svg` does."""
    out = io.StringIO()
    _code(url).terminal(out, compact=True, border=2)
    return out.getvalue()
