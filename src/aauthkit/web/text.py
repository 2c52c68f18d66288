"""A stranger's words, made fit to stand on a page: names, descriptions, reasons, hosts.

They are bounded, hold nothing that is not seen, and turn no direction. Templates escape them and wrap them in `<bdi>`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ..accounts.characters import is_hidden, is_mark, is_space

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markupsafe import Markup

MAX_MARKS: Final = 4
"""Marks drawn onto one character; more of them climb over the lines above and below."""
MARKDOWN_TAGS: Final = frozenset({"p", "br", "em", "strong", "ul", "ol", "li", "blockquote", "code", "pre"})
"""What Markdown may become: no heading, rule, table, link or image, none of which a stranger needs to make a point."""

_NOT_IN_A_HOST: Final = re.compile(r"[^A-Za-z0-9._:-]")
_HOST_IN_TEXT: Final = re.compile(r"(?<=://)[^\s/?#<>()\[\]]{1,255}")

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def plain(value: object, limit: int = 200) -> str:
    """`value` as one line of at most `limit` characters, without controls, zero-width and direction characters."""
    text = _visible(value, limit)
    return _cut(" ".join(text.split()), limit)


def _visible(value: object, limit: int) -> str:
    """The seen characters of `value`, NFC; kinds of space other than a line end are a plain space."""
    raw = "" if value is None else str(value)
    text = unicodedata.normalize("NFC", raw[: limit * 4 + 1000])
    kept: list[str] = []
    marks = 0
    for each in text:
        if each == "\n":
            kept.append(each)
        elif is_space(each):
            kept.append(" ")
        elif is_hidden(each):
            continue
        elif is_mark(each):
            marks += 1
            if marks <= MAX_MARKS:
                kept.append(each)
            continue
        else:
            kept.append(each)
        marks = 0
    return unicodedata.normalize("NFC", "".join(kept))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def harmless_markdown(value: object, limit: int = 4000) -> Markup:
    """Markdown (CommonMark) as paragraphs, lists, emphasis, quotes and code, of at most `limit` characters of source.

    HTML stands there as it was typed, a link as its text and address, an image as its source. Nothing in the result can
    be clicked, loads anything or carries an attribute. Raises `ImportError` naming the extra.
    """
    try:
        import nh3
        from markupsafe import Markup
    except ImportError as error:
        raise ImportError("Markdown needs nh3 and jinja2: install aauthkit[server]") from error
    raw = "" if value is None else str(value)
    lines = raw[: limit * 8].replace("\r\n", "\n").replace("\r", "\n")
    source = _cut(_HOST_IN_TEXT.sub(_ascii_in_text, _visible(lines, limit)).strip("\n"), limit)
    html = _markdown().render(source)
    return Markup(nh3.clean(html, tags=set(MARKDOWN_TAGS), attributes={}, link_rel=None))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise ImportError("Markdown needs markdown-it-py: install aauthkit[server]") from error
    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False})
    # An entity could bring back the characters that were taken out, a reference could hide an address at the end.
    markdown.disable(
        ["entity", "html_block", "html_inline", "image", "autolink", "reference", "heading", "lheading", "hr"]
    )
    markdown.add_render_rule("link_open", _link_open)
    markdown.add_render_rule("link_close", _link_close)
    return markdown


def _link_open(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """Nothing: what follows is the link's text. Its address is kept for the end."""
    env.setdefault("links", []).append(str(tokens[index].attrGet("href") or ""))
    return ""


def _link_close(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """The link's address, behind its text."""
    from markupsafe import escape

    return f" ({escape(plain(env['links'].pop()))})"


def ascii_host(value: object) -> str:
    """The host of a URL (or a bare host) as it is looked up: ASCII, an `xn--` label for one that is not.

    A look-alike of a known host does not look alike here. The port stands behind it where the URL names one.
    """
    text = re.sub(r"[\x00-\x20\x7f]", "", str(value or "")[:2048]).replace("\\", "/")  # as browsers read it
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = text, None
    labels = re.split(r"[.\u3002\uff0e\uff61]", host)
    ascii_text = _NOT_IN_A_HOST.sub("?", ".".join(_ascii_label(label) for label in labels))[:255]
    return f"{ascii_text}:{port}" if port is not None else ascii_text


def _ascii_in_text(match: re.Match[str]) -> str:
    return match[0] if match[0].isascii() else ascii_host(match[0])


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    folded = unicodedata.normalize("NFKC", label).lower()
    if folded.isascii():
        return folded
    try:
        return "xn--" + folded.encode("punycode").decode("ascii")
    except UnicodeError:
        return folded.encode("ascii", "backslashreplace").decode("ascii")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _span(seconds: int) -> str:
    if seconds < _MINUTE:
        return _count(seconds, "second")
    if seconds < _HOUR:
        return _count(seconds // _MINUTE, "minute")
    if seconds < 2 * _DAY:
        return _count(seconds // _HOUR, "hour")
    return _count(seconds // _DAY, "day")


def ago(then: float, now: float) -> str:
    """How long `then` is past, as people say it; both in epoch seconds."""
    seconds = int(now - then)
    return "just now" if seconds < 5 else f"{_span(seconds)} ago"


def until(then: float, now: float) -> str:
    """How long it is until `then`, as people say it; both in epoch seconds."""
    seconds = int(then - now)
    return "now" if seconds <= 0 else f"in {_span(seconds)}"
