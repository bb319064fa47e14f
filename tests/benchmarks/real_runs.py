"""Whole runs over a set of ../shared/data, from its files to stored results, and where their time goes; Evidently's
presets on the same windows.

`python -m tests.benchmarks.real_runs ours|evidently SET FOLDER` prints what was measured as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import yaml
from sqlalchemy import text

from monitor.daemon import Daemon
from tests import replay_projects
from tests.conftest import Project
from tests.processes import cpu_seconds
from tests.replay_projects import DATA

# The number of windows whose shares are measured, and that the presets are run on.
_SOME = 12


def ours(name: str, folder: Path) -> dict[str, Any]:
    """All windows of a set worked twice by two workers: with nothing in the cache, and with what the first time left
    there.
    """
    path = replay_projects.write(name, folder / name, None)
    values = yaml.safe_load(path.read_text())
    values["workers"] = {"processes": 2}
    results = {}
    for state in ("cold", "warm"):
        project = Project(path.parent, values | {"database": f"sqlite:///{state}.db"})
        results[state], daemon_cpu = _worked(project, ready=state == "warm")
    results["shares"] = _shares(project, name, daemon_cpu)
    return results


def _worked(project: Project, *, ready: bool) -> tuple[dict[str, float], float]:
    """Runs, seconds and CPU seconds of all processes; and those of the daemon's own a run."""
    with Daemon(project.loaded()) as daemon:
        if ready:
            daemon.ready()
        began, cpu, own = time.perf_counter(), cpu_seconds(os.getpid()), time.process_time()
        outcome = daemon.run_until_idle()
        assert not outcome.failed
        costs = {
            "runs": outcome.finished,
            "seconds": time.perf_counter() - began,
            "cpu": cpu_seconds(os.getpid()) - cpu,
        }
        return costs, (time.process_time() - own) / outcome.finished


def _shares(project: Project, name: str, daemon_cpu: float) -> dict[str, float]:
    """CPU seconds a run, by what they are spent on: some of the runs, worked once more in this process."""
    from monitor.analysis.estimator import Estimator
    from monitor.analysis.snapshot import report
    from monitor.domain.grid import Window
    from monitor.services import work
    from monitor.services.context import Context, open_database
    from monitor.services.execute_runs import Preview, preview_again

    evaluating = importlib.import_module("monitor.analysis.evaluate")
    stages = {
        "causes": [(evaluating, "explained"), (evaluating, "with_repairs")],
        "estimate": [(Estimator, "estimate_now"), (Estimator, "estimate")],
        "statistics": [(work, "evaluate")],
        "report": [(work, "pack"), (report, "make_report")],
        "reading": [(work, "_window"), (work, "labelled"), (work, "keep"), (work, "log_at")],
    }
    spent: dict[str, float] = defaultdict(float)
    open_stages: list[str] = []

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with _within(stage, open_stages, spent):
                return function(*args, **options)

        return call

    class Here:
        """Works a run in this process."""

        def call(self, _task: str, spec: Any) -> Any:
            with _within("rest", open_stages, spent):
                return work.run(spec)

    loaded = project.loaded()
    context = Context(loaded, open_database(loaded))
    times = text("SELECT min(window_start), max(window_end) FROM runs")
    start, end = context.database.read(lambda session: session.execute(times).one())
    span = Window(*(pd.Timestamp(moment, tz="UTC").to_pydatetime() for moment in (start, end)))
    runs: Iterator[Preview] = preview_again(context, Here(), name, span)  # type: ignore[arg-type]
    for _ in range(2):  # models that are fitted once a process
        next(runs)
    spent.clear()
    number = 0
    with ExitStack() as stack:
        for stage, places in stages.items():
            for owner, attribute in places:
                stack.enter_context(patch.object(owner, attribute, timed(stage, getattr(owner, attribute))))
        for number, _ in enumerate(runs, 1):
            if number == 2 * _SOME:
                break
    return {"daemon": daemon_cpu} | {stage: seconds / number for stage, seconds in spent.items()}


@contextmanager
def _within(stage: str, open_stages: list[str], spent: dict[str, float]) -> Iterator[None]:
    """CPU seconds go to the innermost stage that is open."""
    begun = time.process_time()
    open_stages.append(stage)
    try:
        yield
    finally:
        took = time.process_time() - begun
        open_stages.pop()
        spent[stage] += took
        if open_stages:
            spent[open_stages[-1]] -= took


def _as_evidently_takes_it(frame: pd.DataFrame, *, binary: bool) -> pd.DataFrame:
    """Whole numbers of 64 bits, which alone it takes for labels."""
    whole = [name for name in frame if frame[name].dtype.kind in "iu"] + ["prediction", "label"] * binary
    return frame.astype(dict.fromkeys(whole, "int64"))


def evidently(name: str, _folder: Path) -> dict[str, Any]:
    """Three presets on some of the windows, their labels known: what a loop over the windows would cost."""
    from evidently import BinaryClassification, DataDefinition, Dataset, Regression, Report
    from evidently.presets import ClassificationPreset, DataDriftPreset, DataSummaryPreset, RegressionPreset

    chosen = replay_projects.SETS[name]
    binary = chosen.task == "binary"
    before, log, labels = (
        pd.read_parquet(DATA / name / f"{part}.parquet") for part in ("reference", "predictions", "labels")
    )
    before, whole = (
        _as_evidently_takes_it(frame.dropna(subset=["label"]), binary=binary)
        for frame in (before, log.merge(labels[["id", "label"]], on="id"))
    )
    names = [column for column in before if column in whole and column not in ("id", "event_time")]
    texts = [column for column in names if before[column].dtype.kind not in "fiu"] + ["prediction", "label"] * binary
    task: dict[str, Any] = {"regression": [Regression(target="label", prediction="prediction")]}
    if binary:
        target = BinaryClassification(
            target="label", prediction_labels="prediction", prediction_probas="probability", pos_label=1
        )
        task = {"classification": [target]}
    definition = DataDefinition(
        id_column="id",
        timestamp="event_time",
        categorical_columns=list(dict.fromkeys(texts)),
        numerical_columns=[column for column in names if column not in texts],
        **task,
    )
    reference = Dataset.from_pandas(before[[*names, "id", "event_time"]], definition)
    presets = [DataDriftPreset(), DataSummaryPreset(), ClassificationPreset() if binary else RegressionPreset()]
    numbers = (whole["event_time"] - whole["event_time"].min()).dt.days // chosen.days
    window_numbers = numbers.drop_duplicates().iloc[1:-1]
    window_numbers = window_numbers.iloc[:: max(len(window_numbers) // _SOME, 1)][:_SOME]
    begun, cpu = time.perf_counter(), time.process_time()
    for number in window_numbers:
        current = whole.loc[numbers == number, [*names, "id", "event_time"]]
        Report(presets).run(Dataset.from_pandas(current, definition), reference)
    return {"runs": len(window_numbers), "seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    benchmark, set_name, results_folder = sys.argv[1:]
    result = {"ours": ours, "evidently": evidently}[benchmark](set_name, Path(results_folder))
    result["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps(result))
