"""Drift of single columns: two-sample tests decide, a distance tells how far."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from monitor.analysis import distance
from monitor.analysis.schema import Sort
from monitor.analysis.summary import Categories, Numbers, Summary
from monitor.analysis.twosample import Bins

MIN_VALUES = 20
# Distances that do not depend on how many rows there are; the thresholds on them are ours.
DEFAULT_METHODS = {"numerical": "wasserstein", "categorical": "jensenshannon", "boolean": "jensenshannon"}


def score(
    method: str, before: Summary, after: Summary, columns: Callable[[], tuple[pd.Series, pd.Series]], sort: Sort
) -> float:
    """Evidently's drift score by one of its methods; those that are not worked out from summaries by its own function.

    columns: gives the values on both sides, for those. Raises what Evidently raises for a method that does not fit.
    """
    if isinstance(before, Numbers) and isinstance(after, Numbers) and method in distance.NUMERICAL:
        return distance.NUMERICAL[method](before, after)
    if isinstance(before, Categories) and isinstance(after, Categories) and method in distance.CATEGORICAL:
        return distance.CATEGORICAL[method](before, after)
    from monitor.analysis.snapshot.stattests import evidently_score  # Evidently takes seconds to import

    there, here = columns()
    return evidently_score(method, there.dropna(), here.dropna(), sort)


def p_value(bins: Bins, before: Summary, after: Summary) -> float:
    """The smallest p-value of the two-sample tests that suit the column, not corrected for their number."""
    window, reference = (bins.counts(each)[None, :] for each in (after, before))
    return float(bins.p_values(window, reference)[0])


def describe(before: Summary, after: Summary) -> str:
    """The change in words, worked out from the values."""
    if isinstance(before, Numbers) and isinstance(after, Numbers):
        middle = before.quantile(0.5), after.quantile(0.5)
        text = f"median {middle[0]:.4g} -> {middle[1]:.4g}, 5 to 95 % {_range(before)} -> {_range(after)}"
        return text + _ratio(*middle)
    assert isinstance(before, Categories)
    assert isinstance(after, Categories)
    shares = pd.concat(
        [before.tally / before.count, after.tally / after.count], axis=1, keys=["before", "after"]
    ).fillna(0)
    change = (shares["after"] - shares["before"]).abs().sort_values(ascending=False)
    parts = [f"{name!s} {shares.at[name, 'before']:.1%} -> {shares.at[name, 'after']:.1%}" for name in change.index[:3]]
    return ", ".join(parts)


def _range(values: Numbers) -> str:
    return f"[{values.quantile(0.05):.4g}, {values.quantile(0.95):.4g}]"


def _ratio(before: float, after: float) -> str:
    """Whether the medians stand in a ratio that looks like another unit: a power of ten."""
    if before == 0 or after == 0 or before * after < 0:
        return ""
    power = round(float(np.log10(after / before)))
    if power != 0 and abs(np.log10(after / before) - power) < 0.02:
        return f"; that is x {10.0**power:g}, as if in another unit"
    return ""
