"""`make bench-detection`: false alarms, detection, pages and estimates, with the goals beside them; writes
docs/explanation/detection.md.

MONITOR_BENCH_WINDOWS: clean windows a cell (480, of twelve splits of the reference). MONITOR_BENCH_ROUNDS: faults of
    each kind, strength, set and size (6).
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from monitor import Checks, Reference, evaluate
from monitor.domain.checks import Kind
from tests.benchmarks import density_ratios, detection
from tests.benchmarks.detection import DATA, SETS, SIZES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "detection.md"
SPLITS = 12
WINDOWS = int(os.environ.get("MONITOR_BENCH_WINDOWS", "480"))
ROUNDS = int(os.environ.get("MONITOR_BENCH_ROUNDS", "6"))
pytestmark = [pytest.mark.timeout(5400), pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data sets in {DATA}")]
TABLES: dict[str, str] = {}


def note(title: str, table: pd.DataFrame) -> None:
    cells = [
        [f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in table.itertuples(index=False)
    ]
    lines = [list(map(str, table.columns)), ["---"] * table.shape[1], *cells]
    TABLES[title] = text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(f"\n{title}\n{text}", flush=True)


def spread_out(task: Callable[..., list[dict[str, Any]]], jobs: Iterable[Any]) -> pd.DataFrame:
    """What a task finds for each of the jobs, on two cores."""
    with ProcessPoolExecutor(2) as pool:
        return pd.DataFrame([row for rows in pool.map(task, jobs) for row in rows])


def clean(job: tuple[str, int, int]) -> list[dict[str, Any]]:
    name, size, split = job
    warnings.simplefilter("ignore")
    reference, rows = detection.fitted(name, split), []
    for number in range(WINDOWS // SPLITS):
        frame = detection.window(name, split, size, number)
        if frame is None:
            break
        evaluation = evaluate(reference, frame)
        rows.append({"set": name, "size": size, "changed": evaluation.changed, "pages": evaluation.pages})
    return rows


def test_clean_windows() -> None:
    results = spread_out(clean, [(name, size, split) for name in SETS for size in SIZES for split in range(SPLITS)])
    table = results.pivot_table(index="set", columns="size", values="changed").reset_index()
    note("Clean windows: share that alarms, by rows (goal: 0.03 in the worst set)", table)
    whole = results.groupby("size").agg(alarms=("changed", "mean"), windows=("changed", "size")).reset_index()
    number = whole["alarms"] * whole["windows"]
    whole["upper_95"] = beta.ppf(0.95, number + 1, whole["windows"] - number)  # Clopper and Pearson, 1934
    note("Clean windows: all sets together (goal: 0.01), with the upper bound of a one-sided 95 % interval", whole)


def faulty(job: tuple[str, int, int]) -> list[dict[str, Any]]:
    name, size, split = job
    warnings.simplefilter("ignore")
    _, reference, _ = detection.modelled(name, split)
    rows = []
    for number, faulty_window in enumerate(detection.corrupted(name, split, size, ROUNDS)):
        evaluation = evaluate(reference, faulty_window.frame)
        columns = [finding.column for finding in evaluation.findings]
        row = {
            "set": name,
            "size": size,
            "fault": faulty_window.fault,
            "share": faulty_window.share,
            "harms": faulty_window.harms,
            "detected": evaluation.changed,
            "pages": evaluation.pages,
            "named": faulty_window.column in columns,
            "first": columns[:1] == [faulty_window.column],
        }
        if number % 8 == split:
            row["evidently"] = evidently_any(reference, faulty_window.frame)
        rows.append(row)
    return rows


def evidently_any(reference: Reference, frame: pd.DataFrame) -> float:
    """Whether Evidently's preset calls any column drifted."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [name for name in (*reference.features, *reference.predictions) if name in frame]
    numerical = [name for name in names if reference.sorts[name] == "numerical"]
    definition = DataDefinition(
        numerical_columns=numerical, categorical_columns=[name for name in names if name not in numerical]
    )
    sides = [side[names].copy() for side in (frame, reference.frame)]
    for side in sides:
        for name in definition.categorical_columns or []:
            side[name] = side[name].astype(object).where(side[name].notna(), "missing").astype(str)
    report = Report([DataDriftPreset()]).run(*(Dataset.from_pandas(side, definition) for side in sides))
    return float(report.dict()["metrics"][0]["value"]["count"] > 0)


def test_faults() -> None:
    results = spread_out(faulty, [(name, size, 0) for name in SETS for size in SIZES])
    sizes = results.groupby("size").agg(
        detected=("detected", "mean"), evidently_any=("evidently", "mean"), windows=("detected", "size")
    )
    named = results[results["detected"]].groupby("size")[["named", "first"]].mean()
    harmful = (
        results[results["harms"]]
        .groupby("size")
        .agg(harmful_detected=("detected", "mean"), harmful_pages=("pages", "mean"), harmful_windows=("pages", "size"))
    )
    note(
        "Faults, by rows (goals: 0.82, 0.88, 0.92 detected; harmful 0.97; named 0.97, first 0.90)",
        sizes.join(named).join(harmful).reset_index(),
    )
    table = results.pivot_table(index=["fault", "share"], columns="size", values="detected").reset_index()
    note("Faults: share detected, by kind, share of rows, and rows", table)


def real(name: str) -> list[dict[str, Any]]:
    """Every window of production: the result without labels, with those known at its start, and at its end."""
    warnings.simplefilter("ignore")
    reference_rows, log, labels, windows = (
        pd.read_parquet(DATA / name / f"{part}.parquet") for part in ("reference", "predictions", "labels", "windows")
    )
    reference = Reference.fit(reference_rows, detection.columns_of(name), SETS[name])
    whole = log.merge(labels, on="id", how="left")
    metric = "estimated_mae" if SETS[name] == "regression" else "estimated_roc_auc"
    rows, results = [], defaultdict(list)
    for number, window in windows[windows["verdict"] != "none"].iterrows():
        inside = (log["event_time"] >= window["start"]) & (log["event_time"] < window["end"])
        for labels_known, until in (
            ("nothing", None),
            ("at its start", window["start"]),
            ("at its end", window["end"]),
        ):
            recent = (
                None if until is None else whole[(whole["label_time"] <= until) & (whole["event_time"] < window["end"])]
            )
            evaluation = evaluate(reference, log[inside], recent=recent)
            value = next(
                (metric_value.value for metric_value in evaluation.metrics if metric_value.metric == metric), None
            )
            rows.append(
                {
                    "set": name,
                    "window": number,
                    "known": labels_known,
                    "verdict": window["verdict"],
                    "real": window["value"],
                    "value": value,
                    "pages": evaluation.pages,
                    "changed": evaluation.changed,
                }
            )
            for kind in (Kind.ESTIMATED_PERFORMANCE, Kind.QUALITY):
                results[f"{kind}, labels {labels_known}"].append(detection.result_of(evaluation, kind, window, number))
        evaluation = evaluate(reference, whole[inside], checks=Checks(only=(Kind.PERFORMANCE.value,)))
        results["performance, all labels"].append(detection.result_of(evaluation, Kind.PERFORMANCE, window, number))
    bad = windows[windows["verdict"] != "none"]["verdict"].eq("worse").to_numpy()
    spans = [(row.start, row.end) for row in windows[windows["verdict"] != "none"].itertuples()]
    months = (spans[-1][1] - spans[0][0]).total_seconds() / 86_400 / 30.4
    return rows + [
        {"set": name, "alerts": judged_by, "months": months, **detection.alerts_and_spells(fold_results, spans, bad)}
        for judged_by, fold_results in results.items()
    ]


@pytest.fixture(scope="module")
def production() -> pd.DataFrame:
    return spread_out(real, SETS)


def test_real_windows(production: pd.DataFrame) -> None:
    judged = production[production["verdict"].isin(["worse", "same"])]
    table = judged.groupby(["known", "verdict"])["pages"].agg(["mean", "size"]).reset_index()
    note("Real windows that page (goals: worse 0.70, same 0.05 with labels at its start; 0.85, 0.05 at its end)", table)
    by_set = judged.pivot_table(index="set", columns=["known", "verdict"], values="pages")
    by_set.columns = [f"{labels_known}: {verdict}" for labels_known, verdict in by_set.columns]
    note("Real windows that page, by set", by_set.reset_index())


def test_alerts_of_bad_spells(production: pd.DataFrame) -> None:
    alerts = production[production["alerts"].notna()]
    table = alerts.groupby("alerts")[["months", "fired", "true", "spells", "found"]].sum().reset_index()
    table["a month"], table["a spell found"] = table["fired"] / table["months"], table["true"] / table["found"]
    note("Alerts as they fire and resolve, of spells of worse windows (goal: 1.3 a spell)", table)


def test_estimates_against_nannyml(production: pd.DataFrame, tmp_path: Path) -> None:
    """NannyML wants other libraries than we do: it gets an environment of its own."""
    python = os.environ.get("MONITOR_BENCH_NANNYML") or str(tmp_path / "nannyml" / "bin" / "python")
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "nannyml")], check=True)
        if subprocess.run([python, "-m", "pip", "install", "-q", "nannyml", "statsmodels"], check=False).returncode:
            pytest.skip("NannyML cannot be installed")
    script = Path(__file__).with_name("nannyml_estimates.py")
    silent = os.environ | {"NML_DISABLE_USAGE_LOGGING": "1"}
    subprocess.run([python, str(script), str(DATA), str(tmp_path / "estimates.parquet")], check=True, env=silent)
    peer = pd.read_parquet(tmp_path / "estimates.parquet")
    merged = production.merge(peer, on=["set", "window"])
    merged["ours"], merged["theirs"] = (
        (merged["value"] - merged["real"]).abs(),
        (merged["estimate"] - merged["real"]).abs(),
    )
    errors = merged.groupby(["set", "known"])[["ours", "theirs"]].mean()
    ratio = (errors["ours"] / errors["theirs"]).unstack("known")
    note("Error of the estimate, by what was known, as a ratio to NannyML's", ratio.reset_index())
    for task, goals in (("binary", "1.02 each set; 0.90; 0.60"), ("regression", "1.02 each set; 0.65; 0.28")):
        chosen = np.exp(np.log(ratio[[SETS[name] == task for name in ratio.index]]).mean()).to_frame().T
        note(f"The same, geometric mean over sets, {task} (goals: {goals})", chosen)
    judged = merged[(merged["known"] == "nothing") & merged["verdict"].isin(["worse", "same"])]
    note("NannyML's own alerts on the real windows", judged.groupby("verdict")["alert"].mean().reset_index())


def test_density_ratios() -> None:
    table = spread_out(density_ratios.errors, SETS).groupby("set").agg(["mean"]).droplevel(1, axis=1).reset_index()
    note("Error of the estimate without labels, plain and with the reference weighted by density ratios", table)


def test_write_the_page() -> None:
    """Last: what was measured, for docs/explanation/detection.md."""
    if len(TABLES) < 9:
        pytest.skip("only a part was measured")
    text = PAGE.read_text().split("<!-- measured -->")[0]
    tables = "\n\n".join(f"**{title}**\n\n{table}" for title, table in TABLES.items())
    PAGE.write_text(
        f"{text}<!-- measured -->\n\nMeasured by `make bench-detection` on {date.today():%Y-%m-%d}, with"
        f" MONITOR_BENCH_WINDOWS={WINDOWS}, MONITOR_BENCH_ROUNDS={ROUNDS}.\n\n{tables}\n"
    )
