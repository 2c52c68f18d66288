"""An adapter: answers vectors of the kind `request` with the verifier of the library aauth (PyPI).

aauthkit vectors run --kind request --command 'python vectors/adapters/aauth_request.py --base64url'

It reads signatures in the URL-safe alphabet only, where RFC 9421 wants the other: without --base64url it accepts none.
"""

import base64
import json
import sys
import time
from typing import Any

import aauth


def answer(vector: dict[str, Any]) -> dict[str, Any]:
    """What that library makes of one vector."""
    given = vector["input"]
    if vector["kind"] != "request" or given.keys() & {"before", "cached", "need"} or given["server"].get("trusted"):
        return {"skip": "only single requests are looked at"}
    if given["server"]["schemes"] != ["jwt"] or len(given["server"]["token_types"]) != 3:
        return {"skip": "it serves one scheme, and every token"}
    wire, server = given["request"], given["server"]["identifier"]
    time.time = lambda: float(given["time"])

    def document(url: str) -> Any:
        found = given["documents"].get(url, {"status": 404, "body": ""})
        return json.loads(found["body"]) if found["status"] == 200 else None

    def fetch(issuer: str, dwk: str, _kid: str) -> Any:
        metadata = document(f"{issuer}/.well-known/{dwk}")
        return document(metadata["jwks_uri"]) if metadata and metadata.get("issuer") == issuer else {"keys": []}

    issuers = [url.partition("/.well-known/")[0] for url in given["documents"]]
    verifier = aauth.RequestVerifier(
        [server.partition("://")[2]],
        fetch,
        issuers,
        resource_id=server,
        additional_signature_components=given["server"]["components"],
        signature_window=given["server"]["window"],
        revocation_checker=lambda iss, jti, *_: [iss, jti] in given.get("revoked", []),
    )
    headers, body = dict(wire["headers"]), base64.b64decode(wire["body"]) or None
    if "--base64url" in sys.argv and "Signature" in headers:
        headers["Signature"] = headers["Signature"].translate({43: "-", 47: "_"}).replace("==:", ":")
    found = verifier.verify_request(wire["method"], server + wire["target"], headers, body)
    return {"result": {"sub": found["claims"]["sub"]}} if found["valid"] else {"error": {"code": found["error_code"]}}


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
