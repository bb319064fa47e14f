"""A fire drill: faults in copies of real windows, to see which are caught."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitor.analysis.evaluate import evaluate
from monitor.analysis.faults import FAULTS, WINDOW_FAULTS, answered_anew
from monitor.analysis.reference import Reference
from monitor.domain.checks import Checks
from monitor.domain.grid import Window
from monitor.sources.log import Log

_SHARES = (0.05, 0.2, 1.0)
_COLUMNS = 4


def fire_drill(reference: Reference, log: Log, windows: list[Window], checks: Checks) -> pd.DataFrame:
    """One row a fault, strength (share of rows) and column: the share of windows in which it was caught, in the right
    column, and paged.

    Faults of whole windows have no column. Columns with findings before the fault was injected do not count. The
    predictions for a faulty column come from a surrogate of the model (`analysis.surrogate`).
    """
    random = np.random.default_rng(reference.seed)
    importance = reference.importance
    columns = sorted(reference.features, key=lambda name: -importance.get(name, 0.0))[:_COLUMNS]
    label = reference.columns.label
    rows = []
    for window in windows:
        frame = log.sample(window, None)
        frame = frame.drop(columns=[label] if label in frame else []).reset_index(drop=True)
        before = {finding.column for finding in evaluate(reference, frame, checks=checks).findings}
        for column in (name for name in columns if name in frame):
            for fault in (fault for fault in FAULTS if fault.fits(frame[column])):
                for share in _SHARES:
                    faulty = fault.inject(frame, column, random.random(len(frame)) < share, random)
                    faulty = answered_anew(reference, frame, faulty)
                    evaluation = evaluate(reference, faulty, checks=checks)
                    named = {finding.column for finding in evaluation.findings}
                    rows.append(
                        (fault.name, share, column, bool(named - before), column in named - before, evaluation.pages)
                    )
            faulty = frame.drop(columns=[column])
            evaluation = evaluate(reference, faulty, checks=checks)
            named = {finding.column for finding in evaluation.findings}
            rows.append(("lost feature", 1.0, column, bool(named - before), column in named, evaluation.pages))
        for whole in WINDOW_FAULTS:
            outcome = whole.caught(reference, frame, checks)
            if outcome is not None:
                caught, pages = outcome
                rows.append((whole.name, 1.0, "", caught, caught, pages))
    table = pd.DataFrame(rows, columns=["fault", "share_of_rows", "column", "caught", "named", "pages"])
    return (
        table.groupby(["fault", "share_of_rows", "column"], sort=False)[["caught", "named", "pages"]]
        .mean()
        .reset_index()
    )
