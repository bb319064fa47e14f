"""Faults that labels have shown to do this model no harm: they are reported, and page nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitor.analysis.question import Question
from monitor.analysis.verdict import severity_by_limit
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Natural

# A fault may be this many times as large as the largest that was shown to be harmless.
_AS_LARGE = 1.25


def without_natural(question: Question, findings: Sequence[Finding]) -> list[Finding]:
    """The findings. Those that are known to be harmless become `info`, unless they break a limit of the user's."""
    natural_by_key = {natural.key: natural for natural in question.checks.natural}
    if not natural_by_key:
        return list(findings)
    return [
        (
            _harmless(question, finding, natural_by_key[finding.key])
            if finding.kind in (Kind.QUALITY, Kind.DRIFT)
            and finding.key in natural_by_key
            and (finding.value or 0.0) <= _AS_LARGE * natural_by_key[finding.key].value
            else finding
        )
        for finding in findings
    ]


def _harmless(question: Question, finding: Finding, natural: Natural) -> Finding:
    severity = min(severity_by_limit(question, finding), finding.severity)
    return replace(finding, severity=severity, cost=0.0, effect=phrases.known_as_harmless(natural.seen))
