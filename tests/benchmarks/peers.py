"""What a window costs elsewhere and here, each measured in a process of its own: `python -m tests.benchmarks.peers NAME ROWS COLUMNS`.

Prints one line of JSON: seconds of each round, and the memory that the work took beyond what the process held before.
"""

from __future__ import annotations

import atexit
import json
import resource
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROUNDS = 5


def drawn(rows: int, columns: int, seed: int) -> pd.DataFrame:
    """Normal numbers; a binary model that looks at the first column."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, columns)), columns=[f"x{index}" for index in range(columns)])
    chance = 1 / (1 + np.exp(-frame["x0"]))
    return frame.assign(
        probability=chance, prediction=(chance > 0.5).astype(int), label=(random.random(rows) < chance).astype(int)
    )


def features(rows: int, columns: int, seed: int) -> pd.DataFrame:
    return drawn(rows, columns, seed)[[f"x{index}" for index in range(columns)]]


def preset_drift(rows: int, columns: int) -> Callable[[], Any]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=[f"x{index}" for index in range(columns)])
    sides = [features(rows, columns, seed) for seed in (1, 0)]
    return lambda: Report([DataDriftPreset()]).run(*(Dataset.from_pandas(side, definition) for side in sides))


def our_drift(rows: int, columns: int) -> Callable[[], Any]:
    from monitor import Checks, Columns, Reference, evaluate

    before, after = (features(rows, columns, seed).assign(prediction=0.0) for seed in (0, 1))
    reference = Reference.fit(before, Columns(prediction="prediction"), "regression")
    checks = Checks(only=("drift",))
    return lambda: evaluate(reference, after, checks=checks).snapshot


def our_checks(rows: int, columns: int) -> Callable[[], Any]:
    from monitor import Columns, Reference, evaluate

    parts = Columns(prediction="prediction", probability="probability", label="label")
    reference = Reference.fit(drawn(rows, columns, 0), parts, "binary")
    after = drawn(rows, columns, 1)
    return lambda: evaluate(reference, after).snapshot


def three_presets(rows: int, columns: int) -> Callable[[], Any]:
    from evidently import BinaryClassification, DataDefinition, Dataset, Report
    from evidently.presets import ClassificationPreset, DataDriftPreset, DataSummaryPreset

    target = BinaryClassification(
        target="label", prediction_labels="prediction", prediction_probas="probability", pos_label=1
    )
    definition = DataDefinition(
        numerical_columns=[*(f"x{index}" for index in range(columns)), "probability"],
        categorical_columns=["label", "prediction"],
        classification=[target],
    )
    sides = [drawn(rows, columns, seed) for seed in (1, 0)]
    report = [DataDriftPreset(), DataSummaryPreset(), ClassificationPreset()]
    return lambda: Report(report).run(*(Dataset.from_pandas(side, definition) for side in sides))


def nannyml_drift(rows: int, columns: int) -> Callable[[], Any]:
    import nannyml

    names = [f"x{index}" for index in range(columns)]
    before, after = features(rows, columns, 0), features(rows, columns, 1)
    calculator = nannyml.UnivariateDriftCalculator(column_names=names, chunk_number=1).fit(before)
    return lambda: calculator.calculate(after)


def _folder() -> Path:
    """A folder that is gone when the process ends: what is measured here is large."""
    folder = tempfile.mkdtemp(prefix="monitor-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def written(rows: int, columns: int) -> tuple[Path, pd.DataFrame]:
    folder = _folder()
    frame = features(rows, columns, 1).assign(
        id=np.arange(rows), event_time=pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(rows), unit="ms"), prediction=0.0
    )  # fmt: skip
    frame["event_time"] = frame["event_time"].astype("datetime64[us]")
    frame.to_parquet(folder / "log.parquet", index=False)
    return folder / "log.parquet", frame


def scan(rows: int, columns: int) -> Callable[[], Any]:
    import pyarrow.parquet as parquet

    path, _ = written(rows, columns)
    return lambda: parquet.read_table(path)


def file_to_scores(rows: int, columns: int) -> Callable[[], Any]:
    from datetime import UTC, datetime, timedelta

    from monitor import Checks, Columns, Reference, evaluate
    from monitor.domain.grid import Window
    from monitor.sources.log import Log
    from monitor.sources.spec import LogSpec, Place

    path, frame = written(rows, columns)
    parts = Columns(prediction="prediction", event_time="event_time", id="id")
    reference = Reference.fit(frame.head(20_000), parts, "regression")
    spec = LogSpec(Place("log", str(path)), "event_time", "id")
    start = datetime(2025, 1, 1, tzinfo=UTC)
    window = Window(start, start + timedelta(days=1))

    def work() -> Any:
        log = Log(spec)
        sample, counts = log.read(window)
        return evaluate(reference, sample, counts=counts, checks=Checks(only=("drift",)))

    return work


def wide(rows: int, columns: int) -> Callable[[], Any]:
    """A whole run by default settings on a Parquet file of float32 columns, from opening it to the report."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    folder = _folder()
    random = np.random.default_rng(1)
    names = [f"x{index}" for index in range(columns)]
    drawn_once = random.normal(size=(50_000, columns)).astype("float32")

    def some(start: int, number: int) -> pd.DataFrame:
        values = np.roll(drawn_once, start // 50_000, axis=1)[:number]
        frame = pd.DataFrame(values, columns=names, copy=False)
        return frame.assign(
            id=np.arange(start, start + number), prediction=0.0,
            event_time=(pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(start, start + number), unit="ms")).astype("datetime64[us]"),
        )  # fmt: skip

    before, step = some(0, 20_000), 50_000
    with parquet.ParquetWriter(
        folder / "log.parquet", pa.Table.from_pandas(before, preserve_index=False).schema
    ) as file:
        for start in range(0, rows, step):
            file.write_table(pa.Table.from_pandas(some(start, min(step, rows - start)), preserve_index=False))
    return _run_on(str(folder / "log.parquet"), before, folder)


def many(rows: int, _: int) -> Callable[[], Any]:
    """A whole run by default settings on a folder of Parquet files of a million rows each."""
    folder = _folder()
    random = np.random.default_rng(1)
    for start in range(0, rows, 1_000_000):
        number = np.arange(start, start + 1_000_000)
        frame = pd.DataFrame({"id": number, "x": random.normal(size=len(number)), "prediction": 0.0})
        frame["event_time"] = (pd.Timestamp("2025-01-01") + pd.to_timedelta(number * 800, unit="us")).astype(
            "datetime64[us]"
        )
        frame.to_parquet(folder / f"{start:012d}.parquet", index=False)
    return _run_on(str(folder), frame.head(20_000), folder)


def _run_on(path: str, before: pd.DataFrame, folder: Path) -> Callable[[], Any]:
    """What a worker does of a run: read the log's first day, evaluate, pack the report."""
    from datetime import UTC, datetime, timedelta

    from monitor import Checks, Columns, Reference
    from monitor.domain.grid import Window
    from monitor.services.specs import RunSpec
    from monitor.services.work import run
    from monitor.sources.spec import LogSpec, Place

    columns = Columns(prediction="prediction", event_time="event_time", id="id")
    Reference.fit(before, columns, "regression").save(folder / "r.reference")
    start = datetime(2025, 1, 1, tzinfo=UTC)
    window = Window(start, start + timedelta(days=1))
    spec = RunSpec(
        "data", window, window.end, LogSpec(Place("log", path), "event_time", "id"), columns,
        {"": str(folder / "r.reference")}, Checks(), "",
    )  # fmt: skip
    return lambda: run(spec)


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of each round after a first one, and the most memory (MB) taken at once beyond what was held before."""
    held, most, over = resident_mb(), 0.0, threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.005):
            most = max(most, resident_mb())

    watcher = threading.Thread(target=look)
    watcher.start()
    work()
    over.set()
    watcher.join()
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return {"seconds": spent, "megabytes": max(most - held, 0.0)}


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    name, rows, columns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else ROUNDS
    print(json.dumps(measured(globals()[name](rows, columns))))
