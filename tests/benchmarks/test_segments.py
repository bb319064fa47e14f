"""`make bench-segments`: how often the search for weak segments finds planted ones, how often it names one in clean
windows, and what it costs; writes docs/explanation/weak-segments.md.

MONITOR_BENCH_WINDOWS: clean windows a set and size (60, of three splits). MONITOR_BENCH_ROUNDS: windows with planted
    segments a set and size, each with six segments (6, of three splits).
"""

from __future__ import annotations

import os
import re
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from monitor import Checks, evaluate
from monitor.analysis.weak_segments import ExpectedLoss, rows_of_rule, weakest_segment
from tests.benchmarks import detection, segments
from tests.benchmarks.detection import DATA, SETS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "weak-segments.md"
SPLITS = 3
WINDOWS = int(os.environ.get("MONITOR_BENCH_WINDOWS", "60"))
ROUNDS = int(os.environ.get("MONITOR_BENCH_ROUNDS", "6"))
SIZES = (1_000, 2_000, 5_000)
# A segment is found where the rule's rows and the planted ones overlap by so much of both together (Jaccard index).
OVERLAP = 0.5
SEARCH = Checks(weak_segments=True)
pytestmark = [pytest.mark.timeout(5400), pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data sets in {DATA}")]
TABLES: dict[str, str] = {}


def note(title: str, table: pd.DataFrame) -> None:
    cells = [
        [f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in table.to_numpy(object)
    ]
    lines = [list(map(str, table.columns)), ["---"] * table.shape[1], *cells]
    TABLES[title] = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(f"\n{title}\n{TABLES[title]}", flush=True)


def jobs() -> list[tuple[str, int, int]]:
    return [(name, size, split) for name in SETS for size in SIZES for split in range(SPLITS)]


def found(name: str, split: int, window: segments.Planted) -> dict[str, Any]:
    """Whether the search finds the planted segment and names its rows."""
    reference = detection.fitted(name, split)
    evaluation = evaluate(reference, window.frame, checks=SEARCH)
    changed = any(finding.metric == "weak_segment" for finding in evaluation.findings)
    overlap = 0.0
    if changed:
        baseline = reference.expected_loss
        assert isinstance(baseline, ExpectedLoss)
        frame = window.frame.astype({"label": float})
        rows = baseline.of_window(frame)
        segment = None if rows is None else weakest_segment(baseline, rows)
        if segment is not None:
            named = rows_of_rule(segment.rule, window.frame)
            overlap = float((named & window.inside).sum() / (named | window.inside).sum())
    return {"changed": changed, "found": overlap >= OVERLAP}


def test_planted_segments() -> None:
    warnings.simplefilter("ignore")
    rows = [
        {"rows": size, "columns": window.columns, "share": window.share, "set": name, **found(name, split, window)}
        for name, size, split in jobs()
        for window in segments.planted(name, split, size, ROUNDS // SPLITS)
    ]
    table = (
        pd.DataFrame(rows)
        .groupby(["rows", "columns", "share"])
        .agg(alarms=("changed", "mean"), found=("found", "mean"), windows=("found", "size"))
    )
    note("Planted segments (goal: 0.8 are found in windows of 5,000 rows)", table.reset_index().astype(object))


def test_clean_windows() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for name, size, split in jobs():
        reference = detection.fitted(name, split)
        for number in range(WINDOWS // SPLITS):
            frame = detection.window(name, split, size, number)
            if frame is not None:
                evaluation = evaluate(reference, frame, checks=SEARCH)
                search = any(finding.metric == "weak_segment" for finding in evaluation.findings)
                rows.append({"rows": size, "all": evaluation.changed, "search": search})
    table = (
        pd.DataFrame(rows).groupby("rows").agg(all_checks=("all", "mean"), search=("search", "mean"), n=("all", "size"))
    )
    table = table.reset_index()
    number = table["all_checks"] * table["n"]
    table["upper_95"] = beta.ppf(0.95, number + 1, table["n"] - number)  # Clopper and Pearson, 1934
    note("Clean windows with the search on: share that alarms (goal: 0.01 over all checks together)", table)


def test_what_it_costs() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for name in SETS:
        reference = detection.fitted(name, 0)
        frame = next(
            (window for size in (5_000, 2_000, 1_000) if (window := detection.window(name, 0, size, 0)) is not None),
            None,
        )
        assert frame is not None
        begun = time.perf_counter()
        _ = ExpectedLoss.of(reference)
        fitting, seconds = time.perf_counter() - begun, {}
        for checks in (Checks(), SEARCH):
            evaluate(reference, frame, checks=checks)
            times = []
            for _ in range(5):
                begun = time.perf_counter()
                evaluate(reference, frame, checks=checks)
                times.append(time.perf_counter() - begun)
            seconds[checks.weak_segments] = median(times)
        cost = {"without": seconds[False], "with": seconds[True], "once a reference": fitting}
        rows.append({"set": name, "rows": len(frame), **cost})
    note("Seconds for all checks of a window without and with the search", pd.DataFrame(rows))


def test_the_page_is_written() -> None:
    if len(TABLES) < 3:
        pytest.skip("only some of the tables were worked out")
    text = PAGE.read_text(encoding="utf-8")
    tables = "\n\n".join(f"### {title}\n\n{table}" for title, table in TABLES.items())
    text = re.sub(r"(?s)(<!-- figures -->\n).*", lambda match: f"{match[1]}\n{tables}\n", text)
    PAGE.write_text(text, encoding="utf-8")
    assert np.all([title in text for title in TABLES])
