"""Monitor: production monitoring for machine-learning models. The public names, loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.analysis.comparison import Comparison, compare
    from monitor.analysis.evaluate import evaluate
    from monitor.analysis.evaluation import Evaluation
    from monitor.analysis.history import History, evaluate_windows
    from monitor.analysis.reference import Reference
    from monitor.client import Client, ClientError
    from monitor.domain.checks import Check, Checks, Finding, MetricValue, Severity, Verdict, WindowCounts
    from monitor.domain.columns import Columns
    from monitor.errors import DataError, MonitorError, UsageError
    from monitor.storage.report import ReportDatabase

__all__ = [
    "Check",
    "Checks",
    "Client",
    "ClientError",
    "Columns",
    "Comparison",
    "DataError",
    "Evaluation",
    "Finding",
    "History",
    "MetricValue",
    "MonitorError",
    "Reference",
    "ReportDatabase",
    "Severity",
    "UsageError",
    "Verdict",
    "WindowCounts",
    "compare",
    "evaluate",
    "evaluate_windows",
]
__version__ = "0.1.0"

_PLACES = {
    "compare": "monitor.analysis.comparison",
    "Comparison": "monitor.analysis.comparison",
    "evaluate": "monitor.analysis.evaluate",
    "Evaluation": "monitor.analysis.evaluation",
    "History": "monitor.analysis.history",
    "evaluate_windows": "monitor.analysis.history",
    "Reference": "monitor.analysis.reference",
    "Client": "monitor.client",
    "ClientError": "monitor.client",
    "Columns": "monitor.domain.columns",
    "DataError": "monitor.errors",
    "MonitorError": "monitor.errors",
    "UsageError": "monitor.errors",
    "ReportDatabase": "monitor.storage.report",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `monitor --help` needs no pandas."""
    if name not in __all__:
        raise AttributeError(f"module 'monitor' has no attribute '{name}'")
    return getattr(import_module(_PLACES.get(name, "monitor.domain.checks")), name)
