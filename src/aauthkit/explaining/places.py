"""How method, scheme, authority and path may have been other for the signer than for the server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from posixpath import normpath
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ..protocol.components import normal_authority
from .scene import Change, Scene
from .wording import plain, shortened, shown

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
PREFIXES: Final = ("/api", "/v1", "/api/v1", "/app", "/aauth")
"""Prefixes that proxies often strip, tried where no header tells of one."""
PORTS: Final = (":443", ":80", ":8443", ":8080", ":8000")
PATH_HEADERS: Final = (
    "x-original-uri", "x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-envoy-original-path", "x-original-path",
)  # fmt: skip
"""Where proxies write the path as it came to them."""
HOST_HEADERS: Final = ("host", "x-forwarded-host", "x-original-host", "x-host", "x-forwarded-server")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"%(2D|2E|5F|7E|3[0-9]|[46][1-9A-F]|[57][0-9A])", re.IGNORECASE)


def place_changes(scene: Scene) -> list[Change]:
    """Changes of method, scheme, authority and path; the likely ones first."""
    return [*_authorities(scene), *_paths(scene), *_methods(scene), *_schemes(scene)]


def _methods(scene: Scene) -> Iterator[Change]:
    own = scene.request.method
    override = scene.request.values("x-http-method-override")
    for method in dict.fromkeys((*override, own.upper(), own.lower(), *METHODS)):
        if method != own:
            what = f"@method was signed as {plain(method[:16])}; the server got {plain(own[:16])}"
            yield Change("method", "method", what, {"@method": method})


def _schemes(scene: Scene) -> Iterator[Change]:
    if scene.covers("@scheme", "@target-uri"):
        own = scene.request.scheme.lower()
        for scheme in {"https", "http"} - {own}:
            what = f"the scheme was signed as {scheme}; the server believes {own}"
            yield Change("target.scheme", "target.scheme", what, {"@scheme": scheme})


def _authorities(scene: Scene) -> Iterator[Change]:
    own = normal_authority(scene.request.scheme, scene.request.authority)
    seen = {own}
    for cause, authority in _authority_candidates(scene, own):
        if authority not in seen:
            seen.add(authority)
            yield _authority(cause, authority, own, scene.request.scheme)


def _authority(cause: str, authority: str, own: str, scheme: str) -> Change:
    said = f"signed for {plain(shortened(authority)) or 'an empty authority'}; this server is {plain(shortened(own))}"
    mend = authority_mend(authority, scheme) if cause == "authority" else ""
    return Change("authority", cause, said, {"@authority": authority}, mend=mend)


def authority_mend(authority: str, scheme: str) -> str:
    """What to do about a request that was signed for another authority."""
    named = f"{scheme.lower()}://{plain(shortened(authority))}"
    return (
        f"Call it by its own name, or give it the identifier {named}: that is configured, never taken from a request."
    )


def _authority_candidates(scene: Scene, own: str) -> Iterator[tuple[str, str]]:
    request, sent = scene.request, scene.sent
    bare = re.sub(r":[0-9]+\Z", "", own)
    named = [sent.authority or "", *(value for name in HOST_HEADERS for value in request.values(name))]
    named += [part.strip() for value in named for part in value.split(",")]
    named += re.findall(r'host="?([^;,"]+)', ", ".join(request.values("forwarded")), re.IGNORECASE)
    for value in filter(None, named):
        normal = normal_authority(sent.scheme or request.scheme, value)
        for form in (normal, value):
            yield authority_cause(form, own), form
    yield "authority.port", bare
    for form in (own.upper(), own.capitalize()):
        yield "authority.form", form
    for port in PORTS:
        yield "authority.port" if port not in (":443", ":80") else "authority.form", f"{bare}{port}"
    for form in (f"{request.scheme}://{own}", f"{own}.", f"{request.scheme}://{own}{request.path}", ""):
        yield "authority.form", form
    for other in (bare.removeprefix("www."), f"www.{bare}", bare.removeprefix("api."), f"api.{bare}"):
        yield "authority", other
    for local in ("localhost", "127.0.0.1"):
        for port in ("", ":8000", ":8080", ":3000", ":5000", ":8443"):
            yield "authority", f"{local}{port}"


def authority_cause(value: str, own: str) -> str:
    """What two authorities differ in; `own` is the server's, in normal form."""
    lowered = value.lower()
    if lowered == own or lowered in (f"{own}:443", f"{own}:80"):
        return "authority.form"
    same_host = re.sub(r":[0-9]+\Z", "", lowered) == re.sub(r":[0-9]+\Z", "", own)
    return "authority.port" if same_host else "authority"


def _paths(scene: Scene) -> Iterator[Change]:
    own = scene.request.path
    seen = {own}
    for cause, path in _path_candidates(scene, own):
        if path not in seen and path.isascii():
            seen.add(path)
            yield Change("path", cause, path_said(path, own), {"@path": path}, mend=path_mend(cause, path, own))
    for cause, value in _lines_of_path(scene, own):
        yield Change("path", cause, path_said(value, own), literal={"@path": value})


def path_said(path: str, own: str) -> str:
    """The sentence for a path that was signed as another than the server's."""
    return f"@path was signed as {shown('@path', path) or 'an empty string'}; the server saw {shown('@path', own)}"


def path_mend(cause: str, path: str, own: str) -> str:
    """What to do about a prefix that is missing, by its name; empty for anything else."""
    prefix = path.removesuffix(own) if own != "/" else path
    if cause != "path.prefix" or not path.endswith(own) or not prefix.startswith("/"):
        return ""
    return (
        f"Tell the server what its proxy strips, path_prefix={shown('@path', prefix)!r}, or let the proxy pass it on."
    )


def _lines_of_path(scene: Scene, own: str) -> Iterator[tuple[str, str]]:
    """What some write in the line of @path, whatever the path itself is."""
    request = scene.request
    if request.query is not None:
        yield "path.query", f"{own}?{request.query}"
    sent_query = scene.sent.target.partition("?")[2]
    if sent_query and sent_query != request.query:
        yield "path.query", scene.sent.target
    yield "base.form", f"{request.scheme}://{normal_authority(request.scheme, request.authority)}{own}"
    yield "base.form", own.removeprefix("/")


def _path_candidates(scene: Scene, own: str) -> Iterator[tuple[str, str]]:
    sent = scene.sent.target.partition("?")[0]
    yield path_cause(sent, own), sent
    for told in _told(scene):
        yield path_cause(told, own), told
    for prefix in _prefixes(scene):
        yield "path.prefix", f"{prefix}{own}" if own != "/" else prefix
        yield "path.prefix", f"{prefix}{own}"
    segments = own.split("/")[1:]
    for count in range(1, min(len(segments), 6)):
        yield "path.prefix", "/" + "/".join(segments[count:])
    yield from _rewritten(own)
    for prefix in PREFIXES:
        yield "path.prefix", f"{prefix}{own}"


def _told(scene: Scene) -> Iterator[str]:
    """Paths that a proxy wrote down as they came to it."""
    for name in PATH_HEADERS:
        for value in scene.request.values(name):
            told = urlsplit(value).path if "://" in value else value.partition("?")[0]
            if told.startswith("/"):
                yield told


def _prefixes(scene: Scene) -> Iterable[str]:
    """Prefixes that a proxy says it stripped."""
    told = [value.strip() for name in ("x-forwarded-prefix", "x-script-name") for value in scene.request.values(name)]
    return dict.fromkeys("/" + value.strip("/") for value in told if value.strip("/"))


def _rewritten(own: str) -> Iterator[tuple[str, str]]:
    """The path as libraries and proxies rewrite it."""
    slash = own.removesuffix("/") if own.endswith("/") else f"{own}/"
    yield "path.normalised", slash or "/"
    yield "path.normalised", re.sub(r"//+", "/", own)
    for found in list(re.finditer("/", own))[:8]:
        yield "path.normalised", f"{own[: found.start()]}/{own[found.start() :]}"
    yield "path.normalised", normpath(own) + ("/" if own.endswith("/") and normpath(own) != "/" else "")
    yield "path.encoding", _ESCAPE.sub(lambda found: found.group().upper(), own)
    yield "path.encoding", _ESCAPE.sub(lambda found: found.group().lower(), own)
    yield "path.encoding", _UNRESERVED.sub(lambda found: unquote(found.group()), own)
    yield "path.encoding", unquote(own, "latin-1")
    yield "path.encoding", quote(own, safe="/%:@!$&'()*+,;=-._~")
    yield "path.encoding", quote(own, safe="/")
    yield "path.encoding", quote(unquote(own), safe="/:@!$&'()*+,;=-._~")
    yield "path.encoding", quote(unquote(own), safe="/")
    yield "path.encoding", own.replace("~", "%7E")
    yield "path.encoding", own.replace("+", "%20")
    yield "path.encoding", own.replace("%20", "+")
    yield "path.encoding", own.replace("%2F", "/").replace("%2f", "/")
    yield "path.parameters", re.sub(r";[^/]*", "", own)
    yield "path.normalised", own.lower()
    yield "path", "/"
    yield "path", ""


def path_cause(value: str, own: str) -> str:
    """What two paths differ in, as far as one look tells."""
    if (own != "/" and value.endswith(own)) or (value != "/" and own.endswith(value)):
        return "path.prefix"
    if re.sub(r"/+", "/", value).rstrip("/") == re.sub(r"/+", "/", own).rstrip("/"):
        return "path.normalised"
    return "path.encoding" if unquote(value) == unquote(own) else "path"
