"""The lines in which two bases differ, as causes: for a base that the signer gave, and that its signature is over."""

from __future__ import annotations

from collections.abc import Iterator

from .causes import Cause, cause
from .comparing import parted
from .places import authority_cause, authority_mend, path_cause, path_mend, path_said
from .queries import query_cause
from .scene import Scene
from .wording import plain, shortened, shown


def differences(signer: bytes, scene: Scene) -> Iterator[Cause]:
    """Each line of `signer`, the base that was signed, that is not the server's."""
    theirs = dict(parted(line) for line in signer.decode("utf-8", "replace").split("\n"))
    ours = {str(item): scene.values.get(str(item)) for item in scene.entry.components}
    ours['"@signature-params"'] = scene.entry.text
    found = 0
    for name, value in theirs.items():
        own = ours.get(name)
        if value != own:
            found += 1
            yield _cause(name, value, own, scene.request.scheme)
    if not found:
        what = "the signer's base has the same lines as the server's, in another order or with something between"
        yield cause("base.form", what, section="RFC 9421 §2.5")


def _cause(line: str, value: str, own: str | None, scheme: str) -> Cause:
    name = line.partition(";")[0].strip('"')
    if own is None:
        what = f"the signer's base has the line {plain(shortened(line, 60))}, for which the server has none"
        return cause("signer.base", what, section="RFC 9421 §2.5")
    what = f"{plain(name)} was signed as {shown(name, value) or 'an empty string'}; the server has {shown(name, own)}"
    if shown(name, value) == shown(name, own):
        what = f"{plain(name)} was signed as another value; the two are too secret to be shown, and differ"
    named = _name(name, value, own)
    mend = authority_mend(value, scheme) if named == "authority" else ""
    if name == "@path":
        what, mend = path_said(value, own), path_mend(named, value, own)
    return cause(named, what, mend=mend, section="RFC 9421 §2.5")


def _name(name: str, value: str, own: str) -> str:
    if name == "@authority":
        return authority_cause(value, own)
    if name == "@path":
        path, mark, _ = value.partition("?")
        return "path.query" if mark and path == own else path_cause(value, own)
    if name == "@query":
        return "query.mark" if value == own.removeprefix("?") else query_cause(value[1:], own[1:])
    names = {"@method": "method", "@scheme": "target.scheme", "@signature-params": "base.parameters"}
    return names.get(name, "signer.base" if name.startswith("@") else "field.changed")
