"""The checks of a run as Evidently's tests: each with its verdict, value and limits, attached to its metric."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from evidently.core.metric_types import MetricConfig, MetricTestResult, metric_tests_widget
from evidently.core.report import metric_tests_stats
from evidently.legacy.model.widget import BaseWidgetInfo
from evidently.legacy.tests.base_test import TestStatus

from monitor.domain import phrases
from monitor.domain.checks import Check, Finding, Severity, Verdict, as_row

_WORST_FIRST = (TestStatus.FAIL, TestStatus.WARNING, TestStatus.ERROR, TestStatus.SUCCESS)
# Evidently's pages read descriptions as Markdown, in which the log's names and values could be images and links.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~&])")


def status_of(check: Check, finding: Finding | None) -> TestStatus:
    """Evidently's status for a verdict. FAIL pages somebody, WARNING is a change that pages nobody, ERROR is a check
    without an answer.
    """
    if check.verdict is Verdict.FINE:
        return TestStatus.SUCCESS
    if check.verdict is not Verdict.CHANGED:
        return TestStatus.ERROR
    return TestStatus.FAIL if finding is not None and finding.severity >= Severity.WARNING else TestStatus.WARNING


def test_of(check: Check, finding: Finding | None, metric: MetricConfig, version: str) -> MetricTestResult:
    """A check as a test of a metric. finding: its finding, if it is `changed`. version: of the model, if it differs
    from that of the report.
    """
    key = (*check.key, version)
    row = as_row(check) | ({} if finding is None else {"severity": finding.severity.value, "cause": finding.cause})
    return MetricTestResult(
        id=json.dumps(key),
        name=phrases.sentence(phrases.check_name(*key)).removesuffix("."),
        description=_description(check, finding),
        metric_config=metric,
        test_config={name: _brief(value) for name, value in row.items() if _has_content(value)},
        status=status_of(check, finding),
    )


def widgets_of(tests: Sequence[MetricTestResult]) -> list[BaseWidgetInfo]:
    """The widgets of tests on Evidently's pages: the number of tests by status, and the tests, worst first."""
    ordered = sorted(tests, key=lambda test: _WORST_FIRST.index(test.status))
    plain = [test.copy(update={"description": _MARKDOWN.sub(r"\\\1", test.description)}) for test in ordered]
    return [metric_tests_stats(tests), metric_tests_widget(plain)] if tests else []


def with_findings(checks: Iterable[Check], findings: Iterable[Finding]) -> list[tuple[Check, Finding | None]]:
    """Each check with its finding, if any."""
    by_key = {(finding.kind, finding.model_version, finding.key): finding for finding in findings}
    return [(check, by_key.get((check.kind, check.model_version, check.key))) for check in checks]


def _description(check: Check, finding: Finding | None) -> str:
    if check.verdict not in (Verdict.FINE, Verdict.CHANGED):
        return phrases.sentence(phrases.undecided(check.verdict.value, check.reason))
    explanation = "" if finding is None else finding.explanation
    return phrases.sentences(explanation, _value(check), check.reason)


def _value(check: Check) -> str:
    if not _has_content(check.value) or check.value is None:
        return ""
    interval = (
        (check.lower, check.upper)
        if check.lower is not None and check.upper is not None and math.isfinite(check.lower + check.upper)
        else None
    )
    return phrases.checked(check.value, interval, (check.threshold_lower, check.threshold_upper), check.p_value)


def _brief(value: Any) -> Any:
    """Numbers with six significant digits, to keep reports small: the database holds all digits."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _has_content(value: Any) -> bool:
    """Whether a field has a value that JSON can hold."""
    return value not in (None, "") and not (isinstance(value, float) and not math.isfinite(value))
