"""Data quality of a window against its reference: what is missing, new, out of range, stuck, of another sort, or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from scipy.stats import betabinom, fisher_exact

from monitor.analysis.reference import Reference
from monitor.analysis.schema import Conformed
from monitor.analysis.summary import Categories, Numbers, Summary
from monitor.domain.checks import WindowCounts

# Below these a change is no fault, however unlikely: a single stray value must not ring.
MIN_FAULTY_ROWS = 3
MIN_FAULTY_SHARE = 0.002
MIN_ROWS = 20
OfColumn = Callable[[str], Summary | None]


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
    segment: str | None = None

    @property
    def origin(self) -> str:
        """`pipeline` for what the world does not do by itself, else ''."""
        return "" if self.cause in ("new category", "out of range") else "pipeline"


def faults(
    reference: Reference, window: Conformed, of_column: OfColumn, frame: pd.DataFrame, counts: WindowCounts, checked: list[str],
) -> Iterator[Fault]:  # fmt: skip
    """Every quality metric of the window; `checked` names the columns, features and predictions, in the reference's order.

    of_column: the summary of one of the window's columns.
    """
    for name in checked:
        if name in frame.columns:
            yield from _of_column(reference, window, of_column, name, counts)
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
    yield from _duplicates(reference, window, of_column, checked)
    yield from _counted(
        counts,
        (
            ("duplicate_id_share", counts.duplicate_ids, "rows have an id that came before"),
            ("null_id_share", counts.null_ids, "rows have no id"),
        ),
    )


def segment_faults(
    reference: Reference, window: Conformed, segments: Iterable[tuple[str, str, Any]], checked: list[str]
) -> Iterator[Fault]:
    """What is missing within segments. segments: column, value, and which rows of the window are in it."""
    for column, value, rows in segments:
        part, before = window.frame[rows], reference.rows_of_segment(column, value)
        for name in checked:
            if name in part and name != column:
                missing = int(part[name].isna().sum()), len(part)
                usual = int(before[name].isna().sum()), len(before)
                yield replace(
                    _missing_share(name, missing, usual, f" where {column} = {value}"), segment=f"{column}={value}"
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


def _of_column(
    reference: Reference, window: Conformed, of_column: OfColumn, name: str, counts: WindowCounts
) -> Iterator[Fault]:
    rows = len(window.frame)
    mismatched = window.mismatched.get(name, 0)
    yield _missing(reference, window, name, counts)
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
    present, before = of_column(name), reference.of_column(name)
    if present is None or before is None or before.count == 0:
        return
    if isinstance(present, Numbers) and isinstance(before, Numbers):
        outside = present.outside(before.low, before.high)
        chance = (2.0, before.count - 1.0)
        text = f"'{name}': {{share:.1%}} of the values lie outside the reference's range {before.low:.4g} to {before.high:.4g}"
        if outside:
            text += f" ({present.low:.4g} to {present.high:.4g})"
        yield _unseen("out_of_range_share", name, outside, present.count, chance, "out of range", text)
    elif isinstance(present, Categories) and isinstance(before, Categories):
        new = present.tally[~present.tally.index.isin(before.tally.index)]
        once = float((before.tally == 1).sum())
        chance = (once + 1, before.count - once)
        examples = ", ".join(repr(str(value)) for value in new.index[:3])
        text = f"'{name}': {{share:.1%}} of the values are categories that the reference has not" + (
            f": {examples}" if examples else ""
        )
        yield _unseen("new_category_share", name, int(new.sum()), present.count, chance, "new category", text)
    if name not in reference.summary["longest_run"]:
        return
    # The order of time matters: what stays the same for long anyway (a month, a rare flag) is not stuck.
    stuck = (
        present.distinct == 1
        and before.distinct > 1
        and present.count >= max(MIN_ROWS, 3 * reference.summary["longest_run"][name])
    )
    value = "" if not stuck else present.low if isinstance(present, Numbers) else present.tally.index[0]
    yield Fault(
        "unique_count",
        name,
        float(present.distinct),
        present.count,
        "stuck value",
        f"'{name}' is stuck at {value}",
        certain=stuck,
        share=1.0 if stuck else 0.0,
    )


def _missing(reference: Reference, window: Conformed, name: str, counts: WindowCounts) -> Fault:
    rows = counts.rows
    missing = counts.missing.get(name)
    if missing is None:
        missing = int(window.frame[name].isna().sum())
    fault = _missing_share(name, (missing, rows), (reference.missing(name), reference.rows))
    if fault.p_value is None:
        return fault
    return replace(fault, p_value=reference.tempered("missing_share", name, fault.p_value, rows))


def _missing_share(name: str, missing: tuple[int, int], usual: tuple[int, int], where: str = "") -> Fault:
    """missing, usual: values that are missing, and rows, in the window and in the reference."""
    (number, rows), (before, reference_rows) = missing, usual
    share, before_share = (number / rows if rows else 0.0), before / reference_rows
    text = f"'{name}': {share:.1%} missing{where}, {before_share:.1%} in the reference"
    if rows < MIN_ROWS:
        too_little = f"{rows} rows; {MIN_ROWS} are needed"
        return Fault("missing_share", name, share, rows, "missing values", text, too_little=too_little)
    excess, p_value = share - before_share, 1.0
    if abs(excess) >= MIN_FAULTY_SHARE and abs(excess) * rows >= MIN_FAULTY_ROWS:
        p_value = float(fisher_exact([[number, rows - number], [before, reference_rows - before]]).pvalue)
    if number == rows and before_share < 1:
        text = f"'{name}' is missing in every row{where}"
    return Fault("missing_share", name, share, rows, "missing values", text, p_value, share=max(excess, 0.0))


def _unseen(metric: str, name: str, count: int, rows: int, chance: tuple[float, float], cause: str, text: str) -> Fault:
    """Values that the reference never held. Their share is uncertain by a beta distribution, from order statistics or by Good-Turing: `chance`."""
    share = count / rows if rows else 0.0
    text = text.format(share=share)
    if rows < MIN_ROWS:
        return Fault(metric, name, share, rows, cause, text, too_little=f"{rows} values; {MIN_ROWS} are needed")
    first, second = chance
    p_value = 1.0
    if count >= MIN_FAULTY_ROWS and share >= MIN_FAULTY_SHARE:
        p_value = float(betabinom.sf(count - 1, rows, first, max(second, 1.0)))
    return Fault(metric, name, share, rows, cause, text, p_value, share=share)


def _duplicates(reference: Reference, window: Conformed, of_column: OfColumn, checked: list[str]) -> Iterator[Fault]:
    """Columns that hold the same values in every row, though in the reference they do not."""
    seen: dict[Any, list[str]] = {}
    for name in checked:
        summary = of_column(name) if name in window.frame else None
        if summary is None or len(window.frame) < MIN_ROWS or summary.distinct < 2:
            continue
        for other in seen.setdefault(_likeness(summary), []):
            if window.frame[name].equals(window.frame[other]) and not reference.frame[name].equals(
                reference.frame[other]
            ):
                yield Fault(
                    "duplicate_column",
                    name,
                    1.0,
                    len(window.frame),
                    "duplicate column",
                    f"'{name}' holds the same values as '{other}'",
                    certain=True,
                    share=1.0,
                )
                break
        else:
            seen[_likeness(summary)].append(name)


def _likeness(summary: Summary) -> Any:
    """What is equal of columns that are equal."""
    if isinstance(summary, Numbers):
        return summary.count, summary.low, summary.quantile(0.5), summary.high
    return summary.count, summary.distinct, frozenset(summary.tally.index[:1])
