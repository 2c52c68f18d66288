"""The configuration of an Envoy that asks the gateway about every request, and of nothing it could be told otherwise.

Paths are passed on as they came: no normalisation, no merging of slashes, no port stripped, or signatures would not
verify. A check that cannot be had refuses. What the client sends of the gateway's own fields never arrives. Under TLS
each resource has a chain of its own, found by the name the client asked for, and an authority that is another is 421.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from .. import hop
from ..protocol.identifiers import authority_of, host_of
from ..resource.routes import JWKS_PATH, METADATA_PATH
from ..resource.server import ENDPOINTS
from .configuration import Configuration, ResourceConfiguration, Route
from .gate import STRIPPED
from .grpc_check import RESOURCE
from .http_check import REMOVE

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
_FILTER: Final = f"{_EXTENSIONS}.filters.http.ext_authz.v3"
CHECK_SECONDS: Final = 10
"""Seconds that a decision may take before the request is refused."""
CHECK: Final = "aauth-gateway"
OWN: Final = "aauth-own-paths"
"""The clusters of the check, and of the resources' own paths."""
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

Address = tuple[str, int]


def configuration(
    gateway: Configuration,
    *,
    listen: Address,
    check: Address,
    own: Address | None = None,
    grpc: bool = False,
    certificate: tuple[str, str] | None = None,
    covered: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A complete static configuration: one listener for every resource, the check, one cluster per upstream.

    `own` is where the resources' own paths are answered. `certificate` is the path of a chain and of its key; `covered`
    are further fields that signatures may cover, which the check over HTTP would not be told of else.
    """
    made = _Made(check, own, grpc, covered)
    listener: dict[str, Any] = {"name": "aauth", "address": _address(*listen)}
    if certificate is None:
        listener["filter_chains"] = [{"filters": [made.manager(gateway.resources)]}]
    else:
        listener["listener_filters"] = [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {"@type": f"{_EXTENSIONS}.filters.listener.tls_inspector.v3.TlsInspector"},
            }
        ]
        listener["filter_chains"] = [
            {
                "name": host,
                "filter_chain_match": {"server_names": [host]},
                "filters": [made.manager([one for one in gateway.resources if host_of(one.identifier) == host])],
                "transport_socket": _tls(*certificate),
            }
            for host in dict.fromkeys(host_of(one.identifier) for one in gateway.resources)
        ]
    clusters = [_upstream(one) for one in gateway.resources]
    clusters.append(_cluster(CHECK, *check, http2=grpc))
    if own is not None:
        clusters.append(_cluster(OWN, *own))
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


class _Made:
    """What every chain of one configuration shares."""

    def __init__(self, check: Address, own: Address | None, grpc: bool, covered: tuple[str, ...]) -> None:
        self._check = check
        self._own = own
        self._grpc = grpc
        self._covered = covered

    def manager(self, resources: Sequence[ResourceConfiguration]) -> dict[str, Any]:
        """The connection manager for these resources, and for no other authority."""
        hosts = [self._host(one, resources) for one in resources]
        nobody = {"match": {"prefix": "/"}, "direct_response": {"status": 421}}
        hosts.append(
            {
                "name": "nobody",
                "domains": ["*"],
                "routes": [nobody],
                "typed_per_filter_config": {name: _OFF for name in self._filters(resources)},
            }
        )
        config = {
            "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "aauth",
            "normalize_path": False,
            "merge_slashes": False,
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
            "use_remote_address": True,
            "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
            "server_header_transformation": "PASS_THROUGH",
            "http_filters": [*self._filters(resources).values(), _ROUTER],
            "route_config": {"name": "aauth", "virtual_hosts": hosts},
        }
        return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}

    def _filters(self, resources: Sequence[ResourceConfiguration]) -> dict[str, dict[str, Any]]:
        """The checks by name: one over gRPC for all of them; over HTTP one for each, since its prefix names it."""
        if self._grpc:
            return {CHECK: {"name": CHECK, "typed_config": self._grpc_check()}}
        return {_name(one): {"name": _name(one), "typed_config": self._http_check(one)} for one in resources}

    def _host(self, resource: ResourceConfiguration, every: Sequence[ResourceConfiguration]) -> dict[str, Any]:
        """A host of its own for each resource; the checks of the others are switched off there."""
        mine = CHECK if self._grpc else _name(resource)
        settings: dict[str, Any] = {name: _OFF for name in self._filters(every) if name != mine}
        if self._grpc:
            settings[CHECK] = _settings({"context_extensions": {RESOURCE: resource.identifier}})
        upstream = {
            "route": {"cluster": _cluster_name(resource), "timeout": "0s", "idle_timeout": f"{resource.deadline}s"},
            "request_headers_to_remove": list(STRIPPED),
        }
        routes = self._own_routes(resource, mine) if self._own is not None else []
        routes += [
            {"match": _match(one), **upstream, "typed_per_filter_config": {mine: self._buffering(resource)}}
            for one in resource.routes
            if one.body == "buffer"
        ]
        routes.append({"match": {"prefix": "/"}, **upstream})
        authority = authority_of(resource.identifier)
        host = {"name": _cluster_name(resource), "domains": _domains(authority), "routes": routes}
        return {**host, "typed_per_filter_config": settings}

    def _own_routes(self, resource: ResourceConfiguration, mine: str) -> list[dict[str, Any]]:
        """The resource's own paths, unchecked: whoever answers them verifies what they need."""
        matches = [{"path": METADATA_PATH}, {"path": JWKS_PATH}, {"prefix": f"{ENDPOINTS}/"}]
        return [
            {
                "match": match,
                "route": {
                    "cluster": OWN,
                    "prefix_rewrite": resource.path_prefix + next(iter(match.values())),
                    "timeout": "0s",
                },
                "typed_per_filter_config": {mine: _OFF},
            }
            for match in matches
        ]

    def _buffering(self, resource: ResourceConfiguration) -> dict[str, Any]:
        buffer = {
            "max_request_bytes": resource.body_bytes,
            "allow_partial_message": False,
            "pack_as_bytes": self._grpc,
        }
        more = {"context_extensions": {RESOURCE: resource.identifier}} if self._grpc else {}
        return _settings({"with_request_body": buffer, **more})

    def _grpc_check(self) -> dict[str, Any]:
        return {
            **_CLOSED,
            "encode_raw_headers": True,
            "grpc_service": {"envoy_grpc": {"cluster_name": CHECK}, "timeout": f"{CHECK_SECONDS}s"},
        }

    def _http_check(self, resource: ResourceConfiguration) -> dict[str, Any]:
        host, port = self._check
        fields = [{"exact": name} for name in (*REQUEST_FIELDS, *self._covered)]
        return {
            **_CLOSED,
            "http_service": {
                "server_uri": {"uri": f"http://{host}:{port}", "cluster": CHECK, "timeout": f"{CHECK_SECONDS}s"},
                "path_prefix": resource.path_prefix,
                "authorization_response": {
                    "allowed_upstream_headers": {"patterns": [{"exact": hop.HEADER}]},
                    "allowed_client_headers": {"patterns": [{"exact": name} for name in ANSWER_FIELDS]},
                },
            },
            "allowed_headers": {"patterns": [*fields, {"prefix": hop.PREFIX}]},
        }


_OFF: Final = {"@type": f"{_FILTER}.ExtAuthzPerRoute", "disabled": True}
_CLOSED: Final = {
    "@type": f"{_FILTER}.ExtAuthz",
    "transport_api_version": "V3",
    "failure_mode_allow": False,
    "status_on_error": {"code": "ServiceUnavailable"},
}
_ROUTER: Final = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
}
_NAME: Final = re.compile(r"\{(\w+)(:path)?\}")


def _settings(check: dict[str, Any]) -> dict[str, Any]:
    return {"@type": f"{_FILTER}.ExtAuthzPerRoute", "check_settings": check}


def _domains(authority: str) -> list[str]:
    return [authority, f"{authority}:*"] if ":" not in authority else [authority]


def _match(route: Route) -> dict[str, Any]:
    """A line of the file as Envoy matches it."""
    method, _, path = route.match.rpartition(" ")
    pattern, at = "", 0
    for name in _NAME.finditer(path):
        pattern += re.escape(path[at : name.start()]) + (".+" if name[2] else "[^/]+")
        at = name.end()
    match: dict[str, Any] = {"safe_regex": {"regex": pattern + re.escape(path[at:])}}
    if method:
        match["headers"] = [{"name": ":method", "string_match": {"exact": method}}]
    return match


def _name(resource: ResourceConfiguration) -> str:
    return f"aauth-{authority_of(resource.identifier)}"


def _cluster_name(resource: ResourceConfiguration) -> str:
    return f"upstream-{authority_of(resource.identifier)}"


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


def _upstream(resource: ResourceConfiguration) -> dict[str, Any]:
    parts = urlsplit(resource.upstream)
    assert parts.hostname is not None
    secure = parts.scheme == "https"
    cluster = _cluster(_cluster_name(resource), parts.hostname, parts.port or (443 if secure else 80))
    if not secure:
        return cluster
    ca = str(resource.upstream_ca) if resource.upstream_ca else ssl.get_default_verify_paths().cafile
    context: dict[str, Any] = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "validation_context": {
            "trusted_ca": {"filename": ca},
            "match_typed_subject_alt_names": [{"san_type": _san(parts.hostname), "matcher": {"exact": parts.hostname}}],
        },
    }
    if resource.upstream_certificate is not None:
        chain, key = str(resource.upstream_certificate), str(resource.upstream_key)
        context["tls_certificates"] = [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}]
    socket: dict[str, Any] = {
        "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": context,
    }
    if not _is_address(parts.hostname):
        socket["sni"] = parts.hostname
    return {**cluster, "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": socket}}


def _san(host: str) -> str:
    return "IP_ADDRESS" if _is_address(host) else "DNS"


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


def _cluster(name: str, host: str, port: int, *, http2: bool = False) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC" if _is_address(host) else "STRICT_DNS",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if http2:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


__all__ = ["REMOVE", "configuration"]
