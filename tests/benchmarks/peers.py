"""What a window costs elsewhere and here, each measured in a process of its own: `python -m tests.benchmarks.peers NAME
ROWS COLUMNS`.

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
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROUNDS = 5


def clean_frame(rows: int, columns: int, seed: int) -> pd.DataFrame:
    """Normal numbers of which nothing changes; a binary model that looks at the first. No times, ids or missing values:
    the least work there is.
    """
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, columns)), columns=names_of(columns))
    chance = 1 / (1 + np.exp(-frame["x0"]))
    return frame.assign(
        probability=chance, prediction=(chance > 0.5).astype(int), label=(random.random(rows) < chance).astype(int)
    )


def names_of(columns: int) -> list[str]:
    return [f"x{index}" for index in range(columns)]


def categorical_of(columns: int) -> list[str]:
    """The fifth of the features that is text."""
    return [f"x{index}" for index in range(columns) if index % 5 == 4]


def production_frame(rows: int, columns: int, seed: int, *, day: int = 0, shifted: bool = False) -> pd.DataFrame:
    """A day of a binary model's log as it is in production, with labels.

    Text ids, times, `columns` features of which a fifth is text (4 to 200 values), a fifth follows the first, and a
    tenth each is missing in 5 % and 30 % of the rows; outcomes depend on four features. shifted: from a third of the
    day on, a fifth of the features (half numbers, half text) is distributed otherwise.
    """
    random = np.random.default_rng(seed)
    after = np.arange(rows) >= rows / 3 if shifted else np.zeros(rows, dtype=bool)
    values: dict[str, Any] = {}
    first = random.normal(size=rows)
    text = categorical_of(columns)
    for index, name in enumerate(names_of(columns)):
        moves = after if index % 10 in (1, 4) else np.zeros(rows, dtype=bool)
        if name in text:
            number = (4, 12, 50, 200)[index // 5 % 4]
            usual = 1 / np.arange(1, number + 1)
            place = random.choice(number, rows, p=usual / usual.sum())
            place = np.where(moves & (random.random(rows) < 0.2), number // 2, place)
            values[name] = np.array([f"value {category}" for category in range(number)], dtype=object)[place]
        else:
            own = first if index == 0 else random.normal(size=rows)
            values[name] = (0.7 * first + 0.7 * own if index % 5 == 3 else own) + 0.3 * moves
        if index % 10 in (2, 3):
            values[name][random.random(rows) < (0.05 if index % 10 == 2 else 0.3)] = np.nan
    score = values["x0"] + 0.5 * values["x1"] + 0.3 * np.nan_to_num(values["x3"]) + (values["x4"] == "value 0") - 0.5
    chance = 1 / (1 + np.exp(-score))
    start = pd.Timestamp("2025-01-01") + pd.Timedelta(days=day)
    times = start + pd.to_timedelta(np.arange(rows) * (86_400_000_000 // rows), unit="us")
    written = random.bytes(16 * rows)
    return pd.DataFrame(values).assign(
        id=[str(uuid.UUID(bytes=written[place : place + 16])) for place in range(0, 16 * rows, 16)],
        event_time=times.astype("datetime64[us]"),
        probability=chance,
        prediction=(chance > 0.5).astype(int),
        label=(random.random(rows) < chance).astype(int),
    )


def before_and_after(rows: int, columns: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The reference, and a window in which a fifth of the features has shifted."""
    return production_frame(rows, columns, 0, day=-30), production_frame(rows, columns, 1, shifted=True)


def recent_labels(columns: int) -> pd.DataFrame:
    """What is labelled of the ten days before the window: as many rows as a worker reads of them, labels two days
    late.
    """
    parts = [production_frame(2_000, columns, 10 + day, day=-day) for day in range(1, 11)]
    frame = pd.concat(parts, ignore_index=True).sort_values("event_time", ignore_index=True)
    return frame.assign(label_time=frame["event_time"] + pd.Timedelta(days=2))


def _our_drift(before: pd.DataFrame, after: pd.DataFrame) -> Callable[[], Any]:
    from monitor import Checks, Columns, Reference, evaluate

    parts = {name: name for name in ("prediction", "probability", "label", "event_time", "id") if name in before}
    reference = Reference.fit(before, Columns(**parts), "binary")
    checks, unlabelled = Checks(only=("drift",)), after.drop(columns="label")
    return lambda: evaluate(reference, unlabelled, checks=checks).snapshot


def our_drift(rows: int, columns: int) -> Callable[[], Any]:
    return _our_drift(*before_and_after(rows, columns))


def our_drift_clean(rows: int, columns: int) -> Callable[[], Any]:
    return _our_drift(clean_frame(rows, columns, 0), clean_frame(rows, columns, 1))


def our_checks(rows: int, columns: int) -> Callable[[], Any]:
    """All checks of a labelled window, with rows labelled before it."""
    from monitor import Columns, Reference, evaluate

    parts = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")
    before, after = before_and_after(rows, columns)
    reference, recent = Reference.fit(before, parts, "binary"), recent_labels(columns)
    return lambda: evaluate(reference, after, recent=recent).snapshot


def our_fit(rows: int, columns: int) -> Callable[[], Any]:
    from monitor import Columns, Reference

    parts = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")
    before = production_frame(rows, columns, 0, day=-30)
    return lambda: Reference.fit(before, parts, "binary")


def our_fit_and_checks(rows: int, columns: int) -> Callable[[], Any]:
    """A reference that is fitted and a labelled window that is checked by it."""
    from monitor import Columns, Reference, evaluate

    parts = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")
    before, after = before_and_after(rows, columns)
    return lambda: evaluate(Reference.fit(before, parts, "binary"), after).snapshot


def evidently_definition(frame: pd.DataFrame, columns: int, *, classification: bool = False) -> Any:
    """The definition of a frame for Evidently: all that it can take. It has no place for labels of earlier windows."""
    from evidently import BinaryClassification, DataDefinition

    text = [name for name in categorical_of(columns) if "event_time" in frame]
    target = BinaryClassification(
        target="label", prediction_labels="prediction", prediction_probas="probability", pos_label=1
    )
    return DataDefinition(
        id_column="id" if "id" in frame else None,
        timestamp="event_time" if "event_time" in frame else None,
        numerical_columns=[*(name for name in names_of(columns) if name not in text), "probability"],
        categorical_columns=[*text, "prediction", *(["label"] if classification else [])],
        classification=[target] if classification else None,
    )


def _evidently(
    frames: tuple[pd.DataFrame, pd.DataFrame], columns: int, presets: list[Any], **options: Any
) -> Callable[[], Any]:
    from evidently import Dataset, Report

    before, after = frames
    definition = evidently_definition(before, columns, **options)
    return lambda: Report(presets).run(*(Dataset.from_pandas(side, definition) for side in (after, before)))


def preset_drift(rows: int, columns: int) -> Callable[[], Any]:
    from evidently.presets import DataDriftPreset

    return _evidently(before_and_after(rows, columns), columns, [DataDriftPreset()])


def preset_drift_clean(rows: int, columns: int) -> Callable[[], Any]:
    from evidently.presets import DataDriftPreset

    frames = clean_frame(rows, columns, 0), clean_frame(rows, columns, 1)
    return _evidently(frames, columns, [DataDriftPreset()])


def three_presets(rows: int, columns: int) -> Callable[[], Any]:
    from evidently.presets import ClassificationPreset, DataDriftPreset, DataSummaryPreset

    presets = [DataDriftPreset(), DataSummaryPreset(), ClassificationPreset()]
    return _evidently(before_and_after(rows, columns), columns, presets, classification=True)


def nannyml_drift(rows: int, columns: int) -> Callable[[], Any]:
    """NannyML takes times and text, but has no place for ids; labels and `recent` are no part of its drift."""
    import nannyml

    pd.set_option("future.infer_string", False)  # NannyML does not know pandas' newer texts
    checked = [*names_of(columns), "probability", "prediction"]
    before, after = (frame[[*checked, "event_time"]] for frame in before_and_after(rows, columns))
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=checked, timestamp_column_name="event_time", treat_as_categorical=["prediction"], chunk_number=1
    ).fit(before)
    return lambda: calculator.calculate(after)


def _folder() -> Path:
    """A folder that is gone when the process ends: what is measured here is large."""
    folder = tempfile.mkdtemp(prefix="monitor-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def written(rows: int, columns: int, *, clean: bool) -> tuple[Path, pd.DataFrame]:
    """A log without labels as a Parquet file, and its reference. clean: numbers alone, of which nothing changes, with
    whole-number ids.
    """
    folder = _folder()
    if clean:
        times = pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(rows), unit="ms")
        frame = clean_frame(rows, columns, 1).assign(id=np.arange(rows), event_time=times.astype("datetime64[us]"))
        before = frame.head(20_000)
    else:
        before, frame = before_and_after(20_000, columns)[0], production_frame(rows, columns, 1, shifted=True)
    frame.drop(columns="label").to_parquet(folder / "log.parquet", index=False)
    return folder / "log.parquet", before


def _scan(path: Path) -> Callable[[], Any]:
    import pyarrow.parquet as parquet

    return lambda: parquet.read_table(path)


def scan(rows: int, columns: int) -> Callable[[], Any]:
    return _scan(written(rows, columns, clean=False)[0])


def scan_clean(rows: int, columns: int) -> Callable[[], Any]:
    return _scan(written(rows, columns, clean=True)[0])


def _file_to_scores(path: Path, before: pd.DataFrame) -> Callable[[], Any]:
    from datetime import UTC, datetime, timedelta

    from monitor import Checks, Columns, Reference, evaluate
    from monitor.domain.grid import Window
    from monitor.sources.log import Log
    from monitor.sources.spec import LogSpec, Place

    parts = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")
    reference = Reference.fit(before, parts, "binary")
    spec = LogSpec(Place("log", str(path)), "event_time", "id")
    start = datetime(2025, 1, 1, tzinfo=UTC)
    window = Window(start, start + timedelta(days=1))

    def work() -> Any:
        log = Log(spec)
        sample, counts = log.read(window)
        return evaluate(reference, sample, counts=counts, checks=Checks(only=("drift",)))

    return work


def file_to_scores(rows: int, columns: int) -> Callable[[], Any]:
    return _file_to_scores(*written(rows, columns, clean=False))


def file_to_scores_clean(rows: int, columns: int) -> Callable[[], Any]:
    return _file_to_scores(*written(rows, columns, clean=True))


def wide(rows: int, columns: int) -> Callable[[], Any]:
    """A whole run by default settings on a Parquet file of float32 columns, from opening it to the report."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    folder = _folder()
    random = np.random.default_rng(1)
    names = [f"x{index}" for index in range(columns)]
    drawn_once = random.normal(size=(50_000, columns)).astype("float32")

    def block(start: int, number: int) -> pd.DataFrame:
        values = np.roll(drawn_once, start // 50_000, axis=1)[:number]
        frame = pd.DataFrame(values, columns=names, copy=False)
        return frame.assign(
            id=np.arange(start, start + number),
            prediction=0.0,
            event_time=(
                pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(start, start + number), unit="ms")
            ).astype("datetime64[us]"),
        )

    before, step = block(0, 20_000), 50_000
    with parquet.ParquetWriter(
        folder / "log.parquet", pa.Table.from_pandas(before, preserve_index=False).schema
    ) as file:
        for start in range(0, rows, step):
            file.write_table(pa.Table.from_pandas(block(start, min(step, rows - start)), preserve_index=False))
    return _run_on(str(folder / "log.parquet"), before, folder)


def many(rows: int, _: int) -> Callable[[], Any]:
    """A whole run by default settings on a folder of Parquet files of a million rows each."""
    folder = _folder()
    return _run_on(str(folder), _many_files(folder, rows).head(20_000), folder)


def _many_files(folder: Path, rows: int) -> pd.DataFrame:
    """Write Parquet files of a million rows each, 800 microseconds from one to the next; the last file's rows."""
    random = np.random.default_rng(1)
    for start in range(0, rows, 1_000_000):
        number = np.arange(start, start + 1_000_000)
        frame = pd.DataFrame({"id": number, "x": random.normal(size=len(number)), "prediction": 0.0})
        frame["event_time"] = (pd.Timestamp("2025-01-01") + pd.to_timedelta(number * 800, unit="us")).astype(
            "datetime64[us]"
        )
        frame.to_parquet(folder / f"{start:012d}.parquet", index=False)
    return frame


def _hour_of_many(rows: int, engine: str | None) -> Callable[[], Any]:
    """Counts and sample of the last whole hour of a folder of files of a million rows each, read by Spark or here; the
    log stays open.
    """
    from datetime import UTC, datetime, timedelta

    from monitor.domain.grid import Window
    from monitor.sources.log import Log
    from monitor.sources.spec import LogSpec, Place

    folder = _folder()
    _many_files(folder, rows)
    hours = int(rows * 800e-6 // 3600)
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=max(hours - 1, 0))
    place = Place("log", str(folder), engine=engine, url="local[2]" if engine else None)
    log = Log(LogSpec(place, "event_time", "id"))
    return lambda: log.read(Window(start, start + timedelta(hours=1)))


def hour_of_many(rows: int, _: int) -> Callable[[], Any]:
    return _hour_of_many(rows, None)


def hour_of_many_by_spark(rows: int, _: int) -> Callable[[], Any]:
    return _hour_of_many(rows, "spark")


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
        "data",
        window,
        window.end,
        LogSpec(Place("log", path), "event_time", "id"),
        columns,
        {"": str(folder / "r.reference")},
        Checks(),
        "",
    )
    return lambda: run(spec)


def windows_in_a_worker(number: int) -> float:
    """Evaluate so many windows of 5,000 rows and 20 columns, a fifth shifted, in a worker process; CPU seconds a
    window.
    """
    work = our_checks(5_000, 20)
    work()
    began = time.process_time()
    for _ in range(number):
        work()
    return (time.process_time() - began) / number


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of each round after a first one, and the most memory (MB) taken at once beyond what was held before."""
    memory_before, most, over = resident_mb(), 0.0, threading.Event()

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
    return {"seconds": spent, "megabytes": max(most - memory_before, 0.0)}


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    name, rows, columns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else ROUNDS
    print(json.dumps(measured(globals()[name](rows, columns))))
