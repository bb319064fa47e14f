"""What the demo's launcher runs: train on all that is known by now, and put the new model into production on Monday.

The retraining request comes as JSON on standard input; the outcome goes as JSON to the last line of standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from monitor.demo import model


def main() -> None:
    """Retrain in the demo's folder, which is the working directory."""
    request = json.load(sys.stdin)
    now = pd.Timestamp(request["requested_at"]).tz_convert("UTC").tz_localize(None)
    labels = pd.read_parquet("data/labels.parquet")
    labelled = set(labels.loc[labels["label_time"] <= now, "id"])
    history = model.rentals()
    history = history[(history["event_time"] < model.PRODUCTION) | history["id"].isin(labelled)]
    version = str(int(request["model_version"] or "1") + 1)
    reference = model.validated(history)
    start = pd.Timestamp(request["data_start"]).tz_convert("UTC").tz_localize(None) - pd.Timedelta(days=7)
    reference = reference[reference["event_time"] >= start].assign(model_version=version)
    path = Path(f"data/reference-{version}.parquet")
    reference.to_parquet(path, index=False)
    monday = (now + pd.Timedelta(days=7)).to_period("W").start_time
    model.log_predictions(Path("data/predictions"), version, model.train(history), monday)
    print(f"trained on {len(history)} hours up to {history['event_time'].max()}")
    print(json.dumps({"status": "succeeded", "model_version": version, "reference": str(path)}))


if __name__ == "__main__":
    main()
