"""Logs as structured events: one line for each change of state, for people or as JSON."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from monitor.domain.text import printable


def configure(form: str, level: str) -> None:
    """Log to standard error. form: `console` or `json`; level: `debug` to `error`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _printable,
    ]
    if form == "json":
        renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24, sort_keys=False)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def _printable(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What receivers, launchers and logs say, as terminals can be shown it."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}
