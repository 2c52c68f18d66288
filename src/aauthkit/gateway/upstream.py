"""The service behind the gateway, for the calls that the gateway itself makes: those that were held."""

from __future__ import annotations

import ssl
from typing import Any, Final

from ..protocol.identifiers import authority_of
from ..protocol.messages import Answer, HeaderList
from ..resource.held import MAX_RESULT, HeldCall
from .configuration import ResourceConfiguration

_NOT_SENT: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})


class Upstream:
    """One upstream. Its address is the configuration's, and no request changes it."""

    def __init__(self, configured: ResourceConfiguration) -> None:
        self._configured = configured
        self._client: Any = None

    async def send(self, call: HeldCall, facts: HeaderList) -> Answer:
        """The answer to a held call, whole, or its first bytes where it is longer than may be kept."""
        headers = [(name, value) for name, value in call.headers if name not in _NOT_SENT]
        if call.body:
            headers.append(("content-length", str(len(call.body))))
        headers += [("host", authority_of(self._configured.identifier)), *facts]
        client = self._connected()
        request = client.build_request(
            call.method,
            f"{self._configured.upstream.rstrip('/')}{call.target}",
            headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            content=call.body or None,
        )
        response = await client.send(request, stream=True)
        try:
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_RESULT:
                    break
        finally:
            await response.aclose()
        fields = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.headers.raw]
        # The bytes are decoded by now, so the coding they came in is none of theirs any more.
        kept = tuple((name, value) for name, value in fields if name not in ("content-encoding", "content-length"))
        return Answer(response.status_code, kept, body)

    def _connected(self) -> Any:
        if self._client is None:
            import httpx2

            self._client = httpx2.AsyncClient(
                verify=self._trust(), trust_env=False, follow_redirects=False, timeout=self._configured.deadline or None
            )
        return self._client

    def _trust(self) -> ssl.SSLContext:
        configured = self._configured
        context = ssl.create_default_context(cafile=str(configured.upstream_ca) if configured.upstream_ca else None)
        if configured.upstream_certificate is not None and configured.upstream_key is not None:
            context.load_cert_chain(configured.upstream_certificate, configured.upstream_key)
        return context

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
