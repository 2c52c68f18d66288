"""A WSGI environment as a request: target, fields, and a body that is compared as it is read (PEP 3333)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from ..protocol.httpsig import DigestCheck, DigestMismatch
from ..protocol.messages import HeaderList
from ..protocol.problems import SignatureFailure
from ..serving import BytesBody, Request

Environ = dict[str, Any]

_PATH_SAFE: Final = "/:@!$&'()*+,;=-._~"


class Readable(Protocol):
    """What `wsgi.input` is."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""
        ...


def target_of(environ: Mapping[str, Any], prefix: str) -> str:
    """The request target as its sender wrote it, where the server says so; else the decoded path, encoded anew.

    gunicorn and werkzeug say it as `RAW_URI`, others as `REQUEST_URI`. `prefix` is a path that a proxy stripped.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw is None:
        path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe=_PATH_SAFE)
        query = environ.get("QUERY_STRING", "")
        raw = f"{path or '/'}{'?' if query else ''}{query}"
    if not raw.startswith("/"):
        return str(raw)
    path = raw.partition("?")[0]
    given = f"{environ.get('SCRIPT_NAME', '')}/".startswith(f"{prefix}/") and f"{path}/".startswith(f"{prefix}/")
    return f"{prefix}{raw}" if prefix and not given else str(raw)


def headers_of(environ: Mapping[str, Any]) -> HeaderList:
    """The fields, names in lower case. A field that came twice is one here, joined by a comma as WSGI servers do."""
    found = [
        (name[5:].replace("_", "-").lower(), str(value)) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            found.append((name.replace("_", "-").lower(), str(environ[name])))
    return tuple(found)


def request_of(environ: Mapping[str, Any], prefix: str) -> Request:
    """The request; nothing of its body has been read."""
    method, peer = environ["REQUEST_METHOD"], environ.get("REMOTE_ADDR")
    return Request(method, target_of(environ, prefix), headers_of(environ), BytesBody(), peer)


def path_within(environ: Mapping[str, Any]) -> str:
    """The decoded path below the mount."""
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace") or "/"


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The body, or its first `limit + 1` bytes where it is longer."""
    stream: Readable = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        length = limit + 1
    else:
        declared = str(environ.get("CONTENT_LENGTH") or "0")
        length = min(int(declared[:12]) if declared.isdecimal() else 0, limit + 1)
    pieces: list[bytes] = []
    while length > 0 and (piece := stream.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


class CheckedInput(io.RawIOBase):
    """A `wsgi.input` that fails where the body is not the one that was signed. `failure` is set once it has."""

    def __init__(self, stream: Readable, length: int | None, check: DigestCheck) -> None:
        self._stream = stream
        self._left = length
        self._check = check
        self._ended = False
        self.failure: SignatureFailure | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read on. Raises `SignatureFailure` in place of the body's end."""
        if self.failure is not None:
            raise self.failure
        if self._ended:
            return 0
        room = len(buffer) if self._left is None else min(len(buffer), self._left)
        piece = self._stream.read(room) if room else b""
        buffer[: len(piece)] = piece
        if self._left is not None:
            self._left -= len(piece)
        self._check.update(piece)
        if not piece or self._left == 0:
            self._end()
        return len(piece)

    def _end(self) -> None:
        self._ended = True
        try:
            self._check.finish()
        except DigestMismatch as error:
            self.failure = SignatureFailure("invalid_signature", str(error))
            raise self.failure from error
