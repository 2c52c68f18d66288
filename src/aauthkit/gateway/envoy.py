"""The configuration of an Envoy that asks the gateway about every request, and of nothing it could be told otherwise.

Paths are passed on as they came: no normalisation, no merging of slashes, no port stripped, or signatures would not
verify. A check that cannot be had refuses. What the client sends of the gateway's own fields never arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from .. import hop
from ..protocol.identifiers import authority_of
from .configuration import Configuration, ResourceConfiguration
from .gate import STRIPPED
from .http_check import REMOVE

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
CHECK_SECONDS: Final = 10
"""Seconds that a decision may take before the request is refused."""
REQUEST_FIELDS: Final = (
    "signature",
    "signature-input",
    "signature-key",
    "content-digest",
    "content-type",
    "content-length",
    "authorization",
    "aauth-capabilities",
    "aauth-access",
    "traceparent",
    "tracestate",
    "prefer",
)
ANSWER_FIELDS: Final = (
    "aauth-requirement",
    "aauth-access",
    "signature-error",
    "accept-signature-scheme",
    "accept-signature-alg",
    "location",
    "retry-after",
    "link",
    "cache-control",
    "content-type",
    "x-correlation-id",
    "allow",
)


def configuration(
    gateway: Configuration,
    *,
    listen: tuple[str, int],
    check: tuple[str, int],
    certificate: tuple[str, str] | None = None,
    covered: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A complete static configuration: one listener for every resource, the HTTP check, one cluster per upstream.

    `certificate` is the path of a chain and of its key; `covered` are further fields that signatures may cover.
    """
    hosts = [_virtual_host(one, gateway.resources) for one in gateway.resources]
    manager = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "aauth",
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "use_remote_address": True,
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "server_header_transformation": "PASS_THROUGH",
        "http_filters": [*(_check(one, check, covered) for one in gateway.resources), _ROUTER],
        "route_config": {"name": "aauth", "virtual_hosts": hosts},
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if certificate is not None:
        chain["transport_socket"] = _tls(*certificate)
    clusters = [_cluster(_name(one), *_address_of(one.upstream)) for one in gateway.resources]
    clusters.append(_cluster("aauth-gateway", *check))
    listener = {"name": "aauth", "address": _address(*listen), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


_ROUTER: Final = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
}


def _name(resource: ResourceConfiguration) -> str:
    return f"upstream-{authority_of(resource.identifier)}"


def _filter_name(resource: ResourceConfiguration) -> str:
    return f"aauth-{authority_of(resource.identifier)}"


def _virtual_host(resource: ResourceConfiguration, every: Sequence[ResourceConfiguration]) -> dict[str, Any]:
    """A host of its own for each resource; the checks of the others are switched off there."""
    off = {"@type": f"{_EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
    return {
        "name": _name(resource),
        "domains": [authority_of(resource.identifier), f"{authority_of(resource.identifier)}:*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": _name(resource), "timeout": "0s"}}],
        "request_headers_to_remove": list(STRIPPED),
        "typed_per_filter_config": {_filter_name(one): off for one in every if one is not resource},
    }


def _check(resource: ResourceConfiguration, check: tuple[str, int], covered: tuple[str, ...]) -> dict[str, Any]:
    fields = (*REQUEST_FIELDS, *covered)
    config = {
        "@type": f"{_EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthz",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "http_service": {
            "server_uri": {
                "uri": f"http://{check[0]}:{check[1]}",
                "cluster": "aauth-gateway",
                "timeout": f"{CHECK_SECONDS}s",
            },
            "path_prefix": resource.path_prefix,
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"exact": hop.HEADER}]},
                "allowed_client_headers": {"patterns": [{"exact": name} for name in ANSWER_FIELDS]},
            },
        },
        "allowed_headers": {
            "patterns": [*({"exact": name} for name in fields), {"prefix": hop.PREFIX}],
        },
    }
    return {"name": _filter_name(resource), "typed_config": config}


def _tls(chain: str, key: str) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}],
            },
        },
    }


def _cluster(name: str, host: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    return {
        "name": name,
        "type": "STATIC" if host.replace(".", "").isdecimal() else "STRICT_DNS",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


__all__ = ["REMOVE", "configuration"]
