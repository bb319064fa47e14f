"""The application: pages, API, metrics and health, with one way to answer errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Litestar, Response
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp
from sqlalchemy.exc import DataError as Unstorable
from structlog import get_logger

import monitor
from monitor.errors import (
    ConflictError,
    DatabaseUnreachableError,
    DataError,
    MonitorError,
    NotFoundError,
    SourceUnreachableError,
    UsageError,
)
from monitor.web import access, health, pages
from monitor.web.api import ROUTER
from monitor.web.connections import Limits
from monitor.web.site import HERE, AnyRequest, Site, page

log = get_logger()
_ABOUT = (
    "Monitors, runs, metrics, alerts and retraining of the Monitor service, and ingestion of predictions and labels."
    " Errors are problem documents (RFC 9457)."
)
_STATUSES: tuple[tuple[type[MonitorError], int], ...] = (
    (NotFoundError, 404),
    (ConflictError, 409),
    (UsageError, 400),
    (DataError, 422),
    (DatabaseUnreachableError, 503),
    (SourceUnreachableError, 503),
)
_COMPONENTS = Components(
    security_schemes={
        "token": SecurityScheme(
            "http", scheme="bearer", description="`monitor tokens create NAME`; on a loopback address none is needed."
        )
    }
)


_OPENAPI = OpenAPIConfig(
    "Monitor",
    monitor.__version__,
    description=_ABOUT,
    path="/api/v1/schema",
    render_plugins=[JsonRenderPlugin()],
    components=_COMPONENTS,
    security=[{"token": []}],
)


def schema() -> dict[str, Any]:
    """The OpenAPI document of the API."""
    return Litestar([ROUTER], openapi_config=_OPENAPI, logging_config=None).openapi_schema.to_schema()


def create_app(site: Site) -> ASGIApp:
    """The ASGI application of a service."""
    import plotly

    web = site.web
    plots = create_static_files_router(
        "/static/plotly", [f"{next(iter(plotly.__path__))}/package_data"], include_in_schema=False, name="plotly"
    )
    own = create_static_files_router("/static", [HERE / "static"], include_in_schema=False)
    app = Litestar(
        [*pages.HANDLERS, *health.HANDLERS, ROUTER, plots, own],
        state=State({"site": site}),
        exception_handlers={
            HTTPException: _refused,
            MonitorError: _failed,
            RecursionError: _nested,
            Unstorable: _unstorable,
            Exception: _surprised,
        },
        middleware=[
            RateLimitConfig(("minute", web.requests_per_minute), exclude=["^/static", "^/healthz$"]).middleware
        ],
        compression_config=CompressionConfig(backend="gzip", minimum_size=1000),
        request_max_body_size=web.body_limit_mb * 2**20,
        openapi_config=_OPENAPI,
        logging_config=None,
    )
    return Limits(access.Access(app, site.context, web), web.root_path, web.connections_per_client)


def _refused(request: AnyRequest, error: HTTPException) -> Response[Any]:
    return answer(request, error.status_code, _words(error), headers=dict(error.headers or {}))


def _words(error: HTTPException) -> str:
    """What was wrong, with the fields that were."""
    wrong: Any = getattr(error, "extra", None)
    if isinstance(wrong, list):
        return "; ".join(f"{field.get('key', '')}: {field.get('message', '')}".strip(": ") for field in wrong)
    return str(error.detail)


def _failed(request: AnyRequest, error: MonitorError) -> Response[Any]:
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    return answer(request, status, str(error))


def _nested(request: AnyRequest, _error: RecursionError) -> Response[Any]:
    return answer(request, 400, "the body is nested too deeply")


def _unstorable(request: AnyRequest, _error: Unstorable) -> Response[Any]:
    return answer(
        request, 400, "a value cannot be stored: it holds characters that the database does not take, or is too long"
    )


def _surprised(request: AnyRequest, error: Exception) -> Response[Any]:
    log.error("web_request_failed", path=request.url.path, error=f"{type(error).__name__}: {error}")
    return answer(request, 500, "something went wrong here; the service's log tells what")


def answer(request: AnyRequest, status: int, text: str, headers: dict[str, str] | None = None) -> Response[Any]:
    """An error: a page for people, a problem document for programs. What is no Unicode in the text of a request becomes
    a question mark.
    """
    text = text.encode("utf-8", "replace").decode()
    if request.scope["path"].startswith(("/api/", "/metrics", "/healthz", "/readyz")):
        content = access.problem(status, text, request.scope["path"])
        return Response(content, status_code=status, media_type="application/problem+json", headers=headers)
    return page(request, "error.html", status=status, title=HTTPStatus(status).phrase, text=text)
