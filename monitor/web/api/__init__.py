"""The HTTP API, one file a noun."""

from __future__ import annotations

from litestar import Router

from monitor.web.api import alerts, ingest, monitors, retraining, runs, sensitivity
from monitor.web.api.tagging import ETagMiddleware

ROUTER = Router(
    "/api/v1",
    route_handlers=[
        *(handler for noun in (monitors, sensitivity, runs, alerts, retraining, ingest) for handler in noun.HANDLERS)
    ],
    middleware=[ETagMiddleware()],
)
