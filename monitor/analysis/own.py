"""Metrics of the user's own: their values on labelled rows, on the reference, and before labels come.

A sum or a mean over rows is worked out row by row: its error, its scale and its estimate are then exact. Any other
metric is a function of all rows: its error comes from rows drawn again.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from monitor.analysis import estimation
from monitor.analysis.performance import OF_NUMBERS, Answers, Measured, mean
from monitor.analysis.reference import Reference
from monitor.domain.own_metrics import OwnMetric
from monitor.errors import DataError

Floats = np.ndarray
_SEED = 20_260_101
# How often rows are drawn again, and how many rows all drawn samples have together at most, in SQL and in Python.
_DRAWS, _FEWEST_DRAWS = 200, 20
_DRAWN_ROWS = {"sql": 2_000_000, "python": 500_000}
# The most and the fewest blocks of the reference, each as long as the window.
_BLOCKS, _FEWEST_BLOCKS = 50, 4
_OF_ROWS = re.compile(r"(sum|avg|mean)\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
# Losses of fewer rows are not learned.
_LEAST_ROWS = 100
_own = threading.local()


class OwnMetricError(DataError):
    """A metric of the user's own cannot be worked out; the text says why."""


@dataclass(frozen=True)
class Sides:
    """A metric in the window, and what the reference leads to expect of as many rows."""

    value: Measured
    before: Measured


def of_rows(sql: str) -> tuple[str, str] | None:
    """The aggregate (`sum` or `avg`) and what it takes of each row; None where the SQL is no sum and no mean."""
    match = _OF_ROWS.fullmatch(sql.strip())
    if match is None or not _is_balanced(match[2]):
        return None
    return ("sum" if match[1].lower() == "sum" else "avg"), match[2]


def _is_balanced(text: str) -> bool:
    depth, quote = 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character == "(") - (character == ")")
            if depth < 0:
                return False
    return depth == 0 and not quote


def query(rows: pd.DataFrame, sql: str, draws: Floats | None = None) -> Floats:
    """The numbers of a query on `rows`, which cannot read files, reach a network or change its own settings.

    sql: an expression; it is worked out for each row where it is no aggregate. draws: places of rows, shape (draws,
        rows): one number for each draw. Raises OwnMetricError with the database's own words.
    """
    if draws is None:
        # The SQL is the user's own: the connection can do no more than read these rows.
        return _selected(f"select ({sql}) as value from window_rows", {"window_rows": rows})  # noqa: S608
    places = pd.DataFrame({"draw_number": np.repeat(np.arange(len(draws)), draws.shape[1]), "row_place": draws.ravel()})
    text = (
        f"select draw_number, ({sql}) as value from drawn_places join placed_rows using (row_place)"  # noqa: S608
        " group by draw_number order by draw_number"
    )
    return _selected(text, {"drawn_places": places, "placed_rows": rows.assign(row_place=np.arange(len(rows)))})


def _selected(text: str, tables: Mapping[str, pd.DataFrame]) -> Floats:
    connection = _connection()
    try:
        statements = connection.extract_statements(text)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise OwnMetricError("its SQL is not one expression")
        for name, table in tables.items():
            connection.register(name, table)
        return _numbers(connection.execute(statements[0]).fetchnumpy()["value"])
    except duckdb.Error as error:
        raise OwnMetricError(f"its SQL failed: {' '.join(str(error).split())}") from None
    finally:
        for name in tables:
            connection.unregister(name)


def _connection() -> duckdb.DuckDBPyConnection:
    """The thread's own connection, which can open no file and no network, and cannot be told otherwise."""
    if not hasattr(_own, "connection"):
        _own.connection = duckdb.connect(
            ":memory:",
            config={"threads": 1, "autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
        )
        _own.connection.execute("set enable_external_access = false")
        _own.connection.execute("set lock_configuration = true")
    connection: duckdb.DuckDBPyConnection = _own.connection
    return connection


def _numbers(values: Any) -> Floats:
    try:
        return np.asarray(np.ma.filled(np.ma.asarray(values).astype(float), np.nan))
    except (TypeError, ValueError):
        raise OwnMetricError("it gives no number") from None


def function_of(path: str) -> tuple[Callable[[pd.DataFrame], Any], str]:
    """A function by `package.module:function`, and a short hash of its source. Raises OwnMetricError."""
    module, _, name = path.partition(":")
    try:
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        function: Callable[[pd.DataFrame], Any] = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise OwnMetricError(f"'{path}' cannot be loaded: {type(error).__name__}: {error}") from error
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = path
    return function, hashlib.sha256(source.encode()).hexdigest()[:8]


def _called(function: Callable[[pd.DataFrame], Any], rows: pd.DataFrame) -> float:
    try:
        return float(function(rows.copy()))
    except Exception as error:
        raise OwnMetricError(f"its function failed: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class OwnRows:
    """Rows that a metric is worked out of: the log's columns, with `prediction`, `label` and `probability` in the
    task's own form.
    """

    frame: pd.DataFrame
    weight: Floats | None

    @classmethod
    def of(cls, frame: pd.DataFrame, reference: Reference, *, labelled: bool) -> OwnRows:
        """frame: in the reference's column types. labelled: only rows whose label is known."""
        answers = Answers.of(frame, reference.columns, reference.task, reference.summary.classes)
        usable = pd.notna(answers.prediction)
        if labelled:
            usable &= pd.notna(answers.truth) if answers.truth is not None else False
        if answers.weight is not None:
            usable &= answers.weight > 0
        roles = {"prediction": answers.prediction[usable]}
        if answers.truth is not None:
            roles["label"] = answers.truth[usable]
        if answers.scores is not None and reference.task == "binary":
            roles["probability"] = answers.scores[usable, 0]
        rows = frame[usable].reset_index(drop=True)
        lower = {name.lower() for name in roles}
        rows = rows.drop(columns=[name for name in rows if str(name).lower() in lower])
        return cls(rows.assign(**roles), None if answers.weight is None else answers.weight[usable])

    def labelled_as(self, label: Any) -> pd.DataFrame:
        """The rows as if each had this label (one value, or one a row)."""
        return self.frame.assign(label=label)


@dataclass(frozen=True)
class OwnValue:
    """A metric worked out with one reference. Raises OwnMetricError where it cannot be."""

    metric: OwnMetric
    reference: Reference

    @cached_property
    def by_rows(self) -> tuple[str, str] | None:
        """See `of_rows`."""
        return of_rows(self.metric.sql) if self.metric.sql else None

    @cached_property
    def function(self) -> tuple[Callable[[pd.DataFrame], Any], str]:
        """See `function_of`."""
        return function_of(self.metric.python)

    @property
    def source(self) -> str:
        """Which version of the function it is; '' for SQL."""
        return f"{self.metric.python}, version {self.function[1]}" if self.metric.python else ""

    def realised(self, rows: OwnRows, whole: float, before: OwnRows) -> Sides:
        """The value of labelled rows. whole: how many rows the window has in all, to which a sum is scaled. before: the
        reference's rows.
        """
        number = len(rows.frame)
        if self.by_rows is not None:
            value, usual = self._each(rows.frame), self._each(before.frame)
            return Sides(self._scaled(value, rows.weight, whole), self._usual(usual, before.weight, number, whole))
        _no_weights(rows, before)
        value_of = self._of_rows(rows.frame)
        return Sides(Measured(value_of, self._error(rows.frame)), self._blocks(before.frame, number))

    def estimated(self, rows: OwnRows, whole: float, before: OwnRows) -> Sides:
        """The value to be expected of rows without their labels: each label by its calibrated probability, or for
        regression by a model of the loss.
        """
        number = len(rows.frame)
        if self.by_rows is not None:
            sides = [self._expected(side, before) for side in (rows, before)]
            (value, own), (usual, usual_own) = sides
            now = self._scaled(value, rows.weight, whole, own)
            return Sides(now, self._usual(usual, before.weight, number, whole, usual_own))
        if self.reference.task in OF_NUMBERS:
            raise OwnMetricError("it cannot be estimated without labels: it is no sum and no mean over rows")
        _no_weights(rows, before)
        drawn = [self._drawn_labels(rows.frame, draw) for draw in range(_FEWEST_DRAWS)]
        values = np.array([self._of_rows(labelled) for labelled in drawn])
        error = math.hypot(float(values.std(ddof=1)), self._error(drawn[0]))
        expected = self._drawn_labels(before.frame, 0)
        return Sides(Measured(float(values.mean()), error), self._blocks(expected, number))

    def _each(self, rows: pd.DataFrame) -> Floats:
        """What each row adds, shape (rows,); 0 where SQL gives NULL in a sum."""
        assert self.by_rows is not None
        aggregate, sql = self.by_rows
        values = query(rows, sql)
        if len(values) != len(rows):
            raise OwnMetricError("its SQL does not give one number a row")
        return np.nan_to_num(values, nan=0.0) if aggregate == "sum" else values

    def _scaled(self, values: Floats, weight: Floats | None, whole: float, variance: Floats | None = None) -> Measured:
        assert self.by_rows is not None
        here = np.isfinite(values)
        if here.sum() < 2:
            raise OwnMetricError("no row has a value")
        weights, own = (None if part is None else part[here] for part in (weight, variance))
        measured = mean(values[here], weights, own)
        scale = whole if self.by_rows[0] == "sum" else 1.0
        return Measured(measured.value * scale, (measured.error or 0.0) * scale)

    def _usual(
        self, values: Floats, weight: Floats | None, number: int, whole: float, variance: Floats | None = None
    ) -> Measured:
        """The reference's value for as many rows. Its error holds how much more its blocks differ than by chance."""
        measured = self._scaled(values, weight, 1.0, variance)
        extra = 0.0
        if len(values) >= _FEWEST_BLOCKS * number:
            blocks = _places_of_blocks(len(values), number)
            means = np.array([np.nanmean(values[block]) for block in blocks])
            extra = max(float(means.var(ddof=1)) - float(np.nanvar(values)) / number, 0.0)
        assert self.by_rows is not None
        scale = whole if self.by_rows[0] == "sum" else 1.0
        return Measured(measured.value * scale, math.sqrt((measured.error or 0.0) ** 2 + extra) * scale)

    def _expected(self, rows: OwnRows, before: OwnRows) -> tuple[Floats, Floats]:
        """What each row is expected to add, and the variance of that, by the reference's calibration or its losses."""
        task = self.reference.task
        if task in OF_NUMBERS:
            return self._expected_losses(rows, before)
        chances, labels = self._chances(rows.frame)
        values = np.column_stack([self._each(rows.labelled_as(label)) for label in labels])
        expected = (chances * values).sum(axis=1)
        return expected, np.clip((chances * values**2).sum(axis=1) - expected**2, 0, None)

    def _expected_losses(self, rows: OwnRows, before: OwnRows) -> tuple[Floats, Floats]:
        if len(before.frame) < _LEAST_ROWS:
            raise OwnMetricError("the reference has too few labels to learn it from")
        model, noise = self._loss_model(before)
        return model.predict(self._inputs(rows.frame)), np.full(len(rows.frame), noise)

    def _loss_model(self, before: OwnRows) -> tuple[estimation.GradientBoosting, float]:
        inputs, losses = self._inputs(before.frame), self._each(before.frame)
        here = np.isfinite(losses)
        model = estimation.GradientBoosting(inputs[here], losses[here], self.reference.seed)
        return model, float(np.var(losses[here] - model.predict(inputs[here])))

    def _inputs(self, rows: pd.DataFrame) -> Floats:
        name = self.reference.columns.prediction
        return self.reference.encoded(rows if name is None else rows.assign(**{name: rows["prediction"]}))

    def _chances(self, rows: pd.DataFrame) -> tuple[Floats, list[Any]]:
        """The calibrated probability of each label, shape (rows, labels), and the labels."""
        reference = self.reference
        line = reference.summary.calibration
        if line is None:
            raise OwnMetricError("it cannot be estimated without labels: the model's probabilities are not logged")
        if reference.task == "binary":
            chance = estimation.calibrated(rows["probability"].to_numpy(dtype=float), line)
            return np.column_stack([1 - chance, chance]), [0.0, 1.0]
        names = reference.columns.probabilities
        scores = rows[list(names.values())].to_numpy(dtype=float)
        return estimation.calibrated_classes(scores, line), list(names)

    def _drawn_labels(self, rows: pd.DataFrame, draw: int) -> pd.DataFrame:
        chances, labels = self._chances(rows)
        random = np.random.default_rng([_SEED, draw])
        places = (random.random(len(rows))[:, None] > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)
        return rows.assign(label=np.array(labels, dtype=object if isinstance(labels[0], str) else float)[places])

    def _of_rows(self, rows: pd.DataFrame) -> float:
        if self.metric.python:
            value = _called(self.function[0], rows)
        else:
            values = query(rows, self.metric.sql)
            if len(values) != 1:
                raise OwnMetricError("its SQL gives one number a row: write an aggregate such as avg(...)")
            value = float(values[0])
        if not math.isfinite(value):
            raise OwnMetricError("it gives no number for these rows")
        return value

    def _of_draws(self, rows: pd.DataFrame, draws: Floats) -> Floats:
        if self.metric.python:
            values = np.array([_called(self.function[0], rows.iloc[places]) for places in draws])
        else:
            values = query(rows, self.metric.sql, draws)
        return np.asarray(values[np.isfinite(values)])

    def _error(self, rows: pd.DataFrame) -> float:
        """The standard error by the bootstrap (Efron, 1979). The draws depend on the rows alone."""
        number, most = len(rows), _DRAWN_ROWS["python" if self.metric.python else "sql"]
        draws = int(np.clip(most // max(number, 1), _FEWEST_DRAWS, _DRAWS))
        random = np.random.default_rng([_SEED, number])
        values = self._of_draws(rows, random.integers(0, number, (draws, number)))
        if len(values) < 2:
            raise OwnMetricError("it gives no number for rows that are drawn again")
        return float(values.std(ddof=1))

    def _blocks(self, before: pd.DataFrame, number: int) -> Measured:
        """The mean over blocks of the reference, each of `number` rows, and how much the blocks differ more than by
        chance. Where there are too few blocks, rows are drawn instead.
        """
        if len(before) >= _FEWEST_BLOCKS * number:
            blocks = _places_of_blocks(len(before), number)
            values = self._of_draws(before, blocks)
            if len(values) >= _FEWEST_BLOCKS:
                own = self._error(before.iloc[blocks[0]])
                spread = float(values.var(ddof=1))
                return Measured(float(values.mean()), math.sqrt(spread / len(values) + max(spread - own**2, 0.0)))
        random = np.random.default_rng([_SEED, number, 1])
        values = self._of_draws(before, random.integers(0, len(before), (_FEWEST_DRAWS, number)))
        if len(values) < 2:
            raise OwnMetricError("it gives no number on the reference")
        error = float(values.std(ddof=1)) * math.sqrt(number / len(before))
        return Measured(float(values.mean()), error)


def _places_of_blocks(rows: int, number: int) -> Floats:
    """Places of evenly spread blocks of consecutive rows, shape (blocks, number)."""
    starts = np.arange(rows // number) * number
    if len(starts) > _BLOCKS:
        starts = starts[np.linspace(0, len(starts) - 1, _BLOCKS).astype(int)]
    return np.asarray(starts[:, None] + np.arange(number)[None, :])


def _no_weights(*sides: OwnRows) -> None:
    if any(side.weight is not None and np.ptp(side.weight) > 0 for side in sides):
        raise OwnMetricError("rows have weights, and it is no sum and no mean over rows (sum(...) or avg(...))")
