"""What a browser makes of a page, for tests: its forms, its links, its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from aauthkit.protocol.messages import Answer


class _Forms(HTMLParser):
    """The forms of a page: action, fields as a browser would send them, and the buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(values.get("action", "")))
        if tag == "a":
            self.links.append(values.get("href", ""))
        if not self.forms or "name" not in values:
            return
        form, name, value = self.forms[-1], values["name"], values.get("value", "")
        kind = values.get("type", "text" if tag == "input" else tag)
        if tag == "button":
            form.buttons.append((name, value))
        elif tag == "input" and kind in ("checkbox", "radio"):
            form.options.setdefault(name, []).append(value)
            if "checked" in values:
                form.fields.append((name, value))
        elif tag == "input":
            form.fields.append((name, value))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@dataclass
class Form:
    """A form as it stands on a page."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    options: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Page:
    """What a browser shows."""

    url: str
    answer: Answer

    def __post_init__(self) -> None:
        self._read = _Forms()
        self.html = self.answer.body.decode()
        self._read.feed(self.html)

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def text(self) -> str:
        return " ".join("".join(self._read.text).split())

    @property
    def links(self) -> list[str]:
        return self._read.links

    def form(self, action: str) -> Form:
        """The form whose action begins so."""
        return next(form for form in self._read.forms if form.action.startswith(action))

    @property
    def forms(self) -> list[Form]:
        return self._read.forms

    def has_form(self, action: str) -> bool:
        return any(form.action.startswith(action) for form in self._read.forms)
