"""The pages, one file a noun."""

from __future__ import annotations

from monitor.web.pages import alerts, fleet, login, monitors, retraining, runs, settings

HANDLERS = [
    *(handler for noun in (fleet, monitors, runs, alerts, retraining, settings, login) for handler in noun.HANDLERS)
]
