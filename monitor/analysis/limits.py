"""Detection limits: the smallest change that a window of a given size would have shown, nine times in ten."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

_POWER = 0.9
# The number of independent tests of a monitor with some twenty columns, assumed before its reference is fitted.
_USUAL_TESTS = 150.0


def deviation(alpha: float) -> float:
    """How many standard errors a change must have to be seen by a two-sided test at `alpha`."""
    return float(ndtri(_POWER) - ndtri(max(alpha, 1e-300) / 2))


def shift(rows: float, reference_rows: float, alpha: float) -> float:
    """The smallest shift, in standard deviations; Wilcoxon's test of two normal samples (efficiency 3/pi)."""
    return deviation(alpha) * float(np.sqrt((1 / max(rows, 1) + 1 / max(reference_rows, 1)) * np.pi / 3))


def share(usual: float, rows: float, reference_rows: float, alpha: float) -> float:
    """The smallest rise of a share from `usual`, a few rows at least."""
    spread = max(usual * (1 - usual), 1 / max(rows, 1))
    return max(
        deviation(alpha) * float(np.sqrt(spread * (1 / max(rows, 1) + 1 / max(reference_rows, 1)))), 3 / max(rows, 1)
    )


def rows_for_shift(wanted: float, reference_rows: float, false_alarm_rate: float) -> int | None:
    """How many rows a window needs for a shift of `wanted` standard deviations to be noticed; None where the reference
    is too small for that.
    """
    alpha = false_alarm_rate / _USUAL_TESTS
    left = (wanted / deviation(alpha)) ** 2 * 3 / np.pi - 1 / max(reference_rows, 1)
    return int(np.ceil(1 / left)) if left > 0 else None


def in_words(rows: float, reference_rows: float, false_alarm_rate: float) -> str:
    """In words, what windows of this many rows show, before a reference is fitted."""
    alpha = false_alarm_rate / _USUAL_TESTS
    text = (
        f"with {rows:,.0f} rows a window, a shift of {shift(rows, reference_rows, alpha):.2g} standard deviations or"
        f" {share(0.0, rows, reference_rows, alpha):.1%} missing values would be noticed"
    )
    needed = rows_for_shift(0.1, reference_rows, false_alarm_rate)
    return text + (
        f"; a shift of 0.1 needs {needed:,} rows" if needed else "; a shift of 0.1 is more than this reference can tell"
    )
