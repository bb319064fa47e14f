"""The pages, one file a noun."""

from __future__ import annotations

from monitor.web.pages import alerts, columns, compare, fleet, incidents, login, monitors, retraining, runs, settings

HANDLERS = [
    *(
        handler
        for noun in (fleet, monitors, columns, compare, runs, alerts, incidents, retraining, settings, login)
        for handler in noun.HANDLERS
    )
]
