"""Recognise the parts of columns by their values, where names are not enough; for `monitor init`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from monitor.domain.columns import Columns
from monitor.domain.positive import certain_positive, means_same
from monitor.errors import DataError

# A column for each class: `y_pred_proba_upmarket`, `probability_1`, `p_yes`, `scores.2`.
_OF_CLASS = re.compile(
    r"(?i)^(?:.*[._])?(?:y_pred_proba|y_pred_prob|predicted_probability|prediction_proba|probabilities|probability|probas|proba|probs|prob|scores|score|p)[._](?P<name>.+)$"
)
_ID_LIKE = re.compile(r"(?i)(^|[_.])(id|key|uuid|guid|number|no)$|(Id|ID|UUID)$")
_REPEATED = 0.2


def by_values(
    columns: Columns, frame: pd.DataFrame, given_parts: Sequence[str], positive: str | None, notes: list[str]
) -> Columns:
    """The columns recognised by names, checked against values. given_parts: the parts that flags name, which stay.
    positive: the positive class that a flag names. Raises DataError where a person has to decide.
    """
    if "probability" not in given_parts:
        columns = _classes(columns, frame, positive, notes)
        columns = _probability(columns, frame, given_parts, notes)
    else:
        columns = _without_other_classes(columns, frame, notes)
    if "id" not in given_parts:
        columns = _id(columns, frame, notes)
    return columns


def _of_classes(columns: Columns, frame: pd.DataFrame) -> dict[str, str]:
    """The columns that hold a probability for each class, by its name, if there are any whose sums are 1."""
    names_by_class: dict[str, str] = {}
    for name in map(str, frame.columns):
        matched = _OF_CLASS.match(name)
        other_parts = (columns.label, columns.event_time, columns.id)
        if matched is not None and name not in other_parts and _is_fraction(frame[name]):
            names_by_class[matched["name"]] = name
    if len(names_by_class) < 2:
        return {}
    sums = frame[list(names_by_class.values())].dropna().sum(axis=1)
    return names_by_class if len(sums) and sums.between(0.97, 1.03).mean() > 0.99 else {}


def _without_other_classes(columns: Columns, frame: pd.DataFrame, notes: list[str]) -> Columns:
    """Beside a probability that somebody has named, those of the other classes are no inputs."""
    class_columns = list(_of_classes(columns, frame).values())
    others = [name for name in class_columns if name != columns.probability]
    if columns.probability not in class_columns:
        return columns
    notes.append(f"{', '.join(others)}: the probability of another class, left out")
    return replace(columns, ignore=(*columns.ignore, *others))


def _classes(columns: Columns, frame: pd.DataFrame, positive: str | None, notes: list[str]) -> Columns:
    """The probability of the positive class, or of each of several."""
    names_by_class = _of_classes(columns, frame)
    if not names_by_class:
        return columns
    class_names = _values(frame, columns.label) or _values(frame, columns.prediction)
    by_class = {
        next(
            (
                class_name
                for class_name in class_names
                if class_name.lower() == name.lower() or means_same(class_name, name)
            ),
            name,
        ): column
        for name, column in names_by_class.items()
    }
    class_columns = tuple(by_class.values())
    prediction = None if columns.prediction in class_columns else columns.prediction
    unknown = [name for name in by_class if class_names and name not in class_names]
    if unknown:
        raise DataError(
            f"{', '.join(class_columns)} hold the probability of a class each, and their names do not say of which"
            f" ({', '.join(class_names[:10])}): say --probability {class_columns[-1]} --positive CLASS"
        )
    if len(by_class) > 2:
        return replace(columns, probability=by_class, prediction=prediction)
    chosen = positive if positive in by_class else certain_positive(list(by_class))
    if chosen is None or chosen not in by_class:
        flags = " or ".join(f"--positive {name}" for name in by_class)
        raise DataError(
            f"{', '.join(class_columns)} hold the probability of a class each: say which class is looked for by {flags}"
        )
    other_column = next(column for name, column in by_class.items() if name != chosen)
    notes.append(
        f"{by_class[chosen]} is the probability of class {chosen}; {other_column} is what is left of 1, and left out"
    )
    return replace(
        columns,
        probability=by_class[chosen],
        prediction=prediction,
        ignore=(*columns.ignore, other_column),
        positive=chosen,
    )


def _values(frame: pd.DataFrame, name: str | None) -> list[str]:
    return [] if name not in frame else [str(value) for value in frame[name].dropna().unique()[:100]]


def _probability(columns: Columns, frame: pd.DataFrame, given_parts: Sequence[str], notes: list[str]) -> Columns:
    """A probability lies between 0 and 1. Where there is none, a prediction that always does may be one."""
    name = columns.probability
    if isinstance(name, str) and name in frame:
        values = pd.to_numeric(frame[name], errors="coerce").dropna()
        if values.empty:
            return replace(columns, probability=None)
        if values.min() < 0 or values.max() > 1:
            if columns.prediction is None:
                raise DataError(
                    f"'{name}' goes from {values.min():g} to {values.max():g}, so it is no probability: if it is a"
                    f" predicted value, say so by --prediction {name}; if it is a score, write a query that turns it"
                    " into a probability"
                )
            notes.append(
                f"{name} goes from {values.min():g} to {values.max():g}: no probability, so an input of the model"
            )
            return replace(columns, probability=None)
    prediction = columns.prediction
    if name is None and prediction in frame and "prediction" not in given_parts and _is_fraction(frame[prediction]):
        labels = _values(frame, columns.label)
        if frame[prediction].nunique() > 10 and (not labels or len(labels) <= 2):
            notes.append(
                f"{prediction} goes from {frame[prediction].min():g} to {frame[prediction].max():g}: taken for the"
                f" probability of the positive class; if it is a predicted value, say so by --prediction {prediction}"
            )
            return replace(columns, probability=prediction, prediction=None)
    return columns


def _is_fraction(values: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    there = values.dropna()
    return bool(len(there)) and bool(there.between(0, 1).all())


def _id(columns: Columns, frame: pd.DataFrame, notes: list[str]) -> Columns:
    """An id names one prediction: a column whose values come again and again is none."""
    if columns.id in frame and len(frame) > 20 and _repeated(frame[columns.id]) > _REPEATED:
        notes.append(f"{columns.id} has values that come again and again, so it is no id of a prediction")
        columns = replace(columns, id=None)
    if columns.id is None:
        taken = {*columns.parts}
        names = [str(name) for name in frame.columns if _ID_LIKE.search(str(name)) and name not in taken]
        unique = [
            name for name in names if frame[name].notna().all() and frame[name].is_unique and _can_be_id(frame[name])
        ]
        if len(unique) == 1 and len(frame) > 20:
            return replace(columns, id=unique[0])
    return columns


def _repeated(values: pd.Series) -> float:
    there = values.dropna()
    return float(there.duplicated().mean()) if len(there) else 0.0


def _can_be_id(values: pd.Series) -> bool:
    return not pd.api.types.is_float_dtype(values) and not pd.api.types.is_datetime64_any_dtype(values)
