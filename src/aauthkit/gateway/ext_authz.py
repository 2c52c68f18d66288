"""The messages of `envoy.service.auth.v3`, as far as the gateway reads and writes them.

Only field numbers and types travel, so these are messages of our own, with the numbers of the published ones, and clash
with no other package that has those. What is not named here is skipped as it is read.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

SERVICE: Final = "envoy.service.auth.v3.Authorization"
METHOD: Final = "Check"
OVERWRITE: Final = 2
"""The append action that replaces every value a field has."""

_PACKAGE: Final = "aauth.ext_authz"
_TYPES: Final[Mapping[str, int]] = {"int64": 3, "int32": 5, "string": 9, "bytes": 12, "enum": 5}
_MESSAGE: Final = 11
_OPTIONAL, _REPEATED = 1, 3

_Field = tuple[int, str]
_MESSAGES: Final[Mapping[str, Mapping[str, _Field]]] = {
    # What is asked. A map is, on the wire, a list of pairs; fields may hold any bytes, so texts of theirs are bytes.
    "CheckRequest": {"attributes": (1, "Attributes")},
    "Attributes": {"source": (1, "Peer"), "request": (4, "Asked"), "context_extensions": (10, "*Pair")},
    "Peer": {"address": (1, "Address")},
    "Address": {"socket_address": (1, "SocketAddress")},
    "SocketAddress": {"address": (2, "string")},
    "Asked": {"http": (2, "HttpRequest")},
    "HttpRequest": {
        "method": (2, "string"),
        "headers": (3, "*Pair"),
        "path": (4, "bytes"),
        "host": (5, "bytes"),
        "query": (7, "bytes"),
        "size": (9, "int64"),
        "body": (11, "bytes"),
        "raw_body": (12, "bytes"),
        "header_map": (13, "HeaderMap"),
    },
    "HeaderMap": {"headers": (1, "*HeaderValue")},
    "HeaderValue": {"key": (1, "bytes"), "value": (2, "bytes"), "raw_value": (3, "bytes")},
    "Pair": {"key": (1, "bytes"), "value": (2, "bytes")},
    # What is answered.
    "CheckResponse": {"status": (1, "Status"), "denied_response": (2, "Denied"), "ok_response": (3, "Allowed")},
    "Status": {"code": (1, "int32"), "message": (2, "string")},
    "Denied": {"status": (1, "HttpStatus"), "headers": (2, "*HeaderOption"), "body": (3, "bytes")},
    "HttpStatus": {"code": (1, "enum")},
    "Allowed": {"headers": (2, "*HeaderOption"), "headers_to_remove": (5, "*string")},
    "HeaderOption": {"header": (1, "HeaderValue"), "append_action": (3, "enum")},
}


@functools.cache
def message(name: str) -> Any:
    """The class of the message `name`."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="aauth/ext_authz.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _REPEATED if kind.startswith("*") else _OPTIONAL
            one = kind.removeprefix("*")
            made = declared.field.add(name=field, number=number, label=label, type=_TYPES.get(one, _MESSAGE))
            if one not in _TYPES:
                made.type_name = f".{_PACKAGE}.{one}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
