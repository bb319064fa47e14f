"""Imported by the forkserver alone: evaluates a few rows once, so that no worker pays for what libraries load when
first used.

Nothing here starts a thread (no DuckDB connection, one OpenMP thread): forking after threads would be unsound.
"""

from __future__ import annotations

import atexit
import gc
import warnings

import ibis.backends.duckdb
import ibis.backends.postgres
import ibis.backends.sqlite  # noqa: F401 - the imports are the purpose
import numpy as np
import pandas as pd

from monitor.analysis.evaluate import evaluate
from monitor.analysis.reference import Reference
from monitor.analysis.snapshot.store import pack
from monitor.domain.columns import Columns


def warm_up() -> None:
    """One evaluation of each type of column and task."""
    random = np.random.default_rng(0)
    number = random.random(120)
    frame = pd.DataFrame(
        {
            "number": number,
            "word": np.where(number > 0.5, "a", "b"),
            "prediction": (number > 0.4).astype(int),
            "probability": number,
            "label": (random.random(120) < number).astype(int),
        }
    )
    columns = Columns(prediction="prediction", probability="probability", label="label")
    pack(evaluate(Reference.fit(frame, columns, "binary"), frame).snapshot)
    regression = frame.assign(prediction=number, label=number + random.random(120)).drop(columns="probability")
    evaluate(Reference.fit(regression, Columns(prediction="prediction", label="label"), "regression"), regression)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    warm_up()
# What was imported stays: workers need not look through it for what to free, and share its memory.
gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # DuckDB complains of what outlives it
