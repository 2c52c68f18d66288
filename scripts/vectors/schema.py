"""The form of a file of vectors, as a JSON schema."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {}
BASE64: Schema = {"type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$"}
FIELDS: Schema = {
    "type": "array",
    "items": {"type": "array", "prefixItems": [TEXT, TEXT], "minItems": 2, "maxItems": 2},
}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def thing(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these members and no other."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


REQUEST = thing({"method": TEXT, "scheme": TEXT, "target": TEXT, "headers": FIELDS, "body": BASE64})
RESPONSE = thing({"status": INTEGER, "headers": FIELDS, "body": TEXT})
DOCUMENTS: Schema = {"type": "object", "additionalProperties": {"$ref": "#/$defs/document"}}
TRUSTED: Schema = {"type": ["object", "null"], "additionalProperties": listed(TEXT)}
REVOKED = listed({"type": "array", "prefixItems": [TEXT, TEXT], "minItems": 2, "maxItems": 2})
SERVER = thing(
    {
        "identifier": TEXT,
        "schemes": listed(TEXT),
        "token_types": listed(TEXT),
        "documents": listed(TEXT),
        "body": FLAG,
        "query": FLAG,
        "components": listed(TEXT),
        "window": INTEGER,
    },
    {"trusted": TRUSTED},
)
_BEFORE = listed(
    thing({"request": {"$ref": "#/$defs/request"}, "time": INTEGER}, {"server": {"$ref": "#/$defs/server"}})
)
_CACHED = thing({"documents": DOCUMENTS, "time": INTEGER, "keys": listed(listed(TEXT))})
_SIGNED: dict[str, Schema] = {"authority": TEXT, "request": {"$ref": "#/$defs/request"}}
_TOKEN: dict[str, Schema] = {"time": INTEGER, "key": TEXT, "documents": DOCUMENTS}
_HELD: dict[str, Schema] = {**_TOKEN, "held": TEXT, "resource_token": TEXT}

INPUTS: dict[str, Schema] = {
    "request": thing(
        {
            "time": INTEGER,
            "server": {"$ref": "#/$defs/server"},
            "request": {"$ref": "#/$defs/request"},
            "documents": DOCUMENTS,
        },
        {
            "need": thing({"level": {"enum": ["agent", "person", "grant"]}, "scope": listed(TEXT)}),
            "before": _BEFORE,
            "cached": _CACHED,
            "revoked": REVOKED,
        },
    ),
    "token": {
        "oneOf": [
            thing(
                {
                    **_TOKEN,
                    "as": {"const": "parameters"},
                    "server": thing({"identifier": TEXT, "trusted": TRUSTED}),
                    "resource_token": TEXT,
                    "presented_token": TEXT,
                    "revoked": REVOKED,
                }
            ),
            thing({**_HELD, "as": {"const": "challenge"}, "resource": TEXT, "person_server": TEXT}),
            thing({**_HELD, "as": {"const": "auth_token"}, "token": TEXT}),
            thing(
                {
                    **_TOKEN,
                    "as": {"const": "person_token"},
                    "person_server": TEXT,
                    "resource": TEXT,
                    "latest": INTEGER,
                    "token": TEXT,
                }
            ),
        ]
    },
    "mint": thing({"typ": TEXT, "key": TEXT, "bound": TEXT, "claims": {"type": "object"}}),
    "base": thing({**_SIGNED, "signature_input": TEXT}),
    "sign": thing(
        {**_SIGNED, "key": TEXT, "signature_key": TEXT, "label": TEXT, "covered": listed(TEXT), "created": INTEGER},
        {"expires": INTEGER, "nonce": TEXT},
    ),
    "digest": thing({"values": listed(TEXT), "body": BASE64}),
    "key": {"oneOf": [thing({"jwk": ANYTHING}), thing({"jwks": ANYTHING, "kid": TEXT}), thing({"private": ANYTHING})]},
    "identifier": thing(
        {"type": {"enum": ["server", "agent", "local", "endpoint", "url", "scope", "code"]}, "value": ANYTHING},
        {"entered": TEXT},
    ),
    "metadata": thing({"document": TEXT, "issuer": TEXT, "body": TEXT}),
    "signature-key": thing({"values": listed(TEXT)}),
    "field": thing({"name": TEXT, "values": listed(TEXT)}),
    "response": thing({"url": TEXT, "response": RESPONSE}, {"to": {"const": "revocation"}}),
    "error": thing(
        {"where": {"enum": ["signature-error", "body"]}, "code": TEXT},
        {"required_input": listed(TEXT), "accept_schemes": listed(TEXT), "accept_algs": listed(TEXT)},
    ),
    "mission": thing({"blob": BASE64, "s256": TEXT}),
    "body": thing(
        {
            "type": {"enum": ["revocation", "person-token-request", "auth-token-request", "clarification"]},
            "body": BASE64,
        }
    ),
}

EXPECTED: Schema = {
    "oneOf": [
        thing({"result": {"type": "object"}}),
        thing(
            {
                "error": thing(
                    {"code": TEXT},
                    {
                        "status": INTEGER,
                        "also": listed(TEXT),
                        "headers": {"type": "object", "additionalProperties": TEXT},
                    },
                )
            }
        ),
    ]
}

LIVE = thing(
    {
        "level": {"enum": ["agent", "person", "grant"]},
        "request": {"$ref": "#/$defs/request"},
        "key": TEXT,
        "label": TEXT,
        "presents": {
            "oneOf": [
                thing({"value": TEXT}),
                thing({"scheme": TEXT, "token": thing({"key": TEXT, "header": ANYTHING, "claims": ANYTHING})}),
            ]
        },
        "covered": listed(TEXT),
        "params": listed({"type": "array", "minItems": 2, "maxItems": 2}),
        "changes": listed(listed(TEXT)),
    },
)

_VECTOR = thing(
    {
        "id": {"type": "string", "pattern": "^[a-z0-9][A-Za-z0-9_.-]*$"},
        "title": {"type": "string", "minLength": 1},
        "kind": {"enum": list(INPUTS)},
        "sections": {**listed({"type": "string", "pattern": "^((SK|RFC [0-9]{4}) )?§[0-9A-Z][0-9.]*$"}), "minItems": 1},
        "input": {"type": "object"},
        "expected": {"$ref": "#/$defs/expected"},
    },
    {"stricter": {"type": "string", "minLength": 1}, "live": {"$ref": "#/$defs/live"}},
)

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A file of vectors",
    **thing(
        {
            "group": {"type": "string", "pattern": "^[a-z-]+$"},
            "about": TEXT,
            "vectors": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/vector"}},
        }
    ),
    "$defs": {
        "vector": {
            **_VECTOR,
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": kind}}},
                    "then": {"properties": {"input": {"$ref": f"#/$defs/input-{kind}"}}},
                }
                for kind in INPUTS
            ],
        },
        "request": REQUEST,
        "document": RESPONSE,
        "server": SERVER,
        "expected": EXPECTED,
        "live": LIVE,
        **{f"input-{kind}": schema for kind, schema in INPUTS.items()},
    },
}
