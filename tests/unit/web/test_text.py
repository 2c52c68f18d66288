"""A stranger's words: seen in full, bounded, and able to do nothing (draft-11 §7.4, pages' house rules)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aauthkit.accounts.characters import is_hidden
from aauthkit.web import ago, ascii_host, harmless_markdown, plain, until
from aauthkit.web.text import MARKDOWN_TAGS
from tests.unit.web.markup import Markup
from tests.unit.web.sample import TRICKS

PIECES = st.sampled_from(
    [
        *TRICKS,
        "<script",
        "</script>",
        "<b>",
        "![",
        "](",
        ")",
        "[x](https://evil.example 'title')",
        "[x][y]",
        "\n[y]: https://evil.example\n",
        "<https://evil.example>",
        "&#x202e;",
        "&lt;",
        "&",
        "`",
        "```",
        "\n\n",
        "\n> ",
        "\n- ",
        "\n1. ",
        "**",
        "_",
        "\\",
        "\t",
        "\r",
        "\x00",
        "\u2028",
        "\u202e",
        "\u0301",
        "\u200d",
        "\ud800",
        "e",
        "javascript:",
        "https://",
        "\u0430pple.example",
    ]
)
FOREIGN = st.lists(PIECES | st.text(max_size=12), max_size=30).map("".join)


# One line


@given(FOREIGN, st.integers(1, 60))
@example("a\u200b\u0301" * 50, 40)
@example("\u1100\u200b\u1161", 10)
def test_plain_text_is_one_bounded_line_of_seen_characters(value: str, limit: int) -> None:
    text = plain(value, limit)
    assert len(text) <= limit
    assert not any(is_hidden(each) for each in text)
    assert text == text.strip()
    assert not set(text) & {"\n", "\r", "\t", "\u2028", "\u2029"}
    assert "  " not in text
    assert unicodedata.is_normalized("NFC", text)
    assert plain(text, limit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Planner", "Planner"),
        (None, ""),
        (12, "12"),
        ("  two\n\tlines ", "two lines"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
        ("a\u200bb\ufeffc\u00add\u2060", "abcd"),
        ("\u3164\u2800", ""),
        ("tag\U000e0041\U000e007f", "tag"),
        ("e\u0301", "é"),
        ("Z" + "\u0336" * 99, "Z" + "\u0336" * 4),
        ("日本語 العربية", "日本語 العربية"),
        ("<b>&amp;", "<b>&amp;"),
    ],
)
def test_plain_text_by_example(value: object, text: str) -> None:
    assert plain(value) == text


def test_what_is_too_long_ends_in_an_ellipsis() -> None:
    assert plain("x" * 300, 10) == "x" * 9 + "…"
    assert plain("x" * 10, 10) == "x" * 10
    assert len(plain("\u200b" * 10**6 + "x", 10)) <= 10, "and is not looked at to its end"


# Markdown


def check_harmless(html: str) -> Markup:
    """Return the markup if it holds nothing but the allowed elements, without attributes."""
    read = Markup(html)
    assert {element.tag for element in read.elements} <= MARKDOWN_TAGS
    assert not any(element.attributes for element in read.elements)
    assert not read.comments
    assert not any(is_hidden(each) for each in read.text if each != "\n")
    return read


@given(FOREIGN)
@example("<script>alert(1)</script>")
@example("[x](<https://evil.example/\u202e>)")
@example("```js onmouseover=x\ncode\n```")
@example("7. seven")
def test_markdown_is_never_more_than_text_lists_and_emphasis(value: str) -> None:
    check_harmless(str(harmless_markdown(value)))


@given(FOREIGN, st.integers(1, 50))
def test_markdown_is_bounded(value: str, limit: int) -> None:
    read = check_harmless(str(harmless_markdown(value, limit)))
    assert len(read.text) <= 300 * (limit + 1)


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("**bold** and _soft_", "<p><strong>bold</strong> and <em>soft</em></p>"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>"),
        ("3. three", "<ol>\n<li>three</li>\n</ol>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("<!-- x -->", "<p>&lt;!-- x --&gt;</p>"),
        ("[Approve](https://evil.example/a 'title')", "<p>Approve (https://evil.example/a)</p>"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"),
        ("![logo](https://evil.example/p.png)", "<p>!logo (https://evil.example/p.png)</p>"),
        ("<https://evil.example>", "<p>&lt;https://evil.example&gt;</p>"),
        ("https://evil.example", "<p>https://evil.example</p>"),
        ("# ORDERS SAYS", "<p># ORDERS SAYS</p>"),
        ("&#x202e;&lt;", "<p>&amp;#x202e;&amp;lt;</p>"),
        ("```js x=y\n<b>\n```", "<pre><code>&lt;b&gt;\n</code></pre>"),
        ("[x][y]\n\n[y]: https://evil.example", "<p>[x][y]</p>\n<p>[y]: https://evil.example</p>"),
        (None, ""),
    ],
)
def test_markdown_by_example(source: object, html: str) -> None:
    assert str(harmless_markdown(source)).strip() == html


@pytest.mark.parametrize(
    "source",
    [
        "https://\u0430pple.example/login",
        "[x](https://\u0430pple.example/login)",
        "[https://\u0430pple.example/login](https://evil.example)",
        "<https://\u0430pple.example/login>",
        "`https://\u0430pple.example/login`",
    ],
)
def test_a_look_alike_host_in_markdown_shows_its_ascii_form(source: str) -> None:
    html = str(harmless_markdown(source))
    assert "https://xn--pple-43d.example/login" in html
    assert "\u0430" not in html


def test_deep_and_long_markdown_is_no_burden() -> None:
    for source in ("> " * 5000, "- " * 5000, "*" * 5000, "[" * 5000, "`" * 5000, "x" * 10**6, "*a " * 2000):
        check_harmless(str(harmless_markdown(source)))


# Hosts


@given(FOREIGN)
@example("http://[")
@example("https://x:99999999")
@example("//\ud800")
def test_a_host_is_always_ascii(value: str) -> None:
    host = ascii_host(value)
    assert host.isascii()
    assert not any(is_hidden(each) or each == " " for each in host)
    assert len(host) <= 270


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://orders.example/path?q", "orders.example"),
        ("https://Orders.Example", "orders.example"),
        ("orders.example", "orders.example"),
        ("http://person.localhost:8701", "person.localhost:8701"),
        ("https://\u0430pple.example", "xn--pple-43d.example"),
        ("https://fa\u00df.example", "xn--fa-hia.example"),
        ("https://orders\u3002example", "orders.example"),
        ("https://bank.example@evil.example", "evil.example"),
        ("https://evil.example\\@bank.example", "evil.example"),
        ("https://evil.exa\nmple", "evil.example"),
        ("https://b\u202eank.example", ascii_host("https://b\u202eank.example")),
        (None, ""),
    ],
)
def test_a_host_is_the_one_a_browser_would_go_to(url: object, host: str) -> None:
    assert ascii_host(url) == host
    assert "\u202e" not in host


# Times


@pytest.mark.parametrize(
    ("seconds", "past", "future"),
    [
        (0, "just now", "now"),
        (4, "just now", "in 4 seconds"),
        (30, "30 seconds ago", "in 30 seconds"),
        (60, "1 minute ago", "in 1 minute"),
        (3599, "59 minutes ago", "in 59 minutes"),
        (3600, "1 hour ago", "in 1 hour"),
        (47 * 3600, "47 hours ago", "in 47 hours"),
        (48 * 3600, "2 days ago", "in 2 days"),
        (-60, "just now", "now"),
    ],
)
def test_times_are_told_as_people_say_them(seconds: int, past: str, future: str) -> None:
    assert ago(1000 - seconds, 1000) == past
    assert until(1000 + seconds, 1000) == future
