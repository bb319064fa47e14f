"""Public names in notebooks: objects are a line, results a small report with plots; values of the log are no markup."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import monitor
from monitor import (
    Check,
    Checks,
    Client,
    ClientError,
    Columns,
    Comparison,
    DataError,
    Evaluation,
    Finding,
    History,
    MetricValue,
    MonitorError,
    Reference,
    ReportDatabase,
    Severity,
    UsageError,
    Verdict,
    WindowCounts,
    compare,
    evaluate,
    evaluate_windows,
)
from monitor.storage.database import Database
from tests.conftest import logged

NASTY = "<img src=x onerror=alert(1)>\u202e'\"&"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(logged(1500, seed=7, start="2024-12-01"))


@pytest.fixture(scope="module")
def shifted(reference: Reference) -> Evaluation:
    frame = logged(800, seed=2)
    return evaluate(reference, frame.assign(income=frame["income"] * 3))


@pytest.fixture(scope="module")
def nasty() -> Evaluation:
    """An evaluation of a log with hostile names of columns and values."""
    before, after = logged(1500, seed=7), logged(800, seed=2)
    for frame in (before, after):
        frame["region"] = frame["region"].replace({"north": NASTY})
        frame[NASTY] = frame.pop("noise")
    after[NASTY] *= 5
    after.loc[after["region"] == "west", "region"] = f"{NASTY}</script><script>"
    return evaluate(Reference.fit(before), after)


@pytest.fixture(scope="module")
def objects(reference: Reference, shifted: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By public name, an instance of the class, or the function itself."""
    url = f"sqlite:///{tmp_path_factory.mktemp('reports') / 'monitor.db'}"
    Database(url).prepare()
    log = logged(800, seed=2)
    return {
        "Check": shifted["roc_auc"],
        "Checks": Checks(false_alarm_rate=0.05, thresholds={"missing_share": {"upper": 0.2}}),
        "Client": Client("https://ann:secret@monitor.example.org/monitor", "mon_token"),
        "ClientError": ClientError("refused", 401),
        "Columns": Columns(label="y", segments=("region",)),
        "Comparison": compare(log.assign(other=log["probability"]), "probability", "other", "label", "binary"),
        "DataError": DataError("no rows"),
        "Evaluation": shifted,
        "Finding": shifted.findings[0],
        "History": evaluate_windows(reference, log, every="5d"),
        "MetricValue": MetricValue("missing_share", "income", value=0.02, lower=0.01, upper=0.03),
        "MonitorError": MonitorError("failed"),
        "Reference": reference,
        "ReportDatabase": ReportDatabase(url),
        "Severity": Severity.WARNING,
        "UsageError": UsageError("no"),
        "Verdict": Verdict.FINE,
        "WindowCounts": WindowCounts(
            800, {"a": 3, "b": 0}, datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC), duplicate_ids=2
        ),
        "compare": compare,
        "evaluate": evaluate,
        "evaluate_windows": evaluate_windows,
    }


# A part of the line of each object, besides the name of its class.
EXPECTED = {
    "Check": "roc_auc, fine, the value is 0.",
    "Checks": "false_alarm_rate=0.05, thresholds={'missing_share'",
    "Client": "(https://monitor.example.org/monitor)",
    "ClientError": "'refused'",
    "Columns": "(label='y', segments=('region',))",
    "Comparison": "on the same 800 rows",
    "DataError": "'no rows'",
    "Evaluation": "warning, 800 rows, 64 checks",
    "Finding": "warning, out_of_range_share of 'income', 9",
    "History": "4 windows, 2025-01-01 00:00 to 2025-01-21 00:00 UTC",
    "MetricValue": "missing_share of 'income', the value is 0.02 (allowing for chance, 0.01 to 0.03)",
    "MonitorError": "'failed'",
    "Reference": "binary, 1500 rows",
    "ReportDatabase": "sqlite:///",
    "Severity": "warning",
    "UsageError": "'no'",
    "Verdict": "fine",
    "WindowCounts": "(800 rows, 2025-01-01 00:00 to 2025-01-02 00:00, missing values in 1 column, repeated ids 2)",
    "compare": "function",
    "evaluate": "function",
    "evaluate_windows": "function",
}


@pytest.mark.parametrize("name", monitor.__all__)
def test_every_public_object_is_one_line(name: str, objects: dict[str, Any]) -> None:
    line = repr(objects[name])
    assert name in line
    assert EXPECTED[name] in line
    assert "\n" not in line
    assert len(line) < 300
    assert name in ("compare", "evaluate", "evaluate_windows") or " at 0x" not in line
    assert "secret" not in line
    assert "mon_token" not in line


def test_no_sample_is_of_a_name_that_is_gone(objects: dict[str, Any]) -> None:
    assert objects.keys() == EXPECTED.keys() == set(monitor.__all__)


def test_settings_are_written_as_the_call_that_makes_them() -> None:
    columns = Columns(prediction="p", features=("a", "b"), embeddings={"v": ("v1", "v2")})
    assert eval(repr(columns)) == columns
    checks = Checks(segments=("region",), drift_methods={"income": "psi"})
    assert eval(repr(checks)) == checks
    assert repr(Checks()) == "Checks()"


class Page(HTMLParser):
    """The tags and the text of a piece of HTML. Every tag must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.images: list[bytes] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            _, source = attributes[-1]
            assert source is not None
            self.images.append(base64.b64decode(source.removeprefix("data:image/png;base64,")))
        else:
            assert attributes == []
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


ALLOWED = {"div", "p", "b", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td", "img"}


def test_an_evaluation_is_a_small_report_with_plots(shifted: Evaluation) -> None:
    html = shifted._repr_html_()
    page = Page(html)
    assert page.text.startswith("warning: 800 rows; 64 checks (")
    assert shifted.findings[0].explanation in page.text
    assert "ROC AUC" in page.text
    assert set(page.tags) <= ALLOWED
    (image,) = page.images
    assert image.startswith(b"\x89PNG")
    assert "http" not in re.sub(r'src="data:[^"]*"', "", html)
    assert len(html) < 200_000


def test_a_healthy_evaluation_shows_what_drifted_most(reference: Reference) -> None:
    page = Page(evaluate(reference, logged(800, seed=2))._repr_html_())
    assert page.text.startswith("healthy: 800 rows")
    assert "nothing was found" in page.text
    assert len(page.images) == 1


def test_an_evaluation_without_rows_is_a_report_too(reference: Reference) -> None:
    empty = evaluate(reference, logged(10).head(0))
    assert Page(empty._repr_html_()).images == []
    with pytest.raises(UsageError, match="nothing to plot"):
        empty.plot()


def test_a_history_is_a_table_of_its_windows(objects: dict[str, Any]) -> None:
    page = Page(objects["History"]._repr_html_())
    assert page.tags.count("tr") == 5
    assert "2025-01-06/2025-01-11" in page.text
    long = History(objects["History"].windows * 20)
    assert Page(long._repr_html_()).text.startswith("30 earlier windows not shown")


def test_a_plot_is_of_the_column_that_matters_most(shifted: Evaluation) -> None:
    figure = shifted.plot()
    assert figure.layout.title.text == "income"
    assert [trace.name for trace in figure.data] == ["reference", "window"]
    assert sum(figure.data[1].y) == pytest.approx(1)
    assert list(shifted.plot("region").data[0].x) == ["north", "south", "west"]
    with pytest.raises(UsageError, match="no distribution of 'incom'; there are those of: "):
        shifted.plot("incom")


def test_what_the_log_holds_is_no_markup_in_notebooks(nasty: Evaluation) -> None:
    assert nasty.findings
    for result in (nasty, History(evaluate_windows_of(nasty))):
        html = result._repr_html_()
        assert set(Page(html).tags) <= ALLOWED
        assert "\u202e" not in html
    assert "<img" not in str(nasty.plot(NASTY).layout.title.text)
    assert not any("<img" in name for name in nasty.plot("region").data[0].x)
    for entry in (*nasty.findings, *nasty.checks, *nasty.metrics):
        assert "\u202e" not in repr(entry)


def evaluate_windows_of(evaluation: Evaluation) -> list[Any]:
    """A history of one window with this evaluation."""
    from monitor.analysis.history import WindowEvaluation
    from monitor.domain.grid import Window

    return [
        WindowEvaluation(Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)), evaluation, None)
    ]


def test_lines_of_results_name_segment_and_version() -> None:
    value = replace(MetricValue("roc_auc", segment="region=north", value=0.8), model_version="3")
    assert repr(value) == "MetricValue(roc_auc where region=north (model version 3), the value is 0.8)"
    assert (
        repr(Check("roc_auc", verdict=Verdict.TOO_LITTLE_DATA, reason="3 rows"))
        == "Check(roc_auc, too little data, no value, 3 rows)"
    )
    finding = Finding("drift_score", "a", severity=Severity.INFO, explanation="'a' drifted. It began.")
    assert repr(finding) == "Finding(info, drift_score of 'a', 'a' drifted)"
    assert repr(Comparison("mae", 1.0, 0.9, 0.1, 0.05, 0.15, 500, "better")).startswith(
        "Comparison(mae 0.9 against 1 on"
    )


def test_the_notebooks_report_imports_no_evidently(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, monitor.analysis.evaluation, monitor.analysis.history; assert 'evidently' not in sys.modules and"
        " 'plotly' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])
