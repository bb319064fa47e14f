"""`make bench-causes`: who is accused on real windows, and whether faults of every kind are named by what they are, and
since when.

MONITOR_BENCH_ROUNDS: faults of each kind, share, layout and set (2). MONITOR_BENCH_SETS: some of the sets, parted by
    commas.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import Reference, evaluate
from monitor.analysis.evaluation import Evaluation
from monitor.analysis.faults import FAULTS
from monitor.analysis.performance import measure, outcomes
from monitor.domain.checks import DEFAULT_HARM, Kind
from monitor.domain.losses import loss
from monitor.domain.matter import that_matter
from tests.benchmarks import detection
from tests.benchmarks.detection import DATA, SETS
from tests.benchmarks.test_detection import note, spread_out

ROUNDS = int(os.environ.get("MONITOR_BENCH_ROUNDS", "2"))
CHOSEN = [name for name in SETS if name in os.environ.get("MONITOR_BENCH_SETS", ",".join(SETS)).split(",")]
ROWS = 1_000
SHARES = (0.05, 0.2, 0.5, 1.0)
LAYOUTS = ("contiguous", "segment", "random")
# What each fault may be called.
NAMES = {
    "mean shift": ("shift", "distribution"),
    "scale": ("scale", "distribution"),
    "unit change": ("unit change",),
    "rounding": ("rounding",),
    "placeholder value": ("placeholder value",),
    "missing burst": ("missing values",),
    "stuck value": ("stuck value",),
    "correlation break": ("broken relation",),
    "new category": ("new category", "type change"),  # a word in a column of numbers is one
    "category swap": ("category swap",),
}
pytestmark = [pytest.mark.timeout(5400), pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data sets in {DATA}")]


def real(name: str) -> list[dict[str, Any]]:
    """Every finding of drift of real windows, in which hardly anything was broken; and how many findings a window
    has.
    """
    warnings.simplefilter("ignore")
    parts = ("reference", "predictions", "labels", "windows")
    reference_rows, log, labels, windows = (pd.read_parquet(DATA / name / f"{part}.parquet") for part in parts)
    reference = Reference.fit(reference_rows, detection.columns_of(name), SETS[name])
    whole = log.merge(labels, on="id", how="left")
    rows = []
    for number, window in windows.iterrows():
        inside = (log["event_time"] >= window["start"]) & (log["event_time"] < window["end"])
        recent_labels = whole[(whole["label_time"] <= window["end"]) & (whole["event_time"] < window["end"])]
        evaluation = evaluate(reference, log[inside], recent=recent_labels)
        first = evaluation.findings[:1]
        for finding in evaluation.findings:
            rows.append(
                {
                    "set": name,
                    "window": number,
                    "drift": finding.kind is Kind.DRIFT,
                    "origin": finding.origin,
                    "cause": finding.cause,
                    "shown": any(finding is shown for shown in that_matter(evaluation.findings)),
                    "first": finding in first and finding.pages,
                    "nan": "nan" in finding.explanation,
                }
            )
    return rows


@pytest.fixture(scope="module")
def production() -> pd.DataFrame:
    return spread_out(real, CHOSEN)


def test_who_is_accused_on_real_windows(production: pd.DataFrame) -> None:
    drift = production[production["drift"]]
    table = drift.groupby("set").agg(
        findings=("origin", "size"), pipeline=("origin", lambda origins: (origins == "pipeline").mean())
    )
    table.loc["all"] = [len(drift), (drift["origin"] == "pipeline").mean()]
    note("Real windows: findings of drift that accuse the pipeline (goal: at most 0.02)", table.reset_index())
    accused = drift[drift["origin"] == "pipeline"]["cause"].value_counts().reset_index()
    note("Of what the pipeline was accused", accused)
    first = production[production["first"]]
    pages = pd.DataFrame([{"pages": len(first), "accuse first": int((first["origin"] == "pipeline").sum())}])
    note("Pages whose first finding accuses the pipeline (goal: none)", pages)


def test_few_findings_are_shown(production: pd.DataFrame) -> None:
    shown = production.groupby(["set", "window"]).agg(shown=("shown", "sum"), all=("shown", "size"), nan=("nan", "sum"))
    table = shown.groupby("set").median().reset_index()
    table.loc[len(table)] = ["all", *shown.median()]
    note("Findings a window, median: shown (goal: at most 3), and all", table)


def injected(name: str) -> list[dict[str, Any]]:
    """Faults in windows of rows in the order of time."""
    warnings.simplefilter("ignore")
    model, reference, rest = detection.modelled(name, 0)
    results = []
    for number in range(ROUNDS):
        for index, fault in enumerate(FAULTS):
            for share in SHARES:
                for layout in LAYOUTS[:1] if share == 1 else LAYOUTS:
                    random = np.random.default_rng([number, index, int(share * 100), LAYOUTS.index(layout)])
                    clean = rest.iloc[random.permutation(len(rest))[:ROWS]].sort_values("event_time", ignore_index=True)
                    fitting = [column for column in model.features if fault.fits(clean[column])]
                    if not fitting:
                        continue
                    column = str(random.choice(fitting))
                    rows = laid_out(clean, column, share, layout, model.features, random)
                    if rows is None:
                        continue
                    faulty = model.answers(fault.inject(clean, column, rows, random)).drop(columns="label")
                    before, after = (
                        side[column].astype(object).where(side[column].notna(), "missing") for side in (clean, faulty)
                    )
                    if (before != after).mean() < share / 4:
                        continue
                    results.append(judged(name, reference, faulty, fault.name, column, share, layout, rows))
                    results[-1]["lost"] = lost(reference, clean, faulty)
    return results


def lost(reference: Reference, clean: pd.DataFrame, faulty: pd.DataFrame) -> float:
    """How much of the harm that counts a fault has made, by the labels of the rows: 1 where the model is just so much
    worse.
    """
    metric = str(reference.harm_metric)
    sides = [
        measure(
            outcomes(side.assign(label=clean["label"]), reference.columns, reference.task, reference.summary.classes)
        )[metric].value
        for side in (clean, faulty)
    ]
    return loss(metric, *sides) / DEFAULT_HARM[metric].absolute(reference.baseline[metric].value)


def laid_out(
    clean: pd.DataFrame, column: str, share: float, layout: str, features: list[str], random: np.random.Generator
) -> np.ndarray | None:
    """Which rows have a fault; None where no value of another column has about so many."""
    number = len(clean)
    if layout == "random":
        return np.asarray(random.random(number) < share)
    if layout == "contiguous":
        first = int(random.integers(0, number - int(share * number) + 1))
        return np.asarray((np.arange(number) >= first) & (np.arange(number) < first + int(share * number)))
    levels = [
        (abs(part - share), name, value)
        for name in features
        if name != column and clean[name].nunique() <= 30
        for value, part in clean[name].value_counts(normalize=True).items()
        if abs(part - share) < share / 3
    ]
    return (
        (clean[levels[0][1]] == levels[0][2]).to_numpy()
        if levels and not levels.sort(key=lambda level: level[0])
        else None
    )


def judged(
    name: str,
    reference: Reference,
    frame: pd.DataFrame,
    fault: str,
    column: str,
    share: float,
    layout: str,
    rows: np.ndarray,
) -> dict[str, Any]:
    evaluation = evaluate(reference, frame)
    first = evaluation.findings[0] if evaluation.findings else None
    own = next((finding for finding in evaluation.findings if finding.column == column and finding.cause), None)
    times = pd.to_datetime(frame["event_time"], utc=True)
    began, length = times[rows].iloc[0], times.iloc[-1] - times.iloc[0]
    is_right = first is not None and first.column == column and first.cause in NAMES[fault]
    off = None
    if own is not None and layout == "contiguous" and share < 1:
        stated = times.iloc[0] if own.since is None else own.since
        off = abs((stated - began) / length)
    return {
        "set": name,
        "fault": fault,
        "share": share,
        "layout": layout,
        "detected": own is not None,
        "right": is_right,
        "column": first is not None and first.column == column,
        "cause": "" if first is None else first.cause,
        "origin": "" if own is None else own.origin,
        "off": off,
        "told": told_cost(reference, evaluation, column),
    }


def told_cost(reference: Reference, evaluation: Evaluation, column: str) -> float:
    """The estimated cost of a column's fault, in units of the harm that counts."""
    metric = str(reference.harm_metric)
    costs = [
        finding.cost or 0.0 for finding in evaluation.findings if finding.column == column and finding.segment is None
    ]
    return max(costs, default=0.0) / DEFAULT_HARM[metric].absolute(reference.baseline[metric].value)


def test_faults_are_named_by_what_they_are() -> None:
    results = spread_out(injected, CHOSEN)
    detected = results[results["detected"]]
    for title, by in (("kind", "fault"), ("share of rows", "share"), ("layout", "layout")):
        table = detected.groupby(by).agg(detected=("right", "size"), right=("right", "mean"), column=("column", "mean"))
        table["of"] = results.groupby(by).size()
        note(f"Faults: the right kind of cause first, of those detected, by {title} (goal: 0.90)", table.reset_index())
    whole = pd.DataFrame([{"faults": len(results), "detected": len(detected), "right": detected["right"].mean()}])
    note("Faults: the right kind of cause first, all", whole)
    wrong = detected[~detected["right"]].groupby(["fault", "cause"]).size().sort_values(ascending=False).head(25)
    note("What the wrong ones were called first", wrong.reset_index(name="times"))
    begun = detected[detected["off"].notna()]
    beginnings = pd.DataFrame([{"contiguous": len(begun), "within a tenth": (begun["off"] <= 0.1).mean()}])
    note("Contiguous faults: the beginning within a tenth of the window", beginnings)
    harmed = detected[detected["lost"] >= 1]
    ratio = harmed["told"] / harmed["lost"]
    table = (
        harmed.assign(ratio=ratio, near=ratio.between(0.5, 2))
        .groupby("fault")
        .agg(harmful=("ratio", "size"), told=("ratio", "median"), near=("near", "mean"))
    )
    note(
        "Faults that harm: what is said to come back of the loss by labels (median; share within a half and twice)",
        table.reset_index(),
    )
    harmless = detected[detected["lost"] < 0.25]
    table = pd.DataFrame([{"harmless": len(harmless), "said to harm": (harmless["told"] >= 1).mean()}])
    note("Faults that cost less than a quarter of the harm that counts", table)
    blamed = detected.pivot_table(
        index="fault", columns="layout", values="origin", aggfunc=lambda origins: (origins == "pipeline").mean()
    )
    note("Faults that are said to be the pipeline's", blamed.reset_index())
