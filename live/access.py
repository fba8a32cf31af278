"""Who may talk to the service: the token on addresses that others reach, and browsers' origins."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPSendMessage, Receive, Scope, Send
from pydantic import SecretStr

from ingest.settings import Settings

PUBLIC = "is_public"
"""The key in a route's `opt` that lets it be had without the token."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a service bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_token(token: SecretStr | None, given: str) -> bool:
    """Return whether `given` is the token, in a time that tells nothing of it."""
    expected = token.get_secret_value() if token else ""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


class Access:
    """ASGI middleware: refuses what lacks the token, and pages of other origins.

    A WebSocket without the header, which no browser can send, is let through with `scope["auth"]`
    false: its route takes the token as the first message.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._is_local = is_loopback(settings.live_host)
        self._token = settings.live_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed; answer 401 or 403 otherwise, and close WebSockets unopened."""
        if scope["type"] not in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            await self.app(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        refusal = self._misaddressed(headers)
        scope["auth"] = self._is_local or self._has_token(headers)
        may_tell_later = scope["type"] == ScopeType.WEBSOCKET and "authorization" not in headers
        is_public = scope["route_handler"].opt.get(PUBLIC, False)
        if refusal is None and not (scope["auth"] or may_tell_later or is_public):
            refusal = 401, "send the header Authorization: Bearer <LIVE_TOKEN>"
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await _refuse(scope, receive, send, *refusal)

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and is_token(self._token, given)

    def _misaddressed(self, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "requests from pages of another origin are refused"
        if self._is_local:
            name = urlsplit(f"//{host}").hostname or ""
            return None if is_loopback(name) else (403, f"{name!r} is no name of this service")
        return None


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    prefix = ""
    if scope["type"] == ScopeType.WEBSOCKET:
        prefix = "websocket."
        await receive()
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    start = {"type": f"{prefix}http.response.start", "status": status, "headers": headers}
    body = {"type": f"{prefix}http.response.body", "body": reason.encode(), "more_body": False}
    await send(cast("HTTPSendMessage", start))
    await send(cast("HTTPSendMessage", body))
