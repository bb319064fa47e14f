"""What notebooks show of results: small reports in HTML that need nothing from elsewhere. Names and values of the log
are data in them, never markup.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from monitor.analysis.plots import picture
from monitor.domain import phrases
from monitor.domain.checks import Kind, Severity
from monitor.domain.matter import that_matter
from monitor.domain.text import listed, printable

if TYPE_CHECKING:
    from monitor.analysis.evaluation import Evaluation
    from monitor.analysis.history import History, WindowEvaluation

# The most columns that are drawn, and the most windows that are listed: a report is read at a glance.
_DRAWN, _LISTED = 3, 50
_PERFORMANCE = (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE)


def evaluation_html(evaluation: Evaluation) -> str:
    """A window: how it is, what was found, performance with its limits, and the columns that matter most beside the
    reference.
    """
    return f"<div>{_headline(evaluation)}{_findings(evaluation)}{_performance(evaluation)}{_plots(evaluation)}</div>"


def history_html(history: History) -> str:
    """The windows of a history, newest last: how each is, and what matters most in it."""
    windows = history.windows[-_LISTED:]
    earlier = len(history.windows) - len(windows)
    note = f"<p>{phrases.counted(earlier, 'earlier window')} not shown</p>" if earlier else ""
    return (
        f"<div>{note}{_table(('window (UTC)', 'rows', 'severity', 'what was found'), map(_window_row, windows))}</div>"
    )


def columns_that_matter(evaluation: Evaluation) -> list[str]:
    """The columns that have a distribution to look at: those of the findings that matter first, then those that drifted
    most.
    """
    figures = evaluation.figures
    if figures is None:
        return []
    columns_of_findings = [finding.column or "" for finding in that_matter(evaluation.findings)]
    by_drift = sorted(figures.drift, key=lambda column: -figures.drift[column][1])
    return [
        column for column in dict.fromkeys([*columns_of_findings, *by_drift, *figures.plots]) if column in figures.plots
    ]


def _headline(evaluation: Evaluation) -> str:
    health = "healthy" if evaluation.severity < Severity.WARNING else evaluation.severity.value
    verdicts = Counter(check.verdict.value.replace("_", " ") for check in evaluation.checks)
    verdicts_text = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
    rows, checks = phrases.counted(evaluation.counts.rows, "row"), phrases.counted(len(evaluation.checks), "check")
    version = _text(evaluation.reference_version[:8])
    return f"<p><b>{health}</b>: {rows}; {checks} ({verdicts_text}); reference {version}</p>"


def _findings(evaluation: Evaluation) -> str:
    shown = that_matter(evaluation.findings)
    rows = [f"<li><b>{finding.severity}</b> {_text(finding.explanation)}</li>" for finding in shown]
    more = len(evaluation.findings) - len(shown)
    if more:
        rows.append(f"<li>{phrases.counted(more, 'more finding')}: <code>.to_frame('findings')</code></li>")
    return f"<ul>{''.join(rows) or '<li>nothing was found</li>'}</ul>"


def _performance(evaluation: Evaluation) -> str:
    rows = [
        (
            phrases.metric_name(check.metric),
            _number(check.value),
            _between(check.lower, check.upper),
            _between(check.threshold_lower, check.threshold_upper),
            check.verdict.value.replace("_", " "),
        )
        for check in evaluation.checks
        if check.kind in _PERFORMANCE and check.column is None and check.segment is None
    ]
    return _table(("performance", "value", "allowing for chance", "limits", "verdict"), rows) if rows else ""


def _plots(evaluation: Evaluation) -> str:
    columns = columns_that_matter(evaluation)[:_DRAWN]
    drawn = None if evaluation.figures is None else picture(evaluation.figures.plots, columns)
    if drawn is None:
        return ""
    description = _text(f"The distributions of {listed(columns)} in the reference and in the window")
    return f'<img alt="{description}" src="data:image/png;base64,{base64.b64encode(drawn).decode()}">'


def _window_row(window_evaluation: WindowEvaluation) -> tuple[str, ...]:
    both = [
        evaluation for evaluation in (window_evaluation.data, window_evaluation.performance) if evaluation is not None
    ]
    worst = max(both, key=lambda evaluation: evaluation.severity)
    findings = that_matter(worst.findings)[:1]
    finding_text = phrases.first_sentence(findings[0].explanation) if findings else ""
    return str(window_evaluation.window), str(window_evaluation.data.counts.rows), worst.severity.value, finding_text


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float | None) -> str:
    return "" if value is None else phrases.number(value, 4)


def _between(lower: float | None, upper: float | None) -> str:
    if lower is not None and upper is not None:
        return f"{_number(lower)} to {_number(upper)}"
    return f"from {_number(lower)}" if lower is not None else f"up to {_number(upper)}" if upper is not None else ""


def _text(text: str) -> str:
    """Text as HTML shows it, whatever it holds."""
    return escape(printable(text))
