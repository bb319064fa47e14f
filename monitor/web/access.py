"""Who asks, and what they may: a login of people, tokens of programs; against pages of others that send requests in
their name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from anyio.to_thread import run_sync
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException

from monitor.config.model import Web
from monitor.errors import DatabaseUnreachableError
from monitor.services.by_hand import Actor
from monitor.services.context import Context
from monitor.services.launch_retraining import CALLBACK
from monitor.storage import people

if TYPE_CHECKING:
    from litestar.handlers import BaseRouteHandler
    from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

ROLES = ("viewer", "operator", "admin")
# Beside the order of the others: a model server, which sends rows of its monitors and reads nothing.
INGEST = "ingest"
SESSION_COOKIE, FORM_COOKIE = "monitor_session", "monitor_form"
_OPEN = ("/healthz", "/readyz", "/login", "/static/")
# Plotly adds two style elements of its own, known by their hashes, and sets style attributes; scripts are our files
# alone.
_PLOTLY_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-gG0b4ixT/IQUp7JJLbyKcpYcYDjq2Wp8NGv3f+aasqo='"
)
_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {_PLOTLY_STYLES}; style-src-attr 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; frame-src 'self'; font-src 'self'; form-action 'self'; base-uri"
        " 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Principal:
    """Who asks. monitors: of the role `ingest`, the names or patterns of the monitors whose rows may be sent."""

    name: str
    role: str
    monitors: tuple[str, ...] = ()

    def may(self, role: str) -> bool:
        """Whether what a role may is allowed; operators and admins may send rows of every monitor."""
        if self.role == INGEST:
            return role == INGEST
        return ROLES.index(self.role) >= ROLES.index("operator" if role == INGEST else role)

    def may_send(self, monitor: str) -> bool:
        """Whether rows of a monitor may be sent."""
        return self.role != INGEST or any(fnmatchcase(monitor, pattern) for pattern in self.monitors)

    def person(self) -> Actor:
        """As the services know who does something."""
        return Actor(self.name, datetime.now(UTC))


# Where nobody logs in, whoever reaches this machine's own address may do everything.
_LOCAL = Principal("web", "admin")


class Access:
    """Around the whole application: finds out who asks, refuses what others' pages send, and sets the headers that keep
    pages safe.
    """

    def __init__(self, app: ASGIApp, context: Context, web: Web) -> None:
        self._app, self._context, self._web = app, context, web
        self._hosts = _hosts(context, web)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        prefix = self._web.root_path
        if prefix and (scope["path"] == prefix or scope["path"].startswith(f"{prefix}/")):
            scope["path"] = scope["path"].removeprefix(prefix) or "/"  # of a proxy that leaves its prefix in
            scope["raw_path"] = scope["path"].encode()
        path, headers = scope["path"], Headers.from_scope(scope)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableScopeHeaders.from_message(message)
                for name, value in _HEADERS.items():
                    own.setdefault(name, value)
                if not path.startswith("/static/"):
                    own.setdefault("cache-control", "no-store")
            await send(message)

        status, text = await self._refusal(scope, path, headers)
        if not status:
            await self._app(scope, receive, sent)
        elif status == 401 and not path.startswith(("/api/", "/metrics")):
            await _answer(
                sent, 303, b"", [(b"location", f"{prefix}/login?next={quote(_wanted(scope, path))}".encode())]
            )
        else:
            content = json.dumps(problem(status, text, path)).encode()
            await _answer(sent, status, content, [(b"content-type", b"application/problem+json")])

    async def _refusal(self, scope: HTTPScope, path: str, headers: Headers) -> tuple[int, str]:
        """Why a request is refused, as status and text; (0, '') for one that is not. Then `scope["user"]` says who
        asks, unless the path is open to everybody.
        """
        host = _host_name(headers.get("host", ""))
        if self._hosts and host not in self._hosts:
            return 400, f"the host name {host} is not one of web.allowed_hosts"
        as_program = headers.get("authorization", "").lower().startswith("bearer ")
        if not as_program and not is_own(headers) and not is_navigation(scope["method"], headers):
            return 403, "the request comes from a page of another site"
        if path.startswith(_OPEN) or (CALLBACK in headers.get("authorization", "") and path.endswith("/complete")):
            return 0, ""  # a callback's token is the request's own, and is looked at there
        try:
            scope["user"] = await self._principal(headers, scope["scheme"])
        except DatabaseUnreachableError as error:
            return 503, str(error)
        return (0, "") if scope["user"] is not None else (401, "a token is needed: Authorization: Bearer …")

    async def _principal(self, headers: Headers, scheme: str) -> Principal | None:
        if not self._web.asks_for_login:
            return _LOCAL
        given, secret = headers.get("authorization", ""), ""
        if not given:
            secret = cookie(headers, cookie_name(SESSION_COOKIE, scheme, self._web.root_path))
        return await run_sync(self._find_principal, given, secret) if given or secret else None

    def _find_principal(self, given: str, secret: str) -> Principal | None:
        now = datetime.now(UTC)
        if given:
            kind, _, token = given.partition(" ")
            row = self._context.database.read(people.of_token, token.strip(), now) if kind.lower() == "bearer" else None
            return None if row is None else Principal(f"token {row.name}", row.role, tuple(row.monitors or ()))
        user = self._context.database.read(people.of_session, secret, now)
        return None if user is None else Principal(user.name, user.role)


def _hosts(context: Context, web: Web) -> set[str]:
    """The names under which the service may be asked for; none where any may, since people log in there.

    Without it a page of another site could give its own name this machine's address, and ask in its visitor's browser.
    """
    if web.asks_for_login and not web.allowed_hosts:
        return set()
    outside = urlsplit(context.configuration.external_url or "").hostname
    hosts = {"localhost", "127.0.0.1", "::1", web.host, *(host.lower() for host in web.allowed_hosts)}
    return hosts | ({outside} if outside else set())


def _host_name(given: str) -> str:
    """The name of a Host header without its port; '' for nonsense."""
    try:
        return urlsplit(f"//{given}").hostname or ""
    except ValueError:
        return ""


async def _answer(send: Send, status: int, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    start: Any = {"type": "http.response.start", "status": status, "headers": headers}
    body: Any = {"type": "http.response.body", "body": content, "more_body": False}
    await send(start)
    await send(body)


def cookie(headers: Headers, name: str) -> str:
    """A cookie's value, '' without it."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def cookie_name(name: str, scheme: str, root_path: str) -> str:
    """A cookie's name as browsers see it: where the page came by TLS, it binds the cookie to this host, or under a
    proxy's prefix at least to TLS.
    """
    if scheme != "https":
        return name
    return f"__Secure-{name}" if root_path else f"__Host-{name}"


def _wanted(scope: HTTPScope, path: str) -> str:
    """What was asked for, with its query: a link of a message leads there after the login, too."""
    query = scope["query_string"].decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def own_cookie(request: Request[Any, Any, Any], name: str) -> tuple[str, str]:
    """The name of one of our cookies for a request, and the value that came with it, '' without."""
    named = cookie_name(name, request.url.scheme, request.app.state["site"].web.root_path)
    return named, request.cookies.get(named, "")


def is_own(headers: Headers) -> bool:
    """Whether a request comes from a page of ours, as far as the browser's headers say; programs send none."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


def is_navigation(method: str, headers: Headers) -> bool:
    """Whether somebody follows a link that stands elsewhere, in a mail or a chat: a whole page in a tab of its own, and
    no picture, frame or script.
    """
    return (
        method in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def problem(status: int, detail: str, path: str, **more: Any) -> dict[str, Any]:
    """An error as RFC 9457 has it."""
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": path, **more}


def requires(role: str) -> Any:
    """A guard: who asks must have this role, or a higher one."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        principal: Principal | None = connection.scope.get("user")
        if principal is None:
            raise NotAuthorizedException("log in first")
        if not principal.may(role):
            raise PermissionDeniedException(f"{principal.name} is {principal.role}; this takes the role {role}")

    return guard


def asker(request: Request[Any, Any, Any]) -> Principal:
    """Who asks."""
    principal: Principal = request.scope["user"]
    return principal


def form_secret(request: Request[Any, Any, Any]) -> str:
    """The cookie that forms are tied to; a new one for a browser without."""
    return own_cookie(request, FORM_COOKIE)[1] or secrets.token_urlsafe(24)


def form_token(secret: str) -> str:
    """What a form must carry, so that it is one of ours."""
    return hashlib.sha256(f"form {secret}".encode()).hexdigest()


def is_our_form(request: Request[Any, Any, Any], given: str) -> bool:
    """Whether a form carries the token that belongs to the browser's cookie."""
    _, secret = own_cookie(request, FORM_COOKIE)
    return bool(secret) and hmac.compare_digest(form_token(secret), given)


@lru_cache(maxsize=1)
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    return str(_hasher().hash(secrets.token_urlsafe(16)))


def hashed(password: str) -> str:
    """A password as it is stored (argon2id)."""
    return str(_hasher().hash(password))


def is_password(stored: str | None, given: str) -> bool:
    """Whether a password is that of a hash; an unknown user takes as long as a known one."""
    from argon2.exceptions import VerificationError

    try:
        _hasher().verify(stored or _dummy_hash(), given)
    except VerificationError:
        return False
    return stored is not None
