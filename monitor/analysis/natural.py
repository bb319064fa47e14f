"""Faults that labels have shown to do this model no harm: they are told, and page nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitor.analysis.question import Question
from monitor.analysis.verdict import severity_by_limit
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Natural

# A fault may be so many times as large as the largest that was shown harmless.
_AS_LARGE = 1.25


def without_natural(question: Question, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those that are known to be harmless at `info`; a limit of the user's that they break still
    holds.
    """
    known = {each.key: each for each in question.checks.natural}
    if not known:
        return list(findings)
    return [
        (
            _harmless(question, finding, known[finding.key])
            if finding.kind in (Kind.QUALITY, Kind.DRIFT)
            and finding.key in known
            and (finding.value or 0.0) <= _AS_LARGE * known[finding.key].value
            else finding
        )
        for finding in findings
    ]


def _harmless(question: Question, finding: Finding, known: Natural) -> Finding:
    severity = min(severity_by_limit(question, finding), finding.severity)
    return replace(finding, severity=severity, cost=0.0, effect=phrases.known_as_harmless(known.seen))
