"""The check over gRPC: `envoy.service.auth.v3.Authorization/Check`, as Envoy and agentgateway ask it.

The proxy's configuration names the resource, in the context extension `resource`; nothing of the request does. Envoy
sends fields raw and in their order; where a proxy sends none so, the plain map is read, in which a field that came
twice is one, joined with a comma and a space (RFC 9421 §2.1). Whatever goes wrong is no answer that lets through.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from ..protocol.messages import Answer, HeaderList
from ..protocol.problems import Problem
from .ext_authz import METHOD, OVERWRITE, SERVICE, message
from .gate import Gate, Passed, Verdict, request_of

log = logging.getLogger("aauthkit.gateway")

RESOURCE: Final = "resource"
"""The context extension that names the resource."""
MAX_MESSAGE: Final = 4 * 1024 * 1024
GRACE: Final = 5.0
"""Seconds that a server which ends gives to the questions it has."""
_OK, _DENIED, _UNAUTHENTICATED = 0, 7, 16


class GrpcCheck:
    """Answers a proxy's questions. `gate` decides; another may take its place while this serves."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def check(self, asked: Any, _context: Any = None) -> Any:
        """The answer to one question."""
        http = asked.attributes.request.http
        context = {_text(pair.key): _text(pair.value) for pair in asked.attributes.context_extensions}
        identifier = context.get(RESOURCE)
        if identifier is None:
            log.error("a proxy's question names no resource: its configuration lacks the context extension")
            return said(Problem("server_error").answer())
        path, query = _text(http.path), _text(http.query)
        target = f"{path}?{query}" if query and "?" not in path else path
        body = bytes(http.raw_body or http.body) or None
        peer = asked.attributes.source.address.socket_address.address or None
        request = request_of(http.method, target, headers_of(http), body, peer)
        return said(await self.gate.decide(identifier, request, body))


def headers_of(http: Any) -> HeaderList:
    """The fields of a request, without what a proxy tells as if it were one."""
    if http.header_map.headers:
        each = [(_text(one.key), _text(one.raw_value or one.value)) for one in http.header_map.headers]
    else:
        each = [(_text(pair.key), _text(pair.value)) for pair in http.headers]
    return tuple((name.lower(), value) for name, value in each if not name.startswith(":"))


def said(verdict: Verdict | Answer) -> Any:
    """A verdict as the proxy reads it."""
    response = message("CheckResponse")()
    if isinstance(verdict, Passed):
        response.status.code = _OK
        _set(response.ok_response.headers, verdict.fields)
        response.ok_response.headers_to_remove.extend(verdict.removed)
        return response
    answer = verdict if isinstance(verdict, Answer) else verdict.answer
    response.status.code = _UNAUTHENTICATED if answer.status == 401 else _DENIED
    response.denied_response.status.code = answer.status
    _set(response.denied_response.headers, answer.headers)
    response.denied_response.body = answer.body
    return response


def _set(options: Any, fields: HeaderList) -> None:
    joined: dict[str, str] = {}
    for name, value in fields:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    for name, value in joined.items():
        option = options.add(append_action=OVERWRITE)
        option.header.key, option.header.value = name.encode("latin-1"), value.encode("latin-1")


def _text(value: bytes) -> str:
    """One character per byte, as fields are read everywhere."""
    return value.decode("latin-1")


class GrpcServer:
    """A gRPC server for the proxy alone, on loopback or on a unix socket: `address` is `host:port` or `unix:path`."""

    def __init__(self, check: GrpcCheck, address: str) -> None:
        self._check = check
        self._address = address
        self._server: Any = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises `OSError` for an address that is taken."""
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # nothing here forks and goes on with gRPC
        import grpc
        from grpc import aio

        options: Mapping[str, int] = {"grpc.so_reuseport": 0, "grpc.max_receive_message_length": MAX_MESSAGE}
        self._server = aio.server(options=list(options.items()))
        handler = grpc.unary_unary_rpc_method_handler(
            self._check.check,
            request_deserializer=message("CheckRequest").FromString,
            response_serializer=message("CheckResponse").SerializeToString,
        )
        generic = grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})
        self._server.add_generic_rpc_handlers((generic,))
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"the gRPC check cannot listen on {self._address}") from error
        await self._server.start()

    async def close(self) -> None:
        """End, once the questions at hand are answered."""
        if self._server is not None:
            await self._server.stop(GRACE)
            self._server = None
