"""A page as a browser reads it: elements with their attributes, and the text between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]


@dataclass
class Markup(HTMLParser):
    """Reads `html` at once."""

    html: str
    elements: list[Element] = field(default_factory=list)
    text: str = ""
    comments: int = 0

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments += 1

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]
