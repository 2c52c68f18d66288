"""The configuration of an agentgateway that asks the gateway, over gRPC alone: over HTTP it lets any 2xx through.

Conditions belong to the gateway's own rules: list entries of its `allow` are joined by OR, and an error in its `deny`
denies nothing.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ..protocol.identifiers import authority_of
from ..resource.routes import JWKS_PATH, METADATA_PATH
from ..resource.server import ENDPOINTS
from .configuration import Configuration, ResourceConfiguration
from .grpc_check import RESOURCE


def configuration(gateway: Configuration, *, check: str, own: str) -> dict[str, Any]:
    """A complete configuration; `check` and `own` are host and port of the gRPC check and of the own paths."""
    listener = gateway.listener
    routes = [route for one in gateway.resources for route in _routes(one, check, own)]
    entry: dict[str, Any] = {"name": "aauth", "routes": routes}
    if listener.certificate is not None and listener.key is not None:
        entry |= {"protocol": "HTTPS", "tls": {"cert": str(listener.certificate), "key": str(listener.key)}}
    return {"binds": [{"port": listener.address.port, "listeners": [entry]}]}


def _routes(resource: ResourceConfiguration, check: str, own: str) -> list[dict[str, Any]]:
    authority = authority_of(resource.identifier)
    routes: list[dict[str, Any]] = [
        {
            "name": f"own-{authority}-{number}",
            "hostnames": [authority],
            "matches": [{"path": {"pathPrefix" if path == ENDPOINTS else "exact": path}}],
            "policies": {
                "urlRewrite": {
                    "authority": "none",
                    "path": {"prefix" if path == ENDPOINTS else "full": f"{resource.path_prefix}{path}"},
                }
            },
            "backends": [{"host": own}],
        }
        for number, path in enumerate((METADATA_PATH, JWKS_PATH, ENDPOINTS))
    ]
    parts = urlsplit(resource.upstream)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    policies: dict[str, Any] = {
        "extAuthz": {
            "host": check,
            "failureMode": "deny",
            "protocol": {"grpc": {"context": {RESOURCE: resource.identifier}}},
            "includeRequestBody": {
                "maxRequestBytes": resource.body_bytes,
                "allowPartialMessage": False,
                "packAsBytes": True,
            },
        },
        "urlRewrite": {"authority": "none"},
        "timeout": {"requestTimeout": f"{resource.deadline}s"},
    }
    if parts.scheme == "https":
        policies["backendTLS"] = {"root": str(resource.upstream_ca)} if resource.upstream_ca else {}
    backend = {"backends": [{"host": f"{parts.hostname}:{port}"}]}
    routes.append({"name": authority, "hostnames": [authority], "policies": policies, **backend})
    return routes
