"""The result of an evaluation: metric values, checks and findings, and ways to look at them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any, Literal

import pandas as pd

from monitor.analysis.figures import Figures
from monitor.analysis.notebook import columns_that_matter, evaluation_html
from monitor.analysis.plots import bars
from monitor.analysis.schema import Sort
from monitor.domain.checks import Check, Finding, MetricValue, Severity, Verdict, WindowCounts, as_row
from monitor.domain.phrases import counted, first_sentence
from monitor.domain.run_identity import RunIdentity
from monitor.errors import RaisedFindingError, UsageError

Table = Literal["metrics", "checks", "findings"]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The results of one window.

    metrics: every number. checks: every check with its verdict. findings: those that are `changed`, worst first.
    counts: exact counts of the whole window. labelled: how many of the rows had a label, None without labels.
    figures: the content of the Evidently snapshot, None for a window without rows. sorts: the type of each column.
    run: the run and the window of the evaluation, as far as known.
    """

    metrics: list[MetricValue]
    checks: list[Check]
    findings: list[Finding]
    counts: WindowCounts
    reference_version: str
    labelled: int | None = None
    figures: Figures | None = field(default=None, compare=False)
    sorts: dict[str, Sort] = field(default_factory=dict, compare=False)
    run: RunIdentity = field(default_factory=RunIdentity, compare=False)

    def __repr__(self) -> str:
        worst = f": {first_sentence(self.findings[0].explanation)}" if self.findings else ""
        about = [
            "healthy" if self.severity < Severity.WARNING else self.severity.value,
            counted(self.counts.rows, "row"),
            counted(len(self.checks), "check"),
            counted(len(self.findings), "finding"),
        ]
        return f"Evaluation({', '.join(about)}{worst})"

    @cached_property
    def snapshot(self) -> Any:
        """The Evidently snapshot (`evidently.core.report.Snapshot`), with each check as a test. It is made at the first
        use. None for a window without rows.
        """
        from monitor.analysis.snapshot.report import make_report  # Evidently takes seconds to import

        return None if self.figures is None else make_report(self, self.figures)

    @property
    def pages(self) -> bool:
        """Whether somebody should be notified: the model is harmed, a fault is likely to harm it, or a limit of the
        user is exceeded.
        """
        return any(finding.pages for finding in self.findings)

    @property
    def changed(self) -> bool:
        """Whether some check is `changed`. This alone pages nobody."""
        return any(check.verdict is Verdict.CHANGED for check in self.checks)

    @property
    def severity(self) -> Severity:
        """The severity of the worst finding; `NONE` without findings."""
        return max((finding.severity for finding in self.findings), default=Severity.NONE)

    def __getitem__(self, key: str | tuple[str, ...]) -> Check | MetricValue:
        """The check, or else the metric value, of a metric, column and segment: `evaluation["missing_share",
        "income"]`.
        """
        parts = (key,) if isinstance(key, str) else key
        wanted = (*parts, "", "")[:3]
        for entry in (*self.findings, *self.checks, *self.metrics):
            if entry.key == wanted:
                return entry
        raise KeyError(key)

    def to_frame(self, table: Table = "checks") -> pd.DataFrame:
        """One row a metric value, check or finding."""
        if table not in ("metrics", "checks", "findings"):
            raise UsageError(f"there is no table '{table}'; they are: metrics, checks, findings")
        return pd.DataFrame([as_row(entry) for entry in getattr(self, table)])

    def to_json(self) -> str:
        """Everything but the snapshot, as JSON."""
        return json.dumps(
            {
                "severity": self.severity.value,
                "pages": self.pages,
                "changed": self.changed,
                "reference": self.reference_version,
                "rows": self.counts.rows,
                "labelled": self.labelled,
                "findings": [as_row(finding) for finding in self.findings],
                "checks": [as_row(check) for check in self.checks],
                "metrics": [as_row(metric) for metric in self.metrics],
            },
            default=str,
        )

    def save_html(self, path: str) -> None:
        """Write the Evidently report as one HTML page."""
        from monitor.analysis.snapshot.store import to_html  # Evidently takes seconds to import

        if self.snapshot is None:
            raise UsageError("there is no report: the window has no rows")
        with open(path, "w", encoding="utf-8") as file:
            file.write(to_html(self.snapshot))

    def plot(self, column: str | None = None) -> Any:
        """A plotly figure of a column in the reference and in the window. column: the most important one if not given.

        Raises UsageError for a column without a distribution: one that is not compared, or not there.
        """
        from plotly import graph_objects  # takes a while to import

        plots = {} if self.figures is None else self.figures.plots
        if not plots:
            raise UsageError("there is nothing to plot: the window has no rows, or drift was not asked")
        chosen = columns_that_matter(self)[0] if column is None else column
        if chosen not in plots:
            raise UsageError(f"there is no distribution of '{chosen}'; there are those of: {', '.join(plots)}")
        traces, layout = bars(plots[chosen])
        margin = {"l": 40, "r": 10, "t": 40, "b": 40}
        return graph_objects.Figure(
            traces, layout | {"title": escape(chosen), "template": "plotly_white", "margin": margin}
        )

    def _repr_html_(self) -> str:
        return evaluation_html(self)

    def raise_for(self, severity: str) -> None:
        """Raise a MonitorError whose text is the explanation, if a finding is at or above `severity`."""
        worst = [finding for finding in self.findings if finding.severity >= severity]
        if worst:
            raise RaisedFindingError(" ".join(f"{finding.severity}: {finding.explanation}" for finding in worst))
