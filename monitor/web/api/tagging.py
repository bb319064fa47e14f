"""ETags: what has not changed since it was last asked for is not sent again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send


class ETagMiddleware(ASGIMiddleware):
    """Answers GET with an ETag of the content, and with 304 where the client has it."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """One request."""
        if scope.get("method") != "GET":
            await next_app(scope, receive, send)
            return
        start: Any = None
        parts: list[bytes] = []

        async def held(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            parts.append(message["body"])
            if message["more_body"]:
                return
            content = b"".join(parts)
            if start["status"] == 200:
                tag = f'"{hashlib.sha256(_without_time(content)).hexdigest()[:32]}"'
                start["headers"] = [
                    *start["headers"],
                    (b"etag", tag.encode()),
                    (b"cache-control", b"private, no-cache"),
                ]
                if tag in Headers.from_scope(scope).get("if-none-match", ""):
                    kept = [
                        pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"content-type")
                    ]
                    start, content = start | {"status": 304, "headers": kept}, b""
            await send(start)
            await send({"type": "http.response.body", "body": content, "more_body": False})

        await next_app(scope, receive, held)


def _without_time(content: bytes) -> bytes:
    """Gzip writes into bytes 4 to 7 when it packed (RFC 1952): the same answer a second later has the same tag."""
    return content[:4] + content[8:] if content.startswith(b"\x1f\x8b") else content
