"""What a signature covers: component identifiers and their values (RFC 9421 §2).

A component is a header field or a derived one such as `@path`, with parameters. Request components only: this profile
signs no responses, so `req`, `tr` and `@status` are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Final
from urllib.parse import parse_qsl, quote

from http_sf.retrofit import retrofit

from .messages import SignedRequest
from .structured import (
    Bare,
    FieldError,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_dictionary,
    serialize_item,
    serialize_list,
)

_FIELD_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+\Z")
_UNSIGNABLE = re.compile(r"[^\t\x20-\x7E]")
_FIELD_PARAMS: Final = frozenset({"sf", "key", "bs"})

_KNOWN_TYPES: Final[Mapping[str, str]] = {
    **{name: str(kind) for name, kind in retrofit.items()},
    "signature": "dictionary",
    "signature-input": "dictionary",
    "signature-key": "dictionary",
    "accept-signature": "dictionary",
    "content-digest": "dictionary",
    "repr-digest": "dictionary",
    "want-content-digest": "dictionary",
    "want-repr-digest": "dictionary",
    "aauth-requirement": "dictionary",
    "aauth-capabilities": "list",
    "priority": "dictionary",
}


class ComponentError(ValueError):
    """A component that cannot be named or that this message does not have."""


@dataclass(frozen=True, slots=True)
class Component:
    """A component identifier: a name and its parameters (RFC 9421 §2)."""

    name: str
    params: tuple[tuple[str, Bare], ...] = ()

    @property
    def bare(self) -> bool:
        """Whether it has no parameters: a required component counts only so."""
        return not self.params

    @property
    def identity(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """What two identifiers are compared by: the order of parameters does not count (RFC 9421 §2)."""
        return self.name, frozenset((name, repr(value)) for name, value in self.params)

    def __str__(self) -> str:
        return serialize_item(self.name, dict(self.params))


def component(name: str, /, **params: Bare) -> Component:
    """A component identifier written by hand: `component("@query-param", name="q")`."""
    return Component(name, tuple(params.items()))


def _unfolded(value: str) -> str:
    """One field line, stripped, each obsolete fold made one space (RFC 9421 §2.1). In time linear in its length."""
    if "\n" not in value:
        return value.strip(" \t")
    first, *rest = value.replace("\r\n", "\n").split("\n")
    if any(line[:1] not in (" ", "\t") for line in rest):
        raise ComponentError("a field value breaks the line")  # not a fold: RFC 9421 §7.5.5
    return " ".join(line.strip(" \t") for line in (first, *rest)).strip(" \t")


def _lines(request: SignedRequest, name: str) -> list[str]:
    values = request.values(name)
    if not values:
        raise ComponentError(f"the request has no field {name!r}")
    return [_unfolded(value) for value in values]


def field_value(request: SignedRequest, name: str) -> str:
    """A field's combined value (RFC 9421 §2.1): lines stripped, folds made one space, joined with `, `."""
    return ", ".join(_lines(request, name))


def _strict_field(request: SignedRequest, name: str) -> str:
    """`sf`: the field as RFC 9651 would write it (RFC 9421 §2.1.1)."""
    kind = _KNOWN_TYPES.get(name)
    values = [field_value(request, name)]
    if kind == "dictionary":
        return serialize_dictionary(parse_dictionary(values))
    if kind == "list":
        return serialize_list(parse_list(values))
    if kind == "item":
        return serialize_item(*parse_item(values[0]))
    raise ComponentError(f"the structured type of {name!r} is not known")


def _dictionary_member(request: SignedRequest, name: str, key: Bare) -> str:
    """`key`: one member of a Dictionary field (RFC 9421 §2.1.2)."""
    if not isinstance(key, str):
        raise ComponentError("the parameter key is a string")
    if _KNOWN_TYPES.get(name, "dictionary") != "dictionary":
        raise ComponentError(f"the field {name!r} is not a Dictionary")
    members = parse_dictionary([field_value(request, name)])
    if key not in members:
        raise ComponentError(f"the field {name!r} has no member {key!r}")
    member = members[key]
    if isinstance(member[0], list):
        return serialize_list([member])
    return serialize_item(member[0], member[1])


def _binary_wrapped(request: SignedRequest, name: str) -> str:
    """`bs`: every line as a byte sequence (RFC 9421 §2.1.3)."""
    return serialize_list([(line.encode("latin-1"), {}) for line in _lines(request, name)])


def is_field_name(name: str) -> bool:
    """Whether this can name a field that is covered: a lower-case field name (RFC 9421 §2.1)."""
    return _FIELD_NAME.match(name) is not None


def _field(request: SignedRequest, item: Component) -> str:
    params = dict(item.params)
    if not is_field_name(item.name):
        raise ComponentError(f"{item.name!r} is not a lower-case field name")
    if not params.keys() <= _FIELD_PARAMS:
        raise ComponentError(f"a parameter of {item.name!r} is not taken here")
    if "bs" in params and len(params) > 1:
        raise ComponentError("bs stands with neither sf nor key")
    for flag in ("sf", "bs"):
        if params.get(flag, True) is not True:
            raise ComponentError(f"the parameter {flag} has no value")
    if "key" in params:
        return _dictionary_member(request, item.name, params["key"])
    if "sf" in params:
        return _strict_field(request, item.name)
    if "bs" in params:
        return _binary_wrapped(request, item.name)
    return field_value(request, item.name)


@lru_cache(maxsize=128)
def normal_authority(scheme: str, authority: str) -> str:
    """An authority as it is signed: lower case, without the scheme's default port (RFC 9421 §2.2.3)."""
    lowered = authority.lower()
    default = {"https": ":443", "http": ":80"}.get(scheme.lower(), "")
    return lowered.removesuffix(default) if default else lowered


def _query(request: SignedRequest) -> str:
    return "?" + (request.query or "")  # RFC 9421 §2.2.7: an absent query is a lone question mark


def _target(request: SignedRequest) -> str:
    return request.path if request.query is None else f"{request.path}?{request.query}"


DERIVED: Final[Mapping[str, Callable[[SignedRequest], str]]] = {
    "@method": attrgetter("method"),
    "@authority": lambda r: normal_authority(r.scheme, r.authority),
    "@scheme": lambda r: r.scheme.lower(),
    "@target-uri": lambda r: f"{r.scheme.lower()}://{normal_authority(r.scheme, r.authority)}{_target(r)}",
    "@request-target": _target,
    "@path": lambda r: r.target.partition("?")[0] or "/",
    "@query": _query,
}
"""The derived components that take no parameters, and how each comes out of a request (RFC 9421 §2.2)."""


def _form_encoded(text: str) -> str:
    """The percent-encoding of HTML forms, but `%20` for a space (RFC 9421 §2.2.8); unlike in a URL `~` is encoded."""
    return quote(text, safe="*-._").replace("~", "%7E")


def _query_param(request: SignedRequest, params: Mapping[str, Bare]) -> str:
    """One named parameter of the query, decoded and encoded anew (RFC 9421 §2.2.8)."""
    name = params.get("name")
    if not isinstance(name, str) or len(params) != 1:
        raise ComponentError("@query-param takes the parameter name, a string")
    # Bytes that are no UTF-8 are refused, not replaced: two different queries would have one value (RFC 9421 §2.2.8).
    pairs = parse_qsl(request.query or "", keep_blank_values=True, max_num_fields=256, errors="strict")
    found = [value for key, value in pairs if _form_encoded(key) == name]
    if len(found) != 1:
        raise ComponentError(f"the query has {len(found)} parameters {name!r}, not one")
    return _form_encoded(found[0])


def component_value(request: SignedRequest, item: Component) -> str:
    """The value of `item` in `request`, as it stands in the signature base: printable ASCII (RFC 9421 §2.5).

    Raises `ComponentError`; a field with other bytes can only be covered with `bs`.
    """
    try:
        if not item.name.startswith("@"):
            value = _field(request, item)
        elif item.name == "@query-param":
            value = _query_param(request, dict(item.params))
        elif item.name not in DERIVED:
            raise ComponentError(f"{item.name!r} is not a component of a request")
        elif item.params:
            raise ComponentError(f"{item.name!r} takes no parameters in a request")
        else:
            value = DERIVED[item.name](request)
    except (FieldError, ValueError) as error:
        raise ComponentError(str(error)) from error
    if _UNSIGNABLE.search(value):
        raise ComponentError(f"the value of {item.name!r} breaks the line or is not printable ASCII")
    return value
