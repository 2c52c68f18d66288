"""A request as somebody wrote it down: raw HTTP, what `curl -v` prints, an entry of a HAR file, or JSON.

Pure: bytes in, a `Captured` out. What a capture does not hold is `None`, never guessed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from ..protocol.evidence import SIGNATURE_FIELDS
from ..protocol.jose import JoseError, parse_json
from ..protocol.messages import Answer, HeaderList, header_values

MAX_CAPTURE: Final = 4 * 1024 * 1024
"""Longest capture that is read, in bytes."""
MAX_FIELDS: Final = 256

Form = Literal["auto", "http", "curl", "har", "json"]
FORMS: Final[tuple[Form, ...]] = ("auto", "http", "curl", "har", "json")

_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+)(?: HTTP/[0-9.]+)?\s*\Z")
_STATUS_LINE = re.compile(r"HTTP/[0-9.]+ ([0-9]{3})\b")
_FIELD = re.compile(r"(:?[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(.*)\Z", re.DOTALL)


class CaptureError(ValueError):
    """What was given is no captured request; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Captured:
    """One request as it was written down.

    `target` is in origin form, `body` is `None` where the capture does not hold it. `scheme` and `authority` are what
    the request says of itself. `at` is the server's own time when it answered, in seconds since the epoch.
    """

    method: str
    target: str
    headers: HeaderList = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    scheme: str | None = None
    authority: str | None = None
    at: float | None = None
    answer: Answer | None = None
    notes: tuple[str, ...] = ()

    def values(self, name: str) -> list[str]:
        """Every value of the field `name` (lower case)."""
        return header_values(self.headers, name)

    @property
    def signed(self) -> bool:
        """Whether any field of a signature is there."""
        return any(self.values(name) for name in SIGNATURE_FIELDS)


def read_capture(data: bytes, form: Form = "auto") -> Captured:
    """The request in `data`; of several, the last that was signed. Raises `CaptureError`."""
    if len(data) > MAX_CAPTURE:
        raise CaptureError(f"the capture is longer than {MAX_CAPTURE // 1024} KiB")
    form = _form_of(data) if form == "auto" else form
    if form == "curl":
        return _curl(data.decode("latin-1"))
    if form == "http":
        return _raw(data)
    return _json(data)


def _form_of(data: bytes) -> Form:
    start = data.lstrip()[:1]
    if start == b"{":
        return "json"
    return "curl" if re.search(rb"^> ", data, re.MULTILINE) else "http"


def _raw(data: bytes) -> Captured:
    # An editor may have changed the line ends; a body begins after the first empty line, whichever they are.
    found = re.search(rb"\r?\n\r?\n", data)
    head, body = (data[: found.start()], data[found.end() :]) if found else (data.rstrip(b"\r\n"), b"")
    lines = [line.rstrip("\r") for line in head.decode("latin-1").lstrip("\r\n").split("\n")]
    return _of_lines(lines, body=body)


def _of_lines(lines: Sequence[str], *, body: bytes | None, **known: Any) -> Captured:
    if not any(lines):
        raise CaptureError("there is no request line, such as `GET /orders HTTP/1.1`")
    match = _REQUEST_LINE.match(lines[0])
    pseudo: dict[str, str] = {}
    fields: list[tuple[str, str]] = []
    for line in lines[1:] if match else lines:
        if line[:1] in (" ", "\t") and fields:
            fields[-1] = (fields[-1][0], f"{fields[-1][1]}\r\n{line}")
            continue
        parted = _FIELD.match(line)
        if parted is None:
            raise CaptureError(f"this line is no header field: {line[:60]!r}")
        if parted[1].startswith(":"):
            pseudo[parted[1].lower()] = parted[2].strip()
        else:
            fields.append((parted[1].lower(), parted[2].strip(" \t")))
    method, url = (match[1], match[2]) if match else (pseudo.get(":method"), pseudo.get(":path"))
    if method is None or url is None:
        raise CaptureError("there is no request line, such as `GET /orders HTTP/1.1`")
    known = {"scheme": pseudo.get(":scheme"), "authority": pseudo.get(":authority"), **known}
    return _made(method, url, fields, body, **known)


def _made(method: str, url: str, fields: Sequence[tuple[str, str]], body: bytes | None, **known: Any) -> Captured:
    if len(fields) > MAX_FIELDS:
        raise CaptureError(f"more than {MAX_FIELDS} header fields")
    scheme, authority = known.pop("scheme", None), known.pop("authority", None)
    target = url
    if not url.startswith("/") and "://" in url:
        scheme, _, rest = url.partition("://")
        place = re.search(r"[/?#]", rest)
        authority = rest[: place.start()] if place else rest
        target = rest[place.start() :] if place else "/"
        target = target if target.startswith("/") else f"/{target}"
    target = target.partition("#")[0]
    if not target.startswith("/"):
        raise CaptureError(f"the request target {target[:60]!r} does not begin with a slash")
    authority = authority or next((value for name, value in fields if name == "host"), None)
    return Captured(method, target, tuple(fields), body, scheme.lower() if scheme else None, authority, **known)


@dataclass
class _Exchange:
    """One request and its answer in the output of curl."""

    sent: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)

    @property
    def signed(self) -> bool:
        return any(line.lower().startswith(SIGNATURE_FIELDS) for line in self.sent)


def _curl(text: str) -> Captured:
    exchanges: list[_Exchange] = [_Exchange()]
    for line in text.splitlines():
        kind, content = line[:1], line[2:].rstrip("\r")
        if kind == ">" and _REQUEST_LINE.match(content) and exchanges[-1].sent:
            exchanges.append(_Exchange())
        if kind == ">" and content:
            exchanges[-1].sent.append(content)
        elif kind == "<" and content:
            exchanges[-1].received.append(content)
    asked = [each for each in exchanges if each.sent]
    if not asked:
        raise CaptureError("no line begins with `> `: give the whole output of curl -v")
    signed = [each for each in asked if each.signed]
    chosen = (signed or asked)[-1]
    answer = _curl_answer(chosen.received)
    scheme = "https" if re.search(r"^\* .*(SSL connection using|ALPN)", text, re.MULTILINE) else None
    notes = (f"the last signed of {len(asked)} requests in it",) if len(asked) > 1 else ()
    return _of_lines(chosen.sent, body=None, scheme=scheme, at=_date(answer), answer=answer, notes=notes)


def _curl_answer(lines: Sequence[str]) -> Answer | None:
    started = [number for number, line in enumerate(lines) if _STATUS_LINE.match(line)]
    if not started:
        return None
    head = lines[started[-1] :]
    match = _STATUS_LINE.match(head[0])
    assert match is not None
    fields = [_FIELD.match(line) for line in head[1:]]
    return Answer(int(match[1]), tuple((each[1].lower(), each[2].strip()) for each in fields if each))


def _date(answer: Answer | None) -> float | None:
    value = answer.header("date") if answer is not None else None
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, TypeError):
        return None


def _json(data: bytes) -> Captured:
    document = _document(data)
    entry, notes = _entry(document)
    request = entry.get("request", entry)
    if not isinstance(request, Mapping):
        raise CaptureError("`request` is not an object")
    url = request.get("url") or request.get("target") or request.get("path")
    method = request.get("method")
    if not isinstance(url, str) or not isinstance(method, str):
        raise CaptureError("a captured request has a `method` and a `url` or `target`, both strings")
    answer = _har_answer(entry.get("response"))
    known = {name: request.get(name, entry.get(name)) for name in ("scheme", "authority")}
    known = {name: value for name, value in known.items() if isinstance(value, str)}
    return _made(
        method,
        url,
        _fields(request.get("headers", ())),
        _body(request),
        at=_date(answer) or _time(entry),
        answer=answer,
        notes=notes,
        **known,
    )


def _document(data: bytes) -> Mapping[str, Any]:
    try:
        return parse_json(data.lstrip(b"\xef\xbb\xbf"), limit=MAX_CAPTURE)
    except JoseError as error:
        raise CaptureError(f"not JSON: {error}") from error


def _entry(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    given = document.get("input")
    if isinstance(given, Mapping) and isinstance(given.get("request"), Mapping):
        vector = {name: value for name, value in given["request"].items() if name != "body"}
        return {**given, "request": {**vector, "body_base64": given["request"].get("body")}}, ()
    log = document.get("log")
    if not isinstance(log, Mapping):
        return document, ()
    entries = [each for each in log.get("entries", ()) if isinstance(each, Mapping) and "request" in each]
    if not entries:
        raise CaptureError("the HAR file holds no entry with a request")
    signed = [each for each in entries if _is_signed(each)]
    refused = [each for each in signed if isinstance(answer := each.get("response"), Mapping) and _refused(answer)]
    notes = (f"one of {len(entries)} entries in it",) if len(entries) > 1 else ()
    return (refused or signed or entries)[-1], notes


def _is_signed(entry: Mapping[str, Any]) -> bool:
    request = entry["request"]
    fields = _fields(request.get("headers", ())) if isinstance(request, Mapping) else []
    return any(name in SIGNATURE_FIELDS for name, _ in fields)


def _refused(answer: Mapping[str, Any]) -> bool:
    return answer.get("status") == 401


def _fields(given: Any) -> list[tuple[str, str]]:
    """Header fields as an object of strings or lists, as pairs, or as HAR writes them."""
    found: list[tuple[str, str]] = []
    items: Any = given.items() if isinstance(given, Mapping) else given
    if not isinstance(given, Mapping | list | tuple):
        raise CaptureError("`headers` is neither an object nor a list")
    for item in items:
        name, value = (item.get("name"), item.get("value")) if isinstance(item, Mapping) else _pair(item)
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(name, str) or not isinstance(each, str):
                raise CaptureError("a header field has a name and a value, both strings")
            if not name.startswith(":"):
                found.append((name.lower(), each.strip(" \t")))
    return found


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise CaptureError("a header field is a pair of name and value")
    return item[0], item[1]


def _body(request: Mapping[str, Any]) -> bytes | None:
    posted = request.get("postData")
    encoded = request.get("body_base64")
    text = posted.get("text") if isinstance(posted, Mapping) else request.get("body")
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise CaptureError("`body_base64` is not base64") from error
    return text.encode() if isinstance(text, str) else None


def _time(entry: Mapping[str, Any]) -> float | None:
    value = next((entry[name] for name in ("at", "time", "now", "startedDateTime") if name in entry), None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return read_time(value) if isinstance(value, str) else None


def read_time(text: str) -> float:
    """Seconds since the epoch, from a number, RFC 3339 or an HTTP date. Raises `CaptureError`."""
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", text.strip()):
        return float(text)
    try:
        parsed = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        try:
            parsed = parsedate_to_datetime(text)
        except (ValueError, TypeError) as error:
            raise CaptureError(f"{text[:40]!r} is no time: seconds since the epoch, or 2026-11-25T12:00:00Z") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _har_answer(response: Any) -> Answer | None:
    if not isinstance(response, Mapping) or not isinstance(response.get("status"), int):
        return None
    content = response.get("content")
    text = content.get("text") if isinstance(content, Mapping) else None
    body = text.encode() if isinstance(text, str) else b""
    return Answer(response["status"], tuple(_fields(response.get("headers", ()))), body)


def authority_in(url: str) -> tuple[str, str]:
    """Scheme and authority of a URL or an identifier. Raises `CaptureError`."""
    parted = urlsplit(url)
    if parted.scheme not in ("http", "https") or not parted.netloc:
        raise CaptureError(f"{url[:60]!r} is no http or https URL")
    return parted.scheme, parted.netloc
