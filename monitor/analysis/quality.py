"""Data quality of a window against its reference: what is missing, new, out of range, stuck, of another sort, or doubled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import binom, fisher_exact

from monitor.analysis.reference import Reference
from monitor.analysis.schema import Conformed
from monitor.domain.checks import WindowCounts

# Below these a change is no fault, however unlikely: a single stray value must not ring.
MIN_FAULTY_ROWS = 3
MIN_FAULTY_SHARE = 0.002
MIN_ROWS = 20


@dataclass(frozen=True)
class Fault:
    """A quality metric of a column (None: the whole window), before it is judged.

    p_value: how often a window like the reference would show as much; None where the fact speaks for itself (`certain`).
    share: the share of rows that are faulty, by which the effect on the model is told.
    """

    metric: str
    column: str | None
    value: float
    rows: int
    cause: str
    text: str
    p_value: float | None = None
    certain: bool = False
    share: float = 0.0
    too_little: str = ""


def faults(
    reference: Reference, window: Conformed, frame: pd.DataFrame, counts: WindowCounts, checked: list[str]
) -> Iterator[Fault]:
    """Every quality metric of the window; `checked` names the columns, features and predictions, in the reference's order."""
    for name in checked:
        if name in frame.columns:
            yield from _of_column(reference, window, name, counts)
        else:
            yield Fault(
                "column_missing",
                name,
                1.0,
                counts.rows,
                "vanished column",
                f"column '{name}' is gone",
                certain=True,
                share=1.0,
            )
    known = set(reference.sorts) | set(reference.columns.parts) | set(reference.columns.sensitive)
    if reference.columns.features is None:
        for name in map(str, frame.columns):
            if name not in known:
                yield Fault(
                    "column_added",
                    name,
                    1.0,
                    counts.rows,
                    "new column",
                    f"column '{name}' is new: the reference has none of that name",
                    certain=True,
                )
    yield from _duplicates(reference, window, checked)
    yield from _counted(
        counts,
        (
            ("duplicate_id_share", counts.duplicate_ids, "rows have an id that came before"),
            ("null_id_share", counts.null_ids, "rows have no id"),
        ),
    )


def label_faults(counts: WindowCounts) -> Iterator[Fault]:
    """What is wrong with the labels that came for a window."""
    unmatched = ("unmatched_label_share", counts.unmatched_labels, "labels have an id that no prediction has")
    early = ("early_label_share", counts.early_labels, "labels were known before their prediction was made")
    yield from _counted(counts, (unmatched, early))


def _counted(counts: WindowCounts, faults: Sequence[tuple[str, int, str]]) -> Iterator[Fault]:
    for metric, number, text in faults:
        if counts.rows:
            share = number / counts.rows
            cause = metric.removesuffix("_share").replace("_", " ")
            yield Fault(metric, None, share, counts.rows, cause, f"{number} {text}", certain=number > 0, share=share)


def _of_column(reference: Reference, window: Conformed, name: str, counts: WindowCounts) -> Iterator[Fault]:
    values = window.frame[name]
    before = reference.frame[name]
    rows = len(values)
    mismatched = window.mismatched.get(name, 0)
    yield _missing(reference, name, values, counts)
    if rows == 0:
        return
    share = mismatched / rows
    sort = reference.sorts[name]
    yield Fault(
        "type_mismatch_share",
        name,
        share,
        rows,
        "type change",
        f"'{name}': {share:.1%} of the values are not {sort} as in the reference",
        certain=mismatched > 0,
        share=share,
    )
    if sort == "numerical":
        infinite = window.infinite.get(name, 0)
        yield Fault(
            "infinite_share",
            name,
            infinite / rows,
            rows,
            "infinite values",
            f"'{name}': {infinite} infinite values, taken as missing",
            certain=infinite > 0,
            share=infinite / rows,
        )
    present = values.dropna()
    present_before = before.dropna()
    if len(present_before) == 0 or sort not in ("numerical", "categorical", "boolean"):
        return
    if sort == "numerical":
        low, high = float(present_before.min()), float(present_before.max())
        outside = int(((present < low) | (present > high)).sum())
        chance = 2 / (len(present_before) + 1)
        text = f"'{name}': {{share:.1%}} of the values lie outside the reference's range {low:.4g} to {high:.4g}"
        if outside:
            text += f" ({present.min():.4g} to {present.max():.4g})"
        yield _unseen("out_of_range_share", name, outside, len(present), chance, "out of range", text)
    else:
        seen = present_before.value_counts()
        new = present[~present.isin(seen.index)]
        chance = (float((seen == 1).sum()) + 1) / (len(present_before) + 1)
        examples = ", ".join(repr(str(value)) for value in new.value_counts().index[:3])
        text = f"'{name}': {{share:.1%}} of the values are categories that the reference has not" + (
            f": {examples}" if examples else ""
        )
        yield _unseen("new_category_share", name, len(new), len(present), chance, "new category", text)
    if name not in reference.summary["longest_run"]:
        return
    distinct, distinct_before = int(present.nunique()), int(present_before.nunique())
    # The order of time matters: what stays the same for long anyway (a month, a rare flag) is not stuck.
    stuck = (
        distinct == 1
        and distinct_before > 1
        and len(present) >= max(MIN_ROWS, 3 * reference.summary["longest_run"][name])
    )
    value = present.iloc[0] if stuck else ""
    yield Fault(
        "unique_count",
        name,
        float(distinct),
        len(present),
        "stuck value",
        f"'{name}' is stuck at {value}",
        certain=stuck,
        share=1.0 if stuck else 0.0,
    )


def _missing(reference: Reference, name: str, values: pd.Series, counts: WindowCounts) -> Fault:
    rows = counts.rows
    missing = counts.missing.get(name, int(values.isna().sum()))
    share = missing / rows if rows else 0.0
    before = int(reference.frame[name].isna().sum())
    before_share = before / reference.rows
    text = f"'{name}': {share:.1%} missing, {before_share:.1%} in the reference"
    if rows < MIN_ROWS:
        return Fault(
            "missing_share", name, share, rows, "missing values", text, too_little=f"{rows} rows; {MIN_ROWS} are needed"
        )
    excess = share - before_share
    p_value = float(fisher_exact([[missing, rows - missing], [before, reference.rows - before]]).pvalue)
    if abs(excess) < MIN_FAULTY_SHARE or abs(excess) * rows < MIN_FAULTY_ROWS:
        p_value = 1.0
    if missing == rows and before_share < 1:
        text = f"'{name}' is missing in every row"
    return Fault("missing_share", name, share, rows, "missing values", text, p_value, share=max(excess, 0.0))


def _unseen(metric: str, name: str, count: int, rows: int, chance: float, cause: str, text: str) -> Fault:
    """Values that the reference never held: how many are to be expected by chance is known (order statistics; Good-Turing)."""
    share = count / rows if rows else 0.0
    text = text.format(share=share)
    if rows < MIN_ROWS:
        return Fault(metric, name, share, rows, cause, text, too_little=f"{rows} values; {MIN_ROWS} are needed")
    p_value = float(binom.sf(count - 1, rows, chance)) if count else 1.0
    if count < MIN_FAULTY_ROWS or share < MIN_FAULTY_SHARE:
        p_value = 1.0
    return Fault(metric, name, share, rows, cause, text, p_value, share=share)


def _duplicates(reference: Reference, window: Conformed, checked: list[str]) -> Iterator[Fault]:
    """Columns that hold the same values in every row, though in the reference they do not."""
    seen: dict[int, str] = {}
    for name in checked:
        if name not in window.frame or len(window.frame) < MIN_ROWS or window.frame[name].nunique() < 2:
            continue
        values = window.frame[name]
        key = int(pd.util.hash_pandas_object(values, index=False).sum())
        other = seen.setdefault(key, name)
        if (
            other != name
            and values.equals(window.frame[other])
            and not reference.frame[name].equals(reference.frame[other])
        ):
            yield Fault(
                "duplicate_column",
                name,
                1.0,
                len(values),
                "duplicate column",
                f"'{name}' holds the same values as '{other}'",
                certain=True,
                share=1.0,
            )
