"""What the pages of every role share: the layout, the stylesheet, the headers, and how a stranger's words are shown.

A role brings its templates and one `Pages` for them. Jinja, Markdown and QR codes are imported on first use.
"""

from .assets import static_routes
from .pages import Pages
from .qr import qr_svg, qr_terminal
from .text import ago, ascii_host, harmless_markdown, plain, until
from .words import Words, words_for

__all__ = [
    "Pages",
    "Words",
    "ago",
    "ascii_host",
    "harmless_markdown",
    "plain",
    "qr_svg",
    "qr_terminal",
    "static_routes",
    "until",
    "words_for",
]
