"""NannyML's estimates of every real window (CBPE or DLE), run by a Python that has NannyML: `python
nannyml_estimates.py DATA OUT [SET …]`.

Writes a Parquet file with set, window (the row of windows.parquet), estimate, alert, and the CPU seconds of the
estimate and of the drift of all columns. No product code.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import nannyml
import pandas as pd
from nannyml.chunk import CountBasedChunker

PARTS = ("id", "event_time", "prediction", "probability", "label")


def prepared(frame: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Text and flags as categories, the missing one of them."""
    plain = frame.copy()
    for name in features:
        if frame[name].dtype.kind not in "fiu":
            values = frame[name].astype(object)
            plain[name] = values.where(values.notna(), "missing").astype(str).astype("category")
    return plain


def estimates(folder: Path) -> pd.DataFrame:
    before, after, windows = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "predictions", "windows")
    )
    features = [name for name in after if name not in PARTS and name in before]
    whole = prepared(pd.concat([before, after], ignore_index=True), features)
    reference, production = whole.iloc[: len(before)], whole.iloc[len(before) :].reset_index(drop=True)
    metric = "roc_auc" if "probability" in after else "mae"
    options = {"y_pred": "prediction", "y_true": "label", "metrics": [metric], "chunk_number": 10}
    if metric == "roc_auc":
        estimator = nannyml.CBPE(y_pred_proba="probability", problem_type="classification_binary", **options)
    else:
        estimator = nannyml.DLE(feature_column_names=features, **options)
    estimator.fit(reference.reset_index(drop=True))
    estimator.chunker = CountBasedChunker(chunk_number=1)
    drift = nannyml.UnivariateDriftCalculator(column_names=[*features, "prediction"], chunk_number=1)
    drift.fit(reference.reset_index(drop=True))
    rows = []
    for number, window in windows.iterrows():
        inside = (production["event_time"] >= window["start"]) & (production["event_time"] < window["end"])
        if window["verdict"] != "none" and inside.sum() > 1:
            rows_inside, begun = production[inside].reset_index(drop=True), time.process_time()
            drift.calculate(rows_inside)
            estimated = estimator.estimate(rows_inside).filter(period="analysis").to_df()
            cpu = time.process_time() - begun
            alert = bool(estimated[metric, "alert"].any())
            rows.append((folder.name, number, float(estimated[metric, "value"].mean()), alert, cpu))
    return pd.DataFrame(rows, columns=["set", "window", "estimate", "alert", "cpu"])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    pd.set_option("future.infer_string", False)  # NannyML does not know pandas' newer texts
    data, out, *names = map(Path, sys.argv[1:])
    folders = [data / name for name in names] or [path for path in sorted(data.iterdir()) if path.is_dir()]
    pd.concat([estimates(folder) for folder in folders]).to_parquet(out)
