"""An adapter: answers vectors of the kind `base` with the library http-message-signatures (PyPI).

aauthkit vectors run --kind base --command 'python vectors/adapters/http_message_signatures_base.py'
"""

import json
import sys
from types import SimpleNamespace
from typing import Any

from http_message_signatures import HTTPMessageSignaturesException, HTTPMessageVerifier, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from http_sf import StructuredFieldError


def answer(vector: dict[str, Any]) -> dict[str, Any]:
    """What that library makes of one vector."""
    if vector["kind"] != "base":
        return {"skip": "only signature bases are looked at"}
    given, wire = vector["input"], vector["input"]["request"]
    headers: dict[str, list[str]] = {}
    for name, value in wire["headers"]:
        headers.setdefault(name, []).append(value)
    url = f"{wire['scheme']}://{given['authority']}{wire['target']}"
    message = SimpleNamespace(method=wire["method"], url=url, headers={n: ", ".join(v) for n, v in headers.items()})
    library = HTTPMessageVerifier(
        signature_algorithm=ED25519, key_resolver=MappingKeyResolver(public_keys={}, private_keys={})
    )
    try:
        entry: Any = library._parse_signature_dictionary(given["signature_input"])["sig"]
        found = library._build_signature_base(
            message, covered_component_ids=list(entry), signature_params=dict(entry.params)
        )
    except (
        HTTPMessageSignaturesException,
        StructuredFieldError,
        ValueError,
        AssertionError,
        AttributeError,
        TypeError,
    ):
        return {"error": {"code": "no_base"}}
    return {"result": {"base": found[0]}}


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
